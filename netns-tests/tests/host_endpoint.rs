//! Host endpoints: what they bind to, and what they let through.
//!
//! The numbers are those of the scenarios in the dataplane contract.

use netns_tests::Outcome::{Dropped, Open, Reset, Unreachable};
use netns_tests::resources::{
    documents, egress, eth0, host_endpoint, host_endpoint_of, ingress, policy_for, profile,
};
use netns_tests::server::Services;
use netns_tests::topology::addresses;
use netns_tests::{
    Agent, Directory, EXT, EXT2, EXTB, Family, Flow, HOST0, HOST0B, HOST1, Place, Site, W1, World,
    both_ways, icmp, ip_protocol, stray_ack, tcp, udp,
};

const SERVICES: Services = Services {
    tcp: &[22, 2379, 8055, 8056],
    udp: &[53, 68, 8055],
    protocols: &[253, 254],
};

/// Everything in and out of both interfaces.
fn everything(expected: netns_tests::Outcome) -> Vec<netns_tests::Row> {
    vec![
        tcp(EXT, HOST0, 8055, expected),
        udp(EXT, HOST0, 8055, expected),
        icmp(EXT, HOST0, expected),
        tcp(HOST0, EXT, 8055, expected),
        udp(HOST0, EXT, 8055, expected),
        icmp(HOST0, EXT, expected),
    ]
}

/// The other interface, which has no endpoint.
fn other_interface_is_open() -> Vec<netns_tests::Row> {
    vec![
        tcp(EXT2, HOST1, 8055, Open),
        udp(EXT2, HOST1, 8055, Open),
        icmp(EXT2, HOST1, Open),
        tcp(HOST1, EXT2, 8055, Open),
        udp(HOST1, EXT2, 8055, Open),
    ]
}

