//! The policies and profiles that the endpoints of this host use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compile;
use super::label_index::{LabelIndex, Match, SelectorId};
use super::labels::labelled;
use super::order::{self, Lists, Tiers};
use super::sets::Sets;
use super::tracker::{Difference, Tracker};
use super::{ActivePolicy, ActiveProfile, Changes, EndpointId, EndpointPolicies, PolicyId, SetId};
use crate::model::{
    DEFAULT_ALLOW_PROFILE, Direction, Form, Policy, Profile, ProfileId, Resource, ResourceKey,
    Rule, Tier, TierName,
};

/// How many more lists of policies are remembered than there are endpoints.
const SPARE_LISTS: usize = 16;

#[derive(Debug)]
struct StoredPolicy {
    resource: Arc<Resource>,
    selector: SelectorId,
}

/// What is stored of policies, tiers and profiles, and what the endpoints of this host use of it.
#[derive(Debug)]
pub(super) struct Active {
    tiers: Tiers,
    policies: BTreeMap<ResourceKey, StoredPolicy>,
    policies_by_selector: BTreeMap<SelectorId, BTreeSet<ResourceKey>>,
    policies_by_tier: BTreeMap<TierName, BTreeSet<ResourceKey>>,
    /// The selectors of policies that select an endpoint, as last weighed: policies come into use and go out of
    /// use with the first and the last one, whatever number of endpoints they apply to.
    used_selectors: BTreeSet<SelectorId>,
    /// The selectors that have begun or ceased to select some endpoint since then.
    touched_selectors: BTreeSet<SelectorId>,
    profiles: BTreeMap<(ProfileId, Form), Arc<Resource>>,
    default_allow: Arc<Resource>,
    /// What stands for a profile that does not exist.
    missing: Arc<Resource>,
    /// The endpoints in force here against the selectors of all policies.
    index: LabelIndex,
    /// The endpoints in force here that name a profile.
    profile_users: BTreeMap<ProfileId, BTreeSet<EndpointId>>,
    /// Lists by the selectors that select an endpoint; emptied when the order of policies changes.
    lists: BTreeMap<Vec<SelectorId>, Arc<Lists>>,
    /// Policies and profiles whose rules may be others than those last resolved.
    changed_policies: BTreeSet<ResourceKey>,
    changed_profiles: BTreeSet<ProfileId>,
    told_policies: Tracker<PolicyId, Arc<ActivePolicy>>,
    told_profiles: Tracker<ProfileId, Arc<ActiveProfile>>,
    told_endpoints: Tracker<EndpointId, Arc<EndpointPolicies>>,
}

impl Active {
    /// Makes an empty collection.
    pub(super) fn new() -> Self {
        Self {
            tiers: Tiers::default(),
            policies: BTreeMap::new(),
            policies_by_selector: BTreeMap::new(),
            policies_by_tier: BTreeMap::new(),
            used_selectors: BTreeSet::new(),
            touched_selectors: BTreeSet::new(),
            profiles: BTreeMap::new(),
            default_allow: Arc::new(Resource::Profile(Profile::default_allow())),
            missing: Arc::new(Resource::Profile(Profile::deny())),
            index: LabelIndex::new(),
            profile_users: BTreeMap::new(),
            lists: BTreeMap::new(),
            changed_policies: BTreeSet::new(),
            changed_profiles: BTreeSet::new(),
            told_policies: Tracker::new(),
            told_profiles: Tracker::new(),
            told_endpoints: Tracker::new(),
        }
    }

    /// Stores a tier, or forgets it.
    pub(super) fn set_tier(&mut self, name: &TierName, form: Form, tier: Option<&Tier>) {
        if !self.tiers.set(name, form, tier) {
            return;
        }
        let policies = self.policies_by_tier.get(name).into_iter().flatten();
        let selectors: BTreeSet<SelectorId> = policies
            .filter_map(|key| self.policies.get(key))
            .map(|policy| policy.selector)
            .collect();
        self.lists.clear();
        for selector in selectors {
            self.mark_selected(selector);
        }
    }

