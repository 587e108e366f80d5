//! The calculation itself: facts in, changes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::active::Active;
use super::binding::Bindings;
use super::pools::Pools;
use super::sets::Sets;
use super::settings::Settings;
use super::settings::SpoofedSources;
use super::tracker::Tracker;
use super::workloads::{Workloads, interface_of};
use super::{
    AdminState, Changes, Counts, EndpointId, EndpointStatus, LinkUpdate, LocalEndpoint,
    LocalWorkload, Members, Owner, SetChange, SetId, SetMembers, SetSize, WorkloadInterface,
};
use crate::model::{
    HostInterface, Kind, NodeName, Place, Problem, ProfileId, Resource, ResourceKey, Severity,
    TierName, Update,
};
use crate::net::{Family, InterfaceName};

/// Folds facts into what each local endpoint must enforce.
///
/// Facts are only put down when they arrive and weighed when changes are taken, so that whatever cancels
/// out in between costs nothing. Everything that is read, be it members, status or counts, is as it was
/// when changes were last taken.
#[derive(Debug)]
pub struct Calc {
    settings: Settings,
    incoming_settings: Option<Settings>,
    incoming: BTreeMap<ResourceKey, Option<Arc<Resource>>>,
    incoming_links: BTreeMap<InterfaceName, LinkUpdate>,
    sets: Sets,
    active: Active,
    bindings: Bindings,
    workloads: Workloads,
    pools: Pools,
    interfaces: Tracker<HostInterface, EndpointId>,
    workload_interfaces: Tracker<InterfaceName, Arc<WorkloadInterface>>,
    /// Every endpoint of this host.
    locals: Tracker<EndpointId, Arc<LocalEndpoint>>,
    /// Endpoints of this host, were it not for upper and lower case in its name.
    misnamed: BTreeSet<ResourceKey>,
    /// Workload endpoints that ask for what the settings do not allow, and so count as absent.
    withheld: BTreeMap<ResourceKey, Arc<Resource>>,
    /// Whether there may be other problems than when they were last taken.
    problems_due: bool,
}

