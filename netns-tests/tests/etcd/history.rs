//! What etcd no longer keeps, what it never was, and what it tells in pieces.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use netns_tests::World;
use netns_tests::agent::{Mark, Owner};
use netns_tests::etcd::{ETH0, Member, V3, endpoint_key, policy, policy_key};
use netns_tests::relay::Relay;
use netns_tests::vigil::Vigil;
use netns_tests::writer::{Change, Writer};
use nix::sys::signal::Signal;

use crate::{ALWAYS, NEVER, SERVICES, allow, back, endure, fill, lost, only, web};

/// Below this nothing means anything to the daemon, which reads it all the same; it is read before policies are.
const FILLER: &str = "/calico/v1/filler/";

/// Has history compacted while a daemon that has just been started waits for the rest of the first answer.
fn compacted_while_reading(keys: usize, what: &str) {
    endure(|world, member, agent| {
        let relay = Relay::start(&world.host, 2379);
        let large = "x".repeat(200_000);
        member.put(&format!("{FILLER}0"), &large);
        for number in 1..keys {
            member.put(&format!("{FILLER}{number}"), "");
        }
        agent.kill();
        relay.hold_after(100_000);
        *agent = member.agent(Owner::Disabled, &[("ETCD_ENDPOINTS", &relay.url())]);
        relay.holding();
        // The daemon has half of what was so before, and the rest of it will be gone.
        member.put(&policy_key("other"), &policy(&[8056]));
        member.put(&policy_key("web"), &web(&[]));
        let revision = member.revision().to_string();
        member.etcdctl(&["compact", &revision]);
        relay.release();
        let line = format!("etcd no longer keeps what was to be {what}");
        agent.line(&Mark::beginning(), &line, |it| it.contains(&line));
        world.eventually("what is stored now", only(&[8056]));
        assert!(!agent.has_said(&Mark::beginning(), "the datastore is lost"));
        member.delete(&policy_key("other"));
        agent.kill();
        *agent = member.agent(Owner::Disabled, &[]);
        agent.started();
    });
}

#[test]
fn what_is_compacted_between_reading_and_watching_is_read_again() {
    compacted_while_reading(2, "watched");
}

#[test]
fn what_is_compacted_between_two_pages_is_read_again() {
    compacted_while_reading(40, "read");
}

#[test]
fn what_was_compacted_while_the_connection_was_lost_is_read_again() {
    endure(|world, member, agent| {
        let relay = Relay::start(&world.host, 2379);
        agent.kill();
        *agent = member.agent(Owner::Disabled, &[("ETCD_ENDPOINTS", &relay.url())]);
        agent.started();
        member.put(&policy_key("gone"), &policy(&[8056]));
        world.eventually("both", only(&[8055, 8056]));
        let mark = agent.mark();
        relay.shut();
        lost(agent, &mark);
        member.delete(&policy_key("gone"));
        member.put(&format!("{FILLER}0"), "");
        let revision = member.revision().to_string();
        member.etcdctl(&["compact", &revision]);
        world.expect("nothing is heard", only(&[8055, 8056]));
        relay.reopen();
        back(agent, &mark);
        world.eventually("what is gone is gone", only(&[8055]));
        agent.kill();
        *agent = member.agent(Owner::Disabled, &[]);
        agent.started();
    });
}

#[test]
fn a_restored_copy_is_gone_over_to_by_difference() {
    endure(|world, member, agent| {
        let copy = member.place().join("copy.db");
        member.etcdctl(&["snapshot", "save", &copy.to_string_lossy()]);
        allow(world, member, &[8056]);
        let mark = agent.mark();
        member.restore(&copy, "other");
        world.eventually("the copy", only(&[8055]));
        assert!(agent.has_said(&mark, "belongs to another cluster than before"));
        // Once more, with so many writes before the daemon is back that the revision alone tells nothing.
        member.etcdctl(&["snapshot", "save", &copy.to_string_lossy()]);
        allow(world, member, &[8056]);
        agent.signal(Signal::SIGSTOP);
        member.restore(&copy, "other");
        for number in 0..30 {
            member.put(&policy_key("filler"), &policy(&[9000 + number]));
        }
        agent.signal(Signal::SIGCONT);
        world.eventually("the copy, at a later revision", only(&[8055]));
        // And back in time within one cluster.
        allow(world, member, &[8056]);
        let mark = agent.mark();
        member.restore(&copy, "other");
        world.eventually("the copy, at an earlier revision", only(&[8055]));
        assert!(agent.has_said(&mark, "has gone back in time"));
    });
}

