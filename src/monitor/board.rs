//! Where the agent notes how it fares, and what is answered from.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::summary::{Histogram, Summary};

/// How far the datastore has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resync {
    /// It is not ready or cannot be reached.
    #[default]
    Waiting,
    /// It is being read.
    Reading,
    /// It has been read, and its changes are followed.
    InSync,
}

/// Whether what the datastore says may be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Datastore {
    /// It has not been read whole yet.
    #[default]
    Unread,
    /// It has been read, and says of itself that it is not ready.
    NotReady,
    /// It has been read and may be used.
    Usable,
}

/// What keeps policy from coming into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The kernel refused a transaction or did not answer it.
    Refused,
    /// The kernel's table cannot be read.
    Unreadable,
    /// What to change cannot be worked out.
    Unplanned,
    /// No rules can be made by the configuration.
    Settings,
}

/// How much is in force on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enforced {
    /// Endpoints of this host.
    pub endpoints: usize,
    /// Interfaces that they police.
    pub interfaces: usize,
    /// Policies that they use.
    pub policies: usize,
    /// Sets that rules refer to.
    pub sets: usize,
    /// Members of those sets.
    pub members: usize,
}

/// How much the datastore holds for all hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cluster {
    /// Hosts that are named by anything.
    pub hosts: usize,
    /// Host endpoints.
    pub host_endpoints: usize,
    /// Workload endpoints.
    pub workload_endpoints: usize,
    /// Policies that are enforced where they select something.
    pub policies: usize,
    /// Profiles.
    pub profiles: usize,
    /// Tiers.
    pub tiers: usize,
}

/// A round that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// The number of operations; none where nothing differed.
    pub operations: usize,
    /// The number of messages that they were sent in.
    pub messages: usize,
    /// The size of these in bytes.
    pub bytes: usize,
    /// The time in the kernel.
    pub kernel: Duration,
    /// The time since the first news that it took up.
    pub latency: Duration,
    /// What is in force after it.
    pub enforced: Enforced,
}

/// Everything that is known.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The program's release.
    pub version: &'static str,
    /// The host's name.
    pub host: String,
    /// How far the datastore has been read.
    pub resync: Resync,
    /// Whether what it says may be enforced.
    pub datastore: Datastore,
    /// Whether interfaces and addresses have been read.
    pub links_read: bool,
    /// How often reading the datastore began.
    pub resyncs: u64,
    /// What the datastore holds.
    pub cluster: Cluster,
    /// Updates of resources by kind.
    pub updates: BTreeMap<&'static str, u64>,
    /// News by where they came from.
    pub messages: BTreeMap<&'static str, u64>,
    /// Chains in the kernel's table.
    pub chains: usize,
    /// Rules in it.
    pub rules: usize,
    /// Sets in it that are no maps.
    pub sets: usize,
    /// Maps in it.
    pub maps: usize,
    /// Readings of the kernel's table.
    pub observations: u64,
    /// Changes of the kernel's table by other programs.
    pub foreign_changes: u64,
    /// Changes of it that put something right.
    pub repairs: u64,
    /// Log lines that were dropped for want of room.
    pub logs_dropped: u64,
    /// Log lines that could not be written.
    pub log_errors: u64,
    /// Since when the kernel has been busy with a request.
    pub writing_since: Option<Instant>,
    /// Objects that are denied because the kernel refuses them.
    pub denied: usize,
    begun: Instant,
    turned: Instant,
    first_round: Option<Duration>,
    enforced: Enforced,
    transactions: u64,
    operations: u64,
    sent_messages: u64,
    sent_bytes: u64,
    batch: u32,
    refusals: u64,
    failed_observations: u64,
    failed_plans: u64,
    failing: BTreeMap<Failure, Instant>,
    pub(super) calculations: Summary,
    pub(super) apply: Summary,
    pub(super) batches: Summary,
    pub(super) link_batches: Summary,
    pub(super) latency: Histogram,
}

impl Facts {
    fn new(version: &'static str, host: String, now: Instant) -> Self {
        Self {
            version,
            host,
            resync: Resync::default(),
            datastore: Datastore::default(),
            links_read: false,
            resyncs: 0,
            cluster: Cluster::default(),
            updates: BTreeMap::new(),
            messages: BTreeMap::new(),
            chains: 0,
            rules: 0,
            sets: 0,
            maps: 0,
            observations: 0,
            foreign_changes: 0,
            repairs: 0,
            logs_dropped: 0,
            log_errors: 0,
            writing_since: None,
            denied: 0,
            begun: now,
            turned: now,
            first_round: None,
            enforced: Enforced::default(),
            transactions: 0,
            operations: 0,
            sent_messages: 0,
            sent_bytes: 0,
            batch: 0,
            refusals: 0,
            failed_observations: 0,
            failed_plans: 0,
            failing: BTreeMap::new(),
            calculations: Summary::default(),
            apply: Summary::default(),
            batches: Summary::default(),
            link_batches: Summary::default(),
            latency: Histogram::default(),
        }
    }

    /// Takes in that the loop has turned.
    pub fn turned(&mut self, now: Instant) {
        self.turned = now;
    }

    /// Takes in updates of a kind of resource.
    pub fn updated(&mut self, kind: &'static str) {
        *self.updates.entry(kind).or_default() += 1;
        *self.messages.entry("datastore").or_default() += 1;
        self.batch = self.batch.saturating_add(1);
    }

    /// Takes in changes of interfaces that came together.
    pub fn links_changed(&mut self, now: Instant, changes: u32) {
        *self.messages.entry("links").or_default() += u64::from(changes);
        self.link_batches.observe(now, f64::from(changes));
    }

