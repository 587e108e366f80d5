//! The `links` room: the network interfaces of this namespace and their addresses, now.
//!
//! In: what the kernel says over rtnetlink. Out: [`LinkEvent`]s, each a batch of [`LinkChange`]s keyed by
//! interface name, and [`snapshot`] for commands that look once.
//! May touch: `net`, `netlink`, rtnetlink's packet crates, tokio. `table`, `dump` and `decode` are pure.
//! Absent: interface indices in what goes out, writes to the kernel, policy, and any knowledge of which
//! interface matters.

mod decode;
mod dump;
mod error;
/// What a fuzzer puts in.
#[cfg(fuzzing)]
pub mod fuzzing;
mod socket;
mod table;
mod watch;

pub use error::LinkError;
pub use table::{InterfaceAddress, Link, LinkChange, LinkFact, LinkState, LinkTable};
pub use watch::{LinkEvent, LinkWatch, snapshot};
