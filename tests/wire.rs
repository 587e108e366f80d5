//! Our messages against those of the program `nft` for the same statements, attribute for attribute.
//!
//! The captures say how they were made. Where ours differ on purpose, [`differs_on_purpose`] and
//! [`without_first_mark`] say why.
#![cfg(target_endian = "little")]
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tortie::kernel::{Batch, Target};
use tortie::net::{Family, InterfaceName, PortRange, Protocol, parse_net};
use tortie::nft::{
    BaseChain, ChainName, ChainType, Comparison, Element, ElementKey, Expr, Fingerprint, Hook,
    InterfaceMatch, InterfaceSide, Key, KeyType, Limit, LimitUnit, Operation, Plan, RejectWith,
    Rule, SetSpec, Side, TableName, Verdict, ct_state, ct_status,
};

const RULES: &str = include_str!("captures/rules.txt");
const OBJECTS: &str = include_str!("captures/objects.txt");

const NEWRULE: u16 = 0x0a06;
const NEWSET: u16 = 0x0a09;
const NEWSETELEM: u16 = 0x0a0c;

/// Reads a capture: each statement with its messages.
fn captured(text: &str) -> BTreeMap<&str, Vec<Vec<u8>>> {
    let mut statements: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(statement) = line.strip_prefix("# ") {
            current = statement;
        } else if !line.is_empty() {
            let bytes = (0..line.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap());
            statements.entry(current).or_default().push(bytes.collect());
        }
    }
    statements
}

/// Encodes operations and returns the messages between the ends of the batch.
fn encoded(operations: Vec<Operation>) -> Vec<Vec<u8>> {
    let table: TableName = "tortie".parse().unwrap();
    let target = Target {
        table: &table,
        flags: 0,
    };
    let batch = Batch::encode(&Plan { operations }, &target, 1).unwrap();
    let mut rest = batch.bytes();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_ne_bytes(rest[..4].try_into().unwrap());
        let (message, next) = rest.split_at(usize::try_from(length).unwrap());
        messages.push(message.to_vec());
        rest = next;
    }
    let kind = |message: &[u8]| u16::from_ne_bytes(message[4..6].try_into().unwrap());
    assert_eq!(kind(&messages[0]), 0x10);
    assert_eq!(kind(messages.last().unwrap()), 0x11);
    assert_eq!(messages.len() - 2, batch.message_count());
    messages[1..messages.len() - 1].to_vec()
}

/// Shows a message as text, one line for each attribute.
fn shown(message: &[u8]) -> String {
    let number = |at: usize| u16::from_ne_bytes(message[at..at + 2].try_into().unwrap());
    let kind = number(4);
    let acknowledged = 0x4;
    let mut text = format!(
        "type {kind:#06x} flags {:#x} family {:?}\n",
        number(6) & !acknowledged,
        &message[16..20]
    );
    attributes(&mut text, &[kind], &message[20..]);
    text
}

fn attributes(text: &mut String, path: &[u16], mut rest: &[u8]) {
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes(rest[..2].try_into().unwrap()));
        let kind = u16::from_ne_bytes(rest[2..4].try_into().unwrap());
        let value = &rest[4..length];
        let mut here = path.to_vec();
        here.push(kind & 0x7fff);
        if !differs_on_purpose(&here, value) {
            let indent = "  ".repeat(path.len());
            if kind & 0x8000 == 0 {
                writeln!(text, "{indent}{kind}: {value:02x?}").unwrap();
            } else {
                writeln!(text, "{indent}{}", kind & 0x7fff).unwrap();
                attributes(text, &here, value);
            }
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
}

/// Tells whether an attribute is left out of the comparison.
fn differs_on_purpose(path: &[u16], value: &[u8]) -> bool {
    match *path {
        // Ids of sets: `nft` counts its own and repeats them in look-ups and lists; a name says as much.
        [NEWSET, 10] | [NEWSETELEM, 4] | [NEWRULE, 4, 1, 2, 4] if value.len() == 4 => true,
        // The operation of a bitwise expression, where it is the kernel's default.
        [NEWRULE, 4, 1, 2, 6] => value == [0; 4],
        // User data, compared apart: ours has a fingerprint in rules, and in sets the byte order alone.
        [NEWRULE, 7] | [NEWSET, 13] => true,
        _ => false,
    }
}

