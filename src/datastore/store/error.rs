//! Why a client does not write.

use std::io;
use std::path::PathBuf;

use crate::datastore::error::Error;
use crate::model::{Place, ResourceKey};

/// Why a resource was not written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// The directory cannot be locked.
    #[error("lock the directory `{}`", .path.display())]
    Lock {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another client has it locked.
    #[error("another client is writing into `{}`", .0.display())]
    Busy(PathBuf),
    /// There is such a resource.
    #[error("resource already exists: {key}, at {place}")]
    Exists {
        /// The resource.
        key: ResourceKey,
        /// Where.
        place: Place,
    },
    /// There is no such resource.
    #[error("resource does not exist: {0}")]
    Absent(ResourceKey),
    /// What is to be created says which state of it it was made from.
    #[error("{0}: metadata.resourceVersion: must not be set for what is created")]
    VersionGiven(ResourceKey),
    /// The resource is not what the change was made from.
    #[error("update conflict: {key} has changed: its resourceVersion is {version}")]
    Conflict {
        /// The resource.
        key: ResourceKey,
        /// Its version.
        version: String,
    },
    /// The resource is defined more than once.
    #[error("{key} is defined at {first} and at {second}: remove one of them by hand")]
    Several {
        /// The resource.
        key: ResourceKey,
        /// The definition in force.
        first: Place,
        /// The next one.
        second: Place,
    },
    /// A policy's tier is not there.
    #[error("{key}: tier `{tier}` does not exist: create it first")]
    NoTier {
        /// The policy.
        key: ResourceKey,
        /// Its tier.
        tier: String,
    },
    /// The resource is not whole.
    #[error("{0} is not a valid resource")]
    Invalid(Place),
    /// The resource cannot be changed alone.
    #[error("{key} stands in `{}`, and {reason}: change that file by hand", .path.display())]
    Entangled {
        /// The resource.
        key: ResourceKey,
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The file cannot be written.
    #[error("write `{}`", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The version is none that the datastore gives.
    #[error("{key}: metadata.resourceVersion: `{version}` is no revision of etcd")]
    NoRevision {
        /// The resource.
        key: ResourceKey,
        /// The version.
        version: String,
    },
    /// The resource is not for clients to change.
    #[error("{key}: {reason}")]
    Protected {
        /// The resource.
        key: ResourceKey,
        /// Why.
        reason: String,
    },
    /// The resource changes again and again.
    #[error("{0} is being changed by others: it was not written")]
    Contested(ResourceKey),
    /// The cluster cannot be reached, or does not answer.
    #[error("reach etcd")]
    Cluster(#[source] Error),
    /// The cluster has not said what is there.
    #[error("look up {key}")]
    Unread {
        /// The resource.
        key: ResourceKey,
        /// Why.
        source: Error,
    },
    /// The cluster has refused the change.
    #[error("change {key}")]
    Refused {
        /// The resource.
        key: ResourceKey,
        /// Why.
        source: Error,
    },
    /// The cluster has not answered.
    #[error("change {key}, which may have been done all the same")]
    Unanswered {
        /// The resource.
        key: ResourceKey,
        /// What was waited for.
        source: Error,
    },
}

impl StoreError {
    /// Tells whether the datastore itself does not answer, so that nothing else will be done either.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Unanswered { .. } => true,
            Self::Cluster(source) | Self::Unread { source, .. } => {
                matches!(source, Error::Silent { .. })
            }
            Self::Read(_)
            | Self::Lock { .. }
            | Self::Busy(_)
            | Self::Exists { .. }
            | Self::Absent(_)
            | Self::VersionGiven(_)
            | Self::Conflict { .. }
            | Self::Several { .. }
            | Self::NoTier { .. }
            | Self::Invalid(_)
            | Self::Entangled { .. }
            | Self::Write { .. }
            | Self::NoRevision { .. }
            | Self::Protected { .. }
            | Self::Contested(_)
            | Self::Refused { .. } => false,
        }
    }
}
