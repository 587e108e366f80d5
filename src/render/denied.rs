//! What is denied as a whole, because the kernel refuses what it is to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::endpoint;
use super::names;
use super::renderer::{Owner, Renderer};
use crate::calc::{EndpointId, EndpointPolicies, PolicyId};
use crate::model::{Direction, ProfileId};
use crate::nft::{Chain, ChainName, Expr, ObjectKey, Rule, Verdict};

/// What can be denied by itself: an object that its author knows by name.
///
/// What is denied refers to no set, so that a set at fault goes with those that use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A policy: packets that come to it are dropped.
    Policy(PolicyId),
    /// A profile: packets that come to it are dropped.
    Profile(ProfileId),
    /// An endpoint: what stays open to it whatever policy says stays open, the rest is dropped.
    Endpoint(EndpointId),
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(id) => write!(f, "{}", id.key),
            Self::Profile(id) => write!(f, "Profile({id})"),
            Self::Endpoint(id) => write!(f, "{id}"),
        }
    }
}

impl From<&Owner> for Unit {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Policy(id) => Self::Policy(id.clone()),
            Owner::Profile(id) => Self::Profile(id.clone()),
        }
    }
}

/// Makes the rule that ends a chain of what is denied. It is a drop whatever deny means elsewhere, since a `reject`
/// might be what the kernel refuses.
pub(super) fn rule() -> Rule {
    let comment = "denied: the kernel refuses what belongs here";
    Rule::new(comment, vec![Expr::Verdict(Verdict::Drop)])
}

/// Makes the chain of a policy or profile that is denied.
pub(super) fn chain(name: ChainName) -> Chain {
    Chain::new(name, None, vec![rule()])
}

impl Renderer {
    /// Renders some units as denied, from the first rendering on.
    #[must_use]
    pub fn denying(mut self, denied: BTreeSet<Unit>) -> Self {
        self.denied = denied;
        self
    }

    /// Tells whether an endpoint is denied.
    pub(super) fn denies(&self, id: &EndpointId) -> bool {
        !self.denied.is_empty() && self.denied.contains(&Unit::Endpoint(id.clone()))
    }

    /// Returns the endpoints that do not get what they are to have: those that are denied, and those with a policy
    /// or profile that is.
    pub fn concerned(&self) -> BTreeSet<EndpointId> {
        if self.denied.is_empty() {
            return BTreeSet::new();
        }
        let uses = |policies: &EndpointPolicies| {
            let lists = [
                &policies.normal,
                &policies.forward,
                &policies.untracked,
                &policies.pre_dnat,
            ];
            let lists = lists.into_iter();
            let tiers = lists.flat_map(|lists| Direction::BOTH.map(|way| lists.direction(way)));
            let policy = |id: &PolicyId| self.denied.contains(&Unit::Policy(id.clone()));
            let profile = |id: &ProfileId| self.denied.contains(&Unit::Profile(id.clone()));
            policies.profiles.iter().any(profile)
                || tiers
                    .flat_map(|tiers| tiers.iter())
                    .any(|tier| tier.policies.iter().any(policy))
        };
        let endpoints = self.endpoints.iter();
        endpoints
            .filter(|(id, policies)| self.denies(id) || uses(policies))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Returns the units by what is rendered of them; what belongs to no unit cannot be denied.
    pub fn units(&self) -> BTreeMap<ObjectKey, BTreeSet<Unit>> {
        let mut chains: BTreeMap<ChainName, BTreeSet<Unit>> = BTreeMap::new();
        for (chain, owner) in &self.owners {
            chains
                .entry(chain.clone())
                .or_default()
                .insert(owner.into());
        }
        for (chain, users) in self.tiers.users() {
            let users = users.iter().cloned().map(Unit::Endpoint);
            chains.entry(chain.clone()).or_default().extend(users);
        }
        for (id, policies) in &self.endpoints {
            for place in endpoint::places(id, policies, &self.settings) {
                chains
                    .entry(names::endpoint(place, id))
                    .or_default()
                    .insert(Unit::Endpoint(id.clone()));
            }
        }
        let mut units: BTreeMap<ObjectKey, BTreeSet<Unit>> = BTreeMap::new();
        let mut shared = |key: ObjectKey, chain: &ChainName| {
            if let Some(users) = chains.get(chain) {
                let users = users.iter().cloned();
                units.entry(key).or_default().extend(users);
            }
        };
        for (set, users) in self.book.users() {
            for chain in users {
                shared(ObjectKey::Set(set.clone()), chain);
            }
        }
        for (chain, counters) in self.counters.users() {
            for counter in counters {
                shared(ObjectKey::Counter(counter.clone()), chain);
            }
        }
        let chains = chains.into_iter();
        units.extend(chains.map(|(chain, units)| (ObjectKey::Chain(chain), units)));
        units
    }

    /// Renders the chains of an endpoint that is denied.
    pub(super) fn denied_endpoint(
        &self,
        id: &EndpointId,
        policies: &EndpointPolicies,
    ) -> Vec<Arc<Chain>> {
        endpoint::places(id, policies, &self.settings)
            .map(|place| endpoint::denied_chain(place, id, policies, &self.settings))
            .collect()
    }
}
