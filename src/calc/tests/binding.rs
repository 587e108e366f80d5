//! Which endpoint owns which interface: the contract, line by line.

use super::make::{gone, hep, hep_key, link, link_gone, put, settings};
use super::state::World;
use crate::calc::Settings;
use crate::model::{HostInterface, NodeName, Resource, Update};
use crate::net::InterfacePattern;

fn host(name: &str, interface: &str, ips: &[&str]) -> Update {
    put(hep_key(name), Resource::HostEndpoint(hep(interface, ips)))
}

/// Checks the owners for endpoints `(name, interface, addresses)` and links `(name, addresses)`.
#[track_caller]
fn check(endpoints: &[(&str, &str, &[&str])], links: &[(&str, &[&str])], expected: &[&str]) {
    let mut world = World::new();
    world.feed(
        endpoints
            .iter()
            .map(|(name, interface, ips)| host(name, interface, ips)),
    );
    world.feed_links(links.iter().map(|(name, ips)| link(name, ips)));
    assert_eq!(world.owners(), expected);
}

const TWO: [(&str, &[&str]); 2] = [
    ("eth0", &["192.0.2.1", "2001:db8::1"]),
    ("eth1", &["192.0.2.2"]),
];

#[test]
fn a_name_finds_its_interface() {
    check(&[("a", "eth0", &[])], &TWO, &["eth0=a"]);
}

#[test]
fn a_name_is_bound_before_its_interface_exists() {
    check(&[("a", "eth9", &[])], &TWO, &["eth9=a"]);
}

#[test]
fn without_a_name_an_expected_address_finds_the_interface() {
    check(&[("a", "", &["192.0.2.2"])], &TWO, &["eth1=a"]);
    check(&[("a", "", &["2001:db8::1"])], &TWO, &["eth0=a"]);
    check(&[("a", "", &["192.0.2.9"])], &TWO, &[]);
}

#[test]
fn one_nameless_endpoint_may_own_several_interfaces() {
    check(
        &[("a", "", &["2001:db8::1", "192.0.2.2"])],
        &TWO,
        &["eth0=a", "eth1=a"],
    );
}

#[test]
fn a_name_disables_expected_addresses() {
    check(&[("a", "eth0", &["192.0.2.2"])], &TWO, &["eth0=a"]);
    check(&[("a", "eth7", &["192.0.2.2"])], &TWO, &["eth7=a"]);
}

#[test]
fn the_smallest_name_wins_however_it_matches() {
    check(
        &[("a", "eth0", &[]), ("b", "", &["192.0.2.1"])],
        &TWO,
        &["eth0=a"],
    );
    check(
        &[("b", "eth0", &[]), ("a", "", &["192.0.2.1"])],
        &TWO,
        &["eth0=a"],
    );
    check(&[("b", "eth0", &[]), ("a", "eth0", &[])], &TWO, &["eth0=a"]);
    check(
        &[("b", "", &["192.0.2.1"]), ("a", "", &["192.0.2.1"])],
        &TWO,
        &["eth0=a"],
    );
    check(
        &[("a10", "eth0", &[]), ("a9", "eth0", &[])],
        &TWO,
        &["eth0=a10"],
    );
}

#[test]
fn v3_comes_before_v1_where_names_are_equal_and_only_there() {
    let mut world = World::new();
    world.feed([host("v1:a", "eth0", &[]), host("a", "eth0", &[])]);
    assert_eq!(world.state.interfaces.values().next(), Some(&hep_key("a")));
    world.feed([host("b", "eth0", &[]), gone(hep_key("a"))]);
    assert_eq!(
        world.state.interfaces.values().next(),
        Some(&hep_key("v1:a"))
    );
}

#[test]
fn a_star_owns_what_no_other_owns_and_is_chosen_by_itself() {
    check(&[("z", "*", &[]), ("y", "*", &[])], &TWO, &["*=y"]);
    check(
        &[("a", "*", &["192.0.2.1"]), ("b", "eth0", &[])],
        &TWO,
        &["*=a", "eth0=b"],
    );
}

