//! What the tests commit.

use std::sync::Arc;

use tortie::net::{Family, InterfaceName, PortRange, Protocol, parse_net};
use tortie::nft::{
    BaseChain, ChainName, ChainType, Comparison, CounterName, Element, ElementKey, Expr,
    Fingerprint, Hook, InterfaceMatch, InterfaceSide, Key, KeyType, Limit, LimitUnit, Operation,
    Plan, RejectWith, Rule, SetName, SetSpec, Side, Verdict, ct_state, ct_status,
};

pub(crate) fn chain(name: &str) -> ChainName {
    name.parse().expect("a name of a chain")
}

pub(crate) fn counter(name: &str) -> CounterName {
    name.parse().expect("a name")
}

pub(crate) fn set(name: &str) -> SetName {
    name.parse().expect("a name of a set")
}

pub(crate) fn interface(name: &str) -> InterfaceName {
    name.parse().expect("a name of an interface")
}

pub(crate) fn net(text: &str) -> ipnet::IpNet {
    parse_net(text).expect("a prefix")
}

pub(crate) fn spec(name: &str, key: &[KeyType]) -> SetSpec {
    SetSpec {
        name: set(name),
        key: key.to_vec(),
        interval: false,
        verdicts: false,
        size: None,
    }
}

pub(crate) fn add_chain(name: &str) -> Operation {
    Operation::AddChain {
        name: chain(name),
        base: None,
    }
}

pub(crate) fn add_rule(name: &str, exprs: Vec<Expr>) -> Operation {
    commented(name, exprs, None)
}

pub(crate) fn commented(name: &str, exprs: Vec<Expr>, comment: Option<&str>) -> Operation {
    let rule = Rule {
        exprs,
        comment: comment.map(Arc::from),
    };
    Operation::AddRule {
        chain: chain(name),
        fingerprint: Fingerprint::of(&rule),
        rule: Arc::new(rule),
    }
}

pub(crate) fn plan(operations: Vec<Operation>) -> Plan {
    Plan { operations }
}

pub(crate) fn members(spec: SetSpec, mut elements: Vec<Element>) -> [Operation; 2] {
    elements.sort();
    let spec = Arc::new(spec);
    [
        Operation::AddSet(spec.clone()),
        Operation::AddElements {
            set: spec,
            elements: Arc::new(elements),
        },
    ]
}

pub(crate) fn plain(keys: impl IntoIterator<Item = ElementKey>) -> Vec<Element> {
    keys.into_iter()
        .map(|key| Element { key, verdict: None })
        .collect()
}

pub(crate) fn nets(texts: &[&str]) -> Vec<Element> {
    plain(texts.iter().map(|text| ElementKey::Net(net(text))))
}

pub(crate) fn ports(ranges: &[(u16, u16)]) -> Vec<Element> {
    plain(
        ranges.iter().map(|(first, last)| {
            ElementKey::Ports(PortRange::new(*first, *last).expect("a range"))
        }),
    )
}

pub(crate) fn address_ports(entries: &[(&str, Protocol, u16)]) -> Vec<Element> {
    plain(entries.iter().map(|(address, protocol, port)| {
        let address = address.parse().expect("an address");
        ElementKey::AddressPort(address, *protocol, *port)
    }))
}

