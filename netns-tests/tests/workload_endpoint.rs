//! Workload endpoints: what policy, tiers and profiles let in and out of the host's own workloads.
//!
//! The numbers are those of the scenarios in the dataplane contract, section 7, A.

use netns_tests::Outcome::{Dropped, Open, Reset};
use netns_tests::resources::{
    ALLOW_ALL, documents, host_endpoint, local, local_v1, policy_for, policy_v1, profile,
    profile_v1, tier, workload_policy,
};
use netns_tests::server::Services;
use netns_tests::{
    Agent, EXT, Family, Flow, HOST0, Outcome, Owner, Row, W1, WL0, WL1, WL2, World, both_ways,
    icmp, ip_protocol, stage, stray_ack, tcp, udp, witness,
};

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056],
    udp: &[8055, 8056],
    protocols: &[253],
};

/// Selects the workload of that name alone.
const W0: &str = "name == 'wl0'";

/// The three workloads with the profile that allows everything.
fn three() -> Vec<String> {
    [WL0, WL1, WL2].map(|place| local(place, ALLOW_ALL)).into()
}

/// The workloads of [`three`], and these.
fn three_and(more: &[String]) -> String {
    documents(&[three(), more.to_vec()].concat())
}

fn start(owner: Owner) -> (World, Agent) {
    stage(owner, SERVICES, 3, &[], &three())
}

/// A policy for the first workload.
fn for_w0(name: &str, order: u32, spec: &str) -> String {
    policy_for(W0, name, order, spec)
}

/// A policy of a tier for the first workload.
fn in_tier(tier: &str, name: &str, spec: &str) -> String {
    for_w0(
        &format!("{tier}.{name}"),
        10,
        &format!("tier: {tier}, {spec}"),
    )
}

fn every_kind(from: netns_tests::Place, to: netns_tests::Place, expected: Outcome) -> [Row; 4] {
    [
        tcp(from, to, 8055, expected),
        udp(from, to, 8055, expected),
        icmp(from, to, expected),
        ip_protocol(from, to, 253, expected),
    ]
}

