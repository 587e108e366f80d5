//! What the host forwards: between its interfaces, and to and from its workloads.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, C and D.

use netns_tests::Outcome::{Dropped, Open, Reset};
use netns_tests::nat::{translate, translate_from};
use netns_tests::resources::{
    egress, eth0, forward, host_endpoint, host_endpoint_of, host_endpoint_v1, ingress, policy_for,
    policy_v1, profile, profile_v1, star, two, two_and, workload,
};
use netns_tests::server::Services;
use netns_tests::{
    Agent, EXT, EXT2, Family, Flow, HOST0, HOST1, Outcome, Owner, Place, Row, Site, W1, WL0, WL1,
    World, both_ways, icmp, stage, stray_ack, tcp, udp,
};
use std::net::{Ipv4Addr, Ipv6Addr};

const SERVICES: Services = Services {
    tcp: &[22, 80, 81, 2379, 8055, 8056],
    udp: &[53, 8055, 8056],
    protocols: &[],
};

/// The address of a service, which no interface has; the host's route to it is by `eth0`.
const SERVICE: Place = Place {
    name: "service",
    site: Site::Host,
    v4: Ipv4Addr::new(10, 96, 0, 1),
    v6: Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 1),
};

/// Selects the endpoint that has this label.
fn of(label: &str) -> String {
    format!("end == '{label}'")
}

/// A host endpoint with a label of its own.
fn labelled(name: &str, spec: &str) -> String {
    host_endpoint_of("host1", name, &format!("role: host, end: {name}"), spec)
}

fn eth1() -> String {
    labelled("eth1", "interfaceName: eth1")
}

/// A host with two workloads that forwards.
fn router(owner: Owner) -> (World, Agent) {
    stage(owner, SERVICES, 2, &[], &two())
}

const ALLOW_ONE: &str = "{action: Allow, protocol: TCP, destination: {ports: [8055]}}";

