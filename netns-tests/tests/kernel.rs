//! The `kernel` room against nf_tables itself: what is committed is what `nft` lists and what is read back.
//!
//! Each test has a network namespace of its own, which ends with the thread that made it.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use tortie::kernel::{
    CommitError, Kernel as _, Netfilter, Observed, Ownership, Settings, Subject, TableOwner,
};
use tortie::net::{Family, InterfaceName, PortRange, Protocol, host_net, parse_net};
use tortie::nft::{
    Applied, BaseChain, ChainName, ChainType, Comparison, Element, ElementKey, Expr, Fingerprint,
    Hook, InterfaceMatch, InterfaceSide, Key, KeyType, Limit, LimitUnit, Operation, Plan,
    RejectWith, Rule, SetName, SetSpec, Side, TableName, Verdict, ct_state, ct_status,
};

/// Runs a test on a thread with a network namespace of its own; programs it starts are inside too.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace: run as root");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn settings(ownership: TableOwner) -> Settings {
    Settings {
        table: table(),
        ownership,
        timeout: Duration::from_secs(10),
    }
}

fn open(ownership: TableOwner) -> Netfilter {
    Netfilter::open(settings(ownership)).expect("open netfilter")
}

fn table() -> TableName {
    "tortie".parse().expect("a name")
}

