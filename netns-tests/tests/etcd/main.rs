//! The daemon and the client on real etcd servers: every form of key, every way in which a cluster fails, what is
//! written, and the guide's own walk through all of it.

mod client;
mod connection;
mod faults;
mod guide;
mod resources;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{Agent, Owner};
use netns_tests::etcd::{ETH0, Member, endpoint_key, policy, policy_key};
use netns_tests::server::Services;
use netns_tests::{EXT, HOST0, Row, World, tcp};

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056, 8057],
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

/// Stores an endpoint and a policy that allows port 8055, and says that the cluster is ready.
fn fill(member: &Member<'_>) {
    member.put(&endpoint_key("e0"), ETH0);
    member.put(&policy_key("web"), &policy(&[8055]));
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
    member.put(&policy_key("web"), &policy(ports));
    world.eventually("what was written last", only(ports));
}
