//! The `routes` room: what makes an address of a workload reachable through its interface.
//!
//! In: by interface name, the [`Wiring`] that a workload wants, and [`Settings`]. Out: routes of both families,
//! static neighbours, settings of the interface below `/proc/sys`, and an [`Event`] for each interface that says
//! what came of it. Connections of an address that leaves an interface are forgotten before the address is
//! routed anew. May touch: `net`, `netlink`, rtnetlink, ctnetlink, `/proc/sys`, tokio. `observed`, `ours`, `plan`,
//! `pace`, `wire` and `decode` are pure.
//! Absent: policy, which is in the kernel before a wiring is told; the choice of what a workload's addresses
//! are; routes between hosts.

mod conntrack;
mod decode;
mod dump;
mod error;
mod follow;
/// What a fuzzer puts in.
#[cfg(fuzzing)]
pub mod fuzzing;
mod handle;
mod observed;
mod ours;
mod pace;
mod plan;
mod request;
mod settings;
mod socket;
mod sysctl;
mod wire;
mod worker;

pub use error::RouteError;
pub use handle::{Events, Handle, start};
pub use settings::{
    Event, ExternalRoutes, Forwarding, Ipv6, Outcome, Settings, SpoofedSources, Wiring,
};
