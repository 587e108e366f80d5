//! Address translation that is the daemon's own: floating addresses, the metadata service, and outgoing traffic.
//!
//! The contract's section 1.4 says what is translated, and where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::resources::{
    ALLOW_ALL, documents, ip_pool, ip_pool_v1, local, local_of, policy_for, two,
};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::{
    EXT, EXT2, Family, HOST0, HOST0B, HOST1, Place, Row, Site, W1, WL0, WL1, World, both_ways,
    icmp, stage, tcp, udp,
};

const SERVICES: Services = Services {
    tcp: &[22, 8001, 8002, 8003, 8055, 8056, 8775],
    udp: &[8001, 8055],
    protocols: &[],
};

/// The floating address of the first workload, in a net that the peers reach by the host.
const FLOATING: Place = Place {
    name: "floating",
    site: Site::Host,
    v4: Ipv4Addr::new(172, 31, 0, 50),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x50),
};

/// Where workloads look for the metadata service; IPv6 has none.
const METADATA: Place = Place {
    name: "metadata",
    site: Site::Host,
    v4: Ipv4Addr::new(169, 254, 169, 254),
    v6: Ipv6Addr::UNSPECIFIED,
};

/// The field of a workload that gives it the floating address.
fn floating() -> String {
    format!(
        "ipNATs: [{{internalIP: \"{}\", externalIP: \"{}\"}}, {{internalIP: \"{}\", externalIP: \"{}\"}}]",
        WL0.v4, FLOATING.v4, WL0.v6, FLOATING.v6
    )
}

/// Drops what is sent to the net of floating addresses and is for none, in silence and without another way.
fn without_another_way(world: &World) {
    world
        .host
        .ip("route add blackhole 172.31.0.0/16\nroute add blackhole 2001:db8:77::/64\n");
}

/// Everything that reaches, or does not reach, the first workload by its floating address.
fn by_the_floating_address(expected: netns_tests::Outcome) -> [Row; 6] {
    [
        tcp(EXT, FLOATING, 8055, expected),
        udp(EXT, FLOATING, 8055, expected),
        icmp(EXT2, FLOATING, expected),
        tcp(WL1, FLOATING, 8055, expected),
        tcp(HOST0, FLOATING, 8055, expected),
        tcp(WL0, FLOATING, 8055, expected),
    ]
    .map(|row| row.lands_at(WL0.site))
}

/// Pools of both families in which all workloads are, of which the host's are to be translated.
fn pools(spec: &str) -> Vec<String> {
    vec![
        ip_pool("pool4", "10.65.0.0/16", spec),
        ip_pool("pool6", "fd65::/16", spec),
    ]
}

/// Returns the source that a site saw of the packets to one of its TCP ports, which must be one for each family.
fn source_at(world: &World, site: Site, port: u16) -> [Vec<IpAddr>; 2] {
    [Family::V4, Family::V6].map(|family| {
        let mut sources: Vec<IpAddr> = world
            .sightings(site)
            .iter()
            .filter(|seen| seen.port == Some(port) && seen.protocol == 6)
            .map(|seen| seen.from)
            .filter(|from| from.is_ipv4() == (family == Family::V4))
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    })
}

fn both(place: Place) -> [Vec<IpAddr>; 2] {
    [vec![place.v4.into()], vec![place.v6.into()]]
}

/// Opens a connection to each of the three kinds of places and returns who they saw: a peer of the first
/// interface, one of the second, and a workload of another host.
fn seen(world: &World) -> [[Vec<IpAddr>; 2]; 3] {
    world.forget_flows();
    world.expect(
        "all of it arrives",
        [
            tcp(WL0, EXT, 8001, Open),
            tcp(WL0, EXT2, 8002, Open),
            tcp(WL0, W1, 8003, Open),
            tcp(WL0, WL1, 8055, Open),
        ],
    );
    assert_eq!(source_at(world, WL1.site, 8055), both(WL0));
    [
        source_at(world, EXT.site, 8001),
        source_at(world, EXT2.site, 8002),
        source_at(world, W1.site, 8003),
    ]
}

