//! What policies, profiles and the ends of tiers did with packets, as collectors of metrics are told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{TcpStream, UdpSocket};

use netns_tests::Outcome::Open;
use netns_tests::agent::Directory;
use netns_tests::nat::translate;
use netns_tests::resources::{
    ALLOW_ALL, documents, egress, eth0, forward, host_endpoint, ingress, local, network_set,
    pre_dnat, profile, tier, untracked, workload_policy,
};
use netns_tests::server::Services;
use netns_tests::stage::until;
use netns_tests::{
    Agent, EXT, Family, HOST0, Namespace, Owner, Place, W1, W2, WL0, WL1, World, both_ways, stage,
    tcp, witness,
};

const METRICS: (&str, u16) = ("127.0.0.1", 9091);
const SERVED: (&str, &str) = ("FELIX_PROMETHEUSMETRICSENABLED", "true");
const COUNTED: (&str, &str) = ("TORTIE_POLICYCOUNTERS", "Enabled");
const SETTINGS: [(&str, &str); 2] = [SERVED, COUNTED];

const SERVICES: Services = Services {
    tcp: &[8055],
    udp: &[],
    protocols: &[],
};

/// The bytes of the datagrams that are sent here.
const PAYLOAD: usize = 10;

/// Packets and bytes by family and labels.
type Counts = BTreeMap<String, (u64, u64)>;

/// Asks the daemon's metrics server.
fn page(host: &Namespace) -> Option<String> {
    host.run(|| {
        let mut stream = TcpStream::connect(METRICS).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        Some(page)
    })
}

/// Returns what the page says, under `FAMILY LABEL-VALUES`.
fn counts(host: &Namespace) -> Counts {
    let mut found = None;
    // Its settings may be changing.
    until("metrics are served", || {
        found = page(host);
        found.is_some()
    });
    let page = found.expect("a page");
    let mut counts = Counts::new();
    for line in page.lines() {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let (labels, value) = rest.rsplit_once("} ").expect("labels and a value");
        let values: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
        let key = |family: &str| format!("{family} {}", values.join(" "));
        let value = || value.parse::<u64>().expect("a count");
        if let Some(family) = name.strip_suffix("_packets_total") {
            counts.entry(key(family)).or_default().0 = value();
        } else if let Some(family) = name.strip_suffix("_bytes_total") {
            counts.entry(key(family)).or_default().1 = value();
        }
    }
    counts
}

/// The name under which a global policy of the default tier is counted.
fn of(policy: &str, direction: &str, action: &str) -> String {
    format!("tortie_policy default  {policy} {direction} {action}")
}

fn packets(counts: &Counts, name: &str) -> Option<u64> {
    counts.get(name).map(|(packets, _)| *packets)
}

/// Waits until each has counted so many packets, and demands that none has counted more, or an owner that is not
/// named anything at all.
#[track_caller]
fn exactly(host: &Namespace, wanted: &[(String, u64)]) -> Counts {
    let mut seen = Counts::new();
    // What was sent may still be on its way.
    until(&format!("{wanted:?}"), || {
        seen = counts(host);
        wanted
            .iter()
            .all(|(name, count)| packets(&seen, name).is_some_and(|packets| packets >= *count))
    });
    let others = seen.iter().filter(|(_, (packets, _))| *packets > 0);
    let found: BTreeMap<String, u64> = others
        .map(|(name, (packets, _))| (name.clone(), *packets))
        .collect();
    let wanted = wanted.iter().filter(|(_, count)| *count > 0).cloned();
    assert_eq!(found, wanted.collect(), "{seen:#?}");
    seen
}

/// Sends datagrams of [`PAYLOAD`] bytes in one family, each from a port of its own.
fn send_in(world: &World, family: Family, from: Place, to: Place, port: u16, count: usize) {
    world.site(from.site).run(|| {
        for _ in 0..count {
            let socket = UdpSocket::bind((from.address(family), 0)).expect("a socket");
            // A refusal by ourselves is an error to whoever sends.
            let _ = socket.send_to(&[0; PAYLOAD], (to.address(family), port));
        }
    });
}

/// Sends datagrams in IPv4, and as many in IPv6.
fn send(world: &World, from: Place, to: Place, port: u16, count: usize) {
    for family in [Family::V4, Family::V6] {
        send_in(world, family, from, to, port, count);
    }
}

