//! The `agent` room: one loop that moves values between the other rooms and owns time.
//!
//! In: events of the datastore, the links, the kernel's writer and signals. Out: transactions, log lines,
//! an exit code. May touch: every room. Absent: decisions about policy; every one of them is made in a pure
//! room, and this one only knows when to ask.

mod cause;
mod census;
mod configuration;
mod denials;
mod draft;
mod drift;
mod enforcer;
mod exit;
mod firewall;
mod guard;
mod inquest;
mod last_good;
mod observer;
mod pace;
mod retry;
mod rounds;
mod run;
mod search;
mod signals;
mod start;
mod statuses;
mod supervisor;
mod takeover;
mod tallies;
mod translate;
mod writer;

pub use configuration::Configuration;
pub use denials::{Aftermath, DenialNews};
pub use draft::plans_of_a_start;
pub use enforcer::{Enforcer, Step, Stuck, Weighed, WorkloadChanges};
pub use exit::ExitReason;
pub use last_good::LAST_GOOD_FILE;
pub use start::run;
pub use statuses::Gate;
pub use translate::{
    accepted, calc_settings, etcd_settings, explain_settings, log_settings, monitor_patience,
    monitor_settings, render_settings, routes_settings, status_settings, wiring, writer_settings,
};

#[cfg(test)]
mod tests;