impl Calc {
    /// Starts without any facts.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            incoming_settings: None,
            incoming: BTreeMap::new(),
            incoming_links: BTreeMap::new(),
            sets: Sets::new(),
            active: Active::new(),
            bindings: Bindings::new(),
            workloads: Workloads::default(),
            pools: Pools::default(),
            interfaces: Tracker::new(),
            workload_interfaces: Tracker::new(),
            locals: Tracker::new(),
            misnamed: BTreeSet::new(),
            withheld: BTreeMap::new(),
            problems_due: true,
        }
    }

    /// Takes note of a resource that is new, changed or gone.
    pub fn apply(&mut self, update: Update) {
        self.incoming.insert(update.key, update.value);
    }

    /// Takes note of an interface that is new, changed or gone.
    pub fn apply_link(&mut self, update: LinkUpdate) {
        self.incoming_links.insert(update.name.clone(), update);
    }

    /// Takes note of other settings.
    pub fn set_settings(&mut self, settings: Settings) {
        self.incoming_settings = Some(settings);
    }

    /// Returns what differs since changes were last taken.
    pub fn take_changes(&mut self) -> Changes {
        self.absorb();
        let mut changes = self.active.take(&mut self.sets);
        let interfaces = self
            .interfaces
            .take(|interface, _| self.bindings.owner(interface).cloned());
        changes.interfaces = interfaces
            .into_iter()
            .map(|change| (change.key, change.new))
            .collect();
        let (workloads, sets, settings) = (&self.workloads, &self.sets, &self.settings);
        let workload_interfaces = self.workload_interfaces.take(|interface, _| {
            let owner = workloads.owner(interface)?;
            let endpoint = sets.resource(owner)?.as_workload_endpoint()?;
            Some(interface_of(owner, endpoint, settings))
        });
        changes.workloads = workload_interfaces
            .into_iter()
            .map(|change| (change.key, change.new))
            .collect();
        let bindings = &self.bindings;
        let locals = self.locals.take(|key, _| {
            let found = local(key, sets.resource(key)?, settings, bindings, workloads)?;
            Some(Arc::new(found))
        });
        changes.locals = locals
            .into_iter()
            .map(|change| (change.key, change.new))
            .collect();
        changes.pools = self.pools.take();
        changes.sets = self.sets.take();
        changes
    }

    /// Returns everything that holds, and with it that what has gone since changes were last taken is gone.
    pub fn take_whole(&mut self) -> Changes {
        let mut changes = self.take_changes();
        self.add_whole(&mut changes);
        changes
    }

    /// Adds everything that holds to the changes that were taken last.
    pub fn add_whole(&self, changes: &mut Changes) {
        self.active.add_whole(changes);
        let interfaces = self.interfaces.told().iter();
        changes
            .interfaces
            .extend(interfaces.map(|(interface, owner)| (interface.clone(), Some(owner.clone()))));
        let workloads = self.workload_interfaces.told().iter();
        changes
            .workloads
            .extend(workloads.map(|(name, interface)| (name.clone(), Some(Arc::clone(interface)))));
        let locals = self.locals.told().iter();
        changes
            .locals
            .extend(locals.map(|(key, found)| (key.clone(), Some(Arc::clone(found)))));
        changes.pools = Some(Arc::clone(self.pools.told()));
        changes
            .sets
            .extend(self.sets.ids().map(|id| (id.clone(), SetChange::Whole)));
    }

    /// Returns how each host endpoint of this host fares, in order of their keys.
    pub fn status(&self) -> impl Iterator<Item = EndpointStatus> + '_ {
        self.bindings.status()
    }

    /// Returns what is wrong that no single resource shows, where it may differ from what was last taken: to look
    /// costs by the number of this host's endpoints.
    pub fn take_problems(&mut self) -> Option<Vec<Problem>> {
        std::mem::take(&mut self.problems_due).then(|| self.problems())
    }

    /// Returns what is wrong that no single resource shows.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut warn = |object: &ResourceKey, field: &str, reason: String| {
            problems.push(Problem {
                place: Place::Calculated,
                object: Some(object.clone()),
                field: field.to_owned(),
                reason,
                severity: Severity::Warning,
            });
        };
        for status in self.status() {
            for (interface, owner) in &status.shadowed {
                let reason = format!(
                    "{} belongs to {owner}, whose name comes first",
                    described(interface)
                );
                warn(&status.endpoint, "", reason);
            }
            if let Some(reason) = self.why_unbound(&status) {
                warn(&status.endpoint, "", reason);
            }
        }
        for (endpoint, interface, owner) in self.workloads.shadowed() {
            let reason = match owner {
                Some(owner) => {
                    format!("interface `{interface}` belongs to {owner}, which comes first")
                }
                None => format!(
                    "interface `{interface}` is no workload's by its name: it begins with no \
                     InterfacePrefix"
                ),
            };
            warn(endpoint, "spec.interfaceName", reason);
        }
        for endpoint in &self.misnamed {
            let reason = format!(
                "is this host's but for upper and lower case: here FelixHostname is `{}`, so the endpoint counts as \
                 another host's",
                self.settings.node
            );
            warn(endpoint, "spec.node", reason);
        }
        for endpoint in self.withheld.keys() {
            let reason = "WorkloadSourceSpoofing does not allow it: the endpoint counts as absent";
            warn(
                endpoint,
                "spec.allowSpoofedSourcePrefixes",
                reason.to_owned(),
            );
        }
        for (profile, endpoint) in self.active.missing_profiles() {
            let reason = format!("profile `{profile}` does not exist and denies all traffic");
            warn(endpoint, "spec.profiles", reason);
        }
        for (tier, policy) in self.active.missing_tiers() {
            let reason = format!(
                "tier `{tier}` does not exist: its policies come after all others and end in deny"
            );
            warn(policy, "spec.tier", reason);
        }
        problems
    }

    /// Returns how much is in force.
    pub fn counts(&self) -> Counts {
        let (policies, profiles, endpoints) = self.active.count();
        let (sets, members) = self.sets.count();
        Counts {
            endpoints,
            interfaces: self.interfaces.told().len() + self.workload_interfaces.told().len(),
            policies,
            profiles,
            sets,
            members,
        }
    }

    /// Says why an endpoint has no effect, or none yet, where no other endpoint is the reason.
    fn why_unbound(&self, status: &EndpointStatus) -> Option<String> {
        if let Some(interface) = status
            .absent
            .iter()
            .find(|name| status.interfaces.contains(name))
        {
            return Some(format!("{} does not exist", described(interface)));
        }
        if !status.interfaces.is_empty() || !status.shadowed.is_empty() {
            return None;
        }
        let names = self.sets.resource(&status.endpoint).and_then(|resource| {
            resource
                .as_host_endpoint()
                .and_then(|endpoint| endpoint.interface.as_ref())
        });
        match names {
            Some(HostInterface::Name(name)) if self.settings.is_workload(name) => Some(format!(
                "interface `{name}` is a workload's, which no host endpoint polices"
            )),
            Some(interface @ HostInterface::Name(_)) => Some(format!(
                "{} is excluded from host endpoints by configuration",
                described(interface)
            )),
            Some(HostInterface::Any) => None,
            None => Some("no interface has any of its expected addresses".to_owned()),
        }
    }

    /// Weighs everything put down.
    fn absorb(&mut self) {
        let mut touched = BTreeSet::new();
        if let Some(settings) = self.incoming_settings.take()
            && settings != self.settings
        {
            self.settings = settings;
            self.problems_due = true;
            self.bindings.mark_all();
            self.workloads.mark_all();
            for (key, resource) in self.sets.resources() {
                if let Some(endpoint) = resource.as_host_endpoint() {
                    let local = Some(endpoint).filter(|found| found.node == self.settings.node);
                    let node = Some(&endpoint.node);
                    note_name(&mut self.misnamed, &self.settings.node, key, node);
                    self.bindings.set_endpoint(key, local);
                    self.locals.mark(key.clone());
                }
                if let Some(endpoint) = resource.as_workload_endpoint() {
                    let local = Some(endpoint).filter(|found| found.node == self.settings.node);
                    let node = Some(&endpoint.node);
                    note_name(&mut self.misnamed, &self.settings.node, key, node);
                    self.workloads.set_endpoint(key, local);
                    self.locals.mark(key.clone());
                    if !endpoint.allow_spoofed_sources.is_empty() {
                        let again = self.incoming.entry(key.clone());
                        again.or_insert_with(|| Some(Arc::clone(resource)));
                    }
                }
            }
            for (key, resource) in std::mem::take(&mut self.withheld) {
                self.incoming.entry(key).or_insert(Some(resource));
            }
        }
        for (key, resource) in std::mem::take(&mut self.incoming) {
            self.absorb_resource(&key, resource, &mut touched);
        }
        self.problems_due |= !self.incoming_links.is_empty();
        for (_, link) in std::mem::take(&mut self.incoming_links) {
            self.bindings.set_link(link);
        }
        let (interfaces, endpoints) = self.bindings.resolve(&self.settings);
        for interface in interfaces {
            self.interfaces.mark(interface);
        }
        touched.extend(endpoints);
        let (interfaces, endpoints) = self.workloads.resolve(&self.settings);
        for interface in interfaces {
            self.workload_interfaces.mark(interface);
        }
        touched.extend(endpoints);
        for key in touched {
            let bound = self.bindings.is_bound(&key) || self.workloads.is_in_force(&key);
            let resource = self.sets.resource(&key).filter(|_| bound);
            self.active.set_endpoint(&key, resource);
            self.locals.mark(key);
        }
    }

    fn absorb_resource(
        &mut self,
        key: &ResourceKey,
        resource: Option<Arc<Resource>>,
        touched: &mut BTreeSet<EndpointId>,
    ) {
        // A resource that is not what its key says counts as absent.
        let resource = resource.filter(|resource| fits(key.kind, resource));
        self.problems_due |= self.bears_on_problems(key, resource.as_deref());
        match key.kind {
            Kind::Tier => {
                let tier = resource.as_deref().and_then(Resource::as_tier);
                self.active
                    .set_tier(&TierName::new(&key.name), key.form, tier);
            }
            Kind::Profile => {
                let id = ProfileId::new(&key.name);
                let now = self.active.set_profile(&id, key.form, resource);
                self.sets.set_profile(&id, now.as_ref());
            }
            Kind::GlobalNetworkPolicy | Kind::NetworkPolicy => {
                self.active.set_policy(key, resource);
            }
            Kind::HostEndpoint => {
                let endpoint = resource.as_deref().and_then(Resource::as_host_endpoint);
                let local = endpoint.filter(|endpoint| endpoint.node == self.settings.node);
                let node = endpoint.map(|endpoint| &endpoint.node);
                note_name(&mut self.misnamed, &self.settings.node, key, node);
                self.bindings.set_endpoint(key, local);
                self.sets.set_item(key, resource);
                touched.insert(key.clone());
            }
            Kind::WorkloadEndpoint => {
                let resource = self.withhold(key, resource);
                let endpoint = resource.as_deref().and_then(Resource::as_workload_endpoint);
                let local = endpoint.filter(|endpoint| endpoint.node == self.settings.node);
                let node = endpoint.map(|endpoint| &endpoint.node);
                note_name(&mut self.misnamed, &self.settings.node, key, node);
                self.workloads.set_endpoint(key, local);
                self.sets.set_item(key, resource);
                touched.insert(key.clone());
            }
            Kind::GlobalNetworkSet | Kind::NetworkSet => {
                self.sets.set_item(key, resource);
            }
            Kind::Node => {
                let node = resource.as_deref().and_then(Resource::as_node);
                let addresses = node.map(|node| node.addresses.as_slice());
                self.pools.set_host(key, addresses);
            }
            Kind::IpPool => {
                let pool = resource.as_deref().and_then(Resource::as_ip_pool);
                self.pools.set_pool(key, pool);
            }
            Kind::ClusterInformation
            | Kind::FelixConfiguration
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy => {}
        }
    }
}

