//! The `kernel` room.

mod encode;
mod subject;

pub use encode::{Batch, EncodeError, Target};
pub use subject::Subject;
