//! Turns changes of the desired state into changes of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bindings::Bindings;
use super::counters::{Counted, CounterBook, CounterNews, Decision, Tally};
use super::denied::{self, Unit};
use super::endpoint;
use super::floating::Floating;
use super::forms::Splitting;
use super::layout::{Base, NatBase, Path};
use super::names;
use super::nat;
use super::policy::{self, Passing, any_pass};
use super::rule::{PassAction, RuleContext};
use super::sets::{Keep, Listed, SetBook, SetRef};
use super::settings::{DenyAction, Settings};
use super::shared;
use super::spoofing::Spoofing;
use super::tiers::Tiers;
use crate::calc::{
    ActivePolicy, ActiveProfile, Changes, EndpointId, EndpointPolicies, MatchRule, NatPools,
    PolicyId, SetMembers,
};
use crate::model::{Direction, PolicyKind, ProfileId};
use crate::net::maximal;
use crate::nft::{Catalog, Chain, ChainName, ObjectChange, ObjectChanges, ObjectKey};

/// The state of rendering: what has been rendered, as far as later changes need to know it.
#[derive(Debug)]
pub struct Renderer {
    pub(super) settings: Settings,
    started: bool,
    pub(super) book: SetBook,
    pub(super) counters: CounterBook,
    counter_news: Option<CounterNews>,
    policies: BTreeMap<PolicyId, Arc<ActivePolicy>>,
    profiles: BTreeMap<ProfileId, Arc<ActiveProfile>>,
    pub(super) endpoints: BTreeMap<EndpointId, Arc<EndpointPolicies>>,
    bindings: Bindings,
    spoofing: Spoofing,
    floating: Floating,
    pools: Arc<NatPools>,
    passing: Passing,
    pub(super) tiers: Tiers,
    pub(super) owners: BTreeMap<ChainName, Owner>,
    /// The base chains and shared chains as they were written last; a whole is only written where it differs.
    written: BTreeMap<ChainName, Arc<Chain>>,
    /// What is rendered as denied, whatever is wanted of it.
    pub(super) denied: BTreeSet<Unit>,
}