fn nft(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("nft")
        .args(arguments)
        .output()
        .expect("run nft");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        assert_eq!(text(&output.stderr), "", "nft complains");
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn chain(name: &str) -> ChainName {
    name.parse().expect("a name of a chain")
}

fn set(name: &str) -> SetName {
    name.parse().expect("a name of a set")
}

fn interface(name: &str) -> InterfaceName {
    name.parse().expect("a name of an interface")
}

fn net(text: &str) -> ipnet::IpNet {
    parse_net(text).expect("a prefix")
}

fn spec(name: &str, key: &[KeyType]) -> SetSpec {
    SetSpec {
        name: set(name),
        key: key.to_vec(),
        interval: false,
        verdicts: false,
        size: None,
    }
}

fn add_chain(name: &str) -> Operation {
    Operation::AddChain {
        name: chain(name),
        base: None,
    }
}

fn add_rule(name: &str, exprs: Vec<Expr>) -> Operation {
    commented(name, exprs, None)
}

fn commented(name: &str, exprs: Vec<Expr>, comment: Option<&str>) -> Operation {
    Operation::AddRule {
        chain: chain(name),
        rule: Arc::new(Rule {
            exprs,
            comment: comment.map(Arc::from),
        }),
    }
}

fn plan(operations: Vec<Operation>) -> Plan {
    Plan { operations }
}

fn members(spec: SetSpec, mut elements: Vec<Element>) -> [Operation; 2] {
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

fn plain(keys: impl IntoIterator<Item = ElementKey>) -> Vec<Element> {
    keys.into_iter()
        .map(|key| Element { key, verdict: None })
        .collect()
}

fn nets(texts: &[&str]) -> Vec<Element> {
    plain(texts.iter().map(|text| ElementKey::Net(net(text))))
}

fn ports(ranges: &[(u16, u16)]) -> Vec<Element> {
    plain(
        ranges.iter().map(|(first, last)| {
            ElementKey::Ports(PortRange::new(*first, *last).expect("a range"))
        }),
    )
}

fn address_ports(entries: &[(&str, Protocol, u16)]) -> Vec<Element> {
    plain(entries.iter().map(|(address, protocol, port)| {
        let address = address.parse().expect("an address");
        ElementKey::AddressPort(address, *protocol, *port)
    }))
}

/// Sets and maps of every kind, with elements at the ends of their spaces and beside each other.
fn every_set() -> Vec<Operation> {
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
fn every_expression() -> Vec<(Vec<Expr>, &'static str)> {
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
        |keys: &[Key], comparison, name: &str| Expr::InSet(keys.to_vec(), comparison, set(name));
    let tuple = |family| {
        [
            Key::Address(family, Destination),
            Key::Protocol,
            Key::Port(Destination),
        ]
    };
    let map = |side| Expr::VerdictMap(vec![Key::Interface(side)], set("hep-in-if"));
    let mark = |mask, value| Expr::SetMark { mask, value };
    let limit = |rate, unit, burst| Expr::Limit(Limit { rate, unit, burst });
    let log = |prefix: &str| Expr::Log {
        prefix: prefix.to_owned(),
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
            vec![Expr::Interface(InterfaceSide::Input, Is, named("eth0"))],
            "iifname \"eth0\"",
        ),
        (
            vec![Expr::Interface(
                InterfaceSide::Output,
                IsNot,
                named("fifteen-bytes-x"),
            )],
            "oifname != \"fifteen-bytes-x\"",
        ),
        (
            vec![Expr::Interface(InterfaceSide::Input, Is, prefix("cali"))],
            "iifname \"cali*\"",
        ),
        (
            vec![Expr::Interface(InterfaceSide::Output, IsNot, prefix("t"))],
            "oifname != \"t*\"",
        ),
        (vec![Expr::HasInputInterface], "iif != 0"),
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
fn everything() -> Plan {
    let mut operations = vec![Operation::AddTable, add_chain("target")];
    for (name, kind, hook, priority) in [
        ("input-policy", ChainType::Filter, Hook::Input, -10),
        ("output", ChainType::Filter, Hook::Output, -10),
        ("forward", ChainType::Filter, Hook::Forward, 7),
        ("output-dnat", ChainType::Filter, Hook::Postrouting, -150),
        ("raw-prerouting", ChainType::Filter, Hook::Prerouting, -300),
        ("nat-prerouting", ChainType::Nat, Hook::Prerouting, -100),
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

#[test]
fn everything_is_listed_by_nft_and_read_back_as_it_was_meant() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        let plan = everything();
        kernel.commit(&plan).expect("commit");

        let listed = nft(&["list", "table", "inet", "tortie"]).expect("list");
        println!("{listed}");
        assert!(!listed.contains("invalid"), "{listed}");
        let body = listed
            .split_once("chain pol-in-default.web/a_b-c {\n")
            .and_then(|(_, rest)| rest.split_once("\t}\n"))
            .expect("the chain is listed")
            .0;
        let lines: Vec<&str> = body.lines().map(str::trim).collect();
        let wanted: Vec<&str> = every_expression().iter().map(|(_, text)| *text).collect();
        assert_eq!(lines, wanted);
        for text in [
            "type filter hook input priority filter - 10; policy accept;",
            "type nat hook prerouting priority dstnat; policy accept;",
            "accept comment \"policy default.web, rule 1: ä\"",
            "elements = { 10.0.0.1, 255.255.255.255 }",
            "elements = { 0.0.0.0/0 }",
            "elements = { ::/0 }",
            "elements = { 0-65535 }",
            "elements = { 0, 80, 81-90, 8000-8099,",
            "type ipv4_addr . inet_proto . inet_service",
            "\"fifteen-bytes-x\" : accept",
            "\"eth0\" : goto target",
        ] {
            assert!(listed.contains(text), "{text} is missing in {listed}");
        }

        let mut model = Applied::default();
        model.commit(&plan).expect("the model takes the plan");
        let observed = kernel.observe().expect("observe");
        assert_eq!(observed.catalog, read_form(&model));
        assert!(!observed.needs_adoption);
    });
}

/// What the model holds, as reading back gives it: without references, which the kernel does not tell.
fn read_form(model: &Applied) -> tortie::nft::Catalog {
    model.catalog()
}

#[test]
fn elements_come_and_go_without_touching_their_neighbours() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        let mut model = Applied::default();
        let mut commit = |operations: Vec<Operation>| {
            let plan = plan(operations);
            model.commit(&plan).expect("the model takes the plan");
            kernel.commit(&plan).expect("commit");
            let observed = kernel.observe().expect("observe");
            assert_eq!(observed.catalog.sets, model.catalog().sets);
        };
        commit(everything().operations);
        let change = |name: &str,
                      elements: &[Element],
                      sort: fn(Arc<SetSpec>, Arc<Vec<Element>>) -> Operation| {
            let spec = every_set()
                .into_iter()
                .find_map(|operation| match operation {
                    Operation::AddSet(spec) if spec.name == set(name) => Some(spec),
                    _ => None,
                });
            sort(spec.expect("the set"), Arc::new(elements.to_vec()))
        };
        let add = |set, elements| Operation::AddElements { set, elements };
        let delete = |set, elements| Operation::DeleteElements { set, elements };
        // In the middle of adjoining ones, and at both ends of the space.
        commit(vec![change("nets4", &nets(&["11.0.0.0/8"]), delete)]);
        commit(vec![change(
            "nets4",
            &nets(&["11.0.0.0/9", "11.128.0.0/9"]),
            add,
        )]);
        commit(vec![change("nets4", &nets(&["255.0.0.0/8"]), delete)]);
        commit(vec![
            change("nets4", &nets(&["10.0.0.0/8"]), delete),
            change("nets4", &nets(&["10.0.0.0/9", "255.255.255.255/32"]), add),
        ]);
        commit(vec![
            change("nets4-all", &nets(&["0.0.0.0/0"]), delete),
            change("nets4-all", &nets(&["0.0.0.0/1", "128.0.0.0/1"]), add),
        ]);
        commit(vec![
            change("nets6-all", &nets(&["::/0"]), delete),
            change("nets6-all", &nets(&["::/128", "8000::/1"]), add),
        ]);
        commit(vec![change(
            "ports-range",
            &ports(&[(0, 0), (65535, 65535)]),
            delete,
        )]);
        commit(vec![change(
            "ports-range",
            &ports(&[(91, 91), (65534, 65535)]),
            add,
        )]);
        commit(vec![change("sel4-hash", &nets(&["10.0.0.1"]), delete)]);
        let eth0 = Element {
            key: ElementKey::Interface(interface("eth0")),
            verdict: Some(Verdict::Goto(chain("target"))),
        };
        commit(vec![change(
            "hep-in-if",
            std::slice::from_ref(&eth0),
            delete,
        )]);
        commit(vec![change("hep-in-if", &[eth0], add)]);
        commit(vec![
            Operation::FlushSet(set("port4")),
            Operation::FlushChain(chain("pol-in-default.web/a_b-c")),
            Operation::DeleteSet(set("port6")),
        ]);
        commit(vec![Operation::DeleteTable, Operation::AddTable]);
        assert_eq!(
            nft(&["list", "table", "inet", "tortie"])
                .expect("list")
                .matches("chain")
                .count(),
            0
        );
    });
}

