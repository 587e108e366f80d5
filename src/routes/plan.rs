//! From what is wanted and what the kernel holds to the operations that lead from one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::observed::{Hop, LinkState, Observed, Path, RouteKey};
use super::ours::{Ours, is_workload};
use super::settings::{BOOT, ExternalRoutes, Settings, Wiring};
use crate::net::{Family, InterfaceName, host_net};

/// `RT_SCOPE_LINK` of `linux/rtnetlink.h`: the destination is on the link.
const SCOPE_LINK: u8 = 253;

/// Whether all that is wanted has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// More may be wanted: what is unknown is left alone.
    Partial,
    /// All of it.
    Whole,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// How routes look.
    pub(super) settings: &'a Settings,
    /// What is wanted.
    pub(super) wanted: &'a BTreeMap<InterfaceName, Wiring>,
    /// Whether that is all.
    pub(super) knowledge: Knowledge,
    /// What the kernel holds.
    pub(super) observed: &'a Observed,
    /// What of it we have made.
    pub(super) ours: &'a Ours,
    /// Addresses whose connections are being deleted.
    pub(super) flushing: &'a BTreeSet<IpAddr>,
    /// Addresses that were wanted at the start: unless an agent has led one to where it belongs, somebody else may
    /// have had it while nobody looked.
    pub(super) inherited: &'a BTreeSet<IpAddr>,
    /// Links so new that the routes they came with may be wanted by somebody who has not said so yet.
    pub(super) in_grace: &'a BTreeSet<u32>,
}

/// One change of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// Remove a route.
    RemoveRoute(RouteKey, Path),
    /// Remove a permanent neighbour.
    RemoveNeighbour {
        /// The link.
        index: u32,
        /// The address.
        address: Ipv4Addr,
    },
    /// Make a permanent neighbour, in the place of any other of that address.
    SetNeighbour {
        /// The link.
        index: u32,
        /// The address.
        address: Ipv4Addr,
        /// The hardware address.
        mac: [u8; 6],
    },
    /// Make a route where there is none.
    AddRoute(RouteKey, Path),
    /// Make a route in the place of another through the same link.
    ReplaceRoute(RouteKey, Path),
}

impl Operation {
    /// Returns the link that it concerns.
    pub(super) fn index(&self) -> u32 {
        match self {
            Self::RemoveRoute(key, _) | Self::AddRoute(key, _) | Self::ReplaceRoute(key, _) => {
                key.index
            }
            Self::RemoveNeighbour { index, .. } | Self::SetNeighbour { index, .. } => *index,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoveRoute(key, _) => write!(f, "remove the route to {}", key.destination),
            Self::AddRoute(key, _) => write!(f, "add the route to {}", key.destination),
            Self::ReplaceRoute(key, _) => write!(f, "replace the route to {}", key.destination),
            Self::RemoveNeighbour { address, .. } => write!(f, "remove the neighbour {address}"),
            Self::SetNeighbour { address, .. } => write!(f, "set the neighbour {address}"),
        }
    }
}

/// What is to be done, in order, and what else was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The operations: routes that must go before others come, then neighbours and routes, then what is left
    /// over beside the routes that stay.
    pub(super) operations: Vec<Operation>,
    /// Addresses that have left a link, or whose former owner nobody knows. Their connections are deleted after the
    /// removals, and until that is done no route of ours leads to them.
    pub(super) flush: BTreeSet<IpAddr>,
    /// The second kind of these: they belong to the link that a route leads them to meanwhile.
    pub(super) doubted: BTreeSet<IpAddr>,
    /// Addresses whose former owner is known from now on, or forgotten.
    pub(super) known: BTreeSet<IpAddr>,
    /// Links of which a route waits for that.
    pub(super) waiting: BTreeSet<u32>,
    /// What is as wanted already, as the operation that would have made it.
    pub(super) standing: Vec<Operation>,
    /// Addresses that a route in the place of ours leads to the link which they belong to, be it another's.
    pub(super) led: BTreeMap<IpAddr, u32>,
    /// Addresses that several links want.
    pub(super) contested: BTreeSet<IpAddr>,
    /// Links on which something stays only because they are so new.
    pub(super) spared: BTreeSet<u32>,
}

