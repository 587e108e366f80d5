//! What can go wrong when logging is set up.

use std::io;
use std::path::PathBuf;

/// Why logging could not be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory of the log file is missing and could not be made.
    #[error("create the directory `{path}` for the log file")]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The log file could not be opened.
    #[error("open the log file `{path}`")]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A thread that writes could not be started.
    #[error("start a thread that writes the log")]
    Thread(#[source] io::Error),
    /// Logging has been set up before.
    #[error("logging is set up already")]
    Installed(#[source] tracing::subscriber::SetGlobalDefaultError),
}
