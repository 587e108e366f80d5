//! Which host endpoint owns which interface.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::settings::Settings;
use super::{EndpointId, EndpointStatus, LinkUpdate};
use crate::model::{Form, HostEndpoint, HostInterface, ResourceKey};
use crate::net::InterfaceName;

/// A host endpoint's place among those that want the same interface: smaller wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    name: Arc<str>,
    form: Form,
    key: ResourceKey,
}

impl Rank {
    fn new(key: &ResourceKey) -> Self {
        Self {
            name: Arc::clone(&key.name),
            form: key.form,
            key: key.clone(),
        }
    }
}

/// What decides where an endpoint belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Claim {
    Any,
    Name(InterfaceName),
    Addresses(BTreeSet<IpAddr>),
}

impl Claim {
    fn of(endpoint: &HostEndpoint) -> Self {
        match &endpoint.interface {
            Some(HostInterface::Any) => Self::Any,
            Some(HostInterface::Name(name)) => Self::Name(name.clone()),
            None => Self::Addresses(endpoint.expected_ips.iter().copied().collect()),
        }
    }
}

/// The host endpoints of this host, its interfaces, and who owns which.
///
/// An endpoint that names an interface owns it before it exists, so that its first packet is policed. That
/// cannot change who wins once it exists, since every claim is weighed anew as soon as addresses are known.
#[derive(Debug)]
pub(super) struct Bindings {
    claims: BTreeMap<ResourceKey, Claim>,
    by_name: BTreeMap<InterfaceName, BTreeSet<Rank>>,
    by_address: BTreeMap<IpAddr, BTreeSet<Rank>>,
    any: BTreeSet<Rank>,
    links: BTreeMap<InterfaceName, BTreeSet<IpAddr>>,
    links_by_address: BTreeMap<IpAddr, BTreeSet<InterfaceName>>,
    /// Interfaces to weigh anew.
    dirty: BTreeSet<HostInterface>,
    owners: BTreeMap<HostInterface, EndpointId>,
    owned: BTreeMap<EndpointId, BTreeSet<HostInterface>>,
}

impl Bindings {
    /// Makes an empty collection.
    pub(super) fn new() -> Self {
        Self {
            claims: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_address: BTreeMap::new(),
            any: BTreeSet::new(),
            links: BTreeMap::new(),
            links_by_address: BTreeMap::new(),
            dirty: BTreeSet::new(),
            owners: BTreeMap::new(),
            owned: BTreeMap::new(),
        }
    }

    /// Stores what a host endpoint of this host claims, `None` where it is none.
    pub(super) fn set_endpoint(&mut self, key: &ResourceKey, endpoint: Option<&HostEndpoint>) {
        let claim = endpoint.map(Claim::of);
        if self.claims.get(key) == claim.as_ref() {
            return;
        }
        if let Some(old) = self.claims.remove(key) {
            self.withdraw(key, &old);
        }
        if let Some(claim) = claim {
            self.enter(key, &claim);
            self.claims.insert(key.clone(), claim);
        }
    }

    /// Stores an interface with its addresses, or forgets it.
    pub(super) fn set_link(&mut self, link: LinkUpdate) {
        let LinkUpdate { name, addresses } = link;
        let old = match &addresses {
            Some(addresses) => self.links.insert(name.clone(), addresses.clone()),
            None => self.links.remove(&name),
        };
        if old == addresses {
            return;
        }
        for address in old.iter().flatten() {
            if let Some(names) = self.links_by_address.get_mut(address) {
                names.remove(&name);
                if names.is_empty() {
                    self.links_by_address.remove(address);
                }
            }
        }
        for address in addresses.iter().flatten() {
            self.links_by_address
                .entry(*address)
                .or_default()
                .insert(name.clone());
        }
        self.dirty.insert(HostInterface::Name(name));
    }

    /// Marks every interface to be weighed anew.
    pub(super) fn mark_all(&mut self) {
        self.dirty.insert(HostInterface::Any);
        let names = self.links.keys().chain(self.by_name.keys()).cloned();
        self.dirty.extend(names.map(HostInterface::Name));
    }

    /// Weighs the claims on every marked interface; returns the interfaces whose owner changed and the
    /// endpoints that gained or lost one.
    pub(super) fn resolve(
        &mut self,
        settings: &Settings,
    ) -> (BTreeSet<HostInterface>, BTreeSet<EndpointId>) {
        let mut interfaces = BTreeSet::new();
        let mut endpoints = BTreeSet::new();
        for interface in std::mem::take(&mut self.dirty) {
            let winner = self
                .winner(&interface, settings)
                .map(|rank| rank.key.clone());
            let old = match &winner {
                Some(winner) => self.owners.insert(interface.clone(), winner.clone()),
                None => self.owners.remove(&interface),
            };
            if old == winner {
                continue;
            }
            if let Some(old) = old {
                if let Some(owned) = self.owned.get_mut(&old) {
                    owned.remove(&interface);
                    if owned.is_empty() {
                        self.owned.remove(&old);
                    }
                }
                endpoints.insert(old);
            }
            if let Some(winner) = winner {
                self.owned
                    .entry(winner.clone())
                    .or_default()
                    .insert(interface.clone());
                endpoints.insert(winner);
            }
            interfaces.insert(interface);
        }
        (interfaces, endpoints)
    }

