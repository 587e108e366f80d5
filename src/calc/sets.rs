//! The sets that rules refer to, with their members.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::label_index::{LabelIndex, Match, MatchChange, SelectorId};
use super::prefixes::{Change, Prefix, Prefixes};
use super::slab::Slab;
use super::{Member, Members, SetChange, SetId, SetMembers, SetSize};
use crate::model::{EndpointPort, PortName, ProfileId, Resource, ResourceKey};
use crate::net::{Family, Protocol, host_net};
use crate::selector::Selector;

/// Which of an item's properties a set collects.
#[derive(Debug)]
enum Collects {
    Addresses {
        v4: Prefixes<u32>,
        v6: Prefixes<u128>,
    },
    Ports {
        name: PortName,
        protocol: Option<Protocol>,
        counts: BTreeMap<(IpAddr, Protocol, u16), u32>,
        /// How many of the different members are of IPv4.
        v4: usize,
    },
}

/// What whoever takes the changes knows of a set.
#[derive(Debug)]
enum Known {
    /// Nothing: it is new.
    No,
    /// All but these changes.
    Except(BTreeMap<Member, Change>),
}

#[derive(Debug)]
struct Set {
    id: SetId,
    selector: SelectorId,
    users: usize,
    collects: Collects,
    known: Known,
}

/// Every set in use, fed by everything that has labels.
#[derive(Debug)]
pub(super) struct Sets {
    index: LabelIndex,
    slab: Slab<Set>,
    ids: BTreeMap<SetId, u32>,
    by_selector: BTreeMap<SelectorId, Vec<u32>>,
    /// Sets that changed since changes were last taken.
    touched: BTreeSet<u32>,
}

