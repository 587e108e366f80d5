//! Documents of resources, handed in by a client and kept in files or in etcd.

mod complete;
mod contents;
mod directory;
mod documents;
mod edit;
mod error;
mod name;
mod place;
mod session;

pub use contents::Stored;
pub use directory::{DirectorySession, DirectoryStore};
pub use documents::{Written, read_documents, resource_files, write_yaml};
pub use error::StoreError;
pub use session::{Document, Session, Store};

pub(super) use complete::{complete, tier_of};
