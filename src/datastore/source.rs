//! Whichever datastore the configuration names.

use super::directory::{DirectorySource, Event};
use super::etcd::EtcdSource;

/// A datastore that is followed.
#[derive(Debug)]
pub enum Source {
    /// A directory of files.
    Directory(Box<DirectorySource>),
    /// An etcd cluster.
    Etcd(EtcdSource),
}

impl Source {
    /// Waits for the next event; nothing is lost where the wait is given up.
    pub async fn next(&mut self) -> Event {
        match self {
            Self::Directory(source) => source.next().await,
            Self::Etcd(source) => source.next().await,
        }
    }

    /// Returns the datastore's name, as a reason for what is applied.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::Etcd(_) => "etcd",
        }
    }

    /// Has everything read again that the connection was made from.
    pub fn reload(&self) {
        match self {
            Self::Directory(_) => {}
            Self::Etcd(source) => source.reload(),
        }
    }
}
