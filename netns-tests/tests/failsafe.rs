//! Failsafe ports, which no policy can close.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::resources::{documents, egress, eth0, ingress};
use netns_tests::server::Services;
use netns_tests::{A3, Agent, EXT, HOST0, W1, World, both_ways, tcp, udp};

const SERVICES: Services = Services {
    tcp: &[
        22, 179, 2379, 2380, 4001, 5473, 6443, 6666, 6667, 7001, 8055,
    ],
    udp: &[53, 67, 68, 8055],
    protocols: &[],
};

const FELIX_CONFIGURATION: &str = "apiVersion: projectcalico.org/v3\n\
     kind: FelixConfiguration\n\
     metadata: {name: default}\n";

both_ways! {
    fn the_default_lists_survive_a_policy_that_denies_all(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&documents(&[
            eth0(),
            ingress("in", 1, "{action: Deny}"),
            egress("out", 1, "{action: Deny}"),
        ]));
        let inward = [22, 179, 2379, 2380, 5473, 6443, 6666, 6667];
        let outward = [179, 2379, 2380, 4001, 5473, 6443, 6666, 6667, 7001];
        world.expect("tcp in", inward.map(|port| tcp(EXT, HOST0, port, Open)));
        world.expect("tcp out", outward.map(|port| tcp(HOST0, EXT, port, Open)));
        world.expect("the rest", [
            udp(EXT, HOST0, 68, Open),
            udp(HOST0, EXT, 53, Open),
            udp(HOST0, EXT, 67, Open),
            tcp(EXT, HOST0, 8055, Dropped),
            tcp(EXT, HOST0, 4001, Dropped),
            tcp(HOST0, EXT, 8055, Dropped),
            tcp(HOST0, EXT, 22, Dropped),
            udp(EXT, HOST0, 53, Dropped),
            udp(HOST0, EXT, 68, Dropped),
        ]);
    }

    fn scenario_55_a_failsafe_may_be_for_one_net(owner) {
        let world = World::serving(SERVICES);
        let settings = [
            ("FELIX_FAILSAFEINBOUNDHOSTPORTS", "tcp:10.0.0.0/8:22, tcp:[fd65::/64]:179"),
            ("FELIX_FAILSAFEOUTBOUNDHOSTPORTS", "udp:10.0.0.0/8:53,tcp:[fd65::/64]:2379,2380"),
        ];
        let agent = Agent::with(&world.host, owner, &settings);
        agent.apply(&eth0());
        world.expect("inbound", [
            tcp(W1, HOST0, 22, Open).but_v6(Dropped),
            tcp(EXT, HOST0, 22, Dropped),
            tcp(A3, HOST0, 22, Dropped),
            tcp(W1, HOST0, 179, Dropped).but_v6(Open),
            tcp(EXT, HOST0, 179, Dropped),
            udp(EXT, HOST0, 68, Dropped),
        ]);
        world.expect("outbound", [
            udp(HOST0, W1, 53, Open).but_v6(Dropped),
            udp(HOST0, EXT, 53, Dropped),
            tcp(HOST0, W1, 2379, Dropped).but_v6(Open),
            tcp(HOST0, EXT, 2379, Dropped),
            tcp(HOST0, EXT, 2380, Open),
        ]);
    }

    fn scenario_56_none_closes_them_all(owner) {
        let world = World::serving(SERVICES);
        let settings =
            [("FELIX_FAILSAFEINBOUNDHOSTPORTS", "none"), ("FELIX_FAILSAFEOUTBOUNDHOSTPORTS", "NONE")];
        let agent = Agent::with(&world.host, owner, &settings);
        agent.apply(&eth0());
        world.expect("none", [
            tcp(EXT, HOST0, 22, Dropped),
            udp(EXT, HOST0, 68, Dropped),
            tcp(HOST0, EXT, 2379, Dropped),
            udp(HOST0, EXT, 53, Dropped),
        ]);
    }

    fn an_empty_list_is_ignored_with_a_warning(owner) {
        let world = World::serving(SERVICES);
        let settings = [("FELIX_FAILSAFEINBOUNDHOSTPORTS", "")];
        let agent = Agent::with(&world.host, owner, &settings);
        agent.apply(&eth0());
        world.expect("the defaults", [tcp(EXT, HOST0, 22, Open), tcp(EXT, HOST0, 8055, Dropped)]);
        agent.line(&netns_tests::agent::Mark::beginning(), "a warning", |line| {
            netns_tests::agent::is_warning(line)
                && line.to_lowercase().contains("failsafeinboundhostports")
        });
    }

    fn a_list_replaces_the_default(owner) {
        let world = World::serving(SERVICES);
        let settings = [("FELIX_FAILSAFEINBOUNDHOSTPORTS", "8055,udp:8055")];
        let agent = Agent::with(&world.host, owner, &settings);
        agent.apply(&eth0());
        world.expect("two ports", [
            tcp(EXT, HOST0, 8055, Open),
            udp(EXT, HOST0, 8055, Open),
            tcp(EXT, HOST0, 22, Dropped),
            tcp(HOST0, EXT, 2379, Open),
        ]);
    }

    fn a_felix_configuration_changes_them_while_running(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        agent.apply(&eth0());
        world.expect("the defaults", [tcp(EXT, HOST0, 22, Open), tcp(EXT, HOST0, 8055, Dropped)]);
        agent.put("config.yaml", &format!(
            "{FELIX_CONFIGURATION}spec: {{failsafeInboundHostPorts: [\n\
             \x20 {{protocol: TCP, port: 8055}}, {{protocol: TCP, port: 179, net: 10.0.0.0/8}}]}}\n"
        ));
        world.expect("a list from the datastore", [
            tcp(EXT, HOST0, 22, Dropped),
            tcp(EXT, HOST0, 8055, Open),
            tcp(W1, HOST0, 179, Open).but_v6(Dropped),
        ]);
        agent.put(
            "config.yaml",
            &format!("{FELIX_CONFIGURATION}spec: {{failsafeInboundHostPorts: []}}\n"),
        );
        world.expect("an empty list", [
            tcp(EXT, HOST0, 22, Dropped),
            tcp(EXT, HOST0, 8055, Dropped),
        ]);
        agent.remove("config.yaml");
        world.expect("the defaults again", [
            tcp(EXT, HOST0, 22, Open),
            tcp(EXT, HOST0, 8055, Dropped),
        ]);
    }
}
