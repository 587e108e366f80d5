//! `tortie create`, `apply`, `replace` and `delete`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use super::check::line;
use super::convert::into_v3;
use super::datastore::Datastore;
use super::designated::{Designated, designated};
use super::input::{FileArgs, complain, documents, judge, read_all};
use super::namespace::{check, is_within, put_into};
use super::run::ConfigArgs;
use super::{kinds, output};
use crate::datastore::{Session, StoreError, Written};
use crate::model::{Kind, ResourceKey};

/// Write resources that are not there yet.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tortie create -f policy.yaml
  generate-policy | tortie create -f - --directory ./resources

All resources are checked before the first is written. Exit codes: 0 where all were written, else 1.")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Take resources that are there for written
    #[arg(long)]
    skip_exists: bool,
    #[command(flatten)]
    target: Target,
}

/// Write resources, whether they are there or not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tortie apply -f ./policies

A metadata.resourceVersion, as `tortie get -o yaml` shows it, must be that of the resource as it is.
All resources are checked before the first is written. Exit codes: 0 where all were written, else 1.")]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    target: Target,
}

/// Write resources in the place of those that are there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tortie get gnp allow-ssh -o yaml > policy.yaml
  tortie replace -f policy.yaml

A metadata.resourceVersion must be that of the resource as it is: what has changed meanwhile is not overwritten.
All resources are checked before the first is written. Exit codes: 0 where all were written, else 1.")]
pub(super) struct ReplaceArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    target: Target,
}

/// Remove resources.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tortie delete gnp allow-ssh allow-web
  tortie delete -f policy.yaml --skip-not-exists

Exit codes: 0 where all were removed, else 1.")]
pub(super) struct DeleteArgs {
    /// The kind of resource
    #[arg(value_name = "KIND", value_parser = kinds::parse, requires = "names", required_unless_present = "filename", conflicts_with = "filename")]
    kind: Option<Kind>,
    /// The resources, as NAME or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// A file of resources, a directory of such files, or `-` for standard input; may be given again
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Take resources that are not there for removed
    #[arg(long)]
    skip_not_exists: bool,
    #[command(flatten)]
    target: Target,
}

/// Where resources are written.
#[derive(Debug, clap::Args)]
struct Target {
    /// The namespace of resources that name none; `default` without it
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The directory of resources, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    configuration: ConfigArgs,
}

impl Target {
    fn datastore(&self) -> anyhow::Result<Datastore> {
        Datastore::of(&self.configuration.load(self.directory.as_deref()))
    }

    /// Puts documents into the namespace that is wanted.
    fn place(&self, written: Vec<Written>) -> anyhow::Result<Vec<Written>> {
        put_into(written, self.namespace.as_deref())
    }

    /// Opens the datastore for changes.
    fn open(datastore: &Datastore) -> anyhow::Result<Session> {
        let session = datastore.session()?;
        for problem in session.problems() {
            let text = line(problem);
            let text = text.trim_end();
            output::note(format_args!("warning: {text}: what it holds is not known"));
        }
        Ok(session)
    }
}

/// Writes what is not there.
pub(super) fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let create =
        |session: &mut Session, written: &Written, now: &str| match session.create(written, now) {
            Err(StoreError::Exists { .. }) if args.skip_exists => Ok(()),
            result => result,
        };
    write(&args.files, &args.target, "create", create)
}

/// Writes whether it is there or not.
pub(super) fn apply(args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    write(&args.files, &args.target, "apply", Session::apply)
}

/// Writes what is there.
pub(super) fn replace(args: &ReplaceArgs) -> anyhow::Result<ExitCode> {
    write(&args.files, &args.target, "replace", Session::replace)
}

/// Returns the time as resources write it.
fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn write(
    files: &FileArgs,
    target: &Target,
    action: &str,
    mut write: impl FnMut(&mut Session, &Written, &str) -> Result<(), StoreError>,
) -> anyhow::Result<ExitCode> {
    let mut wanted = target.place(documents(&files.read()?)?)?;
    wanted.iter_mut().for_each(judge);
    let rejected = complain(&wanted);
    if rejected > 0 {
        anyhow::bail!(
            "nothing was written: {rejected} of {} cannot be taken",
            wanted.len()
        );
    }
    let datastore = target.datastore()?;
    let wanted = match &datastore {
        Datastore::Directory(_) => wanted,
        Datastore::Etcd(_) => into_v3(wanted)?,
    };
    let mut session = Target::open(&datastore)?;
    let now = now();
    if let Err(error) = session.prepare(&now) {
        // Who may not write that may be allowed to write the rest.
        let error = chain(&error);
        output::note(format_args!(
            "warning: it cannot be made sure that the datastore is ready: {error}"
        ));
    }
    let mut tally = Tally::new(
        action,
        wanted.iter().map(|written| written.kind().to_owned()),
    );
    for written in &wanted {
        tally.count(write(&mut session, written, &now));
        if tally.is_lost() {
            break;
        }
    }
    tally.tell()
}