/// The counters of the kernel's table as `nft` lists them, by name.
fn listed(host: &Namespace) -> Counts {
    let text = host.exec("nft", &["list", "counters", "table", "inet", "tortie"], "");
    let mut counts = Counts::new();
    let mut name = "";
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("counter ") {
            name = rest.trim_end_matches(" {");
        } else if let Some(numbers) = line.strip_prefix("packets ") {
            let (packets, bytes) = numbers.split_once(" bytes ").expect("both numbers");
            let number = |text: &str| text.parse().expect("a number");
            counts.insert(name.to_owned(), (number(packets), number(bytes)));
        }
    }
    counts
}

fn udp(action: &str, source: &str, ports: &str) -> String {
    format!(
        "{{action: {action}, protocol: UDP, source: {{selector: \"{source}\"}}, destination: {{ports: [{ports}]}}}}"
    )
}

/// Two tiers whose policies look at one set; what neither decides is refused at the end of the second.
fn two_tiers(first: &str, second: &str) -> String {
    documents(&[
        eth0(),
        network_set("senders", "role: sender", "192.0.2.0/24, 2001:db8:1::/64"),
        tier("sec", 10, ""),
        first.to_owned(),
        second.to_owned(),
    ])
}

const SENDERS: &str = "role == 'sender'";

fn first(order: u32, ports: &str) -> String {
    let deny = udp("Deny", SENDERS, ports);
    let rules = format!("{deny}, {{action: Log, protocol: UDP}}, {{action: Pass}}");
    ingress("sec.first", order, &rules).replace("spec: {", "spec: {tier: sec, ")
}

fn second(order: u32, source: &str, ports: &str) -> String {
    ingress("second", order, &udp("Allow", source, ports))
}

fn of_first(action: &str) -> String {
    format!("tortie_policy sec  sec.first ingress {action}")
}

/// What the two tiers have counted after so many rounds of [`round`].
fn after(rounds: u64) -> [(String, u64); 4] {
    [
        (of_first("deny"), 10 * rounds),
        (of_first("pass"), 20 * rounds),
        (of("second", "ingress", "allow"), 14 * rounds),
        ("tortie_default_deny default ingress".to_owned(), 6 * rounds),
    ]
}

/// Sends what each rule of the two tiers decides, and what none does.
fn round(world: &World) {
    send(world, EXT, HOST0, 7001, 5);
    send(world, EXT, HOST0, 7002, 7);
    send(world, EXT, HOST0, 7003, 3);
}