impl Calc {
    /// Tells whether a resource that comes, changes or goes may be, or have been, a problem or the end of one.
    fn bears_on_problems(&self, key: &ResourceKey, now: Option<&Resource>) -> bool {
        match key.kind {
            Kind::Tier
            | Kind::Profile
            | Kind::GlobalNetworkPolicy
            | Kind::NetworkPolicy
            | Kind::HostEndpoint => true,
            Kind::WorkloadEndpoint => {
                let before = self.sets.resource(key).map(Arc::as_ref);
                let endpoints = [before, now].into_iter().flatten();
                self.withheld.contains_key(key)
                    || endpoints
                        .filter_map(Resource::as_workload_endpoint)
                        .any(|endpoint| {
                            let node = endpoint.node.as_str();
                            node.eq_ignore_ascii_case(self.settings.node.as_str())
                                || !endpoint.allow_spoofed_sources.is_empty()
                        })
            }
            Kind::GlobalNetworkSet
            | Kind::NetworkSet
            | Kind::Node
            | Kind::IpPool
            | Kind::ClusterInformation
            | Kind::FelixConfiguration
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy => false,
        }
    }

    /// Holds a workload endpoint back that asks for what the settings do not allow.
    fn withhold(
        &mut self,
        key: &ResourceKey,
        resource: Option<Arc<Resource>>,
    ) -> Option<Arc<Resource>> {
        self.withheld.remove(key);
        let asks = resource
            .as_deref()
            .and_then(Resource::as_workload_endpoint)
            .is_some_and(|endpoint| !endpoint.allow_spoofed_sources.is_empty());
        match self.settings.spoofed_sources {
            SpoofedSources::Refused if asks => {
                self.withheld
                    .extend(resource.map(|held| (key.clone(), held)));
                None
            }
            SpoofedSources::Refused | SpoofedSources::Allowed => resource,
        }
    }
}

