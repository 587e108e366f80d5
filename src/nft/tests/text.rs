//! Goldens of the text.

use insta::assert_snapshot;
use ipnet::IpNet;

use super::*;
use crate::net::{PortRange, Protocol};

fn family(family: Family) -> Expr {
    Expr::NetworkFamily(family)
}

fn source(text: &str) -> Expr {
    let net: IpNet = text.parse().unwrap();
    Expr::Address(Side::Source, Comparison::Is, net)
}

fn protocol(protocol: Protocol) -> Expr {
    Expr::Protocol(Comparison::Is, protocol)
}

fn port(first: u16, last: u16) -> Expr {
    let range = PortRange::new(first, last).unwrap();
    Expr::Port(Side::Destination, Comparison::Is, range)
}

fn commented(exprs: &[Expr], comment: &str) -> Rule {
    Rule {
        exprs: exprs.to_vec(),
        comment: Some(comment.into()),
    }
}

fn port_set(name: &str) -> Object {
    let spec = SetSpec {
        name: name.parse().unwrap(),
        key: vec![
            KeyType::Address(Family::V4),
            KeyType::Protocol,
            KeyType::Port,
        ],
        interval: false,
        verdicts: false,
        size: Some(16),
    };
    let element = |address: &str, protocol, port| Element {
        key: ElementKey::AddressPort(address.parse().unwrap(), protocol, port),
        verdict: None,
    };
    let elements = vec![
        element("10.0.0.1", Protocol::TCP, 80),
        element("10.0.0.2", Protocol::SCTP, 443),
    ];
    Object::Set(Arc::new(spec), Arc::new(elements))
}

/// Makes a hash table of the first addresses of prefixes.
fn networks(name: &str, family: Family, member: &str) -> Object {
    let spec = SetSpec {
        name: name.parse().unwrap(),
        key: vec![KeyType::Address(family)],
        interval: false,
        verdicts: false,
        size: Some(32),
    };
    Object::Set(Arc::new(spec), Arc::new(vec![net(member)]))
}

fn ports(name: &str) -> Object {
    let spec = SetSpec {
        name: name.parse().unwrap(),
        key: vec![KeyType::Port],
        interval: true,
        verdicts: false,
        size: None,
    };
    let ranges = (0..12).map(|n| PortRange::new(n * 100, n * 100 + n % 3).unwrap());
    let element = |range| Element {
        key: ElementKey::Ports(range),
        verdict: None,
    };
    Object::Set(Arc::new(spec), Arc::new(ranges.map(element).collect()))
}

/// Holds every match at least once.
fn matches() -> Vec<Rule> {
    let interface = |text: &str| text.parse().unwrap();
    let input = InterfaceSide::Input;
    vec![
        rule(&[family(Family::V4), accept()]),
        rule(&[family(Family::V4), source("10.0.0.0/8"), accept()]),
        rule(&[family(Family::V6), source("2001:db8::1/128"), accept()]),
        rule(&[
            family(Family::V4),
            protocol(Protocol::TCP),
            source("10.0.0.0/8"),
            port(8000, 8099),
            Expr::Counter,
            accept(),
        ]),
        rule(&[protocol(Protocol::TCP), Expr::Counter, port(80, 80)]),
        rule(&[count("pol-in-allow-default.web"), accept()]),
        rule(&[protocol(Protocol::ICMPV6)]),
        rule(&[
            Expr::Protocol(Comparison::IsNot, Protocol::UDP),
            port(80, 80),
        ]),
        rule(&[
            Expr::interface(
                input,
                Comparison::Is,
                InterfaceMatch::Name(interface("eth0")),
            ),
            Expr::interface(
                InterfaceSide::Output,
                Comparison::IsNot,
                InterfaceMatch::Prefix(interface("cali")),
            ),
            Expr::HasInputInterface,
        ]),
        rule(&[family(Family::V6), Expr::NoReversePath, source("::/0")]),
        rule(&[Expr::interface(
            input,
            Comparison::Is,
            InterfaceMatch::Name(interface("odd*")),
        )]),
        rule(&[
            protocol(Protocol::ICMP),
            Expr::IcmpType(Family::V4, Comparison::Is, 8),
            Expr::IcmpCode(Family::V4, Comparison::IsNot, 0),
        ]),
        rule(&[
            protocol(Protocol::ICMPV6),
            Expr::IcmpTypeRange(Family::V6, Comparison::Is, 130, 136),
        ]),
        rule(&[
            Expr::CtState(ct_state::ESTABLISHED | ct_state::RELATED),
            accept(),
        ]),
        rule(&[Expr::CtState(
            ct_state::INVALID | ct_state::NEW | ct_state::UNTRACKED,
        )]),
        rule(&[Expr::CtStatus(ct_status::DNAT), accept()]),
        rule(&[
            Expr::MarkBits(Comparison::Is, 0x20000),
            Expr::MarkBits(Comparison::IsNot, 0x30000),
        ]),
        rule(&[family(Family::V4), in_set("nets4-a")]),
        rule(&[
            family(Family::V6),
            Expr::in_set(
                vec![Key::Network(Family::V6, Side::Source, 47)],
                Comparison::Is,
                "sel6-a.47-32".parse().unwrap(),
            ),
        ]),
        rule(&[Expr::in_set(
            vec![Key::Network(Family::V4, Side::Source, 20)],
            Comparison::IsNot,
            "sel4-a.20-32".parse().unwrap(),
        )]),
        rule(&[
            family(Family::V4),
            Expr::in_set(
                vec![
                    Key::Address(Family::V4, Side::Destination),
                    Key::Protocol,
                    Key::Port(Side::Destination),
                ],
                Comparison::IsNot,
                "port4-a".parse().unwrap(),
            ),
        ]),
        rule(&[
            protocol(Protocol::UDP),
            Expr::in_set(
                vec![Key::Port(Side::Source)],
                Comparison::Is,
                "ports-a".parse().unwrap(),
            ),
        ]),
    ]
}