    /// Returns the owner of an interface as last resolved.
    pub(super) fn owner(&self, interface: &HostInterface) -> Option<&EndpointId> {
        self.owners.get(interface)
    }

    /// Tells whether an endpoint owns some interface.
    pub(super) fn is_bound(&self, endpoint: &EndpointId) -> bool {
        self.owned.contains_key(endpoint)
    }

    /// Returns the interfaces that an endpoint owns.
    pub(super) fn owned(&self, endpoint: &EndpointId) -> BTreeSet<HostInterface> {
        self.owned.get(endpoint).cloned().unwrap_or_default()
    }

    /// Returns how each host endpoint of this host fares, in order of their keys.
    pub(super) fn status(&self) -> impl Iterator<Item = EndpointStatus> + '_ {
        self.claims.iter().map(|(key, claim)| {
            let interfaces = self.owned(key);
            let wanted: BTreeSet<HostInterface> = match claim {
                Claim::Any => BTreeSet::from([HostInterface::Any]),
                Claim::Name(name) => BTreeSet::from([HostInterface::Name(name.clone())]),
                Claim::Addresses(addresses) => addresses
                    .iter()
                    .filter_map(|address| self.links_by_address.get(address))
                    .flatten()
                    .map(|name| HostInterface::Name(name.clone()))
                    .collect(),
            };
            let lost = |interface: &HostInterface| {
                let owner = self.owners.get(interface).filter(|owner| *owner != key)?;
                Some((interface.clone(), owner.clone()))
            };
            let exists = |interface: &HostInterface| match interface {
                HostInterface::Any => true,
                HostInterface::Name(name) => self.links.contains_key(name),
            };
            EndpointStatus {
                endpoint: key.clone(),
                absent: wanted
                    .iter()
                    .filter(|name| !exists(name))
                    .cloned()
                    .collect(),
                shadowed: wanted.iter().filter_map(lost).collect(),
                interfaces,
            }
        })
    }

    fn enter(&mut self, key: &ResourceKey, claim: &Claim) {
        let rank = Rank::new(key);
        match claim {
            Claim::Any => {
                self.any.insert(rank);
                self.dirty.insert(HostInterface::Any);
            }
            Claim::Name(name) => {
                self.by_name.entry(name.clone()).or_default().insert(rank);
                self.dirty.insert(HostInterface::Name(name.clone()));
            }
            Claim::Addresses(addresses) => {
                for address in addresses {
                    self.by_address
                        .entry(*address)
                        .or_default()
                        .insert(rank.clone());
                    self.mark_address(*address);
                }
            }
        }
    }

    fn withdraw(&mut self, key: &ResourceKey, claim: &Claim) {
        let rank = Rank::new(key);
        match claim {
            Claim::Any => {
                self.any.remove(&rank);
                self.dirty.insert(HostInterface::Any);
            }
            Claim::Name(name) => {
                if let Some(ranks) = self.by_name.get_mut(name) {
                    ranks.remove(&rank);
                    if ranks.is_empty() {
                        self.by_name.remove(name);
                    }
                }
                self.dirty.insert(HostInterface::Name(name.clone()));
            }
            Claim::Addresses(addresses) => {
                for address in addresses {
                    if let Some(ranks) = self.by_address.get_mut(address) {
                        ranks.remove(&rank);
                        if ranks.is_empty() {
                            self.by_address.remove(address);
                        }
                    }
                    self.mark_address(*address);
                }
            }
        }
    }

    fn mark_address(&mut self, address: IpAddr) {
        let names = self.links_by_address.get(&address).into_iter().flatten();
        self.dirty.extend(names.cloned().map(HostInterface::Name));
    }

    /// Weighs the claims on one interface: the smallest wins, however it claims.
    fn winner(&self, interface: &HostInterface, settings: &Settings) -> Option<&Rank> {
        let name = match interface {
            HostInterface::Any => return self.any.first(),
            HostInterface::Name(name) => name,
        };
        if settings.is_workload(name) || settings.is_excluded(name) {
            return None;
        }
        let by_name = self.by_name.get(name).into_iter();
        let addresses = self.links.get(name).into_iter().flatten();
        let by_address = addresses.filter_map(|address| self.by_address.get(address));
        by_name.chain(by_address).filter_map(BTreeSet::first).min()
    }
}