    /// Stores a policy, or forgets it.
    pub(super) fn set_policy(&mut self, key: &ResourceKey, resource: Option<Arc<Resource>>) {
        if self.policies.get(key).map(|stored| &stored.resource) == resource.as_ref() {
            return;
        }
        let old = self.policies.remove(key);
        let old_policy = old.as_ref().and_then(|old| old.resource.as_policy());
        let new_policy = resource.as_deref().and_then(Resource::as_policy);
        let moved = match (old_policy, new_policy) {
            (Some(old), Some(new)) => !same_place(old, new),
            (None, None) => return,
            (Some(_), None) | (None, Some(_)) => true,
        };
        self.changed_policies.insert(key.clone());
        for policy in [old_policy, new_policy].into_iter().flatten() {
            self.told_policies.mark(policy_id(key, policy));
        }
        // The new selector first, so that one that stays is not matched anew.
        let selector = new_policy.map(|policy| self.index.acquire(&policy.selector));
        if let (Some(old), Some(policy)) = (&old, old_policy) {
            if moved {
                self.mark_selected(old.selector);
            }
            remove_from(&mut self.policies_by_selector, &old.selector, key);
            if !self.policies_by_selector.contains_key(&old.selector) {
                self.used_selectors.remove(&old.selector);
            }
            remove_from(&mut self.policies_by_tier, &policy.tier, key);
            self.index.release(old.selector);
        }
        if let (Some(selector), Some(policy)) = (selector, new_policy) {
            if moved {
                self.mark_selected(selector);
            }
            let by_selector = self.policies_by_selector.entry(selector).or_default();
            if by_selector.is_empty() && self.index.items_of(selector).next().is_some() {
                self.used_selectors.insert(selector);
            }
            by_selector.insert(key.clone());
            let by_tier = self
                .policies_by_tier
                .entry(policy.tier.clone())
                .or_default();
            by_tier.insert(key.clone());
        }
        if let (Some(selector), Some(resource)) = (selector, resource) {
            let stored = StoredPolicy { resource, selector };
            self.policies.insert(key.clone(), stored);
        }
        if moved {
            self.lists.clear();
        }
    }

    /// Stores a profile, or forgets it, and returns what holds for its name where it is in question.
    ///
    /// The built-in profile is what it is whatever is stored.
    pub(super) fn set_profile(
        &mut self,
        id: &ProfileId,
        form: Form,
        resource: Option<Arc<Resource>>,
    ) -> Option<Arc<Resource>> {
        match resource {
            Some(resource) => self.profiles.insert((id.clone(), form), resource),
            None => self.profiles.remove(&(id.clone(), form)),
        };
        let now = self.profile(id).cloned();
        self.changed_profiles.insert(id.clone());
        self.told_profiles.mark(id.clone());
        let matches = self.index.set_profile(id, now.as_ref());
        self.mark_matches(&matches);
        now
    }

    /// Puts an endpoint of this host into force, changes it, or takes it out of force.
    pub(super) fn set_endpoint(&mut self, key: &EndpointId, resource: Option<&Arc<Resource>>) {
        let old = self
            .index
            .item_id(key)
            .and_then(|id| self.index.resource(id).cloned());
        let profiles = |resource: Option<&Arc<Resource>>| -> Vec<ProfileId> {
            let labelled = resource.and_then(|resource| labelled(resource));
            labelled.map_or_else(Vec::new, |(_, profiles)| profiles.to_vec())
        };
        let (old_profiles, new_profiles) = (profiles(old.as_ref()), profiles(resource));
        if old.is_some() != resource.is_some() || old_profiles != new_profiles {
            self.told_endpoints.mark(key.clone());
            for id in old_profiles {
                remove_from(&mut self.profile_users, &id, key);
                self.told_profiles.mark(id);
            }
            for id in new_profiles {
                let users = self.profile_users.entry(id.clone()).or_default();
                users.insert(key.clone());
                self.told_profiles.mark(id);
            }
        }
        if let Some(resource) = resource {
            let matches = self.index.set_item(key, resource);
            self.mark_matches(&matches);
        } else if let Some((selectors, _)) = self.index.remove_item(key) {
            self.touched_selectors.extend(selectors);
        }
    }

