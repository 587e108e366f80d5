//! What is told about the calculation beside its result.

use std::collections::{BTreeMap, BTreeSet};

use super::EndpointId;
use crate::model::HostInterface;

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
