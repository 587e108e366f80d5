//! `tortie get`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use super::columns::{row, table};
use super::datastore::Datastore;
use super::designated::{Designated, designated};
use super::diff::local_links;
use super::input::{documents, read_all};
use super::namespace::NamespaceArgs;
use super::offline::{Interfaces, Offline};
use super::output::{self, Format, Table};
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
  tortie get -f ./policies -o yaml

Tables show resources as they were understood; JSON and YAML as they were written, ready to be applied again.
Kinds are written in any case, singular or plural, or in short: hep, gnp, np, wep, gns, ns.
With -f, those that the files name are shown; exit code 1 where one of them is not there.
Endpoints of this host show the interfaces that they are bound to, and what is wrong with them.")]
pub(super) struct Args {
    /// The kind of resource
    #[arg(value_name = "KIND", value_parser = kinds::parse, required_unless_present = "filename", conflicts_with = "filename")]
    kind: Option<Kind>,
    /// The only resource wanted, as NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// A file that names the resources, a directory of such files, or `-` for standard input; may be given again
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<PathBuf>,
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

/// The resources that are asked for, in order, and which are not there.
struct Found<'a> {
    there: BTreeMap<&'a ResourceKey, &'a Arc<Resource>>,
    missing: Vec<ResourceKey>,
}

/// Prints the resources.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(kind) = args.kind {
        args.namespaces.check(kind)?;
    }
    let configuration = args.configuration.load(args.directory.as_deref());
    let datastore = Datastore::of(&configuration)?;
    let written = args
        .namespaces
        .place(documents(&read_all(&args.filename)?)?)?;
    let wanted = designated(written, &datastore, "looked for")?;
    let of_files = wanted.iter().map(|wanted| wanted.key.kind);
    let mut kinds = args.kind.into_iter().chain(of_files);
    let interfaces = if kinds.any(|kind| kind == Kind::HostEndpoint) {
        local_links()?
    } else {
        Vec::new()
    };
    let (snapshot, store) = datastore.contents()?;
    let offline = Offline::compute(snapshot, configuration, Interfaces::Exactly(interfaces))?;
    let Found { there, missing } = match args.kind {
        Some(kind) => of_kind(args, kind, &offline),
        None => of_files_among(&wanted, &offline),
    };
    if let (Some(kind), Some(name), true) = (args.kind, &args.name, there.is_empty()) {
        anyhow::bail!("no {kind} `{name}` in {datastore}");
    }
    let statuses = Statuses::of(&offline);
    let values = || {
        let value = |(key, resource): (&&ResourceKey, &&Arc<Resource>)| {
            let status = statuses.value(key);
            document(&store, key, resource, status.as_ref())
        };
        let mut values: Vec<Value> = there.iter().map(value).collect();
        // One that was asked for stands for itself.
        let alone = args.name.is_some() || wanted.len() == 1;
        match values.pop() {
            Some(last) if alone && values.is_empty() => last,
            last => {
                values.extend(last);
                show::list(args.kind, &values)
            }
        }
    };
    output::data(&match args.output {
        Format::Table => tables(args.kind, &there, &statuses),
        Format::Json => output::json(&values()),
        Format::Yaml => output::yaml(&values()),
    })?;
    for key in &missing {
        output::note(format_args!("resource does not exist: {key}"));
    }
    Ok(if missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns the resources of a kind that the arguments ask for.
fn of_kind<'a>(args: &Args, kind: Kind, offline: &'a Offline) -> Found<'a> {
    let is_wanted = |(key, _): &(&ResourceKey, &Arc<Resource>)| {
        let named = |name: &String| kinds::is_named(key, name);
        key.kind == kind && args.namespaces.contain(key) && args.name.as_ref().is_none_or(named)
    };
    Found {
        there: offline.resources.iter().filter(is_wanted).collect(),
        missing: Vec::new(),
    }
}

/// Returns the resources that files name, in the form in which they are there.
fn of_files_among<'a>(wanted: &[Designated], offline: &'a Offline) -> Found<'a> {
    let mut found = Found {
        there: BTreeMap::new(),
        missing: Vec::new(),
    };
    for Designated { key, v1, .. } in wanted {
        let v1 = || offline.resources.get_key_value(v1.as_ref()?);
        match offline.resources.get_key_value(key).or_else(v1) {
            Some((key, resource)) => drop(found.there.insert(key, resource)),
            None => found.missing.push(key.clone()),
        }
    }
    found
}

/// Returns the tables of resources, one for each kind; that of the kind that is asked for may be empty.
fn tables(
    kind: Option<Kind>,
    there: &BTreeMap<&ResourceKey, &Arc<Resource>>,
    statuses: &Statuses,
) -> String {
    let mut tables: BTreeMap<Kind, Table> =
        kind.into_iter().map(|kind| (kind, table(kind))).collect();
    for (key, resource) in there {
        let table = tables.entry(key.kind).or_insert_with(|| table(key.kind));
        table.push(row(key, resource, statuses));
    }
    let texts: Vec<String> = tables.values().map(ToString::to_string).collect();
    texts.join("\n")
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
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        metadata.insert("resourceVersion".to_owned(), Value::String(version));
    }
    match key.form {
        Form::V3 => show::put(&mut fields, "status", status),
        // It knows none.
        Form::V1 => {}
    }
    Value::Object(fields)
}