both_ways! {
    fn scenario_41_no_endpoint_leaves_all_alone(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        world.expect("an empty directory", everything(Open));
        world.expect("an empty directory", other_interface_is_open());
        agent.apply(&documents(&[
            host_endpoint_of("host2", "eth0", "role: host", "interfaceName: eth0"),
            ingress("deny", 10, "{action: Deny}"),
        ]));
        world.expect("the endpoint of another host", everything(Open));
        assert!(agent.logged("in-sync").contains("in-sync"));
    }

    fn scenario_42_an_endpoint_without_policy_has_only_failsafes(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&eth0());
        world.expect("no policy", everything(Dropped));
        world.expect("the failsafe ports", [
            tcp(EXT, HOST0, 22, Open),
            udp(EXT, HOST0, 68, Open),
            tcp(HOST0, EXT, 22, Dropped),
            tcp(HOST0, EXT, 2379, Open),
            udp(HOST0, EXT, 53, Open),
            udp(EXT, HOST0, 53, Dropped),
        ]);
        agent.remove("resources.yaml");
        world.expect("the endpoint is gone", everything(Open));
    }

    fn scenario_43_other_interfaces_are_left_alone(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&eth0());
        world.expect("eth1 has no endpoint", other_interface_is_open());
        world.expect("eth0 has one", everything(Dropped));
    }

    fn scenario_44_profiles_decide_without_policy(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let with = |profiles: &str| {
            host_endpoint("eth0", &format!("interfaceName: eth0, profiles: [{profiles}]"))
        };
        agent.apply(&with("projectcalico-default-allow"));
        world.expect("the built-in profile", everything(Open));
        let allow = profile("allow", "ingress: [{action: Allow}], egress: [{action: Allow}]");
        agent.apply(&documents(&[with("allow"), allow.clone()]));
        world.expect("a profile that allows all", everything(Open));
        agent.apply(&with("allow"));
        world.expect("a profile that is missing", everything(Dropped));
        let first = profile("first", "ingress: [{action: Pass}]");
        agent.apply(&documents(&[with("first, allow"), first, allow.clone()]));
        world.expect("the second profile allows", everything(Open));
        agent.apply(&documents(&[with("missing, allow"), allow.clone()]));
        world.expect("a missing profile ends the list", everything(Dropped));
        agent.apply(&documents(&[
            with("allow"),
            allow,
            ingress("ssh", 10, "{action: Allow, protocol: TCP, destination: {ports: [8056]}}"),
        ]));
        world.expect("policy overrides profiles in its own direction", [
            tcp(EXT, HOST0, 8056, Open),
            tcp(EXT, HOST0, 8055, Dropped),
            tcp(HOST0, EXT, 8055, Open),
        ]);
    }

    fn scenario_45_both_ends_must_allow(owner) {
        let world = World::serving(SERVICES);
        let directory = Directory::new();
        let a = Agent::on(&world.host, owner, &[], &directory);
        let b = Agent::on(&world.ext, owner, &[("FELIX_FELIXHOSTNAME", "host2")], &directory);
        let put = |text: &str| {
            let marks = (a.mark(), b.mark());
            directory.put("resources.yaml", text);
            a.settled(&marks.0);
            b.settled(&marks.1);
        };
        let mut all = vec![
            host_endpoint_of("host1", "a", "end: a", "interfaceName: eth0"),
            host_endpoint_of("host2", "b", "end: b", "interfaceName: eth0"),
            policy_for("end == 'a'", "a", 10, "types: [Egress], egress: [{action: Allow}]"),
        ];
        put(&documents(&all));
        world.expect("only the sender allows", [
            tcp(HOST0, EXT, 8055, Dropped),
            tcp(EXT, HOST0, 8055, Dropped),
            tcp(HOST0, EXT, 22, Open),
        ]);
        all.push(policy_for("end == 'b'", "b", 10, "types: [Ingress], ingress: [{action: Allow}]"));
        put(&documents(&all));
        world.expect("both allow", [
            tcp(HOST0, EXT, 8055, Open),
            udp(HOST0, EXT, 8055, Open),
            icmp(HOST0, EXT, Open),
            tcp(EXT, HOST0, 8055, Dropped),
            icmp(EXT, HOST0, Dropped),
        ]);
    }

    fn scenario_46_raw_protocols_by_number(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&eth0());
        world.expect("no policy", [
            ip_protocol(EXT, HOST0, 253, Dropped),
            ip_protocol(EXT, HOST0, 254, Dropped),
        ]);
        agent.apply(&documents(&[eth0(), ingress("raw", 10, "{action: Allow, protocol: 253}")]));
        world.expect("253 by number", [
            ip_protocol(EXT, HOST0, 253, Open),
            ip_protocol(EXT, HOST0, 254, Dropped),
            tcp(EXT, HOST0, 8055, Dropped),
        ]);
        agent.apply(&documents(&[eth0(), egress("raw", 10, "{action: Allow, protocol: 254}")]));
        world.expect("254 outward", [
            ip_protocol(HOST0, W1, 254, Open),
            ip_protocol(HOST0, W1, 253, Dropped),
        ]);
    }

    fn scenario_47_policing_follows_the_expected_address(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let policed = |eth0, eth1| {
            [tcp(EXTB, HOST0B, 8055, eth0), tcp(EXT2, HOST1, 8055, eth1), tcp(EXT2, HOST1, 22, Open)]
        };
        agent.apply(&host_endpoint("by-address", "expectedIPs: [192.0.2.1]"));
        world.expect("the address is on eth0", policed(Dropped, Open));
        world.host.ip("address del 192.0.2.1/24 dev eth0\naddress add 192.0.2.1/24 dev eth1\n");
        world.eventually("the address is on eth1", policed(Open, Dropped));
        agent.apply(&host_endpoint("by-address", "expectedIPs: [\"2001:db8:1::1\"]"));
        world.expect("the IPv6 address is on eth0", policed(Dropped, Open));
        world.host.ip(
            "address del 2001:db8:1::1/64 dev eth0\naddress add 2001:db8:1::1/64 dev eth1 nodad\n",
        );
        world.eventually("the IPv6 address is on eth1", policed(Open, Dropped));
        world.host.ip("address del 2001:db8:1::1/64 dev eth1\n");
        world.eventually("the address is nowhere", policed(Open, Open));
        world.host.ip(
            "address add 2001:db8:1::1/64 dev eth0 nodad\n\
             address add 2001:db8:1::1/64 dev eth1 nodad\n",
        );
        world.eventually("one endpoint owns two interfaces", policed(Dropped, Dropped));
    }

    fn scenario_48_the_smallest_name_wins_and_the_other_takes_over(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let allow = policy_for("allow == 'yes'", "allow", 10, "ingress: [{action: Allow}]");
        let by_name = |name: &str, labels: &str| {
            host_endpoint_of("host1", name, labels, "interfaceName: eth0")
        };
        let by_address = |name: &str, labels: &str| {
            host_endpoint_of("host1", name, labels, "expectedIPs: [192.0.2.1]")
        };
        agent.put("policy.yaml", &allow);
        agent.put("b.yaml", &by_address("b", "allow: 'yes'"));
        world.expect("only b", [tcp(EXT, HOST0, 8055, Open)]);
        agent.put("a.yaml", &by_name("a", ""));
        world.expect("a has the smaller name", [tcp(EXT, HOST0, 8055, Dropped)]);
        agent.remove("a.yaml");
        world.expect("b takes over", [tcp(EXT, HOST0, 8055, Open)]);
        agent.put("b.yaml", &by_name("b", ""));
        world.expect("b denies", [tcp(EXT, HOST0, 8055, Dropped)]);
        agent.put("a.yaml", &by_address("a", "allow: 'yes'"));
        world.expect("a match by name is not preferred", [tcp(EXT, HOST0, 8055, Open)]);
        agent.remove("a.yaml");
        world.expect("b takes over again", [tcp(EXT, HOST0, 8055, Dropped)]);
    }

    fn scenario_49_a_name_forbids_binding_by_address(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&host_endpoint(
            "named",
            "interfaceName: eth0, expectedIPs: [198.51.100.1, \"2001:db8:2::1\"]",
        ));
        world.expect("eth0 is policed", everything(Dropped));
        world.expect("eth1 is not", other_interface_is_open());
        agent.apply(&host_endpoint("named", "interfaceName: eth7, expectedIPs: [192.0.2.1]"));
        world.expect("no interface has the name", everything(Open));
    }

    fn scenario_51_a_specific_endpoint_replaces_the_wildcard(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let all = host_endpoint_of("host1", "all", "role: any", "interfaceName: \"*\"");
        let allow = ingress("allow", 10, "{action: Allow}");
        agent.apply(&documents(&[all.clone(), eth0(), allow.clone()]));
        world.expect("eth0 has its own", [
            tcp(EXT, HOST0, 8055, Open),
            icmp(EXT, HOST0, Open),
            tcp(EXT2, HOST1, 8055, Dropped),
            icmp(EXT2, HOST1, Dropped),
            tcp(EXT2, HOST1, 22, Open),
            tcp(HOST1, EXT2, 8055, Dropped),
            tcp(HOST1, EXT2, 2379, Open),
        ]);
        agent.apply(&documents(&[all, allow]));
        world.expect("eth0 falls to the wildcard", [
            tcp(EXT, HOST0, 8055, Dropped),
            tcp(EXT2, HOST1, 8055, Dropped),
            tcp(EXT, HOST0, 22, Open),
        ]);
    }

    fn scenario_57_an_endpoint_without_name_and_address_is_ignored(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let mark = agent.mark();
        agent.apply(&host_endpoint("nothing", "profiles: []"));
        let warning = agent.warned(&mark, "Validation failed");
        assert!(warning.contains("nothing"), "{warning}");
        world.expect("nothing is bound", everything(Open));
        agent.apply(&documents(&[host_endpoint("nothing", "profiles: []"), eth0()]));
        world.expect("a good endpoint in the same file", everything(Dropped));
    }

    fn scenario_58_established_flows_survive_the_removal_of_their_policy(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let allow = "{action: Allow, protocol: TCP, destination: {ports: [8055]}}";
        agent.apply(&documents(&[eth0(), ingress("in", 10, allow), egress("out", 10, allow)]));
        let mut flows = [Family::V4, Family::V6].map(|family| {
            [
                Flow::open(&world, EXT, HOST0, family, 8055),
                Flow::open(&world, HOST0, EXT, family, 8055),
            ]
        });
        agent.apply(&eth0());
        flows.iter_mut().flatten().for_each(Flow::echo);
        world.expect("new connections", [
            tcp(EXT, HOST0, 8055, Dropped),
            tcp(HOST0, EXT, 8055, Dropped),
        ]);
        flows.iter_mut().flatten().for_each(Flow::echo);
    }

    fn interfaces_come_late_change_their_name_and_go(owner) {
        let world = World::serving(SERVICES);
        let near = Place {
            name: "host/late",
            site: Site::Host,
            v4: [198, 18, 0, 1].into(),
            v6: [0x2001, 0xdb8, 7, 0, 0, 0, 0, 1].into(),
        };
        let far = Place {
            name: "ext2/late",
            site: Site::Ext2,
            v4: [198, 18, 0, 2].into(),
            v6: [0x2001, 0xdb8, 7, 0, 0, 0, 0, 2].into(),
        };
        let appear = || {
            world.host.ip(&format!(
                "link add eth2 type veth peer name late netns {}\nlink set eth2 up\n{}",
                world.ext2.name(),
                addresses(&[near], "eth2"),
            ));
            world.ext2.ip(&format!("link set late up\n{}", addresses(&[far], "late")));
        };
        let rename = |from: &str, to: &str| {
            world.host.ip(&format!(
                "link set {from} down\nlink set {from} name {to}\nlink set {to} up\n\
                 address replace {}/64 dev {to} nodad\n",
                near.v6
            ));
        };
        let policed = |expected| [tcp(far, near, 8055, expected), tcp(far, near, 22, Open)];
        let agent = Agent::start(&world.host, owner);
        agent.apply(&host_endpoint("late", "interfaceName: eth2"));
        appear();
        world.eventually("the interface came after its endpoint", policed(Dropped));
        rename("eth2", "eth9");
        world.eventually("the interface has another name", policed(Open));
        agent.apply(&host_endpoint("late", "interfaceName: eth9"));
        world.eventually("the endpoint names the new one", policed(Dropped));
        rename("eth9", "eth2");
        world.eventually("the interface has its old name", policed(Open));
        agent.apply(&host_endpoint("late", "expectedIPs: [198.18.0.1]"));
        // The directory may be read before the kernel's word of the address is.
        world.eventually("the endpoint binds by address", policed(Dropped));
        rename("eth2", "eth9");
        world.eventually("the address is on the renamed interface", policed(Dropped));
        world.host.ip("link del eth9\n");
        agent.apply(&host_endpoint("late", "interfaceName: eth2"));
        appear();
        world.eventually("the interface came back", policed(Dropped));
        world.expect("the others are left alone", everything(Open));
    }

    fn neighbour_discovery_works_under_default_deny(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&eth0());
        world.forget_neighbours();
        world.expect("failsafes need neighbours", [
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, EXT, 2379, Open),
            icmp(EXT, HOST0, Dropped),
        ]);
        world.forget_neighbours();
        world.expect("the host discovers too", [tcp(HOST0, EXT, 2379, Open)]);
    }

    fn neighbour_discovery_can_be_left_to_policy(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::with(
            &world.host,
            owner,
            &[("TORTIE_HOSTENDPOINTNEIGHBORDISCOVERY", "Policy")],
        );
        agent.apply(&eth0());
        world.forget_neighbours();
        world.expect("IPv6 is cut off", [tcp(EXT, HOST0, 22, Open).but_v6(Dropped)]);
        agent.apply(&documents(&[
            eth0(),
            ingress("in", 10, "{action: Allow, protocol: ICMPv6}"),
            egress("out", 10, "{action: Allow, protocol: ICMPv6}"),
        ]));
        world.forget_neighbours();
        world.expect("policy allows ICMPv6", [tcp(EXT, HOST0, 22, Open)]);
    }

    fn denied_packets_are_rejected_on_demand(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::with(&world.host, owner, &[("FELIX_NFTABLESFILTERDENYACTION", "Reject")]);
        agent.apply(&eth0());
        world.expect("the default deny rejects", everything(Unreachable));
        world.expect("failsafes stay", [tcp(EXT, HOST0, 22, Open), tcp(HOST0, EXT, 2379, Open)]);
        let deny = "{action: Deny, protocol: TCP, destination: {ports: [8055]}}, {action: Allow}";
        agent.apply(&documents(&[eth0(), ingress("in", 10, deny), egress("out", 10, deny)]));
        world.expect("a rule rejects", [
            tcp(EXT, HOST0, 8055, Unreachable),
            tcp(EXT, HOST0, 8056, Open),
            tcp(EXT, HOST0, 4444, Reset),
            tcp(HOST0, EXT, 8055, Unreachable),
            tcp(HOST0, EXT, 8056, Open),
            udp(HOST0, EXT, 8055, Open),
        ]);
    }

    fn the_old_name_of_the_deny_action_works(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::with(&world.host, owner, &[("FELIX_IPTABLESFILTERDENYACTION", "REJECT")]);
        agent.apply(&eth0());
        world.expect("the default deny rejects", everything(Unreachable));
    }

    fn invalid_packets_are_dropped(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&allow_all());
        // Otherwise conntrack takes a segment in midstream for an established connection.
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        world.expect("an acknowledgement of nothing", [
            stray_ack(EXT, HOST0, 8055, Dropped),
            stray_ack(EXT, HOST0, 22, Dropped),
            stray_ack(EXT2, HOST1, 8055, Reset),
            tcp(EXT, HOST0, 8055, Open),
        ]);
    }

    fn invalid_packets_reach_policy_on_demand(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::with(
            &world.host,
            owner,
            &[("FELIX_DISABLECONNTRACKINVALIDCHECK", "true")],
        );
        agent.apply(&allow_all());
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        world.expect("an acknowledgement of nothing", [stray_ack(EXT, HOST0, 8055, Reset)]);
        agent.apply(&documents(&[eth0(), egress("out", 10, "{action: Allow}")]));
        world.expect("policy denies", [stray_ack(EXT, HOST0, 8055, Dropped)]);
    }

    fn replies_pass_though_the_other_direction_is_denied(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&documents(&[
            eth0(),
            ingress("in", 10, "{action: Allow}"),
            egress("out", 10, "{action: Deny}"),
        ]));
        world.expect("in alone", [
            tcp(EXT, HOST0, 8055, Open),
            udp(EXT, HOST0, 8055, Open),
            icmp(EXT, HOST0, Open),
            tcp(EXT, HOST0, 4444, Reset),
            udp(EXT, HOST0, 4444, Unreachable),
            tcp(HOST0, EXT, 8055, Dropped),
        ]);
    }

    fn forwarded_traffic_passes_a_host_endpoint(owner) {
        let world = World::serving(SERVICES);
        world.forwarding();
        let agent = Agent::start(&world.host, owner);
        agent.apply(&eth0());
        world.expect("policy without applyOnForward is for the host itself", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT2, EXT, 8055, Open),
            tcp(EXT, HOST0, 8055, Dropped),
        ]);
    }
}

/// The endpoint of `eth0` with everything allowed both ways.
fn allow_all() -> String {
    documents(&[
        eth0(),
        ingress("in", 10, "{action: Allow}"),
        egress("out", 10, "{action: Allow}"),
    ])
}
