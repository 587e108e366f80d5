//! The `model` room: Calico's vocabulary, validated by construction.
//!
//! In: values that a datastore has decoded. Out: resources, their keys and the problems found in them.
//! May touch: `net`, `selector`, `ipnet`, `serde_json` (for the two kinds that carry free-form values).
//! Absent: I/O, YAML, nftables, and any knowledge of what is bound or enforced.

mod endpoint;
mod id;
mod policy;
mod problem;
mod profile;
mod resource;
mod rule;
mod sets;

pub use endpoint::{
    EndpointPort, HostEndpoint, HostInterface, LabelMap, NatMapping, WorkloadEndpoint,
};
pub use id::{Form, Kind, NodeName, PortName, ProfileId, ResourceKey, TierName};
pub use policy::{DEFAULT_TIER, EndOfTier, Order, Policy, PolicyKind, PolicyTypes, Tier};
pub use problem::{Place, Problem, Severity};
pub use profile::{DEFAULT_ALLOW_PROFILE, Profile};
pub use resource::{ClusterInformation, FelixConfiguration, IpPool, Node, Resource, Update};
pub use rule::{Action, Direction, EntityMatch, IcmpMatch, PortMatch, Rule};
pub use sets::NetworkSet;