both_ways! {
    fn scenario_50_an_endpoint_of_all_interfaces_judges_the_hosts_own_traffic(owner) {
        let (world, agent) = router(owner);
        agent.apply(&two_and(&[star(), workload(W1, "name: w1", "")]));
        world.expect("no policy", [
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(EXT2, HOST1, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
            tcp(HOST0, EXT, 2379, Open),
            udp(HOST0, EXT, 53, Open),
            tcp(HOST0, W1, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Open),
            udp(WL1, WL0, 8055, Open),
            tcp(HOST0, WL0, 8055, Open),
            udp(HOST1, WL1, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, W1, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(EXT, EXT2, 8055, Open),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn scenario_52_a_denial_of_all_forwarding_leaves_the_host_its_workloads(owner) {
        let (world, agent) = router(owner);
        let deny = forward("deny", 10, "types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Deny}]");
        agent.apply(&two_and(&[star(), deny]));
        world.expect("everything else is denied", [
            tcp(HOST0, WL0, 8055, Open),
            udp(HOST1, WL1, 8055, Open),
            icmp(HOST0, WL0, Open),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL0, 22, Dropped).lost(),
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, EXT, 2379, Open),
        ]);
    }

    fn scenario_53_the_host_reaches_its_workload_by_a_service(owner) {
        let (world, agent) = router(owner);
        translate_from(&world, SERVICE, &[(80, WL1, 8055), (81, W1, 8055)]);
        let rows = |remote| [
            tcp(HOST0, SERVICE, 80, Open).lands_at(WL1.site).delivered(),
            udp(HOST0, SERVICE, 80, Open).lands_at(WL1.site).delivered(),
            tcp(HOST0, SERVICE, 81, remote).lands_at(W1.site),
            udp(HOST0, SERVICE, 81, remote).lands_at(W1.site),
            tcp(HOST0, WL1, 8055, Open),
            tcp(HOST0, W1, 8055, remote),
        ];
        world.expect("no endpoint", rows(Open));
        for endpoint in [eth0(), star(), host_endpoint_v1("eth0", "interfaceName: eth0")] {
            agent.apply(&two_and(&[endpoint]));
            world.expect("default denial", rows(Dropped));
        }
    }

    fn scenario_54_translated_traffic_of_the_host_is_judged_where_it_leaves(owner) {
        let (world, agent) = router(owner);
        // By the route to the service it leaves by eth0; translated, by eth1.
        translate_from(&world, SERVICE, &[(80, EXT2, 8055), (81, EXT2, 8056)]);
        let rows = |one, other| [
            tcp(HOST1, SERVICE, 80, one).lands_at(EXT2.site),
            udp(HOST1, SERVICE, 80, one).lands_at(EXT2.site),
            tcp(HOST1, SERVICE, 81, other).lands_at(EXT2.site),
        ];
        let deny = |end: &str| policy_for(&of(end), &format!("deny-{end}"), 10, "types: [Egress], egress: [{action: Deny}]");
        let allow = |end: &str| policy_for(
            &of(end), &format!("allow-{end}"), 10,
            "types: [Egress], egress: [{action: Allow, destination: {ports: [8055]}, protocol: TCP}, \
             {action: Allow, destination: {ports: [8055]}, protocol: UDP}]",
        );
        let eth0 = || labelled("eth0", "interfaceName: eth0");
        agent.apply(&two_and(&[eth0(), deny("eth0")]));
        world.expect("the first interface denies, and is not asked", rows(Open, Open));
        agent.apply(&two_and(&[eth0(), deny("eth0"), eth1(), allow("eth1")]));
        world.expect("the real interface allows the translated port", rows(Open, Dropped));
        world.expect("the first interface denies its own", [
            tcp(HOST0, EXT, 8055, Dropped),
            tcp(HOST1, EXT2, 8055, Open),
            tcp(HOST1, EXT2, 8056, Dropped),
        ]);
        agent.apply(&two_and(&[eth0(), allow("eth0"), eth1(), deny("eth1")]));
        world.expect("the real interface denies", rows(Dropped, Dropped).into_iter().chain([
            tcp(HOST0, EXT, 8055, Open),
        ]));
    }

    fn scenario_59_policy_of_the_host_does_not_judge_workloads(owner) {
        let (world, agent) = router(owner);
        let deny = [ingress("in", 10, "{action: Deny}"), egress("out", 10, "{action: Deny}")];
        for endpoint in [eth0(), host_endpoint_v1("eth0", "interfaceName: eth0")] {
            agent.apply(&two_and(&[vec![endpoint], deny.to_vec()].concat()));
            world.expect("by eth0", [
                tcp(EXT, WL0, 8055, Open),
                udp(W1, WL0, 8055, Open),
                tcp(WL0, EXT, 8055, Open),
                icmp(WL0, W1, Open),
                tcp(EXT, HOST0, 8055, Dropped).lost(),
                tcp(HOST0, EXT, 8055, Dropped).lost(),
            ]);
        }
    }

    fn scenario_60_a_router_in_the_new_form_forwards_all(owner) {
        let (world, agent) = router(owner);
        let rows = [
            tcp(EXT, EXT2, 8055, Open),
            udp(EXT, EXT2, 8055, Open),
            icmp(EXT, EXT2, Open),
            tcp(EXT2, EXT, 8055, Open),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
        ];
        agent.apply(&two_and(&[eth0()]));
        world.expect("no policy", rows);
        agent.apply(&two_and(&[eth0(), ingress("in", 10, "{action: Deny}"), egress("out", 10, "{action: Deny}")]));
        world.expect("policy for the host itself", rows);
    }

    fn scenario_60_a_router_in_the_old_form_judges_what_it_forwards(owner) {
        let (world, agent) = router(owner);
        let old = |spec: &str| host_endpoint_v1("eth0", &format!("interfaceName: eth0{spec}"));
        agent.apply(&two_and(&[old("")]));
        world.expect("no policy", [
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            udp(EXT, EXT2, 8055, Dropped).lost(),
            icmp(EXT, EXT2, Dropped).lost(),
            tcp(EXT2, EXT, 8055, Dropped).lost(),
            tcp(EXT, EXT2, 22, Open),
            tcp(EXT2, EXT, 22, Dropped).lost(),
            tcp(EXT2, EXT, 2379, Open),
            udp(EXT2, EXT, 53, Open),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(EXT2, HOST1, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(WL0, EXT2, 8055, Open),
        ]);
        let policy = policy_v1(
            "role == 'host'", "one", 10,
            "ingress: [{action: allow, protocol: tcp, destination: {ports: [8055]}}], \
             egress: [{action: allow, protocol: tcp, destination: {ports: [8056]}}]",
        );
        let by_policy = [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(EXT, EXT2, 22, Open),
            tcp(EXT2, EXT, 8056, Open),
            tcp(EXT2, EXT, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped).lost(),
            tcp(HOST0, EXT, 8056, Open),
            tcp(EXT, WL0, 8056, Open),
            tcp(WL0, EXT, 8055, Open),
        ];
        agent.apply(&two_and(&[old(""), policy]));
        world.expect("a policy of the old form", by_policy);
        let new = [
            ingress("in", 10, ALLOW_ONE),
            egress("out", 10, "{action: Allow, protocol: TCP, destination: {ports: [8056]}}"),
        ];
        agent.apply(&two_and(&[vec![old("")], new.to_vec()].concat()));
        world.expect("policies of the new form on an endpoint of the old one", by_policy);
        let open = profile_v1("open", "ingress: [{action: allow}], egress: [{action: allow}]");
        agent.apply(&two_and(&[old(", profiles: [open]"), open]));
        world.expect("a profile", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT2, EXT, 8055, Open),
            tcp(EXT, HOST0, 8055, Open),
        ]);
    }

    fn scenario_60_each_interface_in_the_old_form_judges_for_itself(owner) {
        let (world, agent) = router(owner);
        let old = |name: &str| host_endpoint_v1(name, &format!("interfaceName: {name}"));
        let inwards = policy_v1(
            "role == 'host'", "in", 10,
            "types: [ingress], ingress: [{action: allow, protocol: tcp, destination: {ports: [8055, 8056]}}]",
        );
        let outwards = policy_v1(
            "role == 'host'", "out", 10,
            "types: [egress], egress: [{action: allow, protocol: tcp, destination: {ports: [8055]}}]",
        );
        agent.apply(&two_and(&[old("eth0"), old("eth1"), inwards.clone(), outwards]));
        world.expect("in by one and out by the other", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(EXT, EXT2, 22, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(EXT2, EXT, 8055, Open),
            tcp(EXT2, EXT, 2379, Open),
            tcp(EXT, HOST0, 8056, Open),
        ]);
        let mut flow = Flow::open(&world, EXT, EXT2, Family::V4, 8055);
        agent.apply(&two_and(&[old("eth0"), old("eth1"), inwards]));
        flow.echo();
        world.expect("what was established goes on", [
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Open),
        ]);
    }

    fn scenario_61_ingress_policy_for_forwarding(owner) {
        let (world, agent) = router(owner);
        let one = forward("one", 10, "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]");
        agent.apply(&two_and(&[eth0(), one]));
        world.expect("one port", [
            tcp(EXT, EXT2, 80, Open),
            tcp(EXT, EXT2, 81, Dropped).lost(),
            udp(EXT, EXT2, 8055, Dropped).lost(),
            icmp(EXT, EXT2, Dropped).lost(),
            tcp(EXT2, EXT, 81, Open),
            udp(EXT2, EXT, 8055, Open),
            tcp(EXT, WL0, 80, Open),
            tcp(EXT, WL0, 81, Dropped).lost(),
            tcp(WL0, EXT, 81, Open),
            tcp(WL0, EXT2, 81, Open),
            tcp(EXT2, WL0, 81, Open),
        ]);
        world.expect("the same policy is for the host itself", [
            tcp(EXT, HOST0, 80, Open),
            tcp(EXT, HOST0, 81, Dropped).lost(),
            tcp(HOST0, EXT, 81, Dropped).lost(),
            tcp(EXT2, HOST1, 81, Open),
        ]);
    }

    fn scenario_62_egress_policy_for_forwarding_leaves_ingress_alone(owner) {
        let (world, agent) = router(owner);
        let one = forward("one", 10, &format!("types: [Egress], egress: [{ALLOW_ONE}]"));
        agent.apply(&two_and(&[eth1(), one]));
        world.expect("out by eth1", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(WL0, EXT2, 8055, Open),
            tcp(WL0, EXT2, 8056, Dropped).lost(),
            tcp(EXT2, EXT, 8055, Open),
            tcp(EXT2, EXT, 8056, Open),
            udp(EXT2, WL0, 8056, Open),
            tcp(EXT, WL0, 8056, Open),
            tcp(HOST1, EXT2, 8055, Open),
            tcp(HOST1, EXT2, 8056, Dropped).lost(),
        ]);
    }

    fn scenario_63_failsafes_are_not_for_forwarding(owner) {
        let (world, agent) = router(owner);
        let deny = forward("deny", 10, "types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Deny}]");
        agent.apply(&two_and(&[eth0(), deny]));
        world.expect("the host alone", [
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, EXT, 2379, Open),
            udp(HOST0, EXT, 53, Open),
            tcp(EXT, EXT2, 22, Dropped).lost(),
            tcp(EXT, WL0, 22, Dropped).lost(),
            tcp(EXT2, EXT, 2379, Dropped).lost(),
            udp(WL0, EXT, 53, Dropped).lost(),
            tcp(EXT2, WL0, 22, Open),
        ]);
    }

    fn scenario_64_ingress_denied_on_all_interfaces(owner) {
        let (world, agent) = router(owner);
        let deny = forward("deny", 10, "types: [Ingress], ingress: [{action: Deny}]");
        agent.apply(&two_and(&[star(), deny]));
        world.expect("everything comes in somewhere", [
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            tcp(EXT2, EXT, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(HOST0, WL0, 8055, Open),
            tcp(EXT, HOST0, 22, Open),
        ]);
    }

    fn scenario_64_egress_denied_on_all_interfaces(owner) {
        let (world, agent) = router(owner);
        let deny = forward("deny", 10, "types: [Egress], egress: [{action: Deny}]");
        agent.apply(&two_and(&[star(), deny]));
        world.expect("everything goes out somewhere", [
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            tcp(EXT2, EXT, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
            tcp(HOST0, WL0, 8055, Open),
            tcp(EXT, HOST0, 22, Open),
        ]);
        agent.apply(&two_and(&[star()]));
        world.expect("without policy", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
        ]);
    }

    fn scenario_65_one_source_alone_may_be_forwarded(owner) {
        let (world, agent) = router(owner);
        let from = "{action: Allow, source: {selector: \"name == 'w1'\"}}";
        let only = forward("only", 10, &format!("types: [Ingress, Egress], ingress: [{from}], egress: [{from}]"));
        agent.apply(&two_and(&[star(), only, workload(W1, "name: w1", "")]));
        world.expect("the remote workload", [
            tcp(W1, WL0, 8055, Open),
            udp(W1, WL1, 8055, Open),
            tcp(W1, EXT2, 8055, Open),
            tcp(WL0, W1, 8055, Dropped).lost(),
            tcp(HOST0, W1, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(W1, HOST0, 8055, Open),
        ]);
    }

    fn scenario_66_forwarding_sees_the_translated_destination(owner) {
        let (world, agent) = router(owner);
        translate(&world, &[(8080, EXT2, 80)]);
        let rule = |port: u16| forward("inside", 10, &format!(
            "types: [Ingress], ingress: [{{action: Allow, protocol: TCP, \
             destination: {{selector: \"name == 'inside'\", ports: [{port}]}}}}]"
        ));
        let inside = format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: inside, labels: {{name: inside}}}}\n\
             spec: {{nets: [\"{}/32\", \"{}/128\"]}}\n", EXT2.v4, EXT2.v6
        );
        let rows = |expected| [
            tcp(EXT, HOST0, 8080, expected).lands_at(EXT2.site),
            tcp(EXT, EXT2, 80, expected),
            tcp(EXT, EXT2, 81, Dropped),
            tcp(EXT2, EXT, 81, Open),
        ];
        agent.apply(&two_and(&[eth0(), rule(80), inside.clone()]));
        world.expect("the port inside", rows(Open));
        agent.apply(&two_and(&[eth0(), rule(8080), inside]));
        world.expect("the port outside", rows(Dropped));
    }

    fn scenario_66_in_the_old_form(owner) {
        let (world, agent) = router(owner);
        translate(&world, &[(8080, EXT2, 80)]);
        // The gateway hides the peer's address from the inside.
        world.host.nft(
            "table inet hiding {
                chain post { type nat hook postrouting priority 100; policy accept; iifname \"eth0\" oifname \"eth1\" masquerade
                }
            }",
        );
        let old = |name: &str| host_endpoint_v1(name, &format!("interfaceName: {name}"));
        let inwards = |port: u16| policy_v1(
            "role == 'host'", "in", 10,
            &format!("types: [ingress], ingress: [{{action: allow, protocol: tcp, destination: {{net: {}/32, ports: [{port}]}}}}, \
                      {{action: allow, protocol: tcp, destination: {{net: \"{}/128\", ports: [{port}]}}}}]", EXT2.v4, EXT2.v6),
        );
        let outwards = policy_v1(
            "role == 'host'", "out", 10,
            &format!("types: [egress], egress: [{{action: allow, source: {{net: {}/32}}}}, {{action: allow, source: {{net: \"{}/128\"}}}}]", EXT.v4, EXT.v6),
        );
        let rows = |expected| [
            tcp(EXT, HOST0, 8080, expected).lands_at(EXT2.site),
            tcp(EXT, EXT2, 80, expected),
            tcp(EXT, EXT2, 81, Dropped),
            tcp(W1, EXT2, 80, Dropped),
            tcp(EXT, HOST0, 80, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(EXT, WL0, 81, Open),
        ];
        agent.apply(&two_and(&[old("eth0"), old("eth1"), inwards(80), outwards.clone()]));
        world.expect("the translated destination, and the source that is not yet translated", rows(Open));
        agent.apply(&two_and(&[old("eth0"), old("eth1"), inwards(8080), outwards]));
        world.expect("the port outside", rows(Dropped));
    }

    fn translated_traffic_that_is_forwarded_is_no_matter_of_the_hosts_own_policy(owner) {
        let (world, agent) = router(owner);
        translate_from(&world, HOST1, &[(8080, EXT, 8055), (8081, W1, 8055)]);
        let rows = |between_peers| [
            tcp(EXT2, HOST1, 8080, between_peers).lands_at(EXT.site),
            udp(EXT2, HOST1, 8080, between_peers).lands_at(EXT.site),
            tcp(EXT2, HOST1, 8081, between_peers).lands_at(W1.site),
            tcp(WL0, HOST1, 8080, Open).lands_at(EXT.site).delivered(),
            udp(WL0, HOST1, 8081, Open).lands_at(W1.site).delivered(),
            tcp(HOST0, EXT, 8055, Dropped).lost(),
        ];
        agent.apply(&two_and(&[eth0()]));
        world.expect("out by an interface whose endpoint denies", rows(Open));
        agent.apply(&two_and(&[star()]));
        world.expect("all interfaces", rows(Open));
        agent.apply(&two_and(&[host_endpoint_v1("eth0", "interfaceName: eth0")]));
        world.expect("in the old form it is, but for workloads", rows(Dropped));
    }

    fn tiers_of_forwarding_end_and_pass_on(owner) {
        let (world, agent) = router(owner);
        let of = |tier: &str, name: &str, rules: &str| policy_for(
            "role == 'host'", &format!("{tier}.{name}"), 10,
            &format!("tier: {tier}, applyOnForward: true, types: [Ingress], ingress: [{rules}]"),
        );
        let tiers = || [
            netns_tests::resources::tier("first", 1, ""),
            netns_tests::resources::tier("second", 2, ""),
        ];
        let pass = "{action: Pass, protocol: TCP, destination: {ports: [8055, 8056]}}";
        agent.apply(&two_and(&[tiers().to_vec(), vec![eth0(), of("first", "p", pass), of("second", "p", ALLOW_ONE)]].concat()));
        world.expect("passed on", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(EXT, EXT2, 80, Dropped).lost(),
        ]);
        agent.apply(&two_and(&[tiers().to_vec(), vec![eth0(), of("first", "p", pass)]].concat()));
        world.expect("the last tier passes on: nothing denies what is forwarded", [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, EXT2, 80, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn a_named_endpoint_replaces_that_of_all_interfaces_for_forwarding(owner) {
        let (world, agent) = router(owner);
        let star = labelled("star", "interfaceName: \"*\"");
        let deny = policy_for(&of("star"), "deny", 10, "applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]");
        let rows = |from_ext, from_ext2: Outcome| [
            tcp(EXT, EXT2, 8055, from_ext),
            tcp(EXT2, EXT, 8055, from_ext2),
            tcp(EXT, WL0, 8055, from_ext),
            tcp(HOST0, WL0, 8055, Open),
        ];
        agent.apply(&two_and(&[star.clone(), deny.clone()]));
        world.expect("all interfaces", rows(Dropped, Dropped));
        agent.apply(&two_and(&[star, deny, labelled("eth0", "interfaceName: eth0")]));
        world.expect("eth0 has its own endpoint, without policy", rows(Open, Dropped));
    }

    fn invalid_packets_are_not_forwarded_past_policy(owner) {
        let (world, agent) = router(owner);
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        let rows = |expected| {
            // The answer is invalid too: that the request is lost shows which of the two was dropped.
            let stray = [stray_ack(EXT, EXT2, 8055, expected), stray_ack(EXT2, EXT, 8055, expected)];
            let stray = stray.map(|row| if expected == Dropped { row.lost() } else { row });
            stray.into_iter().chain([tcp(EXT, EXT2, 8055, Open), tcp(EXT2, EXT, 8055, Open)])
        };
        world.expect("no endpoint", rows(Reset));
        agent.apply(&two_and(&[eth0()]));
        world.expect("no policy for forwarding", rows(Dropped));
        let allow = forward(
            "all", 10, "types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]",
        );
        agent.apply(&two_and(&[eth0(), allow]));
        world.expect("policy allows", rows(Dropped));
        let old = [
            host_endpoint_v1("eth0", "interfaceName: eth0, profiles: [open]"),
            profile_v1("open", "ingress: [{action: allow}], egress: [{action: allow}]"),
        ];
        agent.apply(&two_and(&old));
        world.expect("in the old form", rows(Dropped));
    }

    fn profiles_are_not_for_forwarding(owner) {
        let (world, agent) = router(owner);
        let closed = profile("closed", "ingress: [{action: Deny}], egress: [{action: Deny}]");
        let endpoint = host_endpoint("eth0", "interfaceName: eth0, profiles: [closed]");
        agent.apply(&two_and(&[endpoint, closed]));
        let rows: [Row; 3] = [
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
        ];
        world.expect("the profile denies for the host itself", rows);
    }
}
