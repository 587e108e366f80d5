//! What calc tells render: the desired state by key, and how it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::compile::{ActivePolicy, ActiveProfile};
use super::status::LocalEndpoint;
use crate::model::{
    Action, Direction, EndOfTier, HostInterface, IcmpMatch, NatMapping, PortName, ProfileId,
    ResourceKey, TierName,
};
use crate::net::{Family, InterfaceName, PortRange, Protocol};
use crate::selector::Selector;

/// Names a policy among those in force: its tier and its resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId {
    /// The tier that the policy names.
    pub tier: TierName,
    /// The resource.
    pub key: ResourceKey,
}

/// Names an endpoint of this host: its resource.
pub type EndpointId = ResourceKey;

/// Names a set of addresses that rules refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetId {
    /// The addresses of everything that a selector selects.
    Addresses(Selector),
    /// The address, protocol and port of each port of one name, on everything that a selector selects.
    NamedPort {
        /// Whose ports.
        selector: Selector,
        /// The ports' name.
        name: PortName,
        /// The only protocol wanted; without it TCP, UDP and SCTP.
        protocol: Option<Protocol>,
    },
}

/// A member of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A prefix; of full length for an address. No two members of a set overlap.
    Net(IpNet),
    /// A port on an address.
    Port(IpAddr, Protocol, u16),
}

impl Member {
    /// Returns the family of the member's address.
    pub fn family(&self) -> Family {
        match self {
            Self::Net(net) => Family::of_net(net),
            Self::Port(address, _, _) => Family::of_address(*address),
        }
    }
}

/// How many members of one family a set has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetSize {
    /// How many there are of each length of prefix that occurs; an address has full length, and so has one
    /// with a port.
    pub lengths: BTreeMap<u8, usize>,
}

impl SetSize {
    /// Counts all members.
    pub fn members(&self) -> usize {
        self.lengths.values().sum()
    }
}

/// What one end of the traffic must be, with selectors resolved to sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SideMatch {
    /// Prefixes, one of which must hold the address; none asked where empty.
    pub nets: Box<[IpNet]>,
    /// Prefixes none of which may hold the address.
    pub not_nets: Box<[IpNet]>,
    /// Sets each of which must hold the address. A selector that stands beside named ports alone is not
    /// here: it is part of those ports' own sets.
    pub sets: Box<[SetId]>,
    /// Sets none of which may hold the address.
    pub not_sets: Box<[SetId]>,
    /// Ports, one of which must be the packet's, unless a named one is; merged and ascending.
    pub ports: Box<[PortRange]>,
    /// Named ports, one of which must be the packet's, unless a numbered one is.
    pub named_ports: Box<[SetId]>,
    /// Ports none of which may be the packet's; merged and ascending.
    pub not_ports: Box<[PortRange]>,
    /// Named ports none of which may be the packet's.
    pub not_named_ports: Box<[SetId]>,
}

/// A rule with selectors resolved to sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchRule {
    /// What to do.
    pub action: Action,
    /// The only address family the rule applies to.
    pub ip_version: Option<Family>,
    /// The protocol the packet must have.
    pub protocol: Option<Protocol>,
    /// The protocol the packet must not have.
    pub not_protocol: Option<Protocol>,
    /// The ICMP type (and code) the packet must have.
    pub icmp: Option<IcmpMatch>,
    /// The ICMP type (and code) the packet must not have.
    pub not_icmp: Option<IcmpMatch>,
    /// What is asked of the sender.
    pub source: SideMatch,
    /// What is asked of the receiver.
    pub destination: SideMatch,
}

/// The policies of one tier that apply to an endpoint, for one direction and one place in the packet's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierPolicies {
    /// The tier.
    pub tier: TierName,
    /// The policies that govern the direction, in order; never empty.
    pub policies: Vec<PolicyId>,
    /// What follows where none of them decides.
    pub end: EndOfTier,
}

/// Tiers with policies, in order, for both directions of one place in the packet's path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyLists {
    /// For traffic towards the endpoint.
    pub ingress: Arc<Vec<TierPolicies>>,
    /// For traffic from the endpoint.
    pub egress: Arc<Vec<TierPolicies>>,
}

