//! The daemon against the evaluator: random resources, random packets.
//!
//! A seed decides a walk through random states of the datastore. In each state random probes are sent through
//! a host with the real daemon, and of each it is noted whether the request arrived, whether the answer came
//! back, and whether the connection is tracked. All of that must be what `tortie::explain` says of the same
//! files. A difference is shrunk to the smallest resources that show it.

mod conntrack;
mod engine;
mod generate;
mod judge;
mod network;
mod options;
mod packet;
mod probes;
mod random;
mod runner;
mod shrink;
mod walk;
mod yaml;

use std::time::{Duration, Instant};

use generate::State;
use judge::Verdict;
use netns_tests::ns::privileged;
use runner::{Runner, SILENCE};
use shrink::Difference;
use walk::Walk;

/// How long a comparison goes on.
#[derive(Debug, Clone, Copy)]
struct Extent {
    states: u64,
    time: Duration,
    probes: usize,
    first: u64,
    differences: usize,
}

/// What a comparison came to.
#[derive(Debug, Default)]
struct Tally {
    states: u64,
    starts: u64,
    verdicts: u64,
    requests: u64,
    replies: u64,
    untracked: u64,
    invalid: usize,
    unsteady: u64,
}

/// Walks and compares; panics with what differs.
fn compare(seed: u64, extent: Extent) -> Tally {
    let start = Instant::now();
    let mut walk = Walk::new(seed, extent.probes);
    let mut turn = walk.turn();
    let mut options = turn.restart.clone().expect("the first turn has settings");
    while turn.number < extent.first {
        turn = walk.turn();
        options = turn.restart.clone().unwrap_or(options);
    }
    turn.restart = None;
    let mut runner = Runner::new(options);
    let mut tally = Tally::default();
    let mut before = State::empty();
    let mut differences = Vec::new();
    loop {
        if let Some(options) = turn.restart.take() {
            runner.restart(options);
            tally.starts += 1;
        }
        runner.apply(&turn.state);
        let found = compare_state(&mut runner, &turn.probes, &mut tally);
        if let Some((probe, expected, seen)) = found {
            let found = Difference::shrunk(
                &mut runner,
                (&before, &turn.state),
                &probe,
                (expected, seen),
            );
            let text = format!("seed {seed}, state {}, {found}", turn.number);
            eprintln!("difference {}: {text}", differences.len() + 1);
            differences.push(text);
            if differences.len() >= extent.differences {
                break;
            }
            runner.restart_on(&turn.state);
        }
        before = turn.state;
        tally.states += 1;
        if tally.states >= extent.states || start.elapsed() >= extent.time {
            break;
        }
        turn = walk.turn();
    }
    eprintln!(
        "seed {seed}: {tally:?}, late {}, in {:?}",
        runner.late,
        start.elapsed()
    );
    assert!(differences.is_empty(), "{} differences", differences.len());
    tally
}

/// Compares one state and returns the first probe that differs steadily.
fn compare_state(
    runner: &mut Runner,
    probes: &[probes::Probe],
    tally: &mut Tally,
) -> Option<(probes::Probe, Verdict, Verdict)> {
    let judge = runner.judge();
    tally.invalid += judge.problems.len();
    let expected: Vec<Verdict> = probes.iter().map(|probe| judge.verdict(probe)).collect();
    let seen = runner.observe(probes, SILENCE);
    for verdict in &seen {
        tally.verdicts += 1;
        tally.requests += u64::from(verdict.request.is_some());
        tally.replies += u64::from(verdict.reply);
        tally.untracked += u64::from(verdict.request.is_some() && !verdict.tracked);
    }
    let differing: Vec<(probes::Probe, Verdict)> = probes
        .iter()
        .zip(expected)
        .zip(seen)
        .filter(|((_, expected), seen)| expected != seen)
        .map(|((probe, expected), _)| (*probe, expected))
        .collect();
    if differing.is_empty() {
        return None;
    }
    let again: Vec<probes::Probe> = differing.iter().map(|(probe, _)| *probe).collect();
    let again = runner.again(&again);
    let steady = differing
        .iter()
        .zip(again)
        .find(|((_, expected), seen)| expected != seen);
    match steady {
        Some(((probe, expected), seen)) => Some((*probe, *expected, seen)),
        None => {
            for (probe, expected) in &differing {
                eprintln!("unsteady: {probe}: {expected}");
            }
            tally.unsteady += u64::try_from(differing.len()).expect("a count fits 64 bits");
            None
        }
    }
}

/// Reads a number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{name}={text}: {error}")),
    )
}

#[test]
#[ignore = "runs for as long as DIFFERENTIAL_SECONDS says: scripts/differential"]
fn unbounded() {
    if !privileged() {
        return;
    }
    let extent = Extent {
        states: number("DIFFERENTIAL_STATES").unwrap_or(u64::MAX),
        time: Duration::from_secs(number("DIFFERENTIAL_SECONDS").unwrap_or(60)),
        probes: 150,
        first: number("DIFFERENTIAL_FROM").unwrap_or(0),
        differences: usize::try_from(number("DIFFERENTIAL_KEEP").unwrap_or(1))
            .expect("a small number"),
    };
    compare(number("DIFFERENTIAL_SEED").unwrap_or(1), extent);
}
