//! Endpoints of hosts and of workloads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{NodeName, PortName, ProfileId};
use crate::net::{InterfaceName, Protocol};

/// Labels: keys and their values.
pub type LabelMap = BTreeMap<String, String>;

/// A port that an endpoint declares under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointPort {
    /// The name.
    pub name: PortName,
    /// The protocol.
    pub protocol: Protocol,
    /// The port number.
    pub port: u16,
}

/// The interface that a host endpoint names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HostInterface {
    /// `*`: every interface that has no endpoint of its own.
    Any,
    /// One interface by its name.
    Name(InterfaceName),
}

/// An interface of a host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEndpoint {
    /// The host it belongs to.
    pub node: NodeName,
    /// The interface it names; without one, its addresses find the interface.
    pub interface: Option<HostInterface>,
    /// The addresses it is expected to have; selectors resolve to them on every host.
    pub expected_ips: Vec<IpAddr>,
    /// Its profiles, in order.
    pub profiles: Vec<ProfileId>,
    /// Its labels.
    pub labels: LabelMap,
    /// Its named ports.
    pub ports: Vec<EndpointPort>,
}

/// A one-to-one translation between an address of a workload and one outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NatMapping {
    /// The workload's address.
    pub internal: IpAddr,
    /// The address outside.
    pub external: IpAddr,
}

/// An interface of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadEndpoint {
    /// The host that the workload runs on.
    pub node: NodeName,
    /// What started the workload.
    pub orchestrator: String,
    /// The workload; in v3 form with its namespace in front.
    pub workload: String,
    /// The endpoint among those of its workload.
    pub endpoint: String,
    /// The interface on the host.
    pub interface: InterfaceName,
    /// Whether it is administratively up.
    pub active: bool,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Its addresses, as full-length prefixes.
    pub nets: Vec<IpNet>,
    /// Its one-to-one address translations.
    pub nat: Vec<NatMapping>,
    /// Its profiles, in order.
    pub profiles: Vec<ProfileId>,
    /// Its labels.
    pub labels: LabelMap,
    /// Its named ports.
    pub ports: Vec<EndpointPort>,
    /// Prefixes that it may use as source although they are not its own.
    pub allow_spoofed_sources: Vec<IpNet>,
}
