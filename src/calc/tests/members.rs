//! What sets hold: scenarios 81 to 86 of the contract as far as they concern members.

use super::make::{
    from, gone, hep, hep_key, netset, policy, policy_key, port, profile, profiles, put, v3, wep,
};
use super::state::{World, shown};
use crate::calc::{Changes, Member, SetChange};
use crate::model::{
    Action, HostEndpoint, Kind, NodeName, PortMatch, PortName, Resource, ResourceKey, Rule, Update,
};
use crate::net::Protocol;
use crate::selector::Selector;

/// A world with one endpoint that has one policy with one rule.
fn world(rule: Rule) -> World {
    let mut world = World::new();
    let mut made = policy("all()");
    made.ingress = vec![rule];
    world.feed([
        put(hep_key("e"), Resource::HostEndpoint(hep("eth0", &[]))),
        put(policy_key("p"), Resource::Policy(made)),
    ]);
    world
}

fn put_set(name: &str, nets: &[&str], labels: &str) -> Update {
    put(
        v3(Kind::GlobalNetworkSet, name),
        Resource::NetworkSet(netset(nets, labels)),
    )
}

fn pod(name: &str) -> ResourceKey {
    ResourceKey::v3(Kind::WorkloadEndpoint, "ns", name)
}

fn put_pod(name: &str, net: &str, labels: &str, ports: &[&str]) -> Update {
    let mut made = wep(&[net], labels);
    made.ports = ports.iter().map(|text| port(text)).collect();
    put(pod(name), Resource::WorkloadEndpoint(made))
}

/// Returns what one set gained and lost.
fn change(changes: &Changes) -> (Vec<String>, Vec<String>) {
    assert_eq!(changes.sets.len(), 1);
    let text = |members: &[Member]| members.iter().map(shown).collect();
    match changes.sets.values().next() {
        Some(SetChange::Members { added, removed }) => (text(added), text(removed)),
        other => panic!("{other:?}"),
    }
}

fn named_port_rule(name: &str, protocol: Option<Protocol>) -> Rule {
    let mut rule = Rule::any(Action::Allow);
    rule.protocol = protocol;
    rule.destination.ports = [PortMatch::Named(PortName::new(name))].into();
    rule
}

#[test]
fn everything_with_the_label_is_in() {
    let mut world = world(from("role == 'db'"));
    let mut remote: HostEndpoint = hep("eth0", &["192.0.2.7", "2001:db8::7"]);
    remote.node = NodeName::new("there");
    remote.labels = super::make::labels("role=db");
    world.feed([
        put(hep_key("r"), Resource::HostEndpoint(remote)),
        put_pod("w", "10.65.0.2", "role=db", &[]),
        put_pod("other", "10.65.0.3", "role=web", &[]),
        put_set("s", &["198.51.100.0/24"], "role=db"),
    ]);
    assert_eq!(
        world.only_set(),
        ["10.65.0.2", "192.0.2.7", "198.51.100.0/24", "2001:db8::7"]
    );
}

#[test]
fn members_follow_labels_without_a_change_of_rules() {
    let mut world = world(from("role == 'db'"));
    assert!(world.only_set().is_empty());
    let changes = world.feed([put_pod("w", "10.65.0.2", "role=db", &[])]);
    assert!(changes.policies.is_empty() && changes.endpoints.is_empty());
    assert_eq!(change(&changes), (vec!["10.65.0.2".to_owned()], vec![]));
    let changes = world.feed([put_pod("w", "10.65.0.2", "role=web", &[])]);
    assert_eq!(change(&changes), (vec![], vec!["10.65.0.2".to_owned()]));
}

#[test]
fn members_follow_addresses() {
    let mut world = world(from("role == 'db'"));
    world.feed([put_pod("w", "10.65.0.2", "role=db", &[])]);
    let changes = world.feed([put_pod("w", "10.65.0.9", "role=db", &[])]);
    assert_eq!(
        change(&changes),
        (vec!["10.65.0.9".to_owned()], vec!["10.65.0.2".to_owned()])
    );
}

