//! Which policies apply to an endpoint, tier by tier.

use super::host::Host;
use crate::model::{
    DEFAULT_TIER, Direction, EndOfTier, Form, Kind, LabelMap, Order, Policy, PolicyKind,
    ResourceKey, Tier, TierName,
};

/// The policies of one tier that apply to an endpoint in one direction, in order.
#[derive(Debug)]
pub(super) struct Stage<'h> {
    /// The tier.
    pub(super) tier: TierName,
    /// What happens at its end.
    pub(super) end: EndOfTier,
    /// The policies; never none.
    pub(super) policies: Vec<(&'h ResourceKey, &'h Policy)>,
}

/// Where a tier stands: those that exist come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    missing: bool,
    order: Order,
    name: TierName,
}

impl Host {
    /// Returns the tiers with policies of these kinds that govern the direction for an endpoint with these labels.
    pub(super) fn stages(
        &self,
        labels: &LabelMap,
        kinds: &[PolicyKind],
        direction: Direction,
    ) -> Vec<Stage<'_>> {
        let mut found: Vec<(Place, EndOfTier, &ResourceKey, &Policy)> = Vec::new();
        for (key, policy) in self.policies() {
            if kinds.contains(&policy.kind)
                && policy.types.governs(direction)
                && policy.selector.matches(labels)
            {
                let (place, end) = self.place_of(&policy.tier);
                found.push((place, end, key, policy));
            }
        }
        found.sort_by_cached_key(|(place, _, key, policy)| {
            (place.clone(), policy.order, tie(key), key.form)
        });
        let mut stages: Vec<Stage<'_>> = Vec::new();
        for (place, end, key, policy) in found {
            match stages.last_mut() {
                Some(stage) if stage.tier == place.name => stage.policies.push((key, policy)),
                Some(_) | None => stages.push(Stage {
                    tier: place.name,
                    end,
                    policies: vec![(key, policy)],
                }),
            }
        }
        stages
    }

    /// Tells whether any policy of these kinds applies to an endpoint with these labels, in either direction.
    pub(super) fn has_policy(&self, labels: &LabelMap, kinds: &[PolicyKind]) -> bool {
        Direction::BOTH
            .into_iter()
            .any(|direction| !self.stages(labels, kinds, direction).is_empty())
    }

    fn policies(&self) -> impl Iterator<Item = (&ResourceKey, &Policy)> {
        self.resources
            .iter()
            .filter_map(|(key, resource)| Some((key, resource.as_policy()?)))
    }

    fn place_of(&self, name: &TierName) -> (Place, EndOfTier) {
        let tier = self.tier(name).or_else(|| built_in(name));
        let place = Place {
            missing: tier.is_none(),
            order: tier.as_ref().map_or(Order::LAST, |tier| tier.order),
            name: name.clone(),
        };
        let end = tier.map_or(EndOfTier::Deny, |tier| tier.default_action);
        (place, end)
    }

    fn tier(&self, name: &TierName) -> Option<Tier> {
        let of_form = |form| {
            let key = ResourceKey {
                kind: Kind::Tier,
                scope: "".into(),
                name: name.as_str().into(),
                form,
            };
            self.resources.get(&key)?.as_tier().cloned()
        };
        of_form(Form::V3).or_else(|| of_form(Form::V1))
    }
}

/// Returns what puts policies of one order in order.
fn tie(key: &ResourceKey) -> String {
    format!("{}/{}/{}", key.name, key.scope, key.kind)
}

/// Returns a tier that exists although nobody has made it.
fn built_in(name: &TierName) -> Option<Tier> {
    let (order, default_action) = match name.as_str() {
        DEFAULT_TIER => (1_000_000.0, EndOfTier::Deny),
        "kube-admin" => (1_000.0, EndOfTier::Pass),
        "kube-baseline" => (10_000_000.0, EndOfTier::Pass),
        _ => return None,
    };
    Some(Tier {
        order: Order::new(order)?,
        default_action,
    })
}