impl SetMembers for Calc {
    fn size(&self, set: &SetId, family: Family) -> SetSize {
        self.sets.size(set, family)
    }

    fn members(&self, set: &SetId, family: Family) -> Members<'_> {
        self.sets.members(set, family)
    }
}

/// Returns an endpoint and what it polices, if it is one of this host.
fn local(
    key: &EndpointId,
    resource: &Resource,
    settings: &Settings,
    bindings: &Bindings,
    workloads: &Workloads,
) -> Option<LocalEndpoint> {
    if let Some(endpoint) = resource.as_host_endpoint() {
        return (endpoint.node == settings.node).then(|| LocalEndpoint::Host {
            interfaces: bindings.owned(key),
        });
    }
    let endpoint = resource
        .as_workload_endpoint()
        .filter(|endpoint| endpoint.node == settings.node)?;
    Some(LocalEndpoint::Workload(LocalWorkload {
        orchestrator: endpoint.orchestrator.clone(),
        workload: endpoint.workload.clone(),
        endpoint: endpoint.endpoint.clone(),
        interface: endpoint.interface.clone(),
        owner: if workloads.owner(&endpoint.interface) == Some(key) {
            Owner::Itself
        } else {
            Owner::Other
        },
        state: if endpoint.active {
            AdminState::Up
        } else {
            AdminState::Down
        },
        mac: endpoint.mac,
        nets: endpoint.nets.clone(),
    }))
}

