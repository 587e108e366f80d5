//! What someone knows who has heard every change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use crate::calc::{
    ActivePolicy, ActiveProfile, AdminState, Calc, Changes, EndpointId, EndpointPolicies,
    LocalEndpoint, MatchRule, Member, NatPools, Owner, PolicyId, SetChange, SetId, SetMembers,
    SetSize, WorkloadInterface,
};
use crate::model::{Direction, HostInterface, ProfileId};
use crate::net::{Family, InterfaceName};

/// All changes heard, folded together.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct State {
    pub(super) policies: BTreeMap<PolicyId, Arc<ActivePolicy>>,
    pub(super) profiles: BTreeMap<ProfileId, Arc<ActiveProfile>>,
    pub(super) endpoints: BTreeMap<EndpointId, Arc<EndpointPolicies>>,
    pub(super) interfaces: BTreeMap<HostInterface, EndpointId>,
    pub(super) workloads: BTreeMap<InterfaceName, Arc<WorkloadInterface>>,
    pub(super) pools: Arc<NatPools>,
    pub(super) locals: BTreeMap<EndpointId, Arc<LocalEndpoint>>,
    pub(super) sets: BTreeMap<SetId, BTreeSet<Member>>,
}

/// Whether every change must be a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Differences,
    Everything,
}

impl State {
    /// Folds what is taken from `calc`, and checks that it says nothing in vain and nothing impossible.
    pub(super) fn fold(&mut self, changes: &Changes, calc: &Calc, told: Told) {
        fold_map(&mut self.policies, &changes.policies, told);
        fold_map(&mut self.profiles, &changes.profiles, told);
        fold_map(&mut self.endpoints, &changes.endpoints, told);
        fold_map(&mut self.interfaces, &changes.interfaces, told);
        fold_map(&mut self.workloads, &changes.workloads, told);
        fold_map(&mut self.locals, &changes.locals, told);
        if let Some(pools) = &changes.pools {
            let old = std::mem::replace(&mut self.pools, Arc::clone(pools));
            assert!(
                told == Told::Everything || old != *pools,
                "pools told in vain"
            );
        }
        for (id, change) in &changes.sets {
            match change {
                SetChange::Whole => {
                    let members: BTreeSet<Member> = members(calc, id);
                    let known = self.sets.insert(id.clone(), members).is_some();
                    assert!(!known || told == Told::Everything, "{id:?} written anew");
                }
                SetChange::Members { added, removed } => {
                    let set = self.sets.get_mut(id).expect("only a known set changes");
                    assert!(!added.is_empty() || !removed.is_empty(), "{id:?} unchanged");
                    assert!(added.is_sorted() && removed.is_sorted(), "{id:?} unsorted");
                    for member in removed {
                        assert!(set.remove(member), "{id:?}: {member:?} went twice");
                    }
                    for member in added {
                        assert!(set.insert(*member), "{id:?}: {member:?} came twice");
                    }
                }
                SetChange::Gone => {
                    assert!(self.sets.remove(id).is_some(), "{id:?} gone twice");
                }
            }
        }
        self.check(calc);
    }

    /// Checks that every reference leads somewhere and that what calc shows of sets agrees.
    fn check(&self, calc: &Calc) {
        let mut used_sets = BTreeSet::new();
        for direction in Direction::BOTH {
            for policy in self.policies.values() {
                used_sets.extend(policy.rules(direction).iter().flatten().flat_map(set_ids));
            }
            for profile in self.profiles.values() {
                used_sets.extend(profile.rules(direction).iter().flat_map(set_ids));
            }
        }
        let sets: BTreeSet<SetId> = self.sets.keys().cloned().collect();
        assert_eq!(used_sets, sets, "sets in use");
        for (id, set) in &self.sets {
            assert_eq!(*set, members(calc, id), "{id:?}");
            for family in Family::BOTH {
                let mut size = SetSize::default();
                for member in set.iter().filter(|member| member.family() == family) {
                    let length = match member {
                        Member::Net(net) => net.prefix_len(),
                        Member::Port(..) => family.bits(),
                    };
                    *size.lengths.entry(length).or_default() += 1;
                }
                assert_eq!(calc.size(id, family), size, "{id:?} {family}");
            }
        }
        let mut used_policies = BTreeSet::new();
        let mut used_profiles = BTreeSet::new();
        for endpoint in self.endpoints.values() {
            used_profiles.extend(&endpoint.profiles);
            for lists in [
                &endpoint.normal,
                &endpoint.forward,
                &endpoint.untracked,
                &endpoint.pre_dnat,
            ] {
                for tier in lists.ingress.iter().chain(lists.egress.iter()) {
                    assert!(!tier.policies.is_empty(), "{}: an empty tier", tier.tier);
                    used_policies.extend(&tier.policies);
                }
            }
        }
        assert_eq!(
            used_profiles,
            self.profiles.keys().collect(),
            "profiles in use"
        );
        assert_eq!(
            used_policies,
            self.policies.keys().collect(),
            "policies in use"
        );
        let up = self
            .workloads
            .values()
            .filter(|workload| workload.state == AdminState::Up)
            .map(|workload| &workload.endpoint);
        let owners: BTreeSet<&EndpointId> = self.interfaces.values().chain(up).collect();
        assert_eq!(
            owners,
            self.endpoints.keys().collect(),
            "endpoints with an interface"
        );
        self.check_locals();
    }