#[test]
fn large_sets_and_chains_load_and_read_back() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        let addresses = |count: u32| {
            plain((0..count).map(|n| {
                ElementKey::Net(host_net(
                    std::net::Ipv4Addr::from_bits(0x0a00_0000 + n * 3).into(),
                ))
            }))
        };
        let prefixes = plain((0..20_000_u32).map(|n| {
            let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + n * 256);
            ElementKey::Net(net(&format!("{address}/24")))
        }));
        let v4 = KeyType::Address(Family::V4);
        let mut operations = vec![Operation::AddTable];
        operations.extend(members(
            SetSpec {
                size: Some(200_000),
                ..spec("sel4-big", &[v4])
            },
            addresses(100_000),
        ));
        operations.extend(members(
            SetSpec {
                interval: true,
                ..spec("nets4-big", &[v4])
            },
            prefixes,
        ));
        for number in 0..1000 {
            operations.push(add_chain(&format!("pol-in-default.p{number}")));
        }
        for number in 0..10_000_u16 {
            let exprs = vec![
                Expr::Protocol(Comparison::Is, Protocol::TCP),
                Expr::Port(Side::Destination, Comparison::Is, PortRange::single(number)),
                Expr::Verdict(Verdict::Accept),
            ];
            operations.push(commented(
                &format!("pol-in-default.p{}", number / 10),
                exprs,
                Some("policy default.p rule 1"),
            ));
        }
        let plan = plan(operations);
        let started = Instant::now();
        let committed = kernel.commit(&plan).expect("commit");
        println!(
            "{} bytes in {} messages: {:?}",
            committed.bytes,
            committed.messages,
            started.elapsed()
        );
        let started = Instant::now();
        let observed = kernel.observe().expect("observe");
        println!("observed in {:?}", started.elapsed());
        let mut model = Applied::default();
        model.commit(&plan).expect("the model takes the plan");
        assert_eq!(observed.catalog.chains, model.catalog().chains);
        assert!(observed.catalog == read_form(&model), "the sets differ");
        let listed = nft(&["list", "set", "inet", "tortie", "sel4-big"]).expect("list");
        assert_eq!(listed.matches("10.").count(), 100_000);
    });
}