    /// Returns what differs since this was last asked, and moves the use of sets along.
    pub(super) fn take(&mut self, sets: &mut Sets) -> Changes {
        self.weigh_selectors();
        let policies = self.take_policies();
        let profiles = self.take_profiles();
        for policy in &policies {
            let [old, new] = [&policy.old, &policy.new]
                .map(|policy| of_both(|direction| policy.as_ref()?.written(direction)));
            move_use(sets, &old, &new);
        }
        for profile in &profiles {
            let [old, new] = [&profile.old, &profile.new]
                .map(|profile| of_both(|direction| Some(profile.as_ref()?.written(direction))));
            move_use(sets, &old, &new);
        }
        let endpoints = self.take_endpoints();
        Changes {
            policies: told(policies),
            profiles: told(profiles),
            endpoints,
            ..Changes::default()
        }
    }

    /// Adds everything that holds, as last taken.
    pub(super) fn add_whole(&self, changes: &mut Changes) {
        let policies = self.told_policies.told().iter();
        changes
            .policies
            .extend(policies.map(|(id, policy)| (id.clone(), Some(Arc::clone(policy)))));
        let profiles = self.told_profiles.told().iter();
        changes
            .profiles
            .extend(profiles.map(|(id, profile)| (id.clone(), Some(Arc::clone(profile)))));
        let endpoints = self.told_endpoints.told().iter();
        changes
            .endpoints
            .extend(endpoints.map(|(id, endpoint)| (id.clone(), Some(Arc::clone(endpoint)))));
    }

    /// Returns how many policies, profiles and endpoints are in force, as last taken.
    pub(super) fn count(&self) -> (usize, usize, usize) {
        (
            self.told_policies.told().len(),
            self.told_profiles.told().len(),
            self.told_endpoints.told().len(),
        )
    }

    /// Returns the profiles that endpoints in force name and that do not exist, with those endpoints.
    pub(super) fn missing_profiles(&self) -> impl Iterator<Item = (&ProfileId, &EndpointId)> {
        self.profile_users
            .iter()
            .filter(|(id, _)| self.profile(id).is_none())
            .flat_map(|(id, users)| users.iter().map(move |user| (id, user)))
    }

    /// Returns the tiers that policies name and that do not exist, with those policies.
    pub(super) fn missing_tiers(&self) -> impl Iterator<Item = (&TierName, &ResourceKey)> {
        self.policies_by_tier
            .iter()
            .filter(|(name, _)| self.tiers.get(name).is_none())
            .flat_map(|(name, policies)| policies.iter().map(move |policy| (name, policy)))
    }

    fn take_policies(&mut self) -> Vec<Difference<PolicyId, Arc<ActivePolicy>>> {
        let changed = std::mem::take(&mut self.changed_policies);
        let (policies, index) = (&self.policies, &self.index);
        self.told_policies.take(|id, told| {
            let stored = policies.get(&id.key)?;
            let policy = stored
                .resource
                .as_policy()
                .filter(|policy| policy.tier == id.tier)?;
            let mut directions = Direction::BOTH.into_iter();
            let asked = directions.any(|direction| compile::governs(policy, direction));
            if !asked || index.items_of(stored.selector).next().is_none() {
                return None;
            }
            match told.filter(|_| !changed.contains(&id.key)) {
                Some(known) => Some(Arc::clone(known)),
                None => ActivePolicy::of(Arc::clone(&stored.resource)).map(Arc::new),
            }
        })
    }

    fn take_profiles(&mut self) -> Vec<Difference<ProfileId, Arc<ActiveProfile>>> {
        let changed = std::mem::take(&mut self.changed_profiles);
        let (stored, default_allow) = (&self.profiles, &self.default_allow);
        let (users, missing) = (&self.profile_users, &self.missing);
        self.told_profiles.take(|id, told| {
            users.get(id)?;
            if let Some(known) = told.filter(|_| !changed.contains(id)) {
                return Some(Arc::clone(known));
            }
            let profile = profile(stored, default_allow, id).unwrap_or(missing);
            ActiveProfile::of(Arc::clone(profile)).map(Arc::new)
        })
    }

