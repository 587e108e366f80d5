//! What happens when servers and networks fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use netns_tests::World;
use netns_tests::agent::{Agent, Mark, Owner};
use netns_tests::etcd::{Member, V3, eventually, policy, policy_key};
use netns_tests::relay::Relay;
use netns_tests::vigil::Vigil;
use netns_tests::writer::Writer;
use nix::sys::signal::Signal;

use crate::{ALWAYS, NEVER, SERVICES, allow, back, endure, fill, lost, only};

/// How many changes a burst makes before something happens.
const BURST: usize = 50;

#[test]
fn a_server_killed_in_a_burst_of_changes_takes_nothing_away() {
    endure(|world, member, agent| {
        for _ in 0..3 {
            let mark = agent.mark();
            let url = member.url().to_owned();
            let written = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                scope.spawn(|| world.host.run(|| burst(&url, &written)));
                eventually("a burst", || written.load(Ordering::SeqCst) > BURST);
                member.end(Signal::SIGKILL);
            });
            lost(agent, &mark);
            world.expect("while it is away", only(&[8055]));
            member.restart();
            member.serving();
            back(agent, &mark);
            world.expect("when it is back", only(&[8055]));
        }
    });
}

/// Changes two kinds of resources at once, again and again, until the server is gone.
fn burst(url: &str, written: &AtomicUsize) {
    let mut writer = Writer::connect(url);
    for number in 0_u16.. {
        let port = 9000 + number % 1000;
        let set = format!(
            r#"{{"metadata":{{"labels":{{"set":"burst"}}}},"spec":{{"nets":["198.51.100.{}"]}}}}"#,
            number % 250
        );
        let done = writer.try_transaction([
            (policy_key("burst"), Some(policy(&[port]))),
            (format!("{V3}/globalnetworksets/burst"), Some(set)),
        ]);
        if done.is_err() {
            return;
        }
        written.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_start_without_a_server_leaves_what_is_enforced() {
    endure(|world, member, agent| {
        agent.kill();
        member.end(Signal::SIGKILL);
        *agent = member.agent(Owner::Disabled, &[]);
        lost(agent, &Mark::beginning());
        world.expect("neither", only(&[8055]));
        member.restart();
        member.serving();
        agent.started();
    });
}

#[test]
fn a_server_that_is_paused_and_goes_on_is_followed_again() {
    endure(|world, member, agent| {
        let mark = agent.mark();
        member.signal(Signal::SIGSTOP);
        lost(agent, &mark);
        world.expect("while it is silent", only(&[8055]));
        member.signal(Signal::SIGCONT);
        member.serving();
        back(agent, &mark);
    });
}

#[test]
fn a_network_that_swallows_packets_is_found_out_and_what_was_missed_is_made_up_for() {
    endure(|world, member, agent| {
        // The daemon's way to the server alone is cut, so that others can write.
        let relay = Relay::start(&world.host, 2379);
        agent.kill();
        *agent = member.agent(Owner::Disabled, &[("ETCD_ENDPOINTS", &relay.url())]);
        agent.started();
        let mark = agent.mark();
        let port = relay.port();
        world.host.nft(&format!(
            "table inet cut {{\n chain cut {{\n  type filter hook input priority -500\n  \
             iifname lo tcp dport {port} drop\n  iifname lo tcp sport {port} drop\n }}\n}}\n"
        ));
        member.put(&policy_key("other"), &policy(&[8056]));
        lost(agent, &mark);
        world.expect("while it is cut", only(&[8055]));
        world.host.nft("delete table inet cut");
        back(agent, &mark);
        world.eventually("what was missed", only(&[8055, 8056]));
        member.delete(&policy_key("other"));
        world.eventually("what is told again", only(&[8055]));
        agent.kill();
        *agent = member.agent(Owner::Disabled, &[]);
        agent.started();
    });
}

/// Has something happen to a daemon that follows the leader of three members; afterwards a change is heard.
fn endure_three(happen: impl FnOnce(&World, &mut [Member<'_>; 3], &mut Agent)) {
    let world = World::serving(SERVICES);
    let mut members = Member::three(&world.host);
    fill(&members[0]);
    let urls = members.each_ref().map(Member::url).join(",");
    let settings = [("CALICO_ETCD_ENDPOINTS", urls.as_str())];
    let mut agent = members[0].agent(Owner::Disabled, &settings);
    agent.started();
    // It begins with any of them.
    let line = agent.logged("following etcd");
    let followed = members.iter().position(|it| line.contains(it.url()));
    members.swap(0, followed.expect("one of them is followed"));
    Member::lead(&members, 0);
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    happen(&world, &mut members, &mut agent);
    allow(&world, &members[1], &[8056]);
    vigil.finish();
    members[1].agrees(&mut agent, &settings);
}

#[test]
fn a_leader_that_is_paused_is_left_for_another_member() {
    endure_three(|world, members, agent| {
        // It neither answers nor ends, and its connections stay open.
        let mark = agent.mark();
        members[0].signal(Signal::SIGSTOP);
        members[1].serving();
        // Written when nobody tells the daemon of it.
        members[1].put(&policy_key("other"), &policy(&[8056]));
        lost(agent, &mark);
        back(agent, &mark);
        world.eventually("what was written meanwhile", only(&[8055, 8056]));
        members[0].signal(Signal::SIGCONT);
        members[0].serving();
        members[1].delete(&policy_key("other"));
        world.eventually("what is told", only(&[8055]));
    });
}

#[test]
fn lost_leaders_and_lost_majorities_take_nothing_away() {
    endure_three(|world, members, agent| {
        for round in 0..3 {
            let mark = agent.mark();
            let leader = Member::leader(members);
            members[leader].end(Signal::SIGKILL);
            let other = &members[(leader + 1) % 3];
            other.serving();
            allow(world, other, if round % 2 == 0 { &[8056] } else { &[8055] });
            // At first it is the leader that is followed.
            assert!(round > 0 || agent.has_said(&mark, "the datastore is back"));
            members[leader].restart();
            members[leader].serving();
        }
        // Without a majority nobody can say what holds.
        let mark = agent.mark();
        members[1].end(Signal::SIGKILL);
        members[2].end(Signal::SIGKILL);
        lost(agent, &mark);
        world.expect("no majority", only(&[8056]));
        members[1].restart();
        members[2].restart();
        members.iter().for_each(Member::serving);
        back(agent, &mark);
        allow(world, &members[0], &[8055]);
    });
}