/// Commits what must fail and returns the refusal as text, and the operation it names.
fn refused(kernel: &mut Netfilter, operations: Vec<Operation>) -> (String, Option<usize>, Errno) {
    match kernel.commit(&plan(operations)) {
        Err(error @ CommitError::Refused { .. }) => {
            let text = error.to_string();
            let CommitError::Refused { refusals } = error else {
                unreachable!()
            };
            (text, refusals.first().operation, refusals.first().errno)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_refusal_names_the_object() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        kernel.commit(&everything()).expect("commit");
        let before = kernel.observe().expect("observe");

        let missing = Expr::Verdict(Verdict::Jump(chain("nowhere")));
        let accept = || add_rule("target", vec![Expr::Verdict(Verdict::Accept)]);
        let (text, operation, errno) = refused(
            &mut kernel,
            vec![
                accept(),
                add_rule("pol-in-default.web/a_b-c", vec![Expr::Counter]),
                accept(),
                add_rule("target", vec![Expr::Counter, missing.clone()]),
                accept(),
            ],
        );
        assert!(
            text.contains(
                "rule 3 of chain `target`: no such file or directory (ENOENT) at attribute offset"
            ),
            "{text}"
        );
        assert_eq!((operation, errno), (Some(3), Errno::ENOENT));

        let spec = Arc::new(SetSpec {
            interval: true,
            ..spec("nets4", &[KeyType::Address(Family::V4)])
        });
        let elements = Arc::new(nets(&[
            "1.0.0.0/8",
            "2.0.0.0/8",
            "12.0.0.0/8",
            "13.0.0.0/8",
        ]));
        let (text, _, errno) = refused(
            &mut kernel,
            vec![
                accept(),
                Operation::AddElements {
                    set: spec.clone(),
                    elements,
                },
            ],
        );
        assert!(
            text.contains("of set `nets4`: file exists (EEXIST)"),
            "{text}"
        );
        assert!(text.contains("element 12.0.0.0/8"), "{text}");
        assert_eq!(errno, Errno::EEXIST);

        let elements = Arc::new(nets(&["99.0.0.0/8"]));
        let (text, ..) = refused(
            &mut kernel,
            vec![Operation::DeleteElements {
                set: spec,
                elements,
            }],
        );
        assert!(
            text.contains("element 99.0.0.0/8 of set `nets4`: no such file or directory (ENOENT)"),
            "{text}"
        );

        let (text, ..) = refused(&mut kernel, vec![Operation::DeleteChain(chain("target"))]);
        assert!(
            text.contains("chain `target`: device or resource busy (EBUSY)"),
            "{text}"
        );

        let (text, ..) = refused(
            &mut kernel,
            vec![
                Operation::DeleteSet(set("no-such")),
                add_rule("nowhere", vec![Expr::Counter]),
            ],
        );
        assert!(
            text.contains("set `no-such`: no such file or directory (ENOENT)"),
            "{text}"
        );
        assert!(text.contains("and 1 more"), "{text}");

        let mut operations = vec![accept()];
        operations.extend((0..3000).map(|_| add_rule("target", vec![missing.clone()])));
        let (text, operation, _) = refused(&mut kernel, operations);
        assert!(text.contains("rule 2 of chain `target`"), "{text}");
        assert_eq!(operation, Some(1));

        let after = kernel.observe().expect("observe");
        assert_eq!(after.catalog, before.catalog);
    });
}

