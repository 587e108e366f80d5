//! The chains of tiers: each holds the ordered policies of one, for all endpoints that ask just these.
//!
//! Naming such a chain takes as long as its list is, and asking whether one of its policies passes packets on does
//! too. Endpoints share lists, so both are done once for each list and not for each endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::endpoint;
use super::layout::Path;
use super::names;
use super::policy::{self, Passing, can_pass};
use super::settings::Settings;
use crate::calc::{EndpointId, EndpointPolicies, PolicyId, TierPolicies};
use crate::nft::{Chain, ChainName, ObjectChange, ObjectChanges, ObjectKey};

/// Tiers in order, as calc shares them among endpoints.
type List = Arc<Vec<TierPolicies>>;

/// A chain of a tier's policies.
#[derive(Debug)]
struct TierChain {
    policies: Vec<PolicyId>,
    path: Path,
    /// Whether one of the policies can pass a packet on.
    passes: bool,
    users: BTreeSet<EndpointId>,
}

/// The names of the chains of one list; it is held so that no other takes its address.
#[derive(Debug)]
struct Named {
    list: List,
    chains: BTreeMap<Path, Arc<[ChainName]>>,
}

/// The chains of tiers that endpoints lead to.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    chains: BTreeMap<ChainName, TierChain>,
    /// By where the list lies in memory.
    names: BTreeMap<usize, Named>,
}

/// The chain that an endpoint asks for a tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskedTier {
    /// Its name.
    pub(super) chain: ChainName,
    /// Whether a packet can leave it because a policy passes it on.
    pub(super) passes: bool,
}

impl Tiers {
    /// Moves an endpoint from the chains that it led to, to those that it leads to.
    pub(super) fn share(
        &mut self,
        id: &EndpointId,
        before: Option<&EndpointPolicies>,
        now: Option<&EndpointPolicies>,
        settings: &Settings,
        passing: &Passing,
        out: &mut ObjectChanges,
    ) {
        let old = self.used(id, before, settings);
        let new = self.used(id, now, settings);
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            let Some(tier) = self.chains.get_mut(name) else {
                continue;
            };
            tier.users.remove(id);
            if tier.users.is_empty() {
                self.chains.remove(name);
                out.insert(ObjectKey::Chain(name.clone()), ObjectChange::Absent);
            }
        }
        for (name, (path, policies)) in new {
            if let Some(tier) = self.chains.get_mut(&name) {
                tier.users.insert(id.clone());
                continue;
            }
            let tier = TierChain {
                policies: policies.to_vec(),
                path,
                passes: passes(policies, path, passing),
                users: BTreeSet::from([id.clone()]),
            };
            write(&name, &tier, settings, passing, out);
            self.chains.insert(name, tier);
        }
    }

    /// Writes the chains anew whose policies began or ceased to pass packets on, and returns the endpoints that
    /// lead to them.
    pub(super) fn follow(
        &mut self,
        repassed: &BTreeSet<PolicyId>,
        settings: &Settings,
        passing: &Passing,
        out: &mut ObjectChanges,
    ) -> BTreeSet<EndpointId> {
        let mut users = BTreeSet::new();
        if repassed.is_empty() {
            return users;
        }
        for (name, tier) in &mut self.chains {
            if tier.policies.iter().any(|id| repassed.contains(id)) {
                tier.passes = passes(&tier.policies, tier.path, passing);
                users.extend(tier.users.iter().cloned());
                write(name, tier, settings, passing, out);
            }
        }
        users
    }

    /// Returns what an endpoint asks on a way, tier by tier; the endpoint leads there already.
    pub(super) fn asked(&self, path: Path, list: &List) -> Vec<AskedTier> {
        let known = self
            .names
            .get(&address(list))
            .and_then(|named| named.chains.get(&path));
        let chains = known.map_or_else(|| named(path, list), Arc::clone);
        let asked = chains.iter().map(|chain| AskedTier {
            chain: chain.clone(),
            passes: self.chains.get(chain).is_some_and(|tier| tier.passes),
        });
        asked.collect()
    }

    /// Returns the chains with the endpoints that lead to them.
    pub(super) fn users(&self) -> impl Iterator<Item = (&ChainName, &BTreeSet<EndpointId>)> {
        self.chains.iter().map(|(name, tier)| (name, &tier.users))
    }

    /// Forgets the names of lists that no endpoint has any more.
    pub(super) fn forget_unused(&mut self) {
        self.names
            .retain(|_, named| Arc::strong_count(&named.list) > 1);
    }

    /// Returns the chains that an endpoint leads to, with what they hold.
    fn used<'a>(
        &mut self,
        id: &EndpointId,
        policies: Option<&'a EndpointPolicies>,
        settings: &Settings,
    ) -> BTreeMap<ChainName, (Path, &'a [PolicyId])> {
        let mut used = BTreeMap::new();
        let Some(policies) = policies else {
            return used;
        };
        for place in endpoint::places(id, policies, settings) {
            let path = endpoint::path(place);
            let list = endpoint::list(place, id, policies);
            let chains = self.names(path, list);
            for (tier, name) in list.iter().zip(chains.iter()) {
                used.insert(name.clone(), (path, tier.policies.as_slice()));
            }
        }
        used
    }

    /// Returns the names of the chains of a list, in its order.
    fn names(&mut self, path: Path, list: &List) -> Arc<[ChainName]> {
        let known = self.names.entry(address(list)).or_insert_with(|| Named {
            list: Arc::clone(list),
            chains: BTreeMap::new(),
        });
        let chains = known.chains.entry(path);
        Arc::clone(chains.or_insert_with(|| named(path, list)))
    }
}

fn address(list: &List) -> usize {
    Arc::as_ptr(list).addr()
}

fn named(path: Path, list: &[TierPolicies]) -> Arc<[ChainName]> {
    list.iter()
        .map(|tier| names::tier(path, &tier.tier, &tier.policies))
        .collect()
}

fn passes(policies: &[PolicyId], path: Path, passing: &Passing) -> bool {
    let direction = path.direction();
    !passing.is_empty() && policies.iter().any(|id| can_pass(passing, id, direction))
}

/// Writes the chain of a tier.
fn write(
    name: &ChainName,
    tier: &TierChain,
    settings: &Settings,
    passing: &Passing,
    out: &mut ObjectChanges,
) {
    let chain: Arc<Chain> = policy::tier_chain(tier.path, name, &tier.policies, passing, settings);
    out.insert(ObjectKey::Chain(name.clone()), ObjectChange::Chain(chain));
}