impl Sets {
    /// Makes an empty collection.
    pub(super) fn new() -> Self {
        Self {
            index: LabelIndex::new(),
            slab: Slab::new(),
            ids: BTreeMap::new(),
            by_selector: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Returns everything that may be selected.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&ResourceKey, &Arc<Resource>)> {
        self.index.resources()
    }

    /// Returns what a key names among them.
    pub(super) fn resource(&self, key: &ResourceKey) -> Option<&Arc<Resource>> {
        self.index.resource(self.index.item_id(key)?)
    }

    /// Returns how many sets are in use, and how many members they have together.
    pub(super) fn count(&self) -> (usize, usize) {
        let members = self.slab.iter().map(|(_, set)| set.collects.count());
        (self.ids.len(), members.sum())
    }

    /// Stores what a profile hands down.
    pub(super) fn set_profile(&mut self, id: &ProfileId, resource: Option<&Arc<Resource>>) {
        let matches = self.index.set_profile(id, resource);
        for found in matches {
            if let Some(resource) = self.index.resource(found.item).cloned() {
                self.follow(found, &resource);
            }
        }
    }

    /// Stores an item, or forgets it, and moves its members along.
    pub(super) fn set_item(&mut self, key: &ResourceKey, resource: Option<Arc<Resource>>) {
        let Some(resource) = resource else {
            if let Some((selectors, old)) = self.index.remove_item(key) {
                for selector in selectors {
                    self.each_set(selector, |set| set.change(&old, None));
                }
            }
            return;
        };
        let old = self.resource(key).cloned();
        if old.as_ref() == Some(&resource) {
            return;
        }
        let matches = self.index.set_item(key, &resource);
        let mut began = BTreeSet::new();
        for found in &matches {
            match found.change {
                MatchChange::Began => {
                    began.insert(found.selector);
                    self.each_set(found.selector, |set| set.change_from(None, &resource));
                }
                MatchChange::Ended => {
                    if let Some(old) = &old {
                        self.each_set(found.selector, |set| set.change(old, None));
                    }
                }
            }
        }
        let Some(old) = old.filter(|old| contributes(old) != contributes(&resource)) else {
            return;
        };
        let Some(id) = self.index.item_id(key) else {
            return;
        };
        for selector in self.index.selectors_of(id).to_vec() {
            if !began.contains(&selector) {
                self.each_set(selector, |set| set.change(&old, Some(&resource)));
            }
        }
    }

    /// Counts one more user of a set; a new one is filled.
    pub(super) fn acquire(&mut self, id: &SetId) {
        if let Some(number) = self.ids.get(id) {
            if let Some(set) = self.slab.get_mut(*number) {
                set.users += 1;
            }
            return;
        }
        let (selector, collects) = Collects::new(id);
        let selector = self.index.acquire(selector);
        let mut set = Set {
            id: id.clone(),
            selector,
            users: 1,
            collects,
            known: Known::No,
        };
        for item in self.index.items_of(selector) {
            if let Some(resource) = self.index.resource(item) {
                set.change_from(None, resource);
            }
        }
        let number = self.slab.insert(set);
        self.ids.insert(id.clone(), number);
        self.by_selector.entry(selector).or_default().push(number);
        self.touched.insert(number);
    }

    /// Counts one user of a set less.
    ///
    /// One without users is kept until changes are taken, so that a rule may go and come back unnoticed.
    pub(super) fn release(&mut self, id: &SetId) {
        let Some(number) = self.ids.get(id) else {
            return;
        };
        if let Some(set) = self.slab.get_mut(*number) {
            set.users = set.users.saturating_sub(1);
            self.touched.insert(*number);
        }
    }

    /// Returns what differs since this was last asked.
    pub(super) fn take(&mut self) -> BTreeMap<SetId, SetChange> {
        let mut changes = BTreeMap::new();
        for number in std::mem::take(&mut self.touched) {
            let Some(set) = self.slab.get_mut(number) else {
                continue;
            };
            if set.users == 0 {
                if let Some(id) = self.forget(number) {
                    changes.insert(id, SetChange::Gone);
                }
                continue;
            }
            let known = std::mem::replace(&mut set.known, Known::Except(BTreeMap::new()));
            let change = match known {
                Known::No => SetChange::Whole,
                Known::Except(members) if members.is_empty() => continue,
                Known::Except(members) => {
                    let mut added = Vec::new();
                    let mut removed = Vec::new();
                    for (member, change) in members {
                        match change {
                            Change::Came => added.push(member),
                            Change::Went => removed.push(member),
                        }
                    }
                    SetChange::Members { added, removed }
                }
            };
            changes.insert(set.id.clone(), change);
        }
        changes
    }

    /// Returns the names of all sets in use.
    pub(super) fn ids(&self) -> impl Iterator<Item = &SetId> {
        self.ids.keys()
    }

    /// Removes a set and returns its name where its existence was told.
    fn forget(&mut self, number: u32) -> Option<SetId> {
        let set = self.slab.remove(number)?;
        self.ids.remove(&set.id);
        if let Some(numbers) = self.by_selector.get_mut(&set.selector) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_selector.remove(&set.selector);
            }
        }
        self.index.release(set.selector);
        match set.known {
            Known::No => None,
            Known::Except(_) => Some(set.id),
        }
    }

    fn follow(&mut self, found: Match, resource: &Arc<Resource>) {
        self.each_set(found.selector, |set| match found.change {
            MatchChange::Began => set.change_from(None, resource),
            MatchChange::Ended => set.change(resource, None),
        });
    }

    fn each_set(&mut self, selector: SelectorId, mut act: impl FnMut(&mut Set)) {
        for number in self.by_selector.get(&selector).into_iter().flatten() {
            if let Some(set) = self.slab.get_mut(*number) {
                act(set);
                self.touched.insert(*number);
            }
        }
    }
}

impl SetMembers for Sets {
    fn size(&self, set: &SetId, family: Family) -> SetSize {
        let set = self.ids.get(set).and_then(|number| self.slab.get(*number));
        set.map(|set| set.collects.size(family)).unwrap_or_default()
    }

    fn members(&self, set: &SetId, family: Family) -> Members<'_> {
        let set = self.ids.get(set).and_then(|number| self.slab.get(*number));
        match set {
            Some(set) => set.collects.members(family),
            None => Box::new(std::iter::empty()),
        }
    }
}

impl Set {
    /// Moves from what one state of an item contributes to what another does.
    fn change(&mut self, old: &Resource, new: Option<&Resource>) {
        self.apply(Some(old), new);
    }

    fn change_from(&mut self, old: Option<&Resource>, new: &Resource) {
        self.apply(old, Some(new));
    }