#[test]
fn a_table_is_ours_until_we_end_and_then_adopted() {
    in_namespace(|| {
        let mut first = open(TableOwner::Enabled);
        first.commit(&everything()).expect("commit");
        let observed = first.observe().expect("observe");
        assert_eq!(state(&observed), (6, &Ownership::Ours, true, false));
        let refusal = nft(&["delete", "table", "inet", "tortie"]).expect_err("others may not");
        assert!(refusal.contains("Operation not permitted"), "{refusal}");
        nft(&["flush", "ruleset"]).expect("flush");
        assert_eq!(first.observe().expect("observe"), observed);

        let mut second = open(TableOwner::Enabled);
        let foreign = second.observe().expect("observe");
        assert!(foreign.needs_adoption);
        assert_eq!(foreign.catalog, observed.catalog);
        match &foreign.table.as_ref().expect("a table").ownership {
            Ownership::Foreign(owner) => {
                assert_eq!(
                    owner.process.as_ref().map(|process| process.id),
                    Some(std::process::id())
                );
            }
            other => panic!("{other:?}"),
        }
        match second.commit(&plan(vec![Operation::AddTable])) {
            Err(CommitError::ForeignOwner { owner, .. }) => {
                assert!(
                    owner
                        .to_string()
                        .starts_with(&format!("process {} (", std::process::id())),
                    "{owner}"
                );
            }
            other => panic!("{other:?}"),
        }

        drop(first);
        let orphan = second.observe().expect("observe");
        assert_eq!(orphan.catalog, observed.catalog);
        assert_eq!(state(&orphan), (4, &Ownership::Orphan, true, true));
        second
            .commit(&plan(vec![
                Operation::AddTable,
                Operation::FlushChain(chain("target")),
            ]))
            .expect("adopt");
        assert_eq!(
            state(&second.observe().expect("observe")),
            (6, &Ownership::Ours, true, false)
        );
        nft(&["delete", "table", "inet", "tortie"]).expect_err("others may not");
    });
}

fn state(observed: &Observed) -> (u32, &Ownership, bool, bool) {
    let table = observed.table.as_ref().expect("a table");
    (
        table.flags,
        &table.ownership,
        table.matches_wanted,
        observed.needs_adoption,
    )
}

/// Is a process killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "the process that another test kills"]
fn owner_process() {
    let mut kernel = open(TableOwner::Enabled);
    kernel.commit(&everything()).expect("commit");
    println!("committed");
    loop {
        std::thread::park();
    }
}

#[test]
fn the_table_of_a_killed_process_is_adopted() {
    in_namespace(|| {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "owner_process", "--nocapture"])
            .stdout(Stdio::null())
            .spawn()
            .expect("start the owner");
        let mut child = Killed(child);
        let mut kernel = open(TableOwner::Enabled);
        let deadline = Instant::now() + Duration::from_secs(20);
        let owned = loop {
            let observed = kernel.observe().expect("observe");
            if !observed.catalog.chains.is_empty() {
                break observed;
            }
            assert!(Instant::now() < deadline, "the owner did not commit");
            std::thread::yield_now();
        };
        assert!(matches!(
            owned.table.expect("a table").ownership,
            Ownership::Foreign(_)
        ));
        child.0.kill().expect("kill");
        child.0.wait().expect("wait");
        loop {
            let observed = kernel.observe().expect("observe");
            if state(&observed).1 == &Ownership::Orphan {
                assert_eq!(observed.catalog, owned.catalog);
                break;
            }
            assert!(Instant::now() < deadline, "the table was not released");
            std::thread::yield_now();
        }
        kernel
            .commit(&plan(vec![Operation::AddTable]))
            .expect("adopt");
        assert_eq!(
            state(&kernel.observe().expect("observe")).1,
            &Ownership::Ours
        );
    });
}