/// Holds every statement at least once that stands in a chain of any kind.
fn statements() -> Vec<Rule> {
    vec![
        rule(&[Expr::SetMark {
            mask: 0x20000,
            value: 0x20000,
        }]),
        rule(&[Expr::SetMark {
            mask: 0x20000,
            value: 0,
        }]),
        rule(&[Expr::SetMark {
            mask: 0x30000,
            value: 0x20000,
        }]),
        rule(&[Expr::SetMark {
            mask: u32::MAX,
            value: 5,
        }]),
        rule(&[Expr::Limit(Limit {
            rate: 100,
            unit: LimitUnit::Day,
            burst: 5,
        })]),
        rule(&[
            Expr::Limit(Limit {
                rate: 5,
                unit: LimitUnit::Minute,
                burst: 7,
            }),
            Expr::Log {
                prefix: "calico \"drop\": ".into(),
            },
        ]),
        rule(&[protocol(Protocol::TCP), Expr::Reject(RejectWith::TcpReset)]),
        rule(&[Expr::Reject(RejectWith::PortUnreachable)]),
        rule(&[jump("c2")]),
        rule(&[Expr::Verdict(goto("c2"))]),
        rule(&[Expr::Verdict(Verdict::Return)]),
        commented(
            &[Expr::Verdict(Verdict::Drop)],
            "policy default.deny \"x\" ingress 0",
        ),
    ]
}

/// Holds translations of the destination.
fn destinations() -> Vec<Rule> {
    let dnat = |address: &str, port| Expr::Dnat {
        address: address.parse().unwrap(),
        port,
    };
    vec![
        rule(&[family(Family::V4), dnat("10.0.0.1", None)]),
        rule(&[
            family(Family::V4),
            source("10.0.0.0/8"),
            protocol(Protocol::TCP),
            port(80, 80),
            dnat("10.0.0.1", Some(8775)),
        ]),
        rule(&[family(Family::V6), dnat("fd00::1", None)]),
        rule(&[
            family(Family::V6),
            protocol(Protocol::TCP),
            dnat("fd00::1", Some(80)),
        ]),
    ]
}

/// Holds translations of the source.
fn sources() -> Vec<Rule> {
    let range = |first, last| Some(PortRange::new(first, last).unwrap());
    let snat = |address: &str, ports| Expr::Snat {
        address: address.parse().unwrap(),
        ports,
    };
    let masquerade = |ports| Expr::Masquerade { ports };
    vec![
        rule(&[family(Family::V4), snat("192.0.2.1", None)]),
        rule(&[
            family(Family::V4),
            protocol(Protocol::TCP),
            snat("192.0.2.1", range(1024, 2048)),
        ]),
        rule(&[
            family(Family::V6),
            protocol(Protocol::UDP),
            snat("fd00::1", range(1024, 2048)),
        ]),
        rule(&[family(Family::V6), snat("fd00::1", None)]),
        rule(&[
            family(Family::V4),
            protocol(Protocol::TCP),
            masquerade(range(1024, 1024)),
        ]),
        rule(&[protocol(Protocol::UDP), masquerade(range(1024, 2048))]),
        rule(&[family(Family::V6), masquerade(None)]),
    ]
}

