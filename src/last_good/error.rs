//! Why the file is not written, or is of no use.

use std::io;

/// Writing the file failed; the one before it, if any, is still there.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Its directory cannot be made.
    #[error("make its directory")]
    Directory(#[source] io::Error),
    /// The file that is to take its place cannot be made.
    #[error("make a file beside it")]
    Create(#[source] io::Error),
    /// A resource cannot be written down.
    #[error("write down a resource")]
    Encode(#[source] serde_json::Error),
    /// There is no room for what is to be written, or no way to write it.
    #[error("write it")]
    Write(#[source] io::Error),
    /// It does not reach the disk, or not its place.
    #[error("put it in its place")]
    Settle(#[source] io::Error),
}

/// The file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("read it")]
    Read(#[source] io::Error),
    /// It is a directory, a device or the like.
    #[error("it is no file")]
    Kind,
    /// Others may have written to it, or may read it.
    #[error(
        "it belongs to user {owner} and has mode {mode:04o}: others than this user may have access to it"
    )]
    Open {
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// It is larger than any that is written.
    #[error("it is larger than {most} bytes")]
    Large {
        /// The most that is read.
        most: u64,
    },
    /// It does not begin as such a file does.
    #[error("it does not begin as such a file does")]
    Foreign,
    /// Another release wrote it.
    #[error("it has form {found} and this release reads form {read} alone")]
    Form {
        /// Its form.
        found: String,
        /// The form that is read.
        read: u32,
    },
    /// A line is not what it should be.
    #[error("line {line} cannot be read")]
    Line {
        /// The line.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Its end is missing.
    #[error("it ends too early")]
    Short,
    /// It is not as it was written.
    #[error("its checksum is another")]
    Checksum,
    /// It is of another host.
    #[error("it is of the host {found:?}")]
    Host {
        /// That host.
        found: String,
    },
    /// It comes from another kind of datastore.
    #[error("it comes from the datastore {found:?}")]
    Datastore {
        /// That datastore.
        found: String,
    },
}
