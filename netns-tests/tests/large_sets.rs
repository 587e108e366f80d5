//! Sets with so many prefixes that they stand in hash tables by length: what packets see of it, and of the change
//! from one form to another; and very many sets.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::{DEADLINE, command_line};
use netns_tests::flood::{Fate, Flood, Kind};
use netns_tests::resources::{documents, eth0, ingress, network_set};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::{A1, A2, Agent, EXT, HOST0, Row, W1, W2, World, both_ways, tcp, witness};

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056, 8057],
    udp: &[],
    protocols: &[],
};

/// More prefixes than an interval set is to hold.
const MANY: u32 = 4_200;

/// Returns prefixes of one length in each family, none of which holds an address of a test.
fn filling() -> String {
    let mut nets = String::new();
    for number in 0..MANY {
        let (high, low) = (number / 256, number % 256);
        let _ = write!(nets, "20.{high}.{low}.0/24, \"2600:{number:x}::/48\", ");
    }
    nets.truncate(nets.len() - 2);
    nets
}

/// Returns the set of senders, which has the label `from`, and that of destinations, with the label `to`.
fn set(label: &str, nets: &str) -> String {
    network_set(label, &format!("{label}: 'yes'"), nets)
}

fn fill(label: &str) -> String {
    network_set(
        &format!("{label}-more"),
        &format!("{label}: 'yes'"),
        &filling(),
    )
}

/// Returns an endpoint with one port for members, one for all others, and one from members to members.
fn policies() -> String {
    let allow = |port: u16, criteria: &str| {
        format!("{{action: Allow, protocol: TCP, {criteria}, destination: {{ports: [{port}]}}}}")
    };
    let rules = [
        allow(8055, "source: {selector: has(from)}"),
        allow(8056, "source: {notSelector: has(from)}"),
        "{action: Log, protocol: TCP, source: {selector: has(from)}, destination: {selector: has(to)}}"
            .to_owned(),
        "{action: Allow, protocol: TCP, source: {selector: has(from)}, \
         destination: {selector: has(to), ports: [8057]}}"
            .to_owned(),
    ];
    documents(&[eth0(), ingress("sets", 10, &rules.join(", "))])
}

/// Expects that of some senders these are members; none of the others is.
fn members(members: &[netns_tests::Place]) -> Vec<Row> {
    let mut rows = vec![tcp(EXT, HOST0, 22, Open)];
    for place in [A1, A2, W1] {
        let is_member = members.contains(&place);
        let expected = |open| if open { Open } else { Dropped };
        rows.push(tcp(place, HOST0, 8055, expected(is_member)));
        rows.push(tcp(place, HOST0, 8056, expected(!is_member)));
        rows.push(tcp(place, HOST0, 8057, expected(is_member)));
    }
    rows
}

/// Returns the forms of the tables that the kernel has of the set of senders, without room and turn.
fn forms(world: &World, version: u8) -> BTreeSet<String> {
    let stem = format!("sel{version}-has-from-");
    let form = |name: &str| {
        let form = name.strip_prefix(&stem)?.rsplit_once('.')?.1;
        let form = form.strip_suffix("-b").unwrap_or(form);
        Some(
            form.split_once('-')
                .map_or(form, |(length, _)| length)
                .to_owned(),
        )
    };
    let objects = witness::ruleset(&world.host);
    let sets = objects
        .iter()
        .filter_map(|object| object.get("set")?.get("name")?.as_str());
    sets.filter_map(form).collect()
}

fn expect_forms(world: &World, v4: &[&str], v6: &[&str]) {
    for (version, wanted) in [(4, v4), (6, v6)] {
        let wanted: BTreeSet<String> = wanted.iter().map(|form| (*form).to_owned()).collect();
        assert_eq!(forms(world, version), wanted, "forms in IPv{version}");
    }
}

const FEW: &str = "10.1.0.0/24, \"fd01::/64\"";
const DESTINATIONS: &str = "192.0.2.0/30, \"2001:db8:1::/80\"";

/// How many sets come and go together.
const FLAPPING: usize = 2_000;

/// Returns a policy that comes after the one of the tests, with so many selectors, each of another text.
fn many_selectors() -> String {
    let rule = |number: usize| {
        format!(
            "{{action: Allow, protocol: UDP, source: {{selector: has(from) && !has(x{number})}}}}"
        )
    };
    let rules: Vec<String> = (0..FLAPPING / 2).map(rule).collect();
    documents(&[ingress("many", 20, &rules.join(", "))])
}

