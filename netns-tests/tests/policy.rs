//! What a rule matches, and in which order rules, policies, tiers and profiles decide.
//!
//! The numbers are those of the scenarios in the dataplane contract.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::probe::{icmp_code, icmp_timestamp};
use netns_tests::resources::{
    documents, egress, eth0, host_endpoint, ingress, network_set, policy, profile, tier, workload,
};
use netns_tests::server::Services;
use netns_tests::{
    A1, A2, A3, Agent, EXT, HOST0, Row, Site, W1, W2, W3, W4, World, both_ways, icmp, ip_protocol,
    tcp, udp, witness,
};

const SERVICES: Services = Services {
    tcp: &[3000, 4000, 5000, 8055, 8056, 8057],
    udp: &[3000, 4000, 8055, 8056],
    protocols: &[253],
};

/// Returns a world with the usual servers and a daemon in it.
fn start(owner: netns_tests::Owner) -> (World, Agent) {
    let world = World::serving(SERVICES);
    let agent = Agent::start(&world.host, owner);
    (world, agent)
}

/// Ports of a list that is longer than fifteen slots: 8101, 8103, ..., 8139 and two ranges.
const ODD: [u16; 20] = [
    8101, 8103, 8105, 8107, 8109, 8111, 8113, 8115, 8117, 8119, 8121, 8123, 8125, 8127, 8129, 8131,
    8133, 8135, 8137, 8139,
];
const LISTED: [u16; 28] = [
    8101, 8103, 8105, 8107, 8109, 8111, 8113, 8115, 8117, 8119, 8121, 8123, 8125, 8127, 8129, 8131,
    8133, 8135, 8137, 8139, 8200, 8201, 8205, 8209, 8210, 8300, 8301, 8302,
];
const NEIGHBOURS: [u16; 12] = [
    8100, 8102, 8110, 8116, 8124, 8132, 8138, 8140, 8199, 8211, 8299, 8303,
];
const MANY: Services = Services {
    tcp: &[
        8055, 8100, 8101, 8102, 8103, 8105, 8107, 8109, 8110, 8111, 8113, 8115, 8116, 8117, 8119,
        8121, 8123, 8124, 8125, 8127, 8129, 8131, 8132, 8133, 8135, 8137, 8138, 8139, 8140, 8199,
        8200, 8201, 8205, 8209, 8210, 8211, 8299, 8300, 8301, 8302, 8303,
    ],
    udp: &[8100, 8101, 8139, 8140, 8199, 8200, 8210, 8211],
    protocols: &[],
};

/// Returns the long list as YAML.
fn port_list() -> String {
    let single: Vec<String> = ODD.iter().map(u16::to_string).collect();
    format!("[{}, \"8200:8210\", \"8300:8302\"]", single.join(", "))
}

