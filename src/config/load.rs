//! Reads the sources on this host: the configuration file, the environment, the kernel's hostname.
//!
//! The only file of the room that touches anything outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::ini::{self, LARGEST_FILE};
use super::layers::{DetectedHostname, HostnameSource, Layers};
use super::problem::{ConfigProblem, Severity, quoted};

/// Reads what this host says; the datastore's layers are left empty.
///
/// A missing file is fine. Whatever cannot be read is a problem in [`Layers::problems`].
pub fn load(config_file: &Path) -> Layers {
    let mut layers = Layers {
        file_path: config_file.display().to_string(),
        ..Layers::default()
    };
    read_file(config_file, &mut layers);
    let variables = environment(&mut layers.problems);
    layers.set_environment(&variables);
    layers.hostname = hostname(&variables);
    layers.missing_files = layers
        .required_files()
        .into_iter()
        .filter_map(|path| {
            let error = std::fs::metadata(&path).err()?;
            Some((path, error.to_string()))
        })
        .collect();
    layers
}

fn read_file(path: &Path, layers: &mut Layers) {
    let place = format!("configuration file {}", layers.file_path);
    let mut report = |severity, line: Option<usize>, reason: String| {
        layers.problems.push(ConfigProblem {
            severity,
            subject: line.map(|line| format!("line {line}")),
            place: place.clone(),
            reason,
        });
    };
    let bytes = match contents(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            report(Severity::Fatal, None, format!("cannot be read: {error}"));
            return;
        }
    };
    if bytes.len() > LARGEST_FILE {
        report(
            Severity::Fatal,
            None,
            format!("larger than {LARGEST_FILE} bytes"),
        );
        return;
    }
    let parsed = ini::parse(&bytes);
    for (line, reason) in parsed.errors {
        report(Severity::Fatal, Some(line), reason);
    }
    for (line, name) in parsed.duplicates {
        let first = name.split_whitespace().next().unwrap_or_default();
        let reason = format!("{} is set again; the last value counts", quoted(first));
        report(Severity::Warning, Some(line), reason);
    }
    layers.file = parsed.values;
}

/// Reads a file, one byte more than the largest at most.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the environment; a variable that is not UTF-8 is reported if it is one of ours.
fn environment(problems: &mut Vec<ConfigProblem>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if let Ok(value) = value.into_string() {
            variables.insert(name, value);
            continue;
        }
        let upper = name.to_ascii_uppercase();
        if upper.starts_with("FELIX_") || upper.starts_with("TORTIE_") {
            problems.push(ConfigProblem {
                severity: Severity::Fatal,
                subject: None,
                place: format!("environment variable {name}"),
                reason: "not UTF-8".to_owned(),
            });
        }
    }
    variables
}

fn hostname(variables: &BTreeMap<String, String>) -> DetectedHostname {
    let kernel = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    match kernel {
        Some(name) if !name.trim().is_empty() => {
            DetectedHostname::new(&name, HostnameSource::Kernel)
        }
        Some(_) | None => DetectedHostname::new(
            variables.get("HOSTNAME").map_or("", String::as_str),
            HostnameSource::Variable,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(name: &str, contents: &[u8]) -> Layers {
        let path =
            std::env::temp_dir().join(format!("tortie-config-{}-{name}", std::process::id()));
        std::fs::write(&path, contents).unwrap();
        let layers = load(&path);
        std::fs::remove_file(&path).unwrap();
        layers
    }

    fn file_problems(layers: &Layers) -> Vec<String> {
        let of_file = |problem: &&ConfigProblem| problem.place.starts_with("configuration file");
        layers
            .problems
            .iter()
            .filter(of_file)
            .map(|problem| {
                let subject = problem.subject.as_deref().unwrap_or("all");
                format!("{} {subject}: {}", problem.severity, problem.reason)
            })
            .collect()
    }

    #[test]
    fn a_file_is_read_and_its_bad_lines_are_numbered() {
        let layers = loaded(
            "lines",
            b"[global]\nLogPrefix = x\nnonsense\nlogprefix = y\n",
        );
        assert_eq!(
            layers.file,
            BTreeMap::from([("logprefix".to_owned(), "y".to_owned())])
        );
        assert_eq!(
            file_problems(&layers),
            [
                "fatal line 3: the line is not of the form NAME = VALUE",
                "warning line 4: `logprefix` is set again; the last value counts",
            ]
        );
    }

    #[test]
    fn a_password_is_never_told() {
        let text = b"EtcdPassword hunter2\n= hunter2\nhunter2\n[hunter2\nEtcdPassword hunter2=x\n";
        let layers = loaded("password", text);
        assert_eq!(
            file_problems(&layers),
            [
                "fatal line 1: the line that begins with `EtcdPassword` is not of the form NAME = VALUE",
                "fatal line 2: a value without a name",
                "fatal line 3: the line is not of the form NAME = VALUE",
                "fatal line 4: a section without a closing bracket",
            ]
        );
        let told = crate::config::resolve(&layers, None).problems;
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert!(!told.join("\n").contains("hunter2"), "{told:?}");
    }

    #[test]
    fn a_missing_file_is_fine_and_a_directory_is_not() {
        let missing = load(Path::new("/nonexistent/felix.cfg"));
        assert_eq!(file_problems(&missing), Vec::<String>::new());
        let directory = load(&std::env::temp_dir());
        assert!(file_problems(&directory)[0].starts_with("fatal all: cannot be read"));
    }

    #[test]
    fn a_huge_file_is_refused() {
        let layers = loaded("huge", &vec![b'#'; LARGEST_FILE + 1]);
        assert_eq!(
            file_problems(&layers),
            ["fatal all: larger than 1048576 bytes"]
        );
    }

    #[test]
    fn files_that_options_name_are_looked_for() {
        let layers = loaded(
            "files",
            b"EtcdKeyFile = /nonexistent/key\nEtcdCaFile = /\nLogFilePath=/x\n",
        );
        let missing: Vec<_> = layers.missing_files.keys().map(String::as_str).collect();
        assert_eq!(missing, ["/nonexistent/key"]);
    }

    #[test]
    fn a_detected_hostname_is_lower_case_and_trimmed() {
        let layers = load(Path::new("/nonexistent/felix.cfg"));
        assert!(!layers.hostname.name.is_empty());
        assert_eq!(
            DetectedHostname::new(" Node1\n", HostnameSource::Kernel).name,
            "node1"
        );
    }
}