/// Removes the mark for the space before the first interval, and the numbers of elements, from a list by `nft`.
///
/// `nft` marks the beginning of the space when a set is first filled. The mark must not be sent twice, and the
/// kernel does without.
fn without_first_mark(text: &str) -> String {
    let mut entries: Vec<String> = vec![String::new()];
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        if depth == 4 {
            entries.push("    1".to_owned());
        } else {
            entries.last_mut().unwrap().push_str(line);
        }
        entries.last_mut().unwrap().push('\n');
    }
    let zeros = |entry: &String| {
        entry.contains("3: [00, 00, 00, 01]")
            && entry.lines().last().is_some_and(|line| {
                let digits = line.split_once('[').unwrap().1;
                digits.chars().all(|c| "0, ]".contains(c))
            })
    };
    entries.retain(|entry| !zeros(entry));
    entries.concat()
}

/// Returns the value of an attribute that is not inside another.
fn value_of(message: &[u8], wanted: u16) -> &[u8] {
    let mut rest = &message[20..];
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes(rest[..2].try_into().unwrap()));
        if u16::from_ne_bytes(rest[2..4].try_into().unwrap()) == wanted {
            return &rest[4..length];
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    &[]
}

fn net(text: &str) -> ipnet::IpNet {
    parse_net(text).unwrap()
}

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