    fn apply(&mut self, old: Option<&Resource>, new: Option<&Resource>) {
        let known = &mut self.known;
        match &mut self.collects {
            Collects::Addresses { v4, v6 } => {
                let [old, new] = [old, new].map(|item| item.map(nets_of).unwrap_or_default());
                // A list may be long and the change small, and a list need not be in order.
                let (old, new) = without_common_ends(&old, &new);
                let sorted = |nets: &[IpNet]| {
                    let mut nets = nets.to_vec();
                    nets.sort_unstable();
                    nets
                };
                for (change, net) in differences(&sorted(old), &sorted(new)) {
                    match net {
                        IpNet::V4(net) => {
                            let prefix = (u32::from(net.network()), net.prefix_len());
                            let report = |change, prefix| known.note(change, member_v4(prefix));
                            match change {
                                Change::Came => v4.add(prefix, report),
                                Change::Went => v4.remove(prefix, report),
                            }
                        }
                        IpNet::V6(net) => {
                            let prefix = (u128::from(net.network()), net.prefix_len());
                            let report = |change, prefix| known.note(change, member_v6(prefix));
                            match change {
                                Change::Came => v6.add(prefix, report),
                                Change::Went => v6.remove(prefix, report),
                            }
                        }
                    }
                }
            }
            Collects::Ports {
                name,
                protocol,
                counts,
                v4,
            } => {
                let collect = |resource: Option<&Resource>| {
                    let mut ports = resource
                        .map(|resource| ports_of(resource, name, *protocol))
                        .unwrap_or_default();
                    ports.sort_unstable();
                    ports
                };
                for (change, port) in differences(&collect(old), &collect(new)) {
                    let in_v4 = usize::from(port.0.is_ipv4());
                    let count = counts.entry(port).or_insert(0);
                    let noted = match change {
                        Change::Came => {
                            *count += 1;
                            *count == 1
                        }
                        Change::Went => {
                            *count = count.saturating_sub(1);
                            *count == 0
                        }
                    };
                    if noted {
                        match change {
                            Change::Came => *v4 += in_v4,
                            Change::Went => {
                                counts.remove(&port);
                                *v4 -= in_v4;
                            }
                        }
                        known.note(change, Member::Port(port.0, port.1, port.2));
                    }
                }
            }
        }
    }
}

impl Known {
    /// Notes a change of a member; one that undoes the last leaves nothing.
    fn note(&mut self, change: Change, member: Member) {
        match self {
            Self::No => {}
            Self::Except(members) => match members.get(&member) {
                Some(earlier) if *earlier != change => {
                    members.remove(&member);
                }
                Some(_) | None => {
                    members.insert(member, change);
                }
            },
        }
    }
}

impl Collects {
    fn new(id: &SetId) -> (&Selector, Self) {
        match id {
            SetId::Addresses(selector) => (
                selector,
                Self::Addresses {
                    v4: Prefixes::new(),
                    v6: Prefixes::new(),
                },
            ),
            SetId::NamedPort {
                selector,
                name,
                protocol,
            } => (
                selector,
                Self::Ports {
                    name: name.clone(),
                    protocol: *protocol,
                    counts: BTreeMap::new(),
                    v4: 0,
                },
            ),
        }
    }

    /// Counts the members of both families.
    fn count(&self) -> usize {
        match self {
            Self::Addresses { v4, v6 } => {
                let lengths = v4.maximal().values().chain(v6.maximal().values());
                lengths.sum()
            }
            Self::Ports { counts, .. } => counts.len(),
        }
    }

    fn size(&self, family: Family) -> SetSize {
        let full = |count: usize| {
            let lengths = (count > 0).then_some((family.bits(), count));
            lengths.into_iter().collect()
        };
        let lengths = match (self, family) {
            (Self::Addresses { v4, .. }, Family::V4) => v4.maximal().clone(),
            (Self::Addresses { v6, .. }, Family::V6) => v6.maximal().clone(),
            (Self::Ports { v4, .. }, Family::V4) => full(*v4),
            (Self::Ports { counts, v4, .. }, Family::V6) => full(counts.len() - v4),
        };
        SetSize { lengths }
    }