/// Makes the plan.
pub(super) fn plan(view: &View<'_>) -> Plan {
    let desired = desired(view);
    let mut plan = Plan::default();
    let mut present = present(view, &desired, &mut plan);
    remove_neighbours(view, &desired.macs, &mut plan);
    plan.flush = departed(view, &desired.holders, &plan.operations);
    let unknown = desired.holders.keys().filter(|address| {
        view.inherited.contains(*address)
            && !present.adopted.contains(*address)
            && !view.flushing.contains(*address)
    });
    plan.doubted = unknown.copied().collect();
    plan.doubted.retain(|address| !plan.flush.contains(address));
    plan.flush.extend(&plan.doubted);
    plan.known = present.adopted.union(&plan.flush).copied().collect();
    let waits = |address: &IpAddr| plan.flush.contains(address) || view.flushing.contains(address);
    for ((index, address), mac) in &desired.macs {
        let neighbour = Operation::SetNeighbour {
            index: *index,
            address: *address,
            mac: *mac,
        };
        if view.observed.neighbours().get(&(*index, *address)) == Some(mac) {
            plan.standing.push(neighbour);
        } else if !waits(&IpAddr::V4(*address)) {
            // It says that the connections of who had the address before are gone.
            plan.operations.push(neighbour);
        }
    }
    for (address, index) in &desired.holders {
        if waits(address) {
            plan.waiting.insert(*index);
        } else if let Some(replacement) = present.replaced.remove(address) {
            plan.operations.push(replacement);
        } else {
            let (key, path) = route(view.settings, *address, *index);
            if view.observed.routes().contains_key(&key) {
                plan.led.insert(*address, *index);
            } else {
                plan.operations.push(Operation::AddRoute(key, path));
            }
        }
    }
    // A route that leads to the right place stays until ours is beside it.
    let removals = present.leftovers.into_iter();
    let removals = removals.filter(|(address, _)| !waits(address));
    plan.operations.extend(removals.map(|(_, removal)| removal));
    plan.contested = desired.contested;
    plan
}

/// What is there already of what is wanted.
#[derive(Default)]
struct Present {
    /// Addresses of which the kernel shows that an agent before us has led them to where they belong.
    adopted: BTreeSet<IpAddr>,
    /// What makes a route of ours out of one in its place.
    replaced: BTreeMap<IpAddr, Operation>,
    /// Removals of what leads to the right place beside ours.
    leftovers: Vec<(IpAddr, Operation)>,
}

/// Looks at the routes there are, and plans the removal of those that lead to the wrong place.
fn present(view: &View<'_>, desired: &Desired, plan: &mut Plan) -> Present {
    let mut present = Present::default();
    for (key, path) in view.observed.routes() {
        let owned = view.ours.owns(key, *path, view.observed, view.settings);
        let address = key.destination.addr();
        let host = host_net(address) == key.destination;
        let holder = desired.holders.get(&address).filter(|_| host);
        let is_right = holder == Some(&key.index);
        let ours = route(view.settings, address, key.index);
        let stands = owned && is_right && (*key, *path) == ours;
        // One that is left to others shows it as well, beside the neighbour.
        if is_right && view.shows_an_agent(desired, key, *path, stands) {
            present.adopted.insert(address);
        }
        if !owned {
            continue;
        }
        if stands {
            plan.standing.push(Operation::AddRoute(*key, *path));
            continue;
        }
        if is_right && *key == ours.0 {
            let replacement = Operation::ReplaceRoute(ours.0, ours.1);
            present.replaced.insert(address, replacement);
            continue;
        }
        let moves = holder.is_some_and(|holder| *holder != key.index);
        if moves || view.ours.made(key) || view.may_sweep(key.index, &mut plan.spared) {
            let removal = Operation::RemoveRoute(*key, *path);
            // Of an address that comes from another link, the connections go first.
            let from = view.ours.holders().get(&address);
            if is_right && from.is_none_or(|from| *from == key.index) {
                present.leftovers.push((address, removal));
            } else {
                plan.operations.push(removal);
            }
        }
    }
    present
}

/// Who gets what, once everything is as wanted.
struct Desired {
    /// The link that each address is routed to.
    holders: BTreeMap<IpAddr, u32>,
    /// The neighbours.
    macs: BTreeMap<(u32, Ipv4Addr), [u8; 6]>,
    /// The addresses that several links want.
    contested: BTreeSet<IpAddr>,
}

/// Gives each address to the one link that is up and wants it; of several, to the newest.
fn desired(view: &View<'_>) -> Desired {
    let mut holders = BTreeMap::new();
    let mut contested = BTreeSet::new();
    for (name, wiring) in view.wanted {
        let Some((index, link)) = view.observed.named(name) else {
            continue;
        };
        if link.state != LinkState::Up {
            continue;
        }
        for address in &wiring.addresses {
            if !view.settings.wires(Family::of_address(*address)) {
                continue;
            }
            let holder = holders.entry(*address).or_insert(index);
            if *holder != index {
                contested.insert(*address);
                *holder = (*holder).max(index);
            }
        }
    }
    let mut macs = BTreeMap::new();
    for (name, wiring) in view.wanted {
        let (Some(mac), Some((index, _))) = (wiring.mac, view.observed.named(name)) else {
            continue;
        };
        for address in &wiring.addresses {
            if let IpAddr::V4(v4) = address
                && holders.get(address) == Some(&index)
            {
                macs.insert((index, *v4), mac);
            }
        }
    }
    Desired {
        holders,
        macs,
        contested,
    }
}

/// Returns the route of an address through a link.
fn route(settings: &Settings, address: IpAddr, index: u32) -> (RouteKey, Path) {
    let family = Family::of_address(address);
    let key = RouteKey {
        destination: host_net(address),
        priority: settings.priority(family),
        tos: 0,
        index,
    };
    let path = Path {
        protocol: settings.protocol,
        scope: match family {
            Family::V4 => SCOPE_LINK,
            Family::V6 => 0,
        },
        source: settings.source(family),
        hop: Hop::Direct,
    };
    (key, path)
}