/// The statements of the capture as we have them.
#[expect(clippy::too_many_lines, reason = "one entry for each statement")]
fn rules() -> Vec<(&'static str, Vec<Expr>)> {
    use Comparison::{Is, IsNot};
    use InterfaceSide::{Input, Output};
    use Side::{Destination, Source};
    let v4 = || Expr::NetworkFamily(Family::V4);
    let v6 = || Expr::NetworkFamily(Family::V6);
    let tcp = || Expr::Protocol(Is, Protocol::TCP);
    let icmp = || Expr::Protocol(Is, Protocol::ICMP);
    let icmp6 = || Expr::Protocol(Is, Protocol::ICMPV6);
    let name = |text: &str| InterfaceMatch::Name(interface(text));
    let prefix = |text: &str| InterfaceMatch::Prefix(interface(text));
    let address = |side, comparison, text: &str| Expr::Address(side, comparison, net(text));
    let port = |side, comparison, first, last| {
        Expr::Port(side, comparison, PortRange::new(first, last).unwrap())
    };
    let lookup = |keys: &[Key], comparison, set: &str| {
        Expr::in_set(keys.to_vec(), comparison, set.parse().unwrap())
    };
    let tuple = |family| {
        [
            Key::Address(family, Destination),
            Key::Protocol,
            Key::Port(Destination),
        ]
    };
    let map = |side| Expr::verdict_map(vec![Key::Interface(side)], "hep".parse().unwrap());
    let target = || -> ChainName { "target".parse().unwrap() };
    let limit = |rate, unit, burst| Expr::Limit(Limit { rate, unit, burst });
    let udp = || Expr::Protocol(Is, Protocol::UDP);
    let range = |first, last| Some(PortRange::new(first, last).unwrap());
    let dnat = |address: &str, port| Expr::Dnat {
        address: address.parse().unwrap(),
        port,
    };
    let snat = |address: &str, ports| Expr::Snat {
        address: address.parse().unwrap(),
        ports,
    };
    vec![
        ("meta nfproto ipv4", vec![v4()]),
        ("meta nfproto ipv6", vec![v6()]),
        ("meta l4proto tcp", vec![tcp()]),
        (
            "meta l4proto != udp",
            vec![Expr::Protocol(IsNot, Protocol::UDP)],
        ),
        (
            "iifname \"eth0\"",
            vec![Expr::interface(Input, Is, name("eth0"))],
        ),
        (
            "oifname != \"eth0\"",
            vec![Expr::interface(Output, IsNot, name("eth0"))],
        ),
        (
            "iifname \"cali*\"",
            vec![Expr::interface(Input, Is, prefix("cali"))],
        ),
        (
            "oifname != \"cali*\"",
            vec![Expr::interface(Output, IsNot, prefix("cali"))],
        ),
        ("iif != 0", vec![Expr::HasInputInterface]),
        (
            "fib saddr . mark . iif oif missing",
            vec![Expr::NoReversePath],
        ),
        (
            "meta nfproto ipv4 ip saddr 10.0.0.0/8",
            vec![v4(), address(Source, Is, "10.0.0.0/8")],
        ),
        (
            "meta nfproto ipv4 ip daddr != 10.0.0.0/8",
            vec![v4(), address(Destination, IsNot, "10.0.0.0/8")],
        ),
        (
            "meta nfproto ipv4 ip saddr 10.16.0.0/12",
            vec![v4(), address(Source, Is, "10.16.0.0/12")],
        ),
        (
            "meta nfproto ipv4 ip daddr != 10.0.0.1",
            vec![v4(), address(Destination, IsNot, "10.0.0.1")],
        ),
        (
            "meta nfproto ipv4 ip saddr 0.0.0.0/0",
            vec![v4(), address(Source, Is, "0.0.0.0/0")],
        ),
        (
            "meta nfproto ipv6 ip6 saddr fd00::/8",
            vec![v6(), address(Source, Is, "fd00::/8")],
        ),
        (
            "meta nfproto ipv6 ip6 daddr != fd00::/13",
            vec![v6(), address(Destination, IsNot, "fd00::/13")],
        ),
        (
            "meta nfproto ipv6 ip6 daddr fd00::1",
            vec![v6(), address(Destination, Is, "fd00::1")],
        ),
        (
            "meta nfproto ipv6 ip6 saddr ::/0",
            vec![v6(), address(Source, Is, "::/0")],
        ),
        (
            "meta l4proto tcp th dport 80",
            vec![tcp(), port(Destination, Is, 80, 80)],
        ),
        (
            "meta l4proto tcp th sport != 80",
            vec![tcp(), port(Source, IsNot, 80, 80)],
        ),
        (
            "meta l4proto tcp th dport 8000-8099",
            vec![tcp(), port(Destination, Is, 8000, 8099)],
        ),
        (
            "meta l4proto tcp th sport != 8000-8099",
            vec![tcp(), port(Source, IsNot, 8000, 8099)],
        ),
        (
            "meta l4proto icmp icmp type 8",
            vec![icmp(), Expr::IcmpType(Family::V4, Is, 8)],
        ),
        (
            "meta l4proto icmp icmp type != 8",
            vec![icmp(), Expr::IcmpType(Family::V4, IsNot, 8)],
        ),
        (
            "meta l4proto icmp icmp code 1",
            vec![icmp(), Expr::IcmpCode(Family::V4, Is, 1)],
        ),
        (
            "meta l4proto ipv6-icmp icmpv6 type 128",
            vec![icmp6(), Expr::IcmpType(Family::V6, Is, 128)],
        ),
        (
            "meta l4proto ipv6-icmp icmpv6 code != 1",
            vec![icmp6(), Expr::IcmpCode(Family::V6, IsNot, 1)],
        ),
        (
            "meta l4proto ipv6-icmp icmpv6 type 130-136",
            vec![icmp6(), Expr::IcmpTypeRange(Family::V6, Is, 130, 136)],
        ),
        (
            "meta l4proto ipv6-icmp icmpv6 type != 130-136",
            vec![icmp6(), Expr::IcmpTypeRange(Family::V6, IsNot, 130, 136)],
        ),
        (
            "ct state established,related",
            vec![Expr::CtState(ct_state::ESTABLISHED | ct_state::RELATED)],
        ),
        ("ct state invalid", vec![Expr::CtState(ct_state::INVALID)]),
        ("ct status dnat", vec![Expr::CtStatus(ct_status::DNAT)]),
        (
            "meta mark & 0x20000 != 0",
            vec![Expr::MarkBits(Is, 0x20000)],
        ),
        (
            "meta mark & 0x30000 == 0",
            vec![Expr::MarkBits(IsNot, 0x30000)],
        ),
        (
            "meta nfproto ipv4 ip saddr @sel4",
            vec![
                v4(),
                lookup(&[Key::Address(Family::V4, Source)], Is, "sel4"),
            ],
        ),
        (
            "meta nfproto ipv4 ip daddr != @nets4",
            vec![
                v4(),
                lookup(&[Key::Address(Family::V4, Destination)], IsNot, "nets4"),
            ],
        ),
        (
            "meta nfproto ipv6 ip6 saddr @nets6",
            vec![
                v6(),
                lookup(&[Key::Address(Family::V6, Source)], Is, "nets6"),
            ],
        ),
        (
            "meta nfproto ipv4 ip saddr & 255.255.240.0 == @sel4",
            vec![
                v4(),
                lookup(&[Key::Network(Family::V4, Source, 20)], Is, "sel4"),
            ],
        ),
        (
            "meta nfproto ipv4 ip daddr & 255.255.255.0 != @sel4",
            vec![
                v4(),
                lookup(&[Key::Network(Family::V4, Destination, 24)], IsNot, "sel4"),
            ],
        ),
        (
            "meta nfproto ipv6 ip6 daddr & ffff:ffff:fffe:: == @sel6",
            vec![
                v6(),
                lookup(&[Key::Network(Family::V6, Destination, 47)], Is, "sel6"),
            ],
        ),
        (
            "meta l4proto tcp th dport @ports",
            vec![tcp(), lookup(&[Key::Port(Destination)], Is, "ports")],
        ),
        (
            "oifname != @ifs",
            vec![lookup(&[Key::Interface(Output)], IsNot, "ifs")],
        ),
        (
            "meta nfproto ipv4 ip daddr . meta l4proto . th dport @port4",
            vec![v4(), lookup(&tuple(Family::V4), Is, "port4")],
        ),
        (
            "meta nfproto ipv6 ip6 daddr . meta l4proto . th dport != @port6",
            vec![v6(), lookup(&tuple(Family::V6), IsNot, "port6")],
        ),
        ("iifname vmap @hep", vec![map(Input)]),
        ("oifname vmap @hep", vec![map(Output)]),
        (
            "meta mark set meta mark | 0x5000",
            vec![Expr::SetMark {
                mask: 0x5000,
                value: 0x5000,
            }],
        ),
        (
            "meta mark set meta mark & 0xffff0fff",
            vec![Expr::SetMark {
                mask: 0xf000,
                value: 0,
            }],
        ),
        ("counter", vec![Expr::Counter]),
        (
            "counter name \"pol-in-allow-default.web\"",
            vec![Expr::CountIn("pol-in-allow-default.web".parse().unwrap())],
        ),
        (
            "limit rate 5/minute burst 5 packets",
            vec![limit(5, LimitUnit::Minute, 5)],
        ),
        (
            "limit rate 100/second burst 7 packets",
            vec![limit(100, LimitUnit::Second, 7)],
        ),
        (
            "log prefix \"calico-packet: \"",
            vec![Expr::Log {
                prefix: "calico-packet: ".into(),
            }],
        ),
        ("notrack", vec![Expr::NoTrack]),
        (
            "meta nfproto ipv4 dnat ip to 10.0.0.1",
            vec![v4(), dnat("10.0.0.1", None)],
        ),
        (
            "meta nfproto ipv4 meta l4proto tcp dnat ip to 10.0.0.1:8775",
            vec![v4(), tcp(), dnat("10.0.0.1", Some(8775))],
        ),
        (
            "meta nfproto ipv6 dnat ip6 to fd00::1",
            vec![v6(), dnat("fd00::1", None)],
        ),
        (
            "meta nfproto ipv6 meta l4proto tcp dnat ip6 to [fd00::1]:80",
            vec![v6(), tcp(), dnat("fd00::1", Some(80))],
        ),
        (
            "meta nfproto ipv4 snat ip to 192.0.2.1",
            vec![v4(), snat("192.0.2.1", None)],
        ),
        (
            "meta nfproto ipv4 meta l4proto tcp snat ip to 192.0.2.1:1024-2048",
            vec![v4(), tcp(), snat("192.0.2.1", range(1024, 2048))],
        ),
        (
            "meta nfproto ipv4 meta l4proto udp snat ip to 192.0.2.1:1024",
            vec![v4(), udp(), snat("192.0.2.1", range(1024, 1024))],
        ),
        (
            "meta nfproto ipv6 snat ip6 to fd00::1",
            vec![v6(), snat("fd00::1", None)],
        ),
        (
            "meta nfproto ipv6 meta l4proto tcp snat ip6 to [fd00::1]:1024-2048",
            vec![v6(), tcp(), snat("fd00::1", range(1024, 2048))],
        ),
        ("masquerade", vec![Expr::Masquerade { ports: None }]),
        (
            "meta l4proto tcp masquerade to :1024-2048",
            vec![
                tcp(),
                Expr::Masquerade {
                    ports: range(1024, 2048),
                },
            ],
        ),
        (
            "meta l4proto udp masquerade to :1024",
            vec![
                udp(),
                Expr::Masquerade {
                    ports: range(1024, 1024),
                },
            ],
        ),
        ("reject", vec![Expr::Reject(RejectWith::PortUnreachable)]),
        (
            "meta l4proto tcp reject with tcp reset",
            vec![tcp(), Expr::Reject(RejectWith::TcpReset)],
        ),
        ("accept", vec![Expr::Verdict(Verdict::Accept)]),
        ("drop", vec![Expr::Verdict(Verdict::Drop)]),
        ("return", vec![Expr::Verdict(Verdict::Return)]),
        ("jump target", vec![Expr::Verdict(Verdict::Jump(target()))]),
        ("goto target", vec![Expr::Verdict(Verdict::Goto(target()))]),
        (
            "accept comment \"policy default.web, rule 1\"",
            vec![Expr::Verdict(Verdict::Accept)],
        ),
    ]
}