#[test]
fn an_address_of_two_survives_the_loss_of_one() {
    let mut world = world(from("role == 'db'"));
    world.feed([
        put_pod("a", "10.65.0.2", "role=db", &[]),
        put_set("s", &["10.65.0.2", "10.65.0.2"], "role=db"),
    ]);
    assert!(world.feed([gone(pod("a"))]).is_empty());
    assert_eq!(world.only_set(), ["10.65.0.2"]);
    world.feed([gone(v3(Kind::GlobalNetworkSet, "s"))]);
    assert!(world.only_set().is_empty());
}

#[test]
fn a_covered_prefix_comes_back_and_everything_may_be_a_member() {
    let mut world = world(from("role == 'db'"));
    world.feed([
        put_set("wide", &["10.0.0.0/8"], "role=db"),
        put_set("narrow", &["10.1.0.0/16"], "role=db"),
        put_pod("w", "10.1.2.3", "role=db", &[]),
    ]);
    assert_eq!(world.only_set(), ["10.0.0.0/8"]);
    let changes = world.feed([gone(v3(Kind::GlobalNetworkSet, "wide"))]);
    assert_eq!(
        change(&changes),
        (
            vec!["10.1.0.0/16".to_owned()],
            vec!["10.0.0.0/8".to_owned()]
        )
    );
    world.feed([put_set(
        "narrow",
        &["10.1.0.0/16", "0.0.0.0/0", "::/0"],
        "role=db",
    )]);
    assert_eq!(world.only_set(), ["0.0.0.0/0", "::/0"]);
    world.feed([gone(v3(Kind::GlobalNetworkSet, "narrow"))]);
    assert_eq!(world.only_set(), ["10.1.2.3"]);
}

#[test]
fn a_named_port_opens_exactly_what_declares_it() {
    let mut world = world(named_port_rule("http", Some(Protocol::TCP)));
    world.feed([
        put_pod("w1", "10.65.0.1", "", &["http tcp 3000", "dns udp 53"]),
        put_pod("w2", "10.65.0.2", "", &["http tcp 4000"]),
        put_pod("w3", "2001:db8::3", "", &["http udp 4000", "http tcp 80"]),
        put_set("s", &["198.51.100.0/24"], ""),
    ]);
    assert_eq!(
        world.only_set(),
        [
            "10.65.0.1 tcp 3000",
            "10.65.0.2 tcp 4000",
            "2001:db8::3 tcp 80"
        ]
    );
    let changes = world.feed([put_pod("w2", "10.65.0.2", "", &["http tcp 4001"])]);
    assert_eq!(
        change(&changes),
        (
            vec!["10.65.0.2 tcp 4001".to_owned()],
            vec!["10.65.0.2 tcp 4000".to_owned()]
        )
    );
}

#[test]
fn a_named_port_without_protocol_is_of_any_that_has_ports() {
    let mut world = world(named_port_rule("svc", None));
    world.feed([put_pod(
        "w1",
        "10.65.0.1",
        "",
        &["svc tcp 1", "svc udp 2", "svc sctp 3", "svc udplite 4"],
    )]);
    assert_eq!(
        world.only_set(),
        ["10.65.0.1 tcp 1", "10.65.0.1 udp 2", "10.65.0.1 sctp 3"]
    );
}

#[test]
fn a_named_port_keeps_to_its_selector() {
    let mut rule = named_port_rule("http", Some(Protocol::TCP));
    rule.destination.selector = Some(Selector::parse("role == 'web'").unwrap());
    let mut world = world(rule);
    let mut local = hep("eth0", &["192.0.2.1"]);
    local.labels = super::make::labels("role=web");
    local.ports = vec![port("http tcp 8080")];
    world.feed([
        put(hep_key("e"), Resource::HostEndpoint(local)),
        put_pod("w1", "10.65.0.1", "role=web", &["http tcp 80"]),
        put_pod("w2", "10.65.0.2", "role=db", &["http tcp 80"]),
    ]);
    assert_eq!(world.only_set(), ["10.65.0.1 tcp 80", "192.0.2.1 tcp 8080"]);
}

