//! Which workload endpoint of this host owns which interface.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::EndpointId;
use super::changes::{AdminState, WorkloadInterface};
use super::settings::{FloatingIps, Settings, SpoofedSources};
use crate::model::{Form, NatMapping, ResourceKey, WorkloadEndpoint};
use crate::net::InterfaceName;

/// The orchestrator whose floating addresses are always translated.
const OPENSTACK: &str = "openstack";

/// A workload endpoint's place among those of one interface: smaller wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    orchestrator: String,
    workload: String,
    endpoint: String,
    form: Form,
    key: ResourceKey,
}

/// What decides where an endpoint stands, and whether it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    interface: InterfaceName,
    rank: Rank,
    state: AdminState,
}

impl Claim {
    fn of(key: &ResourceKey, endpoint: &WorkloadEndpoint) -> Self {
        Self {
            interface: endpoint.interface.clone(),
            rank: Rank {
                orchestrator: endpoint.orchestrator.clone(),
                workload: endpoint.workload.clone(),
                endpoint: endpoint.endpoint.clone(),
                form: key.form,
                key: key.clone(),
            },
            state: if endpoint.active {
                AdminState::Up
            } else {
                AdminState::Down
            },
        }
    }
}

/// The workload endpoints of this host, and which of them own their interface.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    claims: BTreeMap<ResourceKey, Claim>,
    by_interface: BTreeMap<InterfaceName, BTreeSet<Rank>>,
    /// Interfaces to weigh anew.
    dirty: BTreeSet<InterfaceName>,
    owners: BTreeMap<InterfaceName, EndpointId>,
}

impl Workloads {
    /// Stores what a workload endpoint of this host claims, `None` where it is none.
    pub(super) fn set_endpoint(&mut self, key: &ResourceKey, endpoint: Option<&WorkloadEndpoint>) {
        let claim = endpoint.map(|endpoint| Claim::of(key, endpoint));
        let old = match &claim {
            Some(claim) => self.claims.insert(key.clone(), claim.clone()),
            None => self.claims.remove(key),
        };
        // What the interface needs may differ even where the claim does not.
        for claim in [&old, &claim].into_iter().flatten() {
            self.dirty.insert(claim.interface.clone());
        }
        if old == claim {
            return;
        }
        if let Some(old) = old
            && let Some(ranks) = self.by_interface.get_mut(&old.interface)
        {
            ranks.remove(&old.rank);
            if ranks.is_empty() {
                self.by_interface.remove(&old.interface);
            }
        }
        if let Some(Claim {
            interface, rank, ..
        }) = claim
        {
            self.by_interface.entry(interface).or_default().insert(rank);
        }
    }

    /// Marks every interface to be weighed anew.
    pub(super) fn mark_all(&mut self) {
        self.dirty.extend(self.by_interface.keys().cloned());
        self.dirty.extend(self.owners.keys().cloned());
    }

    /// Weighs the claims on every marked interface; returns the interfaces that were marked and the endpoints
    /// that gained or lost one.
    pub(super) fn resolve(
        &mut self,
        settings: &Settings,
    ) -> (BTreeSet<InterfaceName>, BTreeSet<EndpointId>) {
        let marked = std::mem::take(&mut self.dirty);
        let mut endpoints = BTreeSet::new();
        for interface in &marked {
            let ranks = self
                .by_interface
                .get(interface)
                .filter(|_| settings.is_workload(interface));
            let winner = ranks.and_then(BTreeSet::first).map(|rank| rank.key.clone());
            let old = match &winner {
                Some(winner) => self.owners.insert(interface.clone(), winner.clone()),
                None => self.owners.remove(interface),
            };
            if old != winner {
                endpoints.extend(old.into_iter().chain(winner));
            }
        }
        (marked, endpoints)
    }

    /// Returns the owner of an interface as last resolved.
    pub(super) fn owner(&self, interface: &InterfaceName) -> Option<&EndpointId> {
        self.owners.get(interface)
    }

    /// Tells whether an endpoint's policy is asked: it owns its interface and is up.
    pub(super) fn is_in_force(&self, endpoint: &EndpointId) -> bool {
        self.claims.get(endpoint).is_some_and(|claim| {
            claim.state == AdminState::Up && self.owners.get(&claim.interface) == Some(endpoint)
        })
    }

    /// Returns the endpoints that own no interface, each with its interface and that interface's owner.
    pub(super) fn shadowed(
        &self,
    ) -> impl Iterator<Item = (&EndpointId, &InterfaceName, Option<&EndpointId>)> {
        self.claims.iter().filter_map(|(key, claim)| {
            let owner = self.owners.get(&claim.interface);
            (owner != Some(key)).then_some((key, &claim.interface, owner))
        })
    }
}

/// Works out what an interface is given for the endpoint that owns it.
pub(super) fn interface_of(
    key: &EndpointId,
    endpoint: &WorkloadEndpoint,
    settings: &Settings,
) -> Arc<WorkloadInterface> {
    let translated = match settings.floating_ips {
        FloatingIps::All => true,
        FloatingIps::OpenStack => endpoint.orchestrator == OPENSTACK,
    };
    let mut floating: Vec<NatMapping> = endpoint.nat.clone();
    floating.retain(|_| translated);
    floating.sort_unstable();
    floating.dedup();
    Arc::new(WorkloadInterface {
        endpoint: key.clone(),
        state: if endpoint.active {
            AdminState::Up
        } else {
            AdminState::Down
        },
        addresses: endpoint.nets.iter().map(ipnet::IpNet::addr).collect(),
        mac: endpoint.mac,
        floating,
        spoofable: match settings.spoofed_sources {
            SpoofedSources::Allowed => endpoint.allow_spoofed_sources.clone(),
            SpoofedSources::Refused => Vec::new(),
        },
    })
}
