//! Measures what the counters of policies cost, with and without them in turn, in a namespace of its own:
//! `cargo run --package netns-tests --bin counting`, as root, where the daemon has been built.
//!
//! A packet: the host sends datagrams that the last of ten rules of an egress policy denies, so that each passes
//! the whole way through policy and is counted once. The time is that of the sending thread's processor, the least
//! and the median of many rounds. A start: the kernel's part of loading 1,000 policies of 10 rules.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::Duration;

use netns_tests::agent::field;
use netns_tests::resources::{documents, egress, eth0, ingress};
use netns_tests::{Agent, Directory, EXT, HOST0, Owner, World};

const ROUNDS: usize = 40;
const PACKETS: u32 = 20_000;
const POLICIES: u32 = 1_000;
const RULES: u32 = 10;

const STATES: [&str; 2] = ["Disabled", "Enabled"];

fn main() {
    let world = World::new();
    let directory = Directory::new();
    directory.put("resources.yaml", &documents(&[eth0(), denying()]));
    let agent = Agent::on(&world.host, Owner::usual(), &[], &directory);
    let mut times: [Vec<u64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (state, times) in STATES.iter().zip(&mut times) {
            agent.put("felix.yaml", &switch(state));
            times.push(world.host.run(send));
        }
    }
    println!("| counters | a denied packet, least | median | start, kernel's part | operations |");
    println!("|---|---|---|---|---|");
    drop(agent);
    for (state, times) in STATES.iter().zip(&mut times) {
        times.sort_unstable();
        let each = |nanoseconds: u64| nanoseconds / u64::from(PACKETS);
        let (start, objects) = start(state);
        println!(
            "| {state} | {} ns | {} ns | {} ms | {objects} |",
            each(times[0]),
            each(times[ROUNDS / 2]),
            start.as_millis()
        );
    }
}

/// Turns the counters on or off.
fn switch(state: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n\
         metadata: {{name: default}}\nspec: {{policyCounters: {state}}}\n"
    )
}

/// A policy that denies by its last rule.
fn denying() -> String {
    let mut rules = String::new();
    for port in 1..RULES {
        let _ = write!(
            rules,
            "{{action: Allow, protocol: UDP, destination: {{ports: [{port}]}}}}, "
        );
    }
    egress(
        "deny",
        10,
        &(rules + "{action: Deny, protocol: UDP, destination: {ports: [9999]}}, {action: Allow}"),
    )
}

/// Sends a round of packets; returns the nanoseconds of processor time that it took.
fn send() -> u64 {
    let socket = UdpSocket::bind((HOST0.v4, 0)).expect("a socket");
    socket.connect((EXT.v4, 9999)).expect("an address");
    let before = processor_time();
    for _ in 0..PACKETS {
        // What denies it says so.
        let _ = socket.send(&[0; 16]);
    }
    processor_time() - before
}

/// Returns how long this thread has run, in nanoseconds.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("read the times");
    let first = text.split_whitespace().next();
    first.and_then(|time| time.parse().ok()).expect("a time")
}

/// Starts a daemon on many policies; returns the kernel's time, least of five, and the number of operations.
fn start(state: &str) -> (Duration, String) {
    let directory = Directory::new();
    directory.put("felix.yaml", &switch(state));
    let mut all = vec![eth0()];
    all.extend((0..POLICIES).map(many));
    directory.put("resources.yaml", &documents(&all));
    let run = || {
        let world = World::new();
        let agent = Agent::on(&world.host, Owner::usual(), &[], &directory);
        let line = agent.logged("applied");
        let of = |name: &str| field(&line, name).expect("a field").to_owned();
        let micros = of("kernel_us").parse().expect("a time");
        (Duration::from_micros(micros), of("operations"))
    };
    (0..5).map(|_| run()).min().expect("a run")
}

/// A policy of ten rules.
fn many(index: u32) -> String {
    let mut rules = String::new();
    for rule in 0..RULES {
        let [_, b, c, d] = (index * RULES + rule).to_be_bytes();
        let _ = write!(
            rules,
            "{{action: Allow, protocol: TCP, source: {{nets: [11.{b}.{c}.{d}/32]}}, destination: {{ports: [{}]}}}}, ",
            1_024 + index
        );
    }
    ingress(&format!("p{index}"), index + 10, &rules)
}
