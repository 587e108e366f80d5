//! Resources of the v1 form and what `tortie convert` makes of them mean the same for every packet that the host itself
//! sends or receives, and where they do not, for what it forwards, `tortie convert` has said so.

#![expect(clippy::expect_used, reason = "what is not there in a test fails it")]
#![expect(clippy::disallowed_methods, reason = "a test may start programs")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use tortie::datastore::{Origin, decode_file};
use tortie::explain::{Content, Failsafe, Host, Packet, Settings};
use tortie::net::{InterfaceName, Protocol};

/// How many sets of resources are tried.
const SEEDS: u64 = 40;
/// The name of the host.
const NODE: &str = "here";
/// The warning about interfaces of hosts.
const FORWARDED: &str =
    "in v3 form, failsafe ports and profiles do not count for forwarded traffic";
/// The warning about workloads.
const WORKLOADS: &str = "policies with applyOnForward count also for traffic between an interface";
/// The interfaces, with their own addresses and those behind them.
const INTERFACES: [(&str, [&str; 2], [&str; 2]); 4] = [
    (
        "eth0",
        ["192.0.2.1", "2001:db8:1::1"],
        ["192.0.2.9", "2001:db8:1::9"],
    ),
    (
        "eth1",
        ["198.51.100.1", "2001:db8:2::1"],
        ["198.51.100.9", "2001:db8:2::9"],
    ),
    (
        "cali0",
        ["169.254.1.1", "fe80::1"],
        ["10.65.0.10", "fd65::10"],
    ),
    (
        "cali1",
        ["169.254.1.2", "fe80::2"],
        ["10.65.0.11", "fd65::11"],
    ),
];

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let limit = u64::try_from(limit).expect("a small number");
        usize::try_from((self.0 >> 33) % limit).expect("a smaller number")
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Makes what a rule says of one end; its nets are of one family, as calicoctl asks.
fn entity(random: &mut Random, family: usize, ports: bool) -> String {
    let nets = [
        [
            "net: 192.0.2.0/24",
            "net: 10.65.0.0/16",
            "notNet: 198.51.100.9/32",
        ],
        [
            "net: 'fd65::/16'",
            "net: '2001:db8::/32'",
            "notNet: '2001:db8:1::/48'",
        ],
    ][family];
    let mut fields = vec![match random.below(2) {
        0 => random.one(&nets),
        _ => random.one(&[
            "",
            "tag: friendly",
            "notTag: friendly",
            "selector: role == 'web'",
            "notSelector: has(zone)",
            "selector: '!has(role)'",
        ]),
    }];
    if ports {
        fields.push(random.one(&[
            "",
            "ports: [22]",
            "ports: [80, '440:450']",
            "notPorts: [80]",
            "ports: ['1:60000']",
        ]));
    }
    fields.retain(|field| !field.is_empty());
    format!("{{{}}}", fields.join(", "))
}

fn rules(random: &mut Random, world: World) -> String {
    let actions: &[&str] = match world {
        World::Any => &["allow", "deny", "allow", "pass", "log"],
        // What is passed on is left to profiles.
        World::Whole => &["allow", "deny", "log"],
    };
    let rules = (0..random.below(4)).map(|_| {
        let action = random.one(actions);
        let family = random.below(2);
        let (protocol, ports) = match random.below(7) {
            0 => ("protocol: tcp, ", true),
            1 => ("protocol: udp, ", true),
            2 if family == 0 => ("protocol: icmp, icmp: {type: 8}, ", false),
            2 => ("protocol: icmpv6, ", false),
            3 => ("notProtocol: udp, ", false),
            4 => ("protocol: 4, ", false),
            _ => ("", false),
        };
        let source = entity(random, family, false);
        let destination = entity(random, family, ports);
        format!("{{action: {action}, {protocol}source: {source}, destination: {destination}}}")
    });
    format!("[{}]", rules.collect::<Vec<_>>().join(", "))
}

/// What no resource of the v1 form leaves out, so that its v3 form leaves nothing out either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    /// Anything may be missing.
    Any,
    /// A policy selects every endpoint, and there are no failsafe ports.
    Whole,
}

