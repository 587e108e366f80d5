//! What is wanted of this room, and what it says of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::net::{Family, InterfaceName};

/// The protocol number of routes that are made by hand, `RTPROT_BOOT`: it says nothing of who made them.
pub(super) const BOOT: u8 = 3;
/// The protocol number that Felix gives routes of its own which lead to no workload.
pub(super) const FELIX: u8 = 80;

/// What the interface of one workload needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// The addresses that are routed to it, floating ones too; none where the workload is set down.
    pub addresses: BTreeSet<IpAddr>,
    /// The hardware address behind which the IPv4 addresses are, where it is known.
    pub mac: Option<[u8; 6]>,
    /// Whether the workload may send from addresses that are not its own.
    pub spoofing: SpoofedSources,
}

/// What happens to packets of a workload that come from an address which is not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoofedSources {
    /// The kernel's filter of reverse paths drops them.
    Refused,
    /// The kernel's filter is off; some are allowed, and the ruleset knows which.
    Allowed,
}

/// What happens to routes to workload interfaces that other programs have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternalRoutes {
    /// They are removed.
    Removed,
    /// They stay, unless they bear our protocol number.
    Kept,
}

/// Whether the host forwards between its interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// It is turned on.
    Enabled,
    /// It is left as it is.
    LeftAlone,
}

/// Whether IPv6 is wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6 {
    /// As IPv4 is.
    Enabled,
    /// IPv6 addresses and routes are ignored.
    Disabled,
}

/// How routes look, and which of those that are found belong to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The protocol number that marks our routes.
    pub protocol: u8,
    /// The priority of our IPv4 routes.
    pub priority_v4: u32,
    /// The priority of our IPv6 routes.
    pub priority_v6: u32,
    /// The preferred source of IPv4 routes.
    pub source_v4: Option<Ipv4Addr>,
    /// The preferred source of IPv6 routes.
    pub source_v6: Option<Ipv6Addr>,
    /// What happens to routes of others.
    pub external: ExternalRoutes,
    /// The time between two readings of everything, beside those that the kernel gives cause for.
    pub refresh: Option<Duration>,
    /// Whether the host forwards.
    pub forwarding: Forwarding,
    /// Whether IPv6 is wired.
    pub ipv6: Ipv6,
    /// What the names of workload interfaces begin with.
    pub workload_prefixes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            protocol: BOOT,
            priority_v4: 1024,
            priority_v6: 1024,
            source_v4: None,
            source_v6: None,
            external: ExternalRoutes::Removed,
            refresh: Some(Duration::from_secs(90)),
            forwarding: Forwarding::Enabled,
            ipv6: Ipv6::Enabled,
            workload_prefixes: vec!["cali".to_owned()],
        }
    }
}

impl Settings {
    /// Tells whether an interface of this name is a workload's.
    pub(super) fn is_workload(&self, name: &InterfaceName) -> bool {
        let name = name.as_str();
        self.workload_prefixes
            .iter()
            .any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Tells whether addresses of this family are wired.
    pub(super) fn wires(&self, family: Family) -> bool {
        match (family, self.ipv6) {
            (Family::V4, _) | (Family::V6, Ipv6::Enabled) => true,
            (Family::V6, Ipv6::Disabled) => false,
        }
    }

    /// Returns the priority of routes of a family.
    pub(super) fn priority(&self, family: Family) -> u32 {
        match family {
            Family::V4 => self.priority_v4,
            Family::V6 => self.priority_v6,
        }
    }

    /// Returns the preferred source of routes of a family.
    pub(super) fn source(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.source_v4.map(IpAddr::V4),
            Family::V6 => self.source_v6.map(IpAddr::V6),
        }
    }
}

/// What came of the wiring of one interface.
///
/// It is said after each wiring that was told, and again whenever it differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The interface.
    pub interface: InterfaceName,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a wiring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is in the kernel.
    Wired,
    /// The interface is down; the wiring follows as soon as it is up.
    Down,
    /// There is no interface of this name.
    Absent,
    /// Some of it could not be done, and is tried again.
    Failed {
        /// The first reason.
        reason: String,
    },
}