#[test]
fn interfaces_of_workloads_are_never_bound() {
    let links: [(&str, &[&str]); 1] = [("cali1", &["192.0.2.1"])];
    check(
        &[("a", "", &["192.0.2.1"]), ("b", "cali1", &[])],
        &links,
        &[],
    );
}

#[test]
fn excluded_interfaces_are_not_bound() {
    let links: [(&str, &[&str]); 1] = [("kube-ipvs0", &["192.0.2.1"])];
    check(
        &[("a", "", &["192.0.2.1"]), ("b", "kube-ipvs0", &[])],
        &links,
        &[],
    );
}

#[test]
fn endpoints_of_other_hosts_are_not_bound() {
    let mut other = hep("eth0", &["192.0.2.1"]);
    other.node = NodeName::new("Here");
    let mut world = World::new();
    world.feed_links([link("eth0", &["192.0.2.1"])]);
    world.feed([put(hep_key("a"), Resource::HostEndpoint(other))]);
    assert!(world.owners().is_empty());
    assert_eq!(world.calc.status().count(), 0);
}

#[test]
fn an_address_that_moves_takes_the_policing_along() {
    let mut world = World::new();
    world.feed([host("a", "", &["192.0.2.1"])]);
    world.feed_links([link("eth0", &["192.0.2.1"]), link("eth1", &[])]);
    assert_eq!(world.owners(), ["eth0=a"]);
    let changes = world.feed_links([link("eth0", &[]), link("eth1", &["192.0.2.1"])]);
    assert_eq!(world.owners(), ["eth1=a"]);
    assert!(changes.endpoints.is_empty(), "what it enforces is the same");
    world.feed_links([link_gone("eth1")]);
    assert!(world.owners().is_empty());
}

#[test]
fn the_next_endpoint_takes_over_when_the_winner_goes() {
    let mut world = World::new();
    world.feed_links([link("eth0", &["192.0.2.1"])]);
    world.feed([
        host("a", "eth0", &[]),
        host("b", "", &["192.0.2.1"]),
        host("c", "eth0", &[]),
    ]);
    let mut seen = world.owners();
    for name in ["a", "b", "c"] {
        world.feed([gone(hep_key(name))]);
        seen.extend(world.owners());
    }
    assert_eq!(seen, ["eth0=a", "eth0=b", "eth0=c"]);
}

#[test]
fn a_nameless_winner_takes_over_when_the_interface_appears() {
    let mut world = World::new();
    world.feed([host("b", "eth0", &[]), host("a", "", &["192.0.2.1"])]);
    assert_eq!(world.owners(), ["eth0=b"]);
    world.feed_links([link("eth0", &["192.0.2.1"])]);
    assert_eq!(world.owners(), ["eth0=a"]);
    world.feed_links([link_gone("eth0")]);
    assert_eq!(world.owners(), ["eth0=b"]);
}

#[test]
fn an_endpoint_that_changes_its_mind_leaves_nothing_behind() {
    let mut world = World::new();
    world.feed_links([link("eth0", &["192.0.2.1"]), link("eth1", &["192.0.2.2"])]);
    let mut seen = Vec::new();
    for (interface, ips) in [
        ("eth0", ["192.0.2.2"]),
        ("", ["192.0.2.2"]),
        ("*", ["192.0.2.2"]),
        ("", ["192.0.2.1"]),
        ("eth1", ["192.0.2.1"]),
    ] {
        world.feed([host("a", interface, &ips)]);
        seen.extend(world.owners());
    }
    assert_eq!(seen, ["eth0=a", "eth1=a", "*=a", "eth0=a", "eth1=a"]);
}

