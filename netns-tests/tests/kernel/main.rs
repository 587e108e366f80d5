//! The `kernel` room against `nf_tables` itself: what is committed is what `nft` lists and what is read back.
//!
//! Each test has a network namespace of its own, which ends with the thread that made it.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netns_tests::kernel::{owns, tables_persist};
use netns_tests::patience::patient;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use tortie::kernel::{
    CommitError, Kernel as _, KernelError, Netfilter, Observed, Ownership, Settings, Subject,
    TableOwner,
};
use tortie::net::{Family, PortRange, Protocol, host_net};
use tortie::nft::{
    Applied, Comparison, Element, ElementKey, Expr, Fingerprint, KeyType, Operation, Rule, SetSpec,
    Side, TableName, Verdict,
};

mod counters;
mod host_chains;
mod samples;
mod translation;

use samples::{
    add_chain, add_rule, chain, commented, every_expression, every_set, everything, interface,
    members, net, nets, plain, plan, ports, set, spec,
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

#[test]
fn everything_is_listed_by_nft_and_read_back_as_it_was_meant() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        let plan = everything();
        kernel.commit(&plan).expect("commit");

        let listed = nft(&["list", "table", "inet", "tortie"]).expect("list");
        println!("{listed}");
        assert!(!listed.contains("[invalid"), "{listed}");
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
            "type nat hook output priority -100; policy accept;",
            "type nat hook postrouting priority srcnat + 10; policy accept;",
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
        assert_eq!(observed.catalog, model.catalog());
        assert!(!observed.needs_adoption);
    });
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
            let spec = every_set().into_iter().find_map(|operation| {
                if let Operation::AddSet(spec) = operation {
                    (spec.name == set(name)).then_some(spec)
                } else {
                    None
                }
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
        assert!(observed.catalog == model.catalog(), "the sets differ");
        let listed = nft(&["list", "set", "inet", "tortie", "sel4-big"]).expect("list");
        assert_eq!(listed.matches(',').count(), 99_999);
    });
}

/// Commits what must fail and returns the refusal as text, and the operation it names; a check says the same.
fn refused(kernel: &mut Netfilter, operations: Vec<Operation>) -> (String, Option<usize>, Errno) {
    let plan = plan(operations);
    let asked = kernel.check(&plan).expect_err("a check fails too");
    match kernel.commit(&plan) {
        Err(error @ CommitError::Refused { .. }) => {
            let text = error.to_string();
            assert_eq!(asked.to_string(), text);
            let CommitError::Refused { refusals } = error else {
                unreachable!()
            };
            (text, refusals.first().operation, refusals.first().errno)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one refusal after the other on the same table"
)]
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

        let jump =
            |from: &str, to: &str| add_rule(from, vec![Expr::Verdict(Verdict::Jump(chain(to)))]);
        let (text, operation, errno) = refused(
            &mut kernel,
            vec![
                add_chain("loop-a"),
                add_chain("loop-b"),
                jump("input-policy", "loop-a"),
                jump("loop-a", "loop-b"),
                jump("loop-b", "loop-a"),
            ],
        );
        assert!(
            text.contains("rule 1 of chain `loop-b`: too many links (EMLINK)"),
            "{text}"
        );
        assert_eq!((operation, errno), (Some(4), Errno::EMLINK));

        let after = kernel.observe().expect("observe");
        assert_eq!(after.catalog, before.catalog);
    });
}

#[test]
fn a_check_changes_nothing() {
    for ownership in [TableOwner::Auto, TableOwner::Disabled] {
        in_namespace(move || {
            let mut kernel = open(ownership);
            let generation = kernel.generation().expect("a generation");
            kernel.check(&everything()).expect("it would do");
            let observed = kernel.observe().expect("observe");
            assert_eq!(observed.table, None);
            assert_eq!(observed.generation, generation);
            kernel.commit(&everything()).expect("commit");
            let before = kernel.observe().expect("observe");
            let empty = plan(vec![Operation::DeleteTable, Operation::AddTable]);
            kernel.check(&empty).expect("it would do");
            assert_eq!(kernel.observe().expect("observe"), before);
        });
    }
}

#[test]
fn ownership_is_what_the_kernel_has() {
    in_namespace(|| {
        let can = tables_persist();
        let kernel = open(TableOwner::Auto);
        assert_eq!(kernel.owned(), can);
        assert_eq!(kernel.capabilities().persistent_owner, can);
        match Netfilter::open(settings(TableOwner::Enabled)) {
            Ok(kernel) => assert!(can && kernel.owned()),
            Err(KernelError::OwnerUnsupported) => assert!(!can),
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn a_table_is_ours_until_we_end_and_then_adopted() {
    if !owns() {
        return;
    }
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
            other @ (Ownership::None | Ownership::Ours | Ownership::Orphan) => panic!("{other:?}"),
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
        // A process that another test is starting has the socket, too, until it is another program.
        let deadline = Instant::now() + patient(Duration::from_secs(20));
        let orphan = loop {
            let found = second.observe().expect("observe");
            let ended = state(&found).1 == &Ownership::Orphan;
            if ended || Instant::now() >= deadline {
                break found;
            }
            std::thread::yield_now();
        };
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
    if !owns() {
        return;
    }
    in_namespace(|| {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "owner_process", "--nocapture"])
            .stdout(Stdio::null())
            .spawn()
            .expect("start the owner");
        let mut child = Killed(child);
        let mut kernel = open(TableOwner::Enabled);
        let deadline = Instant::now() + patient(Duration::from_secs(20));
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
            "add quota inet tortie odd { over 1 mbytes }",
            "add chain inet tortie odd { type filter hook input priority 0; policy drop; }",
            "add chain inet tortie odd { type route hook output priority 0; }",
        ] {
            nft(&[foreign]).expect("nft");
            let seen = kernel.observe().expect("observe").catalog;
            let kind = foreign.split(' ').nth(1).expect("a kind");
            if kind == "chain" {
                // Known for what it is not, it goes without the table.
                assert!(seen.chains[&chain("odd")].alien, "{foreign}");
                assert!(!seen.undecodable, "{foreign}");
            } else {
                assert!(seen.undecodable, "{foreign}");
            }
            nft(&["delete", kind, "inet", "tortie", "odd"]).expect("nft");
            let seen = kernel.observe().expect("observe").catalog;
            assert!(!seen.undecodable, "{foreign}");
            assert_eq!(seen.chains, changed.catalog.chains, "{foreign}");
        }
        nft(&["add element inet tortie nets4 { 200.0.0.1-200.0.0.5 }"]).expect("nft");
        let seen = kernel.observe().expect("observe").catalog;
        let nets4 = &seen.sets[&"nets4".parse().expect("a name")];
        assert_eq!(nets4.elements, None, "what it holds is not known");
        assert!(!seen.undecodable);

        if !owns() {
            return;
        }
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
                fingerprint: Fingerprint::of(&rule),
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
