//! What of the configuration decides how rules are written.

use ipnet::IpNet;

use super::Marks;
use crate::net::{InterfaceName, Protocol};
use crate::nft::Limit;

/// How a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyAction {
    /// In silence.
    Drop,
    /// With an ICMP error, where the hook allows one.
    Reject,
}

/// Whether our filter chains run before or after those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainPosition {
    /// Before priority 0 (`ChainInsertMode=insert`).
    Insert,
    /// After priority 0 (`ChainInsertMode=append`).
    Append,
}

/// What becomes of IPv6 neighbour discovery and multicast listener messages at host endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighborDiscovery {
    /// They are allowed whatever policy says, as IPv6 does not work without them.
    Allow,
    /// Policy decides, as with Felix.
    Policy,
}

/// A port that stays open whatever policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failsafe {
    /// The protocol.
    pub protocol: Protocol,
    /// The only addresses of the other side that it is open to.
    pub net: Option<IpNet>,
    /// The port.
    pub port: u16,
}

/// What of the configuration decides how rules are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether IPv6 is policed at all.
    pub ipv6: bool,
    /// How the names of workload interfaces begin.
    pub workload_prefixes: Vec<InterfaceName>,
    /// How a packet is refused.
    pub deny: DenyAction,
    /// Whether packets that belong to no connection and can begin none are refused.
    pub drop_invalid: bool,
    /// Whether IPv6 neighbour discovery is subject to policy.
    pub neighbor_discovery: NeighborDiscovery,
    /// Ports of this host that stay open.
    pub failsafe_inbound: Vec<Failsafe>,
    /// Ports of other hosts that stay open.
    pub failsafe_outbound: Vec<Failsafe>,
    /// What stands in front of logged packets; `%t`, `%k`, `%n` and `%p` are filled in.
    pub log_prefix: String,
    /// How often packets are logged, at most.
    pub log_limit: Option<Limit>,
    /// The packet mark's bits that are ours.
    pub marks: Marks,
    /// Whether our filter chains run before or after those of others.
    pub position: ChainPosition,
}
