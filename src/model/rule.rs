//! Rules of policies and profiles, as written.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::PortName;
use crate::net::{Family, PortRange, Protocol};
use crate::selector::Selector;

/// The direction of traffic, seen from the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// Both directions, in the order in which everything is rendered.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// What a rule does with a packet that meets all its criteria.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Accepts the packet; no further rule is asked.
    Allow,
    /// Refuses the packet.
    Deny,
    /// Writes a line to the kernel's log and goes on with the next rule.
    Log,
    /// Leaves the tier: the next tier is asked, after the last the profiles.
    Pass,
}

/// One entry of a rule's port list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PortMatch {
    /// Ports by number.
    Range(PortRange),
    /// The ports that endpoints declare under this name.
    Named(PortName),
}

/// An ICMP type, and with it a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IcmpMatch {
    /// The type, 0 to 254.
    pub kind: u8,
    /// The code, where the rule names one.
    pub code: Option<u8>,
}

/// What a rule asks of one end of the traffic; all criteria given must hold.
///
/// There are two for each rule, and rules are most of what is kept, so that the lists have no room to grow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EntityMatch {
    /// Prefixes, one of which must hold the address; none asked where empty. Host bits are cleared.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub nets: Box<[IpNet]>,
    /// Prefixes none of which may hold the address.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub not_nets: Box<[IpNet]>,
    /// The address must belong to something this selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The address must not belong to anything this selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_selector: Option<Selector>,
    /// Ports, one of which must be the packet's; none asked where empty.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ports: Box<[PortMatch]>,
    /// Ports none of which may be the packet's.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub not_ports: Box<[PortMatch]>,
}

/// One rule of a policy or profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// The only address family the rule applies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<Family>,
    /// The protocol the packet must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The protocol the packet must not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_protocol: Option<Protocol>,
    /// The ICMP type (and code) the packet must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpMatch>,
    /// The ICMP type (and code) the packet must not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_icmp: Option<IcmpMatch>,
    /// What is asked of the sender.
    pub source: EntityMatch,
    /// What is asked of the receiver.
    pub destination: EntityMatch,
}

impl Rule {
    /// Makes a rule that meets every packet.
    pub fn any(action: Action) -> Self {
        Self {
            action,
            ip_version: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: EntityMatch::default(),
            destination: EntityMatch::default(),
        }
    }
}