both_ways! {
    fn floating_addresses_lead_to_their_workload(owner) {
        let settings = [("FELIX_FLOATINGIPS", "Enabled")];
        let resources = |spec: &str| [local(WL0, &format!("{ALLOW_ALL}{spec}")), local(WL1, ALLOW_ALL)];
        let with = resources(&format!(", {}", floating()));
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &with);
        without_another_way(&world);
        world.expect("by its floating address", by_the_floating_address(Open).map(Row::delivered));
        world.expect("by its own", [tcp(EXT, WL0, 8055, Open), tcp(WL1, WL0, 8055, Open)]);
        world.forget_flows();
        world.expect("outwards", [tcp(WL0, EXT, 8001, Open)]);
        assert_eq!(source_at(&world, EXT.site, 8001), both(WL0), "only what comes back to itself is translated");
        let policy = policy_for(
            "name == 'wl0'", "one", 10,
            "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]",
        );
        agent.apply(&documents(&[with.to_vec(), vec![policy]].concat()));
        world.expect("policy is asked", [
            tcp(EXT, FLOATING, 8055, Open),
            tcp(EXT, FLOATING, 8056, Dropped).lands_at(WL0.site).lost(),
        ]);
        agent.apply(&documents(&resources("")));
        world.expect("it is taken away", by_the_floating_address(Dropped).map(Row::lost));
        world.expect("its own stays", [tcp(EXT, WL0, 8055, Open)]);
    }

    fn floating_addresses_are_off_by_default(owner) {
        let resources = [local(WL0, &format!("{ALLOW_ALL}, {}", floating())), local(WL1, ALLOW_ALL)];
        let (world, _agent) = stage(owner, SERVICES, 2, &[], &resources);
        without_another_way(&world);
        world.expect("the default", by_the_floating_address(Dropped).map(Row::lost));
        world.expect("its own", [tcp(EXT, WL0, 8055, Open)]);
    }

    fn floating_addresses_of_openstack_are_always_on(owner) {
        let resources = [
            local_of("openstack", WL0, "name: wl0", &format!("{ALLOW_ALL}, {}", floating())),
            local(WL1, ALLOW_ALL),
        ];
        let (world, _agent) = stage(owner, SERVICES, 2, &[], &resources);
        without_another_way(&world);
        world.expect("by its floating address", by_the_floating_address(Open).map(Row::delivered));
    }

    fn the_metadata_service_is_where_workloads_look_for_it(owner) {
        let settings = [("FELIX_METADATAADDR", "192.0.2.1"), ("FELIX_METADATAPORT", "8775")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two());
        world.expect("at its address", [
            tcp(WL0, METADATA, 80, Open).v4().delivered(),
            tcp(WL1, METADATA, 80, Open).v4().delivered(),
            tcp(WL0, METADATA, 81, Dropped).v4().lost(),
            udp(WL0, METADATA, 80, Dropped).v4().lost(),
            tcp(WL0, HOST0, 8775, Open).v4(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn the_metadata_service_is_the_hosts_by_default(owner) {
        let settings = [("FELIX_CLUSTERTYPE", "openstack")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two());
        world.expect("at the host's loopback", [
            tcp(WL0, METADATA, 80, Open).v4().delivered(),
            tcp(WL0, METADATA, 81, Dropped).v4().lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn there_may_be_no_metadata_service(owner) {
        let settings = [("FELIX_CLUSTERTYPE", "openstack"), ("FELIX_METADATAADDR", "none")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two());
        world.expect("nowhere", [
            tcp(WL0, METADATA, 80, Dropped).v4().lost(),
            tcp(WL0, HOST0, 8775, Dropped).lost(),
            tcp(WL0, WL1, 8055, Open),
        ]);
    }

    fn outgoing_traffic_is_masqueraded_but_for_pools(owner) {
        let (world, agent) = stage(owner, SERVICES, 2, &[], &two());
        assert_eq!(seen(&world), [both(WL0), both(WL0), both(WL0)], "no pool");
        agent.apply(&documents(&[two(), pools("natOutgoing: false")].concat()));
        assert_eq!(seen(&world), [both(WL0), both(WL0), both(WL0)], "a pool without translation");
        agent.apply(&documents(&[two(), pools("natOutgoing: true")].concat()));
        assert_eq!(seen(&world), [both(HOST0), both(HOST1), both(WL0)], "a pool with translation");
        agent.apply(&documents(&[two(), pools("natOutgoing: true, disabled: true")].concat()));
        assert_eq!(seen(&world), [both(HOST0), both(HOST1), both(WL0)], "no new addresses come of it");
        let old = vec![
            ip_pool_v1("10.65.0.0/16", "nat-outgoing: true"),
            ip_pool_v1("fd65::/16", "nat-outgoing: true"),
        ];
        agent.apply(&documents(&[two(), old].concat()));
        assert_eq!(seen(&world), [both(HOST0), both(HOST1), both(WL0)], "pools of the old form");
        // The peer's own nets are a pool too: what goes there is left alone.
        let more = vec![
            ip_pool("more4", "192.0.2.0/24", "natOutgoing: false"),
            ip_pool("more6", "2001:db8:1::/64", "natOutgoing: false"),
        ];
        agent.apply(&documents(&[two(), pools("natOutgoing: true"), more].concat()));
        assert_eq!(seen(&world), [both(WL0), both(HOST1), both(WL0)], "the destination is in a pool");
        world.forget_flows();
        world.expect("the host's own traffic", [tcp(HOST0B, EXT2, 8002, Open)]);
        assert_eq!(source_at(&world, EXT2.site, 8002), both(HOST0B));
        agent.apply(&documents(&two()));
        assert_eq!(seen(&world), [both(WL0), both(WL0), both(WL0)], "the pools are gone");
    }

    fn hosts_may_be_excluded_from_outgoing_translation(owner) {
        let settings = [("FELIX_NATOUTGOINGEXCLUSIONS", "IPPoolsAndHostIPs")];
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &[two(), pools("natOutgoing: true")].concat());
        assert_eq!(seen(&world), [both(HOST0), both(HOST1), both(WL0)], "no other host is known");
        let node = format!(
            "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: node2}}\n\
             spec: {{bgp: {{ipv4Address: {}/24, ipv6Address: \"{}/64\"}}}}\n",
            EXT.v4, EXT.v6
        );
        agent.apply(&documents(&[two(), pools("natOutgoing: true"), vec![node]].concat()));
        assert_eq!(seen(&world), [both(WL0), both(HOST1), both(WL0)], "the peer is a host");
    }

    fn outgoing_ports_are_of_the_range(owner) {
        let settings = [("FELIX_NATPORTRANGE", "40000:40009")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &[two(), pools("natOutgoing: true")].concat());
        world.expect("TCP, UDP and what has no ports", [
            tcp(WL0, EXT, 8001, Open),
            udp(WL0, EXT, 8001, Open),
            icmp(WL0, EXT, Open),
            tcp(WL0, W1, 8003, Open).delivered(),
        ]);
        let outgoing: Vec<_> = world
            .sightings(EXT.site)
            .into_iter()
            .filter(|seen| seen.port == Some(8001))
            .collect();
        assert_eq!(outgoing.len(), 4, "{outgoing:?}");
        for seen in outgoing {
            assert!((40000..=40009).contains(&seen.source), "{seen:?}");
            assert!([IpAddr::from(HOST0.v4), HOST0.v6.into()].contains(&seen.from), "{seen:?}");
        }
    }

    fn outgoing_traffic_may_have_an_address_of_its_own(owner) {
        let settings = [("FELIX_NATOUTGOINGADDRESS", "203.0.113.1")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &[two(), pools("natOutgoing: true")].concat());
        let mixed = |v6: Place| [vec![HOST0B.v4.into()], vec![v6.v6.into()]];
        assert_eq!(seen(&world), [mixed(HOST0), mixed(HOST1), both(WL0)], "IPv4 alone has an address to choose");
    }

    fn outgoing_translation_may_be_for_one_interface(owner) {
        let settings = [("FELIX_IPTABLESNATOUTGOINGINTERFACEFILTER", "eth1")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &[two(), pools("natOutgoing: true")].concat());
        assert_eq!(seen(&world), [both(WL0), both(HOST1), both(WL0)]);
    }

    fn a_floating_address_comes_back_after_it_was_given_away(owner) {
        let settings = [("FELIX_FLOATINGIPS", "Enabled")];
        let to_first = [local(WL0, &format!("{ALLOW_ALL}, {}", floating())), local(WL1, ALLOW_ALL)];
        let moved = floating()
            .replace(&WL0.v4.to_string(), &WL1.v4.to_string())
            .replace(&WL0.v6.to_string(), &WL1.v6.to_string());
        let to_second = [local(WL0, ALLOW_ALL), local(WL1, &format!("{ALLOW_ALL}, {moved}"))];
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &to_first);
        let lands = |place: Place| [
            tcp(EXT, FLOATING, 8055, Open).lands_at(place.site).delivered(),
            udp(EXT2, FLOATING, 8055, Open).lands_at(place.site).delivered(),
        ];
        world.expect("the first workload", lands(WL0));
        agent.apply(&documents(&to_second));
        until("the route follows", || {
            world.routes().lines().any(|route| route.contains("172.31.0.50") && route.contains("cali1"))
        });
        world.expect("the second workload", lands(WL1));
        agent.apply(&documents(&to_first));
        world.expect("the first again", lands(WL0));
    }
}
