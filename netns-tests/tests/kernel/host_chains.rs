//! Our rule in the chains of `iptables-nft`, seen by its own programs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netns_tests::patience::patient;
use netns_tests::{EXT, EXT2, Family, HOST1, Namespace, Place, World};
use nix::errno::Errno;
use tortie::kernel::{
    Accepted, Advice, Change, HostChains, HostFirewall as _, HostPolicy, Kernel as _, KernelError,
    Remedy, Report, Wanted, advice,
};
use tortie::nft::{BaseChain, ChainType, Expr, Hook, Operation};

use crate::samples::{add_rule, chain, everything, plan};
use crate::{TableOwner, in_namespace, nft, open, settings};

const MARK: u32 = 0x10000;
const INSERTED: Wanted = Wanted::Inserted { mark: MARK };
const RULE: &str =
    "-m mark --mark 0x10000/0x10000 -m comment --comment \"tortie: accepted by policy\" -j ACCEPT";

/// How long a packet that must come, or be dropped, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a program of iptables, which must not complain, and returns what it prints.
fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let program = words.next().expect("a program");
    let output = Command::new(program)
        .args(words)
        .output()
        .expect("run a program of iptables: ./scripts/setup installs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{line} complains");
    text(&output.stdout)
}

/// Shows all rules as `iptables-save` does, without the times and counters that change by themselves.
fn saved(program: &str) -> Vec<String> {
    run(program)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(" [").next().unwrap_or(line).to_owned())
        .collect()
}

/// The rules of every program, without ours.
fn foreign() -> Vec<String> {
    let mut lines = [saved("iptables-save"), saved("ip6tables-save")].concat();
    lines.retain(|line| !line.contains("tortie"));
    lines
}

fn chains() -> HostChains {
    HostChains::open(&settings(TableOwner::Auto)).expect("open")
}

fn changes(report: Report) -> Vec<(String, Change)> {
    if let Some(error) = report.failed.first() {
        panic!("{error}: {report:?}");
    }
    let changed = report.changed.into_iter();
    changed
        .map(|(place, change)| (place.to_string(), change))
        .collect()
}

fn ensure(chains: &mut HostChains, wanted: Wanted) -> Vec<(String, Change)> {
    changes(chains.ensure(wanted).expect("ensure"))
}

fn all_four(change: Change) -> Vec<(String, Change)> {
    [
        "ip filter INPUT",
        "ip filter FORWARD",
        "ip6 filter INPUT",
        "ip6 filter FORWARD",
    ]
    .map(|place| (place.to_owned(), change))
    .to_vec()
}

/// A host whose administrator drops by default, with the chains of a container engine.
fn dropping_host() {
    for line in [
        "iptables -P INPUT DROP",
        "iptables -A INPUT -i lo -j ACCEPT",
        "iptables -A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT",
        "iptables -P FORWARD DROP",
        "iptables -N DOCKER",
        "iptables -N DOCKER-USER",
        "iptables -A FORWARD -j DOCKER-USER",
        "iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "iptables -A FORWARD -o docker0 -j DOCKER",
        "iptables -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "iptables -A DOCKER-USER -j RETURN",
        "iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        "ip6tables -P INPUT DROP",
        "ip6tables -A INPUT -i lo -m mark --mark 0x10000/0x10000 -j ACCEPT",
        "ip6tables -P FORWARD DROP",
    ] {
        run(line);
    }
}

