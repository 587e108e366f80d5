//! What the files of a directory hold, as it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::documents::{Written, read_documents};
use crate::datastore::error::Error;
use crate::datastore::load::problem_of;
use crate::datastore::scan::{Reading, Stamp, read, walk};
use crate::model::{Place, Problem, ResourceKey, Severity};

/// How many bytes of a digest are shown: enough that no two states of a resource share them.
const DIGEST_BYTES: usize = 8;

/// A resource as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Where it stands.
    pub place: &'a Place,
    /// The document.
    pub document: &'a Map<String, Json>,
    pub(super) path: &'a Arc<Path>,
    /// Its place among the resources of the file.
    pub(super) index: usize,
}

impl Stored<'_> {
    /// Returns what changes whenever the resource does.
    pub fn version(&self) -> String {
        version(self.document)
    }
}

/// Returns the version of a document, which says nothing of a version itself.
fn version(document: &Map<String, Json>) -> String {
    // Maps are sorted, so that the order of fields does not matter.
    digest(Json::Object(bare(document.clone())).to_string().as_bytes())
}

/// Removes what a client adds to a document that it shows.
pub(in crate::datastore) fn bare(mut document: Map<String, Json>) -> Map<String, Json> {
    document.remove("status");
    if let Some(Json::Object(metadata)) = document.get_mut("metadata") {
        metadata.remove("resourceVersion");
    }
    document
}

/// Returns a short digest in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let shown = digest.iter().take(DIGEST_BYTES);
    let digits: Vec<String> = shown.map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// One file.
#[derive(Debug)]
pub(super) struct FileContents {
    pub(super) text: String,
    pub(super) stamp: Stamp,
    pub(super) written: Vec<Written>,
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<Arc<Path>, FileContents>,
    holders: BTreeMap<ResourceKey, BTreeSet<Arc<Path>>>,
    /// What could not be read.
    problems: Vec<Problem>,
}

impl Contents {
    /// Reads all files of a directory.
    ///
    /// # Errors
    /// Fails where the directory cannot be listed.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let found = walk(root, &mut |_| {}).map_err(|source| Error::ListDirectory {
            path: root.to_owned(),
            source,
        })?;
        let mut contents = Self::default();
        for (path, reason) in found.failed {
            let problem = problem_of(&path, 1, reason, Severity::Rejected);
            contents.problems.push(problem);
        }
        for path in found.files.into_keys() {
            contents.load(&path);
        }
        Ok(contents)
    }

    /// Reads a file again.
    pub(super) fn load(&mut self, path: &Arc<Path>) {
        let before = self.files.remove(path).into_iter();
        for key in before
            .flat_map(|file| file.written)
            .filter_map(|written| written.key)
        {
            if let Some(holders) = self.holders.get_mut(&key) {
                holders.remove(path);
            }
        }
        let mut fail = |line, reason| {
            let problem = problem_of(path, line, reason, Severity::Rejected);
            self.problems.push(problem);
        };
        let (bytes, stamp) = match read(path) {
            Reading::Gone => return,
            Reading::Failed(reason) => return fail(1, reason),
            Reading::Bytes(bytes, stamp) => (bytes, stamp),
        };
        let written = match read_documents(&path.to_string_lossy(), &bytes) {
            Ok(written) => written,
            Err(error) => return fail(error.line, format!("cannot be parsed: {}", error.reason)),
        };
        for key in written.iter().filter_map(|written| written.key.as_ref()) {
            let holders = self.holders.entry(key.clone()).or_default();
            holders.insert(path.clone());
        }
        let file = FileContents {
            // What has been parsed is UTF-8.
            text: String::from_utf8(bytes).unwrap_or_default(),
            stamp,
            written,
        };
        self.files.insert(path.clone(), file);
    }

    /// Returns a file.
    pub(super) fn file(&self, path: &Path) -> Option<&FileContents> {
        self.files.get(path)
    }

    /// Returns every definition of a resource, the one in force first.
    pub(super) fn find(&self, key: &ResourceKey) -> Vec<Stored<'_>> {
        let paths = self.holders.get(key).into_iter().flatten();
        let files = paths.filter_map(|path| self.files.get_key_value(path));
        files
            .flat_map(|(path, file)| {
                let all = file.written.iter().enumerate();
                let same = all.filter(|(_, written)| written.key.as_ref() == Some(key));
                same.map(move |(index, written)| Stored {
                    place: &written.place,
                    document: &written.document,
                    path,
                    index,
                })
            })
            .collect()
    }

    /// Returns the keys that are defined.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ResourceKey> {
        let held = self.holders.iter().filter(|(_, paths)| !paths.is_empty());
        held.map(|(key, _)| key)
    }

    /// Returns what could not be read.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
