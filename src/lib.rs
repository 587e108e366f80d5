//! tortie enforces Calico network policy on a Linux host by programming nftables over netlink.
//!
//! ```text
//! datastore ─┐
//! links ─────┼─> agent loop ─> calc ─> changes ─> render ─> objects ─> plans ─> transactions
//! config ────┘                                                           ^          │
//!                                                    observed state ─────┴── kernel <┘
//! ```
//!
//! Pure rooms (no I/O, no clock, no async): [`selector`], [`model`], [`calc`], [`explain`], [`nft`], [`render`] and
//! [`config`] save its `load` file. Edges: [`datastore`], [`links`], [`routes`], [`netlink`], [`kernel`],
//! [`telemetry`], [`monitor`], [`status`], [`last_good`], [`agent`], [`cli`].

pub mod agent;
pub mod calc;
pub mod cli;
pub mod config;
pub mod datastore;
pub mod explain;
pub mod kernel;
pub mod last_good;
pub mod links;
pub mod model;
pub mod monitor;
pub mod net;
pub mod netlink;
pub mod nft;
pub mod render;
pub mod routes;
pub mod selector;
pub mod status;
pub mod telemetry;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