both_ways! {
    fn scenario_1_a_profile_that_allows_opens_the_workload(owner) {
        let (world, _agent) = start(owner);
        world.expect("between workloads", every_kind(WL1, WL0, Open));
        world.expect("from outside", every_kind(EXT, WL0, Open));
        world.expect("from another host's workload", every_kind(W1, WL0, Open));
        world.expect("outwards", every_kind(WL0, EXT, Open));
        world.expect("from the host", every_kind(HOST0, WL0, Open));
        world.expect("a closed port is the workload's own matter", [
            tcp(EXT, WL0, 4444, Reset),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn scenario_1_in_the_old_form(owner) {
        let allow = profile_v1("open", "ingress: [{action: allow}], egress: [{action: allow}]");
        let resources = [
            local_v1(WL0, "profiles: [open]"),
            local_v1(WL1, "profiles: [open]"),
            allow,
        ];
        let (world, agent) = stage(owner, SERVICES, 2, &[], &resources);
        world.expect("a profile of the old form", [
            tcp(WL1, WL0, 8055, Open),
            tcp(WL0, WL1, 8055, Open),
            tcp(EXT, WL0, 8056, Open),
        ]);
        let policy = policy_v1(
            W0, "in", 10,
            "ingress: [{action: allow, protocol: tcp, destination: {ports: [8055]}}]",
        );
        agent.apply(&documents(&[resources.to_vec(), vec![policy]].concat()));
        world.expect("a policy of the old form governs both directions", [
            tcp(WL1, WL0, 8055, Open),
            tcp(WL1, WL0, 8056, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(EXT, WL1, 8055, Open),
        ]);
    }

    fn scenario_2_without_profile_and_policy_all_is_denied(owner) {
        let resources = [local(WL0, ""), local(WL1, ALLOW_ALL)];
        let (world, _agent) = stage(owner, SERVICES, 2, &[], &resources);
        world.expect("nothing is said of it", [
            tcp(WL1, WL0, 8055, Dropped).lost(),
            udp(WL1, WL0, 8055, Dropped).lost(),
            icmp(WL1, WL0, Dropped).lost(),
            ip_protocol(EXT, WL0, 253, Dropped).lost(),
            tcp(EXT, WL0, 22, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            udp(WL0, EXT, 8055, Dropped).lost(),
            icmp(WL0, EXT, Dropped).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(WL1, EXT, 8055, Open),
            tcp(EXT, WL1, 8055, Open),
            tcp(HOST0, WL0, 8055, Open),
        ]);
    }

    fn scenario_3_a_profile_that_is_missing_denies(owner) {
        let resources = [local(WL0, "profiles: [absent, projectcalico-default-allow]"), local(WL1, ALLOW_ALL)];
        let (world, agent) = stage(owner, SERVICES, 2, &[], &resources);
        world.expect("the profile is not there", [
            tcp(WL1, WL0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL1, 8055, Open),
        ]);
        let present = profile("absent", "ingress: [{action: Allow}], egress: [{action: Allow}]");
        agent.apply(&documents(&[resources.to_vec(), vec![present]].concat()));
        world.expect("it came", [
            tcp(WL1, WL0, 8055, Open),
            tcp(WL0, WL1, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
        ]);
    }

    fn scenario_4_and_5_an_unknown_workload_interface_is_dropped(owner) {
        let world = World::serving(SERVICES).with_workloads(2).watching();
        world.wire_workloads();
        world.expect("without a daemon", [
            tcp(WL0, EXT, 8055, Open),
            tcp(WL0, HOST0, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
        ]);
        let mut agent = Agent::with(&world.host, owner, &[
            ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT"),
            ("FELIX_REMOVEEXTERNALROUTES", "false"),
        ]);
        agent.apply(&local(WL1, ALLOW_ALL));
        let unknown = [
            tcp(WL0, EXT, 8055, Dropped).lost(),
            udp(WL0, EXT, 8055, Dropped).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL1, WL0, 8055, Dropped).lost(),
            tcp(HOST0, WL0, 8055, Dropped).delivered(),
            tcp(WL1, EXT, 8055, Open),
            tcp(WL1, HOST0, 8055, Open),
        ];
        world.expect("nothing is known of the first", unknown);
        agent.kill();
        world.expect("nobody is there any more", unknown);
        world.host.ip("link set cali0 down\nlink set cali0 name cali9\nlink set cali9 up\n");
        world.host.ip(&format!(
            "route replace {}/32 dev cali9 proto static\nroute replace {}/128 dev cali9 proto static\n",
            WL0.v4, WL0.v6
        ));
        world.host.sysctl("net/ipv4/conf/cali9/proxy_arp", "1");
        // The link needs a moment until it carries.
        world.eventually("an interface that came after the daemon's end", unknown);
    }

    fn scenario_6_ingress_policy_leaves_egress_to_the_profile(owner) {
        let (world, agent) = start(owner);
        agent.apply(&three_and(&[for_w0(
            "from-w1", 10,
            "types: [Ingress], ingress: [{action: Allow, source: {selector: \"name == 'wl1'\"}}]",
        )]));
        world.expect("from one alone", [
            tcp(WL1, WL0, 8055, Open),
            udp(WL1, WL0, 8055, Open),
            tcp(WL2, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL0, 22, Dropped).lost(),
            tcp(WL0, WL1, 8055, Open),
            tcp(WL0, WL2, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(EXT, WL1, 8055, Open),
        ]);
    }

    fn scenario_7_egress_policy_leaves_ingress_to_the_profile(owner) {
        let (world, agent) = start(owner);
        agent.apply(&three_and(&[for_w0(
            "to-w1", 10,
            "types: [Egress], egress: [{action: Allow, destination: {selector: \"name == 'wl1'\"}}]",
        )]));
        world.expect("to one alone", [
            tcp(WL0, WL1, 8055, Open),
            tcp(WL0, WL2, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(WL2, WL0, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(WL1, EXT, 8055, Open),
        ]);
    }

    fn scenario_8_and_9_a_direction_without_rules_is_denied(owner) {
        let (world, agent) = start(owner);
        agent.apply(&three_and(&[for_w0(
            "both", 10, "types: [Ingress, Egress], ingress: [{action: Allow}]",
        )]));
        world.expect("egress has no rules", [
            tcp(WL1, WL0, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            icmp(WL0, EXT, Dropped).lost(),
        ]);
        agent.apply(&three_and(&[for_w0("none", 10, "types: [Ingress]")]));
        world.expect("ingress has no rules, egress no policy", [
            tcp(WL1, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            icmp(EXT, WL0, Dropped).lost(),
            tcp(WL0, WL1, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
        ]);
    }

    fn scenario_10_and_11_policies_decide_by_order_then_by_name(owner) {
        let (world, agent) = start(owner);
        let two = |deny: (&str, u32), allow: (&str, u32)| {
            three_and(&[
                for_w0(deny.0, deny.1, "types: [Ingress], ingress: [{action: Deny}]"),
                for_w0(allow.0, allow.1, "types: [Ingress], ingress: [{action: Allow}]"),
            ])
        };
        let rows = |expected| [
            tcp(WL1, WL0, 8055, expected),
            tcp(EXT, WL0, 8055, expected),
            tcp(WL0, WL1, 8055, Open),
        ];
        agent.apply(&two(("x", 10), ("y", 20)));
        world.expect("the denial first", rows(Dropped));
        agent.apply(&two(("x", 20), ("y", 10)));
        world.expect("the allowance first", rows(Open));
        agent.apply(&two(("a", 10), ("b", 10)));
        world.expect("the denial has the smaller name", rows(Dropped));
        agent.apply(&two(("b", 10), ("a", 10)));
        world.expect("the allowance has the smaller name", rows(Open));
    }

    fn scenario_12_a_denial_counts_wherever_it_stands(owner) {
        let (world, agent) = start(owner);
        let selectors = ["role == 'workload'", "has(name)", W0];
        let from = |name: &str, action: &str| format!(
            "types: [Ingress], ingress: [{{action: {action}, source: {{selector: \"name == '{name}'\"}}}}]"
        );
        for place in 0..3 {
            for turn in 0..3 {
                let policy = |number: usize| {
                    let selector = selectors[(number + turn) % 3];
                    let spec = if number == place { from("wl1", "Deny") } else { from("wl2", "Allow") };
                    policy_for(selector, &format!("p{number}"), 10 + u32::try_from(number).unwrap(), &spec)
                };
                agent.apply(&three_and(&[
                    policy(0), policy(1), policy(2),
                    workload_policy("rest", 100, "types: [Ingress], ingress: [{action: Allow}]"),
                ]));
                world.expect(&format!("the denial at {place}, selectors turned by {turn}"), [
                    tcp(WL1, WL0, 8055, Dropped),
                    tcp(WL2, WL0, 8055, Open),
                    tcp(EXT, WL0, 8055, Open),
                ]);
            }
        }
    }

    fn scenario_13_and_14_tiers_pass_on_or_end(owner) {
        let (world, agent) = start(owner);
        let rows = |expected| [
            tcp(WL1, WL0, 8055, expected),
            tcp(EXT, WL0, 8055, expected),
            tcp(EXT, WL1, 8055, Open),
        ];
        let pass = "types: [Ingress], ingress: [{action: Pass}]";
        let other = "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [1]}}]";
        let allow = "types: [Ingress], ingress: [{action: Allow}]";
        let deny = "types: [Ingress], ingress: [{action: Deny}]";
        let two = |action: &str, first: &str, second: &str| three_and(&[
            tier("first", 1, action),
            tier("second", 2, ""),
            in_tier("first", "p", first),
            in_tier("second", "p", second),
        ]);
        agent.apply(&two("", pass, allow));
        world.expect("passed on to a tier that allows", rows(Open));
        agent.apply(&two("", pass, deny));
        world.expect("passed on to a tier that denies", rows(Dropped));
        agent.apply(&two("", other, allow));
        world.expect("the first tier ends", rows(Dropped));
        agent.apply(&two(", defaultAction: Pass", other, deny));
        world.expect("the first tier passes on at its end", rows(Dropped));
        agent.apply(&three_and(&[
            tier("first", 1, ", defaultAction: Pass"),
            in_tier("first", "p", other),
        ]));
        world.expect("scenario 14: the profile decides", rows(Open));
    }

    fn scenario_15_staged_policies_do_not_deny(owner) {
        let (world, agent) = start(owner);
        let staged = in_tier("first", "p", "types: [Ingress], ingress: [{action: Deny}]")
            .replace("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy");
        agent.apply(&three_and(&[tier("first", 1, ""), staged.clone()]));
        world.expect("a tier of staged policies", [tcp(EXT, WL0, 8055, Open), tcp(WL1, WL0, 8055, Open)]);
        let other = "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [8056]}}]";
        agent.apply(&three_and(&[tier("first", 1, ""), staged, in_tier("first", "q", other)]));
        world.expect("another policy ends the tier", [
            tcp(EXT, WL0, 8056, Open),
            tcp(EXT, WL0, 8055, Dropped),
        ]);
    }

    fn scenario_16_a_pass_in_the_last_tier_leaves_it_to_profiles(owner) {
        let pass = for_w0("pass", 10, "types: [Ingress], ingress: [{action: Pass}]");
        let one = profile(
            "one",
            "ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}], egress: [{action: Allow}]",
        );
        let resources = [local(WL0, "profiles: [one]"), local(WL1, ALLOW_ALL), pass, one];
        let (world, _agent) = stage(owner, SERVICES, 2, &[], &resources);
        world.expect("the profile's one port", [
            tcp(EXT, WL0, 8055, Open),
            tcp(WL1, WL0, 8055, Open),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            udp(EXT, WL0, 8055, Dropped).lost(),
        ]);
    }

    fn scenario_17_a_log_goes_on_to_the_next_rule(owner) {
        let (world, agent) = start(owner);
        agent.apply(&three_and(&[for_w0(
            "log", 10,
            "types: [Ingress], ingress: [{action: Log}, {action: Allow, protocol: TCP, destination: {ports: [8055]}}]",
        )]));
        world.expect("a log decides nothing", [
            tcp(EXT, WL0, 8055, Open),
            tcp(WL1, WL0, 8055, Open),
            tcp(EXT, WL0, 8056, Dropped).lost(),
        ]);
        let logs = witness::statements(&world.host, "log");
        assert!(!logs.is_empty());
        assert!(logs.iter().all(|log| log["prefix"] == "calico-packet: "), "{logs:?}");
    }

    fn scenario_18_both_ends_are_asked(owner) {
        let (world, agent) = start(owner);
        let ends = |out: &str, into: &str| three_and(&[
            policy_for(W0, "out", 10, &format!("types: [Egress], egress: [{{action: {out}}}]")),
            policy_for("name == 'wl1'", "in", 10, &format!("types: [Ingress], ingress: [{{action: {into}}}]")),
        ]);
        let rows = |between, out, into| [
            tcp(WL0, WL1, 8055, between),
            udp(WL0, WL1, 8055, between),
            tcp(WL0, WL2, 8055, out),
            tcp(WL2, WL1, 8055, into),
            tcp(WL2, WL0, 8055, Open),
        ];
        agent.apply(&ends("Allow", "Deny"));
        world.expect("ingress denies", rows(Dropped, Open, Dropped));
        agent.apply(&ends("Deny", "Allow"));
        world.expect("egress denies", rows(Dropped, Dropped, Open));
        agent.apply(&ends("Allow", "Allow"));
        world.expect("both allow", rows(Open, Open, Open));
    }

    fn scenario_19_the_second_profile_may_allow(owner) {
        let nothing = profile("nothing", "ingress: [], egress: []");
        let some = profile(
            "some",
            "ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}], egress: [{action: Allow}]",
        );
        let resources = [local(WL0, "profiles: [nothing, some]"), local(WL1, ALLOW_ALL), nothing, some];
        let (world, _agent) = stage(owner, SERVICES, 2, &[], &resources);
        world.expect("the second profile decides", [
            tcp(EXT, WL0, 8055, Open),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            tcp(WL0, WL1, 8056, Open),
        ]);
    }

    fn scenario_21_replies_need_no_rule(owner) {
        let (world, agent) = start(owner);
        agent.apply(&three_and(&[
            for_w0("in", 10, "types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Deny}]"),
        ]));
        world.expect("replies pass", [
            tcp(EXT, WL0, 8055, Open),
            udp(WL1, WL0, 8055, Open),
            icmp(EXT, WL0, Open),
            tcp(EXT, WL0, 4444, Reset),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            udp(WL0, WL1, 8055, Dropped).lost(),
        ]);
        let mut flow = Flow::open(&world, EXT, WL0, Family::V6, 8055);
        agent.apply(&three_and(&[for_w0("in", 10, "types: [Ingress, Egress]")]));
        flow.echo();
        world.expect("new connections do not", [tcp(EXT, WL0, 8055, Dropped), tcp(EXT, WL1, 8055, Open)]);
    }

    fn scenario_22_invalid_packets_are_dropped(owner) {
        let (world, _agent) = start(owner);
        // Otherwise conntrack takes a segment in midstream for an established connection.
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        world.expect("an acknowledgement of nothing", [
            stray_ack(EXT, WL0, 8055, Dropped).lost(),
            stray_ack(WL0, EXT, 8055, Dropped).lost(),
            stray_ack(WL1, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Open),
        ]);
    }

    fn scenario_22_invalid_packets_reach_policy_on_demand(owner) {
        let settings = [("FELIX_DISABLECONNTRACKINVALIDCHECK", "true")];
        let (world, agent) = stage(owner, SERVICES, 3, &settings, &three());
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        world.expect("the profile allows it", [
            stray_ack(EXT, WL0, 8055, Reset).delivered(),
            stray_ack(WL1, WL0, 8055, Reset).delivered(),
        ]);
        agent.apply(&three_and(&[for_w0("none", 10, "types: [Ingress]")]));
        world.expect("policy denies it", [
            stray_ack(EXT, WL0, 8055, Dropped).lost(),
            stray_ack(EXT, WL1, 8055, Reset).delivered(),
        ]);
    }

    fn scenario_23_a_stray_segment_to_the_host_is_reset(owner) {
        let (world, _agent) = start(owner);
        world.host.sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        world.expect("no endpoint of the host's", [
            stray_ack(EXT, HOST0, 8055, Reset),
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 4444, Reset),
        ]);
    }

    fn two_endpoints_on_one_interface_and_the_smaller_governs(owner) {
        let (world, agent) = stage(owner, SERVICES, 2, &[], &[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]);
        let denying = |name: &str| local(WL0, "")
            .replace("host1-k8s-wl0-eth0", &format!("host1-k8s-{name}-eth0"))
            .replace("pod: wl0", &format!("pod: {name}"));
        let rows = |expected| [tcp(EXT, WL0, 8055, expected), tcp(WL0, WL1, 8055, expected), tcp(EXT, WL1, 8055, Open)];
        let with = |name: &str| documents(&[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL), denying(name)]);
        agent.apply(&with("zz"));
        world.expect("the second is shadowed", rows(Open));
        agent.apply(&with("aa"));
        world.expect("the new one is smaller", rows(Dropped));
        agent.apply(&documents(&[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]));
        world.expect("the first is back", rows(Open));
    }

    fn policy_of_other_kinds_has_no_effect_on_workloads(owner) {
        let (world, agent) = start(owner);
        let rows = every_kind(EXT, WL0, Open).into_iter().chain(every_kind(WL0, WL1, Open));
        for flags in ["doNotTrack: true, applyOnForward: true", "preDNAT: true, applyOnForward: true"] {
            let deny = policy_for("all()", "deny", 10, &format!("{flags}, types: [Ingress], ingress: [{{action: Deny}}]"));
            agent.apply(&three_and(&[deny]));
            world.expect(flags, rows.clone());
        }
        let deny = for_w0("deny", 10, "applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]");
        agent.apply(&three_and(&[deny]));
        world.expect("that of forwarding is as any other", [
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Open),
            tcp(EXT, WL1, 8055, Open),
        ]);
    }

    fn an_endpoint_of_the_host_does_not_judge_a_workloads_interface(owner) {
        let (world, agent) = start(owner);
        let deny = policy_for("role == 'host'", "deny", 10, "applyOnForward: true, types: [Ingress, Egress]");
        agent.apply(&three_and(&[host_endpoint("cali0", "interfaceName: cali0"), deny]));
        world.expect("by name", [
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, EXT, 8055, Open),
            tcp(HOST0, WL0, 8055, Open),
            tcp(WL0, HOST0, 8055, Dropped),
        ]);
    }

    fn there_may_be_several_prefixes(owner) {
        let settings = [("FELIX_INTERFACEPREFIX", "veth,cali")];
        let (world, agent) = stage(owner, SERVICES, 2, &settings, &[local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]);
        world.expect("the second prefix", [tcp(WL0, WL1, 8055, Open), tcp(WL0, HOST0, 8055, Dropped).lost()]);
        world.host.ip("link set cali0 down\nlink set cali0 name veth0\nlink set veth0 up\n");
        world.host.ip(&format!(
            "route replace {}/32 dev veth0 proto static\nroute replace {}/128 dev veth0 proto static\n",
            WL0.v4, WL0.v6
        ));
        world.host.sysctl("net/ipv4/conf/veth0/proxy_arp", "1");
        world.expect("the first prefix, unknown", [
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(EXT, WL1, 8055, Open),
        ]);
        agent.apply(&documents(&[
            local(WL0, ALLOW_ALL).replace("cali0", "veth0"),
            local(WL1, ALLOW_ALL),
        ]));
        world.expect("known", [
            tcp(WL0, WL1, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
        ]);
    }

    fn without_ipv6_support_ipv6_is_left_alone(owner) {
        let settings = [("FELIX_IPV6SUPPORT", "false")];
        let world = World::serving(SERVICES).with_workloads(2).watching();
        world.wire_workloads();
        let agent = Agent::with(&world.host, owner, &settings);
        agent.apply(&documents(&[local(WL0, ""), local(WL1, ALLOW_ALL), host_endpoint("eth0", "interfaceName: eth0")]));
        world.expect("IPv4 alone is judged", [
            tcp(WL0, EXT, 8055, Dropped).v4().lost(),
            tcp(EXT, WL0, 8055, Dropped).v4().lost(),
            tcp(WL0, HOST0, 8055, Dropped).v4().lost(),
            tcp(EXT, HOST0, 8055, Dropped).v4().lost(),
            tcp(WL0, EXT, 8055, Open).v6(),
            tcp(EXT, WL0, 8055, Open).v6(),
            tcp(WL0, HOST0, 8055, Open).v6(),
            tcp(EXT, HOST0, 8055, Open).v6(),
            tcp(WL1, EXT, 8055, Open).v4(),
        ]);
    }

    fn policy_may_come_after_the_hosts_own_rules(owner) {
        let settings = [("FELIX_CHAININSERTMODE", "append")];
        let (world, agent) = stage(owner, SERVICES, 3, &settings, &three());
        agent.apply(&three_and(&[
            for_w0("one", 10, "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]"),
            host_endpoint("eth0", "interfaceName: eth0"),
        ]));
        world.expect("policy is the same", [
            tcp(EXT, WL0, 8055, Open),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            tcp(WL1, WL0, 8056, Dropped).lost(),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Open),
            tcp(HOST0, WL0, 8056, Open),
        ]);
    }

    fn an_interface_without_the_prefix_is_no_workload(owner) {
        let (world, agent) = stage(owner, SERVICES, 1, &[], &[local(WL0, ALLOW_ALL)]);
        let mark = agent.mark();
        let bad = local(WL1, "").replace("interfaceName: cali1", "interfaceName: eth1");
        agent.apply(&documents(&[local(WL0, ALLOW_ALL), bad]));
        agent.warned(&mark, "eth1");
        world.expect("the host's interface is left alone", [
            tcp(netns_tests::EXT2, netns_tests::HOST1, 8055, Open),
            tcp(netns_tests::EXT2, WL0, 8055, Open),
            tcp(WL0, HOST0, 8055, Dropped),
        ]);
    }
}
