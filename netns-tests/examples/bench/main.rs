//! Measures the real daemon from a write in etcd to a packet, in namespaces of its own, and prints one table. Run as
//! root by `scripts/bench`, which builds the release binary that `TORTIE_BIN` names.
//!
//! A shape, which `shape` describes, is stored in a real etcd on the host's loopback interface. A machine beside the
//! host, or a workload of it, sends a datagram every tenth of a millisecond. A start is timed from before the process
//! until the last datagram to a port that policy closes; a change from just before it is written to etcd until the
//! first datagram that it allows has been received. So each holds etcd's write to its disk and its word to the daemon,
//! the daemon, the kernel, the gap between datagrams and the receiver's turn. The last two are the harness's own and
//! are measured on a port that is always open. What the daemon's transactions took of it is what its log says, and what
//! the kernel takes by itself is in the column of the floor, which `floor` describes.

mod floor;
mod measure;
mod probe;
mod process;
mod shape;

use std::time::Duration;

use crate::floor::{Floor, floor};
use crate::measure::{Measured, Sent, measure};
use crate::shape::{Kind, Shape, USUAL};

/// How often each change is measured, where nothing else is asked for.
const ROUNDS: u32 = 100;
const USAGE: &str = "\
usage: scripts/bench [--list] [--rounds N] [POLICIES:MEMBERS:WORKLOADS[:prefixes] ...]";

fn main() {
    let mut rounds = ROUNDS;
    let mut shapes: Vec<Shape> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let taken = match argument.as_str() {
            "--list" => {
                println!("{}", USUAL.join("\n"));
                return;
            }
            "--rounds" => arguments
                .next()
                .and_then(|number| number.parse().ok())
                .filter(|number| *number > 0)
                .map(|number| rounds = number)
                .ok_or_else(|| "--rounds: not a number".to_owned()),
            shape => shape.parse().map(|shape| shapes.push(shape)),
        };
        if let Err(reason) = taken {
            eprintln!("{reason}\n{USAGE}");
            std::process::exit(2);
        }
    }
    if shapes.is_empty() {
        shapes.extend(USUAL.iter().filter_map(|text| text.parse::<Shape>().ok()));
    }
    println!(
        "| policies:members:workloads | what | median | p99 | commits | floor | cold floor | etcd's answer | the harness alone: median | p99 | \
         CPU | messages | bytes | resident | after changes | peak | idle |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for shape in shapes {
        report(shape, &floor(shape, rounds), &measure(shape, rounds));
    }
}

/// Prints the rows of one shape.
fn report(shape: Shape, floor: &Floor, measured: &Measured) {
    let Measured {
        starts,
        start_commits,
        start_cpu,
        start_sent,
        resident: [resident, later, peak],
        idle,
        changes,
        harness,
    } = measured;
    let own = format!(
        "{} | {}",
        millis(share(harness, 50)),
        millis(share(harness, 99))
    );
    println!(
        "| {shape} | start | {} | {} | {} | {} | | | {own} | {} | {} | {resident:.1} MiB | {later:.1} MiB | {peak:.1} MiB | \
         {idle:.2} % |",
        millis(share(starts, 50)),
        millis(share(starts, 100)),
        millis(share(start_commits, 50)),
        millis(share(&floor.starts, 50)),
        millis(*start_cpu),
        amount(*start_sent),
    );
    let floors = floor.changes.iter().zip(&floor.cold);
    for ((kind, changed), (least, cold)) in Kind::ALL.iter().zip(changes).zip(floors) {
        println!(
            "| {shape} | {} | {} | {} | {} | {} | {} | {} | {own} | {} | {} | | | | |",
            kind.name(),
            millis(share(&changed.enforced, 50)),
            millis(share(&changed.enforced, 99)),
            millis(share(&changed.commits, 50)),
            millis(share(least, 50)),
            millis(share(cold, 50)),
            millis(share(&changed.answered, 50)),
            millis(changed.cpu),
            amount(changed.sent),
        );
    }
}

fn amount(sent: Sent) -> String {
    format!("{} | {}", sent.messages, sent.bytes)
}

/// Returns the time that this many of a hundred do not exceed.
fn share(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).saturating_sub(1)]
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
