//! Rules as written to rules with selectors resolved to sets.

use std::sync::Arc;

use super::{ActivePolicy, ActiveProfile, MatchRule, SetId, SideMatch};
use crate::model::{
    Action, Direction, EntityMatch, Policy, PolicyKind, PortMatch, PortName, Profile, Rule,
};
use crate::net::{PortRange, Protocol, maximal};
use crate::selector::Selector;

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

/// Resolves the rules of a policy.
pub(super) fn policy(policy: &Policy) -> ActivePolicy {
    let rules = |direction| {
        governs(policy, direction).then(|| policy.rules(direction).iter().map(rule).collect())
    };
    ActivePolicy {
        kind: policy.kind,
        ingress: rules(Direction::Ingress),
        egress: rules(Direction::Egress),
    }
}

/// Resolves the rules of a profile; one that is missing denies everything.
pub(super) fn profile(profile: Option<&Profile>) -> ActiveProfile {
    let rules = |direction| -> Arc<[MatchRule]> {
        match profile {
            Some(profile) => profile.rules(direction).iter().map(rule).collect(),
            None => [rule(&Rule::any(Action::Deny))].into(),
        }
    };
    ActiveProfile {
        ingress: rules(Direction::Ingress),
        egress: rules(Direction::Egress),
    }
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
    // With a positive selector beside it, a negated one leaves fewer members: one set instead of two.
    let (selector, not_selector) = match (&entity.selector, &entity.not_selector) {
        (Some(selector), Some(not)) => (Some(selector.and_not(not)), None),
        (selector, not) => (selector.clone(), not.clone()),
    };
    let (ports, named) = split(&entity.ports);
    let (not_ports, not_named) = split(&entity.not_ports);
    // The selector stands in the named ports' own sets; packets to a numbered port must ask it as well.
    let folded = ports.is_empty() && !named.is_empty();
    let named_set = |name: &PortName| SetId::NamedPort {
        selector: selector.clone().unwrap_or_else(Selector::all),
        name: name.clone(),
        protocol,
    };
    let sets = |names: &[PortName]| {
        let mut sets: Vec<SetId> = names.iter().map(named_set).collect();
        sets.sort_unstable();
        sets.dedup();
        sets.into_boxed_slice()
    };
    SideMatch {
        nets: maximal(entity.nets.clone()).into(),
        not_nets: maximal(entity.not_nets.clone()).into(),
        named_ports: sets(&named),
        not_named_ports: sets(&not_named),
        sets: selector
            .filter(|_| !folded)
            .map(SetId::Addresses)
            .into_iter()
            .collect(),
        not_sets: not_selector.map(SetId::Addresses).into_iter().collect(),
        ports: ports.into(),
        not_ports: not_ports.into(),
    }
}

/// Parts ports by number from ports by name.
fn split(ports: &[PortMatch]) -> (Vec<PortRange>, Vec<PortName>) {
    let mut ranges = Vec::new();
    let mut names = Vec::new();
    for port in ports {
        match port {
            PortMatch::Range(range) => ranges.push(*range),
            PortMatch::Named(name) => names.push(name.clone()),
        }
    }
    (PortRange::merged(&ranges), names)
}