/// Sets and maps of every kind, with elements at the ends of their spaces and beside each other.
pub(crate) fn every_set() -> Vec<Operation> {
    let v4 = KeyType::Address(Family::V4);
    let v6 = KeyType::Address(Family::V6);
    let intervals = |name: &str, key| SetSpec {
        interval: true,
        ..spec(name, &[key])
    };
    let sized = |set, size| SetSpec {
        size: Some(size),
        ..set
    };
    let map = SetSpec {
        verdicts: true,
        ..spec("hep-in-if", &[KeyType::Interface])
    };
    let verdicts = [
        ("eth0", Verdict::Goto(chain("target"))),
        ("eth1", Verdict::Drop),
        ("eth2", Verdict::Return),
        ("eth3", Verdict::Jump(chain("target"))),
        ("fifteen-bytes-x", Verdict::Accept),
    ];
    let verdicts = verdicts.map(|(name, verdict)| Element {
        key: ElementKey::Interface(interface(name)),
        verdict: Some(verdict),
    });
    [
        members(
            sized(spec("sel4-hash", &[v4]), 64),
            nets(&["10.0.0.1", "255.255.255.255"]),
        ),
        members(spec("sel6-hash", &[v6]), nets(&["fd00::1", "::"])),
        members(
            intervals("nets4", v4),
            nets(&["10.0.0.0/8", "11.0.0.0/8", "12.1.2.3", "255.0.0.0/8"]),
        ),
        members(intervals("nets4-all", v4), nets(&["0.0.0.0/0"])),
        members(
            intervals("nets4-ends", v4),
            nets(&["0.0.0.0", "255.255.255.255"]),
        ),
        members(
            intervals("nets6", v6),
            nets(&["fd00::/8", "fe80::/10", "ff00::/8"]),
        ),
        members(intervals("nets6-all", v6), nets(&["::/0"])),
        members(
            intervals("ports-range", KeyType::Port),
            ports(&[(0, 0), (80, 80), (81, 90), (8000, 8099), (65535, 65535)]),
        ),
        members(intervals("ports-all", KeyType::Port), ports(&[(0, 65535)])),
        members(
            spec("ports-hash", &[KeyType::Port]),
            ports(&[(80, 80), (443, 443)]),
        ),
        members(
            spec("if-set", &[KeyType::Interface]),
            plain([ElementKey::Interface(interface("eth0"))]),
        ),
        members(
            sized(spec("port4", &[v4, KeyType::Protocol, KeyType::Port]), 100),
            address_ports(&[
                ("10.0.0.1", Protocol::TCP, 80),
                ("10.0.0.1", Protocol::UDP, 53),
            ]),
        ),
        members(
            spec("port6", &[v6, KeyType::Protocol, KeyType::Port]),
            address_ports(&[("fd00::1", Protocol::SCTP, 65535)]),
        ),
        members(map, verdicts.to_vec()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A rule for every form of every expression, with the text that `nft` has for it.
#[expect(clippy::too_many_lines, reason = "a table that is read as a whole")]
pub(crate) fn every_expression() -> Vec<(Vec<Expr>, &'static str)> {
    use Comparison::{Is, IsNot};
    use Side::{Destination, Source};
    let v4 = || Expr::NetworkFamily(Family::V4);
    let v6 = || Expr::NetworkFamily(Family::V6);
    let proto = |protocol| Expr::Protocol(Is, protocol);
    let tcp = || proto(Protocol::TCP);
    let port = |first, last| PortRange::new(first, last).expect("a range");
    let named = |name: &str| InterfaceMatch::Name(interface(name));
    let prefix = |name: &str| InterfaceMatch::Prefix(interface(name));
    let in_set =
        |keys: &[Key], comparison, name: &str| Expr::in_set(keys.to_vec(), comparison, set(name));
    let tuple = |family| {
        [
            Key::Address(family, Destination),
            Key::Protocol,
            Key::Port(Destination),
        ]
    };
    let map = |side| Expr::verdict_map(vec![Key::Interface(side)], set("hep-in-if"));
    let mark = |mask, value| Expr::SetMark { mask, value };
    let limit = |rate, unit, burst| Expr::Limit(Limit { rate, unit, burst });
    let dnat = |address: &str, port| Expr::Dnat {
        address: address.parse().expect("an address"),
        port,
    };
    let snat = |address: &str, ports| Expr::Snat {
        address: address.parse().expect("an address"),
        ports,
    };
    let log = |prefix: &str| Expr::Log {
        prefix: prefix.into(),
    };
    vec![
        (vec![v4()], "meta nfproto ipv4"),
        (vec![v6()], "meta nfproto ipv6"),
        (vec![tcp()], "meta l4proto tcp"),
        (
            vec![Expr::Protocol(IsNot, Protocol::UDP)],
            "meta l4proto != udp",
        ),
        (
            vec![proto(Protocol::new(253).expect("a protocol"))],
            "meta l4proto 253",
        ),
        (
            vec![Expr::interface(InterfaceSide::Input, Is, named("eth0"))],
            "iifname \"eth0\"",
        ),
        (
            vec![Expr::interface(
                InterfaceSide::Output,
                IsNot,
                named("fifteen-bytes-x"),
            )],
            "oifname != \"fifteen-bytes-x\"",
        ),
        (
            vec![Expr::interface(InterfaceSide::Input, Is, prefix("cali"))],
            "iifname \"cali*\"",
        ),
        (
            vec![Expr::interface(InterfaceSide::Output, IsNot, prefix("t"))],
            "oifname != \"t*\"",
        ),
        (vec![Expr::HasInputInterface], "iif != 0"),
        (
            vec![Expr::NoReversePath],
            "fib saddr . mark . iif oif missing",
        ),
        (
            vec![
                v6(),
                Expr::NoReversePath,
                Expr::Address(Source, Is, net("fd00::/8")),
            ],
            "fib saddr . mark . iif oif missing ip6 saddr fd00::/8",
        ),
        (
            vec![v4(), Expr::Address(Source, Is, net("10.0.0.0/8"))],
            "ip saddr 10.0.0.0/8",
        ),
        (
            vec![v4(), Expr::Address(Destination, IsNot, net("10.0.0.0/8"))],
            "ip daddr != 10.0.0.0/8",
        ),
        (
            vec![v4(), Expr::Address(Source, Is, net("10.16.0.0/12"))],
            "ip saddr 10.16.0.0/12",
        ),
        (
            vec![v4(), Expr::Address(Destination, IsNot, net("10.0.0.1"))],
            "ip daddr != 10.0.0.1",
        ),
        (
            vec![v4(), Expr::Address(Source, Is, net("128.0.0.0/1"))],
            "ip saddr 128.0.0.0/1",
        ),
        (
            vec![v4(), Expr::Address(Source, Is, net("0.0.0.0/0"))],
            "ip saddr 0.0.0.0/0",
        ),
        (
            vec![v6(), Expr::Address(Source, Is, net("fd00::/8"))],
            "ip6 saddr fd00::/8",
        ),
        (
            vec![v6(), Expr::Address(Destination, IsNot, net("fd00::/13"))],
            "ip6 daddr != fd00::/13",
        ),
        (
            vec![v6(), Expr::Address(Destination, Is, net("fd00::1"))],
            "ip6 daddr fd00::1",
        ),
        (
            vec![v6(), Expr::Address(Source, Is, net("2001:db8::/127"))],
            "ip6 saddr 2001:db8::/127",
        ),
        (
            vec![v6(), Expr::Address(Source, Is, net("::/0"))],
            "ip6 saddr ::/0",
        ),
        (
            vec![tcp(), Expr::Port(Destination, Is, port(80, 80))],
            "tcp dport 80",
        ),
        (
            vec![tcp(), Expr::Port(Source, IsNot, port(80, 80))],
            "tcp sport != 80",
        ),
        (
            vec![
                proto(Protocol::UDP),
                Expr::Port(Destination, Is, port(8000, 8099)),
            ],
            "udp dport 8000-8099",
        ),
        (
            vec![
                proto(Protocol::SCTP),
                Expr::Port(Source, IsNot, port(1, 65535)),
            ],
            "sctp sport != 1-65535",
        ),
        (
            vec![proto(Protocol::ICMP), Expr::IcmpType(Family::V4, Is, 8)],
            "icmp type echo-request",
        ),
        (
            vec![proto(Protocol::ICMP), Expr::IcmpType(Family::V4, IsNot, 8)],
            "icmp type != echo-request",
        ),
        (
            vec![
                proto(Protocol::ICMP),
                Expr::IcmpType(Family::V4, Is, 3),
                Expr::IcmpCode(Family::V4, Is, 1),
            ],
            "icmp type destination-unreachable icmp code host-unreachable",
        ),
        (
            vec![proto(Protocol::ICMPV6), Expr::IcmpType(Family::V6, Is, 128)],
            "icmpv6 type echo-request",
        ),
        (
            vec![
                proto(Protocol::ICMPV6),
                Expr::IcmpCode(Family::V6, IsNot, 1),
            ],
            "icmpv6 code != admin-prohibited",
        ),
        (
            vec![
                proto(Protocol::ICMPV6),
                Expr::IcmpTypeRange(Family::V6, Is, 130, 136),
            ],
            "icmpv6 type 130-136",
        ),
        (
            vec![
                proto(Protocol::ICMPV6),
                Expr::IcmpTypeRange(Family::V6, IsNot, 130, 136),
            ],
            "icmpv6 type != 130-136",
        ),
        (
            vec![Expr::CtState(ct_state::ESTABLISHED | ct_state::RELATED)],
            "ct state established,related",
        ),
        (vec![Expr::CtState(ct_state::INVALID)], "ct state invalid"),
        (vec![Expr::CtStatus(ct_status::DNAT)], "ct status dnat"),
        (
            vec![Expr::MarkBits(Is, 0x20000)],
            "meta mark & 0x00020000 != 0x00000000",
        ),
        (
            vec![Expr::MarkBits(IsNot, 0x30000)],
            "meta mark & 0x00030000 == 0x00000000",
        ),
        (
            vec![
                v4(),
                in_set(&[Key::Address(Family::V4, Source)], Is, "sel4-hash"),
            ],
            "ip saddr @sel4-hash",
        ),
        (
            vec![
                v4(),
                in_set(&[Key::Address(Family::V4, Destination)], IsNot, "nets4"),
            ],
            "ip daddr != @nets4",
        ),
        (
            vec![
                v6(),
                in_set(&[Key::Address(Family::V6, Source)], Is, "nets6"),
            ],
            "ip6 saddr @nets6",
        ),
        (
            vec![
                v4(),
                in_set(&[Key::Network(Family::V4, Source, 20)], Is, "sel4-hash"),
            ],
            "ip saddr & 255.255.240.0 == @sel4-hash",
        ),
        (
            vec![
                v6(),
                in_set(&[Key::Network(Family::V6, Destination, 47)], IsNot, "nets6"),
            ],
            "ip6 daddr & ffff:ffff:fffe:: != @nets6",
        ),
        (
            vec![tcp(), in_set(&[Key::Port(Destination)], Is, "ports-range")],
            "tcp dport @ports-range",
        ),
        (
            vec![in_set(
                &[Key::Interface(InterfaceSide::Output)],
                IsNot,
                "if-set",
            )],
            "oifname != @if-set",
        ),
        (
            vec![v4(), in_set(&tuple(Family::V4), Is, "port4")],
            "ip daddr . meta l4proto . th dport @port4",
        ),
        (
            vec![v6(), in_set(&tuple(Family::V6), IsNot, "port6")],
            "ip6 daddr . meta l4proto . th dport != @port6",
        ),
        (vec![map(InterfaceSide::Input)], "iifname vmap @hep-in-if"),
        (vec![map(InterfaceSide::Output)], "oifname vmap @hep-in-if"),
        (
            vec![mark(0x5000, 0x5000)],
            "meta mark set meta mark | 0x00005000",
        ),
        (
            vec![mark(0xf000, 0)],
            "meta mark set meta mark & 0xffff0fff",
        ),
        (vec![Expr::Counter], "counter packets 0 bytes 0"),
        (
            vec![Expr::CountIn(counter("pol-in-allow-default.web/a_b-c"))],
            "counter name \"pol-in-allow-default.web/a_b-c\"",
        ),
        (vec![limit(5, LimitUnit::Minute, 5)], "limit rate 5/minute"),
        (
            vec![limit(100, LimitUnit::Second, 7)],
            "limit rate 100/second burst 7 packets",
        ),
        (
            vec![log("calico-packet: ")],
            "log prefix \"calico-packet: \"",
        ),
        (vec![Expr::NoTrack], "notrack"),
        (
            vec![v4(), dnat("10.0.0.1", None)],
            "meta nfproto ipv4 dnat ip to 10.0.0.1",
        ),
        (
            vec![
                v4(),
                Expr::Address(Destination, Is, net("169.254.169.254")),
                tcp(),
                Expr::Port(Destination, Is, port(80, 80)),
                dnat("10.0.0.1", Some(8775)),
            ],
            "ip daddr 169.254.169.254 tcp dport 80 dnat ip to 10.0.0.1:8775",
        ),
        (
            vec![v6(), dnat("fd00::1", None)],
            "meta nfproto ipv6 dnat ip6 to fd00::1",
        ),
        (
            vec![v6(), tcp(), dnat("fd00::1", Some(80))],
            "meta nfproto ipv6 meta l4proto tcp dnat ip6 to [fd00::1]:80",
        ),
        (
            vec![v4(), snat("192.0.2.1", None)],
            "meta nfproto ipv4 snat ip to 192.0.2.1",
        ),
        (
            vec![
                v4(),
                Expr::Address(Source, Is, net("10.0.0.0/8")),
                tcp(),
                snat("192.0.2.1", Some(port(1024, 2048))),
            ],
            "ip saddr 10.0.0.0/8 meta l4proto tcp snat ip to 192.0.2.1:1024-2048",
        ),
        (
            vec![v6(), tcp(), snat("fd00::1", Some(port(1024, 1024)))],
            "meta nfproto ipv6 meta l4proto tcp snat ip6 to [fd00::1]:1024",
        ),
        (vec![Expr::Masquerade { ports: None }], "masquerade"),
        (
            vec![
                v4(),
                in_set(&[Key::Address(Family::V4, Source)], Is, "nets4"),
                proto(Protocol::UDP),
                Expr::Masquerade {
                    ports: Some(port(1024, 2048)),
                },
            ],
            "ip saddr @nets4 meta l4proto udp masquerade to :1024-2048",
        ),
        (vec![Expr::Reject(RejectWith::PortUnreachable)], "reject"),
        (
            vec![tcp(), Expr::Reject(RejectWith::TcpReset)],
            "meta l4proto tcp reject with tcp reset",
        ),
        (vec![Expr::Verdict(Verdict::Accept)], "accept"),
        (vec![Expr::Verdict(Verdict::Drop)], "drop"),
        (vec![Expr::Verdict(Verdict::Return)], "return"),
        (
            vec![Expr::Verdict(Verdict::Jump(chain("target")))],
            "jump target",
        ),
        (
            vec![Expr::Verdict(Verdict::Goto(chain("target")))],
            "goto target",
        ),
        (
            vec![
                v4(),
                Expr::Address(Source, Is, net("10.0.0.0/8")),
                tcp(),
                Expr::Port(Destination, Is, port(22, 22)),
                Expr::Counter,
                Expr::Verdict(Verdict::Accept),
            ],
            "ip saddr 10.0.0.0/8 tcp dport 22 counter packets 0 bytes 0 accept",
        ),
    ]
}

/// Everything that a plan can make, in one transaction.
pub(crate) fn everything() -> Plan {
    let mut operations = vec![Operation::AddTable, add_chain("target")];
    for (name, kind, hook, priority) in [
        ("input-policy", ChainType::Filter, Hook::Input, -10),
        ("output", ChainType::Filter, Hook::Output, -10),
        ("forward", ChainType::Filter, Hook::Forward, 7),
        ("output-dnat", ChainType::Filter, Hook::Postrouting, -150),
        ("raw-prerouting", ChainType::Filter, Hook::Prerouting, -300),
        ("nat-prerouting", ChainType::Nat, Hook::Prerouting, -100),
        ("nat-output", ChainType::Nat, Hook::Output, -100),
        ("nat-postrouting", ChainType::Nat, Hook::Postrouting, 110),
    ] {
        operations.push(Operation::AddChain {
            name: chain(name),
            base: Some(BaseChain {
                kind,
                hook,
                priority,
            }),
        });
    }
    operations.push(add_chain("pol-in-default.web/a_b-c"));
    let allowed = counter("pol-in-allow-default.web/a_b-c");
    operations.push(Operation::AddCounter(allowed));
    operations.extend(every_set());
    for (exprs, _) in every_expression() {
        operations.push(add_rule("pol-in-default.web/a_b-c", exprs));
    }
    operations.push(commented(
        "target",
        vec![Expr::Verdict(Verdict::Accept)],
        Some("policy default.web, rule 1: ä"),
    ));
    plan(operations)
}