    /// Checks that endpoints are told to police what is told to be policed by them.
    fn check_locals(&self) {
        let mut interfaces = BTreeMap::new();
        let mut workloads = BTreeMap::new();
        for (key, local) in &self.locals {
            match local.as_ref() {
                LocalEndpoint::Host { interfaces: owned } => {
                    interfaces.extend(owned.iter().map(|name| (name.clone(), key.clone())));
                }
                LocalEndpoint::Workload(workload) => {
                    if workload.owner == Owner::Itself {
                        workloads.insert(workload.interface.clone(), (key, workload.state));
                    }
                }
            }
        }
        assert_eq!(interfaces, self.interfaces, "interfaces of host endpoints");
        let told = self.workloads.iter();
        let told = told.map(|(name, it)| (name.clone(), (&it.endpoint, it.state)));
        assert_eq!(workloads, told.collect(), "interfaces of workloads");
    }
}

fn members(calc: &Calc, id: &SetId) -> BTreeSet<Member> {
    let mut all = BTreeSet::new();
    for family in Family::BOTH {
        let members: Vec<Member> = calc.members(id, family).collect();
        assert!(members.is_sorted(), "{id:?} unsorted");
        assert!(
            members.iter().all(|member| member.family() == family),
            "{id:?} {family}"
        );
        all.extend(members);
    }
    all
}

fn fold_map<K: Ord + Clone + Debug, V: Clone + PartialEq + Debug>(
    state: &mut BTreeMap<K, V>,
    changes: &BTreeMap<K, Option<V>>,
    told: Told,
) {
    for (key, value) in changes {
        let old = match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
        if told == Told::Differences {
            assert_ne!(old, *value, "{key:?} told in vain");
        }
    }
}

/// A calculation and someone who hears its changes.
#[derive(Debug)]
pub(super) struct World {
    pub(super) calc: Calc,
    pub(super) state: State,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            calc: Calc::new(super::make::settings()),
            state: State::default(),
        }
    }

    /// Takes the changes and folds them.
    pub(super) fn take(&mut self) -> Changes {
        let changes = self.calc.take_changes();
        self.state.fold(&changes, &self.calc, Told::Differences);
        changes
    }

    /// Applies updates and takes the changes.
    pub(super) fn feed(
        &mut self,
        updates: impl IntoIterator<Item = crate::model::Update>,
    ) -> Changes {
        for update in updates {
            self.calc.apply(update);
        }
        self.take()
    }

    /// Applies link changes and takes the changes.
    pub(super) fn feed_links(
        &mut self,
        updates: impl IntoIterator<Item = crate::calc::LinkUpdate>,
    ) -> Changes {
        for update in updates {
            self.calc.apply_link(update);
        }
        self.take()
    }

    /// Returns `interface=endpoint` for every interface with an owner; `*` for the one of all others.
    pub(super) fn owners(&self) -> Vec<String> {
        let owners = self.state.interfaces.iter().map(|(interface, endpoint)| {
            let interface = match interface {
                HostInterface::Any => "*",
                HostInterface::Name(name) => name.as_str(),
            };
            format!("{interface}={}", endpoint.name)
        });
        owners.collect()
    }

    /// Returns the members of the only set of its kind, as text.
    pub(super) fn only_set(&self) -> Vec<String> {
        assert_eq!(self.state.sets.len(), 1, "{:?}", self.state.sets.keys());
        let members = self.state.sets.values().flatten();
        members.map(shown).collect()
    }
}

/// Writes a member as an operator would.
pub(super) fn shown(member: &Member) -> String {
    match member {
        Member::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        Member::Net(net) => net.to_string(),
        Member::Port(address, protocol, port) => format!("{address} {protocol} {port}"),
    }
}

/// Returns every set that a rule refers to.
fn set_ids(rule: &MatchRule) -> Vec<SetId> {
    [&rule.source, &rule.destination]
        .into_iter()
        .flat_map(|side| {
            side.sets
                .iter()
                .chain(&side.not_sets)
                .chain(&side.named_ports)
                .chain(&side.not_named_ports)
        })
        .cloned()
        .collect()
}
