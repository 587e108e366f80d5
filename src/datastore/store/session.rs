//! Whichever datastore a client reads or writes.

use serde_json::{Map, Value as Json};

use super::directory::{DirectorySession, DirectoryStore};
use super::documents::Written;
use super::error::StoreError;
use crate::datastore::etcd::{EtcdContents, EtcdSession};
use crate::model::{Problem, ResourceKey};

/// A resource as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its fields.
    pub fields: Map<String, Json>,
    /// What changes whenever the resource does.
    pub version: String,
}

/// A datastore that is read as it was written.
#[derive(Debug)]
pub enum Store {
    /// A directory of files.
    Directory(DirectoryStore),
    /// An etcd cluster, at one revision.
    Etcd(EtcdContents),
}

impl Store {
    /// Returns a resource as it was written, if it was written in a form of its own.
    pub fn document(&self, key: &ResourceKey) -> Option<Document> {
        match self {
            Self::Directory(directory) => directory.get(key).map(|stored| Document {
                fields: stored.document.clone(),
                version: stored.version(),
            }),
            Self::Etcd(contents) => contents.document(key),
        }
    }
}

/// A datastore that is written.
#[derive(Debug)]
pub enum Session {
    /// A directory of files, locked.
    Directory(DirectorySession),
    /// An etcd cluster.
    Etcd(Box<EtcdSession>),
}

impl Session {
    /// Has a new datastore say what the programs that use it wait for, as calicoctl does before it writes.
    ///
    /// # Errors
    /// Fails where that cannot be written.
    pub fn prepare(&mut self, now: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(_) => Ok(()),
            Self::Etcd(session) => session.prepare(now),
        }
    }

    /// Returns what could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Directory(session) => session.problems(),
            Self::Etcd(_) => &[],
        }
    }

    /// Returns the keys of the resources that are there.
    ///
    /// # Errors
    /// Fails where they cannot be read.
    pub fn keys(&self) -> Result<Vec<ResourceKey>, StoreError> {
        match self {
            Self::Directory(session) => Ok(session.keys().cloned().collect()),
            Self::Etcd(session) => session.keys(),
        }
    }

    /// Writes a resource that is not there; `now` is the time in the form of RFC 3339.
    ///
    /// # Errors
    /// Fails where it is, or it cannot be written.
    pub fn create(&mut self, written: &Written, now: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(session) => session.create(written, now),
            Self::Etcd(session) => session.create(written, now),
        }
    }

    /// Writes a resource in the place of what is there.
    ///
    /// # Errors
    /// Fails where it is not, where it has changed since the version that `written` was made from, or where it
    /// cannot be written.
    pub fn replace(&mut self, written: &Written, now: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(session) => session.replace(written),
            Self::Etcd(session) => session.replace(written, now),
        }
    }

    /// Writes a resource, whether it is there or not.
    ///
    /// # Errors
    /// Fails as [`Session::create`] and [`Session::replace`] do.
    pub fn apply(&mut self, written: &Written, now: &str) -> Result<(), StoreError> {
        match self.replace(written, now) {
            // What is no longer there has no version.
            Err(StoreError::Absent(_)) => self.create(&written.unversioned(), now),
            result => result,
        }
    }

    /// Removes a resource, which must have a version unless that is empty.
    ///
    /// # Errors
    /// Fails where it is not there, has another version, or cannot be removed.
    pub fn delete(&mut self, key: &ResourceKey, version: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(session) => session.delete(key, version),
            Self::Etcd(session) => session.delete(key, version),
        }
    }
}
