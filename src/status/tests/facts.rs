//! What the status of an endpoint follows from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{changes, host, host_key, name, workload, workload_key};
use crate::calc::{AdminState, LocalEndpoint, LocalWorkload, Owner};
use crate::model::{Kind, ResourceKey};
use crate::status::facts::{Carrier, Endpoint, Facts, Status, Wiring};

/// Facts with `eth0` up, `eth1` down, and `cali0` up and wired.
fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.link(name("eth0"), Some(Carrier::Up));
    facts.link(name("eth1"), Some(Carrier::Down));
    facts.link(name("cali0"), Some(Carrier::Up));
    facts.wired(&name("cali0"), Wiring::Done);
    facts
}

fn only(facts: &Facts) -> Option<Status> {
    let statuses = facts.statuses();
    assert!(statuses.len() <= 1);
    statuses.into_values().next()
}

#[test]
fn a_host_endpoint_is_as_its_interfaces() {
    for (interfaces, status) in [
        (vec![], Status::Error),
        (vec!["absent"], Status::Error),
        (vec!["eth0"], Status::Up),
        (vec!["eth0", "absent"], Status::Up),
        (vec!["eth1"], Status::Down),
        (vec!["eth0", "eth1"], Status::Down),
        (vec!["*"], Status::Up),
        (vec!["*", "eth1"], Status::Down),
    ] {
        let mut facts = facts();
        facts.committed(changes(&[(host_key("a"), host(&interfaces))]));
        assert_eq!(only(&facts), Some(status), "{interfaces:?}");
    }
}

#[test]
fn a_workload_endpoint_is_up_where_nothing_is_missing() {
    let with = |change: fn(&mut LocalWorkload)| {
        let mut workload = workload("pod", "cali0");
        change(&mut workload);
        LocalEndpoint::Workload(workload)
    };
    for (what, endpoint, status) in [
        ("all there", with(|_| {}), Status::Up),
        ("another's", with(|w| w.owner = Owner::Other), Status::Down),
        (
            "set down",
            with(|w| w.state = AdminState::Down),
            Status::Down,
        ),
        (
            "no interface",
            with(|w| w.interface = name("cali1")),
            Status::Down,
        ),
    ] {
        let mut facts = facts();
        facts.committed(changes(&[(workload_key("w"), endpoint)]));
        assert_eq!(only(&facts), Some(status), "{what}");
        assert_eq!(
            facts.workloads_up().count(),
            usize::from(status == Status::Up),
            "{what}"
        );
    }
    let mut facts = facts();
    facts.committed(changes(&[(workload_key("w"), with(|_| {}))]));
    for (what, change, status) in [
        (
            "unwired",
            Box::new(|facts: &mut Facts| facts.wired(&name("cali0"), Wiring::Missing))
                as Box<dyn Fn(&mut Facts) -> bool>,
            Status::Down,
        ),
        (
            "wired",
            Box::new(|facts| facts.wired(&name("cali0"), Wiring::Done)),
            Status::Up,
        ),
        (
            "down",
            Box::new(|facts| facts.link(name("cali0"), Some(Carrier::Down))),
            Status::Down,
        ),
        (
            "up",
            Box::new(|facts| facts.link(name("cali0"), Some(Carrier::Up))),
            Status::Up,
        ),
        (
            "gone",
            Box::new(|facts| facts.link(name("cali0"), None)),
            Status::Down,
        ),
    ] {
        assert!(change(&mut facts), "{what} is news");
        assert!(!change(&mut facts), "{what} is no news twice");
        assert_eq!(only(&facts), Some(status), "{what}");
    }
}

