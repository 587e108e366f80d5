//! Policy that sees destinations before they are translated.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, D.

use netns_tests::Outcome::{Dropped, Open, Reset};
use netns_tests::nat::translate;
use netns_tests::resources::{
    eth0, forward, host_endpoint, host_endpoint_of, host_endpoint_v1, policy_for, pre_dnat, star,
    two, two_and,
};
use netns_tests::server::Services;
use netns_tests::{
    Agent, EXT, EXT2, Family, Flow, HOST0, HOST1, Outcome, Owner, Row, WL0, WL1, World, both_ways,
    icmp, stage, stray_ack, tcp, udp,
};

const SERVICES: Services = Services {
    tcp: &[22, 2379, 8055, 8056],
    udp: &[68, 8055],
    protocols: &[],
};

/// A host whose ports 32010 and 32011 are those of a workload.
fn gateway(owner: Owner) -> (World, Agent) {
    let (world, agent) = stage(owner, SERVICES, 2, &[], &two());
    translate(&world, &[(32010, WL1, 8055), (32011, WL1, 8055)]);
    (world, agent)
}

fn deny_all() -> String {
    pre_dnat("deny", 100, "{action: Deny}")
}

/// Allows one TCP port before translation.
fn pinhole(port: u16) -> String {
    pre_dnat(
        "pinhole",
        10,
        &format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}"),
    )
}

/// The two ports of the node, from a peer or a workload.
fn node_ports(from: netns_tests::Place, one: Outcome, other: Outcome) -> [Row; 2] {
    [
        tcp(from, HOST0, 32010, one).lands_at(WL1.site),
        tcp(from, HOST0, 32011, other).lands_at(WL1.site),
    ]
}

