//! Hosts whose own rules drop by default, and the actions for what policy allows and denies.
//!
//! The chains are those that iptables-nft makes; an accept of ours cannot override them, so that what policy allows
//! carries a bit of the packet's mark that such a chain can accept.

use netns_tests::Outcome::{Dropped, Open, Unreachable};
use netns_tests::agent::{Mark, command_line};
use netns_tests::nat::translate_from;
use netns_tests::probe::icmpv6_type;
use netns_tests::resources::{
    egress, eth0, forward, host_endpoint_v1, ingress, policy_for, pre_dnat, star, two, two_and,
    untracked,
};
use netns_tests::server::Services;
use netns_tests::{
    Agent, EXT, EXT2, HOST0, HOST1, Owner, Place, Row, Site, W1, WL0, WL1, World, both_ways, icmp,
    stage, tcp, udp, witness,
};
use std::net::{Ipv4Addr, Ipv6Addr};

const SERVICES: Services = Services {
    tcp: &[22, 2379, 8055, 8056],
    udp: &[53, 8055, 8056],
    protocols: &[],
};

const ACCEPT: (&str, &str) = ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT");
const RETURN: (&str, &str) = ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "RETURN");
const INSERT: (&str, &str) = ("TORTIE_HOSTCHAINACCEPT", "Insert");
const REJECT: (&str, &str) = ("FELIX_NFTABLESFILTERDENYACTION", "Reject");

/// The rule that a host puts into such a chain: the accepted bit of the default mask.
const ACCEPT_THE_BIT: &str = "meta mark & 0x00010000 == 0x00010000 accept";

/// The host's own filter tables, with INPUT and FORWARD that drop by default.
///
/// Neighbours must be found, and known connections go on, as on every such host.
fn dropping(rule: &str) -> String {
    let chains = |discovery: &str| {
        format!(
            "chain INPUT {{
                type filter hook input priority filter; policy drop;
                {rule}
                iifname \"lo\" accept
                {discovery}
                ct state established,related counter accept
                tcp dport 8056 counter accept
            }}
            chain FORWARD {{
                type filter hook forward priority filter; policy drop;
                {rule}
                ct state established,related counter accept
            }}
            chain OUTPUT {{ type filter hook output priority filter; policy accept; }}"
        )
    };
    let v4 = chains("");
    let v6 = chains("icmpv6 type { 133, 134, 135, 136 } accept");
    format!("table ip filter {{\n{v4}\n}}\ntable ip6 filter {{\n{v6}\n}}\n")
        .replace("accept; }", "accept;\n }")
}

/// The FORWARD chain of a host with a container engine, which drops what is not the engine's.
const ENGINE: &str = "
table ip filter {
    chain DOCKER { }
    chain DOCKER-USER { counter return
    }
    chain DOCKER-ISOLATION-STAGE-1 {
        iifname \"docker0\" oifname != \"docker0\" counter jump DOCKER-ISOLATION-STAGE-2
        counter return
    }
    chain DOCKER-ISOLATION-STAGE-2 { oifname \"docker0\" counter drop
    }
    chain INPUT { type filter hook input priority filter; policy accept;
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER
        counter jump DOCKER-ISOLATION-STAGE-1
        oifname \"docker0\" ct state related,established counter accept
        oifname \"docker0\" counter jump DOCKER
        iifname \"docker0\" oifname != \"docker0\" counter accept
    }
}
";

/// An endpoint and policies that allow port 8055 in, out and through `eth0`.
fn one_port() -> Vec<String> {
    let rule = "{action: Allow, protocol: TCP, destination: {ports: [8055]}}";
    vec![
        eth0(),
        forward(
            "one",
            10,
            &format!("types: [Ingress, Egress], ingress: [{rule}], egress: [{rule}]"),
        ),
    ]
}

/// What policy of ours allows, in every hook of the host's chains.
fn allowed(expected: netns_tests::Outcome) -> [Row; 9] {
    [
        tcp(EXT, HOST0, 8055, expected),
        tcp(EXT, HOST0, 22, expected),
        tcp(EXT, WL0, 8055, expected),
        tcp(WL0, EXT, 8055, expected),
        tcp(WL0, WL1, 8055, expected),
        udp(WL0, WL1, 8055, expected),
        tcp(WL0, HOST0, 8055, expected),
        tcp(EXT, EXT2, 8055, expected),
        tcp(EXT2, WL0, 8055, expected),
    ]
}

