//! What the loop tells those who watch the daemon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::census::Census;
use super::enforcer::Enforcer;
use super::last_good::Basis;
use super::supervisor::{Notice, Supervisor, Surroundings};
use super::tallies::{KernelCounters, Ledger};
use super::{monitor_patience, monitor_settings};
use crate::config::Config;
use crate::model::Update;
use crate::monitor::{
    Board, Datastore, Enforced, Facts, Failure, Monitor, Resync, Round, outlasts,
};
use crate::render::CounterNews;
use crate::telemetry::{ErrorChain, LogHandle};

/// The longest time between two signs of life.
const BEAT: Duration = Duration::from_secs(5);

/// What came of reading the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It was read.
    Done,
    /// It could not be.
    Failed,
}

/// Whether a round has ended since what the table holds was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// One has.
    Due,
    /// None has.
    Done,
}

/// What the loop knows of itself when it turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Whether what the datastore says may be enforced.
    pub(super) datastore: Datastore,
    /// Whether the interfaces have been read.
    pub(super) links_read: bool,
    /// Since when the kernel has been busy.
    pub(super) writing_since: Option<Instant>,
}

/// Tells the supervisor, health checks and metrics how the loop fares. Nothing that it does waits for anybody.
#[derive(Debug)]
pub(super) struct Observer {
    supervisor: Supervisor,
    board: Arc<Board>,
    monitor: Monitor,
    ledger: Arc<Ledger>,
    census: Census,
    beaten: Option<Instant>,
    ready: bool,
    silent: bool,
    count: Count,
    /// How long the kernel may be busy with one request.
    patience: Option<Duration>,
    /// Whether it was busy for longer when the loop turned last.
    stuck: bool,
}

impl Observer {
    /// Finds out who watches.
    pub(super) fn new(config: &Config) -> Self {
        let supervisor = Supervisor::connect(&Surroundings::read()).unwrap_or_else(|cause| {
            warn!(
                "the supervisor at NOTIFY_SOCKET: {}; it is told nothing",
                ErrorChain(&cause)
            );
            Supervisor::default()
        });
        let board = Arc::new(Board::new(crate::VERSION, config.hostname.clone()));
        let mut observer = Self::with(supervisor, board);
        observer.configure(config);
        observer
    }

    fn with(supervisor: Supervisor, board: Arc<Board>) -> Self {
        let ledger = Arc::<Ledger>::default();
        let counters = Box::new(KernelCounters::new(Arc::clone(&ledger)));
        Self {
            supervisor,
            monitor: Monitor::new(Arc::clone(&board), counters),
            board,
            ledger,
            census: Census::default(),
            beaten: None,
            ready: false,
            silent: false,
            count: Count::Done,
            patience: None,
            stuck: false,
        }
    }

    /// Serves health and metrics as the configuration says.
    pub(super) fn configure(&mut self, config: &Config) {
        self.patience = monitor_patience(config).kernel;
        if let Err(cause) = self.monitor.configure(monitor_settings(config)) {
            error!("{}; health and metrics are not served", ErrorChain(&cause));
        }
    }

    /// Returns how often the loop has to give a sign of life.
    pub(super) fn pace(&self) -> Duration {
        // Half of what the supervisor puts up with leaves room for one that is late.
        self.supervisor
            .watchdog()
            .map_or(BEAT, |watchdog| BEAT.min(watchdog / 2))
            .max(Duration::from_millis(1))
    }

    /// Takes in that the loop has turned.
    pub(super) fn turned(&mut self, turn: Turn, enforcer: &Enforcer, logs: &LogHandle) {
        let now = Instant::now();
        self.board.note(|facts| {
            facts.turned(now);
            facts.datastore = turn.datastore;
            facts.links_read = turn.links_read;
            facts.writing_since = turn.writing_since;
        });
        let due = self.pace() / 2;
        if self
            .beaten
            .is_some_and(|beaten| now.saturating_duration_since(beaten) < due)
        {
            return;
        }
        self.beaten = Some(now);
        self.tell_of_life(now, turn.writing_since);
        self.note_sizes(enforcer, logs);
    }

    /// Gives the supervisor a sign of life, unless the kernel's writer hangs: then all must begin anew.
    fn tell_of_life(&mut self, now: Instant, writing_since: Option<Instant>) {
        let stuck = writing_since
            .is_some_and(|since| outlasts(now.saturating_duration_since(since), self.patience));
        if stuck && !self.stuck {
            error!("the kernel does not answer a request; the supervisor gets no sign of life");
        }
        self.stuck = stuck;
        if !stuck && self.supervisor.watchdog().is_some() {
            self.tell(Notice::Alive);
        }
    }

    /// Notes what is too much to count at every turn.
    fn note_sizes(&mut self, enforcer: &Enforcer, logs: &LogHandle) {
        let losses = logs.losses();
        let table = enforcer
            .catalog()
            .filter(|_| self.count == Count::Due)
            .map(|catalog| {
                let rules = catalog.chains.values().map(|chain| chain.rules.len()).sum();
                let maps = catalog
                    .sets
                    .values()
                    .filter(|set| set.spec.verdicts)
                    .count();
                (catalog.chains.len(), rules, catalog.sets.len() - maps, maps)
            });
        if table.is_some() {
            self.count = Count::Done;
        }
        self.board.note(|facts| {
            facts.logs_dropped = losses.dropped;
            facts.log_errors = losses.failed;
            if let Some((chains, rules, sets, maps)) = table {
                facts.chains = chains;
                facts.rules = rules;
                facts.sets = sets;
                facts.maps = maps;
            }
        });
    }

