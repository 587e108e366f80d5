//! From a file to its resources: all that can be done without knowing the other files.

use std::collections::BTreeMap;
use std::iter;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::decode::{Decoded, Origin, decode_file};
use super::scan::{Reading, Stamp, read};
use crate::model::{Place, Problem, Severity};

/// How many files make it worth while to share them among threads.
const MANY: usize = 64;
/// How many files a thread takes at a time.
const SHARE: usize = 8;
/// How many threads share them at most.
const MAX_THREADS: usize = 4;

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
    let all = |paths: &[Arc<Path>]| -> Vec<Loaded> {
        paths.iter().map(|path| load(path, origin)).collect()
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS);
    if paths.len() < MANY || threads == 1 {
        return all(paths);
    }
    // Files differ in size, so that each thread takes a few more when it has done the last ones.
    let left = Mutex::new(paths.chunks(SHARE).enumerate());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> BTreeMap<usize, Vec<Loaded>> {
        iter::from_fn(next)
            .map(|(place, share)| (place, all(share)))
            .collect()
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work();
        let joined = others.into_iter().filter_map(|other| other.join().ok());
        done.extend(joined.flatten());
        done
    });
    paths
        .chunks(SHARE)
        .enumerate()
        // What a thread took and did not finish is done here.
        .flat_map(|(place, share)| done.remove(&place).unwrap_or_else(|| all(share)))
        .collect()
}
