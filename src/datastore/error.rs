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
}
