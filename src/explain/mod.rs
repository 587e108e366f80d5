//! The `explain` room: what becomes of one packet on one host, and which resource decides it.
//!
//! In: resources, interfaces with their addresses, the settings that bear on policy, and a [`Packet`]. Out: a
//! [`Journey`], hook by hook, with the verdict and what decided it; or a [`Connection`], a request with its reply.
//!
//! It is written from the description of Calico's policy, slow and plain, and shares nothing with what is rendered,
//! so that the two can be compared: it holds no tables, and asks every selector of every endpoint for each packet.
//!
//! May touch: `model`, `net`, `selector`, `ipnet`. Absent: `calc`, `render`, nftables, I/O, time.

mod chain;
mod connection;
mod facts;
mod host;
mod journey;
mod packet;
mod path;
mod rule;
mod settings;
mod tiers;
mod words;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use host::Host;
pub use journey::{
    BuiltIn, Encapsulation, Hook, Journey, LoggedBy, Outcome, Reason, RuleSource, Step, Verdict,
};
pub use packet::{ConntrackState, Content, Packet};
pub use settings::{
    DenyAction, Failsafe, FloatingAddresses, FromWorkloads, NeighborDiscovery, OpenStack, Settings,
    SourceSpoofing, ToHostAction,
};