/// Removes a resource, in the form in which it is there.
fn remove(session: &mut Session, doomed: &Designated) -> Result<(), StoreError> {
    let Designated { key, v1, version } = doomed;
    match (session.delete(key, version), v1) {
        (Err(StoreError::Absent(_)), Some(v1)) => session.delete(v1, version),
        (result, _) => result,
    }
}

/// Removes resources.
pub(super) fn delete(args: &DeleteArgs) -> anyhow::Result<ExitCode> {
    let namespace = args.target.namespace.as_deref();
    let datastore = args.target.datastore()?;
    let (doomed, mut session) = if let Some(kind) = args.kind {
        check(kind, namespace)?;
        let session = Target::open(&datastore)?;
        let there = session.keys()?;
        let names = args.names.iter();
        let keys = names.map(|name| named(&there, kind, name, namespace).map(Designated::from));
        (keys.collect::<anyhow::Result<Vec<_>>>()?, session)
    } else {
        let written = args.target.place(documents(&read_all(&args.filename)?)?)?;
        let doomed = designated(written, &datastore, "removed")?;
        (doomed, Target::open(&datastore)?)
    };
    let kinds = doomed.iter().map(|doomed| doomed.key.kind.to_string());
    let mut tally = Tally::new("delete", kinds);
    for doomed in &doomed {
        tally.count(match remove(&mut session, doomed) {
            Err(StoreError::Absent(_)) if args.skip_not_exists => Ok(()),
            result => result,
        });
        if tally.is_lost() {
            break;
        }
    }
    tally.tell()
}

/// Returns the key of the resource that a name stands for.
fn named(
    there: &[ResourceKey],
    kind: Kind,
    name: &str,
    namespace: Option<&str>,
) -> anyhow::Result<ResourceKey> {
    let is_it = |key: &&ResourceKey| {
        key.kind == kind && is_within(key, namespace) && kinds::is_named(key, name)
    };
    let found: Vec<&ResourceKey> = there.iter().filter(is_it).collect();
    match found.as_slice() {
        [] => {
            let (namespace, name) = match name.split_once('/') {
                Some((namespace, name)) if kind.is_namespaced() => (namespace, name),
                Some(_) | None => (namespace.unwrap_or_default(), name),
            };
            Ok(ResourceKey::v3(kind, namespace, name))
        }
        [only] => Ok((*only).clone()),
        [first, second, ..] => anyhow::bail!(
            "`{name}` may be {first} or {second}: name its namespace or node, or use -f"
        ),
    }
}

/// Returns an error with its causes.
fn chain(error: &StoreError) -> String {
    let error = anyhow::Chain::new(error).map(ToString::to_string);
    error.collect::<Vec<_>>().join(": ")
}

/// What became of resources, told as calicoctl tells it.
struct Tally<'a> {
    action: &'a str,
    kinds: BTreeSet<String>,
    total: usize,
    done: usize,
    errors: Vec<StoreError>,
}

impl<'a> Tally<'a> {
    fn new(action: &'a str, kinds: impl Iterator<Item = String>) -> Self {
        let mut total = 0;
        let kinds = kinds.inspect(|_| total += 1).collect();
        Self {
            action,
            kinds,
            total,
            done: 0,
            errors: Vec::new(),
        }
    }

    /// Tells whether the datastore itself has fallen silent, so that nothing more can be done.
    fn is_lost(&self) -> bool {
        self.errors.last().is_some_and(StoreError::is_silence)
    }

    fn count(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => self.done += 1,
            Err(error) => self.errors.push(error),
        }
    }

    /// Says what became of them.
    fn tell(self) -> anyhow::Result<ExitCode> {
        let Self {
            action,
            kinds,
            total,
            done,
            errors,
        } = self;
        let kind = match kinds.into_iter().collect::<Vec<_>>().as_slice() {
            [only] => format!(" '{only}'"),
            _ => String::new(),
        };
        let past = match action {
            "apply" => "applied".to_owned(),
            _ => format!("{action}d"),
        };
        for error in &errors {
            output::note(format_args!("{}", chain(error)));
        }
        if total == 0 {
            output::data("No resources specified\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        if errors.is_empty() {
            output::data(&format!("Successfully {past} {done}{kind} resource(s)\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if done > 0 {
            output::data(&format!(
                "Partial success: {past} {done} of {total}{kind} resources\n"
            ))?;
        } else if total == 1 {
            output::note(format_args!("Failed to {action}{kind} resource"));
        } else {
            output::note(format_args!("Failed to {action} any{kind} resources"));
        }
        Ok(ExitCode::FAILURE)
    }
}
