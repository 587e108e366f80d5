//! Workloads send in their own name alone, and tunnel nothing past policy.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, B.

use std::net::{Ipv4Addr, Ipv6Addr};

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::resources::{ALLOW_ALL, documents, local, policy_for};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::workloads::Routed;
use netns_tests::{
    A3, Agent, EXT, HOST0, Owner, Place, Row, WL0, WL1, WL2, World, both_ways, ip_protocol, stage,
    tcp, udp,
};

const SERVICES: Services = Services {
    tcp: &[8055, 8056],
    udp: &[4789, 4790, 8055, 8056],
    protocols: &[4, 253],
};

const ACCEPT: (&str, &str) = ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT");

fn three() -> Vec<String> {
    [WL0, WL1, WL2].map(|place| local(place, ALLOW_ALL)).into()
}

/// An address of a net that no interface has.
fn nowhere(name: &'static str, net: u8, number: u8) -> Place {
    Place {
        name,
        site: WL0.site,
        v4: Ipv4Addr::new(10, net, 0, number),
        v6: Ipv6Addr::new(0xfd00 + u16::from(net), 0, 0, 0, 0, 0, 0, number.into()),
    }
}

/// What the first workload sends in the name of another place, to everywhere.
fn in_the_name_of(place: Place) -> [Row; 5] {
    [
        tcp(place, WL1, 8055, Dropped),
        udp(place, WL1, 8055, Dropped),
        udp(place, EXT, 8055, Dropped),
        tcp(place, EXT, 8055, Dropped),
        udp(place, HOST0, 8055, Dropped),
    ]
}

fn in_its_own_name() -> [Row; 3] {
    [
        tcp(WL0, WL1, 8055, Open),
        udp(WL0, EXT, 8055, Open),
        udp(WL0, HOST0, 8055, Open),
    ]
}

/// Turns the kernel's own check off, so that the rules stand alone.
fn without_the_kernels_check(world: &World) {
    for scope in ["all", "default", "cali0", "cali1", "cali2"] {
        world
            .host
            .sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0");
    }
}

fn spoofing(owner: Owner) {
    let (world, _agent) = stage(owner, SERVICES, 3, &[ACCEPT], &three());
    without_the_kernels_check(&world);
    world.expect("its own name", in_its_own_name());
    for place in [WL2, HOST0, EXT, A3, nowhere("nowhere", 99, 1)] {
        let borrowed = world.lend(WL0.site, place);
        // What it sends to that place itself does not leave it.
        let rows = in_the_name_of(borrowed)
            .into_iter()
            .filter(|row| !row.is_to(place))
            .map(Row::lost);
        world.expect(&format!("in the name of {}", place.name), rows);
        world.site(WL0.site).ip(&format!(
            "address del {}/32 dev lo\naddress del {}/128 dev lo\n",
            place.v4, place.v6
        ));
    }
    world.expect("its own name, still", in_its_own_name());
}