#[test]
fn what_is_not_ours_is_seen() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Disabled);
        assert!(!kernel.owned());
        let nothing = kernel.observe().expect("observe");
        assert_eq!(
            (nothing.table, nothing.needs_adoption, nothing.catalog.table),
            (None, false, false)
        );
        // Tables of others, however strange, are not read.
        nft(&["add table inet other; add set inet other s { type ether_addr; flags timeout; }; add chain inet other c; add rule inet other c meta mark set jhash ip saddr mod 2"]).expect("nft");
        kernel.commit(&everything()).expect("commit");
        let ours = kernel.observe().expect("observe");
        assert_eq!(state(&ours), (0, &Ownership::None, true, false));
        assert!(!ours.catalog.undecodable);

        // A rule of somebody else, with an anonymous set: it has no fingerprint of ours.
        nft(&["add rule inet tortie target ip saddr { 1.1.1.1, 2.2.2.2 } accept"]).expect("nft");
        let changed = kernel.observe().expect("observe");
        assert!(!changed.catalog.undecodable);
        assert_eq!(changed.catalog.chains[&chain("target")].rules.len(), 2);
        assert_eq!(changed.catalog.chains[&chain("target")].rules[1], None);

        for foreign in [
            "add set inet tortie odd { type ether_addr; }",
            "add set inet tortie odd { type ipv4_addr; flags timeout; }",
            "add map inet tortie odd { type ipv4_addr : mark; }",
            "add counter inet tortie odd",
            "add chain inet tortie odd { type filter hook input priority 0; policy drop; }",
            "add chain inet tortie odd { type route hook output priority 0; }",
        ] {
            nft(&[foreign]).expect("nft");
            assert!(
                kernel.observe().expect("observe").catalog.undecodable,
                "{foreign}"
            );
            let kind = foreign.split(' ').nth(1).expect("a kind");
            nft(&["delete", kind, "inet", "tortie", "odd"]).expect("nft");
            assert!(
                !kernel.observe().expect("observe").catalog.undecodable,
                "{foreign}"
            );
        }
        nft(&["add element inet tortie nets4 { 200.0.0.1-200.0.0.5 }"]).expect("nft");
        assert!(kernel.observe().expect("observe").catalog.undecodable);

        // One who wants to own a table that was made without must make it anew.
        let mut owner = open(TableOwner::Enabled);
        let plain = owner.observe().expect("observe");
        assert_eq!(state(&plain), (0, &Ownership::None, false, true));
        let mut operations = vec![Operation::DeleteTable];
        operations.extend(everything().operations);
        owner.commit(&plan(operations)).expect("replace");
        let mut text = String::new();
        write!(text, "{:?}", owner.observe().expect("observe").table).expect("write");
        assert!(text.contains("Ours"), "{text}");
    });
}

#[test]
fn a_set_that_cannot_be_expressed_is_named_before_anything_is_sent() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        let elements = plain([ElementKey::Ports(PortRange::single(1))]);
        let mut operations = vec![Operation::AddTable];
        operations.extend(members(
            spec("sel4", &[KeyType::Address(Family::V4)]),
            elements,
        ));
        match kernel.commit(&plan(operations)) {
            Err(CommitError::Encode(error)) => {
                assert_eq!(
                    error.to_string(),
                    "element 1 of set `sel4`: the key is not of the type of the set"
                );
                assert!(matches!(error.subject(), Subject::Element(..)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(kernel.observe().expect("observe").table, None);
    });
}

#[test]
fn a_rule_is_known_again_by_its_fingerprint() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        let rule = Rule {
            exprs: vec![Expr::Counter],
            comment: Some("ä".repeat(200).into()),
        };
        let operations = vec![
            Operation::AddTable,
            add_chain("c"),
            Operation::AddRule {
                chain: chain("c"),
                rule: Arc::new(rule.clone()),
            },
        ];
        kernel.commit(&plan(operations)).expect("commit");
        let observed = kernel.observe().expect("observe");
        assert_eq!(
            observed.catalog.chains[&chain("c")].rules,
            [Some(Fingerprint::of(&rule))]
        );
        let listed = nft(&["list", "table", "inet", "tortie"]).expect("list");
        assert!(
            listed.contains(&format!("comment \"{}\"", "ä".repeat(64))),
            "{listed}"
        );
    });
}
