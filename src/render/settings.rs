//! What of the configuration decides how rules are written.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::Marks;
use super::layout::Path;
use crate::net::{InterfaceName, PortRange, Protocol};
use crate::nft::{InterfaceMatch, Limit};

/// How a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyAction {
    /// In silence.
    Drop,
    /// With an ICMP error, where the hook allows one.
    Reject,
}

/// What other tables are told of a packet that policy has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowAction {
    /// The mark bit "accepted", which they may accept in their turn.
    Accept,
    /// Nothing: their own rules decide.
    Return,
}

/// What becomes of a packet from a workload to this host that the workload's policy has allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToHostAction {
    /// It is dropped.
    Drop,
    /// It is accepted.
    Accept,
    /// The host's own rules decide.
    Return,
}

/// What workloads of `OpenStack` may always ask of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenStack {
    /// Where the metadata service listens, where there is one.
    pub metadata: Option<(Ipv4Addr, u16)>,
}

/// Packets of tunnels that workloads may not send by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulation {
    /// The UDP port of VXLAN, where VXLAN is refused.
    pub refused_vxlan: Option<u16>,
    /// Whether IP-in-IP is refused.
    pub ipip: Refused,
}

/// Whether something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// How sources are translated that leave the pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatOutgoing {
    /// The ports that translated connections are given.
    pub ports: Option<PortRange>,
    /// The address that they are given, in IPv4; without one that of the interface.
    pub address: Option<Ipv4Addr>,
    /// Which destinations are reached untranslated.
    pub exclusions: NatExclusions,
    /// The interface that translation is limited to.
    pub interface: Option<InterfaceMatch>,
}

/// Destinations that are reached untranslated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatExclusions {
    /// The pools.
    Pools,
    /// The pools and the addresses of the cluster's hosts.
    PoolsAndHosts,
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

/// Whether packets are counted by policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyCounters {
    /// They are.
    Enabled,
    /// They are not, and no rule has a counter.
    Disabled,
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
    /// What other tables are told of accepted packets.
    pub allow: AllowAction,
    /// Whether packets are counted by policy.
    pub counters: PolicyCounters,
    /// What becomes of packets from workloads to this host.
    pub to_host: ToHostAction,
    /// Present where the special rules for `OpenStack` apply.
    pub openstack: Option<OpenStack>,
    /// Packets of tunnels that workloads may not send.
    pub encapsulation: Encapsulation,
    /// How sources are translated that leave the pools.
    pub nat: NatOutgoing,
}

impl Settings {
    /// Returns how packets are refused on a way.
    pub(super) fn refusal(&self, path: Path) -> DenyAction {
        match path {
            Path::In | Path::Out | Path::PreDnat => self.deny,
            // An error for a packet without a connection belongs to none either, and would not get out.
            Path::RawIn | Path::RawOut | Path::Dnat => DenyAction::Drop,
        }
    }
}
