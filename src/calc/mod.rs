//! The `calc` room: facts in, what each local endpoint must enforce out.
//!
//! In: resources one by one, links and addresses, the few settings that decide what is local. Out:
//! [`Changes`], keyed, of exactly what differs since they were last taken, and who stands in whose way. May
//! touch: `model`, `selector`, `net`, `ipnet`, `regex-lite` (patterns of interface names). Absent: nftables,
//! I/O, time; a change costs what it touches, not what exists.

mod active;
mod binding;
mod changes;
mod compile;
mod label_index;
mod labels;
mod lookup;
mod order;
mod pools;
mod prefixes;
mod required;
mod sets;
mod settings;
mod slab;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod tracker;
mod workloads;

pub use changes::{
    AdminState, Changes, EndpointId, EndpointPolicies, LocalChanges, MatchRule, Member, Members,
    NatPools, PolicyId, PolicyLists, SetChange, SetId, SetMembers, SetSize, SideMatch,
    TierPolicies, WorkloadInterface,
};
pub use compile::{ActivePolicy, ActiveProfile};
pub use settings::{FloatingIps, LinkUpdate, Settings, SpoofedSources};
pub use state::Calc;
pub use status::{Counts, EndpointStatus, LocalEndpoint, LocalWorkload, Owner};
