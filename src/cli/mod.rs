//! The `cli` room: what is typed, and what is printed.
//!
//! In: the arguments, the name that the program was invoked by, a terminal's answer. Out: data on stdout,
//! everything else on stderr, an exit code. May touch: every room, stdin, stdout, stderr. Absent: rules about
//! policy; `check`, `render` and `diff` ask the same pure rooms as the daemon.

mod check;
mod columns;
mod command;
mod confirm;
mod convert;
mod datastore;
mod designated;
mod diff;
mod explain;
mod explain_show;
mod failure;
mod flush;
mod get;
mod input;
mod kinds;
mod namespace;
pub mod offline;
mod output;
mod render;
mod run;
mod show;
mod show_rule;
mod status;
mod takeover;
mod version;
mod write;

pub use command::main;
pub use failure::Failure;