#[test]
fn settings_decide_what_is_local_and_what_may_be_bound() {
    let mut world = World::new();
    world.feed_links([link("eth0", &["192.0.2.1"]), link("wlan0", &["192.0.2.2"])]);
    let mut there = hep("eth0", &[]);
    there.node = NodeName::new("there");
    world.feed([
        host("a", "", &["192.0.2.1", "192.0.2.2"]),
        put(hep_key("t"), Resource::HostEndpoint(there)),
    ]);
    assert_eq!(world.owners(), ["eth0=a", "wlan0=a"]);
    world.calc.set_settings(Settings {
        interface_prefixes: vec!["wlan".to_owned()],
        ..settings()
    });
    world.take();
    assert_eq!(world.owners(), ["eth0=a"]);
    world.calc.set_settings(Settings {
        interface_exclude: vec![InterfacePattern::regex("^eth").unwrap()],
        ..settings()
    });
    world.take();
    assert_eq!(world.owners(), ["wlan0=a"]);
    world.calc.set_settings(Settings {
        node: NodeName::new("there"),
        ..settings()
    });
    world.take();
    assert_eq!(world.owners(), ["eth0=t"]);
}

#[test]
fn status_and_problems_say_who_stands_in_the_way() {
    let mut world = World::new();
    world.feed_links([link("eth0", &["192.0.2.1"])]);
    let mut profiled = hep("eth0", &[]);
    profiled.profiles = super::make::profiles(&["nowhere"]);
    world.feed([
        put(hep_key("a"), Resource::HostEndpoint(profiled)),
        host("b", "", &["192.0.2.1"]),
        host("c", "eth7", &[]),
        host("d", "", &["192.0.2.77"]),
        host("e", "cali9", &[]),
        host("f", "kube-ipvs0", &[]),
        host("g", "*", &[]),
    ]);
    let mut status = world.calc.status();
    let (a, b) = (status.next().unwrap(), status.next().unwrap());
    let eth0 = HostInterface::Name(super::make::interface("eth0"));
    assert!(a.interfaces.contains(&eth0) && a.shadowed.is_empty() && a.absent.is_empty());
    assert!(b.interfaces.is_empty());
    assert_eq!(b.shadowed.get(&eth0), Some(&hep_key("a")));
    let problems = world.calc.problems();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "calculated: HostEndpoint(b): interface `eth0` belongs to HostEndpoint(a), whose name \
             comes first",
            "calculated: HostEndpoint(c): interface `eth7` does not exist",
            "calculated: HostEndpoint(d): no interface has any of its expected addresses",
            "calculated: HostEndpoint(e): interface `cali9` is a workload's, which no host \
             endpoint polices",
            "calculated: HostEndpoint(f): interface `kube-ipvs0` is excluded from host endpoints \
             by configuration",
            "calculated: HostEndpoint(a): spec.profiles: profile `nowhere` does not exist and \
             denies all traffic",
        ]
    );
}

#[test]
fn an_endpoint_of_this_hosts_name_in_another_case_is_named() {
    let mut world = World::new();
    let named = |node: &str| {
        let mut endpoint = hep("eth0", &[]);
        endpoint.node = NodeName::new(node);
        Resource::HostEndpoint(endpoint)
    };
    world.feed([
        put(hep_key("a"), named("Here")),
        put(hep_key("b"), named("hereabouts")),
    ]);
    let shown = |world: &World| -> Vec<String> {
        let problems = world.calc.problems();
        problems.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        shown(&world),
        [
            "calculated: HostEndpoint(a): spec.node: is this host's but for upper and lower case: here \
             FelixHostname is `here`, so the endpoint counts as another host's"
        ]
    );
    world.feed([put(hep_key("a"), named("there"))]);
    assert_eq!(shown(&world), [""; 0]);
    world.feed([put(hep_key("a"), named("HERE"))]);
    assert_eq!(shown(&world).len(), 1);
    world.calc.set_settings(Settings {
        node: NodeName::new("HERE"),
        ..settings()
    });
    world.take();
    assert!(!shown(&world).iter().any(|line| line.contains("case")));
}
