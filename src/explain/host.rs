//! A host: what there is, and which endpoint an interface belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::{Member, Resources, labels_of, members};
use super::settings::{FloatingAddresses, Settings, SourceSpoofing};
use crate::model::{
    Form, HostEndpoint, HostInterface, LabelMap, ProfileId, Resource, ResourceKey, WorkloadEndpoint,
};
use crate::net::{InterfaceName, host_net};

/// The orchestrator whose endpoints always have their outside addresses.
const OPENSTACK: &str = "openstack";

/// A host with its resources, interfaces and settings.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) settings: Settings,
    pub(super) resources: Resources,
    pub(super) members: Vec<Member>,
    links: BTreeMap<InterfaceName, BTreeSet<IpAddr>>,
}

/// The four lists of a host endpoint, which are asked in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Untracked,
    PreDnat,
    Normal,
    Forward,
}

/// An endpoint as its own policy sees it.
#[derive(Debug)]
pub(super) struct Subject<'h> {
    /// Its resource.
    pub(super) key: &'h ResourceKey,
    /// Its labels, with those inherited.
    pub(super) labels: LabelMap,
    /// Its profiles, in order.
    pub(super) profiles: &'h [ProfileId],
}

impl Host {
    /// Makes a host from its settings, the resources of the whole cluster, and the host's interfaces.
    pub fn new(
        settings: Settings,
        mut resources: BTreeMap<ResourceKey, Arc<Resource>>,
        links: BTreeMap<InterfaceName, BTreeSet<IpAddr>>,
    ) -> Self {
        resources.retain(|_, resource| !is_invalid(&settings, resource));
        Self {
            settings,
            members: members(&resources),
            resources,
            links,
        }
    }

    /// Tells whether an address is one of this host's own.
    pub fn is_own_address(&self, address: IpAddr) -> bool {
        self.links
            .values()
            .any(|addresses| addresses.contains(&address))
    }

    /// Returns the interface of the local workload that an address belongs to, the first by name.
    pub fn workload_interface(&self, address: IpAddr) -> Option<&InterfaceName> {
        self.local_workloads()
            .filter(|(_, endpoint)| {
                let owner = self.workload_endpoint(&endpoint.interface);
                owner.is_some_and(|(_, owner)| owner == *endpoint)
            })
            .filter(|(_, endpoint)| self.leads_to(endpoint, address))
            .map(|(_, endpoint)| &endpoint.interface)
            .min()
    }

    /// Returns the endpoint whose list is asked about an interface.
    ///
    /// An endpoint for this very interface takes the place of `*` in every list, also in one in which it has
    /// nothing to say. The interfaces of workloads are for `*` alone, and only before translation and on the way
    /// through: for the rest they have endpoints of their own.
    pub(super) fn host_endpoint(
        &self,
        interface: &InterfaceName,
        list: List,
    ) -> Option<(&ResourceKey, &HostEndpoint)> {
        let workload = self.settings.is_workload(interface.as_str());
        if !workload && let Some(own) = self.specific_endpoint(interface) {
            return Some(own);
        }
        let everywhere = match list {
            List::Untracked | List::Normal => !workload,
            List::PreDnat | List::Forward => true,
        };
        self.local_host_endpoints()
            .filter(|_| everywhere)
            .filter(|(_, endpoint)| endpoint.interface == Some(HostInterface::Any))
            .min_by_key(|(key, _)| (&key.name, key.form))
    }

    /// Returns the endpoint that is for this host interface by name or address: of several the first by name.
    fn specific_endpoint(
        &self,
        interface: &InterfaceName,
    ) -> Option<(&ResourceKey, &HostEndpoint)> {
        let excluded = &self.settings.interface_exclude;
        if excluded
            .iter()
            .any(|pattern| pattern.matches(interface.as_str()))
        {
            return None;
        }
        let addresses = self.links.get(interface);
        let is_for = |endpoint: &HostEndpoint| match &endpoint.interface {
            Some(HostInterface::Name(name)) => name == interface,
            Some(HostInterface::Any) => false,
            None => addresses.is_some_and(|addresses| {
                endpoint
                    .expected_ips
                    .iter()
                    .any(|ip| addresses.contains(ip))
            }),
        };
        self.local_host_endpoints()
            .filter(|(_, endpoint)| is_for(endpoint))
            .min_by_key(|(key, _)| (&key.name, key.form))
    }

