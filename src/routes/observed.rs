//! What the kernel holds that can concern us.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::settings::Settings;
use crate::net::{Family, InterfaceName};

/// Whether a link can carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkState {
    /// Set up by the administrator and operational.
    Up,
    /// Set up, but without a carrier: what leads to it stays.
    Dormant,
    /// Set down: the kernel has removed what leads to it, in part without a word.
    Down,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Its name, or none if it is one that we cannot use.
    pub(super) name: Option<InterfaceName>,
    /// Whether it can carry traffic.
    pub(super) state: LinkState,
}

/// What tells routes of the main table apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteKey {
    /// Where it leads.
    pub(super) destination: IpNet,
    /// Its priority; the smallest wins.
    pub(super) priority: u32,
    /// The type of service that it is for.
    pub(super) tos: u8,
    /// The index of the link that it leads through.
    pub(super) index: u32,
}

/// Whether a route leads to the destination itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    /// The destination is on the link.
    Direct,
    /// A gateway is.
    Gateway,
}

/// The rest of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Path {
    /// Who made it.
    pub(super) protocol: u8,
    /// Its scope, which is zero for every IPv6 route.
    pub(super) scope: u8,
    /// The preferred source.
    pub(super) source: Option<IpAddr>,
    /// Whether it leads to the destination itself.
    pub(super) hop: Hop,
}

/// Whether a route that was announced stands beside others or in the place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// Beside others.
    Added,
    /// In the place of one with this destination, priority and type of service, through whatever link.
    Replaced,
}

/// One thing that the kernel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// A link is there.
    Link(u32, Link),
    /// A link is gone.
    LinkGone(u32),
    /// A unicast route of the main table is there.
    Route(RouteKey, Path, Placed),
    /// A unicast route of the main table is gone.
    RouteGone(RouteKey),
    /// A permanent IPv4 neighbour is there.
    Neighbour(u32, Ipv4Addr, [u8; 6]),
    /// There is no such permanent neighbour.
    NeighbourGone(u32, Ipv4Addr),
    /// An address of the host is gone from a link, and with it the IPv4 routes that prefer it as their source; with the
    /// last one of a link all IPv4 routes through that.
    AddressGone(u32, Ipv4Addr),
    /// Settings of a link below `/proc/sys` were changed, perhaps by us.
    Settings(u32),
    /// Settings of the whole host were.
    HostSettings,
}

/// Links, and the routes and neighbours among all of the kernel's that may be ours.
#[derive(Debug, Default)]
pub(super) struct Observed {
    links: BTreeMap<u32, Link>,
    names: BTreeMap<InterfaceName, BTreeSet<u32>>,
    routes: BTreeMap<RouteKey, Path>,
    neighbours: BTreeMap<(u32, Ipv4Addr), [u8; 6]>,
    changed: BTreeSet<u32>,
    /// Links whose settings were changed.
    set: BTreeSet<u32>,
    host_set: bool,
    /// Whether there is a link whose routes nothing has told.
    unread: bool,
    differs: bool,
}

impl Observed {
    /// Takes in one fact.
    pub(super) fn apply(&mut self, fact: Fact, settings: &Settings) {
        match fact {
            Fact::Link(index, link) => self.set_link(index, link, settings),
            Fact::LinkGone(index) => {
                if let Some(link) = self.links.remove(&index) {
                    self.unname(index, &link);
                    self.changed.insert(index);
                }
                self.forget(index);
                self.differs = true;
            }
            Fact::Route(key, path, placed) => {
                if placed == Placed::Replaced {
                    let (first, last) = (
                        RouteKey { index: 0, ..key },
                        RouteKey {
                            index: u32::MAX,
                            ..key
                        },
                    );
                    let others: Vec<RouteKey> = self
                        .routes
                        .range(first..=last)
                        .map(|(key, _)| *key)
                        .collect();
                    for other in others.into_iter().filter(|other| *other != key) {
                        self.routes.remove(&other);
                        self.differs = true;
                    }
                }
                self.differs |= if self.concerns(&key, path, settings) {
                    self.routes.insert(key, path) != Some(path)
                } else {
                    self.routes.remove(&key).is_some()
                };
            }
            Fact::RouteGone(key) => self.differs |= self.routes.remove(&key).is_some(),
            Fact::Neighbour(index, address, mac) => {
                self.differs |= self.neighbours.insert((index, address), mac) != Some(mac);
            }
            Fact::NeighbourGone(index, address) => {
                self.differs |= self.neighbours.remove(&(index, address)).is_some();
            }
            Fact::AddressGone(index, address) => {
                let gone = Some(IpAddr::V4(address));
                self.routes.retain(|_, path| path.source != gone);
                self.unread |= self.routes.keys().any(|key| key.index == index);
                self.differs = true;
            }
            Fact::Settings(index) => {
                self.set.insert(index);
                self.differs = true;
            }
            Fact::HostSettings => {
                self.host_set = true;
                self.differs = true;
            }
        }
    }

