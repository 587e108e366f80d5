//! What decides which endpoints are local and which interfaces they may own, and what is seen of links.

use std::collections::BTreeSet;
use std::net::IpAddr;

use regex_lite::Regex;

use crate::model::NodeName;
use crate::net::InterfaceName;

/// Names of interfaces, one by one or by pattern.
#[derive(Debug, Clone)]
pub enum InterfacePattern {
    /// One name.
    Name(String),
    /// Every name in which the expression is found.
    Regex(Regex),
}

impl PartialEq for InterfacePattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::Name(_), Self::Regex(_)) | (Self::Regex(_), Self::Name(_)) => false,
        }
    }
}

impl Eq for InterfacePattern {}

/// The settings that the calculation depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This host, as the datastore knows it.
    pub node: NodeName,
    /// What the names of workload interfaces begin with; no host endpoint owns such an interface.
    pub interface_prefixes: Vec<String>,
    /// Interfaces that no host endpoint owns, whether by name or by address; `*` still polices them.
    pub interface_exclude: Vec<InterfacePattern>,
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
        self.interface_exclude.iter().any(|pattern| match pattern {
            InterfacePattern::Name(excluded) => excluded == name.as_str(),
            InterfacePattern::Regex(regex) => regex.is_match(name.as_str()),
        })
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
