//! A directory of files that a client writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Map, Value as Json};

use super::complete::{complete, tier_of};
use super::contents::{Contents, Stored};
use super::documents::{Written, write_yaml};
use super::edit::edit;
use super::error::StoreError;
use super::name::file_name;
use super::place::{make, remove, rewrite};
use crate::datastore::error::Error;
use crate::datastore::scan::stamp;
use crate::model::{DEFAULT_TIER, Kind, Problem, ResourceKey};

/// How long another client is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether that client is done.
const LOOK: Duration = Duration::from_millis(20);

/// A directory of resource files that is read as it was written.
#[derive(Debug)]
pub struct DirectoryStore {
    contents: Contents,
}

impl DirectoryStore {
    /// Reads a directory.
    ///
    /// # Errors
    /// Fails where it cannot be listed.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let contents = Contents::read(root)?;
        Ok(Self { contents })
    }

    /// Returns the definition of a resource that is in force.
    pub fn get(&self, key: &ResourceKey) -> Option<Stored<'_>> {
        self.contents.find(key).into_iter().next()
    }
}

/// A directory of resource files that one client may write.
#[derive(Debug)]
pub struct DirectorySession {
    root: PathBuf,
    contents: Contents,
    /// Ends with the session.
    _lock: Flock<File>,
}

impl DirectorySession {
    /// Locks a directory and reads it; another client is waited for.
    ///
    /// # Errors
    /// Fails where it cannot be locked or read.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let lock = lock(root)?;
        Ok(Self {
            root: root.to_owned(),
            contents: Contents::read(root)?,
            _lock: lock,
        })
    }

    /// Returns what could not be read.
    pub fn problems(&self) -> &[Problem] {
        self.contents.problems()
    }

    /// Returns the keys of the resources that are there.
    pub fn keys(&self) -> impl Iterator<Item = &ResourceKey> {
        self.contents.keys()
    }

    /// Tells whether a resource is there.
    pub fn has(&self, key: &ResourceKey) -> bool {
        !self.contents.find(key).is_empty()
    }

    /// Writes a resource that is not there; `now` is the time in the form of RFC 3339.
    ///
    /// # Errors
    /// Fails where it is, or it cannot be written.
    pub fn create(&mut self, written: &Written, now: &str) -> Result<(), StoreError> {
        let key = written.key()?;
        if !written.version().is_empty() {
            return Err(StoreError::VersionGiven(key.clone()));
        }
        if let Some(stored) = self.contents.find(key).first() {
            return Err(StoreError::Exists {
                key: key.clone(),
                place: stored.place.clone(),
            });
        }
        self.check_tier(key, written)?;
        let text = write_yaml(&Json::Object(completed(written, Some(now))?));
        let path: Arc<Path> = self.root.join(file_name(key)).into();
        make(&path, &text).map_err(|source| StoreError::Write {
            path: path.to_path_buf(),
            source,
        })?;
        self.contents.load(&path);
        Ok(())
    }

    /// Writes a resource in the place of what is there.
    ///
    /// # Errors
    /// Fails where it is not, where it has changed since the version that `written` was made from, or where it
    /// cannot be written.
    pub fn replace(&mut self, written: &Written) -> Result<(), StoreError> {
        let key = written.key()?;
        let stored = self.only(key)?;
        same_version(key, &stored, written.version())?;
        let metadata = stored.document.get("metadata");
        let created = metadata.and_then(|metadata| metadata.get("creationTimestamp"));
        let document = completed(written, created.and_then(Json::as_str))?;
        self.change(key, Some(&document))
    }

    /// Removes a resource, which must have a version unless that is empty.
    ///
    /// # Errors
    /// Fails where it is not there, has another version, or cannot be removed alone.
    pub fn delete(&mut self, key: &ResourceKey, version: &str) -> Result<(), StoreError> {
        same_version(key, &self.only(key)?, version)?;
        self.change(key, None)
    }

    /// Changes a resource where it stands.
    fn change(
        &mut self,
        key: &ResourceKey,
        document: Option<&Map<String, Json>>,
    ) -> Result<(), StoreError> {
        let stored = self.only(key)?;
        let path = stored.path.clone();
        let entangled = |reason| StoreError::Entangled {
            key: key.clone(),
            path: path.to_path_buf(),
            reason,
        };
        let failed = |source| StoreError::Write {
            path: path.to_path_buf(),
            source,
        };
        if path.is_symlink() {
            return Err(entangled("that is a symbolic link"));
        }
        let Some(file) = self.contents.file(&path) else {
            return Err(StoreError::Absent(key.clone()));
        };
        let is_json = path.extension().is_some_and(|end| end == "json");
        let new = document.map(|document| {
            let value = Json::Object(document.clone());
            let text = if is_json && file.written.len() == 1 {
                format!("{value:#}\n")
            } else {
                write_yaml(&value)
            };
            (text, document)
        });
        let new = new
            .as_ref()
            .map(|(text, document)| (text.as_str(), *document));
        let text = edit(&file.text, stored.index, new).map_err(entangled)?;
        if stamp(&path) != Some(file.stamp) {
            return Err(entangled("that has just been changed by somebody else"));
        }
        match text {
            Some(text) => rewrite(&path, &text),
            None => remove(&path),
        }
        .map_err(failed)?;
        self.contents.load(&path);
        Ok(())
    }

    /// Returns the definition of a resource, if it has one alone.
    fn only(&self, key: &ResourceKey) -> Result<Stored<'_>, StoreError> {
        match self.contents.find(key).as_slice() {
            [] => Err(StoreError::Absent(key.clone())),
            [only] => Ok(*only),
            [first, second, ..] => Err(StoreError::Several {
                key: key.clone(),
                first: first.place.clone(),
                second: second.place.clone(),
            }),
        }
    }

    fn check_tier(&self, key: &ResourceKey, written: &Written) -> Result<(), StoreError> {
        let Some(tier) = tier_of(key, &written.document) else {
            return Ok(());
        };
        // As in every datastore of Calico, the default tier needs no resource.
        if tier == DEFAULT_TIER || self.has(&ResourceKey::v3(Kind::Tier, "", tier)) {
            return Ok(());
        }
        Err(StoreError::NoTier {
            key: key.clone(),
            tier: tier.to_owned(),
        })
    }
}

fn completed(written: &Written, created: Option<&str>) -> Result<Map<String, Json>, StoreError> {
    Ok(complete(
        &written.document,
        written.key()?,
        written.value()?,
        created,
    ))
}

/// Demands that a resource is the one that a change was made from.
fn same_version(key: &ResourceKey, stored: &Stored<'_>, given: &str) -> Result<(), StoreError> {
    let version = stored.version();
    if given.is_empty() || given == version {
        return Ok(());
    }
    Err(StoreError::Conflict {
        key: key.clone(),
        version,
    })
}

fn lock(root: &Path) -> Result<Flock<File>, StoreError> {
    let failed = |source| StoreError::Lock {
        path: root.to_owned(),
        source,
    };
    let mut file = File::open(root).map_err(failed)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= end => {
                return Err(StoreError::Busy(root.to_owned()));
            }
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, error)) => return Err(failed(error.into())),
        }
        thread::sleep(LOOK);
    }
}