/// What policy denies, and what is no matter of policy, whatever the host's chains say.
fn not_allowed() -> [Row; 8] {
    [
        tcp(EXT, HOST0, 8056, Dropped).lost(),
        tcp(EXT, WL0, 8056, Dropped).lost(),
        tcp(EXT, EXT2, 8056, Dropped).lost(),
        tcp(HOST0, EXT, 8056, Dropped).lost(),
        tcp(EXT2, HOST1, 8055, Dropped).lost(),
        // The host's own rule, where there is no endpoint.
        tcp(EXT2, HOST1, 8056, Open),
        tcp(HOST0, WL0, 8055, Open),
        tcp(HOST0, EXT, 8055, Open),
    ]
}

fn accepting(owner: Owner, settings: &[(&str, &str)]) -> (World, Agent) {
    stage(
        owner,
        SERVICES,
        2,
        &[&[ACCEPT], settings].concat(),
        &[two(), one_port()].concat(),
    )
}

/// Sets the host's chains up before a daemon starts, and starts it with these settings.
fn on_a_dropping_host(owner: Owner, rules: &str, settings: &[(&str, &str)]) -> (World, Agent) {
    let world = World::serving(SERVICES).with_workloads(2).watching();
    world.host.nft(rules);
    let agent = Agent::with(&world.host, owner, &[&[ACCEPT], settings].concat());
    agent.apply(&two_and(&one_port()));
    world.routed(&[WL0, WL1], netns_tests::workloads::Routed::Yes);
    (world, agent)
}

/// The rules of a chain, as `nft` prints them.
fn listed(world: &World, family: &str, chain: &str) -> String {
    world
        .host
        .exec("nft", &["list", "chain", family, "filter", chain], "")
}

/// Counts the rules of a listing that look at the mark.
fn rules_with_a_mark(listing: &str) -> usize {
    listing.lines().filter(|line| line.contains("mark")).count()
}

