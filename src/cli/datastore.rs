//! The datastore that a command works on.

use std::fmt;
use std::path::{Path, PathBuf};

use super::offline::OfflineError;
use super::output;
use crate::agent::{Configuration, etcd_settings};
use crate::config::DatastoreKind;
use crate::datastore::{
    DirectorySession, DirectoryStore, EtcdContents, EtcdSession, EtcdSettings, Session, Snapshot,
    Store, StoreError, read_directory,
};

/// A datastore.
#[derive(Debug, Clone)]
pub(super) enum Datastore {
    /// A directory of files.
    Directory(PathBuf),
    /// An etcd cluster.
    Etcd(EtcdSettings),
}

impl Datastore {
    /// Returns the one that the configuration names.
    ///
    /// # Errors
    /// Fails where it cannot be used.
    pub(super) fn of(configuration: &Configuration) -> anyhow::Result<Self> {
        let config = configuration.config();
        match config.datastore.kind {
            DatastoreKind::Directory => Ok(Self::Directory(config.datastore.path.clone())),
            DatastoreKind::Etcd => {
                let resolution = configuration.resolution();
                if resolution.fatal {
                    let problems = resolution.problems.clone();
                    return Err(OfflineError::Configuration(problems).into());
                }
                Ok(Self::Etcd(etcd_settings(config)))
            }
            DatastoreKind::Kubernetes => anyhow::bail!(
                "DatastoreType is {}, which is not supported: name a directory with --directory",
                config.datastore.kind
            ),
        }
    }

    /// Reads the resources, at one moment where it is a cluster.
    ///
    /// # Errors
    /// Fails where they cannot be read.
    pub(super) fn snapshot(&self) -> Result<Snapshot, OfflineError> {
        match self {
            Self::Directory(path) => read_directory(path),
            Self::Etcd(settings) => {
                EtcdContents::read(settings).map(|contents| contents.snapshot().clone())
            }
        }
        .map_err(OfflineError::Read)
    }

    /// Reads the resources as they were understood, and as they were written.
    ///
    /// # Errors
    /// Fails where they cannot be read.
    pub(super) fn contents(&self) -> Result<(Snapshot, Store), OfflineError> {
        let read = |path: &Path| {
            let snapshot = read_directory(path)?;
            let store = DirectoryStore::read(path)?;
            Ok((snapshot, Store::Directory(store)))
        };
        match self {
            Self::Directory(path) => read(path),
            Self::Etcd(settings) => EtcdContents::read(settings)
                .map(|contents| (contents.snapshot().clone(), Store::Etcd(contents))),
        }
        .map_err(OfflineError::Read)
    }

    /// Opens it for changes.
    ///
    /// # Errors
    /// Fails where it cannot be read, or another client has it for itself.
    pub(super) fn session(&self) -> Result<Session, StoreError> {
        match self {
            Self::Directory(path) => DirectorySession::open(path).map(Session::Directory),
            Self::Etcd(settings) => {
                EtcdSession::open(settings).map(|session| Session::Etcd(Box::new(session)))
            }
        }
    }
}

impl fmt::Display for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Etcd(settings) => write!(f, "etcd at {}", settings.endpoints.join(", ")),
        }
    }
}

/// Says that the daemon would enforce nothing new, where the datastore does not say that it may be used.
pub(super) fn warn_unready(configuration: &Configuration) {
    if configuration.datastore_refuses() {
        output::note(format_args!(
            "warning: the datastore does not say that it is ready: the daemon changes nothing until it does"
        ));
    }
}