both_ways! {
    fn scenario_67_pinholes_are_for_the_port_before_translation(owner) {
        let (world, agent) = gateway(owner);
        world.expect("no policy", node_ports(EXT, Open, Open));
        let closed = |from_ext2| [
            tcp(EXT2, HOST1, 8055, from_ext2),
            tcp(WL0, WL1, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(HOST0, WL1, 8055, Open),
        ];
        agent.apply(&two_and(&[eth0(), deny_all()]));
        world.expect("everything is denied", node_ports(EXT, Dropped, Dropped).map(Row::lost));
        world.expect("to the workload itself", [
            tcp(EXT, WL1, 8055, Dropped).lost(),
            udp(EXT, WL1, 8055, Dropped).lost(),
            icmp(EXT, WL1, Dropped).lost(),
            tcp(EXT, EXT2, 8055, Dropped).lost(),
        ].into_iter().chain(closed(Open)));
        agent.apply(&two_and(&[eth0(), deny_all(), pinhole(32010)]));
        world.expect("one port of the node", node_ports(EXT, Open, Dropped));
        world.expect("what is behind it", [
            tcp(EXT, WL1, 8055, Dropped).lost(),
            tcp(EXT, WL1, 32010, Reset),
        ].into_iter().chain(closed(Open)));
        agent.apply(&two_and(&[eth0(), deny_all(), pinhole(8055)]));
        world.expect("the translated port", node_ports(EXT, Dropped, Dropped).map(Row::lost));
        world.expect("the port itself", [tcp(EXT, WL1, 8055, Open)].into_iter().chain(closed(Open)));
    }

    fn scenario_67_connections_outlive_the_policy(owner) {
        let (world, agent) = gateway(owner);
        let mut flow = Flow::open(&world, EXT, WL1, Family::V4, 8055);
        agent.apply(&two_and(&[eth0(), deny_all()]));
        flow.echo();
        world.expect("new ones are denied", [
            tcp(EXT, WL1, 8055, Dropped).lost(),
            tcp(EXT2, WL1, 8055, Open),
            tcp(WL1, EXT, 8055, Open),
        ]);
    }

    fn scenario_68_an_endpoint_of_one_interface_is_for_that_alone(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[eth0(), deny_all()]));
        world.expect("from a workload", node_ports(WL0, Open, Open));
        world.expect("from the peers", [
            tcp(EXT, HOST0, 32010, Dropped).lands_at(WL1.site).lost(),
            tcp(EXT2, HOST0, 32010, Open).lands_at(WL1.site),
        ]);
    }

    fn scenario_69_an_endpoint_of_all_interfaces_is_for_workloads_too(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[star(), deny_all()]));
        world.expect("from a workload", node_ports(WL0, Dropped, Dropped).map(Row::lost));
        world.expect("from everywhere else", [
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 32010, Dropped).lands_at(WL1.site).lost(),
            tcp(EXT2, EXT, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, WL1, 8055, Open),
            tcp(HOST0, HOST0, 32010, Open).lands_at(WL1.site),
        ]);
        agent.apply(&two_and(&[star(), deny_all(), pinhole(32010)]));
        world.expect("a pinhole", node_ports(WL0, Open, Dropped));
        world.expect("for all", node_ports(EXT, Open, Dropped));
    }

    fn a_named_endpoint_replaces_that_of_all_interfaces(owner) {
        let (world, agent) = gateway(owner);
        let labelled = |name: &str, spec: &str| host_endpoint_of("host1", name, &format!("end: {name}"), spec);
        let star = labelled("star", "interfaceName: \"*\"");
        let deny = deny_all().replace("role == 'host'", "end == 'star'");
        agent.apply(&two_and(&[star.clone(), deny.clone()]));
        world.expect("eth0 has none", [
            tcp(EXT, WL1, 8055, Dropped).lost(),
            tcp(EXT2, WL1, 8055, Dropped).lost(),
            tcp(HOST0, WL1, 8055, Open),
        ]);
        agent.apply(&two_and(&[star, deny, labelled("eth0", "interfaceName: eth0")]));
        world.expect("eth0 has its own", [
            tcp(EXT, WL1, 8055, Open),
            tcp(EXT2, WL1, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 32010, Open).lands_at(WL1.site),
        ]);
    }

    fn scenario_70_the_workloads_own_policy_is_asked_too(owner) {
        let (world, agent) = gateway(owner);
        let allow = pre_dnat("allow", 10, "{action: Allow}");
        let deny = |name: &str, direction: &str, lower: &str| policy_for(
            &format!("name == '{name}'"), "deny", 10,
            &format!("types: [{direction}], {lower}: [{{action: Deny}}]"),
        );
        agent.apply(&two_and(&[star(), allow.clone(), deny("wl1", "Ingress", "ingress")]));
        world.expect("ingress of the target", [
            tcp(EXT, HOST0, 32010, Dropped).lands_at(WL1.site).lost(),
            tcp(WL0, HOST0, 32010, Dropped).lands_at(WL1.site).lost(),
            tcp(EXT, WL1, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Open),
        ]);
        agent.apply(&two_and(&[star(), allow, deny("wl0", "Egress", "egress")]));
        world.expect("egress of the sender", [
            tcp(WL0, HOST0, 32010, Dropped).lands_at(WL1.site).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 32010, Open).lands_at(WL1.site),
        ]);
    }

    fn scenario_70_an_allowance_does_not_open_the_host_to_workloads(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[star(), pre_dnat("allow", 10, "{action: Allow}")]));
        world.expect("the endpoint-to-host action drops", [
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Open),
            tcp(WL0, WL1, 8055, Open),
        ]);
    }

    fn a_denial_of_all_leaves_ipv6_its_neighbours(owner) {
        let (world, agent) = gateway(owner);
        for endpoint in [eth0(), star()] {
            agent.apply(&two_and(&[endpoint, deny_all()]));
            world.forget_neighbours();
            world.expect("failsafe ports need discovery", [
                tcp(EXT, HOST0, 22, Open),
                tcp(EXT, HOST0, 8055, Dropped).lost(),
            ]);
        }
    }

    fn scenario_71_failsafes_stay_open(owner) {
        let (world, agent) = gateway(owner);
        for endpoint in [eth0(), star(), host_endpoint_v1("eth0", "interfaceName: eth0")] {
            agent.apply(&two_and(&[endpoint, deny_all()]));
            world.expect("under a denial of all", [
                tcp(EXT, HOST0, 22, Open),
                udp(EXT, HOST0, 68, Open),
                tcp(HOST0, EXT, 2379, Open),
                tcp(EXT, HOST0, 8055, Dropped).lost(),
                tcp(EXT, HOST0, 8056, Dropped).lost(),
                icmp(EXT, HOST0, Dropped).lost(),
            ]);
        }
    }

    fn scenario_71_failsafes_pass_this_policy_and_no_other(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[star(), deny_all()]));
        world.expect("forwarded or not", [
            tcp(WL0, WL1, 22, Open),
            tcp(EXT, WL1, 22, Open),
            tcp(EXT, EXT2, 22, Open),
            tcp(EXT, WL1, 8055, Dropped).lost(),
        ]);
        let deny = forward("deny-in", 10, "types: [Ingress], ingress: [{action: Deny}]");
        agent.apply(&two_and(&[star(), deny_all(), deny]));
        world.expect("that of forwarding knows none", [
            tcp(WL0, WL1, 22, Dropped).lost(),
            tcp(EXT, WL1, 22, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
        ]);
        let none = policy_for("name == 'wl1'", "none", 10, "types: [Ingress]");
        agent.apply(&two_and(&[star(), deny_all(), none]));
        world.expect("nor does a workload's", [
            tcp(EXT, WL1, 22, Dropped).lost(),
            tcp(EXT, WL0, 22, Open),
        ]);
    }

    fn scenario_72_an_allowance_skips_the_hosts_ingress_policy(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[eth0(), pinhole(8055)]));
        world.expect("an endpoint that denies all else", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped).lost(),
            udp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8056, Open),
        ]);
        let deny_in = forward("deny-in", 10, "types: [Ingress], ingress: [{action: Deny}]");
        agent.apply(&two_and(&[eth0(), pinhole(8055), deny_in]));
        world.expect("and forwarding's, at ingress", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(EXT, HOST0, 8056, Dropped).lost(),
        ]);
        let eth1 = host_endpoint("eth1", "interfaceName: eth1");
        let deny_out = forward("deny-out", 10, "types: [Egress], egress: [{action: Deny}]");
        agent.apply(&two_and(&[eth0(), eth1, pinhole(8055), deny_out]));
        world.expect("but not at egress", [
            tcp(EXT, WL0, 8055, Open),
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Open),
        ]);
    }

    fn what_no_rule_decides_is_left_to_later_hooks(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[eth0(), pinhole(32011)]));
        world.expect("nothing denies at the end", node_ports(EXT, Open, Open));
        world.expect("nor by profiles", [
            tcp(EXT, WL0, 8055, Open),
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn invalid_packets_are_denied_before_policy(owner) {
        let (world, agent) = gateway(owner);
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        agent.apply(&two_and(&[eth0(), pre_dnat("allow", 10, "{action: Allow}")]));
        world.expect("an acknowledgement of nothing", [
            stray_ack(EXT, HOST0, 8055, Dropped).lost(),
            stray_ack(EXT, EXT2, 8055, Dropped).lost(),
            stray_ack(EXT2, HOST1, 8055, Reset),
            tcp(EXT, HOST0, 8055, Open),
        ]);
    }

    fn in_the_old_form_an_allowance_skips_ingress_of_what_is_forwarded(owner) {
        let (world, agent) = gateway(owner);
        agent.apply(&two_and(&[host_endpoint_v1("eth0", "interfaceName: eth0"), pinhole(8055)]));
        world.expect("the one port", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, WL0, 8056, Open),
            tcp(EXT2, EXT, 8055, Dropped).lost(),
        ]);
    }
}