both_ways! {
    fn a_host_that_drops_by_default_accepts_the_accepted_bit(owner) {
        let (world, _agent) = accepting(owner, &[]);
        world.expect("no chain of the host's", allowed(Open));
        world.host.nft(&dropping(""));
        world.expect("an accept of ours overrides nothing", allowed(Dropped).map(Row::lost));
        world.expect("the host's own", not_allowed());
        world.host.nft("flush ruleset ip\nflush ruleset ip6\n");
        world.host.nft(&dropping(ACCEPT_THE_BIT));
        world.expect("the bit is accepted", allowed(Open));
        world.expect("and nothing else", not_allowed());
    }

    fn the_accepted_bit_cannot_be_brought_along(owner) {
        let (world, agent) = accepting(owner, &[]);
        world.host.nft(&dropping(ACCEPT_THE_BIT));
        world.host.nft(
            "table inet forged {
                chain first { type filter hook prerouting priority -400; policy accept; meta mark set 0xffffffff
                }
                chain out { type filter hook output priority -400; policy accept; meta mark set 0xffffffff
                }
                chain last { type filter hook input priority 900; policy accept; jump kept
                }
                chain last-forward { type filter hook forward priority 900; policy accept; jump kept
                }
                chain kept {
                    meta mark & 0x7ffc0000 != 0x7ffc0000 drop
                    meta mark & 0x0000ffff != 0x0000ffff drop
                }
            }",
        );
        world.expect("it is cleared first of all", not_allowed());
        world.expect("and set again, and the bits of others are left", allowed(Open));
        let none = "{action: Allow, protocol: TCP, destination: {ports: [9]}}";
        agent.apply(&two_and(&[one_port(), vec![
            untracked("none", 10, &format!("types: [Ingress, Egress], ingress: [{none}], egress: [{none}]")),
            pre_dnat("before", 10, none),
        ]].concat()));
        world.expect("nor can that of earlier hooks", not_allowed());
    }

    fn what_workloads_may_always_send_to_the_host_carries_the_bit(owner) {
        let settings = [("FELIX_CLUSTERTYPE", "openstack")];
        let (world, _agent) = stage(owner, SERVICES, 2, &settings, &two());
        let found_by_the_bit = dropping(ACCEPT_THE_BIT).replace("133, 134, 135, 136", "134");
        world.host.nft(&found_by_the_bit);
        world.expect("the exceptions", [
            icmpv6_type(WL0, HOST0, 133).delivered(),
            icmpv6_type(WL0, HOST0, 135).delivered(),
            icmpv6_type(WL0, HOST0, 136).delivered(),
            icmpv6_type(WL0, HOST0, 128).lost(),
            udp(WL0, HOST0, 53, Open),
            udp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Open),
        ]);
    }

    fn the_accepted_bit_moves_with_the_mask(owner) {
        let (world, _agent) = accepting(owner, &[("FELIX_NFTABLESMARKMASK", "0x00f00000")]);
        world.host.nft(&dropping(ACCEPT_THE_BIT));
        world.expect("the bit of the default mask", allowed(Dropped).map(Row::lost));
        world.host.nft("flush ruleset ip\nflush ruleset ip6\n");
        world.host.nft(&dropping("meta mark & 0x00100000 == 0x00100000 accept"));
        world.expect("the lowest bit of the mask", allowed(Open));
        world.expect("and nothing else", not_allowed());
    }

    fn scenario_29_accept_passes_a_host_that_drops_by_default(owner) {
        let (world, _agent) = on_a_dropping_host(owner, &dropping(ACCEPT_THE_BIT), &[]);
        world.expect("to the host", [
            tcp(WL0, HOST0, 8055, Open),
            udp(WL0, HOST0, 8055, Open),
            icmp(WL0, HOST0, Open),
            tcp(EXT2, HOST1, 8055, Dropped).lost(),
        ]);
    }

    fn scenario_30_return_leaves_it_to_a_host_that_drops_by_default(owner) {
        let (world, _agent) = stage(owner, SERVICES, 2, &[RETURN], &[two(), one_port()].concat());
        world.host.nft(&dropping(ACCEPT_THE_BIT));
        world.expect("the host's rules decide", [
            tcp(WL0, HOST0, 8056, Open),
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            icmp(WL0, HOST0, Dropped).lost(),
            tcp(WL0, EXT, 8055, Open),
            tcp(EXT, HOST0, 8055, Open),
        ]);
    }

    fn the_log_names_the_rule_that_such_a_host_needs(owner) {
        let (_world, agent) = on_a_dropping_host(owner, &dropping(""), &[]);
        for chain in ["INPUT", "FORWARD"] {
            agent.line(&Mark::beginning(), &format!("advice about {chain}"), |line| {
                line.contains(chain) && line.contains("mark")
            });
        }
    }

    fn the_rule_can_be_inserted(owner) {
        let (world, mut agent) = on_a_dropping_host(owner, &dropping(""), &[INSERT]);
        world.expect("what policy allows", allowed(Open));
        world.expect("and nothing else", not_allowed());
        for (family, chain) in [("ip", "INPUT"), ("ip", "FORWARD"), ("ip6", "INPUT"), ("ip6", "FORWARD")] {
            let text = listed(&world, family, chain);
            assert_eq!(rules_with_a_mark(&text), 1, "{text}");
        }
        agent.terminate();
        world.expect("after the end", allowed(Open));
        let agent = Agent::on(&world.host, owner, &[ACCEPT, INSERT], agent.directory());
        let text = listed(&world, "ip", "FORWARD");
        assert_eq!(rules_with_a_mark(&text), 1, "a restart inserts no second one: {text}");
        drop(agent);
        assert!(command_line(&world.host, owner, &["flush", "--yes"]).status.success());
        for (family, chain) in [("ip", "INPUT"), ("ip", "FORWARD"), ("ip6", "INPUT"), ("ip6", "FORWARD")] {
            let text = listed(&world, family, chain);
            assert!(!text.contains("mark"), "flush takes it away: {text}");
            assert!(text.contains("policy drop") && text.contains("established"), "and nothing else: {text}");
        }
        assert!(!witness::exists(&world.host));
    }

    fn a_new_mark_is_accepted_before_packets_carry_it(owner) {
        let (world, agent) = on_a_dropping_host(owner, &dropping(""), &[INSERT]);
        world.expect("by the old mark", allowed(Open));
        let mark = agent.mark();
        agent.put("felix.yaml", "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {nftablesMarkMask: 0xff00}
");
        agent.line(&mark, "a rule beside the old one", |line| {
            line.contains("was inserted at the head of chain `ip6 filter FORWARD`")
        });
        agent.line(&mark, "the old one goes", |line| {
            line.contains("was put right at the head of chain `ip6 filter FORWARD`")
        });
        world.expect("by the new mark", allowed(Open));
        let text = listed(&world, "ip", "INPUT");
        assert_eq!(rules_with_a_mark(&text), 1, "{text}");
    }

    fn a_container_engine_drops_what_is_not_its_own(owner) {
        {
            let (world, _agent) = on_a_dropping_host(owner, ENGINE, &[]);
            world.expect("without the rule", [
                tcp(WL0, WL1, 8055, Dropped).v4().lost(),
                tcp(EXT, WL0, 8055, Dropped).v4().lost(),
                tcp(WL0, WL1, 8055, Open).v6(),
                tcp(WL0, HOST0, 8055, Open),
            ]);
            // As its documentation says, users' rules belong into this chain.
            world.host.nft(&format!("insert rule ip filter DOCKER-USER {ACCEPT_THE_BIT}\n"));
            world.expect("with the rule", allowed(Open));
        }
        let (world, _agent) = on_a_dropping_host(owner, ENGINE, &[INSERT]);
        world.expect("inserted", allowed(Open));
        world.expect("and nothing else", [
            tcp(EXT, WL0, 8056, Dropped).lost(),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
            tcp(EXT2, EXT, 8056, Dropped).lost(),
        ]);
    }

    fn what_no_policy_decided_carries_no_mark(owner) {
        let (world, agent) = stage(owner, SERVICES, 2, &[ACCEPT], &two());
        world.host.nft(&dropping(ACCEPT_THE_BIT));
        let rows = |through: netns_tests::Outcome| [
            tcp(EXT, EXT2, 8055, through),
            tcp(WL0, WL1, 8055, Open),
            tcp(EXT2, HOST1, 8055, Dropped).lost(),
        ];
        let spec = "types: [Egress], egress: [{action: Allow}]";
        agent.apply(&two_and(&[eth0(), forward("out", 10, spec)]));
        world.expect("no policy for this direction", rows(Dropped));
        world.expect("policy for the other", [tcp(EXT2, EXT, 8055, Open)]);
        let spec = "types: [Ingress], ingress: [{action: Pass}]";
        agent.apply(&two_and(&[eth0(), forward("pass", 10, spec)]));
        world.expect("the last tier passes on", rows(Dropped));
        let spec = "types: [Ingress], ingress: [{action: Allow}]";
        agent.apply(&two_and(&[eth0(), forward("in", 10, spec)]));
        world.expect("policy allows", rows(Open));
        world.expect("no policy for egress leaves what the workload's has said", [
            tcp(WL0, EXT, 8055, Open),
            tcp(WL0, EXT2, 8055, Open),
        ]);
    }

    fn return_leaves_what_policy_allows_to_the_hosts_rules(owner) {
        let (world, _agent) = accepting(owner, &[("FELIX_NFTABLESFILTERALLOWACTION", "Return")]);
        world.expect("no chain of the host's", allowed(Open));
        world.expect("policy denies as ever", [
            tcp(EXT, HOST0, 8056, Dropped).lost(),
            tcp(EXT, WL0, 8056, Dropped).lost(),
            tcp(EXT, EXT2, 8056, Dropped).lost(),
        ]);
        world.host.nft(&dropping(ACCEPT_THE_BIT));
        world.expect("the bit is not set", [
            tcp(EXT, HOST0, 8055, Dropped).lost(),
            tcp(EXT, HOST0, 22, Dropped).lost(),
            tcp(EXT, WL0, 8055, Dropped).lost(),
            tcp(WL0, EXT, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Dropped).lost(),
            tcp(EXT, EXT2, 8055, Dropped).lost(),
            tcp(EXT2, HOST1, 8056, Open),
            tcp(HOST0, WL0, 8055, Open),
        ]);
        let own = |family: &str, chain: &str| {
            world.host.nft(&format!("insert rule {family} filter {chain} tcp dport 8055 accept\n"));
        };
        for family in ["ip", "ip6"] {
            own(family, "INPUT");
            own(family, "FORWARD");
        }
        world.expect("the host's own rules", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, WL0, 8055, Open),
            tcp(WL0, WL1, 8055, Open),
            tcp(EXT, EXT2, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped).lost(),
            tcp(EXT, WL0, 8056, Dropped).lost(),
        ]);
    }

    fn scenario_20_denied_packets_are_rejected_on_demand(owner) {
        let denied = policy_for(
            "name == 'wl0'", "none", 10, "types: [Ingress, Egress], ingress: [], egress: []",
        );
        let (world, _agent) = stage(owner, SERVICES, 2, &[REJECT, ACCEPT], &[two(), vec![denied]].concat());
        world.expect("by a workload's policy", [
            tcp(EXT, WL0, 8055, Unreachable),
            udp(EXT, WL0, 8055, Unreachable),
            icmp(EXT, WL0, Unreachable),
            tcp(WL1, WL0, 8055, Unreachable),
            tcp(WL0, EXT, 8055, Unreachable),
            udp(WL0, WL1, 8055, Unreachable),
            tcp(WL0, HOST0, 8055, Unreachable),
            tcp(WL1, EXT, 8055, Open),
            tcp(WL1, HOST0, 8055, Open),
        ]);
    }

    fn scenario_20_the_endpoint_to_host_action_drops_in_silence(owner) {
        let (world, _agent) = stage(owner, SERVICES, 2, &[REJECT], &two());
        world.expect("it is no denial of policy", [
            tcp(WL0, HOST0, 8055, Dropped).lost(),
            tcp(WL0, WL1, 8055, Open),
        ]);
    }

    fn scenario_20_endpoints_of_the_host_reject_in_every_hook(owner) {
        const SERVICE: Place = Place {
            name: "service",
            site: Site::Host,
            v4: Ipv4Addr::new(10, 96, 0, 1),
            v6: Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 1),
        };
        let (world, agent) = stage(owner, SERVICES, 2, &[REJECT, ACCEPT], &two());
        translate_from(&world, SERVICE, &[(80, W1, 8055), (81, WL1, 8055)]);
        let own = [
            tcp(EXT, HOST0, 8055, Unreachable),
            udp(EXT, HOST0, 8055, Unreachable),
            tcp(HOST0, EXT, 8055, Unreachable),
            udp(HOST0, EXT, 8055, Unreachable),
            tcp(HOST0, SERVICE, 80, Dropped),
            tcp(HOST0, SERVICE, 81, Open),
            tcp(EXT, HOST0, 22, Open),
            tcp(EXT, WL1, 8055, Open),
        ];
        agent.apply(&two_and(&[eth0()]));
        world.expect("its own traffic", own);
        agent.apply(&two_and(&[host_endpoint_v1("eth0", "interfaceName: eth0")]));
        world.expect("its own traffic, in the old form", own);
        world.expect("what it forwards, in the old form", [
            tcp(EXT, EXT2, 8055, Unreachable),
            tcp(EXT2, EXT, 8055, Unreachable),
            tcp(EXT, EXT2, 22, Open),
        ]);
        let deny = "{action: Deny, protocol: TCP, destination: {ports: [8055]}}, {action: Allow}";
        agent.apply(&two_and(&[eth0(), forward("f", 10, &format!(
            "types: [Ingress, Egress], ingress: [{deny}], egress: [{deny}]"
        ))]));
        world.expect("what it forwards", [
            tcp(EXT, EXT2, 8055, Unreachable),
            tcp(EXT2, EXT, 8055, Unreachable),
            tcp(EXT, WL0, 8055, Unreachable),
            tcp(WL0, EXT, 8055, Unreachable),
            tcp(EXT, EXT2, 8056, Open),
            udp(WL0, EXT, 8055, Open),
        ]);
        agent.apply(&two_and(&[eth0(), pre_dnat("p", 10, deny), egress("out", 10, "{action: Allow}")]));
        world.expect("before translation", [
            tcp(EXT, WL0, 8055, Unreachable),
            tcp(EXT, HOST0, 8055, Unreachable),
            tcp(EXT, HOST0, 8056, Open),
            tcp(EXT, WL0, 8056, Open),
        ]);
        let star = star();
        agent.apply(&two_and(&[star, ingress("in", 10, deny), egress("out", 10, deny)]));
        world.expect("all interfaces", [
            tcp(EXT, HOST0, 8055, Unreachable),
            tcp(HOST1, EXT2, 8055, Unreachable),
            tcp(HOST0, SERVICE, 80, Dropped),
            tcp(HOST0, SERVICE, 81, Open),
            tcp(HOST0, WL0, 8055, Open),
        ]);
    }
}