    fn members(&self, family: Family) -> Members<'_> {
        match (self, family) {
            (Self::Addresses { v4, .. }, Family::V4) => Box::new(v4.iter().map(member_v4)),
            (Self::Addresses { v6, .. }, Family::V6) => Box::new(v6.iter().map(member_v6)),
            (Self::Ports { counts, .. }, _) => {
                let of_family = counts
                    .keys()
                    .filter(move |(address, _, _)| Family::of_address(*address) == family);
                Box::new(
                    of_family
                        .map(|(address, protocol, port)| Member::Port(*address, *protocol, *port)),
                )
            }
        }
    }
}

/// Makes a prefix of its first address as a number and its length.
pub(super) fn net_v4((address, length): Prefix<u32>) -> IpNet {
    let address = Ipv4Addr::from(address);
    Ipv4Net::new(address, length)
        .unwrap_or(address.into())
        .into()
}

/// Makes a prefix of its first address as a number and its length.
pub(super) fn net_v6((address, length): Prefix<u128>) -> IpNet {
    let address = Ipv6Addr::from(address);
    Ipv6Net::new(address, length)
        .unwrap_or(address.into())
        .into()
}

fn member_v4(prefix: Prefix<u32>) -> Member {
    Member::Net(net_v4(prefix))
}

fn member_v6(prefix: Prefix<u128>) -> Member {
    Member::Net(net_v6(prefix))
}

/// What an item gives to sets, to see whether a change of it matters to them.
fn contributes(resource: &Resource) -> (Cow<'_, [IpNet]>, &[EndpointPort]) {
    let ports = match resource {
        Resource::HostEndpoint(endpoint) => &endpoint.ports,
        Resource::WorkloadEndpoint(endpoint) => &endpoint.ports,
        Resource::NetworkSet(_)
        | Resource::Policy(_)
        | Resource::StagedPolicy
        | Resource::Tier(_)
        | Resource::Profile(_)
        | Resource::Node(_)
        | Resource::IpPool(_)
        | Resource::FelixConfiguration(_)
        | Resource::ClusterInformation(_) => [].as_slice(),
    };
    (nets_of(resource), ports)
}

/// Returns the prefixes that belong to an item.
fn nets_of(resource: &Resource) -> Cow<'_, [IpNet]> {
    match resource {
        Resource::HostEndpoint(endpoint) => endpoint
            .expected_ips
            .iter()
            .copied()
            .map(host_net)
            .collect(),
        Resource::WorkloadEndpoint(endpoint) => endpoint.nets.as_slice().into(),
        Resource::NetworkSet(set) => set.nets.as_slice().into(),
        Resource::Policy(_)
        | Resource::StagedPolicy
        | Resource::Tier(_)
        | Resource::Profile(_)
        | Resource::Node(_)
        | Resource::IpPool(_)
        | Resource::FelixConfiguration(_)
        | Resource::ClusterInformation(_) => Cow::default(),
    }
}

/// Returns the ports of one name on all addresses of an item.
fn ports_of(
    resource: &Resource,
    name: &PortName,
    protocol: Option<Protocol>,
) -> Vec<(IpAddr, Protocol, u16)> {
    let (nets, ports) = contributes(resource);
    let fitting: Vec<&EndpointPort> = ports
        .iter()
        .filter(|port| {
            port.name == *name
                && protocol.map_or(port.protocol.has_ports(), |only| only == port.protocol)
        })
        .collect();
    nets.iter()
        .flat_map(|net| {
            fitting
                .iter()
                .map(|port| (net.addr(), port.protocol, port.port))
        })
        .collect()
}

/// Leaves out what two lists begin and end with in common.
fn without_common_ends<'a, T: PartialEq>(old: &'a [T], new: &'a [T]) -> (&'a [T], &'a [T]) {
    let same = |(before, after): &(&T, &T)| before == after;
    let start = old.iter().zip(new).take_while(same).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(same)
        .count();
    (&old[..old.len() - end], &new[..new.len() - end])
}

/// Compares two ascending lists: what only the new one has came, what only the old one has went.
///
/// A value that stands several times counts as often.
fn differences<T: Ord + Copy>(old: &[T], new: &[T]) -> Vec<(Change, T)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.cmp(after),
        };
        let before = old.next_if(|_| order.is_le());
        let after = new.next_if(|_| order.is_ge());
        match (before, after) {
            (Some(before), None) => found.push((Change::Went, *before)),
            (None, Some(after)) => found.push((Change::Came, *after)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