#[test]
fn the_rule_is_inserted_kept_and_removed_and_no_other_is_touched() {
    in_namespace(|| {
        dropping_host();
        let before = foreign();
        let mut chains = chains();
        assert_eq!(ensure(&mut chains, INSERTED), all_four(Change::Inserted));
        for program in ["iptables", "ip6tables"] {
            for chain in ["INPUT", "FORWARD"] {
                let listed = run(&format!("{program} -S {chain} 1"));
                assert_eq!(listed.trim_end(), format!("-A {chain} {RULE}"));
            }
            let listed = run(&format!("{program} -L INPUT -n -v"));
            assert!(listed.contains("mark match 0x10000/0x10000"), "{listed}");
            assert!(
                listed.contains("/* tortie: accepted by policy */"),
                "{listed}"
            );
            let listed = saved(&format!("{program}-save"));
            let ours = listed.iter().filter(|line| line.contains("tortie"));
            assert_eq!(ours.count(), 2, "{listed:?}");
        }
        assert_eq!(foreign(), before);
        assert_eq!(ensure(&mut chains, INSERTED), []);

        // Removed; moved behind another rule; there twice, once as it was saved and restored.
        run("iptables -D INPUT 1");
        run("iptables -I FORWARD 1 -j DOCKER-USER");
        restore("ip6tables", &format!("-I INPUT {RULE}"));
        let tampered = foreign();
        assert_eq!(
            ensure(&mut chains, INSERTED),
            [
                ("ip filter INPUT".to_owned(), Change::Inserted),
                ("ip filter FORWARD".to_owned(), Change::Corrected),
                ("ip6 filter INPUT".to_owned(), Change::Corrected),
            ]
        );
        assert_eq!(foreign(), tampered);
        assert_eq!(ensure(&mut chains, INSERTED), []);
        run("iptables -D FORWARD 2");
        assert_eq!(foreign(), before);

        // Another mark.
        let other = Wanted::Inserted { mark: 0x20000 };
        assert_eq!(ensure(&mut chains, other), all_four(Change::Corrected));
        let listed = run("iptables -S INPUT 1");
        assert!(listed.contains("--mark 0x20000/0x20000 "), "{listed}");
        assert_eq!(foreign(), before);

        // Everything saved and restored: what our rule says is lost, but not that it is ours.
        let all = run("iptables-save -t filter");
        restore_whole("iptables", &all);
        assert_eq!(
            ensure(&mut chains, Wanted::Absent),
            all_four(Change::Removed)
        );
        assert_eq!(foreign(), before);
        for program in ["iptables-save", "ip6tables-save"] {
            assert!(!run(program).contains("tortie"));
        }
        assert_eq!(ensure(&mut chains, Wanted::Absent), []);
    });
}

/// Lets a program of iptables execute a line.
fn restore(program: &str, line: &str) {
    let text = format!("*filter\n{line}\nCOMMIT\n");
    feed(&format!("{program}-restore"), &["--noflush"], &text);
}

/// Lets a program of iptables replace the table by what was saved.
fn restore_whole(program: &str, saved: &str) {
    feed(&format!("{program}-restore"), &[], saved);
}

fn feed(program: &str, arguments: &[&str], text: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("run a program of iptables");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("write");
    drop(input);
    let status = child.wait().expect("wait");
    assert!(status.success(), "{program}: {text}");
}

#[test]
fn only_the_chains_of_iptables_are_changed() {
    in_namespace(|| {
        let mut chains = chains();
        assert_eq!(ensure(&mut chains, INSERTED), []);
        assert_eq!(nft(&["list", "ruleset"]), Ok(String::new()));
        // A regular chain of that name, one at another hook, one at another priority, one of another table.
        for line in [
            "add table ip filter",
            "add chain ip filter INPUT",
            "add chain ip filter FORWARD { type filter hook output priority 0; policy drop; }",
            "add table ip6 filter",
            "add chain ip6 filter INPUT { type filter hook input priority 5; policy drop; }",
            "add table inet filter",
            "add chain inet filter INPUT { type filter hook input priority 0; policy drop; }",
            "add chain inet filter FORWARD { type filter hook forward priority 0; policy drop; }",
        ] {
            nft(&[line]).expect("nft");
        }
        let before = nft(&["list", "ruleset"]);
        assert_eq!(ensure(&mut chains, INSERTED), []);
        assert_eq!(ensure(&mut chains, Wanted::Absent), []);
        assert_eq!(nft(&["list", "ruleset"]), before);
        // Where one of the chains is there, it alone gets the rule.
        nft(&["delete chain ip filter INPUT"]).expect("nft");
        run("iptables -P INPUT ACCEPT");
        assert_eq!(
            ensure(&mut chains, INSERTED),
            [("ip filter INPUT".to_owned(), Change::Inserted)]
        );
    });
}

