//! Turns changes of the desired state into changes of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dispatch::{self, Bindings};
use super::endpoint;
use super::failsafe;
use super::layout::{Base, Path};
use super::names;
use super::policy::{self, Passing, any_pass};
use super::rule::{PassAction, RuleContext};
use super::sets::SetBook;
use super::settings::{DenyAction, Settings};
use crate::calc::{
    ActivePolicy, ActiveProfile, Changes, EndpointId, EndpointPolicies, MatchRule, PolicyId,
    SetMembers, TierPolicies,
};
use crate::model::{Direction, HostInterface, PolicyKind, ProfileId};
use crate::net::InterfaceName;
use crate::nft::{Chain, ChainName, ObjectChange, ObjectChanges, ObjectKey, SetName, SetRecord};

/// Returns the way of egress from the postrouting hook, where nothing can be refused aloud.
pub(super) fn dnat_path(settings: &Settings) -> Path {
    match settings.deny {
        DenyAction::Drop => Path::Out,
        DenyAction::Reject => Path::Dnat,
    }
}

/// A chain of a tier's policies, shared by the endpoints that have the same ones in the same order.
#[derive(Debug)]
struct TierChain {
    policies: Vec<PolicyId>,
    path: Path,
    users: BTreeSet<EndpointId>,
}

/// The state of rendering: what has been rendered, as far as later changes need to know it.
#[derive(Debug)]
pub struct Renderer {
    settings: Settings,
    started: bool,
    book: SetBook,
    policies: BTreeMap<PolicyId, Arc<ActivePolicy>>,
    profiles: BTreeMap<ProfileId, Arc<ActiveProfile>>,
    endpoints: BTreeMap<EndpointId, Arc<EndpointPolicies>>,
    bindings: Bindings,
    passing: Passing,
    tiers: BTreeMap<ChainName, TierChain>,
    owners: BTreeMap<ChainName, Owner>,
}

/// Whose rules a chain holds that refers to sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Policy(PolicyId),
    Profile(ProfileId),
}

impl Renderer {
    /// Makes a renderer that has rendered nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            started: false,
            book: SetBook::default(),
            policies: BTreeMap::new(),
            profiles: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            bindings: Bindings::new(),
            passing: Passing::new(),
            tiers: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Makes a renderer that has rendered nothing and is to keep sets that were found, by name, where their
    /// content is what it is to be.
    pub fn resume(settings: Settings, found: &BTreeMap<SetName, SetRecord>) -> Self {
        let mut renderer = Self::new(settings);
        renderer.book.take_over(found);
        renderer
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the policies in use that this version does not enforce, or not everywhere.
    pub fn unenforced(&self) -> impl Iterator<Item = (&PolicyId, PolicyKind)> {
        self.policies
            .iter()
            .filter(|(_, policy)| policy.kind != PolicyKind::Normal)
            .map(|(id, policy)| (id, policy.kind))
    }

    /// Renders what changed. The first time, that must be the whole desired state, and the result then names
    /// every object there is to be.
    pub fn render(&mut self, changes: &Changes, members: &dyn SetMembers) -> ObjectChanges {
        let mut out = ObjectChanges::new();
        let rules_change = !(changes.policies.is_empty()
            && changes.profiles.is_empty()
            && changes.endpoints.is_empty()
            && changes.interfaces.is_empty());
        let replaced = self.book.note(changes, rules_change, members);
        let mut dirty: BTreeSet<Owner> = replaced
            .iter()
            .filter_map(|chain| self.owners.get(chain).cloned())
            .collect();
        let repassed = self.note_policies(changes, &mut dirty, &mut out);
        self.note_profiles(changes, &mut dirty, &mut out);
        for owner in &dirty {
            self.render_owner(owner, members, &mut out);
        }
        let endpoints = self.note_endpoints(changes, &repassed, &mut out);
        for id in &endpoints {
            self.render_endpoint(id, &mut out);
        }
        self.render_dispatch(changes, &mut out);
        self.book.write(members, &mut out);
        self.started = true;
        out
    }

    /// Returns the ways on which chains of a direction exist.
    fn paths(&self, direction: Direction) -> &'static [Path] {
        match (direction, self.settings.deny) {
            (Direction::Ingress, _) => &[Path::In],
            (Direction::Egress, DenyAction::Drop) => &[Path::Out],
            (Direction::Egress, DenyAction::Reject) => &[Path::Out, Path::Dnat],
        }
    }

    /// Returns every way on which chains exist.
    fn all_paths(&self) -> impl Iterator<Item = Path> + use<> {
        let (ingress, egress) = (
            self.paths(Direction::Ingress),
            self.paths(Direction::Egress),
        );
        ingress.iter().chain(egress).copied()
    }

    /// Returns how packets are refused on a way.
    fn refusal(&self, path: Path) -> DenyAction {
        match path {
            Path::In | Path::Out => self.settings.deny,
            Path::Dnat => DenyAction::Drop,
        }
    }

