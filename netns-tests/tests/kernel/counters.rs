//! Counters as objects of the table: what they count, when they go, and how they are read beside the writer.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tortie::kernel::{Count, CounterReader, Kernel as _, TableOwner};
use tortie::nft::{BaseChain, ChainType, Expr, Hook, Operation, Verdict};

use super::samples::{add_chain, add_rule, chain, counter, plan};
use super::{in_namespace, nft, open, refused, table};

fn reader() -> CounterReader {
    CounterReader::open(table(), Duration::from_secs(10)).expect("open a reader")
}

fn counted() -> Expr {
    Expr::CountIn(counter("each"))
}

/// A chain of the output hook that counts in one rule, and another counter that nothing refers to.
fn sample() -> Vec<Operation> {
    vec![
        Operation::AddTable,
        Operation::AddCounter(counter("each")),
        Operation::AddCounter(counter("idle")),
        Operation::AddChain {
            name: chain("output"),
            base: Some(BaseChain {
                kind: ChainType::Filter,
                hook: Hook::Output,
                priority: 0,
            }),
        },
        add_rule("output", vec![counted(), Expr::Verdict(Verdict::Drop)]),
    ]
}

/// Sends datagrams of so many bytes in all, an IPv4 header included.
fn send(packets: usize, bytes: usize) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    for _ in 0..packets {
        // What drops it may tell.
        let _ = socket.send_to(&vec![0; bytes - 28], ("127.0.0.1", 9));
    }
}

#[test]
fn a_count_outlives_its_rule_and_is_read_as_nft_lists_it() {
    in_namespace(|| {
        std::process::Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status()
            .expect("run ip");
        let mut reader = reader();
        assert_eq!(reader.read().expect("read"), [].into());
        let mut kernel = open(TableOwner::Auto);
        kernel.commit(&plan(sample())).expect("commit");
        let found = kernel.observe().expect("observe").catalog;
        assert_eq!(
            found.counters,
            ["each", "idle"].map(counter).into_iter().collect()
        );
        assert!(!found.undecodable);
        send(3, 100);
        let all = |reader: &mut CounterReader| reader.read().expect("read")[&counter("each")];
        let three = Count {
            packets: 3,
            bytes: 300,
        };
        assert_eq!(all(&mut reader), three);
        let listed = nft(&["list", "counters", "table", "inet", "tortie"]).expect("list");
        assert!(listed.contains("packets 3 bytes 300"), "{listed}");
        // Reading changes nothing, and neither does another rule.
        kernel
            .commit(&plan(vec![
                Operation::FlushChain(chain("output")),
                add_chain("other"),
                add_rule("other", vec![counted(), Expr::Verdict(Verdict::Drop)]),
                add_rule("output", vec![Expr::Verdict(Verdict::Jump(chain("other")))]),
            ]))
            .expect("commit");
        assert_eq!(all(&mut reader), three);
        send(2, 50);
        let five = Count {
            packets: 5,
            bytes: 400,
        };
        assert_eq!(all(&mut reader), five);
        assert_eq!(reader.read().expect("read").len(), 2);
    });
}

#[test]
fn a_counter_in_use_goes_with_its_last_rule_alone() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Auto);
        kernel.commit(&plan(sample())).expect("commit");
        let delete = || Operation::DeleteCounter(counter("each"));
        let (text, _, errno) = refused(&mut kernel, vec![delete()]);
        assert!(
            text.contains("counter `each`: device or resource busy (EBUSY)"),
            "{text}"
        );
        assert_eq!(errno, Errno::EBUSY);
        let (text, ..) = refused(
            &mut kernel,
            vec![add_rule("output", vec![Expr::CountIn(counter("none"))])],
        );
        assert!(
            text.contains("rule 1 of chain `output`: no such file or directory (ENOENT)"),
            "{text}"
        );
        kernel
            .commit(&plan(vec![
                Operation::FlushChain(chain("output")),
                delete(),
            ]))
            .expect("commit");
        let counters = reader().read().expect("read");
        assert_eq!(counters.into_keys().collect::<Vec<_>>(), [counter("idle")]);
    });
}

#[test]
fn other_objects_are_not_taken_for_counters() {
    in_namespace(|| {
        let mut kernel = open(TableOwner::Disabled);
        kernel.commit(&plan(sample())).expect("commit");
        nft(&[
            "add",
            "quota",
            "inet",
            "tortie",
            "each",
            "{ over 10 mbytes }",
        ])
        .expect("a quota");
        nft(&["add", "table", "inet", "others"]).expect("a table");
        nft(&[
            "add",
            "counter",
            "inet",
            "others",
            "each",
            "{ packets 7 bytes 7 }",
        ])
        .expect("a counter");
        let observed = kernel.observe().expect("observe").catalog;
        assert!(observed.undecodable);
        let counters = reader().read().expect("read");
        assert_eq!(counters[&counter("each")], Count::default());
        assert_eq!(counters.len(), 2);
    });
}

#[test]
fn thousands_are_read_while_the_table_changes() {
    in_namespace(|| {
        const MANY: usize = 20_000;
        let mut operations = vec![Operation::AddTable, add_chain("busy")];
        operations.extend((0..MANY).map(|n| Operation::AddCounter(counter(&format!("n{n}")))));
        let mut kernel = open(TableOwner::Auto);
        kernel.commit(&plan(operations)).expect("commit");
        let started = Instant::now();
        assert_eq!(reader().read().expect("read").len(), MANY);
        println!("read in {:?}", started.elapsed());
        let done = AtomicBool::new(false);
        // Threads are in the namespace of the one that made them.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let change = vec![
                        Operation::FlushChain(chain("busy")),
                        add_rule("busy", vec![Expr::Counter]),
                    ];
                    kernel.commit(&plan(change)).expect("commit");
                }
            });
            let mut reader = reader();
            let counts: Vec<usize> = (0..5).map(|_| reader.read().expect("read").len()).collect();
            done.store(true, Ordering::Relaxed);
            assert_eq!(counts, [MANY; 5]);
        });
    });
}