both_ways! {
    fn scenario_25_and_26_a_foreign_source_is_dropped(owner) {
        spoofing(owner);
    }

    fn scenario_25_the_kernels_check_is_on_too(owner) {
        let world = World::serving(SERVICES).with_workloads(1).watching();
        world.host.sysctl("net/ipv4/conf/default/rp_filter", "1");
        let agent = Agent::with(&world.host, owner, &[ACCEPT]);
        agent.apply(&documents(&[local(WL0, ALLOW_ALL)]));
        world.routed(&[WL0], Routed::Yes);
        until("the default is the workload's", || {
            world.setting("net/ipv4/conf/cali0/rp_filter") == "1"
        });
    }

    fn scenario_27_prefixes_may_be_allowed(owner) {
        let settings = [ACCEPT, ("FELIX_WORKLOADSOURCESPOOFING", "Any")];
        let spec = format!("{ALLOW_ALL}, allowSpoofedSourcePrefixes: [10.77.0.0/16, \"fd4d::/16\"]");
        let resources = vec![local(WL0, &spec), local(WL1, ALLOW_ALL)];
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &resources);
        let inside = world.lend(WL0.site, nowhere("inside", 77, 1));
        let outside = world.lend(WL0.site, nowhere("outside", 78, 1));
        let other = world.lend(WL1.site, nowhere("inside, by the other", 77, 2));
        world.expect("the prefix alone", in_the_name_of(inside).map(Row::delivered));
        world.expect("other sources", in_the_name_of(outside).map(Row::lost));
        world.expect("the other workload", [
            udp(other, EXT, 8055, Dropped).lost(),
            udp(other, HOST0, 8055, Dropped).lost(),
            tcp(WL1, EXT, 8055, Open),
        ]);
        let deny = policy_for(
            "name == 'wl0'", "deny", 10,
            "types: [Egress], egress: [{action: Deny, protocol: UDP, destination: {ports: [8056]}}, {action: Allow}]",
        );
        agent.apply(&documents(&[resources, vec![deny]].concat()));
        world.expect("policy is asked", [
            udp(inside, EXT, 8055, Dropped).delivered(),
            udp(inside, EXT, 8056, Dropped).lost(),
            udp(inside, HOST0, 8056, Dropped).lost(),
            udp(WL0, EXT, 8055, Open),
            udp(WL0, EXT, 8056, Dropped).lost(),
        ]);
    }

    fn scenario_27_turns_the_kernels_check_off_for_that_workload_alone(owner) {
        let world = World::serving(SERVICES).with_workloads(2).watching();
        world.host.sysctl("net/ipv4/conf/default/rp_filter", "1");
        let settings = [ACCEPT, ("FELIX_WORKLOADSOURCESPOOFING", "Any")];
        let agent = Agent::with(&world.host, owner, &settings);
        let spec = format!("{ALLOW_ALL}, allowSpoofedSourcePrefixes: [10.77.0.0/16]");
        agent.apply(&documents(&[local(WL0, &spec), local(WL1, ALLOW_ALL)]));
        world.routed(&[WL0, WL1], Routed::Yes);
        let checks = || ["cali0", "cali1"].map(|name| world.setting(&format!("net/ipv4/conf/{name}/rp_filter")));
        until("one is off", || checks() == ["0", "1"]);
        let inside = world.lend(WL0.site, nowhere("inside", 77, 1));
        world.expect("the prefix is of IPv4", [
            udp(inside, EXT, 8055, Dropped).v4().delivered(),
            udp(inside, EXT, 8055, Dropped).v6().lost(),
            udp(WL0, EXT, 8055, Open),
        ]);
        agent.apply(&documents(&[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]));
        until("both are on", || checks() == ["1", "1"]);
        world.expect("no prefix", [
            udp(inside, EXT, 8055, Dropped).lost(),
            udp(WL0, EXT, 8055, Open),
        ]);
    }

    fn scenario_27_needs_the_configuration(owner) {
        let (world, agent) = stage(owner, SERVICES, 2, &[ACCEPT], &[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]);
        let spec = format!("{ALLOW_ALL}, allowSpoofedSourcePrefixes: [10.77.0.0/16, \"fd4d::/16\"]");
        let mark = agent.mark();
        agent.apply(&documents(&[local(WL0, &spec), local(WL1, ALLOW_ALL)]));
        agent.warned(&mark, "wl0");
        let inside = world.lend(WL0.site, nowhere("inside", 77, 1));
        world.expect("the endpoint is invalid and counts as absent", [
            udp(inside, EXT, 8055, Dropped).lost(),
            udp(WL0, EXT, 8055, Dropped).lost(),
            udp(WL1, EXT, 8055, Open),
        ]);
    }

    fn scenario_37_workloads_do_not_tunnel(owner) {
        let (world, _agent) = stage(owner, SERVICES, 2, &[ACCEPT], &[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]);
        world.expect("by default", tunnels(Dropped, Dropped));
        world.expect("to a workload it is the other's egress that counts", [
            udp(EXT, WL0, 4789, Open),
            udp(HOST0, WL0, 4789, Open),
        ]);
    }

    fn scenario_37_tunnels_may_be_allowed(owner) {
        let resources = [local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)];
        let vxlan = ("FELIX_ALLOWVXLANPACKETSFROMWORKLOADS", "true");
        let ipip = ("FELIX_ALLOWIPIPPACKETSFROMWORKLOADS", "true");
        {
            let (world, _agent) = stage(owner, SERVICES, 2, &[ACCEPT, vxlan], &resources);
            world.expect("VXLAN", tunnels(Open, Dropped));
        }
        let (world, _agent) = stage(owner, SERVICES, 2, &[ACCEPT, ipip], &resources);
        world.expect("IPIP", tunnels(Dropped, Open));
    }

    fn scenario_37_the_port_of_vxlan_can_be_another(owner) {
        let settings = [ACCEPT, ("FELIX_VXLANPORT", "4790")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]);
        world.expect("the other port", [
            udp(WL0, EXT, 4790, Dropped).lost(),
            udp(WL0, EXT, 4789, Open),
        ]);
    }
}

/// What a workload sends that could be a tunnel, beside what could not.
fn tunnels(vxlan: netns_tests::Outcome, ipip: netns_tests::Outcome) -> [Row; 9] {
    [
        udp(WL0, EXT, 4789, vxlan),
        udp(WL0, WL1, 4789, vxlan),
        udp(WL0, HOST0, 4789, vxlan),
        ip_protocol(WL0, EXT, 4, ipip),
        ip_protocol(WL0, WL1, 4, ipip),
        udp(WL0, EXT, 4790, Open),
        ip_protocol(WL0, EXT, 253, Open),
        tcp(WL0, EXT, 8055, Open),
        udp(WL0, HOST0, 4790, Open),
    ]
}