impl PolicyLists {
    /// Returns the tiers of one direction.
    pub fn direction(&self, direction: Direction) -> &Arc<Vec<TierPolicies>> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// What a local endpoint must enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPolicies {
    /// For traffic that ends or begins here (and for workloads).
    pub normal: PolicyLists,
    /// For forwarded traffic.
    pub forward: PolicyLists,
    /// Before connection tracking; its tiers never end in deny.
    pub untracked: PolicyLists,
    /// Before address translation, ingress only; its tiers never end in deny.
    pub pre_dnat: PolicyLists,
    /// Profiles in order, asked after all tiers of `normal`.
    pub profiles: Vec<ProfileId>,
}

/// How a set changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetChange {
    /// The set is used from now on, or must be written anew: its members are to be read whole.
    Whole,
    /// Members came or went since the last change was taken; both lists ascend.
    Members {
        /// Members that came.
        added: Vec<Member>,
        /// Members that went.
        removed: Vec<Member>,
    },
    /// No rule refers to the set any more.
    Gone,
}

/// Whether a workload endpoint is to carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminState {
    /// It is.
    Up,
    /// It is not: everything to and from it is refused.
    Down,
}

/// What the interface of a workload of this host is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadInterface {
    /// The endpoint that owns it.
    pub endpoint: EndpointId,
    /// Whether that is to carry traffic.
    pub state: AdminState,
    /// The workload's own addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The workload's hardware address.
    pub mac: Option<[u8; 6]>,
    /// Its one-to-one address translations, as far as they are programmed; ascending.
    pub floating: Vec<NatMapping>,
    /// Prefixes that it may use as source although they are not its own.
    pub spoofable: Vec<IpNet>,
}

/// What decides which traffic of workloads leaves with a translated source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatPools {
    /// The pools whose traffic to outside is translated.
    pub masqueraded: BTreeSet<IpNet>,
    /// Every pool; traffic between pools is never translated.
    pub all: BTreeSet<IpNet>,
    /// The addresses of the cluster's hosts.
    pub hosts: BTreeSet<IpAddr>,
}

/// What differs since changes were last taken; `None` stands for "is gone".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Policies in use.
    pub policies: BTreeMap<PolicyId, Option<Arc<ActivePolicy>>>,
    /// Profiles in use.
    pub profiles: BTreeMap<ProfileId, Option<Arc<ActiveProfile>>>,
    /// Host endpoints bound to an interface, and workload endpoints in force.
    pub endpoints: BTreeMap<EndpointId, Option<Arc<EndpointPolicies>>>,
    /// Interfaces that a host endpoint polices.
    pub interfaces: BTreeMap<HostInterface, Option<EndpointId>>,
    /// Interfaces of workloads.
    pub workloads: BTreeMap<InterfaceName, Option<Arc<WorkloadInterface>>>,
    /// The pools, where they differ.
    pub pools: Option<Arc<NatPools>>,
    /// Sets in use.
    pub sets: BTreeMap<SetId, SetChange>,
    /// Every endpoint of this host; nothing is enforced by this alone.
    pub locals: LocalChanges,
}

/// Endpoints of this host that differ from what was said of them before; `None` for one that is gone.
pub type LocalChanges = BTreeMap<EndpointId, Option<Arc<LocalEndpoint>>>;

impl Changes {
    /// Tells whether nothing differs that is enforced.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
            && self.profiles.is_empty()
            && self.endpoints.is_empty()
            && self.interfaces.is_empty()
            && self.workloads.is_empty()
            && self.pools.is_none()
            && self.sets.is_empty()
    }
}

/// Members of a set, one after the other: there may be too many for another copy.
pub type Members<'a> = Box<dyn Iterator<Item = Member> + 'a>;

/// Reads the present members of sets whole; calc is the only keeper of them.
pub trait SetMembers {
    /// Returns how many members of a family the set has.
    fn size(&self, set: &SetId, family: Family) -> SetSize;

    /// Returns the members of a family in ascending order; none where the set is not in use.
    fn members(&self, set: &SetId, family: Family) -> Members<'_>;
}
