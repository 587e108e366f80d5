//! Untracked policy: without state, ahead of everything else.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, D and F.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::resources::{
    documents, egress, eth0, forward, host_endpoint_of, host_endpoint_v1, ingress, policy_for,
    policy_v1, pre_dnat, star, two, two_and, untracked,
};
use netns_tests::server::Services;
use netns_tests::{
    Agent, EXT, EXT2, HOST0, HOST1, Outcome, Owner, Row, WL0, WL1, World, both_ways, icmp,
    ip_protocol, stage, tcp, udp,
};

const SERVICES: Services = Services {
    tcp: &[22, 999, 2379, 8055, 8056],
    udp: &[53, 999, 8055, 8056],
    protocols: &[253],
};

fn start(owner: Owner) -> (World, Agent) {
    stage(owner, SERVICES, 2, &[], &two())
}

/// The endpoints that a policy of one interface can be of: by name in both forms, and of all interfaces.
fn endpoints() -> [String; 3] {
    [
        eth0(),
        host_endpoint_v1("eth0", "interfaceName: eth0"),
        star(),
    ]
}

const BOTH: &str =
    "types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]";

/// Everything in and out of `eth0`.
fn everything(expected: Outcome) -> [Row; 8] {
    [
        tcp(EXT, HOST0, 8055, expected),
        udp(EXT, HOST0, 8055, expected),
        icmp(EXT, HOST0, expected),
        ip_protocol(EXT, HOST0, 253, expected),
        tcp(HOST0, EXT, 8055, expected),
        udp(HOST0, EXT, 8055, expected),
        icmp(HOST0, EXT, expected),
        ip_protocol(HOST0, EXT, 253, expected),
    ]
}

/// The failsafe ports, which are tracked whatever untracked policy says.
fn failsafes() -> [Row; 3] {
    [
        tcp(EXT, HOST0, 22, Open).tracked(),
        tcp(HOST0, EXT, 2379, Open).tracked(),
        udp(HOST0, EXT, 53, Open).tracked(),
    ]
}

