//! The `datastore` room: resources as they are stored, read into the model.
//!
//! In: files under a directory, or the keys of an etcd cluster; documents to be written. Out: batches of
//! updates of checked resources, and what is wrong with the rest; files and values. May touch: files, inotify,
//! connections to etcd and a thread for them, the clock of the runtime. Absent: what resources mean together, what is
//! enforced, and the network interfaces of this host.

mod decode;
mod directory;
mod document;
mod error;
mod etcd;
mod field;
mod files;
mod load;
mod scan;
mod share;
mod source;
mod store;
mod validate;
mod watch;

#[cfg(test)]
mod tests;

pub use decode::{Decoded, Located, Origin, Skipped, decode_documents, decode_file};
pub use directory::{Batch, DirectorySource, Event, Snapshot, read_directory};
pub use document::{DocumentError, Entry, MAX_FILE_SIZE, Node, Style, Value};
pub use error::Error;
/// What a fuzzer puts in.
#[cfg(fuzzing)]
pub use etcd::fuzzing;
pub use etcd::{
    EtcdContents, EtcdLogin, EtcdSession, EtcdSettings, EtcdSource, EtcdTls, EtcdWriter, Page, Pair,
};
pub use source::Source;
pub use store::{
    DirectorySession, DirectoryStore, Document, Session, Store, StoreError, Stored, Written,
    read_documents, resource_files, write_yaml,
};
