//! What becomes of rules as written.

use super::make::{hep, hep_key, policy, policy_key, put};
use super::state::World;
use crate::calc::{MatchRule, SetId, SideMatch};
use crate::model::{Action, Direction, EntityMatch, PortMatch, PortName, Resource, Rule};
use crate::net::{PortRange, Protocol, parse_net};
use crate::selector::Selector;

/// Compiles one rule by way of a policy in use.
fn compiled(rule: Rule) -> MatchRule {
    let mut world = World::new();
    let mut made = policy("all()");
    made.egress = vec![rule];
    world.feed([
        put(hep_key("e"), Resource::HostEndpoint(hep("eth0", &[]))),
        put(policy_key("p"), Resource::Policy(made)),
    ]);
    let policy = world.state.policies.values().next().unwrap();
    policy.rules(Direction::Egress).unwrap().remove(0)
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn addresses(text: &str) -> SetId {
    SetId::Addresses(selector(text))
}

fn named(text: &str, name: &str, protocol: Option<Protocol>) -> SetId {
    SetId::NamedPort {
        selector: selector(text),
        name: PortName::new(name),
        protocol,
    }
}

fn number(port: u16) -> PortMatch {
    PortMatch::Range(PortRange::single(port))
}

fn name(text: &str) -> PortMatch {
    PortMatch::Named(PortName::new(text))
}

/// Checks what one side of a rule for a protocol becomes.
#[track_caller]
fn check(entity: EntityMatch, protocol: Option<Protocol>, expected: SideMatch) {
    let mut rule = Rule::any(Action::Allow);
    rule.protocol = protocol;
    rule.destination = entity.clone();
    assert_eq!(compiled(rule.clone()).destination, expected);
    rule.destination = EntityMatch::default();
    rule.source = entity;
    let made = compiled(rule);
    assert_eq!(
        (made.source, made.destination),
        (expected, SideMatch::default())
    );
}

#[test]
fn a_selector_becomes_a_set() {
    check(
        EntityMatch {
            selector: Some(selector("a == 'x'")),
            ..EntityMatch::default()
        },
        None,
        SideMatch {
            sets: vec![addresses("a == 'x'")].into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn a_negated_selector_alone_becomes_a_negated_set() {
    check(
        EntityMatch {
            not_selector: Some(selector("a == 'x'")),
            ..EntityMatch::default()
        },
        None,
        SideMatch {
            not_sets: vec![addresses("a == 'x'")].into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn a_selector_and_a_negated_one_become_one_set() {
    let both = EntityMatch {
        selector: Some(selector("a == 'x'")),
        not_selector: Some(selector("has(b)")),
        ..EntityMatch::default()
    };
    let merged = selector("a == 'x'").and_not(&selector("has(b)"));
    check(
        both,
        None,
        SideMatch {
            sets: vec![SetId::Addresses(merged)].into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn named_ports_alone_take_the_selector_in() {
    check(
        EntityMatch {
            selector: Some(selector("a == 'x'")),
            ports: [name("http"), name("dns"), name("http")].into(),
            ..EntityMatch::default()
        },
        Some(Protocol::TCP),
        SideMatch {
            named_ports: vec![
                named("a == 'x'", "dns", Some(Protocol::TCP)),
                named("a == 'x'", "http", Some(Protocol::TCP)),
            ]
            .into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn named_ports_beside_numbered_ones_leave_the_selector_standing() {
    check(
        EntityMatch {
            selector: Some(selector("a == 'x'")),
            ports: [number(81), name("http"), number(80), number(9000)].into(),
            ..EntityMatch::default()
        },
        Some(Protocol::UDP),
        SideMatch {
            sets: vec![addresses("a == 'x'")].into(),
            ports: vec![PortRange::new(80, 81).unwrap(), PortRange::single(9000)].into(),
            named_ports: vec![named("a == 'x'", "http", Some(Protocol::UDP))].into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn named_ports_without_selector_or_protocol_are_anyones() {
    check(
        EntityMatch {
            ports: [name("http")].into(),
            ..EntityMatch::default()
        },
        None,
        SideMatch {
            named_ports: vec![named("all()", "http", None)].into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn negated_named_ports_are_filtered_by_the_positive_selector() {
    check(
        EntityMatch {
            selector: Some(selector("a == 'x'")),
            not_ports: [name("http"), number(22)].into(),
            ..EntityMatch::default()
        },
        Some(Protocol::TCP),
        SideMatch {
            sets: vec![addresses("a == 'x'")].into(),
            not_ports: vec![PortRange::single(22)].into(),
            not_named_ports: vec![named("a == 'x'", "http", Some(Protocol::TCP))].into(),
            ..SideMatch::default()
        },
    );
    check(
        EntityMatch {
            not_selector: Some(selector("a == 'x'")),
            not_ports: [name("http")].into(),
            ..EntityMatch::default()
        },
        None,
        SideMatch {
            not_sets: vec![addresses("a == 'x'")].into(),
            not_named_ports: vec![named("all()", "http", None)].into(),
            ..SideMatch::default()
        },
    );
}

#[test]
fn nets_stand_beside_selectors_without_what_others_cover() {
    let nets = |texts: &[&str]| texts.iter().map(|text| parse_net(text).unwrap()).collect();
    check(
        EntityMatch {
            nets: nets(&[
                "10.1.0.0/16",
                "2001:db8::/32",
                "10.0.0.0/8",
                "10.0.0.0/8",
                "192.0.2.0/24",
            ]),
            not_nets: nets(&["::/0", "2001:db8::/32", "198.51.100.1"]),
            selector: Some(selector("all()")),
            ..EntityMatch::default()
        },
        None,
        SideMatch {
            nets: nets(&["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]),
            not_nets: nets(&["198.51.100.1", "::/0"]),
            sets: vec![addresses("all()")].into(),
            ..SideMatch::default()
        },
    );
}