#[test]
fn an_empty_cluster_in_its_place_takes_nothing_away() {
    endure(|world, member, agent| {
        let mark = agent.mark();
        member.end(Signal::SIGKILL);
        std::fs::remove_dir_all(member.data()).expect("remove the data");
        member.restart();
        member.serving();
        back(agent, &mark);
        agent.line(&mark, "wait-for-ready", |line| {
            line.contains("wait-for-ready")
        });
        world.expect("nobody has said that it is ready", only(&[8055]));
        member.put(&endpoint_key("e0"), ETH0);
        member.put(&policy_key("web"), &web(&[8056]));
        member.put("/calico/v1/Ready", "true");
        world.eventually("what it holds now", only(&[8056]));
    });
}

/// Denies before all else what `web` allows for a moment.
const SWAP: &str = r#"{"kind":"GlobalNetworkPolicy","metadata":{"name":"swap"},"spec":{"order":1,"selector":"role == 'host'","types":["Ingress"],"ingress":[{"action":"Deny","protocol":"TCP","destination":{"ports":[8057]}}]}}"#;

fn swap_key() -> String {
    format!("{V3}/globalnetworkpolicies/swap")
}

/// Two changes of two policies each: of either, one half alone would open the port that must never be open.
fn swaps() -> [[Change; 2]; 2] {
    [
        [
            (swap_key(), Some(SWAP.to_owned())),
            (policy_key("web"), Some(web(&[8055, NEVER]))),
        ],
        [(swap_key(), None), (policy_key("web"), Some(web(&[8055])))],
    ]
}

#[test]
fn starts_beside_a_busy_writer_never_see_half_a_change() {
    endure(|world, member, agent| {
        let url = member.url().to_owned();
        // So many keys between the two halves that no page holds both.
        world.host.run(|| {
            let mut writer = Writer::connect(&url);
            for part in 0..30 {
                let key = |number: u16| format!("{FILLER}{part}-{number}");
                writer.transaction((0..100).map(|number| (key(number), Some(String::new()))));
            }
        });
        let (over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                world.host.run(|| {
                    let mut writer = Writer::connect(&url);
                    while !over.load(Ordering::SeqCst) {
                        for swap in swaps() {
                            writer.transaction(swap);
                            written.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            });
            for _ in 0..6 {
                agent.kill();
                let before = written.load(Ordering::SeqCst);
                *agent = member.agent(Owner::Disabled, &[]);
                agent.started();
                let mark = agent.mark();
                agent.line(&mark, "a change that it was told of", |line| {
                    line.contains("applied")
                });
                assert!(
                    written.load(Ordering::SeqCst) > before,
                    "nothing was written meanwhile"
                );
            }
            over.store(true, Ordering::SeqCst);
        });
    });
}

#[test]
fn a_change_in_pieces_is_enforced_when_all_of_it_has_come() {
    // A member splits what is larger than its own limit for requests, which does not bind the others.
    let world = World::serving(SERVICES);
    let small: &[&str] = &["--max-request-bytes", "1"];
    let many: &[&str] = &["--max-txn-ops", "100000"];
    let members = Member::three_with(&world.host, "http", [many, small, &[]], &[]);
    fill(&members[0]);
    let relay = Relay::start(&world.host, 22379);
    let url = relay.url();
    let settings = [("ETCD_ENDPOINTS", url.as_str())];
    let mut agent = members[1].agent(Owner::Disabled, &settings);
    agent.started();
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    let large = "x".repeat(1000);
    for [first, last] in swaps() {
        relay.hold_after(700_000);
        let filler = (0..1200).map(|number| (format!("{FILLER}{number}"), Some(large.clone())));
        let changes: Vec<Change> = [first].into_iter().chain(filler).chain([last]).collect();
        let writer = members[0].url();
        world
            .host
            .run(|| Writer::connect(writer).transaction(changes));
        // The first piece is there and some of the second; the rest is not.
        relay.holding();
        let mark = agent.mark();
        world.expect("half a change", only(&[8055]));
        assert!(!agent.has_said(&mark, "applied"));
        relay.release();
        agent.line(&mark, "the whole change", |line| line.contains("applied"));
        world.expect("the whole change", only(&[8055]));
    }
    allow(&world, &members[0], &[8056]);
    vigil.finish();
    members[1].agrees(&mut agent, &settings);
}
