//! The daemon and the client on real etcd servers: every form of key, every way in which a cluster fails, large ones,
//! what is written, and the guide's own walk through all of it.

mod client;
mod faults;
mod guide;
mod history;
mod logins;
mod resources;
mod scale;
mod tls;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Agent, Mark, Owner};
use netns_tests::etcd::{ETH0, Member, endpoint_key, eventually, policy, policy_key};
use netns_tests::server::Services;
use netns_tests::vigil::Vigil;
use netns_tests::{EXT, HOST0, Row, World, tcp};

/// A port that the policy allows as long as it is stored at all.
const ALWAYS: u16 = 8054;
/// A port that nothing allows.
const NEVER: u16 = 8057;
const SERVICES: Services = Services {
    tcp: &[22, ALWAYS, 8055, 8056, NEVER],
    udp: &[],
    protocols: &[],
};

/// Expects that of the ports 8055 to 8057 these alone are open.
fn only(ports: &[u16]) -> Vec<Row> {
    let expected = |port| if ports.contains(&port) { Open } else { Dropped };
    let mut rows: Vec<Row> = [8055, 8056, 8057]
        .map(|port| tcp(EXT, HOST0, port, expected(port)))
        .into();
    rows.push(tcp(EXT, HOST0, 22, Open));
    rows
}

/// The policy of the host: these ports, and the one that is always open.
fn web(ports: &[u16]) -> String {
    policy(&[ports, &[ALWAYS]].concat())
}

/// Stores an endpoint and a policy that allows port 8055, and says that the cluster is ready.
fn fill(member: &Member<'_>) {
    member.put(&endpoint_key("e0"), ETH0);
    member.put(&policy_key("web"), &web(&[8055]));
    member.put("/calico/v1/Ready", "true");
}

/// Starts a daemon on a filled member and waits for its first commit.
fn protect(member: &Member<'_>, settings: &[(&str, &str)]) -> Agent {
    fill(member);
    let agent = member.agent(Owner::Disabled, settings);
    agent.started();
    agent
}

/// Allows these ports, and waits until that is in force.
fn allow(world: &World, member: &Member<'_>, ports: &[u16]) {
    member.put(&policy_key("web"), &web(ports));
    world.eventually("what was written last", only(ports));
}

/// Has something happen to a daemon that follows one member. Meanwhile nothing opens and nothing shuts; afterwards a
/// change is heard, and the kernel holds what follows from what is stored.
fn endure(happen: impl FnOnce(&World, &mut Member<'_>, &mut Agent)) {
    let world = World::serving(SERVICES);
    let mut member = Member::start(&world.host);
    let mut agent = protect(&member, &[]);
    let vigil = Vigil::keep(&world, NEVER, ALWAYS);
    happen(&world, &mut member, &mut agent);
    allow(&world, &member, &[8056]);
    allow(&world, &member, &[8055]);
    vigil.finish();
    member.agrees(&mut agent, &[]);
}

/// Waits until the daemon has said that etcd is lost.
fn lost(agent: &Agent, mark: &Mark) {
    // A silent one is found out after some time.
    eventually("the loss of etcd is noticed", || {
        agent.has_said(mark, "the datastore is lost")
    });
}

/// Waits until the daemon has said that etcd is back.
fn back(agent: &Agent, mark: &Mark) {
    eventually("etcd is back", || {
        agent.has_said(mark, "the datastore is back")
    });
}