/// Makes resources of the v1 form.
fn resources(random: &mut Random, world: World) -> String {
    let mut all = String::new();
    let mut put = |kind: &str, metadata: &str, spec: &str| {
        writeln!(
            all,
            "- {{apiVersion: v1, kind: {kind}, metadata: {{{metadata}}}, spec: {{{spec}}}}}"
        )
        .expect("text");
    };
    let labels = ["", "role: web", "zone: dmz", "role: db, zone: dmz"];
    let profiles = [
        "",
        "profiles: [common]",
        "profiles: [gone]",
        "profiles: [other, common]",
    ];
    for (name, own, _) in &INTERFACES[..2] {
        if random.below(4) > 0 {
            let by = if random.below(2) == 0 {
                format!(
                    "interfaceName: {name}, expectedIPs: ['{}', '{}']",
                    own[0], own[1]
                )
            } else {
                format!("expectedIPs: ['{}']", own[0])
            };
            let metadata = format!(
                "name: {name}, node: {NODE}, labels: {{{}}}",
                random.one(&labels)
            );
            put(
                "hostEndpoint",
                &metadata,
                &format!("{by}, {}", random.one(&profiles)),
            );
        }
    }
    for (name, _, behind) in &INTERFACES[2..] {
        if random.below(4) > 0 {
            let metadata = format!(
                "name: eth0, node: {NODE}, orchestrator: cni, workload: w-{name}, labels: {{{}}}",
                random.one(&labels)
            );
            let spec = format!(
                "interfaceName: {name}, ipNetworks: ['{}/32', '{}/128'], {}",
                behind[0],
                behind[1],
                random.one(&profiles)
            );
            put("workloadEndpoint", &metadata, &spec);
        }
    }
    for name in ["common", "other"] {
        let tags = random.one(&["", ", tags: [friendly]"]);
        let labels = random.one(&["", ", labels: {zone: lan}"]);
        let spec = format!(
            "ingress: {}, egress: {}",
            rules(random, world),
            rules(random, world)
        );
        put("profile", &format!("name: {name}{tags}{labels}"), &spec);
    }
    for number in 0..random.below(5) {
        let selector = random.one(&[
            "all()",
            "role == 'web'",
            "has(friendly)",
            "zone in {'dmz', 'lan'}",
            "",
        ]);
        let order = random.one(&["order: 1, ", "order: 2.5, ", ""]);
        let (kind, egress) = match random.below(6) {
            0 => ("doNotTrack: true, ", rules(random, world)),
            1 => ("preDNAT: true, ", "[]".to_owned()),
            2 => ("types: [ingress], ", "[]".to_owned()),
            _ => ("", rules(random, world)),
        };
        let spec = format!(
            "selector: \"{selector}\", {order}{kind}ingress: {}, egress: {egress}",
            rules(random, world)
        );
        put("policy", &format!("name: p{number}"), &spec);
    }
    if world == World::Whole {
        let spec = format!(
            "selector: all(), order: 9, ingress: {}, egress: {}",
            rules(random, world),
            rules(random, world)
        );
        put("policy", "name: whole", &spec);
    }
    all
}

