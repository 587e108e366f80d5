//! What is ours of what the kernel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::observed::{Observed, Path, RouteKey, is_host_route};
use super::plan::Operation;
use super::settings::{BOOT, ExternalRoutes, FELIX, Settings};
use crate::net::Family;

/// `RTPROT_KERNEL` of `linux/rtnetlink.h`: routes that come and go with an address of the host.
const KERNEL: u8 = 2;

/// What this process has made, and to which link each address was last routed.
#[derive(Debug, Default)]
pub(super) struct Ours {
    routes: BTreeSet<RouteKey>,
    neighbours: BTreeSet<(u32, Ipv4Addr)>,
    holders: BTreeMap<IpAddr, u32>,
}

impl Ours {
    /// Tells whether this process made the route.
    pub(super) fn made(&self, key: &RouteKey) -> bool {
        self.routes.contains(key)
    }

    /// Tells whether this process made the neighbour.
    pub(super) fn made_neighbour(&self, index: u32, address: Ipv4Addr) -> bool {
        self.neighbours.contains(&(index, address))
    }

    /// Returns to which link each address was last routed: its connections are those of that link's workload.
    pub(super) fn holders(&self) -> &BTreeMap<IpAddr, u32> {
        &self.holders
    }

    /// Tells whether a route belongs to us.
    ///
    /// A link is a workload's by its name. On one, all is ours unless others are allowed there. Elsewhere only
    /// routes that look as ours do, with a number that says so; `RTPROT_BOOT` says nothing.
    pub(super) fn owns(
        &self,
        key: &RouteKey,
        path: Path,
        observed: &Observed,
        settings: &Settings,
    ) -> bool {
        if self.made(key) {
            return true;
        }
        if path.protocol == KERNEL
            || belongs_to_the_link(key)
            || !settings.wires(Family::of_net(&key.destination))
        {
            return false;
        }
        if is_workload(key.index, observed, settings) {
            return match settings.external {
                ExternalRoutes::Removed => true,
                ExternalRoutes::Kept => [settings.protocol, FELIX].contains(&path.protocol),
            };
        }
        settings.protocol != BOOT
            && path.protocol == settings.protocol
            && key.priority == settings.priority(Family::of_net(&key.destination))
            && is_host_route(&key.destination, path)
    }

    /// Remembers to which links addresses are routed that were routed nowhere before, and forgets what links
    /// that are gone had.
    pub(super) fn look(&mut self, observed: &Observed, settings: &Settings) {
        self.routes.retain(|key| observed.link(key.index).is_some());
        self.neighbours
            .retain(|(index, _)| observed.link(*index).is_some());
        for (key, path) in observed.routes() {
            let ours = is_workload(key.index, observed, settings) || self.made(key);
            if ours
                && is_host_route(&key.destination, *path)
                && self.owns(key, *path, observed, settings)
            {
                self.holders
                    .entry(key.destination.addr())
                    .or_insert(key.index);
            }
        }
    }

    /// Notes that an operation was carried out.
    pub(super) fn carried_out(&mut self, operation: &Operation) {
        match operation {
            Operation::AddRoute(key, _) | Operation::ReplaceRoute(key, _) => {
                self.routes.insert(*key);
                self.holders.insert(key.destination.addr(), key.index);
            }
            Operation::RemoveRoute(key, _) => {
                self.routes.remove(key);
            }
            Operation::SetNeighbour { index, address, .. } => {
                self.neighbours.insert((*index, *address));
            }
            Operation::RemoveNeighbour { index, address } => {
                self.neighbours.remove(&(*index, *address));
            }
        }
    }

    /// Notes to which link an address is routed, also where the route is another's that is left alone.
    pub(super) fn led(&mut self, address: IpAddr, index: u32) {
        self.holders.insert(address, index);
    }

    /// Notes that the connections of an address are forgotten: it belongs to no link.
    pub(super) fn released(&mut self, address: IpAddr) {
        self.holders.remove(&address);
    }
}

/// Tells whether a link has the name of a workload's.
pub(super) fn is_workload(index: u32, observed: &Observed, settings: &Settings) -> bool {
    observed
        .link(index)
        .and_then(|link| link.name.as_ref())
        .is_some_and(|name| settings.is_workload(name))
}

/// Tells whether a destination is of the link itself: link-local or multicast.
fn belongs_to_the_link(key: &RouteKey) -> bool {
    match key.destination.addr() {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_multicast(),
    }
}