both_ways! {
    fn scenario_73_both_directions_allowed_leave_no_trace(owner) {
        let (world, agent) = start(owner);
        world.expect("no policy", everything(Open).map(Row::tracked));
        for endpoint in endpoints() {
            agent.apply(&two_and(&[endpoint, untracked("all", 10, BOTH)]));
            world.forget_flows();
            world.expect("untracked", everything(Open).map(Row::untracked));
            world.expect("failsafes", failsafes());
            world.expect("workloads", [
                tcp(WL0, WL1, 8055, Open).tracked(),
                tcp(HOST0, WL0, 8055, Open).tracked(),
            ]);
        }
    }

    fn scenario_73_in_the_old_form(owner) {
        let (world, agent) = start(owner);
        let policy = policy_v1(
            "role == 'host'", "all", 10,
            "doNotTrack: true, ingress: [{action: allow}], egress: [{action: allow}]",
        );
        agent.apply(&two_and(&[host_endpoint_v1("eth0", "interfaceName: eth0"), policy]));
        world.expect("untracked", everything(Open).map(Row::untracked));
        world.expect("failsafes", failsafes());
    }

    fn scenario_73_at_both_ends(owner) {
        let (world, agent) = stage(owner, SERVICES, 0, &[], &[]);
        let peer = Agent::with(&world.ext, owner, &[("FELIX_FELIXHOSTNAME", "host2")]);
        let all = documents(&[
            eth0(),
            host_endpoint_of("host2", "peer", "role: host", "interfaceName: eth0"),
            untracked("all", 10, BOTH),
        ]);
        agent.apply(&all);
        peer.apply(&all);
        world.expect("untracked", everything(Open).map(Row::untracked));
    }

    fn scenario_74_one_direction_alone_gives_no_connection(owner) {
        let (world, agent) = start(owner);
        for endpoint in endpoints() {
            let only = |name: &str, spec: &str| two_and(&[endpoint.clone(), untracked(name, 10, spec)]);
            agent.apply(&only("in", "types: [Ingress], ingress: [{action: Allow}]"));
            world.forget_flows();
            world.expect("in alone", [
                tcp(EXT, HOST0, 8055, Dropped).delivered(),
                udp(EXT, HOST0, 8055, Dropped).delivered(),
                icmp(EXT, HOST0, Dropped).delivered(),
                tcp(HOST0, EXT, 8055, Dropped).lost(),
                udp(HOST0, EXT, 8055, Dropped).lost(),
                tcp(WL0, WL1, 8055, Open),
            ]);
            world.expect("failsafes", failsafes());
            agent.apply(&only("out", "types: [Egress], egress: [{action: Allow}]"));
            world.forget_flows();
            world.expect("out alone", [
                tcp(EXT, HOST0, 8055, Dropped).lost(),
                udp(EXT, HOST0, 8055, Dropped).lost(),
                tcp(HOST0, EXT, 8055, Dropped).delivered(),
                udp(HOST0, EXT, 8055, Dropped).delivered(),
                icmp(HOST0, EXT, Dropped).delivered(),
                tcp(WL0, WL1, 8055, Open),
            ]);
            world.expect("failsafes", failsafes());
        }
    }

    fn scenario_75_a_denial_spares_failsafes(owner) {
        let (world, agent) = start(owner);
        for endpoint in endpoints() {
            agent.apply(&two_and(&[endpoint, untracked("deny", 10, "types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Allow}]")]));
            world.forget_flows();
            world.expect("ingress is denied", [
                tcp(EXT, HOST0, 8055, Dropped).lost(),
                udp(EXT, HOST0, 8055, Dropped).lost(),
                icmp(EXT, HOST0, Dropped).lost(),
                tcp(HOST0, EXT, 8055, Dropped).delivered(),
                udp(HOST0, EXT, 8055, Dropped).delivered(),
                tcp(EXT, WL0, 8055, Dropped).lost(),
                tcp(WL0, WL1, 8055, Open),
            ]);
            world.expect("failsafes", failsafes());
        }
    }

    fn scenario_75_a_denial_at_egress_spares_failsafes(owner) {
        let (world, agent) = start(owner);
        agent.apply(&two_and(&[eth0(), untracked("deny", 10, "types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Deny}]")]));
        world.expect("egress is denied", [
            tcp(EXT, HOST0, 8055, Dropped).delivered(),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
            udp(HOST0, EXT, 8055, Dropped).lost(),
            tcp(HOST1, EXT2, 8055, Open),
        ]);
        world.expect("failsafes", failsafes());
    }

    fn scenario_76_one_port_without_normal_policy(owner) {
        let (world, agent) = start(owner);
        let port = |protocol: &str, end: &str| format!("{{action: Allow, protocol: {protocol}, {end}: {{ports: [999]}}}}");
        let spec = format!(
            "types: [Ingress, Egress], ingress: [{}, {}], egress: [{}, {}]",
            port("TCP", "destination"), port("UDP", "destination"), port("TCP", "source"), port("UDP", "source"),
        );
        for endpoint in endpoints() {
            agent.apply(&two_and(&[endpoint, untracked("one", 10, &spec)]));
            world.expect("the port alone", [
                tcp(EXT, HOST0, 999, Open).untracked(),
                udp(EXT, HOST0, 999, Open).untracked(),
                tcp(EXT, HOST0, 8055, Dropped).lost(),
                udp(EXT, HOST0, 8055, Dropped).lost(),
                tcp(HOST0, EXT, 999, Dropped).lost(),
                tcp(HOST0, EXT, 8055, Dropped).lost(),
            ]);
            world.expect("failsafes", failsafes());
        }
    }

    fn scenario_77_what_does_not_match_is_left_to_normal_policy(owner) {
        let (world, agent) = start(owner);
        let one = "{action: Allow, protocol: TCP, destination: {ports: [999]}}";
        let back = "{action: Allow, protocol: TCP, source: {ports: [999]}}";
        let spec = format!("types: [Ingress, Egress], ingress: [{one}], egress: [{back}]");
        agent.apply(&two_and(&[
            eth0(),
            untracked("one", 10, &spec),
            ingress("in", 10, "{action: Allow, protocol: TCP, destination: {ports: [8055]}}"),
            egress("out", 10, "{action: Allow, protocol: UDP, destination: {ports: [8055]}}"),
        ]));
        world.expect("each by its own policy", [
            tcp(EXT, HOST0, 999, Open).untracked(),
            tcp(EXT, HOST0, 8055, Open).tracked(),
            tcp(EXT, HOST0, 8056, Dropped).lost(),
            udp(EXT, HOST0, 8055, Dropped).lost(),
            udp(HOST0, EXT, 8055, Open).tracked(),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
        ]);
    }

    fn scenario_78_a_workloads_policy_is_asked_of_untracked_packets(owner) {
        let (world, agent) = start(owner);
        let in_one = policy_for(
            "name == 'wl0'", "one", 10,
            "types: [Ingress], ingress: [{action: Allow, destination: {ports: [8055]}, protocol: UDP}, \
             {action: Allow, destination: {ports: [8055]}, protocol: TCP}]",
        );
        agent.apply(&two_and(&[eth0(), untracked("all", 10, BOTH), in_one]));
        world.expect("by eth0", [
            udp(EXT, WL0, 8055, Open),
            udp(EXT, WL0, 8056, Dropped).lost(),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            icmp(EXT, WL0, Dropped).lost(),
            udp(EXT, WL1, 8056, Open),
            tcp(EXT2, WL0, 8055, Open),
            tcp(WL0, WL1, 8055, Open),
        ]);
        world.expect("the answer of an untracked connection is tracked, and invalid", [
            tcp(EXT, WL0, 8055, Dropped).delivered().untracked(),
            tcp(EXT2, WL0, 8055, Open).tracked(),
        ]);
    }

    fn untracked_packets_skip_ingress_policy_for_forwarding_and_no_other(owner) {
        let (world, agent) = start(owner);
        let eth1 = host_endpoint_of("host1", "eth1", "end: eth1", "interfaceName: eth1");
        let deny_in = forward("deny-in", 10, "types: [Ingress], ingress: [{action: Deny}]");
        agent.apply(&two_and(&[eth0(), eth1.clone(), untracked("all", 10, BOTH), deny_in]));
        world.expect("ingress is skipped", [
            udp(EXT, EXT2, 8055, Open),
            udp(EXT, WL0, 8055, Open),
            udp(EXT, HOST0, 8055, Open).untracked(),
        ]);
        let deny_out = policy_for(
            "end == 'eth1'", "deny-out", 10, "applyOnForward: true, types: [Egress], egress: [{action: Deny}]",
        );
        agent.apply(&two_and(&[eth0(), eth1, untracked("all", 10, BOTH), deny_out]));
        world.expect("egress is not", [
            udp(EXT, EXT2, 8055, Dropped).lost(),
            udp(EXT, WL0, 8055, Open),
        ]);
    }

    fn untracked_packets_skip_policy_before_translation(owner) {
        let (world, agent) = start(owner);
        let deny = pre_dnat("deny", 20, "{action: Deny}");
        for endpoint in endpoints() {
            agent.apply(&two_and(&[endpoint.clone(), deny.clone()]));
            world.forget_flows();
            world.expect("without", [
                tcp(EXT, HOST0, 8055, Dropped).lost(),
                udp(EXT, WL0, 8055, Dropped).lost(),
                tcp(EXT, HOST0, 22, Open),
            ]);
            // The answer of a workload is tracked as a request of its own, and asked where `*` is for workloads too.
            let answered = if endpoint.contains('*') { Dropped } else { Open };
            agent.apply(&two_and(&[endpoint, deny.clone(), untracked("all", 10, BOTH)]));
            world.forget_flows();
            world.expect("with", [
                tcp(EXT, HOST0, 8055, Open).untracked(),
                udp(EXT, HOST0, 8055, Open).untracked(),
                icmp(EXT, HOST0, Open).untracked(),
                udp(EXT, WL0, 8055, answered).delivered(),
                tcp(EXT, HOST0, 22, Open).tracked(),
            ]);
        }
    }

    fn scenario_79_all_interfaces_without_an_endpoint_of_their_own(owner) {
        let (world, agent) = start(owner);
        let star = host_endpoint_of("host1", "star", "end: star", "interfaceName: \"*\"");
        let own = host_endpoint_of(
            "host1", "eth1", "end: eth1", "interfaceName: eth1, profiles: [projectcalico-default-allow]",
        );
        let deny = "{action: Deny, protocol: TCP, destination: {ports: [8056]}}, {action: Allow}";
        let policy = policy_for(
            "end == 'star'", "some", 10,
            &format!("doNotTrack: true, applyOnForward: true, types: [Ingress, Egress], ingress: [{deny}], egress: [{deny}]"),
        );
        agent.apply(&two_and(&[star, own, policy]));
        world.expect("eth0 has none", [
            tcp(EXT, HOST0, 8055, Open).untracked(),
            tcp(EXT, HOST0, 8056, Dropped).lost(),
            tcp(HOST0, EXT, 8055, Open).untracked(),
            tcp(HOST0, EXT, 8056, Dropped).lost(),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open).tracked(),
        ]);
        world.expect("eth1 has one", [
            tcp(EXT2, HOST1, 8056, Open).tracked(),
            tcp(HOST1, EXT2, 8056, Open).tracked(),
            tcp(EXT2, WL0, 8056, Open).tracked(),
        ]);
        world.expect("workloads are excepted, in both directions", [
            tcp(WL0, WL1, 8056, Open).tracked(),
            tcp(WL0, WL1, 8055, Open).tracked(),
            tcp(HOST0, WL0, 8056, Open).tracked(),
            udp(HOST0, WL1, 8055, Open).tracked(),
            tcp(WL0, EXT2, 8056, Open).tracked(),
        ]);
    }

    fn scenario_109_an_answer_is_not_let_through_by_normal_policy(owner) {
        let (world, agent) = start(owner);
        for endpoint in endpoints() {
            agent.apply(&two_and(&[
                endpoint,
                untracked("in", 10, "types: [Ingress], ingress: [{action: Allow}]"),
                egress("out", 10, "{action: Allow}"),
            ]));
            world.forget_flows();
            world.expect("the answer to an untracked request is invalid", [
                tcp(EXT, HOST0, 8055, Dropped).delivered().untracked(),
                udp(EXT, HOST0, 8055, Open),
                tcp(EXT, HOST0, 22, Open).tracked(),
                tcp(HOST0, WL0, 8055, Open).tracked(),
            ]);
        }
    }

    fn neighbours_are_found_whatever_policy_denies(owner) {
        let (world, agent) = start(owner);
        let deny = "types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Deny}]";
        agent.apply(&two_and(&[eth0(), untracked("all", 10, deny), ingress("in", 10, "{action: Allow}")]));
        world.forget_neighbours();
        world.expect("failsafe ports need discovery", [
            tcp(EXT, HOST0, 22, Open),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(HOST0, EXT, 2379, Open),
        ]);
    }
}