/// Runs `tortie convert`, and returns what it printed on stdout and on stderr.
fn convert(text: &str) -> (String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tortie"))
        .args(["convert", "-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("standard input");
    stdin.write_all(text.as_bytes()).expect("it is read");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    assert!(output.status.success(), "{text}\n{stderr}");
    (stdout, stderr)
}

fn host(text: &str, world: World) -> Host {
    let decoded = decode_file("resources", text.as_bytes(), Origin::File).expect("documents");
    assert_eq!(decoded.problems, [], "{text}");
    let resources: BTreeMap<_, _> = decoded
        .objects
        .into_iter()
        .map(|located| (located.key, located.value))
        .collect();
    let open = |port| Failsafe {
        protocol: Protocol::TCP,
        net: None,
        port,
    };
    let failsafe = match world {
        World::Any => vec![open(22)],
        World::Whole => Vec::new(),
    };
    let settings = Settings {
        failsafe_inbound: failsafe.clone(),
        failsafe_outbound: failsafe,
        ..Settings::new(NODE)
    };
    let interfaces = INTERFACES.map(|(name, own, _)| {
        let own: BTreeSet<IpAddr> = own.map(|text| text.parse().expect("an address")).into();
        (interface(name), own)
    });
    Host::new(settings, resources, interfaces.into())
}

fn interface(name: &str) -> InterfaceName {
    name.parse().expect("a name")
}

/// Where a packet comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Host,
    Interface(usize),
}

impl End {
    fn is_workload(self) -> bool {
        matches!(self, Self::Interface(2 | 3))
    }
}

/// Returns packets of every way through the host.
fn packets() -> Vec<(End, End, Packet)> {
    let ends = [
        End::Host,
        End::Interface(0),
        End::Interface(1),
        End::Interface(2),
        End::Interface(3),
    ];
    let mut packets = Vec::new();
    let ways = ends
        .iter()
        .flat_map(|from| ends.iter().map(move |to| (*from, *to)));
    for (from, to) in ways.filter(|(from, to)| from != to) {
        for family in [0, 1] {
            let address = |end: End, other: End| {
                let text = match (end, other) {
                    (End::Interface(number), _) => INTERFACES[number].2[family],
                    (End::Host, End::Interface(number)) => INTERFACES[number % 2].1[family],
                    (End::Host, End::Host) => INTERFACES[0].1[family],
                };
                text.parse::<IpAddr>().expect("an address")
            };
            let icmp = [Protocol::ICMP, Protocol::ICMPV6][family];
            let ports = |port| Content::Ports {
                source: 40_000,
                destination: port,
            };
            let kind = [8, 128][family];
            for (protocol, content) in [
                (Protocol::TCP, ports(22)),
                (Protocol::TCP, ports(80)),
                (Protocol::TCP, ports(9_999)),
                (Protocol::UDP, ports(443)),
                (Protocol::UDP, ports(80)),
                (icmp, Content::Icmp { kind, code: 0 }),
                (Protocol::IPIP, Content::Other),
            ] {
                let named = |end| match end {
                    End::Host => None,
                    End::Interface(number) => Some(interface(INTERFACES[number].0)),
                };
                let packet = Packet::new(protocol, address(from, to), address(to, from), content);
                let (input, output) = (named(from), named(to));
                packets.push((
                    from,
                    to,
                    Packet {
                        input,
                        output,
                        ..packet
                    },
                ));
            }
        }
    }
    packets
}

/// Counts the packets of forwarded traffic whose fates differ, by whether a workload has to do with it.
fn differences(world: World) -> [usize; 2] {
    let packets = packets();
    let mut differences = [0, 0];
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let before = resources(&mut random, world);
        let (after, remarks) = convert(&before);
        let [v1, v3] = [&before, &after].map(|text| host(text, world));
        for (from, to, packet) in &packets {
            let [was, is] = [&v1, &v3].map(|host| host.packet(packet));
            let fates = [&was, &is].map(|journey| (journey.is_allowed(), journey.untracked));
            // What a packet that was refused would have been is nobody's business.
            if fates[0] == fates[1] || !(fates[0].0 || fates[1].0) {
                continue;
            }
            let of_workload = from.is_workload() || to.is_workload();
            let forwarded = ![*from, *to].contains(&End::Host);
            let both = from.is_workload() && to.is_workload();
            let said = if of_workload { WORKLOADS } else { FORWARDED };
            assert!(
                forwarded && !both && remarks.contains(said),
                "seed {seed}: {from:?} to {to:?}\n{before}\n{after}\n{remarks}\n{was}\n{is}"
            );
            differences[usize::from(of_workload)] += 1;
        }
    }
    differences
}

#[test]
fn only_forwarded_packets_fare_differently_and_the_remarks_say_so() {
    let [between_interfaces, with_workloads] = differences(World::Any);
    assert!(
        between_interfaces > 0,
        "nothing that is said of interfaces is seen"
    );
    assert!(
        with_workloads > 0,
        "nothing that is said of workloads is seen"
    );
}

#[test]
fn where_policy_selects_every_endpoint_interfaces_forward_the_same() {
    let [between_interfaces, _] = differences(World::Whole);
    assert_eq!(between_interfaces, 0);
}
