//! What Felix has wired stays wired.

use netns_tests::agent::{DEADLINE, Directory};
use netns_tests::flood::{Fate, Flood, Kind};
use netns_tests::resources::{ALLOW_ALL, documents, local};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::workloads::{hardware_address, interface};
use netns_tests::{Agent, EXT, Family, Flow, Place, WL0, WL1, World, both_ways, track};

use super::{Mode, REMOVED, demand, host_policy, leave, line};

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

both_ways! {
    fn a_workload_that_felix_has_wired_keeps_its_route_and_its_connections(owner) {
        let services = Services { tcp: &[8055], udp: &[], protocols: &[] };
        let world = World::serving(services).with_workloads(2);
        leave(&world.host, Mode::Iptables);
        // Routes as of an older Felix, whose priority is not ours.
        world.wire_workloads();
        // The second workload's is by who made its interface: Felix gives the host the hardware address as well.
        world.host.ip(&format!(
            "neighbour replace {} lladdr {} dev {} nud permanent\n",
            WL0.v4, hardware_address(WL0), interface(WL0),
        ));
        let mut flows = [WL0, WL1].map(|to| Flow::open(&world, EXT, to, Family::V4, 8055));
        let before = [WL0, WL1].map(|to| {
            let mut connections = track::connections(&world.host).into_iter();
            connections.find(|it| it.original.to == to.address(Family::V4)).expect("it is tracked")
        });
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
        let left = track::connections(&world.host);
        assert!(left.contains(&before[0]), "{before:?}, {left:?}");
        assert!(!left.contains(&before[1]), "who had the address before is not known: {left:?}");
        line(&agent, REMOVED);
        for flood in floods {
            demand(&flood.finish());
        }
        for flow in &mut flows {
            flow.echo();
        }
    }
}
