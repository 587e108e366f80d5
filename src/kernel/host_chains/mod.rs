//! The base chains of the host's own firewall, which can drop what policy accepted.
//!
//! In: the mark that accepted packets carry. Out: which chains of other tables drop by default, and the command
//! that makes each accept the mark; our one rule at the head of the chains of `iptables-nft`, where that is
//! wanted. May touch: the netfilter socket. Absent: any change of what is not our rule; reading the rules of
//! chains that pass by default, save those of `iptables-nft`.

mod acceptance;
mod advice;
mod chain;
mod ensure;
mod rules;
mod survey;

pub(super) use acceptance::accepts;
pub use advice::{Accepted, Advice, Drops, Remedy, advice};
pub use chain::{HostChain, HostFamily, HostPolicy};
pub use ensure::{Change, HostChains, HostFirewall, Place, Report, Wanted};
pub(super) use survey::{each_rule, host_chain};
