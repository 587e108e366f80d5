//! An etcd cluster as a datastore.
//!
//! `keys`, `v1`, `values`, `fold`, `contents` and `stored` are pure: from keys and values to resources and what changed
//! of them, and back. `source` follows the cluster on a thread of its own; `client` and `session` are for commands.

mod client;
mod connection;
mod contents;
mod fold;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keys;
mod line;
mod point;
mod session;
mod settings;
mod snapshot;
mod source;
mod stored;
mod v1;
mod values;
mod writer;

#[cfg(test)]
mod tests;

pub use contents::EtcdContents;
pub use session::EtcdSession;
pub use settings::{EtcdLogin, EtcdSettings, EtcdTls};
pub use source::EtcdSource;
pub use writer::{EtcdWriter, Page, Pair};
