//! The `last_good` room: the resources that were in force last, kept in a file for a start without a datastore.
//!
//! In: the resources whose policy is in force, as they change; the file of an earlier process. Out: the file; what it
//! holds, or why it is of no use. May touch: that file and its directory, the clock, a thread for them. Absent: whether
//! what it holds is to be enforced, and anything that holds up the loop.

mod error;
mod file;
mod keeper;

pub use error::{KeepError, ReadError};
pub use file::{Host, Kept, Resources, read, write};
pub use keeper::Keeper;
