//! The order of tiers and of the policies in them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::governs;
use super::{PolicyId, PolicyLists, TierPolicies};
use crate::model::{
    DEFAULT_TIER, Direction, EndOfTier, Form, Order, Policy, PolicyKind, ResourceKey, Tier,
    TierName,
};

/// The tiers that `calicoctl` makes in every datastore before it writes anything else, with their order.
const BUILT_IN: [(&str, f64, EndOfTier); 3] = [
    (DEFAULT_TIER, 1_000_000.0, EndOfTier::Deny),
    ("kube-admin", 1_000.0, EndOfTier::Pass),
    ("kube-baseline", 10_000_000.0, EndOfTier::Pass),
];

/// The tiers by name; one that is stored in both forms is what its v3 form says.
#[derive(Debug, Default)]
pub(super) struct Tiers(BTreeMap<(TierName, Form), Tier>);

/// A tier's place among the tiers of an endpoint: those that exist come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TierRank {
    existence: Existence,
    order: Order,
    name: TierName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Existence {
    Stored,
    Missing,
}

impl Tiers {
    /// Stores a tier, or forgets it; tells whether what holds for its name is another thing now.
    pub(super) fn set(&mut self, name: &TierName, form: Form, tier: Option<&Tier>) -> bool {
        let before = self.get(name);
        match tier {
            Some(tier) => self.0.insert((name.clone(), form), tier.clone()),
            None => self.0.remove(&(name.clone(), form)),
        };
        before != self.get(name)
    }

    /// Returns the tier of a name, where it is stored or always there.
    pub(super) fn get(&self, name: &TierName) -> Option<Tier> {
        let stored = |form| self.0.get(&(name.clone(), form)).cloned();
        stored(Form::V3).or_else(|| stored(Form::V1)).or_else(|| {
            let built_in = BUILT_IN
                .iter()
                .find(|(known, _, _)| *known == name.as_str());
            built_in.map(|(_, order, default_action)| Tier {
                order: Order::new(*order).unwrap_or(Order::LAST),
                default_action: *default_action,
            })
        })
    }
}

/// Policies of an endpoint, in lists for each place in the packet's path.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) normal: PolicyLists,
    pub(super) forward: PolicyLists,
    pub(super) untracked: PolicyLists,
    pub(super) pre_dnat: PolicyLists,
}

/// Puts policies in order, tier by tier, and into the lists of every place where they are asked.
pub(super) fn lists<'a>(
    policies: impl Iterator<Item = (&'a ResourceKey, &'a Policy)>,
    tiers: &Tiers,
) -> Lists {
    let mut by_tier: BTreeMap<&TierName, Vec<(&ResourceKey, &Policy)>> = BTreeMap::new();
    for (key, policy) in policies {
        by_tier.entry(&policy.tier).or_default().push((key, policy));
    }
    let mut ranked = BTreeMap::new();
    for (name, mut policies) in by_tier {
        policies.sort_unstable_by(|(key, policy), (other_key, other)| {
            policy
                .order
                .cmp(&other.order)
                .then_with(|| compare_names(key, other_key))
        });
        let tier = tiers.get(name);
        let rank = TierRank {
            existence: match tier {
                Some(_) => Existence::Stored,
                None => Existence::Missing,
            },
            order: tier.as_ref().map_or(Order::LAST, |tier| tier.order),
            name: name.clone(),
        };
        // A tier that does not exist refuses at its end, as one that says nothing about it.
        let end = tier.map_or(EndOfTier::Deny, |tier| tier.default_action);
        ranked.insert(rank, (end, policies));
    }
    let list = |kinds: &[PolicyKind], direction, end: Option<EndOfTier>| {
        let mut list = Vec::new();
        for (rank, (default_end, policies)) in &ranked {
            let policies: Vec<PolicyId> = policies
                .iter()
                .filter(|(_, policy)| kinds.contains(&policy.kind) && governs(policy, direction))
                .map(|(key, _)| PolicyId {
                    tier: rank.name.clone(),
                    key: (*key).clone(),
                })
                .collect();
            if !policies.is_empty() {
                list.push(TierPolicies {
                    tier: rank.name.clone(),
                    policies,
                    end: end.unwrap_or(*default_end),
                });
            }
        }
        Arc::new(list)
    };
    let both = |kinds: &[PolicyKind], end| PolicyLists {
        ingress: list(kinds, Direction::Ingress, end),
        egress: list(kinds, Direction::Egress, end),
    };
    Lists {
        normal: both(&[PolicyKind::Normal, PolicyKind::ApplyOnForward], None),
        forward: both(&[PolicyKind::ApplyOnForward], None),
        untracked: both(&[PolicyKind::Untracked], Some(EndOfTier::Pass)),
        pre_dnat: both(&[PolicyKind::PreDnat], Some(EndOfTier::Pass)),
    }
}

/// Compares as the texts `name/namespace/kind` do, and where these are the same, v3 before v1.
fn compare_names(one: &ResourceKey, other: &ResourceKey) -> Ordering {
    fn text(key: &ResourceKey) -> impl Iterator<Item = u8> + '_ {
        let parts = [&*key.name, "/", &*key.scope, "/", key.kind.as_str()];
        parts.into_iter().flat_map(str::bytes)
    }
    text(one).cmp(text(other)).then_with(|| one.cmp(other))
}