    /// Takes in changed policies; returns those that began or ceased to pass packets on.
    fn note_policies(
        &mut self,
        changes: &Changes,
        dirty: &mut BTreeSet<Owner>,
        out: &mut ObjectChanges,
    ) -> BTreeSet<PolicyId> {
        let mut repassed = BTreeSet::new();
        for (id, now) in &changes.policies {
            let passes: Vec<Direction> = Direction::BOTH
                .into_iter()
                .filter(|direction| {
                    let rules = now.as_ref().and_then(|policy| policy.rules(*direction));
                    rules.is_some_and(|rules| any_pass(rules))
                })
                .collect();
            let known = if passes.is_empty() {
                self.passing.remove(id)
            } else {
                self.passing.insert(id.clone(), passes.clone())
            };
            if known.unwrap_or_default() != passes {
                repassed.insert(id.clone());
            }
            let before = match now {
                Some(policy) => self.policies.insert(id.clone(), Arc::clone(policy)),
                None => self.policies.remove(id),
            };
            for direction in Direction::BOTH {
                let had = before.as_ref().is_some_and(|p| is_rendered(p, direction));
                let has = now.as_ref().is_some_and(|p| is_rendered(p, direction));
                if had && !has {
                    for path in self.paths(direction) {
                        self.remove_chain(names::policy(*path, id), out);
                    }
                }
            }
            if now.is_some() {
                dirty.insert(Owner::Policy(id.clone()));
            } else {
                dirty.remove(&Owner::Policy(id.clone()));
            }
        }
        repassed
    }

    /// Takes in changed profiles.
    fn note_profiles(
        &mut self,
        changes: &Changes,
        dirty: &mut BTreeSet<Owner>,
        out: &mut ObjectChanges,
    ) {
        for (id, now) in &changes.profiles {
            if let Some(profile) = now {
                self.profiles.insert(id.clone(), Arc::clone(profile));
                dirty.insert(Owner::Profile(id.clone()));
            } else {
                self.profiles.remove(id);
                dirty.remove(&Owner::Profile(id.clone()));
                for path in self.all_paths() {
                    self.remove_chain(names::profile(path, id), out);
                }
            }
        }
    }

    /// Removes the chain of a policy or profile.
    fn remove_chain(&mut self, name: ChainName, out: &mut ObjectChanges) {
        self.book.refer(&name, BTreeSet::new());
        self.owners.remove(&name);
        out.insert(ObjectKey::Chain(name), ObjectChange::Absent);
    }

    /// Renders all chains of a policy or profile.
    fn render_owner(&mut self, owner: &Owner, members: &dyn SetMembers, out: &mut ObjectChanges) {
        for direction in Direction::BOTH {
            let rules: Option<Arc<[MatchRule]>> = match owner {
                Owner::Policy(id) => self
                    .policies
                    .get(id)
                    .filter(|policy| is_rendered(policy, direction))
                    .and_then(|policy| policy.rules(direction).cloned()),
                Owner::Profile(id) => self
                    .profiles
                    .get(id)
                    .map(|profile| Arc::clone(profile.rules(direction))),
            };
            let Some(rules) = rules else { continue };
            for path in self.paths(direction) {
                self.render_rules(owner, *path, &rules, members, out);
            }
        }
    }

    /// Renders one chain of a policy or profile.
    fn render_rules(
        &mut self,
        owner: &Owner,
        path: Path,
        rules: &[MatchRule],
        members: &dyn SetMembers,
        out: &mut ObjectChanges,
    ) {
        let (pass, log_prefix) = match owner {
            Owner::Policy(id) => (
                PassAction::LeaveTier,
                policy::policy_log_prefix(&self.settings, id),
            ),
            Owner::Profile(id) => (
                PassAction::LeaveProfile,
                policy::profile_log_prefix(&self.settings, id),
            ),
        };
        let deny = self.refusal(path);
        let mut context = RuleContext {
            settings: &self.settings,
            deny,
            pass,
            log_prefix,
            book: &mut self.book,
            members,
            references: BTreeSet::new(),
        };
        let chain = match owner {
            Owner::Policy(id) => policy::policy_chain(path, id, rules, &mut context),
            Owner::Profile(id) => policy::profile_chain(path, id, rules, &mut context),
        };
        let references = context.references;
        self.book.refer(&chain.name, references);
        self.owners.insert(chain.name.clone(), owner.clone());
        write_chain(Arc::new(chain), out);
    }

