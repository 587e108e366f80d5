//! Walks, compares, and shrinks what differs.

use std::time::{Duration, Instant};

use netns_tests::patience::patient;
use tortie::model::Severity;

use crate::generate::State;
use crate::judge::{Resources, Verdict};
use crate::observer::SILENCE;
use crate::probes::Probe;
use crate::runner::Runner;
use crate::shrink::Difference;
use crate::walk::Walk;

/// How long a comparison goes on, and what it begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// After how many states it ends.
    pub(crate) states: u64,
    /// After how much time it ends.
    pub(crate) time: Duration,
    /// How many probes are sent in a state.
    pub(crate) probes: usize,
    /// The number of the first state, to look again at what a longer run has found.
    pub(crate) first: u64,
    /// After how many differences it ends.
    pub(crate) differences: usize,
    /// What is done to the resources before the evaluator sees them.
    pub(crate) alter: fn(&mut Resources),
}

/// Counts what a comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The states that were compared.
    pub(crate) states: u64,
    /// How often the daemon was started anew.
    pub(crate) starts: u64,
    /// The probes that were compared.
    pub(crate) verdicts: u64,
    /// The probes whose request arrived.
    pub(crate) requests: u64,
    /// The probes whose answer arrived.
    pub(crate) replies: u64,
    /// The probes whose request arrived without connection tracking.
    pub(crate) untracked: u64,
    /// The resources that were bad, in all states.
    pub(crate) bad: usize,
    /// The probes that differed at first and not when they were sent again.
    pub(crate) unsteady: u64,
    /// The packets that came after their round was over.
    pub(crate) late: usize,
}

/// Walks from a seed and compares each state; returns the counts and the differences, shrunk.
pub(crate) fn compare(seed: u64, extent: Extent) -> (Tally, Vec<Difference>) {
    let start = Instant::now();
    let mut walk = Walk::new(seed, extent.probes);
    let mut turn = walk.turn();
    while turn.number < extent.first {
        turn = walk.turn();
    }
    let options = turn.state.options.clone();
    let mut runner = Runner::new(&options, extent.alter);
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    let mut before = State::empty(options);
    loop {
        runner.apply(&turn.state);
        if let Some((probe, verdicts)) = compare_state(&mut runner, &turn.probes, &mut tally) {
            let states = (&before, &turn.state);
            let found = Difference::shrunk(&mut runner, states, &probe, verdicts);
            eprintln!("seed {seed}, state {}, {found}", turn.number);
            differences.push(found);
            if differences.len() >= extent.differences {
                break;
            }
            runner.restart_on(&turn.state);
        }
        before = turn.state;
        tally.states += 1;
        if tally.states >= extent.states || start.elapsed() >= patient(extent.time) {
            break;
        }
        turn = walk.turn();
    }
    tally.starts = runner.starts;
    tally.late = runner.observer.late;
    eprintln!("seed {seed}: {tally:?} in {:?}", start.elapsed());
    (tally, differences)
}

/// Compares one state and returns the first probe that differs steadily: what is expected, what is seen.
fn compare_state(
    runner: &mut Runner,
    probes: &[Probe],
    tally: &mut Tally,
) -> Option<(Probe, (Verdict, Verdict))> {
    let options = runner.options();
    let probes: Vec<Probe> = probes
        .iter()
        .filter(|probe| !probe.is_forged() || options.checks_sources_of(probe.site))
        .copied()
        .collect();
    let judge = runner.judge();
    runner.routed(&judge);
    let rejected = judge.problems.iter();
    tally.bad += rejected
        .filter(|it| it.severity == Severity::Rejected)
        .count();
    let expected: Vec<Verdict> = probes.iter().map(|probe| judge.verdict(probe)).collect();
    let seen = runner.observer.observe(&judge, &probes, patient(SILENCE));
    for verdict in &seen {
        tally.verdicts += 1;
        tally.requests += u64::from(verdict.request.is_some());
        tally.replies += u64::from(verdict.reply);
        tally.untracked += u64::from(verdict.request.is_some() && !verdict.tracked);
    }
    let differing: Vec<(Probe, Verdict, Verdict)> = probes
        .into_iter()
        .zip(expected)
        .zip(seen)
        .filter(|((_, expected), seen)| expected != seen)
        .map(|((probe, expected), seen)| (probe, expected, seen))
        .collect();
    if differing.is_empty() {
        return None;
    }
    let again: Vec<Probe> = differing.iter().map(|(probe, _, _)| *probe).collect();
    for ((probe, expected, first), seen) in differing
        .into_iter()
        .zip(runner.observer.again(&judge, &again))
    {
        if seen != expected {
            return Some((probe, (expected, seen)));
        }
        eprintln!("unsteady: {probe}: {first}, then {expected}");
        tally.unsteady += 1;
    }
    None
}