both_ways! {
    fn counts_are_exact_and_outlive_every_change(owner) {
        let world = World::new();
        let host = &world.host;
        let mut agent = Agent::with(host, owner, &SETTINGS);
        agent.apply(&two_tiers(&first(10, "7001"), &second(10, SENDERS, "7002")));
        exactly(host, &[(of_first("deny"), 0), (of_first("allow"), 0)]);
        round(&world);
        let seen = exactly(host, &after(1));
        // An IPv4 header has 20 bytes, an IPv6 header 40, a UDP header 8.
        let bytes = u64::try_from(5 * (28 + PAYLOAD) + 5 * (48 + PAYLOAD)).expect("a number");
        assert_eq!(seen[&of_first("deny")], (10, bytes));
        let nft = listed(host);
        assert_eq!(nft["pol-in-deny-sec.sec.first"], seen[&of_first("deny")]);
        assert_eq!(nft["pol-in-allow-default.second"], seen[&of("second", "ingress", "allow")]);
        assert_eq!(nft.len(), seen.len());

        agent.apply(&two_tiers(&first(10, "7001, 9"), &second(10, SENDERS, "7002, 9")));
        round(&world);
        exactly(host, &after(2));
        agent.apply(&two_tiers(&first(20, "7001"), &second(20, "role in {'sender'}", "7002")));
        round(&world);
        exactly(host, &after(3));
        // A rule that comes back finds what it had counted.
        let pass = ingress("sec.first", 10, "{action: Pass}").replace("spec: {", "spec: {tier: sec, ");
        agent.apply(&two_tiers(&pass, &ingress("second", 5, "{action: Deny, protocol: TCP}")));
        agent.apply(&two_tiers(&first(10, "7001"), &second(10, SENDERS, "7002")));
        round(&world);
        exactly(host, &after(4));
        // Chains are renamed where other policies come to the tier.
        let more = documents(&[two_tiers(&first(10, "7001"), &second(10, SENDERS, "7002")), ingress("third", 1, "{action: Allow, protocol: TCP}")]);
        agent.apply(&more);
        round(&world);
        exactly(host, &after(5));
        for end in [Agent::kill, |agent: &mut Agent| { agent.terminate(); }] {
            end(&mut agent);
            agent = Agent::on(host, owner, &SETTINGS, agent.directory());
            exactly(host, &after(5));
        }
        round(&world);
        exactly(host, &after(6));
    }

    fn counters_go_with_their_policies_and_come_back_empty(owner) {
        let world = World::new();
        let host = &world.host;
        let agent = Agent::with(host, owner, &SETTINGS);
        let both = two_tiers(&first(10, "7001"), &second(10, SENDERS, "7002"));
        agent.apply(&both);
        round(&world);
        exactly(host, &after(1));
        agent.apply(&two_tiers(&first(10, "7001"), ""));
        let seen = exactly(host, &after(1)[..2]);
        assert!(seen.keys().all(|name| !name.contains("second")), "{seen:?}");
        assert!(listed(host).keys().all(|name| name.contains("sec.first") || name.starts_with("end-")));
        agent.apply(&both);
        exactly(host, &after(1)[..2]);
        agent.remove("resources.yaml");
        assert_eq!(listed(host), Counts::new());
        assert_eq!(counts(host), Counts::new());
    }

    fn the_switch_is_turned_without_a_restart(owner) {
        let world = World::new();
        let host = &world.host;
        let agent = Agent::with(host, owner, &[SERVED]);
        let policies = two_tiers(&first(10, "7001"), &second(10, SENDERS, "7002"));
        agent.apply(&policies);
        let plain = witness::rules(host);
        assert!(plain.iter().all(|rule| !rule.to_string().contains("counter")), "{plain:#?}");
        round(&world);
        assert_eq!(counts(host), Counts::new());
        let switch = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n\
                      metadata: {name: default}\nspec: {policyCounters: Enabled}\n";
        for _ in 0..2 {
            agent.put("felix.yaml", switch);
            round(&world);
            exactly(host, &after(1));
            agent.remove("felix.yaml");
            until("the page is without counters", || counts(host).is_empty());
            assert_eq!(listed(host), Counts::new());
            let without_handles = |rules: Vec<serde_json::Value>| -> Vec<serde_json::Value> {
                rules.into_iter().map(|mut rule| { rule["handle"].take(); rule }).collect()
            };
            assert_eq!(without_handles(witness::rules(host)), without_handles(plain.clone()));
        }
    }

    fn each_hook_counts_once_for_each_endpoint_that_is_asked(owner) {
        let resources = [
            host_endpoint("eth0", "interfaceName: eth0, profiles: [open]"),
            profile("open", "ingress: [{action: Allow}], egress: [{action: Deny, protocol: UDP, destination: {ports: [7009]}}, {action: Allow}]"),
            local(WL0, "profiles: [open]"),
            local(WL1, "profiles: [open]"),
        ];
        let (world, agent) = stage(owner, SERVICES, 2, &SETTINGS, &resources);
        let host = &world.host;
        let rules = |action: &str, port: u16| format!("{{action: {action}, protocol: UDP, destination: {{ports: [{port}]}}}}");
        let with = |more: &[String]| documents(&[resources.to_vec(), more.to_vec()].concat());
        let profile = |direction: &str, action: &str| format!("tortie_profile open {direction} {action}");

        let sent = counts(host);
        // What was wired and routed before may have sent something, which is not of these ports.
        let before = |name: &str| packets(&sent, name).unwrap_or(0);
        send(&world, HOST0, EXT, 7009, 4);
        until("the profile refuses", || packets(&counts(host), &profile("egress", "deny")) == Some(before(&profile("egress", "deny")) + 8));

        // Egress of the host, and of a workload whose packets the host endpoint is asked about as well.
        agent.apply(&with(&[
            egress("out", 10, &format!("{}, {}", rules("Deny", 7001), rules("Allow", 7002))),
            workload_policy("from", 10, &format!("types: [Egress], egress: [{}, {}]", rules("Deny", 7001), rules("Allow", 7002))),
            workload_policy("to", 10, &format!("types: [Ingress], ingress: [{}, {}]", rules("Deny", 7003), rules("Allow", 7002))),
            forward("through", 10, &format!("types: [Egress], egress: [{}]", rules("Allow", 7002))),
        ]));
        send(&world, HOST0, EXT, 7001, 3);
        send(&world, HOST0, EXT, 7002, 2);
        send(&world, WL0, EXT, 7001, 5);
        send(&world, WL0, EXT, 7002, 4);
        send(&world, EXT, WL1, 7003, 1);
        send(&world, EXT, WL1, 7002, 6);
        send(&world, WL0, WL1, 7002, 7);
        let wanted = [
            (of("out", "egress", "deny"), 6),
            // `through` stands behind it in the order of names, and is not asked.
            (of("out", "egress", "allow"), 4),
            (of("from", "egress", "deny"), 10),
            (of("from", "egress", "allow"), 8 + 14),
            (of("to", "ingress", "deny"), 2),
            (of("to", "ingress", "allow"), 12 + 14),
            // Traffic of workloads alone is forwarded.
            (of("through", "egress", "allow"), 8),
        ];
        until(&format!("{wanted:?}"), || {
            let seen = counts(host);
            wanted.iter().all(|(name, count)| packets(&seen, name) >= Some(*count))
        });
        let seen = counts(host);
        for (name, count) in &wanted {
            assert_eq!(packets(&seen, name), Some(*count), "{name} in {seen:#?}");
        }
    }

    fn untracked_policy_counts_every_packet_and_tracked_policy_the_first(owner) {
        let (world, agent) = stage(owner, SERVICES, 0, &SETTINGS, &[]);
        let host = &world.host;
        let tcp_in = |port: &str| format!("{{action: Allow, protocol: TCP, {port}: {{ports: [8055]}}}}");
        agent.apply(&documents(&[eth0(), ingress("tracked", 10, &tcp_in("destination"))]));
        world.expect("a connection each", [tcp(EXT, HOST0, 8055, Open)]);
        exactly(host, &[(of("tracked", "ingress", "allow"), 2)]);
        let both = format!(
            "types: [Ingress, Egress], ingress: [{}, {{action: Deny, protocol: UDP}}], egress: [{}]",
            tcp_in("destination"),
            tcp_in("source")
        );
        agent.apply(&documents(&[eth0(), untracked("early", 10, &both)]));
        world.expect("a connection each", [tcp(EXT, HOST0, 8055, Open)]);
        let seen = counts(host);
        // More than one in each family.
        for direction in ["ingress", "egress"] {
            let count = packets(&seen, &of("early", direction, "allow"));
            assert!(count >= Some(2 * 2), "{direction}: {count:?}");
        }
        send(&world, EXT, HOST0, 7001, 5);
        until("what is refused counts", || packets(&counts(host), &of("early", "ingress", "deny")) == Some(10));
    }

    fn pre_dnat_policy_counts_the_port_before_translation(owner) {
        let open = local(WL0, ALLOW_ALL);
        let (world, agent) = stage(owner, SERVICES, 1, &SETTINGS, std::slice::from_ref(&open));
        let host = &world.host;
        translate(&world, &[(7010, WL0, 7002)]);
        let rules = "{action: Allow, protocol: UDP, destination: {ports: [7010]}}, {action: Deny, protocol: UDP}";
        agent.apply(&documents(&[eth0(), open, pre_dnat("early", 10, rules)]));
        send(&world, EXT, HOST0, 7010, 3);
        send(&world, EXT, HOST0, 7011, 4);
        send(&world, EXT, WL0, 7002, 2);
        let wanted = [(of("early", "ingress", "allow"), 6), (of("early", "ingress", "deny"), 12)];
        until("both count", || {
            let seen = counts(host);
            wanted.iter().all(|(name, count)| packets(&seen, name) == Some(*count))
        });
    }
}