#[test]
fn a_table_that_belongs_to_another_is_reported() {
    in_namespace(|| {
        run("ip6tables -P INPUT DROP");
        // The program keeps the table its own as long as it waits for events.
        let mut owner = Command::new("nft")
            .args(["-i"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run nft");
        let mut input = owner.stdin.take().expect("a pipe");
        let chain = "{ type filter hook input priority 0; }";
        writeln!(input, "add table ip filter {{ flags owner; }}").expect("write");
        writeln!(input, "add chain ip filter INPUT {chain}").expect("write");
        writeln!(input, "list tables").expect("write");
        let mut line = String::new();
        let mut output = BufReader::new(owner.stdout.take().expect("a pipe"));
        while !line.contains("table ip filter") {
            line.clear();
            assert_ne!(output.read_line(&mut line).expect("read"), 0, "nft ended");
        }
        let report = chains().ensure(INSERTED).expect("ensure");
        let changed: Vec<String> = report
            .changed
            .iter()
            .map(|(at, _)| at.to_string())
            .collect();
        assert_eq!(changed, ["ip6 filter INPUT"]);
        let [KernelError::HostRule { chain, source }] = report.failed.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!(
            (chain.to_string().as_str(), *source),
            ("ip filter INPUT", Errno::EPERM)
        );
        drop(input);
        owner.wait().expect("wait");
    });
}

#[test]
fn what_others_change_meanwhile_is_no_obstacle() {
    in_namespace(|| {
        run("iptables -P INPUT DROP");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                    run("iptables -A INPUT -s 192.0.2.1 -j DROP");
                    run("iptables -D INPUT -s 192.0.2.1 -j DROP");
                }
            });
            let mut chains = chains();
            for _ in 0..60 {
                assert_eq!(ensure(&mut chains, INSERTED).len(), 1);
                assert_eq!(ensure(&mut chains, INSERTED), []);
                assert_eq!(ensure(&mut chains, Wanted::Absent).len(), 1);
            }
            stop.send(()).expect("the thread runs");
        });
        assert_eq!(
            foreign(),
            [
                "*filter",
                ":INPUT DROP",
                ":FORWARD ACCEPT",
                ":OUTPUT ACCEPT",
                "COMMIT"
            ]
        );
    });
}

#[test]
fn the_advice_is_what_makes_a_chain_accept_the_mark() {
    in_namespace(|| {
        dropping_host();
        for line in [
            "add table inet fw",
            "add chain inet fw in { type filter hook input priority 10; policy drop; }",
            "add chain inet fw early { type filter hook input priority -20; policy drop; }",
            "add chain inet fw pass { type filter hook forward priority 0; policy accept; }",
            "add chain inet fw out { type filter hook output priority 0; policy drop; }",
            "add chain inet fw regular",
        ] {
            nft(&[line]).expect("nft");
        }
        open(TableOwner::Auto)
            .commit(&everything())
            .expect("commit");
        let found = chains().survey(MARK).expect("survey");
        let shown: Vec<String> = found
            .iter()
            .map(|chain| format!("{chain} {} {:?}", chain.priority, chain.policy))
            .collect();
        assert_eq!(
            shown,
            [
                "ip filter FORWARD 0 Drop",
                "ip filter INPUT 0 Drop",
                "ip6 filter FORWARD 0 Drop",
                "ip6 filter INPUT 0 Drop",
                "inet fw early -20 Drop",
                "inet fw in 10 Drop",
                "inet fw pass 0 Accept",
            ]
        );
        assert!(found.iter().all(|chain| match chain.hook {
            Hook::Input | Hook::Forward => true,
            Hook::Prerouting | Hook::Output | Hook::Postrouting => false,
        }));
        let accepted = Accepted {
            mark: MARK,
            priority: -7,
        };
        // One chain accepts the mark, but only from one interface.
        let given = advice(&found, accepted);
        assert_eq!(given.len(), 6);
        for advice in given {
            assert_eq!(advice.chain.policy, HostPolicy::Drop);
            match advice.remedy {
                Remedy::Command(command) => drop(run(&command)),
                Remedy::AskedTooEarly => assert_eq!(advice.chain.name, "early"),
                Remedy::NameCannotBeTyped | Remedy::NothingMarked => panic!("{advice:?}"),
            }
        }
        for chain in ["INPUT", "FORWARD"] {
            for program in ["iptables", "ip6tables"] {
                let rule = format!("-A {chain} -m mark --mark 0x10000/0x10000 -j ACCEPT");
                assert_eq!(run(&format!("{program} -S {chain} 1")).trim_end(), rule);
            }
        }
        let listed = nft(&["list", "chain", "inet", "fw", "in"]).expect("list");
        let rule = "meta mark & 0x00010000 == 0x00010000 accept";
        assert!(listed.contains(rule), "{listed}");

        // Who followed the advice hears of it no more; neither who inserted the rule with comments and counters.
        let early = |advice: &[Advice]| match advice {
            [only] => only.chain.name == "early",
            _ => false,
        };
        let after = advice(&chains().survey(MARK).expect("survey"), accepted);
        assert!(early(&after), "{after:?}");
        nft(&["flush chain inet fw in"]).expect("nft");
        nft(&["add rule inet fw in meta mark & 0x10000 != 0 counter accept comment \"x\""])
            .expect("nft");
        for program in ["iptables", "ip6tables"] {
            run(&format!("{program} -D INPUT 1"));
            run(&format!(
                "{program} -A INPUT -m comment --comment x -m mark --mark 0x10000/0x10000 -j ACCEPT"
            ));
            run(&format!("{program} -D FORWARD 1"));
        }
        let after = advice(&chains().survey(MARK).expect("survey"), accepted);
        assert_eq!(after.len(), 3, "{after:?}");
        ensure(&mut chains(), INSERTED);
        let after = advice(&chains().survey(MARK).expect("survey"), accepted);
        assert!(early(&after), "{after:?}");
        let other = advice(&chains().survey(0x20000).expect("survey"), accepted);
        assert_eq!(other.len(), 6, "{other:?}");
    });
}