fn add_rule(exprs: Vec<Expr>, comment: Option<&str>) -> Operation {
    let rule = Rule {
        exprs,
        comment: comment.map(Arc::from),
    };
    Operation::AddRule {
        chain: "rules".parse().unwrap(),
        fingerprint: Fingerprint::of(&rule),
        rule: Arc::new(rule),
    }
}

#[test]
fn rules_are_encoded_as_nft_does() {
    let captured = captured(RULES);
    let ours = rules();
    assert_eq!(captured.len(), ours.len(), "each statement is compared");
    for (statement, exprs) in ours {
        let theirs = &captured[statement];
        let ours = encoded(vec![add_rule(exprs, None)]);
        assert_eq!(shown(&ours[0]), shown(&theirs[0]), "{statement}");
    }
}

#[test]
fn a_comment_is_stored_as_nft_does() {
    let captured = captured(RULES);
    let theirs = &captured["accept comment \"policy default.web, rule 1\""][0];
    let comment = Some("policy default.web, rule 1");
    let ours = encoded(vec![add_rule(
        vec![Expr::Verdict(Verdict::Accept)],
        comment,
    )]);
    let (theirs, ours) = (value_of(theirs, 7), value_of(&ours[0], 7));
    assert!(!theirs.is_empty());
    assert_eq!(&ours[..theirs.len()], theirs);
}

