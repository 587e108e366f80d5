//! Everything at once, for as long as it is asked: random resources, ends of the daemon, flaps of links, faults of etcd,
//! changes by others, refusals of the kernel and starts without a datastore, after which the kernel must come to do what
//! the evaluator says.
//!
//! The time has four parts: on a directory and on etcd, with a daemon that ends often, and then again with one that
//! never does, which shows whether memory is flat. A seed decides the states and the faults, by the number of the turn;
//! how many turns there are in a part is a matter of time.

mod boot;
mod daemon;
mod faults;
mod memory;
mod store;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netns_tests::agent::DEADLINE;
use netns_tests::ns::privileged;
use netns_tests::patience::patient;
use netns_tests::random::Random;

use self::daemon::Daemon;
use self::faults::{Fault, Found};
use self::memory::Memory;
use self::store::{Backing, Store};
use crate::judge::{Judge, Verdict};
use crate::network::Network;
use crate::number;
use crate::observer::{Observer, SILENCE};
use crate::probes::Probe;
use crate::walk::Walk;

/// The seed of the run that every change must pass.
const SEED: u64 = 20_260_202;
/// How long that run takes.
const BOUNDED: Duration = Duration::from_secs(120);
/// How many probes are sent after each turn.
const PROBES: usize = 60;
/// How long the kernel may take to come to what is wanted: some of it is done at intervals of ten seconds.
const LIMIT: Duration = DEADLINE.saturating_mul(4);
/// The same where the kernel refuses a policy, which is so large that each attempt takes a while.
const LARGE: Duration = LIMIT.saturating_mul(3);
/// Where the numbers of the streams begin that decide faults; those below decide states.
const STREAMS: u64 = 1 << 40;
/// What takes longer is printed, with what differs and the faults of the turn.
const SLOW: Duration = Duration::from_secs(3);
/// How often a line is printed.
const LINE: Duration = Duration::from_secs(60);

/// Whether the daemon ends and starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Often,
    Never,
}

/// The parts of a run, which take the same time each.
const PARTS: [(Backing, Ends); 4] = [
    (Backing::Directory, Ends::Often),
    (Backing::Etcd, Ends::Often),
    (Backing::Directory, Ends::Never),
    (Backing::Etcd, Ends::Never),
];

/// Counts what a run came to.
#[derive(Debug, Default)]
struct Tally {
    turns: u64,
    /// The faults of each kind.
    faults: BTreeMap<&'static str, u64>,
    /// The turns in which the kernel refused a policy.
    denials: u64,
    probes: u64,
    /// The turns after which it took longer than a round of probes does.
    late: u64,
    /// The longest that it took until nothing did.
    slowest: Duration,
}

#[test]
fn the_kernel_follows_whatever_happens() {
    if !privileged() {
        return;
    }
    let time = number("SOAK_SECONDS").map_or(BOUNDED, Duration::from_secs);
    soak(number("SOAK_SEED").unwrap_or(SEED), time);
}

