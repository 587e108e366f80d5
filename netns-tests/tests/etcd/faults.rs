//! What happens when etcd fails, and comes back as it was or as something else.

use netns_tests::World;
use netns_tests::agent::{Agent, Owner, says};
use netns_tests::etcd::{Denied, ETH0, Member, endpoint_key, policy, policy_key};
use nix::sys::signal::Signal;

use crate::{SERVICES, allow, fill, only, protect};

/// Waits until the daemon says that etcd is back.
fn back(agent: &Agent, mark: &netns_tests::agent::Mark) {
    agent.line(mark, "etcd is back", |line| {
        says(line, "the datastore is back")
    });
}

fn lost(agent: &Agent, mark: &netns_tests::agent::Mark) {
    agent.line(mark, "etcd is lost", |line| {
        line.contains("the datastore is lost")
    });
}

#[test]
fn a_killed_server_takes_nothing_away() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    let denied = Denied::watch(&world, 8057);
    for round in 0..3 {
        // In the middle of a burst of changes.
        for number in 0..20 {
            member.put(
                &policy_key(&format!("p{number}")),
                &policy(&[9000 + number + round]),
            );
        }
        let mark = agent.mark();
        member.end(Signal::SIGKILL);
        lost(&agent, &mark);
        world.expect("while it is away", only(&[8055]));
        member.restart();
        member.serving();
        back(&agent, &mark);
        world.expect("when it is back", only(&[8055]));
    }
    allow(&world, &member, &[8056]);
    denied.finish();
    member.agrees(&mut agent, &[]);
}

#[test]
fn a_start_without_a_server_leaves_what_is_enforced() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    let denied = Denied::watch(&world, 8057);
    agent.kill();
    member.end(Signal::SIGKILL);
    let mut agent = member.agent(Owner::Disabled, &[]);
    lost(&agent, &netns_tests::agent::Mark::beginning());
    world.expect("neither", only(&[8055]));
    member.restart();
    member.serving();
    agent.started();
    allow(&world, &member, &[8056]);
    denied.finish();
    member.agrees(&mut agent, &[]);
}

#[test]
fn a_silent_server_is_found_out() {
    let world = World::serving(SERVICES);
    let members = Member::three(&world.host);
    fill(&members[0]);
    let urls = members.each_ref().map(Member::url).join(",");
    let settings = [("CALICO_ETCD_ENDPOINTS", urls.as_str())];
    let mut agent = members[0].agent(Owner::Disabled, &settings);
    agent.started();
    let denied = Denied::watch(&world, 8057);
    // It neither answers nor ends, and its connections stay open.
    let mark = agent.mark();
    members[0].signal(Signal::SIGSTOP);
    netns_tests::etcd::eventually("its silence is noticed", || {
        agent.has_said(&mark, "the datastore is lost")
    });
    back(&agent, &mark);
    allow(&world, &members[1], &[8056]);
    members[0].signal(Signal::SIGCONT);
    denied.finish();
    members[1].agrees(&mut agent, &settings);
}

#[test]
fn lost_leaders_and_lost_majorities_take_nothing_away() {
    let world = World::serving(SERVICES);
    let mut members = Member::three(&world.host);
    fill(&members[0]);
    let urls = members.each_ref().map(Member::url).join(",");
    let settings = [("CALICO_ETCD_ENDPOINTS", urls.as_str())];
    let mut agent = members[0].agent(Owner::Disabled, &settings);
    agent.started();
    let denied = Denied::watch(&world, 8057);
    for index in 0..3 {
        members[index].end(Signal::SIGKILL);
        let other = &members[(index + 1) % 3];
        other.serving();
        allow(
            &world,
            other,
            if index % 2 == 0 { &[8056] } else { &[8055] },
        );
        members[index].restart();
        members[index].serving();
    }
    // Without a majority nobody can say what holds.
    let mark = agent.mark();
    members[1].end(Signal::SIGKILL);
    members[2].end(Signal::SIGKILL);
    lost(&agent, &mark);
    world.expect("no majority", only(&[8056]));
    members[1].restart();
    members[2].restart();
    members.iter().for_each(Member::serving);
    back(&agent, &mark);
    allow(&world, &members[0], &[8055]);
    denied.finish();
    members[0].agrees(&mut agent, &settings);
}

#[test]
fn what_was_compacted_meanwhile_is_read_again() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    member.put(&policy_key("gone"), &policy(&[8056]));
    world.eventually("both", only(&[8055, 8056]));
    let denied = Denied::watch(&world, 8057);
    // The daemon hears nothing while it is stopped, and its place in history is compacted away.
    agent.signal(Signal::SIGSTOP);
    member.delete(&policy_key("gone"));
    for number in 0..50 {
        member.put(&policy_key("filler"), &policy(&[9000 + number]));
    }
    let revision = member.revision().to_string();
    member.etcdctl(&["compact", &revision]);
    agent.signal(Signal::SIGCONT);
    world.eventually("what is gone is gone", only(&[8055]));
    denied.finish();
    member.agrees(&mut agent, &[]);
}

#[test]
fn a_restored_copy_is_gone_over_to_by_difference() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    let denied = Denied::watch(&world, 8057);
    let copy = member.place().join("copy.db");
    member.etcdctl(&["snapshot", "save", &copy.to_string_lossy()]);
    allow(&world, &member, &[8056]);
    member.restore(&copy);
    world.eventually("the copy", only(&[8055]));
    // Once more, with so many writes before the daemon is back that the revision alone tells nothing.
    allow(&world, &member, &[8056]);
    agent.signal(Signal::SIGSTOP);
    member.restore(&copy);
    for number in 0..30 {
        member.put(&policy_key("filler"), &policy(&[9000 + number]));
    }
    agent.signal(Signal::SIGCONT);
    world.eventually("the copy, at a later revision", only(&[8055]));
    denied.finish();
    member.agrees(&mut agent, &[]);
}

#[test]
fn an_empty_cluster_in_its_place_takes_nothing_away() {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    let denied = Denied::watch(&world, 8057);
    let mark = agent.mark();
    member.end(Signal::SIGKILL);
    std::fs::remove_dir_all(member.data()).expect("remove the data");
    member.restart();
    member.serving();
    back(&agent, &mark);
    agent.line(&mark, "wait-for-ready", |line| {
        line.contains("wait-for-ready")
    });
    world.expect("nobody has said that it is ready", only(&[8055]));
    member.put(&endpoint_key("e0"), ETH0);
    member.put(&policy_key("web"), &policy(&[8056]));
    member.put("/calico/v1/Ready", "true");
    world.eventually("what it holds now", only(&[8056]));
    denied.finish();
    member.agrees(&mut agent, &[]);
}

#[test]
fn a_daemon_that_starts_beside_a_busy_writer_ends_where_it_does() {
    let world = World::serving(SERVICES);
    let member = Member::start(&world.host);
    fill(&member);
    let mut agent = member.agent(Owner::Disabled, &[]);
    for number in 0..100 {
        let ports = if number % 2 == 0 { [8055] } else { [8056] };
        member.put(&policy_key("web"), &policy(&ports));
        if number % 10 == 0 {
            member.delete(&policy_key("other"));
        } else {
            member.put(&policy_key("other"), &policy(&[9000 + number]));
        }
    }
    world.eventually("what was written last", only(&[8056]));
    member.agrees(&mut agent, &[]);
}