#[test]
fn an_endpoint_that_is_denied_is_down_until_it_is_not() {
    let mut facts = facts();
    let pod = LocalEndpoint::Workload(workload("pod", "cali0"));
    for (key, endpoint) in [(workload_key("w"), pod), (host_key("a"), host(&["eth0"]))] {
        let mut facts = facts.clone();
        facts.committed(changes(&[(key.clone(), endpoint)]));
        assert!(facts.denied([key].into()));
        assert_eq!(only(&facts), Some(Status::Down));
        // Something else is committed meanwhile.
        facts.committed(BTreeMap::new());
        assert_eq!(only(&facts), Some(Status::Down));
        assert!(facts.denied(BTreeSet::new()));
        assert_eq!(only(&facts), Some(Status::Up));
    }
    assert!(!facts.denied(BTreeSet::new()), "no news");
}

#[test]
fn nothing_is_told_before_everything_was_heard_of_once() {
    let mut facts = Facts::default();
    facts.link(name("cali0"), Some(Carrier::Up));
    facts.link(name("cali1"), None);
    let endpoint = |interface| LocalEndpoint::Workload(workload("pod", interface));
    let first = (workload_key("first"), endpoint("cali0"));
    let second = (workload_key("second"), endpoint("cali1"));
    facts.committed(changes(&[first, second]));
    assert!(!facts.are_whole(), "no wiring was heard of");
    facts.wired(&name("cali0"), Wiring::Awaited);
    facts.wired(&name("cali1"), Wiring::Awaited);
    assert!(!facts.are_whole(), "to be wanted is not to be heard of");
    facts.wired(&name("cali0"), Wiring::Done);
    assert!(!facts.are_whole(), "only one was");
    assert!(facts.wired(&name("cali1"), Wiring::Missing));
    assert!(facts.are_whole());
    // From then on what is new is told of as it comes.
    let third = (workload_key("third"), endpoint("cali2"));
    facts.committed(changes(&[third]));
    assert!(facts.are_whole());
    assert!(facts.wired(&name("cali0"), Wiring::Awaited));
    assert!(facts.are_whole());
    assert_eq!(facts.workloads_up().count(), 0);
    facts.wired(&name("cali0"), Wiring::Done);
    assert_eq!(facts.workloads_up().count(), 1);
    assert!(facts.unwanted(&name("cali0")));
    assert_eq!(facts.workloads_up().count(), 0);
}

#[test]
fn what_the_kernel_refused_is_down_until_it_takes_it() {
    let mut facts = facts();
    assert!(!facts.are_whole());
    let old = (host_key("old"), host(&["eth0"]));
    let other = (host_key("other"), host(&["eth0"]));
    assert!(facts.committed(changes(&[old.clone(), other.clone()])));
    assert!(facts.are_whole());
    assert!(!facts.committed(BTreeMap::new()));
    let new = (
        workload_key("new"),
        LocalEndpoint::Workload(workload("pod", "cali0")),
    );
    let policies = BTreeSet::from([old.0.clone()]);
    assert!(facts.refused(changes(&[new]), policies));
    let statuses: Vec<Status> = facts.statuses().into_values().collect();
    assert_eq!(statuses, [Status::Down, Status::Up, Status::Down]);
    // A removal that was refused is a removal all the same.
    assert!(facts.refused([(other.0, None)].into(), BTreeSet::new()));
    assert!(facts.committed(BTreeMap::new()));
    let statuses: Vec<Status> = facts.statuses().into_values().collect();
    assert_eq!(statuses, [Status::Up, Status::Up]);
}

#[test]
fn two_resources_of_one_name_are_one_endpoint_and_as_bad_as_the_worse() {
    let v1 = ResourceKey::v1(Kind::HostEndpoint, "host", "a");
    for (first, second, status) in [
        ("eth0", "eth0", Status::Up),
        ("eth0", "eth1", Status::Down),
        ("eth1", "absent", Status::Error),
        ("absent", "eth0", Status::Error),
    ] {
        let mut facts = facts();
        facts.committed(changes(&[
            (host_key("a"), host(&[first])),
            (v1.clone(), host(&[second])),
        ]));
        let wanted = BTreeMap::from([(Endpoint::Host(Arc::from("a")), status)]);
        assert_eq!(facts.statuses(), wanted);
    }
}