/// Writes many policies for the endpoint.
fn many(count: u32) -> String {
    let mut text = String::new();
    for number in 0..count {
        let rule = format!(
            "{{action: Deny, protocol: UDP, destination: {{ports: [{}]}}}}",
            20_000 + number % 10_000
        );
        let _ = write!(
            text,
            "---\n{}",
            ingress(&format!("p{number}"), 10 + number, &rule)
        );
    }
    text
}

#[test]
fn thousands_of_policies_are_counted_and_change_while_collectors_ask() {
    if !netns_tests::ns::privileged() {
        return;
    }
    let world = World::new();
    let host = &world.host;
    let directory = Directory::new();
    directory.put("many.yaml", &many(2_000));
    directory.put("resources.yaml", &eth0());
    let agent = Agent::on(host, Owner::usual(), &SETTINGS, &directory);
    send_in(&world, Family::V4, W1, HOST0, 21_999, 5);
    until("the last one counts", || {
        packets(&counts(host), &of("p1999", "ingress", "deny")) == Some(5)
    });
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..3).map(|_| counts(host).len()).min()))
            .collect();
        for port in 0..5 {
            let rule =
                format!("{{action: Allow, protocol: UDP, destination: {{ports: [{port}]}}}}");
            agent.apply(&documents(&[eth0(), ingress("moving", 1, &rule)]));
        }
        for asker in asking {
            // Three decisions of each policy, and the end of the tier.
            assert!(asker.join().expect("a collector") >= Some(2_000 * 3 + 1));
        }
    });
    send_in(&world, Family::V4, W2, HOST0, 21_999, 2);
    until("it goes on", || {
        packets(&counts(host), &of("p1999", "ingress", "deny")) == Some(7)
    });
    assert_eq!(listed(host).len(), 2_001 * 3 + 2);
}