/// Whose rules a chain holds that refers to sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
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
            counters: CounterBook::default(),
            counter_news: None,
            policies: BTreeMap::new(),
            profiles: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            bindings: Bindings::default(),
            spoofing: Spoofing::default(),
            floating: Floating::default(),
            pools: Arc::default(),
            passing: Passing::new(),
            tiers: Tiers::default(),
            owners: BTreeMap::new(),
            written: BTreeMap::new(),
            denied: BTreeSet::new(),
        }
    }

    /// Makes a renderer that has rendered nothing and is to keep sets that were found, by name, where their
    /// content is what it is to be, or was that when it was last committed: then another program has changed it, and
    /// it is put right where it is; or where their content may be any.
    pub fn resume(settings: Settings, found: &Catalog, keep: Keep) -> Self {
        let mut renderer = Self::new(settings);
        renderer.book.take_over(found, keep);
        renderer
    }

    /// Tells whether a set that was found is kept though it holds something else.
    pub fn changes_found_sets(&self) -> bool {
        self.book.changes_found()
    }

    /// Sets when large sets are split, which is otherwise [`Splitting::DEFAULT`]; before anything is rendered.
    #[must_use]
    pub fn splitting(mut self, splitting: Splitting) -> Self {
        self.book.split(splitting);
        self
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Renders what changed. The first time, that must be the whole desired state, and the result then names
    /// every object there is to be.
    pub fn render(&mut self, changes: &Changes, members: &dyn SetMembers) -> ObjectChanges {
        let mut out = ObjectChanges::new();
        let rules_change = !(changes.policies.is_empty()
            && changes.profiles.is_empty()
            && changes.endpoints.is_empty()
            && changes.interfaces.is_empty()
            && changes.workloads.is_empty()
            && changes.pools.is_none());
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
        self.tiers.forget_unused();
        self.render_dispatch(changes, &mut out);
        self.render_nat(changes, &mut out);
        self.book.write(members, &mut out);
        self.write_counters(&mut out);
        self.started = true;
        out
    }

    /// Writes the counters, and notes the news of them.
    fn write_counters(&mut self, out: &mut ObjectChanges) {
        let changed = self.counters.write(out);
        if !self.started {
            let there = changed.into_iter();
            let there = there.filter_map(|(name, counted)| Some((name, counted?)));
            self.counter_news = Some(CounterNews::Whole(there.collect()));
        } else if !changed.is_empty() {
            let news = self.counter_news.take();
            self.counter_news = Some(CounterNews::followed_by(news, changed));
        }
    }

    /// Returns which counters there are to be, where that is news since it was last asked.
    pub fn take_counter_news(&mut self) -> Option<CounterNews> {
        self.counter_news.take()
    }

    /// Returns the ways on which a policy's rules of a direction stand.
    fn paths(&self, kind: PolicyKind, direction: Direction) -> &'static [Path] {
        match (kind, direction) {
            (PolicyKind::Normal | PolicyKind::ApplyOnForward, Direction::Ingress) => &[Path::In],
            (PolicyKind::Normal | PolicyKind::ApplyOnForward, Direction::Egress) => {
                match self.settings.deny {
                    DenyAction::Drop => &[Path::Out],
                    // The postrouting hook must reach no rule that refuses aloud.
                    DenyAction::Reject => &[Path::Out, Path::Dnat],
                }
            }
            (PolicyKind::Untracked, Direction::Ingress) => &[Path::RawIn],
            (PolicyKind::Untracked, Direction::Egress) => &[Path::RawOut],
            (PolicyKind::PreDnat, Direction::Ingress) => &[Path::PreDnat],
            (PolicyKind::PreDnat, Direction::Egress) => &[],
        }
    }

    /// Returns the chains that a policy has.
    fn policy_chains(&self, id: &PolicyId, policy: &ActivePolicy) -> BTreeSet<ChainName> {
        Direction::BOTH
            .into_iter()
            .filter(|direction| policy.written(*direction).is_some())
            .flat_map(|direction| self.paths(policy.kind, direction))
            .map(|path| names::policy(*path, id))
            .collect()
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
                    let rules = now.as_ref().and_then(|policy| policy.written(*direction));
                    rules.is_some_and(any_pass)
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
            let chains = |policy: &Option<Arc<ActivePolicy>>| {
                let policy = policy.as_ref();
                policy.map_or_else(BTreeSet::new, |policy| self.policy_chains(id, policy))
            };
            for chain in chains(&before).difference(&chains(now)) {
                self.remove_chain(chain.clone(), out);
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
                for direction in Direction::BOTH {
                    for path in self.paths(PolicyKind::Normal, direction) {
                        self.remove_chain(names::profile(*path, id), out);
                    }
                }
            }
        }
    }

    /// Removes the chain of a policy or profile.
    fn remove_chain(&mut self, name: ChainName, out: &mut ObjectChanges) {
        self.book.refer(&name, BTreeSet::new());
        self.counters.forget(&name);
        self.owners.remove(&name);
        out.insert(ObjectKey::Chain(name), ObjectChange::Absent);
    }

    /// Renders all chains of a policy or profile.
    fn render_owner(&mut self, owner: &Owner, members: &dyn SetMembers, out: &mut ObjectChanges) {
        for direction in Direction::BOTH {
            let (kind, rules) = match owner {
                Owner::Policy(id) => {
                    let Some(policy) = self.policies.get(id) else {
                        continue;
                    };
                    (policy.kind, policy.rules(direction))
                }
                Owner::Profile(id) => {
                    let profile = self.profiles.get(id);
                    let rules = profile.map(|profile| profile.rules(direction));
                    (PolicyKind::Normal, rules)
                }
            };
            let Some(rules) = rules else { continue };
            for path in self.paths(kind, direction) {
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
        if !self.denied.is_empty() && self.denied.contains(&Unit::from(owner)) {
            let name = match owner {
                Owner::Policy(id) => names::policy(path, id),
                Owner::Profile(id) => names::profile(path, id),
            };
            self.book.refer(&name, BTreeSet::new());
            self.counters.forget(&name);
            self.owners.insert(name.clone(), owner.clone());
            write_chain(Arc::new(denied::chain(name)), out);
            return;
        }
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
        let direction = path.direction();
        let counted = |decision: Decision| match owner {
            Owner::Policy(id) => Counted::Policy(id.clone(), direction, decision),
            Owner::Profile(id) => Counted::Profile(id.clone(), direction, decision),
        };
        let mut context = RuleContext {
            settings: &self.settings,
            path,
            pass,
            log_prefix,
            book: &mut self.book,
            members,
            counted: &counted,
            tally: Tally::new(self.settings.counters),
            references: BTreeSet::new(),
        };
        let chain = match owner {
            Owner::Policy(id) => policy::policy_chain(path, id, rules, &mut context),
            Owner::Profile(id) => policy::profile_chain(path, id, rules, &mut context),
        };
        let RuleContext {
            references, tally, ..
        } = context;
        self.book.refer(&chain.name, references);
        self.counters.refer(&chain.name, tally);
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
            }
            let chains = |policies: &Option<Arc<EndpointPolicies>>| -> BTreeSet<ChainName> {
                policies
                    .iter()
                    .flat_map(|policies| endpoint::places(id, policies, &self.settings))
                    .map(|place| names::endpoint(place, id))
                    .collect()
            };
            for chain in chains(&before).difference(&chains(now)) {
                self.counters.forget(chain);
                out.insert(ObjectKey::Chain(chain.clone()), ObjectChange::Absent);
            }
            // What is denied leads to no policy.
            let policed = !self.denies(id);
            let (settings, passing) = (&self.settings, &self.passing);
            self.tiers.share(
                id,
                before.as_deref().filter(|_| policed),
                now.as_deref().filter(|_| policed),
                settings,
                passing,
                out,
            );
        }
        let (settings, passing) = (&self.settings, &self.passing);
        dirty.extend(self.tiers.follow(repassed, settings, passing, out));
        dirty
    }

    /// Renders the chains of an endpoint.
    fn render_endpoint(&mut self, id: &EndpointId, out: &mut ObjectChanges) {
        let Some(policies) = self.endpoints.get(id) else {
            return;
        };
        if self.denies(id) {
            for chain in self.denied_endpoint(id, policies) {
                self.counters.forget(&chain.name);
                write_chain(chain, out);
            }
            return;
        }
        for place in endpoint::places(id, policies, &self.settings) {
            let mut tally = Tally::new(self.settings.counters);
            let settings = &self.settings;
            let chain = endpoint::chain(place, id, policies, &self.tiers, settings, &mut tally);
            self.counters.refer(&chain.name, tally);
            write_chain(chain, out);
        }
    }

    /// Renders what leads to the endpoints: base chains, shared chains, and the maps of interfaces.
    fn render_dispatch(&mut self, changes: &Changes, out: &mut ObjectChanges) {
        self.bindings
            .follow(changes, &self.endpoints, &self.settings, self.started, out);
        if !self.started {
            for chain in shared::of_settings(&self.settings) {
                write_chain(chain, out);
            }
        }
        if !self.started || !changes.workloads.is_empty() {
            self.spoofing.follow(&changes.workloads, out);
            self.bindings.set_spoofed_sources(self.spoofing.map());
        }
        if self.bindings.take_moved() || !self.started {
            for base in Base::ALL {
                let chain = self.bindings.dispatch().base_chain(base, &self.settings);
                self.write_where_different(base.name(), Some(chain), out);
            }
        }
    }

    /// Renders the translation of addresses.
    fn render_nat(&mut self, changes: &Changes, out: &mut ObjectChanges) {
        if let Some(pools) = &changes.pools {
            self.pools = Arc::clone(pools);
        }
        if self.started && changes.pools.is_none() && changes.workloads.is_empty() {
            return;
        }
        self.floating
            .follow(&changes.workloads, &self.settings, out);
        for base in NatBase::ALL {
            let mut references = BTreeSet::new();
            let mut nets = |family, nets: Vec<_>| {
                let set = Listed::Nets(family, maximal(nets).into());
                let name = set.name();
                references.insert(SetRef::Listed(set));
                name
            };
            let (pools, settings) = (&self.pools, &self.settings);
            let rules = nat::rules(base, pools, &self.floating, settings, &mut nets);
            self.book.refer(&base.name(), references);
            let chain = (!rules.is_empty()).then(|| base.chain(rules));
            self.write_where_different(base.name(), chain, out);
        }
    }

    /// Writes a chain of which the last state is known, unless that is the same.
    fn write_where_different(
        &mut self,
        name: ChainName,
        chain: Option<Arc<Chain>>,
        out: &mut ObjectChanges,
    ) {
        if self.written.get(&name) == chain.as_ref() {
            return;
        }
        if let Some(chain) = chain {
            self.written.insert(name, Arc::clone(&chain));
            write_chain(chain, out);
        } else {
            self.written.remove(&name);
            out.insert(ObjectKey::Chain(name), ObjectChange::Absent);
        }
    }
}

/// Writes a chain.
fn write_chain(chain: Arc<Chain>, out: &mut ObjectChanges) {
    out.insert(
        ObjectKey::Chain(chain.name.clone()),
        ObjectChange::Chain(chain),
    );
}