#[test]
fn a_packet_that_policy_accepted_passes_a_firewall_that_drops() {
    for family in [Family::V4, Family::V6] {
        let world = World::new();
        world.forwarding();
        let mark = Expr::SetMark {
            mask: MARK,
            value: MARK,
        };
        let base = |name: &str, hook| Operation::AddChain {
            name: chain(name),
            base: Some(BaseChain {
                kind: ChainType::Filter,
                hook,
                priority: -10,
            }),
        };
        let operations = vec![
            Operation::AddTable,
            base("input", Hook::Input),
            base("forward", Hook::Forward),
            add_rule("input", vec![mark.clone()]),
            add_rule("forward", vec![mark]),
        ];
        let (mut kernel, mut chains) = world.host.run(|| {
            for program in ["iptables", "ip6tables"] {
                run(&format!("{program} -P INPUT DROP"));
                run(&format!("{program} -P FORWARD DROP"));
                // Neighbours must be found.
                let icmp = if program == "iptables" {
                    "icmp"
                } else {
                    "ipv6-icmp"
                };
                run(&format!("{program} -A INPUT -p {icmp} -j ACCEPT"));
            }
            (open(TableOwner::Auto), chains())
        });
        kernel.commit(&plan(operations)).expect("commit");
        let bind = |namespace: &Namespace, place: Place| {
            let address = (place.address(family), 9000);
            namespace.run(|| UdpSocket::bind(address).expect("bind"))
        };
        let (client, to_host, through_host) = (
            bind(&world.ext2, EXT2),
            bind(&world.host, HOST1),
            bind(&world.ext, EXT),
        );
        let program = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        for (server, place, at) in [(&to_host, HOST1, "INPUT"), (&through_host, EXT, "FORWARD")] {
            let ask = |text: &[u8]| {
                let to = (place.address(family), 9000);
                client.send_to(text, to).expect("send");
            };
            server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let deadline = Instant::now() + patient(PATIENCE);
            ask(b"before");
            while world.host.run(|| dropped(program, at)) == 0 {
                assert!(Instant::now() < deadline, "{family:?} {at}: not dropped");
            }
            ensure(&mut chains, INSERTED);
            ask(b"after");
            let mut buffer = [0; 16];
            let length = server.recv(&mut buffer).expect("the packet comes");
            assert_eq!(&buffer[..length], b"after", "{family:?} {at}");
            ensure(&mut chains, Wanted::Absent);
        }
    }
}

/// Returns how many packets the policy of a chain dropped.
fn dropped(program: &str, chain: &str) -> u64 {
    let listed = run(&format!("{program} -L {chain} -v -x -n"));
    let count = listed
        .split_once("policy DROP ")
        .and_then(|(_, rest)| rest.split(' ').next());
    count
        .expect("the head of the list")
        .parse()
        .expect("a number")
}
