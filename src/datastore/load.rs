//! From a file to its resources: all that can be done without knowing the other files.

use std::path::Path;
use std::sync::Arc;

use super::decode::{Decoded, Origin, decode_file};
use super::scan::{Reading, Stamp, read};
use super::share::share;
use crate::model::{Place, Problem, Severity};

/// What came of loading a file.
#[derive(Debug)]
pub(super) enum Loaded {
    /// It was read, and these are its resources.
    Decoded(Stamp, Decoded),
    /// It was there, and this is why it says nothing; without a stamp it has not been read.
    Failed(Option<Stamp>, Problem),
    /// There is no such file.
    Gone,
}

/// Returns a problem of a whole file or directory.
pub(super) fn problem_of(path: &Path, line: usize, reason: String, severity: Severity) -> Problem {
    let path: Arc<str> = path.to_string_lossy().into();
    Problem {
        place: Place::File {
            path,
            line: line.max(1),
        },
        object: None,
        field: String::new(),
        reason,
        severity,
    }
}

/// Loads a file.
pub(super) fn load(path: &Path, origin: Origin) -> Loaded {
    let failed = |stamp, line, reason, severity| {
        Loaded::Failed(stamp, problem_of(path, line, reason, severity))
    };
    match read(path) {
        Reading::Gone => Loaded::Gone,
        Reading::Failed(reason) => failed(None, 1, reason, Severity::Rejected),
        Reading::Bytes(bytes, stamp) if bytes.is_empty() => {
            let reason = "the file is empty, as one that is half-written".to_owned();
            failed(Some(stamp), 1, reason, Severity::Warning)
        }
        Reading::Bytes(bytes, stamp) => {
            match decode_file(&path.to_string_lossy(), &bytes, origin) {
                Ok(decoded) => Loaded::Decoded(stamp, decoded),
                Err(error) => {
                    let reason = format!("cannot be parsed: {}", error.reason);
                    failed(Some(stamp), error.line, reason, Severity::Rejected)
                }
            }
        }
    }
}

/// Loads files, and returns what came of each in the same order.
pub(super) fn load_all(paths: &[Arc<Path>], origin: Origin) -> Vec<Loaded> {
    share(paths, |path| load(path, origin))
}