both_ways! {
    fn scenario_80_long_lists_of_ports(owner) {
        let mut world = World::new();
        // The peers have no servers, so that they can send from the ports of the list.
        world.serve(Site::Host, MANY);
        let agent = Agent::start(&world.host, owner);
        let rows = |listed, neighbour| -> Vec<Row> {
            let tcp_rows = LISTED.map(|port| tcp(EXT, HOST0, port, listed));
            let other = NEIGHBOURS.map(|port| tcp(EXT, HOST0, port, neighbour));
            tcp_rows.into_iter().chain(other).collect()
        };
        let udp_rows = |listed, neighbour| {
            [
                udp(EXT, HOST0, 8101, listed),
                udp(EXT, HOST0, 8139, listed),
                udp(EXT, HOST0, 8200, listed),
                udp(EXT, HOST0, 8210, listed),
                udp(EXT, HOST0, 8100, neighbour),
                udp(EXT, HOST0, 8140, neighbour),
                udp(EXT, HOST0, 8199, neighbour),
                udp(EXT, HOST0, 8211, neighbour),
            ]
        };
        let ports = port_list();
        let rule = |protocol: &str, side: &str, field: &str| {
            ingress("long", 10, &format!(
                "{{action: Allow, protocol: {protocol}, {side}: {{{field}: {ports}}}}}"
            ))
        };
        agent.apply(&documents(&[eth0(), rule("TCP", "destination", "ports")]));
        world.expect("the list allows", rows(Open, Dropped));
        world.expect("another protocol", udp_rows(Dropped, Dropped));
        agent.apply(&documents(&[eth0(), rule("TCP", "destination", "notPorts")]));
        world.expect("the negated list allows", rows(Dropped, Open));
        agent.apply(&documents(&[eth0(), rule("UDP", "destination", "ports")]));
        world.expect("a list for UDP", udp_rows(Open, Dropped));
        agent.apply(&documents(&[eth0(), rule("UDP", "destination", "notPorts")]));
        world.expect("a negated list for UDP", udp_rows(Dropped, Open));
        let from = |listed, neighbour| {
            [8101, 8139, 8200, 8205, 8210, 8302]
                .map(|port| tcp(EXT, HOST0, 8055, listed).from_port(port))
                .into_iter()
                .chain([8100, 8140, 8199, 8211, 8303].map(|port| {
                    tcp(EXT, HOST0, 8055, neighbour).from_port(port)
                }))
                .collect::<Vec<_>>()
        };
        agent.apply(&documents(&[eth0(), rule("TCP", "source", "ports")]));
        world.expect("a list of source ports", from(Open, Dropped));
    }

    fn scenario_80_long_lists_of_source_ports_negated(owner) {
        let mut world = World::new();
        // The peers have no servers, so that they can send from the ports of the list.
        world.serve(Site::Host, MANY);
        let agent = Agent::start(&world.host, owner);
        let rule = format!(
            "{{action: Allow, protocol: TCP, source: {{notPorts: {}}}}}",
            port_list()
        );
        agent.apply(&documents(&[eth0(), ingress("long", 10, &rule)]));
        world.expect("a negated list of source ports", [
            tcp(EXT, HOST0, 8055, Dropped).from_port(8101),
            tcp(EXT, HOST0, 8055, Dropped).from_port(8205),
            tcp(EXT, HOST0, 8055, Open).from_port(8100),
            tcp(EXT, HOST0, 8055, Open).from_port(8211),
        ]);
    }

    fn scenario_81_a_named_port_opens_exactly_its_pairs(owner) {
        let (world, agent) = start(owner);
        let workloads = [
            workload(W1, "app: x", "{name: web, protocol: TCP, port: 3000}"),
            workload(W2, "app: x", "{name: web, protocol: TCP, port: 4000}"),
            workload(W3, "app: x", "{name: other, protocol: TCP, port: 3000}"),
            workload(W4, "app: y", "{name: web, protocol: TCP, port: 3000}"),
        ];
        let with = |field: &str| {
            let rule = format!(
                "{{action: Allow, protocol: TCP, \
                 destination: {{selector: app == 'x', {field}}}}}"
            );
            let mut all = vec![eth0(), egress("named", 10, &rule)];
            all.extend(workloads.clone());
            documents(&all)
        };
        agent.apply(&with("ports: [web]"));
        world.expect("the named port", [
            tcp(HOST0, W1, 3000, Open),
            tcp(HOST0, W1, 4000, Dropped),
            tcp(HOST0, W2, 4000, Open),
            tcp(HOST0, W2, 3000, Dropped),
            tcp(HOST0, W3, 3000, Dropped),
            tcp(HOST0, W4, 3000, Dropped),
            tcp(HOST0, EXT, 3000, Dropped),
        ]);
        agent.apply(&with("ports: [web, 5000]"));
        world.expect("with a number", [
            tcp(HOST0, W1, 3000, Open),
            tcp(HOST0, W1, 4000, Dropped),
            tcp(HOST0, W1, 5000, Open),
            tcp(HOST0, W2, 4000, Open),
            tcp(HOST0, W2, 5000, Open),
            tcp(HOST0, W3, 5000, Open),
            tcp(HOST0, W4, 5000, Dropped),
        ]);
        agent.apply(&with("notPorts: [web]"));
        world.expect("negated", [
            tcp(HOST0, W1, 3000, Dropped),
            tcp(HOST0, W1, 4000, Open),
            tcp(HOST0, W2, 3000, Open),
            tcp(HOST0, W2, 4000, Dropped),
            tcp(HOST0, W3, 3000, Open),
            tcp(HOST0, W4, 4000, Dropped),
        ]);
        agent.apply(&with("notPorts: [web, 5000]"));
        world.expect("negated with a number", [
            tcp(HOST0, W1, 3000, Dropped),
            tcp(HOST0, W1, 4000, Open),
            tcp(HOST0, W1, 5000, Dropped),
            tcp(HOST0, W2, 4000, Dropped),
            tcp(HOST0, W3, 3000, Open),
        ]);
    }

    fn scenario_82_named_ports_keep_their_protocol(owner) {
        let (world, agent) = start(owner);
        let with = |protocol: &str| {
            let rule = format!(
                "{{action: Allow, protocol: {protocol}, destination: {{ports: [name]}}}}"
            );
            documents(&[
                eth0(),
                egress("named", 10, &rule),
                workload(W1, "app: x", "{name: name, protocol: TCP, port: 3000}"),
                workload(W2, "app: x", "{name: name, protocol: UDP, port: 3000}"),
            ])
        };
        agent.apply(&with("TCP"));
        world.expect("a TCP rule", [
            tcp(HOST0, W1, 3000, Open),
            udp(HOST0, W1, 3000, Dropped),
            tcp(HOST0, W2, 3000, Dropped),
            udp(HOST0, W2, 3000, Dropped),
        ]);
        agent.apply(&with("UDP"));
        world.expect("a UDP rule", [
            tcp(HOST0, W1, 3000, Dropped),
            udp(HOST0, W1, 3000, Dropped),
            tcp(HOST0, W2, 3000, Dropped),
            udp(HOST0, W2, 3000, Open),
        ]);
    }

    fn scenario_83_selector_and_nets_are_both_needed(owner) {
        let (world, agent) = start(owner);
        let with = |v4: &str, v6: &str| {
            let rule = |nets: &str| {
                format!("{{action: Allow, source: {{selector: team == 'a', {nets}}}}}")
            };
            documents(&[
                eth0(),
                ingress("both", 10, &format!("{}, {}", rule(v4), rule(v6))),
                workload(W1, "team: a", ""),
                workload(W2, "team: a", ""),
                workload(W3, "team: b", ""),
            ])
        };
        let from = |expected: [netns_tests::Outcome; 4]| {
            let [w1, w2, w3, other] = expected;
            [
                tcp(W1, HOST0, 8055, w1),
                udp(W1, HOST0, 8055, w1),
                tcp(W2, HOST0, 8055, w2),
                tcp(W3, HOST0, 8055, w3),
                tcp(EXT, HOST0, 8055, other),
            ]
        };
        agent.apply(&with(
            "nets: [10.65.0.1/32, 10.65.0.3/32]",
            "nets: [\"fd65::1/128\", \"fd65::3/128\"]",
        ));
        world.expect("two nets", from([Open, Dropped, Dropped, Dropped]));
        agent.apply(&with("nets: [10.65.0.0/16]", "nets: [\"fd65::/16\"]"));
        world.expect("one net for all", from([Open, Open, Dropped, Dropped]));
        agent.apply(&with("notNets: [10.65.0.2/32]", "notNets: [\"fd65::2/128\"]"));
        world.expect("without one net", from([Open, Dropped, Dropped, Dropped]));
        agent.apply(&with(
            "nets: [10.65.0.0/16], notNets: [10.65.0.1/32]",
            "nets: [\"fd65::/16\"], notNets: [\"fd65::1/128\"]",
        ));
        world.expect("a net without a part", from([Dropped, Open, Dropped, Dropped]));
        agent.apply(&with(
            "notSelector: has(none), nets: [10.65.0.1/32, 10.65.0.2/32]",
            "notSelector: has(none), nets: [\"fd65::1/128\", \"fd65::2/128\"]",
        ));
        world.expect("a selector, its like negated, and nets", from([Open, Open, Dropped, Dropped]));
    }

    fn scenario_84_a_named_port_without_protocol_is_any(owner) {
        let (world, agent) = start(owner);
        agent.apply(&documents(&[
            eth0(),
            egress("named", 10, "{action: Allow, destination: {ports: [name]}}"),
            workload(W1, "app: x", "{name: name, protocol: TCP, port: 3000}"),
            workload(W2, "app: x", "{name: name, protocol: UDP, port: 4000}"),
            workload(W3, "app: x", "{name: name, protocol: TCP, port: 3000}, \
                                    {name: name, protocol: UDP, port: 3000}"),
        ]));
        world.expect("either protocol", [
            tcp(HOST0, W1, 3000, Open),
            udp(HOST0, W1, 3000, Dropped),
            udp(HOST0, W2, 4000, Open),
            tcp(HOST0, W2, 4000, Dropped),
            tcp(HOST0, W3, 3000, Open),
            udp(HOST0, W3, 3000, Open),
            tcp(HOST0, EXT, 3000, Dropped),
        ]);
    }

    fn scenario_85_an_empty_selector_set(owner) {
        let (world, agent) = start(owner);
        let allow = ingress("set", 10, "{action: Allow, source: {selector: zone == 'a'}}");
        let from = |w1, w2| [tcp(W1, HOST0, 8055, w1), tcp(W2, HOST0, 8055, w2)];
        agent.put("policy.yaml", &documents(&[eth0(), allow]));
        agent.put("w1.yaml", &workload(W1, "zone: b", ""));
        world.expect("nothing has the label", from(Dropped, Dropped));
        let before = witness::identities(&world.host);
        agent.put("w1.yaml", &workload(W1, "zone: a", ""));
        world.expect("an endpoint gained the label", from(Open, Dropped));
        agent.put("w2.yaml", &workload(W2, "zone: a", ""));
        world.expect("another gained it", from(Open, Open));
        assert_eq!(before, witness::identities(&world.host), "no rule was programmed again");
        agent.remove("w1.yaml");
        world.expect("the first is gone", from(Dropped, Open));
        agent.put("w2.yaml", &workload(W2, "zone: b", ""));
        world.expect("nothing has the label any more", from(Dropped, Dropped));
        let deny = ingress("set", 10, "{action: Allow, source: {notSelector: zone == 'a'}}");
        agent.put("policy.yaml", &documents(&[eth0(), deny]));
        world.expect("negated and empty", from(Open, Open));
        agent.put("w2.yaml", &workload(W2, "zone: a", ""));
        world.expect("negated with a member", from(Open, Dropped));
        world.expect("negated, and no endpoint at all", [tcp(A3, HOST0, 8055, Open)]);
    }

    fn scenario_86_overlapping_nets_in_network_sets(owner) {
        let (world, agent) = start(owner);
        let from = |a1, a2, a3| {
            [
                tcp(A1, HOST0, 8055, a1),
                udp(A1, HOST0, 8055, a1),
                tcp(A2, HOST0, 8055, a2),
                tcp(A3, HOST0, 8055, a3),
            ]
        };
        let set = |name: &str, nets: &str| network_set(name, "net: 'yes'", nets);
        let wide = "10.0.0.0/8, \"fd00::/8\"";
        let narrow = "10.1.0.0/16, \"fd01::/16\"";
        agent.put("policy.yaml", &documents(&[
            eth0(),
            ingress("nets", 10, "{action: Allow, source: {selector: has(net)}}"),
        ]));
        world.expect("no set", from(Dropped, Dropped, Dropped));
        agent.put("set.yaml", &set("one", &format!("{wide}, {narrow}")));
        world.expect("both", from(Open, Open, Dropped));
        agent.put("set.yaml", &set("one", narrow));
        world.expect("the cover went", from(Open, Dropped, Dropped));
        agent.put("two.yaml", &set("two", &format!("{narrow}, {wide}")));
        world.expect("the cover is in another set", from(Open, Open, Dropped));
        agent.remove("two.yaml");
        world.expect("the other set is gone", from(Open, Dropped, Dropped));
        agent.put("two.yaml", &set("two", narrow));
        agent.remove("set.yaml");
        world.expect("the duplicate remains", from(Open, Dropped, Dropped));
        agent.put("two.yaml", &set("two", "0.0.0.0/0, \"::/0\""));
        world.expect("everything", from(Open, Open, Open));
        agent.put("set.yaml", &set("one", &format!("{wide}, {narrow}")));
        world.expect("everything and more", from(Open, Open, Open));
        agent.put("two.yaml", &set("two", "10.1.0.2, \"fd01::2\""));
        world.expect("single addresses under a cover", from(Open, Open, Dropped));
        agent.remove("set.yaml");
        world.expect("single addresses", from(Open, Dropped, Dropped));
        agent.remove("two.yaml");
        world.expect("nothing", from(Dropped, Dropped, Dropped));
        agent.put("set.yaml", &format!(
            "apiVersion: projectcalico.org/v3\nkind: NetworkSet\n\
             metadata: {{name: one, namespace: prod, labels: {{net: 'yes'}}}}\n\
             spec: {{nets: [{narrow}]}}\n"
        ));
        world.expect("a namespaced set", from(Open, Dropped, Dropped));
    }

    fn scenario_87_icmp_types_and_codes(owner) {
        let (world, agent) = start(owner);
        let with = |criterion: &str| {
            let rule = |protocol: &str, kind: u8| {
                let criterion = criterion.replace("ECHO", &kind.to_string());
                format!("{{action: Allow, protocol: {protocol}, {criterion}}}")
            };
            let rules = format!("{}, {}", rule("ICMP", 8), rule("ICMPv6", 128));
            documents(&[eth0(), ingress("icmp", 10, &rules)])
        };
        let rows = |code_0, code_1, timestamp| {
            [
                icmp(EXT, HOST0, code_0),
                icmp_code(EXT, HOST0, 1, code_1),
                icmp_timestamp(EXT, HOST0, timestamp),
                tcp(EXT, HOST0, 8055, Dropped),
            ]
        };
        agent.apply(&with("icmp: {type: ECHO}"));
        world.expect("a type", rows(Open, Open, Dropped));
        agent.apply(&with("icmp: {type: ECHO, code: 0}"));
        world.expect("a type and a code", rows(Open, Dropped, Dropped));
        agent.apply(&with("icmp: {type: ECHO, code: 1}"));
        world.expect("another code", rows(Dropped, Open, Dropped));
        agent.apply(&with("notICMP: {type: ECHO, code: 0}"));
        world.expect("all but a type with a code", rows(Dropped, Open, Open));
        agent.apply(&with("notICMP: {type: ECHO}"));
        world.expect("all but a type", rows(Dropped, Dropped, Open));
        agent.apply(&documents(&[eth0(), ingress("icmp", 10, "{action: Allow, protocol: ICMP}")]));
        world.expect("the protocol of one family", [icmp(EXT, HOST0, Open).but_v6(Dropped)]);
        agent.apply(&documents(&[eth0(), ingress("icmp", 10, "{action: Allow, protocol: 58}")]));
        world.expect("the other's by number", [icmp(EXT, HOST0, Dropped).but_v6(Open)]);
    }

    fn scenario_88_protocols_by_number_and_negated(owner) {
        let (world, agent) = start(owner);
        let with = |rule: &str| documents(&[eth0(), ingress("protocol", 10, rule)]);
        let rows = |tcp_8055, tcp_8056, udp_8055, raw| {
            [
                tcp(EXT, HOST0, 8055, tcp_8055),
                tcp(EXT, HOST0, 8056, tcp_8056),
                udp(EXT, HOST0, 8055, udp_8055),
                ip_protocol(EXT, HOST0, 253, raw),
            ]
        };
        agent.apply(&with("{action: Allow, protocol: 6, destination: {ports: [8055]}}"));
        world.expect("TCP by number", rows(Open, Dropped, Dropped, Dropped));
        agent.apply(&with("{action: Allow, protocol: 17, destination: {ports: [8055]}}"));
        world.expect("UDP by number", rows(Dropped, Dropped, Open, Dropped));
        agent.apply(&with("{action: Deny, protocol: 253}, {action: Allow, notProtocol: UDP}"));
        world.expect("all but UDP", rows(Open, Open, Dropped, Dropped));
        agent.apply(&with("{action: Allow, notProtocol: TCP}"));
        world.expect("all but TCP", rows(Dropped, Dropped, Open, Open));
    }

    fn scenario_88_a_protocol_is_negated_by_number(owner) {
        let (world, agent) = start(owner);
        agent.apply(&documents(&[
            eth0(),
            ingress("protocol", 10, "{action: Allow, notProtocol: 6}"),
        ]));
        world.expect("all but TCP", [
            tcp(EXT, HOST0, 8055, Dropped),
            udp(EXT, HOST0, 8055, Open),
            icmp(EXT, HOST0, Open),
        ]);
    }

    fn scenario_89_families(owner) {
        let (world, agent) = start(owner);
        let rows = |v4, v6| {
            [tcp(W1, HOST0, 8055, v4).but_v6(v6), udp(W1, HOST0, 8055, v4).but_v6(v6)]
        };
        let with = |rules: &str| documents(&[eth0(), ingress("family", 10, rules)]);
        agent.apply(&with("{action: Allow, ipVersion: 4}"));
        world.expect("IPv4", rows(Open, Dropped));
        agent.apply(&with("{action: Allow, ipVersion: 6}"));
        world.expect("IPv6", rows(Dropped, Open));
        agent.apply(&with("{action: Allow, source: {nets: [10.65.0.0/16]}}"));
        world.expect("an IPv4 net", rows(Open, Dropped));
        agent.apply(&with("{action: Allow, source: {nets: [\"fd65::/16\"]}}"));
        world.expect("an IPv6 net", rows(Dropped, Open));
        agent.apply(&with("{action: Allow, source: {notNets: [10.1.0.0/16]}}"));
        world.expect("a negated IPv4 net matches no IPv6", rows(Open, Dropped));
        agent.apply(&with(
            "{action: Allow, source: {nets: [10.65.0.0/16]}}, \
             {action: Allow, source: {nets: [\"fd65::/16\"]}}",
        ));
        world.expect("a rule for each", rows(Open, Open));
    }

    fn scenario_89_nets_of_both_families_in_one_rule(owner) {
        let (world, agent) = start(owner);
        agent.apply(&documents(&[
            eth0(),
            ingress(
                "family",
                10,
                "{action: Allow, source: {nets: [10.65.0.0/16, \"fd65::/16\"]}}",
            ),
        ]));
        world.expect("both", [
            tcp(W1, HOST0, 8055, Open),
            tcp(A1, HOST0, 8055, Dropped),
        ]);
    }

    fn scenario_90_log_goes_on_to_the_next_rule(owner) {
        let (world, agent) = start(owner);
        let rules = "{action: Log, protocol: TCP}, \
                     {action: Allow, protocol: TCP, destination: {ports: [8055]}}, {action: Log}";
        agent.apply(&documents(&[eth0(), ingress("log", 10, rules)]));
        world.expect("log does not decide", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped),
            udp(EXT, HOST0, 8055, Dropped),
        ]);
        let logs = witness::statements(&world.host, "log");
        assert!(logs.len() >= 2, "two rules log: {logs:?}");
        assert!(logs.iter().all(|log| log["prefix"] == "calico-packet: "), "{logs:?}");
    }

    fn the_longest_rule_fits_the_kernel(owner) {
        let (world, agent) = start(owner);
        let names = |count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
            names.join(", ")
        };
        let side = |field: &str, names: &str| {
            "{selector: \"has(w)\", notSelector: \"has(x)\", ports: [\"1:2\", \"4:5\", \"7:8\"], \
                  nets: [\"fd65::/64\", \"fd66::/64\", \"fd67::/64\"], \
                  notNets: [\"fd65::5/128\", \"fd65::6/128\", \"fd65::9/127\"], \
                  notPorts: [\"2:4\", \"6:8\", \"10:12\"]}"
                .replace(&format!("{field}: ["), &format!("{field}: [{names}, "))
        };
        let rule = |action: &str, field: &str| {
            format!(
                "{{action: {action}, protocol: TCP, notProtocol: UDP, source: {}, destination: {}}}",
                side(field, &names(6)),
                side(field, &names(6)),
            )
        };
        let rules = [rule("Log", "ports"), rule("Log", "notPorts"), rule("Deny", "notPorts")];
        agent.apply(&documents(&[
            eth0(),
            ingress("long", 10, &rules.join(", ")),
            ingress("good", 20, "{action: Allow, protocol: TCP, destination: {ports: [8055]}}"),
        ]));
        world.expect("what else the transaction held", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped),
        ]);
    }

    fn scenario_90_the_prefix_and_the_rate_of_logs(owner) {
        let world = World::serving(SERVICES);
        let settings = [("FELIX_LOGPREFIX", "denied"), ("FELIX_LOGACTIONRATELIMIT", "10/minute")];
        let agent = Agent::with(&world.host, owner, &settings);
        let rules = "{action: Log}, {action: Allow}";
        agent.apply(&documents(&[eth0(), ingress("log", 10, rules)]));
        // More packets than the limit lets through: those that are not logged go on all the same.
        world.expect("a limit on logs is none on packets", [EXT, W1, W2, W3, W4, A1, A2, A3].map(
            |from| tcp(from, HOST0, 8055, Open),
        ));
        let rules = witness::rules(&world.host);
        let limited = rules.iter().filter(|rule| {
            let Some(statements) = rule["expr"].as_array() else { return false };
            statements.iter().any(|it| it["log"]["prefix"] == "denied: ")
                && statements.iter().any(|it| {
                    it["limit"]["rate"] == 10 && it["limit"]["per"] == "minute"
                })
        });
        assert!(limited.count() > 0, "no rule logs at a limited rate: {rules:#?}");
    }

    fn scenario_90_an_unknown_action_is_safe(owner) {
        let (world, agent) = start(owner);
        agent.put("policy.yaml", &documents(&[
            eth0(),
            ingress("good", 20, "{action: Allow, protocol: TCP, destination: {ports: [8055]}}"),
        ]));
        let mark = agent.mark();
        agent.put("bad.yaml", &ingress("bad", 10, "{action: Frobnicate}, {action: Allow}"));
        agent.warned(&mark, "bad");
        world.expect("the bad policy opens nothing, the good one still decides", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8056, Dropped),
        ]);
        agent.put("bad.yaml", &ingress("bad", 10, "{action: Allow}"));
        world.expect("the policy was mended", [tcp(EXT, HOST0, 8056, Open)]);
    }

    fn policies_decide_in_order_and_then_by_name(owner) {
        let (world, agent) = start(owner);
        let allow = "{action: Allow, protocol: TCP, destination: {ports: [8055]}}";
        let deny = "{action: Deny}";
        agent.apply(&documents(&[eth0(), ingress("p", 20, allow), ingress("q", 10, deny)]));
        world.expect("deny first", [tcp(EXT, HOST0, 8055, Dropped)]);
        agent.apply(&documents(&[eth0(), ingress("p", 10, allow), ingress("q", 20, deny)]));
        world.expect("allow first", [tcp(EXT, HOST0, 8055, Open)]);
        agent.apply(&documents(&[eth0(), ingress("a", 10, deny), ingress("b", 10, allow)]));
        world.expect("equal order, deny has the smaller name", [tcp(EXT, HOST0, 8055, Dropped)]);
        agent.apply(&documents(&[eth0(), ingress("a", 10, allow), ingress("b", 10, deny)]));
        world.expect("equal order, allow has the smaller name", [tcp(EXT, HOST0, 8055, Open)]);
        let last = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\n\
                    metadata: {name: a-last}\nspec: {selector: all(), types: [Ingress], \
                    ingress: [{action: Deny}]}\n";
        agent.apply(&documents(&[eth0(), last.to_owned(), ingress("b", 1_000_000, allow)]));
        world.expect("no order comes last", [tcp(EXT, HOST0, 8055, Open)]);
    }

    fn tiers_pass_on_or_end(owner) {
        let (world, agent) = start(owner);
        let hep = host_endpoint("eth0", "interfaceName: eth0, profiles: [p]");
        let base = profile("p", "ingress: [{action: Allow, protocol: TCP, \
                                 destination: {ports: [8057]}}]");
        let in_tier = |tier: &str, name: &str, rules: &str| {
            policy(&format!("{tier}.{name}"), 10, &format!(
                "tier: {tier}, types: [Ingress], ingress: [{rules}]"
            ))
        };
        let allow = |port: u16| {
            format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}")
        };
        let tiers = |action: &str| {
            [tier("first", 1, action), tier("second", 2, "")].join("---\n")
        };
        let rows = |one, two, three| {
            [
                tcp(EXT, HOST0, 8055, one),
                tcp(EXT, HOST0, 8056, two),
                tcp(EXT, HOST0, 8057, three),
            ]
        };
        agent.apply(&documents(&[
            hep.clone(), base.clone(), tiers(""),
            in_tier("first", "a", &format!("{}, {{action: Pass}}", allow(8055))),
            in_tier("second", "b", &allow(8056)),
        ]));
        world.expect("pass leads to the second tier", rows(Open, Open, Dropped));
        agent.apply(&documents(&[
            hep.clone(), base.clone(), tiers(""),
            in_tier("first", "a", &allow(8055)),
            in_tier("second", "b", &allow(8056)),
        ]));
        world.expect("the first tier ends", rows(Open, Dropped, Dropped));
        agent.apply(&documents(&[
            hep.clone(), base.clone(), tiers(", defaultAction: Pass"),
            in_tier("first", "a", &allow(8055)),
            in_tier("second", "b", &format!("{}, {{action: Pass}}", allow(8056))),
        ]));
        world.expect("passing at the end, and at last the profile", rows(Open, Open, Open));
        agent.apply(&documents(&[
            hep.clone(), base.clone(), tiers(""),
            in_tier("first", "a", &format!("{{action: Pass}}, {}", allow(8055))),
            in_tier("first", "b", "{action: Deny}"),
            in_tier("second", "c", &allow(8056)),
        ]));
        world.expect("pass skips the rest of its tier", rows(Dropped, Open, Dropped));
        agent.apply(&documents(&[
            hep, base, tiers(", defaultAction: Pass"),
            in_tier("first", "a", &allow(8055)),
            policy("second.b", 10, "tier: second, types: [Egress], egress: [{action: Deny}]"),
        ]));
        world.expect("a tier without policy in this direction does not end", [
            tcp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 8057, Open),
        ]);
    }

    fn a_direction_without_rules_is_denied_and_one_not_named_is_not(owner) {
        let (world, agent) = start(owner);
        let hep =
            host_endpoint("eth0", "interfaceName: eth0, profiles: [projectcalico-default-allow]");
        let rows = |inward, outward| {
            [
                tcp(EXT, HOST0, 8055, inward),
                tcp(HOST0, EXT, 8055, outward),
                udp(EXT, HOST0, 8055, inward),
                udp(HOST0, EXT, 8055, outward),
            ]
        };
        let with = |spec: &str| documents(&[hep.clone(), policy("p", 10, spec)]);
        agent.apply(&with("types: [Ingress]"));
        world.expect("ingress without rules", rows(Dropped, Open));
        agent.apply(&with("types: [Egress]"));
        world.expect("egress without rules", rows(Open, Dropped));
        agent.apply(&with("types: [Ingress, Egress], ingress: [{action: Allow}]"));
        world.expect("both, rules for one", rows(Open, Dropped));
    }

    fn staged_policies_are_not_enforced(owner) {
        let (world, agent) = start(owner);
        let hep =
            host_endpoint("eth0", "interfaceName: eth0, profiles: [projectcalico-default-allow]");
        let staged = ingress("staged", 10, "{action: Deny}")
            .replace("kind: GlobalNetworkPolicy", "kind: StagedGlobalNetworkPolicy");
        agent.apply(&documents(&[hep, staged]));
        world.expect("a staged policy", [tcp(EXT, HOST0, 8055, Open)]);
    }

    fn a_namespaced_policy_is_for_its_namespace(owner) {
        let (world, agent) = start(owner);
        let hep = |labels: &str| {
            netns_tests::resources::host_endpoint_of("host1", "eth0", labels, "interfaceName: eth0")
        };
        let namespaced = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n\
             metadata: {name: allow, namespace: prod}\n\
             spec: {order: 10, selector: role == 'host', types: [Ingress], \
             ingress: [{action: Allow}]}\n";
        agent.apply(&documents(&[&hep("role: host"), namespaced]));
        world.expect("the endpoint has no namespace", [tcp(EXT, HOST0, 8055, Dropped)]);
        let labels = "role: host, projectcalico.org/namespace: prod";
        agent.apply(&documents(&[&hep(labels), namespaced]));
        world.expect("the endpoint is in the namespace", [tcp(EXT, HOST0, 8055, Open)]);
    }

    fn resources_of_the_old_form_mean_the_same(owner) {
        let (world, agent) = start(owner);
        let check = |form: &str| {
            world.expect(form, [
                tcp(W1, HOST0, 8055, Open),
                tcp(W1, HOST0, 8057, Dropped),
                tcp(W1, HOST0, 8056, Open),
                tcp(W2, HOST0, 8055, Dropped),
                tcp(W2, HOST0, 8056, Open),
                tcp(W2, HOST0, 8057, Dropped),
                udp(W2, HOST0, 8055, Dropped),
                tcp(HOST0, EXT, 8055, Dropped),
            ]);
        };
        agent.apply(&V1_LIST.replace("PASS", "pass"));
        check("v1 as a list");
        // Each form bears a label of its own, so that it is a change.
        let turn = |text: &str, turn: &str| {
            text.replace("labels: {role: host}", &format!("labels: {{role: host, turn: {turn}}}"))
        };
        agent.apply(&turn(&V1_LIST.replace("PASS", "next-tier"), "b"));
        check("v1 with the datastore's word for pass");
        let lower = V1_LIST.replace("hostEndpoint", "hostendpoint").replace("policy", "Policy");
        agent.apply(&turn(&lower.replace("PASS", "pass"), "c"));
        check("v1 with kinds in another case");
        agent.apply(V3_DOCUMENTS);
        check("v3");
        let untyped = V3_DOCUMENTS.replace("types: [Ingress], order: 20", "order: 20");
        agent.apply(&turn(&untyped, "d"));
        check("v3 without types");
        // The endpoint and the profiles of one form, the policies of the other.
        let split = V1_LIST.find("- apiVersion: v1\n  kind: policy").expect("the policies are last");
        let v3 = V3_DOCUMENTS.find("---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy");
        agent.remove("resources.yaml");
        agent.put("v1.yaml", &V1_LIST[..split]);
        agent.put("v3.yaml", &V3_DOCUMENTS[v3.expect("the policies are last")..]);
        check("v3 policies for v1 endpoints");
    }
}