    /// Takes in changed endpoints; returns those whose chains must be written.
    fn note_endpoints(
        &mut self,
        changes: &Changes,
        repassed: &BTreeSet<PolicyId>,
        out: &mut ObjectChanges,
    ) -> BTreeSet<EndpointId> {
        let mut dirty = BTreeSet::new();
        for (id, now) in &changes.endpoints {
            let before = match now {
                Some(policies) => self.endpoints.insert(id.clone(), Arc::clone(policies)),
                None => self.endpoints.remove(id),
            };
            if now.is_some() {
                dirty.insert(id.clone());
            } else if before.is_some() {
                for path in self.all_paths() {
                    let name = names::endpoint(path, id);
                    out.insert(ObjectKey::Chain(name), ObjectChange::Absent);
                }
            }
            self.share_tiers(id, before.as_deref(), now.as_deref(), out);
        }
        if !repassed.is_empty() {
            for (name, tier) in &self.tiers {
                if tier.policies.iter().any(|id| repassed.contains(id)) {
                    dirty.extend(tier.users.iter().cloned());
                    write_chain(self.tier_chain(name, tier), out);
                }
            }
        }
        dirty
    }

    /// Renders the chain of a tier's policies.
    fn tier_chain(&self, name: &ChainName, tier: &TierChain) -> Arc<Chain> {
        policy::tier_chain(
            tier.path,
            name,
            &tier.policies,
            &self.passing,
            &self.settings,
        )
    }

    /// Moves an endpoint from the tier chains it used to those it uses.
    fn share_tiers(
        &mut self,
        id: &EndpointId,
        before: Option<&EndpointPolicies>,
        now: Option<&EndpointPolicies>,
        out: &mut ObjectChanges,
    ) {
        let named = |policies: Option<&EndpointPolicies>, path: Path| {
            let tiers: Vec<TierPolicies> = policies
                .map(|p| p.normal.direction(path.direction()).as_ref().clone())
                .unwrap_or_default();
            tiers
                .into_iter()
                .map(|tier| (names::tier(path, &tier.tier, &tier.policies), tier.policies))
                .collect::<BTreeMap<_, _>>()
        };
        for path in self.all_paths() {
            let (old, new) = (named(before, path), named(now, path));
            for name in old.keys().filter(|name| !new.contains_key(*name)) {
                let Some(tier) = self.tiers.get_mut(name) else {
                    continue;
                };
                tier.users.remove(id);
                if tier.users.is_empty() {
                    self.tiers.remove(name);
                    out.insert(ObjectKey::Chain(name.clone()), ObjectChange::Absent);
                }
            }
            for (name, policies) in new {
                if let Some(tier) = self.tiers.get_mut(&name) {
                    tier.users.insert(id.clone());
                    continue;
                }
                let tier = TierChain {
                    policies,
                    path,
                    users: BTreeSet::from([id.clone()]),
                };
                write_chain(self.tier_chain(&name, &tier), out);
                self.tiers.insert(name, tier);
            }
        }
    }

    /// Renders the chains of an endpoint.
    fn render_endpoint(&self, id: &EndpointId, out: &mut ObjectChanges) {
        let Some(policies) = self.endpoints.get(id) else {
            return;
        };
        for path in self.all_paths() {
            let refusal = self.refusal(path);
            let chain = endpoint::chain(path, id, policies, &self.passing, refusal, &self.settings);
            write_chain(chain, out);
        }
    }

    /// Renders what leads to the endpoints: base chains, failsafe chains, and the maps of interfaces.
    fn render_dispatch(&mut self, changes: &Changes, out: &mut ObjectChanges) {
        let any_before = self.bindings.get(&HostInterface::Any).cloned();
        let mut rebound: BTreeMap<InterfaceName, (Option<EndpointId>, Option<EndpointId>)> =
            BTreeMap::new();
        for (interface, now) in &changes.interfaces {
            let before = match now {
                Some(id) => self.bindings.insert(interface.clone(), id.clone()),
                None => self.bindings.remove(interface),
            };
            if let HostInterface::Name(name) = interface {
                rebound.insert(name.clone(), (before, now.clone()));
            }
        }
        for path in self.all_paths() {
            if self.started {
                dispatch::write_map_changes(path, &rebound, out);
            } else {
                dispatch::write_map(path, &self.bindings, out);
            }
        }
        let any = self.bindings.get(&HostInterface::Any);
        if !self.started || any_before.as_ref() != any {
            for base in Base::ALL {
                write_chain(dispatch::base_chain(base, any, &self.settings), out);
            }
        }
        if !self.started {
            for direction in Direction::BOTH {
                write_chain(failsafe::chain(direction, &self.settings), out);
            }
        }
    }
}

/// Tells whether a policy has a chain for a direction.
fn is_rendered(policy: &ActivePolicy, direction: Direction) -> bool {
    let asked = match policy.kind {
        PolicyKind::Normal | PolicyKind::ApplyOnForward => true,
        PolicyKind::Untracked | PolicyKind::PreDnat => false,
    };
    asked && policy.rules(direction).is_some()
}

/// Writes a chain.
fn write_chain(chain: Arc<Chain>, out: &mut ObjectChanges) {
    out.insert(
        ObjectKey::Chain(chain.name.clone()),
        ObjectChange::Chain(chain),
    );
}
