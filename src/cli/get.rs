//! `tortie get`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use super::columns::{row, table};
use super::diff::local_links;
use super::offline::{Interfaces, Offline};
use super::output::{self, Format};
use super::run::{ConfigArgs, directory_of};
use super::status::Statuses;
use super::{kinds, show};
use crate::datastore::{Store, Stored};
use crate::model::{Form, Kind, Resource, ResourceKey};

/// Print resources, v1 and v3 together.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tortie get hostendpoints
  tortie get gnp allow-ssh -o yaml --directory ./resources

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
    let configuration = args.configuration.load(args.directory.as_deref());
    let directory = directory_of(&configuration)?.to_owned();
    let interfaces = if args.kind == Kind::HostEndpoint {
        local_links()?
    } else {
        Vec::new()
    };
    let offline = Offline::compute(&directory, configuration, Interfaces::Exactly(interfaces))?;
    let found: Vec<(&ResourceKey, &Arc<Resource>)> = offline
        .resources
        .iter()
        .filter(|(key, _)| {
            let named = |name: &String| kinds::is_named(key, name);
            key.kind == args.kind && args.name.as_ref().is_none_or(named)
        })
        .collect();
    if let (Some(name), true) = (&args.name, found.is_empty()) {
        anyhow::bail!("no {} `{name}` in {}", args.kind, directory.display());
    }
    let statuses = Statuses::of(&offline);
    let values = || -> anyhow::Result<Value> {
        let store = Store::read(&directory)?;
        let value = |(key, _): &(&ResourceKey, &Arc<Resource>)| {
            let status = statuses.value(key);
            Some(document(store.get(key)?, key.form, status.as_ref()))
        };
        let mut values: Vec<Value> = found.iter().filter_map(value).collect();
        Ok(match (&args.name, values.pop()) {
            (Some(_), Some(last)) if values.is_empty() => last,
            (_, last) => {
                values.extend(last);
                show::list(args.kind, &values)
            }
        })
    };
    output::data(&match args.output {
        Format::Table => {
            let mut table = table(args.kind);
            for (key, resource) in &found {
                table.push(row(key, resource, &statuses));
            }
            table.to_string()
        }
        Format::Json => output::json(&values()?),
        Format::Yaml => output::yaml(&values()?),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a resource as it was written, with its version and what has become of it.
fn document(stored: Stored<'_>, form: Form, status: Option<&Value>) -> Value {
    let mut fields = stored.document.clone();
    match form {
        Form::V3 => {
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                let version = Value::String(stored.version());
                metadata.insert("resourceVersion".to_owned(), version);
            }
            show::put(&mut fields, "status", status);
        }
        // It knows neither.
        Form::V1 => {}
    }
    Value::Object(fields)
}