    /// Takes over a reading of everything; only links that differ count as changed.
    pub(super) fn replace(&mut self, fresh: Self) {
        for (index, link) in &self.links {
            if fresh.links.get(index) != Some(link) {
                self.changed.insert(*index);
            }
        }
        for index in fresh.links.keys() {
            if !self.links.contains_key(index) {
                self.changed.insert(*index);
            }
        }
        let changed = std::mem::take(&mut self.changed);
        let mut set = std::mem::take(&mut self.set);
        let host_set = self.host_set;
        *self = fresh;
        self.changed = changed;
        self.set.append(&mut set);
        self.host_set |= host_set;
        self.unread = false;
    }

    /// Drops the routes and neighbours whose link never came.
    pub(super) fn forget_orphans(&mut self) {
        let links = &self.links;
        self.routes.retain(|key, _| links.contains_key(&key.index));
        self.neighbours
            .retain(|(index, _), _| links.contains_key(index));
    }

    /// Returns the links that came, went, or differ since the call before.
    pub(super) fn take_changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.changed)
    }

    /// Returns the links whose settings were changed since the call before.
    pub(super) fn take_set(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.set)
    }

    /// Tells whether settings of the whole host were changed since the call before.
    pub(super) fn take_host_set(&mut self) -> bool {
        std::mem::take(&mut self.host_set)
    }

    /// Tells whether a fact has changed anything since the call before.
    ///
    /// Most of what a busy kernel says of neighbours does not.
    pub(super) fn take_differs(&mut self) -> bool {
        std::mem::take(&mut self.differs)
    }

    /// Tells whether a link has been given the name of a workload's since the call before, or may have lost its routes.
    ///
    /// Routes through the one did not concern us until then; the kernel announces no end of those of the other.
    pub(super) fn take_unread(&mut self) -> bool {
        std::mem::take(&mut self.unread)
    }

    /// Returns a link.
    pub(super) fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// Returns the link that bears a name; of two, for a moment, the newer.
    pub(super) fn named(&self, name: &InterfaceName) -> Option<(u32, &Link)> {
        let index = *self.names.get(name)?.last()?;
        Some((index, self.links.get(&index)?))
    }

    /// Returns the routes that concern us.
    pub(super) fn routes(&self) -> &BTreeMap<RouteKey, Path> {
        &self.routes
    }

    /// Returns the permanent neighbours.
    pub(super) fn neighbours(&self) -> &BTreeMap<(u32, Ipv4Addr), [u8; 6]> {
        &self.neighbours
    }

    fn set_link(&mut self, index: u32, link: Link, settings: &Settings) {
        if link.state == LinkState::Down {
            self.forget(index);
        }
        let old = self.links.insert(index, link.clone());
        if old.as_ref() == Some(&link) {
            return;
        }
        self.changed.insert(index);
        self.differs = true;
        let old_name = old.as_ref().and_then(|old| old.name.as_ref());
        if old_name != link.name.as_ref() {
            let workload = link
                .name
                .as_ref()
                .is_some_and(|name| settings.is_workload(name));
            self.unread |= old.is_some() && workload;
            if let Some(old) = &old {
                self.unname(index, old);
            }
            if let Some(name) = link.name {
                self.names.entry(name).or_default().insert(index);
            }
        }
    }

    fn unname(&mut self, index: u32, link: &Link) {
        let Some(name) = &link.name else { return };
        if let Some(indices) = self.names.get_mut(name) {
            indices.remove(&index);
            if indices.is_empty() {
                self.names.remove(name);
            }
        }
    }

    fn forget(&mut self, index: u32) {
        self.routes.retain(|key, _| key.index != index);
        self.neighbours.retain(|(link, _), _| *link != index);
    }

    /// Tells whether a route can be ours, so that the routes of a whole internet need no room here.
    fn concerns(&self, key: &RouteKey, path: Path, settings: &Settings) -> bool {
        let workload = match self.links.get(&key.index) {
            Some(link) => link
                .name
                .as_ref()
                .is_some_and(|name| settings.is_workload(name)),
            None => true,
        };
        workload || (path.protocol == settings.protocol && is_host_route(&key.destination, path))
    }
}

/// Tells whether a route has the form of those that lead to a workload.
pub(super) fn is_host_route(destination: &IpNet, path: Path) -> bool {
    destination.prefix_len() == Family::of_net(destination).bits() && path.hop == Hop::Direct
}
