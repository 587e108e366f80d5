//! What is configured that bears on the fate of a packet.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::IpNet;

use crate::model::NodeName;
use crate::net::{InterfacePattern, Protocol};

/// A port that no policy of a host endpoint closes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failsafe {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The peers that it is open to, of that family alone; all where absent.
    pub net: Option<IpNet>,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Failsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.net {
            None => write!(f, "{}:{}", self.protocol, self.port),
            Some(net) => write!(f, "{}:[{net}]:{}", self.protocol, self.port),
        }
    }
}

/// Whether neighbour discovery and multicast listener messages pass host endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeighborDiscovery {
    /// They pass.
    Allow,
    /// Policy judges them.
    Policy,
}

/// What becomes of a packet from a workload to this host that the workload's policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToHostAction {
    /// It is dropped.
    Drop,
    /// It is accepted.
    Accept,
    /// It is left to the host's own rules.
    Return,
}

/// What a denial looks like to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DenyAction {
    /// Silence.
    Drop,
    /// An ICMP error, where the kernel can send one.
    Reject,
}

/// Whether workloads may send encapsulated packets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FromWorkloads {
    /// They are denied before policy is asked.
    Denied,
    /// Policy judges them like any other.
    Judged,
}

/// Whether workload endpoints may ask to send from addresses that are not their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceSpoofing {
    /// One that asks counts as absent.
    Disabled,
    /// Any prefix may be asked for.
    Any,
}

/// Whether the outside addresses of workloads are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FloatingAddresses {
    /// Only those of endpoints whose orchestrator is `openstack`.
    OpenStackOnly,
    /// Those of every endpoint.
    All,
}

/// What `OpenStack` needs beside policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStack {
    /// The metadata service after translation, which every workload may reach.
    pub metadata: Option<(Ipv4Addr, u16)>,
}

/// What is configured that bears on the fate of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This host's name, as resources spell it.
    pub node: NodeName,
    /// The beginnings of the names of workload interfaces.
    pub workload_prefixes: Vec<String>,
    /// Interfaces that host endpoints do not bind to by name or address.
    pub interface_exclude: Vec<InterfacePattern>,
    /// Whether IPv6 is policed at all.
    pub ipv6: bool,
    /// Whether packets that connection tracking calls invalid are denied.
    pub drop_invalid: bool,
    /// Ports of this host that stay open.
    pub failsafe_inbound: Vec<Failsafe>,
    /// Ports of other hosts that stay open to this one.
    pub failsafe_outbound: Vec<Failsafe>,
    /// What becomes of neighbour discovery at host endpoints.
    pub neighbor_discovery: NeighborDiscovery,
    /// What becomes of packets from workloads to this host.
    pub to_host: ToHostAction,
    /// What `OpenStack` needs, where it is in use.
    pub openstack: Option<OpenStack>,
    /// What becomes of VXLAN packets that workloads send.
    pub vxlan_from_workloads: FromWorkloads,
    /// What becomes of IP-in-IP packets that workloads send.
    pub ipip_from_workloads: FromWorkloads,
    /// The UDP port by which VXLAN is known.
    pub vxlan_port: u16,
    /// Whether workloads may ask for foreign source addresses.
    pub source_spoofing: SourceSpoofing,
    /// Which outside addresses lead to workloads.
    pub floating_addresses: FloatingAddresses,
    /// What a denial looks like.
    pub deny: DenyAction,
}

impl Settings {
    /// The port that IANA has given to VXLAN.
    pub const VXLAN_PORT: u16 = 4789;

    /// Makes the settings of a host on which nothing is set, save that no port is failsafe.
    pub fn new(node: &str) -> Self {
        Self {
            node: NodeName::new(node),
            workload_prefixes: vec!["cali".to_owned()],
            interface_exclude: Vec::new(),
            ipv6: true,
            drop_invalid: true,
            failsafe_inbound: Vec::new(),
            failsafe_outbound: Vec::new(),
            neighbor_discovery: NeighborDiscovery::Allow,
            to_host: ToHostAction::Drop,
            openstack: None,
            vxlan_from_workloads: FromWorkloads::Denied,
            ipip_from_workloads: FromWorkloads::Denied,
            vxlan_port: Self::VXLAN_PORT,
            source_spoofing: SourceSpoofing::Disabled,
            floating_addresses: FloatingAddresses::OpenStackOnly,
            deny: DenyAction::Drop,
        }
    }

    /// Tells whether an interface is a workload's: its name alone says so.
    pub(super) fn is_workload(&self, interface: &str) -> bool {
        self.workload_prefixes
            .iter()
            .any(|prefix| interface.starts_with(prefix.as_str()))
    }
}
