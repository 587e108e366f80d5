//! The `status` room: what the datastore and the network plugin are told of this host and its endpoints.
//!
//! In: the endpoints of this host as the kernel was told of them, interfaces that come up and go down, and
//! [`Settings`]. Out: Felix's status keys in etcd, and a file for each workload endpoint that is up. May touch:
//! `calc`, `datastore`, `model`, `net`, `telemetry`; etcd and the directory of status files, each from a thread of
//! its own; the clock. `facts`, `keys`, `ledger`, `process` and `file` are pure.
//! Absent: anything that whoever enforces policy waits for; what was merely read and is not in the kernel.

mod complaints;
mod facts;
mod file;
mod files;
mod handle;
mod keys;
mod ledger;
mod process;
mod reporter;
mod settings;

#[cfg(test)]
mod tests;

pub use facts::{Carrier, Endpoint, Facts, Status, Wiring};
pub use handle::Handle;
pub use settings::{ProcessSettings, Settings};
