//! What Felix, which polices no more, has left in this network namespace.
//!
//! In: the mark that our accepted packets carry. Out: Felix's own tables, its chains and rules in the tables of
//! `iptables-nft`, and their removal by one transaction; the tables of `iptables-legacy` and the sets of `ipset`,
//! and the commands for them; whether a Felix lives. May touch: the netfilter socket, `/proc`, `/sys/module`.
//! Absent: any change of what others made, also where it leads to a chain of Felix's; our own table.

mod elsewhere;
mod felix;
mod found;
mod historic;
mod names;
mod remove;
mod survey;

pub use elsewhere::{Elsewhere, elsewhere};
pub use felix::live_felix;
pub use found::{ChainFate, FelixChain, FelixRule, FelixTable, Held, Leftovers, SharedTable};
pub use remove::FelixLeftovers;
