//! What Felix, which polices no more, has left in this network namespace.
//!
//! In: the name of our table. Out: Felix's own tables, its chains and rules in the tables of `iptables-nft`, and their
//! removal by one transaction; what would be without policy then, and which chains would drop what policy accepts;
//! the tables of `iptables-legacy` and the sets of `ipset`, and the commands for them; whether a Felix lives. May
//! touch: the netfilter socket, `/proc`, `/sys/module`. Absent: any change of what others made, also where it leads to
//! a chain of Felix's, and of our own table, which is only read.

mod elsewhere;
mod felix;
mod found;
mod historic;
mod names;
mod ours;
mod passage;
mod policed;
mod remove;
mod rule;
mod survey;

pub use elsewhere::{Elsewhere, elsewhere};
pub use felix::{FelixSeen, live_felix};
pub use found::{
    ChainFate, Despite, FelixChain, FelixRule, FelixTable, Held, Leftovers, SharedTable,
};
pub use policed::Unpoliced;
pub use remove::FelixLeftovers;
