//! Errors of the room.

use std::io;
use std::path::PathBuf;

/// Why a datastore cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of resources cannot be listed.
    #[error("list the resource directory `{}`", .path.display())]
    ListDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that connecting needs cannot be read.
    #[error("read `{}`", .path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A member of etcd cannot be connected to.
    #[error("connect to {url}")]
    Connect {
        /// The member.
        url: String,
        /// What went wrong.
        #[source]
        source: tonic::transport::Error,
    },
    /// A member of etcd has not answered in time.
    #[error("{url} has not answered within {seconds} s")]
    Silent {
        /// The member.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A member of etcd has refused something.
    #[error("{url}: {reason}")]
    Refused {
        /// The member.
        url: String,
        /// Why.
        reason: String,
    },
    /// No member of etcd can be used.
    #[error("no member of etcd can be used: {}", .0.join("; "))]
    NoMember(Vec<String>),
    /// What talks to etcd cannot be started.
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    /// The system gives no random bytes.
    #[error("read `/dev/urandom`")]
    Random(#[source] io::Error),
}
