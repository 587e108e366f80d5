//! Large clusters and large values.

use std::time::Instant;

use netns_tests::World;
use netns_tests::agent::{Agent, Mark, Owner};
use netns_tests::etcd::{Member, V1, V3, patiently, policy, policy_key};
use netns_tests::vigil::Vigil;
use netns_tests::writer::{Change, Writer};
use nix::sys::signal::Signal;

use crate::{ALWAYS, NEVER, SERVICES, allow, fill, lost, only};

/// How many groups the endpoints are in, each of which some policies name.
const GROUPS: usize = 100;
/// How many keys one transaction writes.
const KEYS: usize = 2_000;

/// Returns a size from the environment, so that a run by hand can be larger.
fn size(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Writes changes in transactions of many keys.
fn write(world: &World, member: &Member<'_>, changes: impl Iterator<Item = Change> + Send) {
    world.host.run(|| {
        let mut writer = Writer::connect(member.url());
        let mut changes = changes.peekable();
        while changes.peek().is_some() {
            writer.transaction(changes.by_ref().take(KEYS));
        }
    });
}

/// Returns the most memory that the daemon ever had, in MiB.
fn peak(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid()));
    let status = status.expect("read the status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.expect("a number of kibibytes") / 1024
}

/// A policy that allows a port of its own to the members of one group.
fn group_policy(number: usize) -> Change {
    let (group, port) = (number % GROUPS, 10_000 + number % 50_000);
    (
        policy_key(&format!("p{number}")),
        Some(format!(
            r#"{{"order":{number},"selector":"role == 'host'","inbound_rules":[{{"action":"allow","protocol":"tcp","dst_ports":[{port}],"src_selector":"group == 'g{group}'"}}]}}"#
        )),
    )
}

/// An endpoint of another host.
fn endpoint(number: usize) -> Change {
    let (group, host) = (number % GROUPS, number / 100);
    let [_, b, c, d] = u32::try_from(number).expect("not that many").to_be_bytes();
    (
        format!("{V1}/host/h{host}/workload/k8s/ns%2fpod{number}/endpoint/eth0"),
        Some(format!(
            r#"{{"state":"active","name":"cali{number}","profile_ids":["kns.ns"],"ipv4_nets":["10.{b}.{c}.{d}/32"],"ipv6_nets":["fd00::{b:x}:{c:x}:{d:x}/128"],"labels":{{"group":"g{group}"}}}}"#
        )),
    )
}

#[test]
fn a_large_cluster_is_read_and_found_again() {
    let policies = size("ETCD_POLICIES", 1_000);
    let endpoints = size("ETCD_ENDPOINTS", 10_000);
    let world = World::serving(SERVICES);
    let keys = KEYS.to_string();
    let mut member = Member::with(&world.host, "http", &["--max-txn-ops", &keys], &[]);
    write(&world, &member, (0..policies).map(group_policy));
    write(&world, &member, (0..endpoints).map(endpoint));
    fill(&member);
    let begun = Instant::now();
    let mut agent = member.agent(Owner::Disabled, &[]);
    patiently("the cluster is enforced", || {
        agent.has_said(&Mark::beginning(), "in-sync")
    });
    println!(
        "{policies} policies and {endpoints} endpoints: enforced after {:?}, {} MiB at most",
        begun.elapsed(),
        peak(&agent)
    );
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    allow(&world, &member, &[8056]);
    // All of it read again, which differs in nothing but what was written meanwhile.
    let mark = agent.mark();
    member.end(Signal::SIGKILL);
    lost(&agent, &mark);
    member.restart();
    member.serving();
    let begun = Instant::now();
    write(&world, &member, std::iter::once(group_policy(policies)));
    patiently("all is read again", || {
        agent.has_said(&mark, "the datastore is back")
    });
    let line = agent.line(&mark, "the change alone", |line| line.contains("applied"));
    println!(
        "read again after {:?}, {} MiB at most: {line}",
        begun.elapsed(),
        peak(&agent)
    );
    allow(&world, &member, &[8055]);
    vigil.finish();
    member.agrees(&mut agent, &[]);
}

#[test]
fn values_as_large_as_etcd_takes_them_are_read_in_small_pages() {
    let large = size("ETCD_LARGE_VALUES", 50);
    let world = World::serving(SERVICES);
    let member = Member::with(&world.host, "http", &["--max-txn-ops", "2000"], &[]);
    fill(&member);
    // So many small ones before them that the daemon asks for many at a time: together they are more than it takes
    // in one answer.
    let small = (0..1_200).map(|number| (format!("{V1}/filler/a{number}"), Some(String::new())));
    write(&world, &member, small);
    let value = format!(r#"{{"x":"{}"}}"#, "x".repeat(1_400_000));
    for number in 0..large {
        let key = format!("{V1}/filler/b{number}");
        write(&world, &member, std::iter::once((key, Some(value.clone()))));
    }
    // And some of a kind that is read.
    for number in 0..4 {
        let key = format!("{V3}/stagedglobalnetworkpolicies/s{number}");
        write(&world, &member, std::iter::once((key, Some(value.clone()))));
    }
    let begun = Instant::now();
    let mut agent = member.agent(Owner::Disabled, &[]);
    patiently("what is small is enforced", || {
        agent.has_said(&Mark::beginning(), "in-sync")
    });
    let peak = peak(&agent);
    println!(
        "{large} values of 1.4 MB: enforced after {:?}, {peak} MiB at most",
        begun.elapsed()
    );
    // One answer of the largest kind, twice over, and the daemon itself.
    assert!(peak < 250, "{peak} MiB");
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    member.put(&policy_key("other"), &policy(&[8056]));
    world.eventually("a change", only(&[8055, 8056]));
    vigil.finish();
    member.agrees(&mut agent, &[]);
}
