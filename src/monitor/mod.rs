//! The `monitor` room: what health checks and metrics collectors are answered.
//!
//! In: facts that the agent notes on a [`Board`], [`Counters`] to read when a collector asks, and [`Settings`]. Out:
//! answers over HTTP. May touch: TCP sockets, the files of certificates, what `/proc` tells of this process, the
//! clock. Absent: every other room, and anything that could hold up whoever notes a fact.

mod board;
mod body;
mod counting;
mod exposition;
mod health;
mod metrics;
mod process;
mod server;
mod settings;
mod summary;
mod tls;

pub use board::{Board, Cluster, Datastore, Enforced, Facts, Failure, Resync, Round};
pub use counting::{Counters, Owner, Tally};
pub use server::{Monitor, MonitorError};
pub use settings::{
    ClientAuth, HealthSettings, Listen, MetricsSettings, Patience, Settings, Tls, outlasts,
};
