//! What is told about the calculation beside its result.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::EndpointId;
use super::changes::AdminState;
use crate::model::HostInterface;
use crate::net::InterfaceName;

/// How a host endpoint of this host fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The interfaces it polices; none where it has no effect.
    pub interfaces: BTreeSet<HostInterface>,
    /// Those it names that do not exist; it polices them from their first packet unless it is shadowed.
    pub absent: BTreeSet<HostInterface>,
    /// Interfaces that it could police and that another endpoint does.
    pub shadowed: BTreeMap<HostInterface, EndpointId>,
}

/// An endpoint of this host, whether it has an effect or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalEndpoint {
    /// A host endpoint.
    Host {
        /// The interfaces it polices, also those that do not exist yet; none where it has no effect.
        interfaces: BTreeSet<HostInterface>,
    },
    /// A workload endpoint.
    Workload(LocalWorkload),
}

/// A workload endpoint of this host, as far as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalWorkload {
    /// What started the workload.
    pub orchestrator: String,
    /// The workload.
    pub workload: String,
    /// The endpoint among those of its workload.
    pub endpoint: String,
    /// The interface that it names.
    pub interface: InterfaceName,
    /// Whether that interface is its own.
    pub owner: Owner,
    /// Whether it is to carry traffic.
    pub state: AdminState,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Its addresses.
    pub nets: Vec<IpNet>,
}

/// Whose the interface is that an endpoint names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The endpoint's.
    Itself,
    /// Another endpoint's, or none's.
    Other,
}

/// How much is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Endpoints of this host in force.
    pub endpoints: usize,
    /// Interfaces that they police.
    pub interfaces: usize,
    /// Policies that they use.
    pub policies: usize,
    /// Profiles that they name.
    pub profiles: usize,
    /// Sets that rules refer to.
    pub sets: usize,
    /// Members of those sets.
    pub members: usize,
}
