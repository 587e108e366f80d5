//! A crash in the middle of a large transaction leaves all of the old state or all of the new one.

use std::path::PathBuf;

use netns_tests::agent::DEADLINE;
use netns_tests::flood::{Count, Flood, kinds_of_a_flip};
use netns_tests::generation::generation;
use netns_tests::random::Random;
use netns_tests::resources::{documents, eth0, ingress, network_set};
use netns_tests::{Agent, Directory, HOST0, World, both_ways, witness};

/// How often the daemon crashes.
const CRASHES: usize = 6;
/// How many prefixes come and go with each change.
const PREFIXES: u32 = 20_000;
/// How many policies change with each change.
const POLICIES: u32 = 100;
/// The seed of the moments.
const SEED: u64 = 97;

/// Returns one of the two states of [`kinds_of_a_flip`], as large as it gets.
fn state(second: bool) -> String {
    let (denied, allowed, members, net) = if second {
        (
            7009,
            7002,
            "10.65.0.2, 10.65.0.3, \"fd65::2\", \"fd65::3\"",
            101_u32,
        )
    } else {
        (7003, 7001, "10.65.0.1, \"fd65::1\"", 100)
    };
    let rule = |action: &str, port: u16| {
        format!(
            "{{action: {action}, protocol: UDP, source: {{selector: has(member)}}, destination: {{ports: [{port}]}}}}"
        )
    };
    let rules = format!(
        "{}, {}, {{action: Allow, protocol: UDP, destination: {{ports: [7003, 7009]}}}}",
        rule("Deny", denied),
        rule("Allow", allowed)
    );
    let prefixes: String = (0..PREFIXES)
        .map(|number| {
            let [_, a, b, c] = (number * 2).to_be_bytes();
            format!(", {net}.{a}.{b}.{c}/32, ")
                .trim_end_matches(", ")
                .to_owned()
        })
        .collect();
    let mut all = vec![
        eth0(),
        ingress("flip", 10, &rules),
        network_set(
            "members",
            "member: 'yes'",
            &format!("{members}, 10.77.0.0/16{prefixes}"),
        ),
    ];
    all.extend((0..POLICIES).map(|number| {
        let rules: Vec<String> = (0..10)
            .map(|rule| {
                let port = 20_000 + number * 10 + rule + u32::from(second);
                format!("{{action: Deny, protocol: TCP, destination: {{ports: [{port}]}}}}")
            })
            .collect();
        ingress(&format!("p{number}"), 100 + number, &rules.join(", "))
    }));
    documents(&all)
}

/// The thread that writes to the kernel.
struct Writer(PathBuf);

impl Writer {
    fn of(agent: &Agent) -> Self {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("list threads");
        let task = tasks
            .flatten()
            .map(|task| task.path())
            .find(|task| {
                std::fs::read_to_string(task.join("comm")).is_ok_and(|it| it.trim() == "nft-writer")
            })
            .expect("the thread that writes");
        Self(task.join("stat"))
    }

    /// The time that it has spent in the kernel, in hundredths of a second.
    fn in_kernel(&self) -> u64 {
        let stat = std::fs::read_to_string(&self.0).expect("read the thread's times");
        let rest = stat.rsplit(')').next().expect("a name in parentheses");
        rest.split_whitespace()
            .nth(12)
            .and_then(|field| field.parse().ok())
            .expect("the time in the kernel")
    }
}

fn demand(counts: &[Count]) {
    let wrong: Vec<&Count> = counts.iter().filter(|count| !count.holds()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\nof {counts:#?}");
}

both_ways! {
    fn a_crash_in_a_large_transaction_leaves_one_state_or_the_other(owner) {
        let world = World::new();
        let directory = Directory::new();
        let states = [state(false), state(true)];
        directory.put("all.yaml", &states[0]);
        let mut agent = Agent::on(&world.host, owner, &[], &directory);
        let flood = Flood::start(&world, HOST0, &kinds_of_a_flip(), DEADLINE);
        let mut random = Random::new(SEED, 0);
        let (mut early, mut late) = (0, 0);
        for crash in 1..=CRASHES {
            let writer = Writer::of(&agent);
            let (begun, mark) = (writer.in_kernel(), agent.mark());
            let before = generation(&world.host);
            directory.put("all.yaml", &states[crash % 2]);
            let ticks = 1 + u64::try_from(random.below(8)).expect("a small number");
            while writer.in_kernel() < begun + ticks && !agent.has_said(&mark, "applied") {
                std::thread::yield_now();
            }
            agent.kill();
            match generation(&world.host) - before {
                0 => early += 1,
                _ => late += 1,
            }
            agent = Agent::on(&world.host, owner, &[], &directory);
        }
        let counts = flood.finish();
        let sent: u64 = counts.iter().map(|count| count.sent).sum();
        println!("{CRASHES} crashes: {early} times all of the old state stayed, {late} times all of the new one came; {sent} packets");
        demand(&counts);
        witness::agree(&world.host);
    }
}