    fn take_endpoints(&mut self) -> BTreeMap<EndpointId, Option<Arc<EndpointPolicies>>> {
        let Self {
            tiers,
            policies,
            policies_by_selector,
            index,
            lists,
            told_endpoints,
            ..
        } = self;
        let differences = told_endpoints.take(|key, _| {
            let item = index.item_id(key)?;
            let (_, profiles) = labelled(index.resource(item)?)?;
            let selectors = index.selectors_of(item);
            let known = lists.get(selectors).cloned();
            let lists = known.unwrap_or_else(|| {
                let selected = selectors
                    .iter()
                    .filter_map(|selector| policies_by_selector.get(selector))
                    .flatten()
                    .filter_map(|key| Some((key, policies.get(key)?.resource.as_policy()?)));
                let made = Arc::new(order::lists(selected, tiers));
                lists.insert(selectors.to_vec(), Arc::clone(&made));
                made
            });
            Some(Arc::new(EndpointPolicies {
                normal: lists.normal.clone(),
                forward: lists.forward.clone(),
                untracked: lists.untracked.clone(),
                pre_dnat: lists.pre_dnat.clone(),
                profiles: profiles.to_vec(),
            }))
        });
        if lists.len() > 2 * told_endpoints.told().len() + SPARE_LISTS {
            lists.clear();
        }
        told(differences)
    }

    fn profile(&self, id: &ProfileId) -> Option<&Arc<Resource>> {
        profile(&self.profiles, &self.default_allow, id)
    }

    fn mark_matches(&mut self, matches: &[Match]) {
        for found in matches {
            if let Some(key) = self.index.key(found.item) {
                self.told_endpoints.mark(key.clone());
            }
            self.touched_selectors.insert(found.selector);
        }
    }

    /// Marks the policies of selectors that have come into use or gone out of use.
    fn weigh_selectors(&mut self) {
        for selector in std::mem::take(&mut self.touched_selectors) {
            let used = self.index.items_of(selector).next().is_some();
            let changed = self.policies_by_selector.contains_key(&selector)
                && if used {
                    self.used_selectors.insert(selector)
                } else {
                    self.used_selectors.remove(&selector)
                };
            if changed {
                self.mark_policies(selector);
            }
        }
    }

    /// Marks the policies of a selector.
    fn mark_policies(&mut self, selector: SelectorId) {
        for key in self
            .policies_by_selector
            .get(&selector)
            .into_iter()
            .flatten()
        {
            let stored = self.policies.get(key);
            if let Some(policy) = stored.and_then(|stored| stored.resource.as_policy()) {
                self.told_policies.mark(policy_id(key, policy));
            }
        }
    }

    /// Marks the endpoints that a selector selects.
    fn mark_selected(&mut self, selector: SelectorId) {
        for item in self.index.items_of(selector) {
            if let Some(key) = self.index.key(item) {
                self.told_endpoints.mark(key.clone());
            }
        }
    }
}

fn profile<'a>(
    stored: &'a BTreeMap<(ProfileId, Form), Arc<Resource>>,
    default_allow: &'a Arc<Resource>,
    id: &ProfileId,
) -> Option<&'a Arc<Resource>> {
    if id.as_str() == DEFAULT_ALLOW_PROFILE {
        return Some(default_allow);
    }
    let of_form = |form| stored.get(&(id.clone(), form));
    of_form(Form::V3).or_else(|| of_form(Form::V1))
}

fn policy_id(key: &ResourceKey, policy: &Policy) -> PolicyId {
    PolicyId {
        tier: policy.tier.clone(),
        key: key.clone(),
    }
}

/// Tells whether a change of a policy leaves it in the same lists at the same place.
fn same_place(old: &Policy, new: &Policy) -> bool {
    old.tier == new.tier
        && old.order == new.order
        && old.kind == new.kind
        && old.types == new.types
        && old.selector == new.selector
}

/// Takes the old values off differences.
fn told<K: Ord, V>(differences: Vec<Difference<K, V>>) -> BTreeMap<K, Option<V>> {
    let told = differences
        .into_iter()
        .map(|change| (change.key, change.new));
    told.collect()
}

/// Returns the sets that the rules of both directions refer to.
fn of_both<'a>(rules: impl Fn(Direction) -> Option<&'a [Rule]>) -> BTreeSet<SetId> {
    let directions = Direction::BOTH.into_iter();
    let rules = directions.filter_map(rules);
    rules.flat_map(compile::set_ids).collect()
}

/// Counts the users of sets anew where rules change.
fn move_use(sets: &mut Sets, old: &BTreeSet<SetId>, new: &BTreeSet<SetId>) {
    for id in new {
        sets.acquire(id);
    }
    for id in old {
        sets.release(id);
    }
}

fn remove_from<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = map.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            map.remove(key);
        }
    }
}