    /// Takes in a change of the datastore.
    pub(super) fn updated(&mut self, update: &Update) {
        self.census.update(update);
        self.board
            .note(|facts| facts.updated(update.key.kind.as_str()));
    }

    /// Takes in how far the datastore has been read.
    pub(super) fn resync(&mut self, resync: Resync) {
        let cluster = self.census.cluster();
        self.board.note(|facts| {
            // What is read from the beginning is read to its end, however it is told.
            if facts.resync == Resync::Waiting && resync != Resync::Waiting {
                facts.resyncs += 1;
            }
            facts.resync = resync;
            facts.cluster = cluster;
        });
    }

    /// Takes in changes of interfaces.
    pub(super) fn links_changed(&mut self, changes: usize) {
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        self.board
            .note(|facts| facts.links_changed(Instant::now(), changes));
    }

    /// Takes in how long it took to work out what to change.
    pub(super) fn calculated(&mut self, since: Instant) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(since);
        self.board.note(|facts| facts.calculated(now, elapsed));
    }

    /// Takes in that the kernel's table was read, or could not be.
    pub(super) fn observed(&mut self, reading: Reading) {
        self.board.note(|facts| {
            facts.observations += 1;
            match reading {
                Reading::Done => {}
                Reading::Failed => facts.failed(Instant::now(), Failure::Unreadable),
            }
        });
    }

    /// Takes in that other programs have changed the kernel's table so often.
    pub(super) fn drifted(&mut self, changes: u64) {
        self.board.note(|facts| facts.foreign_changes += changes);
    }

    /// Takes in that something was put right that another program had changed.
    pub(super) fn repaired(&mut self) {
        self.board.note(|facts| facts.repairs += 1);
    }

    /// Takes in what keeps policy from coming into force.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.board
            .note(|facts| facts.failed(Instant::now(), failure));
    }

    /// Takes in how many objects are denied.
    pub(super) fn denied(&mut self, count: usize) {
        self.board.note(|facts| facts.denied = count);
    }

    /// Takes in that rules can be made by the configuration.
    pub(super) fn settings_usable(&mut self) {
        self.board.note(Facts::settings_usable);
    }

    /// Takes in which counters the kernel's table has.
    pub(super) fn counters(&mut self, news: CounterNews) {
        self.ledger.note(news);
    }

    /// Takes in what the loop is waiting for.
    pub(super) fn waiting(&mut self, what: &str) {
        if !self.ready {
            self.tell(Notice::Status(what));
        }
    }

    /// Takes in that a round is in force; the start is complete where that is what the datastore says.
    pub(super) fn in_force(&mut self, round: Round, basis: Basis) {
        self.count = Count::Due;
        self.board
            .note(|facts| facts.in_force(Instant::now(), round));
        let Enforced {
            endpoints,
            policies,
            ..
        } = round.enforced;
        let from = match basis {
            Basis::Datastore => "",
            Basis::LastGood => "; as kept, the datastore has not been read yet",
        };
        let status = format!("in force: {endpoints} endpoints, {policies} policies{from}");
        self.tell(Notice::Status(&status));
        if basis == Basis::Datastore && !self.ready {
            self.ready = true;
            self.tell(Notice::Ready);
        }
    }

    /// Takes in that the configuration is being read again. A start that is not complete stays one.
    pub(super) fn reloading(&mut self) {
        if self.ready {
            self.tell(Notice::Reloading);
        }
    }

    /// Takes in that this is done.
    pub(super) fn reloaded(&mut self) {
        if self.ready {
            self.tell(Notice::Ready);
        }
    }

    /// Takes in that the loop is about to end.
    pub(super) fn stopping(&mut self) {
        self.tell(Notice::Stopping);
    }

    /// Tells the supervisor; that it could not be told is logged once in a row.
    fn tell(&mut self, notice: Notice<'_>) {
        match self.supervisor.tell(notice) {
            Ok(()) => self.silent = false,
            Err(cause) if !self.silent => {
                self.silent = true;
                warn!("the supervisor cannot be told: {}", ErrorChain(&cause));
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_supervisor_gets_no_sign_of_life_while_the_kernels_writer_hangs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let surroundings = Surroundings {
            socket: Some(path.into_os_string()),
            watchdog_micros: Some("3000000".to_owned()),
            watchdog_pid: None,
        };
        let board = Arc::new(Board::new("1", "h".to_owned()));
        let mut observer = Observer::with(Supervisor::connect(&surroundings).unwrap(), board);
        let begun = Instant::now();
        let mut told = |since: Option<Instant>, patience: Option<Duration>| {
            observer.patience = patience;
            observer.tell_of_life(begun + Duration::from_secs(91), since);
            listener.recv(&mut [0; 64]).is_ok()
        };
        let patience = Some(Duration::from_secs(90));
        assert!(told(None, patience));
        assert!(told(Some(begun + Duration::from_secs(2)), patience));
        assert!(!told(Some(begun), patience));
        assert!(told(Some(begun), None), "there may be no limit");
        assert!(!told(Some(begun), patience));
        assert!(told(None, patience));
    }
}
