//! `tortie check`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::offline::{Interfaces, Offline};
use super::output::{self, Format};
use super::run::ConfigArgs;
use super::show::{Fields, put};
use crate::config::{self, ConfigProblem};
use crate::model::{Place, Problem, Severity};

/// Say what is wrong with the resources in a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tortie check ./resources --hostname my-host

Interfaces are taken to be as the host's endpoints expect them: nothing is asked of the kernel.
Exit codes: 0 where nothing is wrong, 1 where something is, 2 where it could not be found out.")]
pub(super) struct Args {
    /// The directory of resources
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The host whose endpoints are looked at, instead of this one
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Prints the problems.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut configuration = args.configuration.load(None);
    if let Some(hostname) = &args.hostname {
        configuration.set_hostname(hostname);
    }
    let offline = Offline::of_directory(&args.directory, configuration, Interfaces::Expected)?;
    let values = || {
        let resources = offline.problems.iter().map(value);
        resources
            .chain(offline.config_problems.iter().map(config_value))
            .collect()
    };
    output::data(&match args.output {
        Format::Table => {
            let resources = offline.problems.iter().map(line);
            let configuration = offline.config_problems.iter().map(config_line);
            resources.chain(configuration).collect()
        }
        Format::Json => output::json(&Value::Array(values())),
        Format::Yaml => output::yaml(&Value::Array(values())),
    })?;
    let of_config = offline
        .config_problems
        .iter()
        .filter(|problem| counts(problem));
    let count = offline.problems.len() + of_config.count();
    if count == 0 {
        let resources = offline.resources.len();
        output::note(format_args!(
            "no problems in {}",
            plural(resources, "resource")
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let rejected = offline
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Rejected);
    let rejected = rejected.count();
    output::note(format_args!(
        "{}, of which {rejected} {} a resource or file count as absent",
        plural(count, "problem"),
        if rejected == 1 { "makes" } else { "make" },
    ));
    Ok(ExitCode::FAILURE)
}

/// Tells whether a problem is more than a note.
pub(super) fn counts(problem: &ConfigProblem) -> bool {
    match problem.severity {
        config::Severity::Note => false,
        config::Severity::Warning | config::Severity::Error | config::Severity::Fatal => true,
    }
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// Returns a problem in a line; what a selector's caret needs follows in lines of its own.
pub(super) fn line(problem: &Problem) -> String {
    let mut text = match &problem.place {
        Place::File { .. } | Place::Key(_) => format!("{}: ", problem.place),
        Place::Calculated => String::new(),
    };
    if let Some(object) = &problem.object {
        text.push_str(&object.to_string());
        text.push_str(": ");
    }
    if !problem.field.is_empty() {
        text.push_str(&problem.field);
        text.push_str(": ");
    }
    text.push_str(&problem.reason.replace('\n', "\n    "));
    text.push('\n');
    text
}

fn config_line(problem: &ConfigProblem) -> String {
    format!("{}: {problem}\n", problem.severity)
}

fn value(problem: &Problem) -> Value {
    let mut fields = Fields::new();
    match &problem.place {
        Place::File { path, line } => {
            fields.insert("file".to_owned(), json!(&**path));
            fields.insert("line".to_owned(), json!(line));
        }
        Place::Key(key) => {
            fields.insert("key".to_owned(), json!(&**key));
        }
        Place::Calculated => {}
    }
    put(
        &mut fields,
        "object",
        problem.object.as_ref().map(ToString::to_string).as_ref(),
    );
    let field = Some(&problem.field).filter(|field| !field.is_empty());
    put(&mut fields, "field", field);
    fields.insert("reason".to_owned(), json!(problem.reason));
    let severity = match problem.severity {
        Severity::Warning => "warning",
        Severity::Rejected => "rejected",
    };
    fields.insert("severity".to_owned(), json!(severity));
    Value::Object(fields)
}

fn config_value(problem: &ConfigProblem) -> Value {
    let mut fields = Fields::new();
    put(&mut fields, "option", problem.subject.as_ref());
    fields.insert("place".to_owned(), json!(problem.place));
    fields.insert("reason".to_owned(), json!(problem.reason));
    fields.insert("severity".to_owned(), json!(problem.severity.to_string()));
    Value::Object(fields)
}
