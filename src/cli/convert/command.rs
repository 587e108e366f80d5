//! The command.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::super::input::{FileArgs, Input, documents};
use super::super::{check, output};
use super::resource::Converted;
use super::{dump, keys, merge, resource};
use crate::datastore::Written;
use crate::model::{Place, Severity};

/// Put resources of the v1 form into v3 form.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tortie convert -f v1.yaml > v3.yaml
  etcdctl get --prefix /calico/v1 -w json | tortie convert -f -
  curl http://localhost:2379/v2/keys/calico/v1?recursive=true | tortie convert -f -

A file holds resources in YAML or JSON, what etcdctl or etcd's v2 interface prints, or lines of KEY and VALUE.
Nothing is written into a datastore. What has another meaning in v3 form is told on stderr.
Exit codes: 0 where everything was converted, else 1, and then nothing is printed.")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

/// The form in which resources are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// YAML documents.
    Yaml,
    /// A list in JSON.
    Json,
}

/// Remarks about what is converted.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    lines: Vec<String>,
    /// How many of them keep the rest from being of use.
    fatal: usize,
}

impl Remarks {
    /// Says what is lost or has another meaning.
    pub(super) fn warn(&mut self, about: impl fmt::Display, text: impl fmt::Display) {
        self.lines.push(format!("warning: {about}: {text}"));
    }

    /// Says what cannot be converted.
    pub(super) fn reject(&mut self, about: impl fmt::Display, text: impl fmt::Display) {
        self.lines.push(format!("{about}: {text}"));
        self.fatal += 1;
    }

    /// Prints them.
    ///
    /// # Errors
    /// Fails where they keep the rest from being of use.
    fn tell(&self) -> anyhow::Result<()> {
        for line in &self.lines {
            output::note(format_args!("{line}"));
        }
        if self.fatal > 0 {
            anyhow::bail!("{} cannot be converted", self.fatal);
        }
        Ok(())
    }

    /// Says what is wrong with a resource; where it cannot be taken, `false` is returned.
    pub(super) fn check(&mut self, written: &Written) -> bool {
        for problem in &written.problems {
            let text = check::line(problem);
            match problem.severity {
                Severity::Rejected => self.lines.push(text.trim_end().to_owned()),
                Severity::Warning => self.lines.push(format!("warning: {}", text.trim_end())),
            }
        }
        let rejected = written.is_rejected();
        self.fatal += usize::from(rejected);
        !rejected
    }
}

/// Prints the resources in v3 form.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut remarks = Remarks::default();
    let converted = convert(&args.files.read()?, &mut remarks)?;
    remarks.tell()?;
    let converted: Vec<Value> = converted.into_iter().map(|each| each.document).collect();
    output::data(&match args.output {
        Format::Yaml => {
            let texts: Vec<String> = converted.iter().map(output::yaml).collect();
            texts.join("---\n")
        }
        Format::Json => output::json(&json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "List",
            "items": converted,
        })),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Puts resources that are all right into v3 form, if there are any of the v1 form, and says what differs.
///
/// # Errors
/// Fails where one has no v3 form.
pub(in crate::cli) fn into_v3(all: Vec<Written>) -> anyhow::Result<Vec<Written>> {
    if !all.iter().any(Written::is_v1) {
        return Ok(all);
    }
    let mut remarks = Remarks::default();
    let converted = resource::convert(&all, &mut remarks);
    remarks.tell()?;
    let written = |mut each: Converted| {
        if let (Some(Value::Object(metadata)), false) =
            (each.document.get_mut("metadata"), each.version.is_empty())
        {
            metadata.insert("resourceVersion".to_owned(), json!(each.version));
        }
        let mut written = Written::from_json(&each.document, &each.place)?;
        written.converted = each.from;
        Ok(written)
    };
    converted.into_iter().map(written).collect()
}

/// Returns what files hold in v3 form, in an order in which it can be created.
pub(super) fn convert(inputs: &[Input], remarks: &mut Remarks) -> anyhow::Result<Vec<Converted>> {
    let mut written = Vec::new();
    for input in inputs {
        match dump::entries(&input.bytes) {
            Some(entries) => {
                for (key, document) in keys::documents(&entries, remarks) {
                    let place = Place::Key(Arc::from(key.as_str()));
                    match Written::from_json(&document, &place) {
                        Ok(document) => written.push(document),
                        Err(error) => remarks.reject(key, error),
                    }
                }
            }
            None => written.extend(documents(std::slice::from_ref(input))?),
        }
    }
    written.retain(|written| remarks.check(written));
    let written = merge::merge(written, remarks);
    Ok(resource::convert(&written, remarks))
}