    /// Returns the endpoint of a workload's interface: of several the first by orchestrator, workload and name.
    pub(super) fn workload_endpoint(
        &self,
        interface: &InterfaceName,
    ) -> Option<(&ResourceKey, &WorkloadEndpoint)> {
        self.local_workloads()
            .filter(|(_, endpoint)| endpoint.interface == *interface)
            .min_by_key(|(key, endpoint)| {
                (
                    &endpoint.orchestrator,
                    &endpoint.workload,
                    &endpoint.endpoint,
                    key.form,
                )
            })
    }

    /// Tells whether the route to an address leads to the interface of a workload endpoint.
    pub(super) fn leads_to(&self, endpoint: &WorkloadEndpoint, address: IpAddr) -> bool {
        let floating = match self.settings.floating_addresses {
            FloatingAddresses::All => true,
            FloatingAddresses::OpenStackOnly => endpoint.orchestrator == OPENSTACK,
        };
        let outside = endpoint.nat.iter().map(|nat| nat.external);
        endpoint.active
            && (endpoint.nets.contains(&host_net(address))
                || floating && outside.into_iter().any(|external| external == address))
    }

    /// Returns a host endpoint as its own policy sees it.
    pub(super) fn host_subject<'h>(
        &self,
        key: &'h ResourceKey,
        endpoint: &'h HostEndpoint,
    ) -> Subject<'h> {
        Subject {
            key,
            labels: labels_of(&self.resources, &endpoint.labels, &endpoint.profiles),
            profiles: &endpoint.profiles,
        }
    }

    /// Returns a workload endpoint as its own policy sees it.
    pub(super) fn workload_subject<'h>(
        &self,
        key: &'h ResourceKey,
        endpoint: &'h WorkloadEndpoint,
    ) -> Subject<'h> {
        Subject {
            key,
            labels: labels_of(&self.resources, &endpoint.labels, &endpoint.profiles),
            profiles: &endpoint.profiles,
        }
    }

    fn local_host_endpoints(&self) -> impl Iterator<Item = (&ResourceKey, &HostEndpoint)> {
        self.resources
            .iter()
            .filter_map(|(key, resource)| Some((key, resource.as_host_endpoint()?)))
            .filter(|(_, endpoint)| endpoint.node == self.settings.node)
    }

    /// Returns the workload endpoints of this host, save those whose interface no workload can have.
    fn local_workloads(&self) -> impl Iterator<Item = (&ResourceKey, &WorkloadEndpoint)> {
        self.resources
            .iter()
            .filter_map(|(key, resource)| Some((key, resource.as_workload_endpoint()?)))
            .filter(|(_, endpoint)| {
                endpoint.node == self.settings.node
                    && self.settings.is_workload(endpoint.interface.as_str())
            })
    }
}

impl Subject<'_> {
    /// Tells whether the endpoint was written in the v1 form, whose policy holds for forwarded traffic too.
    pub(super) fn is_v1(&self) -> bool {
        match self.key.form {
            Form::V1 => true,
            Form::V3 => false,
        }
    }
}

/// Tells whether a resource counts as absent because of what is configured.
fn is_invalid(settings: &Settings, resource: &Resource) -> bool {
    let asks = resource
        .as_workload_endpoint()
        .is_some_and(|endpoint| !endpoint.allow_spoofed_sources.is_empty());
    match settings.source_spoofing {
        SourceSpoofing::Disabled => asks,
        SourceSpoofing::Any => false,
    }
}
