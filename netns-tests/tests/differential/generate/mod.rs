//! Random resources from a world so small that they meet.
//!
//! A state has a place for each of some dozens of resources, the slots; each is empty or holds a document.
//! The next state has a few of them made anew, emptied, or changed in one part.

mod endpoint;
mod policy;
mod rule;
mod state;
mod words;

pub(crate) use state::{Slot, State};
pub(crate) use words::NODE;
