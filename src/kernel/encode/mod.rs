//! Messages of `nf_tables`: a plan in, one batch of bytes out.
//!
//! Pure: no socket is touched here. Absent: reading what the kernel says.

mod batch;
pub(in crate::kernel) mod bound;
pub(in crate::kernel) mod buffer;
pub(in crate::kernel) mod consts;
pub(in crate::kernel) mod exprs;
pub(in crate::kernel) mod host_rule;
mod nat;
pub(in crate::kernel) mod object;
pub(in crate::kernel) mod removal;
pub(in crate::kernel) mod sets;
mod text;

pub use batch::{Batch, EncodeError, Target};