fn spec(name: &str, key: &[KeyType]) -> SetSpec {
    SetSpec {
        name: name.parse().unwrap(),
        key: key.to_vec(),
        interval: false,
        verdicts: false,
        size: None,
    }
}

fn sets() -> Vec<(SetSpec, Vec<Element>)> {
    let v4 = KeyType::Address(Family::V4);
    let v6 = KeyType::Address(Family::V6);
    let plain = |key| Element { key, verdict: None };
    let nets = |texts: &[&str]| -> Vec<Element> {
        let keys = texts.iter().map(|text| ElementKey::Net(net(text)));
        keys.map(plain).collect()
    };
    let ranges = |ranges: &[(u16, u16)]| -> Vec<Element> {
        let keys = ranges
            .iter()
            .map(|(first, last)| ElementKey::Ports(PortRange::new(*first, *last).unwrap()));
        keys.map(plain).collect()
    };
    let tuple = |address: &str, protocol, port| {
        vec![plain(ElementKey::AddressPort(
            address.parse().unwrap(),
            protocol,
            port,
        ))]
    };
    let interval = |name, key| SetSpec {
        interval: true,
        ..spec(name, &[key])
    };
    let sized = |spec, size| SetSpec {
        size: Some(size),
        ..spec
    };
    let target = || -> ChainName { "target".parse().unwrap() };
    let verdicts = [
        ("eth0", Verdict::Goto(target())),
        ("eth1", Verdict::Drop),
        ("eth2", Verdict::Return),
        ("eth3", Verdict::Jump(target())),
        ("eth4", Verdict::Accept),
    ];
    let verdicts = verdicts.map(|(name, verdict)| Element {
        key: ElementKey::Interface(interface(name)),
        verdict: Some(verdict),
    });
    let map = SetSpec {
        verdicts: true,
        ..spec("hep", &[KeyType::Interface])
    };
    vec![
        (
            sized(spec("sel4", &[v4]), 64),
            nets(&["10.0.0.1", "10.0.0.2"]),
        ),
        (spec("sel6", &[v6]), nets(&["fd00::1"])),
        (
            interval("nets4", v4),
            nets(&["10.0.0.0/8", "11.0.0.0/8", "255.0.0.0/8"]),
        ),
        (interval("all4", v4), nets(&["0.0.0.0/0"])),
        (interval("nets6", v6), nets(&["fd00::/8", "ff00::/8"])),
        (interval("all6", v6), nets(&["::/0"])),
        (
            interval("ports", KeyType::Port),
            ranges(&[(80, 80), (81, 90), (8000, 8099), (65535, 65535)]),
        ),
        (
            sized(spec("port4", &[v4, KeyType::Protocol, KeyType::Port]), 100),
            tuple("10.0.0.1", Protocol::TCP, 80),
        ),
        (
            spec("port6", &[v6, KeyType::Protocol, KeyType::Port]),
            tuple("fd00::1", Protocol::UDP, 53),
        ),
        (
            spec("ifs", &[KeyType::Interface]),
            vec![plain(ElementKey::Interface(interface("eth0")))],
        ),
        (map, verdicts.to_vec()),
    ]
}

