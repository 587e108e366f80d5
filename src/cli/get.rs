//! `tortie get`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use super::columns::{row, table};
use super::datastore::Datastore;
use super::diff::local_links;
use super::namespace::NamespaceArgs;
use super::offline::{Interfaces, Offline};
use super::output::{self, Format};
use super::run::ConfigArgs;
use super::status::Statuses;
use super::{kinds, show};
use crate::datastore::{Document, Store};
use crate::model::{Form, Kind, Resource, ResourceKey};

/// Print resources, v1 and v3 together.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tortie get hostendpoints
  tortie get gnp allow-ssh -o yaml --directory ./resources
  tortie get np -n prod

Tables show resources as they were understood; JSON and YAML as they were written, ready to be applied again.
Kinds are written in any case, singular or plural, or in short: hep, gnp, np, wep, gns, ns.
Endpoints of this host show the interfaces that they are bound to, and what is wrong with them.")]
pub(super) struct Args {
    /// The kind of resource
    #[arg(value_name = "KIND", value_parser = kinds::parse)]
    kind: Kind,
    /// The only resource wanted, as NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    namespaces: NamespaceArgs,
    /// The directory of resources, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Prints the resources.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.namespaces.check(args.kind)?;
    let configuration = args.configuration.load(args.directory.as_deref());
    let datastore = Datastore::of(&configuration)?;
    let interfaces = if args.kind == Kind::HostEndpoint {
        local_links()?
    } else {
        Vec::new()
    };
    let (snapshot, store) = datastore.contents()?;
    let offline = Offline::compute(snapshot, configuration, Interfaces::Exactly(interfaces))?;
    let found: Vec<(&ResourceKey, &Arc<Resource>)> = offline
        .resources
        .iter()
        .filter(|(key, _)| {
            let named = |name: &String| kinds::is_named(key, name);
            key.kind == args.kind
                && args.namespaces.contain(key)
                && args.name.as_ref().is_none_or(named)
        })
        .collect();
    if let (Some(name), true) = (&args.name, found.is_empty()) {
        anyhow::bail!("no {} `{name}` in {datastore}", args.kind);
    }
    let statuses = Statuses::of(&offline);
    let values = || {
        let value = |(key, resource): &(&ResourceKey, &Arc<Resource>)| {
            let status = statuses.value(key);
            document(&store, key, resource, status.as_ref())
        };
        let mut values: Vec<Value> = found.iter().map(value).collect();
        match (&args.name, values.pop()) {
            (Some(_), Some(last)) if values.is_empty() => last,
            (_, last) => {
                values.extend(last);
                show::list(args.kind, &values)
            }
        }
    };
    output::data(&match args.output {
        Format::Table => {
            let mut table = table(args.kind);
            for (key, resource) in &found {
                table.push(row(key, resource, &statuses));
            }
            table.to_string()
        }
        Format::Json => output::json(&values()),
        Format::Yaml => output::yaml(&values()),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a resource as it was written, with its version and what has become of it.
fn document(
    store: &Store,
    key: &ResourceKey,
    resource: &Resource,
    status: Option<&Value>,
) -> Value {
    let Some(Document {
        mut fields,
        version,
    }) = store.document(key)
    else {
        // What keys hold of the v1 form that calicoctl had no form for.
        return Value::Object(show::resource(key, resource));
    };
    match key.form {
        Form::V3 => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.insert("resourceVersion".to_owned(), Value::String(version));
            }
            show::put(&mut fields, "status", status);
        }
        // It knows neither.
        Form::V1 => {}
    }
    Value::Object(fields)
}
