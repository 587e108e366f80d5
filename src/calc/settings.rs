//! What decides which endpoints are local and which interfaces they may own, and what is seen of links.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::NodeName;
use crate::net::{InterfaceName, InterfacePattern};

/// Whether a workload endpoint may ask to send from addresses that are not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoofedSources {
    /// It may not: one that asks counts as absent.
    Refused,
    /// It may.
    Allowed,
}

/// Which endpoints' one-to-one address translations are programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatingIps {
    /// Those of `OpenStack`'s endpoints.
    OpenStack,
    /// Those of every endpoint.
    All,
}

/// The settings that the calculation depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This host, as the datastore knows it.
    pub node: NodeName,
    /// What the names of workload interfaces begin with; no host endpoint owns such an interface.
    pub interface_prefixes: Vec<String>,
    /// Interfaces that no host endpoint owns, whether by name or by address; `*` still polices them.
    pub interface_exclude: Vec<InterfacePattern>,
    /// Whether workload endpoints may ask to send from foreign addresses.
    pub spoofed_sources: SpoofedSources,
    /// Which one-to-one address translations are programmed.
    pub floating_ips: FloatingIps,
}

impl Settings {
    /// Tells whether an interface is a workload's.
    pub(super) fn is_workload(&self, name: &InterfaceName) -> bool {
        let mut prefixes = self
            .interface_prefixes
            .iter()
            .filter(|prefix| !prefix.is_empty());
        prefixes.any(|prefix| name.as_str().starts_with(prefix))
    }

    /// Tells whether an interface is left out of the search for owners.
    pub(super) fn is_excluded(&self, name: &InterfaceName) -> bool {
        self.interface_exclude
            .iter()
            .any(|pattern| pattern.matches(name.as_str()))
    }
}

/// A network interface of this host, new, changed or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUpdate {
    /// Its name.
    pub name: InterfaceName,
    /// Its addresses; `None` where the interface is gone.
    pub addresses: Option<BTreeSet<IpAddr>>,
}
