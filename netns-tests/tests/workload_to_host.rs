//! What a workload may send to its host, and what the host sends to it.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, B.

use std::net::Ipv4Addr;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::probe::icmpv6_type;
use netns_tests::resources::{
    ALLOW_ALL, documents, ingress, local, policy_for, star, two, two_and, workload_policy,
};
use netns_tests::server::Services;
use netns_tests::workloads::Routed;
use netns_tests::{
    EXT, Family, Flow, HOST0, HOST1, Place, Row, Site, WL0, WL1, both_ways, icmp, ip_protocol,
    stage, tcp, udp,
};

const SERVICES: Services = Services {
    tcp: &[22, 80, 8055, 8056, 8775],
    udp: &[53, 67, 547, 8055],
    protocols: &[253],
};

const DROP: (&str, &str) = ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "drop");
const ACCEPT: (&str, &str) = ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "Accept");
const RETURN: (&str, &str) = ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "RETURN");

/// Denies everything that the first workload sends.
fn deny_egress() -> String {
    policy_for(
        "name == 'wl0'",
        "quiet",
        10,
        "types: [Egress], egress: [{action: Deny}]",
    )
}

/// Everything that has an answer, from the first workload to the host.
fn to_host(expected: netns_tests::Outcome) -> [Row; 6] {
    [
        tcp(WL0, HOST0, 8055, expected),
        tcp(WL0, HOST0, 22, expected),
        tcp(WL0, HOST1, 8055, expected),
        udp(WL0, HOST0, 8055, expected),
        icmp(WL0, HOST0, expected),
        ip_protocol(WL0, HOST0, 253, expected),
    ]
}

/// Refuses two ports of what comes in by the first workload, as the host's own rules might.
const OWN_RULES: &str = "
table inet own {
    chain input {
        type filter hook input priority 0; policy accept;
        iifname \"cali0\" tcp dport 8056 drop
        iifname \"cali0\" udp dport 8055 drop
    }
}
";