    /// Takes in that a round ended well.
    pub fn in_force(&mut self, now: Instant, round: Round) {
        self.enforced = round.enforced;
        // Rules that cannot be made do not become so by others that can.
        self.failing
            .retain(|failure, _| *failure == Failure::Settings);
        match std::mem::take(&mut self.batch) {
            0 => {}
            batch => self.batches.observe(now, f64::from(batch)),
        }
        if round.operations > 0 {
            self.transactions += 1;
            self.operations += wide(round.operations);
            self.sent_messages += wide(round.messages);
            self.sent_bytes += wide(round.bytes);
        }
        if self.first_round.is_none() {
            // A start takes as long as what it waits for; it would blur how long a change takes.
            self.first_round = Some(now.saturating_duration_since(self.begun));
        } else if round.operations > 0 {
            self.apply.observe(now, round.kernel.as_secs_f64());
            self.latency.observe(round.latency.as_secs_f64());
        }
    }

    /// Takes in what keeps policy from coming into force, until a round ends well.
    pub fn failed(&mut self, now: Instant, failure: Failure) {
        match failure {
            Failure::Refused => self.refusals += 1,
            Failure::Unreadable => self.failed_observations += 1,
            Failure::Unplanned => self.failed_plans += 1,
            Failure::Settings => {}
        }
        self.failing.entry(failure).or_insert(now);
    }

    /// Takes in that rules can be made by the configuration.
    pub fn settings_usable(&mut self) {
        self.failing.remove(&Failure::Settings);
    }

    /// Takes in how long it took to work out what a round has to change.
    pub fn calculated(&mut self, now: Instant, elapsed: Duration) {
        self.calculations.observe(now, elapsed.as_secs_f64());
    }

    /// Returns since when the loop has not turned.
    pub(super) fn last_turn(&self) -> Instant {
        self.turned
    }

    /// Returns how long it took until policy was in force, once it is.
    pub(super) fn first_round(&self) -> Option<Duration> {
        self.first_round
    }

    /// Returns what has kept policy from coming into force for longest, and since when.
    pub(super) fn failing(&self) -> Option<(Failure, Instant)> {
        let failing = self.failing.iter();
        failing
            .map(|(failure, since)| (*failure, *since))
            .min_by_key(|(_, since)| *since)
    }

    /// Returns how often the kernel refused a transaction or did not answer it.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Returns how often its table could not be read.
    pub(super) fn failed_observations(&self) -> u64 {
        self.failed_observations
    }

    /// Returns how often what to change could not be worked out.
    pub(super) fn failed_plans(&self) -> u64 {
        self.failed_plans
    }

    /// Returns how much is in force.
    pub(super) fn enforced(&self) -> Enforced {
        self.enforced
    }

    /// Returns how many rounds changed the kernel's table.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions
    }

    /// Returns how many operations they had.
    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    /// Returns how many messages these were sent in.
    pub(super) fn sent_messages(&self) -> u64 {
        self.sent_messages
    }

    /// Returns how many bytes those had.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}

/// The facts, for one who notes and others who read.
///
/// Whoever reads takes a copy and is done, so that nobody who notes waits for longer than that takes.
#[derive(Debug)]
pub struct Board(Mutex<Facts>);

impl Board {
    /// Makes one for a daemon that begins.
    pub fn new(version: &'static str, host: String) -> Self {
        Self(Mutex::new(Facts::new(version, host, Instant::now())))
    }

    /// Notes something.
    pub fn note(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
    }

    /// Returns what is known.
    pub(super) fn read(&self) -> Facts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a number as it is counted.
fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_fails_since_it_first_did_and_until_a_round_ends_well() {
        let board = Board::new("1", "h".to_owned());
        let (first, later) = (Instant::now(), Instant::now() + Duration::from_secs(9));
        assert_eq!(board.read().failing(), None);
        board.note(|facts| {
            facts.failed(first, Failure::Refused);
            facts.failed(later, Failure::Refused);
            facts.failed(later, Failure::Unreadable);
            facts.failed(later, Failure::Unplanned);
            facts.failed(later, Failure::Settings);
        });
        let facts = board.read();
        assert_eq!(facts.failing(), Some((Failure::Refused, first)));
        let counts = (facts.refusals(), facts.failed_observations());
        assert_eq!((counts, facts.failed_plans()), ((2, 1), 1));
        let round = Round {
            operations: 1,
            messages: 1,
            bytes: 20,
            kernel: Duration::ZERO,
            latency: Duration::ZERO,
            enforced: Enforced::default(),
        };
        board.note(|facts| facts.in_force(later, round));
        assert_eq!(board.read().failing(), Some((Failure::Settings, later)));
        board.note(Facts::settings_usable);
        assert_eq!(board.read().failing(), None);
    }

    #[test]
    fn the_start_is_no_measure_of_changes() {
        let board = Board::new("1", "h".to_owned());
        let round = |operations| Round {
            operations,
            messages: operations,
            bytes: 20 * operations,
            kernel: Duration::from_millis(1),
            latency: Duration::from_millis(3),
            enforced: Enforced::default(),
        };
        let now = Instant::now();
        board.note(|facts| {
            facts.updated("tiers");
            facts.updated("tiers");
            facts.in_force(now, round(5));
        });
        let facts = board.read();
        assert!(facts.first_round().is_some());
        assert_eq!((facts.transactions(), facts.operations()), (1, 5));
        assert_eq!((facts.apply.count(), facts.latency.count()), (0, 0));
        assert_eq!((facts.batches.count(), facts.updates["tiers"]), (1, 2));
        board.note(|facts| {
            facts.in_force(now, round(0));
            facts.in_force(now, round(2));
        });
        let facts = board.read();
        assert_eq!((facts.transactions(), facts.operations()), (2, 7));
        assert_eq!((facts.apply.count(), facts.latency.count()), (1, 1));
    }
}