#[test]
fn own_labels_win_over_those_of_profiles_and_these_over_tags() {
    let mut world = world(from("role == 'db'"));
    let put_profile = |name: &str, labels: &str, tags: &[&str]| {
        put(
            v3(Kind::Profile, name),
            Resource::Profile(profile(labels, tags)),
        )
    };
    let with_profiles = |name: &str, net: &str, labels: &str, names: &[&str]| {
        let mut made = wep(&[net], labels);
        made.profiles = profiles(names);
        put(pod(name), Resource::WorkloadEndpoint(made))
    };
    world.feed([
        put_profile("db", "role=db", &[]),
        put_profile("web", "role=web", &[]),
        put_profile("tag", "", &["role"]),
        with_profiles("inherits", "10.65.0.1", "", &["db"]),
        with_profiles("own", "10.65.0.2", "role=web", &["db"]),
        with_profiles("first", "10.65.0.3", "", &["db", "web"]),
        with_profiles("second", "10.65.0.4", "", &["web", "db"]),
        with_profiles("tagged", "10.65.0.5", "", &["tag", "db"]),
        with_profiles("missing", "10.65.0.6", "", &["nowhere", "db"]),
    ]);
    assert_eq!(
        world.only_set(),
        ["10.65.0.1", "10.65.0.3", "10.65.0.5", "10.65.0.6"]
    );
    world.feed([put_profile("db", "other=x", &[])]);
    assert!(world.only_set().is_empty());
    world.feed([put_profile("web", "role=db", &[])]);
    assert_eq!(world.only_set(), ["10.65.0.3", "10.65.0.4"]);
    world.feed([with_profiles("second", "10.65.0.4", "", &["db"])]);
    assert_eq!(world.only_set(), ["10.65.0.3"]);
}

#[test]
fn a_tag_is_a_label_without_a_value() {
    let mut world = world(from("has(mgmt)"));
    let mut tagged = wep(&["10.65.0.1"], "");
    tagged.profiles = profiles(&["p"]);
    world.feed([put(pod("w"), Resource::WorkloadEndpoint(tagged))]);
    assert!(world.only_set().is_empty());
    world.feed([put(
        v3(Kind::Profile, "p"),
        Resource::Profile(profile("", &["mgmt"])),
    )]);
    assert_eq!(world.only_set(), ["10.65.0.1"]);
}

#[test]
fn a_set_is_there_as_long_as_a_rule_refers_to_it() {
    let mut world = world(from("role == 'db'"));
    world.feed([put_pod("w", "10.65.0.2", "role=db", &[])]);
    let mut second = policy("all()");
    second.egress = vec![from("role == 'db'"), from("role == 'db'")];
    let changes = world.feed([put(policy_key("q"), Resource::Policy(second))]);
    assert!(changes.sets.is_empty());
    let changes = world.feed([gone(policy_key("p"))]);
    assert!(changes.sets.is_empty());
    let changes = world.feed([gone(policy_key("q"))]);
    assert!(matches!(
        changes.sets.values().next(),
        Some(SetChange::Gone)
    ));
}

#[test]
fn policies_of_no_endpoint_here_have_no_sets() {
    let mut world = World::new();
    let mut made = policy("role == 'nobody'");
    made.ingress = vec![from("all()")];
    let changes = world.feed([
        put(
            hep_key("e"),
            Resource::HostEndpoint(hep("eth0", &["192.0.2.1"])),
        ),
        put(policy_key("p"), Resource::Policy(made)),
    ]);
    assert!(changes.policies.is_empty() && changes.sets.is_empty());
}