both_ways! {
    fn scenario_28_drop_denies_whatever_policy_says(owner) {
        for settings in [[].as_slice(), &[DROP]] {
            let allow = workload_policy("all", 10, "types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]");
            let (world, _agent) = stage(owner, SERVICES, 2, settings, &[two(), vec![allow]].concat());
            world.expect("to the host", to_host(Dropped).map(Row::lost));
            world.expect("elsewhere", [tcp(WL0, WL1, 8055, Open), tcp(WL0, EXT, 8055, Open)]);
        }
    }

    fn scenario_29_and_31_accept_opens_the_host_to_what_policy_allows(owner) {
        let (world, agent) = stage(owner, SERVICES, 2, &[ACCEPT], &two());
        world.expect("the profile allows", to_host(Open));
        agent.apply(&two_and(&[deny_egress()]));
        world.forget_flows();
        world.expect("scenario 31: policy denies", to_host(Dropped).map(Row::lost));
        world.expect("the other workload", [tcp(WL1, HOST0, 8055, Open)]);
        agent.apply(&two_and(&[policy_for(
            "name == 'wl0'", "one", 10,
            "types: [Egress], egress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]",
        )]));
        world.expect("policy allows one port", [
            tcp(WL0, HOST0, 8055, Open),
            tcp(WL0, HOST0, 8056, Dropped).lost(),
            tcp(WL0, HOST0, 22, Dropped).lost(),
            icmp(WL0, HOST0, Dropped).lost(),
        ]);
    }

    fn scenario_29_endpoints_of_the_host_do_not_judge_workloads(owner) {
        let star = star();
        let deny = ingress("deny", 10, "{action: Deny}");
        let (world, _agent) = stage(owner, SERVICES, 2, &[ACCEPT], &[two(), vec![star, deny]].concat());
        world.expect("the workload's own interface", [
            tcp(WL0, HOST0, 8055, Open),
            udp(WL0, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn scenario_30_return_leaves_it_to_the_hosts_own_rules(owner) {
        let (world, agent) = stage(owner, SERVICES, 2, &[RETURN], &two());
        world.expect("the host has no rules", to_host(Open));
        world.host.nft(OWN_RULES);
        let rows = [
            tcp(WL0, HOST0, 8055, Open),
            tcp(WL0, HOST0, 8056, Dropped).lost(),
            udp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(WL1, HOST0, 8056, Open),
        ];
        world.expect("the host's rules decide", rows);
        agent.apply(&two_and(&[deny_egress()]));
        world.forget_flows();
        world.expect("policy is asked first", to_host(Dropped).map(Row::lost));
        world.expect("the other workload", [tcp(WL1, HOST0, 8055, Open)]);
    }

    fn scenario_32_and_33_the_host_reaches_its_own_workloads(owner) {
        let quiet = policy_for("name == 'wl0'", "none", 10, "types: [Ingress, Egress]");
        let endpoint = star();
        let (world, agent) = stage(owner, SERVICES, 2, &[DROP], &[two(), vec![quiet.clone()]].concat());
        let rows = [
            tcp(HOST0, WL0, 8055, Open),
            udp(HOST0, WL0, 8055, Open),
            udp(HOST1, WL0, 8055, Open),
            icmp(HOST0, WL0, Open),
            ip_protocol(HOST0, WL0, 253, Open),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
        ];
        world.expect("policy that denies everything", rows);
        let mut flow = Flow::open(&world, HOST0, WL0, Family::V4, 8055);
        agent.apply(&two_and(&[quiet, endpoint]));
        flow.echo();
        world.expect("an endpoint of all interfaces", rows);
    }

    fn scenario_34_neighbours_are_discovered_whatever_policy_says(owner) {
        let settings = [ACCEPT, ("FELIX_REMOVEEXTERNALROUTES", "false")];
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &two_and_deny());
        let solicited = |from: Place| {
            [130, 131, 132, 133, 135, 136].map(|kind| icmpv6_type(from, HOST0, kind).delivered())
        };
        world.expect("the exceptions", solicited(WL0));
        world.expect("nothing else", [
            icmpv6_type(WL0, HOST0, 128).lost(),
            icmpv6_type(WL0, HOST0, 134).lost(),
            icmpv6_type(WL0, HOST0, 137).lost(),
            icmpv6_type(WL0, HOST0, 143).lost(),
            icmp(WL0, HOST0, Dropped).lost(),
            icmp(WL1, HOST0, Open),
        ]);
        world.expect("the exceptions are for the host alone", [
            icmpv6_type(WL0, EXT, 135).lost(),
            icmpv6_type(WL0, WL1, 136).lost(),
        ]);
        world.forget_neighbours();
        world.expect("the host finds the workload", [icmp(HOST0, WL0, Open), tcp(HOST0, WL0, 8055, Open)]);
        agent.apply(&documents(&[local(WL1, ALLOW_ALL)]));
        world.routed(&[WL0], Routed::No);
        // Without a route, its packets would not even come from where they should.
        world.wire_workloads();
        world.expect("an unknown interface has the exceptions too", solicited(WL0));
        world.expect("and nothing else", [
            icmpv6_type(WL0, HOST0, 128).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            icmp(WL1, HOST0, Open),
        ]);
    }

    fn scenario_35_openstack_has_exceptions(owner) {
        let settings = [DROP, ("FELIX_METADATAADDR", "192.0.2.1"), ("FELIX_METADATAPORT", "8775")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two_and_deny());
        world.expect("with OpenStack", openstack(Open));
    }

    fn scenario_35_the_cluster_type_turns_them_on(owner) {
        let settings = [("FELIX_CLUSTERTYPE", "k8s,openstack,bgp"), ("FELIX_METADATAADDR", "192.0.2.1")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two_and_deny());
        world.expect("with OpenStack", openstack(Open));
    }

    fn scenario_35_without_openstack_there_are_none(owner) {
        let (world, _agent) = stage(owner, SERVICES, 2, &[DROP], &two());
        world.expect("without OpenStack", openstack(Dropped));
    }

    fn scenario_36_a_host_without_an_address_asks_for_one(owner) {
        let settings = [("FELIX_CLUSTERTYPE", "openstack")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two_and_deny());
        world.expect("before", [udp(WL0, HOST0, 67, Open).from_port(68).v4()]);
        discover(&world);
        netns_tests::stage::until("the request arrives", || {
            world.sightings(Site::Host).iter().any(|seen| {
                seen.from == Ipv4Addr::UNSPECIFIED && (seen.source, seen.port) == (68, Some(67))
            })
        });
    }

    fn scenario_36_without_openstack_it_is_in_vain(owner) {
        let (world, _agent) = stage(owner, SERVICES, 2, &[], &two());
        discover(&world);
        // A silence of its own, after which the request would have arrived.
        world.expect("the other workload", [tcp(WL1, EXT, 8055, Open), tcp(WL1, HOST0, 8055, Dropped)]);
        assert!(world.sightings(Site::Host).iter().all(|seen| seen.from != Ipv4Addr::UNSPECIFIED));
    }
}

/// Two workloads, the first of which may send nothing.
fn two_and_deny() -> Vec<String> {
    [two(), vec![deny_egress()]].concat()
}

/// What workloads of `OpenStack` may always do, beside what they may not.
fn openstack(expected: netns_tests::Outcome) -> Vec<Row> {
    vec![
        udp(WL0, HOST0, 67, expected).from_port(68).v4(),
        udp(WL0, HOST0, 547, expected).from_port(546).v6(),
        udp(WL0, HOST0, 53, expected),
        tcp(WL0, HOST0, 8775, expected).v4(),
        tcp(WL0, HOST0, 8775, Dropped).v6().lost(),
        udp(WL0, HOST0, 67, Dropped).from_port(68).v6().lost(),
        udp(WL0, HOST0, 547, Dropped).from_port(546).v4().lost(),
        udp(WL0, HOST0, 67, Dropped).lost(),
        udp(WL0, HOST0, 8055, Dropped).lost(),
        tcp(WL0, HOST0, 8055, Dropped).lost(),
        tcp(WL0, HOST0, 22, Dropped).lost(),
        icmp(WL0, HOST0, Dropped).lost(),
        tcp(HOST0, WL0, 8055, Open),
    ]
}

/// Broadcasts from the first workload, which has no address any more, as a client of DHCP does.
fn discover(world: &netns_tests::World) {
    use nix::sys::socket::{setsockopt, sockopt};
    use socket2::{Domain, Protocol, Socket, Type};
    let namespace = world.site(WL0.site);
    namespace.exec("ip", &["-4", "address", "flush", "dev", "eth0"], "");
    namespace.run(|| {
        let socket =
            Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("open a socket");
        socket.set_broadcast(true).expect("allow broadcasts");
        setsockopt(&socket, sockopt::BindToDevice, &"eth0".into()).expect("bind to the interface");
        socket
            .bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)).into())
            .expect("bind the client's port");
        socket
            .send_to(
                b"discover",
                &std::net::SocketAddr::from((Ipv4Addr::BROADCAST, 67)).into(),
            )
            .expect("broadcast");
    });
}
