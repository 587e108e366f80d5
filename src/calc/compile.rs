//! Rules as written to rules with selectors resolved to sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{MatchRule, SetId, SideMatch};
use crate::model::{
    Direction, EntityMatch, Policy, PolicyKind, PortMatch, PortName, Resource, Rule,
};
use crate::net::{PortRange, Protocol, maximal};
use crate::selector::Selector;

/// A policy that some local endpoint uses.
///
/// It shares the rules as written, which are kept anyway. They are resolved each time they are asked for, which is
/// when they are rendered: kept as well, they would take more memory than anything else.
#[derive(Debug, Clone)]
pub struct ActivePolicy {
    /// Where it is asked.
    pub kind: PolicyKind,
    resource: Arc<Resource>,
}

impl ActivePolicy {
    /// Makes one of a resource, where that is a policy.
    pub fn of(resource: Arc<Resource>) -> Option<Self> {
        let kind = resource.as_policy()?.kind;
        Some(Self { kind, resource })
    }

    /// Returns the rules of one direction as written, where the policy governs it.
    pub fn written(&self, direction: Direction) -> Option<&[Rule]> {
        let policy = self.resource.as_policy();
        let policy = policy.filter(|policy| governs(policy, direction))?;
        Some(policy.rules(direction))
    }

    /// Resolves the rules of one direction, where the policy governs it.
    pub fn rules(&self, direction: Direction) -> Option<Vec<MatchRule>> {
        self.written(direction).map(resolved)
    }
}

impl PartialEq for ActivePolicy {
    /// Tells whether both ask the same of packets; their selectors and places in a tier may differ.
    fn eq(&self, other: &Self) -> bool {
        let same = |direction| self.written(direction) == other.written(direction);
        self.kind == other.kind && Direction::BOTH.into_iter().all(same)
    }
}

impl Eq for ActivePolicy {}

/// A profile that some local endpoint uses; one that is missing denies both ways.
///
/// As with [`ActivePolicy`], its rules are resolved when they are asked for.
#[derive(Debug, Clone)]
pub struct ActiveProfile {
    resource: Arc<Resource>,
}

impl ActiveProfile {
    /// Makes one of a resource, where that is a profile.
    pub fn of(resource: Arc<Resource>) -> Option<Self> {
        resource.as_profile()?;
        Some(Self { resource })
    }

    /// Returns the rules of one direction as written.
    pub fn written(&self, direction: Direction) -> &[Rule] {
        let profile = self.resource.as_profile();
        profile.map_or(&[], |profile| profile.rules(direction))
    }

    /// Resolves the rules of one direction.
    pub fn rules(&self, direction: Direction) -> Vec<MatchRule> {
        resolved(self.written(direction))
    }
}

impl PartialEq for ActiveProfile {
    /// Tells whether both ask the same of packets; their labels may differ.
    fn eq(&self, other: &Self) -> bool {
        let same = |direction| self.written(direction) == other.written(direction);
        Direction::BOTH.into_iter().all(same)
    }
}

impl Eq for ActiveProfile {}

/// Tells whether a policy has a say on a direction, at its place in the packet's path.
///
/// Nothing is asked before address translation of traffic that leaves.
pub(super) fn governs(policy: &Policy, direction: Direction) -> bool {
    let possible = match (policy.kind, direction) {
        (PolicyKind::PreDnat, Direction::Egress) => false,
        (PolicyKind::PreDnat, Direction::Ingress)
        | (PolicyKind::Normal | PolicyKind::ApplyOnForward | PolicyKind::Untracked, _) => true,
    };
    possible && policy.types.governs(direction)
}

/// Returns every set that rules refer to.
pub(super) fn set_ids(rules: &[Rule]) -> BTreeSet<SetId> {
    let mut ids = BTreeSet::new();
    for rule in rules {
        for entity in [&rule.source, &rule.destination] {
            let SideSets {
                sets,
                not_sets,
                named_ports,
                not_named_ports,
            } = sets(entity, rule.protocol);
            let lists = [sets, not_sets, named_ports, not_named_ports];
            ids.extend(lists.into_iter().flatten());
        }
    }
    ids
}

/// Resolves rules.
fn resolved(rules: &[Rule]) -> Vec<MatchRule> {
    rules.iter().map(rule).collect()
}

fn rule(rule: &Rule) -> MatchRule {
    MatchRule {
        action: rule.action,
        ip_version: rule.ip_version,
        protocol: rule.protocol,
        not_protocol: rule.not_protocol,
        icmp: rule.icmp,
        not_icmp: rule.not_icmp,
        source: side(&rule.source, rule.protocol),
        destination: side(&rule.destination, rule.protocol),
    }
}

fn side(entity: &EntityMatch, protocol: Option<Protocol>) -> SideMatch {
    let SideSets {
        sets,
        not_sets,
        named_ports,
        not_named_ports,
    } = sets(entity, protocol);
    SideMatch {
        nets: maximal(entity.nets.to_vec()).into(),
        not_nets: maximal(entity.not_nets.to_vec()).into(),
        sets: sets.into(),
        not_sets: not_sets.into(),
        ports: numbered(&entity.ports).into(),
        named_ports: named_ports.into(),
        not_ports: numbered(&entity.not_ports).into(),
        not_named_ports: not_named_ports.into(),
    }
}

/// The sets that one end of the traffic must or must not be in, as in [`SideMatch`].
struct SideSets {
    sets: Vec<SetId>,
    not_sets: Vec<SetId>,
    named_ports: Vec<SetId>,
    not_named_ports: Vec<SetId>,
}

fn sets(entity: &EntityMatch, protocol: Option<Protocol>) -> SideSets {
    // With a positive selector beside it, a negated one leaves fewer members: one set instead of two.
    let (selector, not_selector) = match (&entity.selector, &entity.not_selector) {
        (Some(selector), Some(not)) => (Some(selector.and_not(not)), None),
        (selector, not) => (selector.clone(), not.clone()),
    };
    let named_sets = |ports: &[PortMatch]| {
        let sets = named(ports).map(|name| SetId::NamedPort {
            selector: selector.clone().unwrap_or_else(Selector::all),
            name: name.clone(),
            protocol,
        });
        let mut sets: Vec<SetId> = sets.collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    };
    let named_ports = named_sets(&entity.ports);
    let not_named_ports = named_sets(&entity.not_ports);
    // The selector stands in the named ports' own sets; packets to a numbered port must ask it as well.
    let folded = !named_ports.is_empty() && numbers(&entity.ports).next().is_none();
    let selected = selector.filter(|_| !folded).map(SetId::Addresses);
    SideSets {
        sets: selected.into_iter().collect(),
        not_sets: not_selector.map(SetId::Addresses).into_iter().collect(),
        named_ports,
        not_named_ports,
    }
}

/// Returns the ports by number, as written.
fn numbers(ports: &[PortMatch]) -> impl Iterator<Item = PortRange> {
    ports.iter().filter_map(|port| match port {
        PortMatch::Range(range) => Some(*range),
        PortMatch::Named(_) => None,
    })
}

/// Returns the ports by number, merged and ascending.
fn numbered(ports: &[PortMatch]) -> Vec<PortRange> {
    PortRange::merged(&numbers(ports).collect::<Vec<_>>())
}

/// Returns the ports by name.
fn named(ports: &[PortMatch]) -> impl Iterator<Item = &PortName> {
    ports.iter().filter_map(|port| match port {
        PortMatch::Range(_) => None,
        PortMatch::Named(name) => Some(name),
    })
}