/// Takes note of whether an endpoint's node differs from this host's name by upper and lower case alone: earlier
/// releases of Felix kept the case of the kernel's name.
fn note_name(
    misnamed: &mut BTreeSet<ResourceKey>,
    here: &NodeName,
    key: &ResourceKey,
    node: Option<&NodeName>,
) {
    let alike = |node: &NodeName| {
        let (node, here) = (node.as_str(), here.as_str());
        node != here && node.to_lowercase() == here.to_lowercase()
    };
    if node.is_some_and(alike) {
        misnamed.insert(key.clone());
    } else {
        misnamed.remove(key);
    }
}

/// Tells whether a resource is of the kind that its key says.
fn fits(kind: Kind, resource: &Resource) -> bool {
    match resource {
        Resource::HostEndpoint(_) => kind == Kind::HostEndpoint,
        Resource::WorkloadEndpoint(_) => kind == Kind::WorkloadEndpoint,
        Resource::Policy(_) => matches!(kind, Kind::GlobalNetworkPolicy | Kind::NetworkPolicy),
        Resource::Tier(_) => kind == Kind::Tier,
        Resource::Profile(_) => kind == Kind::Profile,
        Resource::NetworkSet(_) => matches!(kind, Kind::GlobalNetworkSet | Kind::NetworkSet),
        Resource::StagedPolicy
        | Resource::FelixConfiguration(_)
        | Resource::ClusterInformation(_) => false,
        Resource::Node(_) => kind == Kind::Node,
        Resource::IpPool(_) => kind == Kind::IpPool,
    }
}

fn described(interface: &HostInterface) -> String {
    match interface {
        HostInterface::Any => "every other interface (`*`)".to_owned(),
        HostInterface::Name(name) => format!("interface `{name}`"),
    }
}