#[test]
fn sets_and_elements_are_encoded_as_nft_does() {
    let captured = captured(OBJECTS);
    let mut compared = 0;
    for (spec, elements) in sets() {
        let kind = if spec.verdicts { "map" } else { "set" };
        let start = format!("{kind} {} ", spec.name);
        let (statement, theirs) = captured
            .iter()
            .find(|(statement, _)| statement.starts_with(&start))
            .unwrap();
        let fields = spec.key.len();
        let spec = Arc::new(spec);
        let ours = encoded(vec![
            Operation::AddSet(spec.clone()),
            Operation::AddElements {
                set: spec,
                elements: Arc::new(elements),
            },
        ]);
        assert_eq!(shown(&ours[0]), shown(&theirs[0]), "{statement}");
        assert_eq!(
            without_first_mark(&shown(&ours[1])),
            without_first_mark(&shown(&theirs[1])),
            "{statement}"
        );
        // The first entry of `nft`'s user data is the order of the bytes of the key.
        let (theirs, ours) = (value_of(&theirs[0], 13), value_of(&ours[0], 13));
        if fields == 1 {
            assert_eq!(ours, &theirs[..6], "{statement}");
        } else {
            assert!(ours.is_empty(), "{statement}");
        }
        compared += 1;
    }
    let others = captured
        .keys()
        .filter(|s| !s.starts_with("set") && !s.starts_with("map"));
    assert_eq!(
        captured.len(),
        compared + others.count(),
        "each statement is compared"
    );
}

#[test]
fn the_table_chains_and_counters_are_encoded_as_nft_does() {
    let captured = captured(OBJECTS);
    let base = |kind, hook, priority| {
        Some(BaseChain {
            kind,
            hook,
            priority,
        })
    };
    let chain = |name: &str, base| Operation::AddChain {
        name: name.parse().unwrap(),
        base,
    };
    for (statement, operation) in [
        ("table inet tortie", Operation::AddTable),
        ("chain target { }", chain("target", None)),
        (
            "counter pol-in-allow-default.web { }",
            Operation::AddCounter("pol-in-allow-default.web".parse().unwrap()),
        ),
        (
            "chain input-policy { type filter hook input priority -10; policy accept; }",
            chain("input-policy", base(ChainType::Filter, Hook::Input, -10)),
        ),
        (
            "chain nat-prerouting { type nat hook prerouting priority -100; policy accept; }",
            chain(
                "nat-prerouting",
                base(ChainType::Nat, Hook::Prerouting, -100),
            ),
        ),
    ] {
        let ours = encoded(vec![operation]);
        assert_eq!(
            shown(&ours[0]),
            shown(&captured[statement][0]),
            "{statement}"
        );
    }
}

#[test]
fn long_lists_are_split_before_their_length_field_is_full() {
    let elements: Vec<Element> = (0..100_000_u32)
        .map(|n| Element {
            key: ElementKey::Net(net(&std::net::Ipv4Addr::from_bits(n * 2).to_string())),
            verdict: None,
        })
        .collect();
    let spec = Arc::new(SetSpec {
        interval: true,
        ..spec("nets4", &[KeyType::Address(Family::V4)])
    });
    let messages = encoded(vec![Operation::AddElements {
        set: spec,
        elements: Arc::new(elements),
    }]);
    let mut entries = 0;
    for message in &messages {
        assert!(message.len() < 65_535);
        assert_eq!(
            shown(message).lines().nth(1),
            Some("  1: [74, 6f, 72, 74, 69, 65, 00]")
        );
        let mut list = value_of(message, 0x8003);
        assert!(list.len() < 65_000);
        while !list.is_empty() {
            let length = usize::from(u16::from_ne_bytes(list[..2].try_into().unwrap()));
            list = &list[length.next_multiple_of(4)..];
            entries += 1;
        }
    }
    assert_eq!(entries, 200_000);
    assert!(messages.len() < 75);
}
