//! Files that commands are handed.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::check::line;
use super::output;
use crate::config::{self, ConfigProblem, felix_configuration_problems};
use crate::datastore::{self, MAX_FILE_SIZE, Written, read_documents};
use crate::model::{Problem, Resource, Severity};

/// What stands for standard input.
const STDIN: &str = "-";

/// The files of a command.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// A file of resources, a directory of such files, or `-` for standard input; may be given again
    #[arg(short, long, value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
}

/// A file that has been read.
#[derive(Debug)]
pub(super) struct Input {
    /// What it is shown as.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl FileArgs {
    /// Reads the files, those of directories in the order of their names.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Input>> {
        read_all(&self.filename)
    }
}

/// Reads files and directories.
pub(super) fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN {
            let mut bytes = Vec::new();
            let mut stdin = io::stdin().lock().take(MAX_FILE_SIZE + 1);
            stdin
                .read_to_end(&mut bytes)
                .context("read standard input")?;
            let name = "standard input".to_owned();
            inputs.push(Input { name, bytes });
        } else if path.is_dir() {
            let within = datastore::resource_files(path)
                .with_context(|| format!("list the directory `{}`", path.display()))?;
            for path in within {
                inputs.push(read(&path)?);
            }
        } else {
            inputs.push(read(path)?);
        }
    }
    Ok(inputs)
}

fn read(path: &Path) -> anyhow::Result<Input> {
    let bytes = std::fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
    let name = path.display().to_string();
    Ok(Input { name, bytes })
}

/// Returns the resources of files.
pub(super) fn documents(inputs: &[Input]) -> anyhow::Result<Vec<Written>> {
    let mut written = Vec::new();
    for Input { name, bytes } in inputs {
        let found = read_documents(name, bytes).map_err(|error| {
            anyhow::anyhow!("{name}:{}: cannot be parsed: {}", error.line, error.reason)
        })?;
        written.extend(found);
    }
    Ok(written)
}

/// Adds to a resource that is to be written what is wrong with the configuration in it, so that none is written that the
/// daemon refuses.
pub(super) fn judge(written: &mut Written) {
    let Some(Resource::FelixConfiguration(felix)) = written.value.as_deref() else {
        return;
    };
    let problems = felix_configuration_problems(&felix.spec, &felix.annotations);
    let problem = |problem: ConfigProblem| {
        let severity = match problem.severity {
            // Without effect, and harmless.
            config::Severity::Note => return None,
            config::Severity::Warning => Severity::Warning,
            config::Severity::Error | config::Severity::Fatal => Severity::Rejected,
        };
        Some(Problem {
            place: written.place.clone(),
            object: written.key.clone(),
            field: problem.subject.unwrap_or_default(),
            reason: problem.reason,
            severity,
        })
    };
    let problems: Vec<Problem> = problems.into_iter().filter_map(problem).collect();
    written.problems.extend(problems);
}

/// Says on stderr what is wrong with resources, and returns how many cannot be taken.
pub(super) fn complain<'a>(written: impl IntoIterator<Item = &'a Written>) -> usize {
    let mut rejected = 0;
    for written in written {
        for problem in &written.problems {
            let label = match problem.severity {
                Severity::Rejected => "",
                Severity::Warning => "warning: ",
            };
            output::note(format_args!("{label}{}", line(problem).trim_end()));
        }
        if written.is_rejected() {
            rejected += 1;
        } else if written.value.is_none() && written.problems.is_empty() {
            let (place, kind) = (&written.place, written.kind());
            output::note(format_args!(
                "{place}: a {kind} has no effect on policy, and is not kept here"
            ));
            rejected += 1;
        }
    }
    rejected
}
