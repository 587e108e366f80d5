//! An etcd cluster as a datastore.
//!
//! `keys`, `v1`, `values` and `fold` are pure: from keys and values to resources and what changed of them. The
//! other files talk to etcd, on a thread of their own.

mod connection;
mod fold;
mod keys;
mod line;
mod point;
mod settings;
mod snapshot;
mod source;
mod v1;
mod values;

#[cfg(test)]
mod tests;

pub use settings::{EtcdLogin, EtcdSettings, EtcdTls};
pub use source::EtcdSource;
