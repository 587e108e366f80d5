//! Measures the real daemon in a network namespace of its own, on a directory of resources, and prints one
//! table. Run by `scripts/bench`, which builds the release binary that `TORTIE_BIN` names. With `--etcd` the
//! resources are in etcd, and something else is measured: see `etcd`.
//!
//! The shape: N policies of 10 rules each (TCP and UDP in turn; a /32 source, a port and a range of ports
//! each, all different), one policy that names a set of 10,000 addresses, and one host endpoint that all of
//! them apply to. A change is timed from before the file is written and renamed until the daemon's log line
//! about its committed transaction has been read.

mod etcd;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use netns_tests::agent::field;
use netns_tests::{Agent, Directory, Namespace, Owner};

const MEMBERS: u32 = 10_000;
const RULES: u32 = 10;
const EDITS: u32 = 40;

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let in_etcd = arguments.next_if_eq("--etcd").is_some();
    let given: Vec<u32> = arguments.filter_map(|size| size.parse().ok()).collect();
    let sizes = |usual: &[u32]| {
        if given.is_empty() {
            usual.to_vec()
        } else {
            given.clone()
        }
    };
    if in_etcd {
        etcd::table(&sizes(&[10, 1_000]));
        return;
    }
    let sizes = sizes(&[1, 100, 1_000]);
    println!(
        "| policies x {RULES} | start to enforced | of it kernel | policy edit | of it kernel | \
         member edit | of it kernel | resident | peak |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for size in sizes {
        row(size);
    }
}

/// Measures one size and prints its row.
fn row(size: u32) {
    let host = Namespace::new("bench");
    host.ip("link add eth0 type veth peer name peer0\naddress add 192.0.2.1/24 dev eth0\nlink set eth0 up\nlink set peer0 up");
    let directory = Directory::new();
    directory.put("endpoint.yaml", ENDPOINT);
    directory.put("set.yaml", &members(MEMBERS));
    directory.put("extra.yaml", &extra(0));
    for index in 0..size {
        directory.put(&format!("policy-{index:05}.yaml"), &policy(index, 0));
    }

    let begun = Instant::now();
    let agent = Agent::on(&host, Owner::Enabled, &[], &directory);
    let start = begun.elapsed();
    let start_kernel = micros(&agent.logged("applied"));

    let policy_edits = edits(&agent, |round| {
        let index = round * 7 % size;
        agent.directory().put(
            &format!("policy-{index:05}.yaml"),
            &policy(index, round + 1),
        );
    });
    let member_edits = edits(&agent, |round| {
        agent.directory().put("extra.yaml", &extra(round + 1));
    });
    println!(
        "| {size} | {} | {} | {} | {} | {} | {} | {} | {} |",
        millis(start),
        millis(start_kernel),
        millis(policy_edits.0),
        millis(policy_edits.1),
        millis(member_edits.0),
        millis(member_edits.1),
        memory(agent.pid(), "VmRSS:"),
        memory(agent.pid(), "VmHWM:"),
    );
}

/// Makes edits one after the other; returns the median time of all, and of the kernel's part.
fn edits(agent: &Agent, mut edit: impl FnMut(u32)) -> (Duration, Duration) {
    let mut whole = Vec::new();
    let mut kernel = Vec::new();
    for round in 0..EDITS {
        let mark = agent.mark();
        let begun = Instant::now();
        edit(round);
        let line = agent.line(&mark, "a commit", |line| line.contains("kernel_us="));
        whole.push(begun.elapsed());
        kernel.push(micros(&line));
    }
    (median(whole), median(kernel))
}

fn median(times: Vec<Duration>) -> Duration {
    share(times, 50)
}

/// Returns the time that this many of a hundred do not exceed.
fn share(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// Reads the kernel's time out of a log line.
fn micros(line: &str) -> Duration {
    let value = field(line, "kernel_us").and_then(|value| value.parse().ok());
    Duration::from_micros(value.unwrap_or_else(|| panic!("no kernel_us in {line:?}")))
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Reads a figure of a process's memory.
fn memory(pid: u32, label: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read the status");
    let line = status
        .lines()
        .find(|line| line.starts_with(label))
        .expect("a line of memory");
    let kibibytes: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|value| value.parse().ok())
        .expect("a number of kibibytes");
    format!("{:.1} MiB", kibibytes / 1024.0)
}

const ENDPOINT: &str = "\
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: eth0}
spec: {node: host1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: members}
spec:
  order: 1
  selector: all()
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: TCP, source: {selector: role == 'member'}, destination: {ports: [7]}}
";

/// A network set of `count` addresses.
fn members(count: u32) -> String {
    let mut text = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\n\
                    metadata: {name: members, labels: {role: member}}\nspec:\n  nets:\n"
        .to_owned();
    for index in 0..count {
        let [_, b, c, d] = index.to_be_bytes();
        writeln!(text, "  - 10.{b}.{c}.{d}").expect("write to a string");
    }
    text
}

/// A small network set beside the large one, with an address of its own in each round.
fn extra(round: u32) -> String {
    let [_, b, c, d] = round.to_be_bytes();
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\n\
         metadata: {{name: extra, labels: {{role: member}}}}\nspec:\n  nets: [172.{b}.{c}.{d}]\n"
    )
}

/// A policy of ten rules; each round moves its first port.
fn policy(index: u32, round: u32) -> String {
    let mut text = format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p{index:05}}}\n\
         spec:\n  order: {}\n  selector: all()\n  types: [Ingress]\n  ingress:\n",
        index + 10
    );
    for rule in 0..RULES {
        let number = index * RULES + rule;
        let [_, b, c, d] = number.to_be_bytes();
        let protocol = if rule % 2 == 0 { "TCP" } else { "UDP" };
        let first = 1_024 + number % 20_000 + if rule == 0 { round } else { 0 };
        let from = 30_000 + number % 30_000;
        writeln!(
            text,
            "  - {{action: Allow, protocol: {protocol}, source: {{nets: [11.{b}.{c}.{d}/32]}}, \
             destination: {{ports: [{first}, '{from}:{}']}}}}",
            from + 9
        )
        .expect("write to a string");
    }
    text
}