/// Returns the priority that the kernel gives a route whose maker names none, such as a network plugin.
fn plain_priority(key: &RouteKey) -> u32 {
    /// `IP6_RT_PRIO_USER` of `linux/ipv6_route.h`.
    const USER: u32 = 1024;
    match Family::of_net(&key.destination) {
        Family::V4 => 0,
        Family::V6 => USER,
    }
}

/// Removes permanent neighbours that are not wanted: those that we made, and on a workload's link all of them
/// where routes of others are not left alone either.
fn remove_neighbours(view: &View<'_>, macs: &BTreeMap<(u32, Ipv4Addr), [u8; 6]>, plan: &mut Plan) {
    for (index, address) in view.observed.neighbours().keys() {
        if macs.contains_key(&(*index, *address)) {
            continue;
        }
        let others_stay = match view.settings.external {
            ExternalRoutes::Removed => !is_workload(*index, view.observed, view.settings),
            ExternalRoutes::Kept => true,
        };
        let made = view.ours.made_neighbour(*index, *address);
        if made || (!others_stay && view.may_sweep(*index, &mut plan.spared)) {
            plan.operations.push(Operation::RemoveNeighbour {
                index: *index,
                address: *address,
            });
        }
    }
}

/// Returns the addresses that have left the link that they were last routed to.
///
/// A link that is down for a moment keeps its addresses, unless another has taken them.
fn departed(
    view: &View<'_>,
    holders: &BTreeMap<IpAddr, u32>,
    removals: &[Operation],
) -> BTreeSet<IpAddr> {
    let removed: BTreeSet<&RouteKey> = removals
        .iter()
        .filter_map(|operation| match operation {
            Operation::RemoveRoute(key, _) => Some(key),
            Operation::RemoveNeighbour { .. }
            | Operation::SetNeighbour { .. }
            | Operation::AddRoute(..)
            | Operation::ReplaceRoute(..) => None,
        })
        .collect();
    let mut departed = BTreeSet::new();
    for (address, index) in view.ours.holders() {
        if view.flushing.contains(address) {
            continue;
        }
        if let Some(holder) = holders.get(address) {
            if holder != index {
                departed.insert(*address);
            }
            continue;
        }
        let Some(link) = view.observed.link(*index) else {
            departed.insert(*address);
            continue;
        };
        let wiring = link.name.as_ref().and_then(|name| view.wanted.get(name));
        if wiring.is_some_and(|wiring| wiring.addresses.contains(address)) {
            continue;
        }
        let mut routes = view.routes_of(*address, *index).peekable();
        let told = match view.knowledge {
            Knowledge::Whole => true,
            Knowledge::Partial => routes.peek().is_some(),
        };
        if told && routes.all(|key| removed.contains(key)) {
            departed.insert(*address);
        }
    }
    departed
}

impl<'a> View<'a> {
    /// Tells whether what nobody wants on a link may be removed, and notes where only its newness forbids it.
    fn may_sweep(&self, index: u32, spared: &mut BTreeSet<u32>) -> bool {
        if self.knowledge == Knowledge::Partial {
            return false;
        }
        let name = self
            .observed
            .link(index)
            .and_then(|link| link.name.as_ref());
        let wired = name
            .and_then(|name| self.wanted.get(name))
            .is_some_and(|wiring| !wiring.addresses.is_empty());
        if wired || !self.in_grace.contains(&index) {
            return true;
        }
        spared.insert(index);
        false
    }

    /// Tells whether a route to the right link shows that an agent has led the address there before: then its
    /// connections are those of that link's workload.
    ///
    /// An agent gives the link its workload's hardware address as a permanent neighbour of each IPv4 address, which goes
    /// when the link does. Where the workload has none, or the route is as only an agent makes it, a route that `stands`
    /// as it should be is enough.
    fn shows_an_agent(&self, desired: &Desired, key: &RouteKey, path: Path, stands: bool) -> bool {
        let (first, last) = match key.destination.addr() {
            IpAddr::V4(address) => (address, address),
            IpAddr::V6(_) => (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST),
        };
        let mut macs = desired
            .macs
            .range((key.index, first)..=(key.index, last))
            .peekable();
        let plain = path.protocol == BOOT && key.priority == plain_priority(key);
        let enough = stands && (macs.peek().is_none() || !plain);
        enough || macs.any(|(of, mac)| self.observed.neighbours().get(of) == Some(mac))
    }

    /// Returns our routes of one address through a link.
    fn routes_of(&self, address: IpAddr, index: u32) -> impl Iterator<Item = &'a RouteKey> {
        let view = *self;
        let destination = host_net(address);
        let key = |priority, tos, index| RouteKey {
            destination,
            priority,
            tos,
            index,
        };
        self.observed
            .routes()
            .range(key(0, 0, 0)..=key(u32::MAX, u8::MAX, u32::MAX))
            .filter(move |(key, path)| {
                key.index == index && view.ours.owns(key, **path, view.observed, view.settings)
            })
            .map(|(key, _)| key)
    }
}

#[cfg(test)]
#[path = "tests/plan.rs"]
mod tests;
