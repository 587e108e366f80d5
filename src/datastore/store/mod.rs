//! Documents of resources, handed in by a client and kept in files.

mod complete;
mod contents;
mod directory;
mod documents;
mod edit;
mod name;
mod place;

pub use contents::Stored;
pub use directory::{Session, Store, StoreError};
pub use documents::{Written, read_documents, resource_files, write_yaml};