both_ways! {
    fn scenario_102_two_thousand_sets_come_and_go_and_hold_up_nothing(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let many = many_selectors();
        agent.put("policies.yaml", &policies());
        agent.put("sets.yaml", &documents(&[set("from", FEW), set("to", DESTINATIONS)]));
        let sets = || {
            let lines = witness::contents(&world.host);
            lines.iter().filter(|line| line.starts_with("set sel")).count()
        };
        let before = sets();
        let more = set("from", "10.2.0.2, \"fd02::2\"").replace("name: from", "name: from-more");
        let is_member = || witness::contents(&world.host).iter().any(|line| line.contains("10.2.0.2"));
        for _ in 0..5 {
            // Nothing of it is waited for; what comes with it must come into force all the same.
            agent.directory().put("many.yaml", &many);
            agent.directory().put("from.yaml", &more);
            until("a member comes", is_member);
            world.expect("a member has come", members(&[A1, A2]));
            agent.directory().remove("many.yaml");
            agent.directory().remove("from.yaml");
            until("it goes", || !is_member());
            world.expect("it has gone", members(&[A1]));
        }
        agent.directory().put("many.yaml", &many);
        until("they come", || sets() >= FLAPPING);
        agent.directory().remove("many.yaml");
        until("none is left", || sets() == before);
        world.expect("at the end", members(&[A1]));
        witness::agree(&world.host);
    }

    fn packets_see_the_same_of_a_set_in_every_form(owner) {
        let world = World::serving(SERVICES);
        let mut agent = Agent::start(&world.host, owner);
        agent.put("policies.yaml", &policies());
        agent.put("sets.yaml", &documents(&[set("from", FEW), set("to", DESTINATIONS)]));
        world.expect("an interval set", members(&[A1]));
        expect_forms(&world, &["nets"], &["nets"]);

        agent.put("from.yaml", &fill("from"));
        world.expect("the senders are split", members(&[A1]));
        expect_forms(&world, &["24", "nets"], &["48", "nets"]);
        witness::agree(&world.host);

        agent.put("to.yaml", &fill("to"));
        world.expect("the destinations are split as well", members(&[A1]));

        let more = format!("{FEW}, 10.2.0.2, \"fd02::2\", 10.65.0.0/30, \"fd65::/126\"");
        let before = witness::identities(&world.host);
        agent.put("sets.yaml", &documents(&[set("from", &more), set("to", DESTINATIONS)]));
        world.expect("other lengths come", members(&[A1, A2, W1]));
        assert_eq!(witness::identities(&world.host), before, "no rule says of which lengths the rest is");
        expect_forms(&world, &["24", "nets"], &["48", "nets"]);

        let wide = "10.0.0.0/9, \"fd00::/9\"";
        agent.put("sets.yaml", &documents(&[set("from", wide), set("to", DESTINATIONS)]));
        world.expect("a prefix covers members of every length", members(&[A1, A2, W1]));

        let before = witness::ruleset(&world.host);
        agent.kill();
        world.expect("without a daemon", members(&[A1, A2, W1]));
        let agent = Agent::on(&world.host, owner, &[], agent.directory());
        assert!(witness::ruleset(&world.host) == before, "a start takes over what it finds");
        let directory = agent.directory().path();
        let same = command_line(&world.host, owner, &["diff", &directory.to_string_lossy()]);
        assert_eq!(same.status.code(), Some(0), "tortie diff takes over what it finds: {same:?}");
        world.expect("with another daemon", members(&[A1, A2, W1]));

        agent.put("sets.yaml", &documents(&[set("from", FEW), set("to", DESTINATIONS)]));
        world.expect("the second daemon follows", members(&[A1]));
        agent.remove("from.yaml");
        world.expect("few prefixes again", members(&[A1]));
        expect_forms(&world, &["nets"], &["nets"]);
        let addresses = "10.1.0.2, \"fd01::2\"";
        agent.put("sets.yaml", &documents(&[set("from", addresses), set("to", DESTINATIONS)]));
        world.expect("addresses alone", members(&[A1]));
        expect_forms(&world, &["32"], &["32"]);
        witness::agree(&world.host);
    }

    fn no_packet_falls_between_the_tables_of_a_set(owner) {
        const FLIPS: usize = 60;
        let world = World::new();
        let agent = Agent::start(&world.host, owner);
        let rule = "{action: Allow, protocol: UDP, source: {selector: has(from)}, \
                    destination: {ports: [7001]}}, \
                    {action: Deny, protocol: UDP, source: {selector: has(from)}, \
                    destination: {ports: [7002, 7003]}}, \
                    {action: Allow, protocol: UDP, source: {notSelector: has(from)}, \
                    destination: {ports: [7003]}}";
        agent.apply(&documents(&[eth0(), ingress("sets", 10, rule)]));
        agent.put("from.yaml", &fill("from"));
        // The sender's prefix is one of the length with a hash table of its own, then one of the rest.
        let states = [
            "10.65.0.0/24, \"fd65::/48\"",
            "10.65.0.0/16, \"fd65::/32\"",
            "10.65.0.0/24, \"fd65::/48\", 10.77.0.0/16, \"fd77::/32\"",
        ];
        let put = |number: usize| {
            agent.put("sets.yaml", &set("from", states[number % states.len()]));
        };
        put(0);
        expect_forms(&world, &["24", "nets"], &["48", "nets"]);
        let kinds = [
            Kind { from: W1, port: 7001, fate: Fate::Always },
            Kind { from: W1, port: 7002, fate: Fate::Never },
            Kind { from: W2, port: 7003, fate: Fate::Never },
        ];
        let flood = Flood::start(&world, HOST0, &kinds, DEADLINE);
        for number in 1..=FLIPS {
            put(number);
        }
        let counts = flood.finish();
        eprintln!("{FLIPS} flips, {} packets", counts.iter().map(|count| count.sent).sum::<u64>());
        assert!(counts.iter().all(netns_tests::flood::Count::holds), "{counts:#?}");
    }
}
