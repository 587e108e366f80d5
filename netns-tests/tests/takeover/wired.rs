//! What Felix has wired stays wired.

use netns_tests::agent::{DEADLINE, Directory};
use netns_tests::flood::{Fate, Flood, Kind};
use netns_tests::resources::{ALLOW_ALL, documents, local};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::workloads::{hardware_address, interface};
use netns_tests::{Agent, EXT, Family, Flow, Place, WL0, WL1, World, both_ways, track};

use super::{Mode, REMOVED, demand, host_policy, leave, line};

const TCP: u8 = 6;

/// The host's routes to a workload.
fn routes_to(world: &World, place: Place) -> Vec<String> {
    let routes = world.routes();
    let address = place.v4.to_string();
    let leads_there = |line: &&str| line.split_whitespace().any(|word| word == address);
    routes
        .lines()
        .filter(leads_there)
        .map(str::to_owned)
        .collect()
}

/// The TCP connections to a workload that the host tracks.
fn connections_to(world: &World, place: Place) -> Vec<track::Connection> {
    let mut connections = track::connections(&world.host);
    let addresses = [Family::V4, Family::V6].map(|family| place.address(family));
    connections.retain(|it| it.protocol == TCP && addresses.contains(&it.original.to));
    connections.sort_unstable();
    connections
}

both_ways! {
    fn a_workload_that_felix_has_wired_keeps_its_route_and_its_connections(owner) {
        let services = Services { tcp: &[8055], udp: &[], protocols: &[] };
        let world = World::serving(services).with_workloads(2);
        leave(&world.host, Mode::Iptables);
        // Routes as of an older Felix, whose priority or protocol is not ours.
        world.wire_workloads();
        // The second workload's is by who made its interface: Felix gives the host the hardware address as well.
        world.host.ip(&format!(
            "neighbour replace {} lladdr {} dev {} nud permanent\n",
            WL0.v4, hardware_address(WL0), interface(WL0),
        ));
        let mut flows = [(WL0, Family::V4), (WL0, Family::V6), (WL1, Family::V4), (WL1, Family::V6)]
            .map(|(to, family)| Flow::open(&world, EXT, to, family, 8055));
        let before = [WL0, WL1].map(|place| connections_to(&world, place));
        assert_eq!(before.each_ref().map(Vec::len), [2, 2], "{before:?}");
        let kind = Kind { from: EXT, port: 7002, fate: Fate::Always };
        let floods = [WL0, WL1].map(|to| Flood::start(&world, to, &[kind], DEADLINE));
        let directory = Directory::new();
        let resources = [host_policy(), local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)];
        directory.put("resources.yaml", &documents(&resources));
        let agent = Agent::launch(&world.host, owner, &[], &directory);
        until("the daemon's routes are the only ones", || {
            [WL0, WL1].iter().all(|place| {
                let routes = routes_to(&world, *place);
                routes.len() == 1 && routes[0].contains("metric 1024")
            })
        });
        assert_eq!(connections_to(&world, WL0), before[0]);
        assert_eq!(connections_to(&world, WL1), [], "who had the addresses before is not known");
        line(&agent, REMOVED);
        for flood in floods {
            demand(&flood.finish());
        }
        for flow in &mut flows {
            flow.echo();
        }
    }
}
