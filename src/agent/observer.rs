//! What the loop tells those who watch the daemon.

use std::time::{Duration, Instant};

use tracing::warn;

use super::supervisor::{Notice, Supervisor, Surroundings};
use crate::telemetry::ErrorChain;

/// The longest time between two signs of life.
const BEAT: Duration = Duration::from_secs(5);

/// Tells the supervisor how the loop fares. Nothing that it does waits for anybody.
#[derive(Debug)]
pub(super) struct Observer {
    supervisor: Supervisor,
    beaten: Option<Instant>,
    ready: bool,
    silent: bool,
}

impl Observer {
    /// Finds out who watches.
    pub(super) fn new() -> Self {
        let supervisor = Supervisor::connect(&Surroundings::read()).unwrap_or_else(|cause| {
            warn!(
                "the supervisor at NOTIFY_SOCKET: {}; it is told nothing",
                ErrorChain(&cause)
            );
            Supervisor::default()
        });
        Self {
            supervisor,
            beaten: None,
            ready: false,
            silent: false,
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
    pub(super) fn turned(&mut self) {
        let due = self.pace() / 2;
        if self.beaten.is_none_or(|beaten| beaten.elapsed() >= due) {
            self.beaten = Some(Instant::now());
            if self.supervisor.watchdog().is_some() {
                self.tell(Notice::Alive);
            }
        }
    }

    /// Takes in what the loop is waiting for.
    pub(super) fn waiting(&mut self, what: &str) {
        if !self.ready {
            self.tell(Notice::Status(what));
        }
    }

    /// Takes in that a round is in force, and how many endpoints and policies it has.
    pub(super) fn in_force(&mut self, endpoints: usize, policies: usize) {
        let status = format!("in force: {endpoints} endpoints, {policies} policies");
        self.tell(Notice::Status(&status));
        if !self.ready {
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
