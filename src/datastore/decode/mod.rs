//! Resources in Calico's two forms, from documents to the model.

mod cluster;
mod host;
mod kinds;
mod meta;
mod policy;
mod profile;
mod resource;
mod rule;
mod set;
mod value;
mod workload;

pub use resource::{Decoded, Located, Origin, Skipped, decode_documents, decode_file};

pub(super) use resource::resources;

use crate::model::Form;

/// What decoding depends on besides the document.
#[derive(Debug, Clone, Copy)]
struct Context {
    form: Form,
    origin: Origin,
}