/// Holds every kind of object.
fn everything() -> Vec<Object> {
    let rules = [matches(), statements()].concat();
    let raw = BaseChain {
        kind: ChainType::Filter,
        hook: Hook::Prerouting,
        priority: -300,
    };
    let nat = BaseChain {
        kind: ChainType::Nat,
        hook: Hook::Prerouting,
        priority: -101,
    };
    let nat_output = BaseChain {
        kind: ChainType::Nat,
        hook: Hook::Output,
        priority: -100,
    };
    let nat_post = BaseChain {
        kind: ChainType::Nat,
        hook: Hook::Postrouting,
        priority: 110,
    };
    let post = BaseChain {
        kind: ChainType::Filter,
        hook: Hook::Postrouting,
        priority: -170,
    };
    vec![
        counter("pol-in-allow-default.web"),
        base_chain("input-policy", &[vmap("hep-in-if")]),
        chain_of("raw-prerouting", Some(raw), &[rule(&[Expr::NoTrack])]),
        chain_of("nat-prerouting", Some(nat), &destinations()),
        chain_of("nat-output", Some(nat_output), &[]),
        chain_of("nat-postrouting", Some(nat_post), &sources()),
        chain_of("output-dnat", Some(post), &[]),
        chain_of("pol-in-default.all/x", None, &rules),
        chain("c2", &[]),
        map(
            "hep-in-if",
            &[
                entry("eth0", goto("pol-in-default.all/x")),
                entry("eth1", Verdict::Drop),
            ],
        ),
        addresses("nets4-a", &["10.0.0.0/8", "11.0.0.1/32", "12.0.0.0/24"]),
        addresses("sel4-empty", &[]),
        networks("sel4-a.20-32", Family::V4, "10.0.16.0/32"),
        networks("sel6-a.47-32", Family::V6, "fd00:0:2::/128"),
        port_set("port4-a"),
        ports("ports-a"),
    ]
}

#[test]
fn a_whole_table() {
    let table = "tortie".parse().unwrap();
    let ruleset = Ruleset::of(everything());
    assert_snapshot!(ruleset_text(&table, &ruleset, Elements::All));
}

#[test]
fn elements_beyond_a_number_are_counted_only() {
    let Object::Set(spec, elements) = ports("ports-a") else {
        panic!();
    };
    assert_eq!(
        set_text(&spec, &elements, Elements::AtMost(7)),
        "set ports-a {\n\ttype inet_service\n\tflags interval\n\telements = { 0, 100-101, 200-202, \
         300, 400-401,\n\t\t     500-502, 600 } # and 5 more\n}\n"
    );
    assert_eq!(
        set_text(&spec, &elements, Elements::AtMost(0)),
        "set ports-a {\n\ttype inet_service\n\tflags interval\n\t# and 12 more\n}\n"
    );
}

#[test]
fn a_match_without_what_it_depends_on_is_shown_raw() {
    let shown = |exprs: &[Expr]| rule(exprs).to_string();
    assert_eq!(
        shown(&[source("10.0.0.0/8")]),
        "@nh,96,32 & 0xff000000 == 0xa000000"
    );
    assert_eq!(
        shown(&[family(Family::V6), source("10.0.0.0/8")]),
        "meta nfproto ipv6 @nh,96,32 & 0xff000000 == 0xa000000"
    );
    assert_eq!(shown(&[port(80, 80)]), "th dport 80");
    assert_eq!(
        shown(&[Expr::IcmpType(Family::V4, Comparison::Is, 8)]),
        "@th,0,8 8"
    );
    assert_eq!(shown(&[in_set("s")]), "@nh,96,32 @s");
    assert_eq!(source("10.0.0.0/8").to_string(), "ip saddr 10.0.0.0/8");
}

#[test]
fn texts_are_cut_where_the_kernel_cuts_them() {
    let long = "ä".repeat(100);
    let text = commented(&[], &long).to_string();
    assert_eq!(text, format!("comment \"{}\"", "ä".repeat(64)));
    let statement = Expr::Log {
        prefix: long.into(),
    };
    assert_eq!(
        statement.to_string(),
        format!("log prefix \"{}\"", "ä".repeat(63))
    );
}

#[test]
fn a_plan_for_people() {
    let mut host = Host::with(&everything());
    let elements = ObjectChange::Elements {
        added: vec![net("13.0.0.0/8"), net("14.0.0.0/8"), net("15.0.0.0/8")],
        removed: vec![net("10.0.0.0/8")],
    };
    let changes = ObjectChanges::from([
        (set_key("nets4-a"), elements),
        (set_key("sel4-empty"), ObjectChange::Absent),
        (chain_key("c2"), chain("c2", &[accept()]).into()),
        (chain_key("c3"), chain("c3", &[jump("c2")]).into()),
        (chain_key("output-dnat"), ObjectChange::Absent),
        (counter_key("end-in-default"), ObjectChange::Counter),
        (
            chain_key("input-policy"),
            base_chain("input-policy", &[accept()]).into(),
        ),
    ]);
    let plan = host.change(&changes, Extent::Part).unwrap();
    assert_snapshot!(plan_text(&plan, Elements::AtMost(2)));
}