fn soak(seed: u64, time: Duration) {
    let networks = [Network::contained(), Network::new()];
    let mut observers = networks.each_ref().map(Observer::new);
    let mut walk = Walk::new(seed, PROBES);
    let mut tally = Tally::default();
    let begun = Instant::now();
    let mut printed = begun;
    for ((backing, ends), number) in PARTS.into_iter().zip(1..) {
        let until = begun + time * number / 4;
        // The kernel refuses what is too long on a host that has no more privileges than a container.
        let host = match backing {
            Backing::Directory => 0,
            Backing::Etcd => 1,
        };
        let (network, observer) = (&networks[host], &mut observers[host]);
        let mut turn = walk.turn();
        let mut daemon = Daemon::start(network, Store::new(backing, network), &turn.state);
        let mut memory = Memory::over(until);
        let mut starts = 0;
        while Instant::now() < until {
            turn = walk.turn();
            let mut state = turn.state.clone();
            if ends == Ends::Never && !daemon.options().can_become(&state.options) {
                state.options = daemon.options().clone();
            }
            let mut random = Random::new(seed, STREAMS + turn.number);
            let mut faults = match tally.turns {
                0 => Fault::first(),
                _ => Fault::some(&mut random, backing, ends),
            };
            if daemon.has_guest() {
                // It takes more than one start, and each of them tries the policy that the kernel refuses.
                faults.retain(|fault| !matches!(fault, Fault::Away(_)));
            }
            if daemon.options().document().is_some() {
                // The guard knows no settings that only the datastore has.
                faults.retain(|fault| !matches!(fault, Fault::Away(Found::Damaged(_))));
            }
            tally.turns += 1;
            for fault in &faults {
                *tally.faults.entry(fault.kind()).or_default() += 1;
            }
            let mut difference = None;
            if let Some(Fault::Away(found)) = faults.first() {
                let judge = daemon.away(*found);
                difference = settle(&daemon, &judge, observer, &turn.probes, &mut tally);
            }
            let mut happened = Instant::now();
            if difference.is_none() {
                daemon.turn(&state, &faults);
                happened = Instant::now();
                let judge = daemon.judge();
                difference = settle(&daemon, &judge, observer, &turn.probes, &mut tally);
            }
            tally.denials += u64::from(daemon.has_denied());
            let took = happened.elapsed();
            if took > SLOW {
                println!(
                    "slow: turn {} took {took:?}, faults {faults:?}, {backing:?}",
                    turn.number
                );
            }
            if let Some(difference) = difference {
                panic!(
                    "seed {seed}, turn {}, {backing:?}, faults {faults:?}, settings {}, wandering address {:?}\n\
                     {difference}\nresources:\n{}",
                    turn.number,
                    state.options,
                    state.wanderer,
                    daemon.kept(&state).text(),
                );
            }
            memory.note(daemon.pid());
            starts = daemon.starts();
            if printed.elapsed() >= LINE {
                printed = Instant::now();
                println!(
                    "{:?}: turn {}, {tally:?}, {memory}",
                    begun.elapsed(),
                    turn.number
                );
            }
        }
        println!("seed {seed}, {backing:?}, ends {ends:?}, {starts} starts: {tally:?}, {memory}");
        if ends == Ends::Never {
            assert_eq!(starts, 1, "the daemon has ended");
            memory.demand();
        }
        daemon.finish();
    }
}

/// Waits until the kernel does what the evaluator says; returns what still differs when that has taken too long.
fn settle(
    daemon: &Daemon<'_>,
    judge: &Judge,
    observer: &mut Observer,
    probes: &[Probe],
    tally: &mut Tally,
) -> Option<String> {
    let options = daemon.options();
    let probes: Vec<Probe> = probes
        .iter()
        .filter(|probe| !probe.is_forged() || options.checks_sources_of(probe.site))
        .copied()
        .collect();
    tally.probes += u64::try_from(probes.len()).expect("a small number");
    let limit = if daemon.has_guest() { LARGE } else { LIMIT };
    let begun = Instant::now();
    let expected: Vec<Verdict> = probes.iter().map(|probe| judge.verdict(probe)).collect();
    let mut said = false;
    let mut seen = observer.observe(judge, &probes, patient(SILENCE));
    loop {
        let (routes, wanted) = (daemon.routes(), judge.routes());
        if seen == expected && routes == wanted {
            tally.late += u64::from(begun.elapsed() > patient(SILENCE * 10));
            tally.slowest = tally.slowest.max(begun.elapsed());
            return None;
        }
        let what = || {
            let differing = probes.iter().zip(&expected).zip(&seen);
            let lines = differing
                .filter(|((_, expected), seen)| expected != seen)
                .map(|((probe, expected), seen)| {
                    let reasons = judge.explanation(probe);
                    format!("probe: {probe}\nevaluator: {expected}\nkernel:    {seen}\n{reasons}\n")
                });
            let lines: String = lines.take(3).collect();
            format!("{lines}routes: {routes:?} instead of {wanted:?}")
        };
        if begun.elapsed() > SLOW && !said {
            said = true;
            println!(
                "after {:?} there still differs\n{}",
                begun.elapsed(),
                what()
            );
        }
        if begun.elapsed() > patient(limit) {
            return Some(what());
        }
        daemon.trust();
        seen = observer.again(judge, &probes);
    }
}