const V1_LIST: &str = "\
- apiVersion: v1
  kind: hostEndpoint
  metadata: {name: eth0, node: host1, labels: {role: host}}
  spec: {interfaceName: eth0, profiles: [base]}
- apiVersion: v1
  kind: workloadEndpoint
  metadata: {name: eth0, workload: w1, orchestrator: k8s, node: node2}
  spec: {interfaceName: calw1, ipNetworks: [10.65.0.1/32, \"fd65::1/128\"], profiles: [mgmt]}
- apiVersion: v1
  kind: profile
  metadata: {name: mgmt, tags: [mgmt]}
  spec: {}
- apiVersion: v1
  kind: profile
  metadata: {name: base}
  spec:
    ingress:
    - {action: allow, protocol: tcp, destination: {ports: [8056]}}
- apiVersion: v1
  kind: policy
  metadata: {name: first}
  spec:
    order: 10
    selector: role == 'host'
    ingress:
    - {action: deny, protocol: tcp, source: {tag: mgmt}, destination: {ports: [8057]}}
    - {action: allow, protocol: tcp, source: {tag: mgmt}, destination: {ports: [8055, 8057]}}
    - {action: PASS}
- apiVersion: v1
  kind: policy
  metadata: {name: second}
  spec:
    order: 20
    selector: role == 'host'
    ingress:
    - {action: deny}
";

const V3_DOCUMENTS: &str = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: eth0, labels: {role: host}}
spec: {node: host1, interfaceName: eth0, profiles: [base]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: node2-k8s-w1-eth0, namespace: default}
spec: {node: node2, orchestrator: k8s, pod: w1, endpoint: eth0, interfaceName: calw1,
  ipNetworks: [10.65.0.1/32, \"fd65::1/128\"], profiles: [mgmt]}
---
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: mgmt}
spec: {labelsToApply: {mgmt: \"\"}}
---
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: base}
spec:
  ingress:
  - {action: Allow, protocol: TCP, destination: {ports: [8056]}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first}
spec:
  order: 10
  selector: role == 'host'
  ingress:
  - {action: Deny, protocol: TCP, source: {selector: has(mgmt)}, destination: {ports: [8057]}}
  - {action: Allow, protocol: TCP, source: {selector: has(mgmt)}, destination: {ports: [8055, 8057]}}
  - {action: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: second}
spec: {types: [Ingress], order: 20, selector: role == 'host', ingress: [{action: Deny}]}
";
