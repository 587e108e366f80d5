//! Following the kernel: subscribe, dump, follow; and once more whenever something may have been lost.

use std::error::Error;
use std::io;
use std::time::Duration;

use rtnetlink::packet_core::NLM_F_DUMP_INTR;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::decode::fact;
use super::dump::Dump;
use super::error::RouteError;
use super::observed::Observed;
use super::settings::Settings;
use super::socket::{Listing, RouteSocket};
use super::wire::messages;

/// How often a dump that was interrupted by changes is repeated before what it gave is taken.
const REPEATS: u32 = 8;
/// How many datagrams are taken in at once at most, so that an endless stream of changes still leads to work.
const BATCH: usize = 1024;
/// The delay before the second attempt to read everything; the first follows at once, later ones double it.
const FIRST_DELAY: Duration = Duration::from_millis(10);
/// The longest delay between two attempts.
const LAST_DELAY: Duration = Duration::from_secs(5);

/// What the kernel holds, followed.
pub(super) struct Follow {
    observed: Observed,
    phase: Phase,
    /// Attempts to read everything since the last one that succeeded.
    attempts: u32,
    /// When everything was last read.
    read: Option<Instant>,
}

enum Phase {
    /// No socket, until the time has come for the next attempt.
    Waiting(Instant),
    Dumping(Box<Dumping>),
    Following(RouteSocket),
}

impl Follow {
    /// Makes one that will begin with the first call of [`next`](Self::next).
    pub(super) fn new() -> Self {
        Self {
            observed: Observed::default(),
            phase: Phase::Waiting(Instant::now()),
            attempts: 0,
            read: None,
        }
    }

    /// Returns when everything was last read, `None` where what is known may be old.
    pub(super) fn in_step_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting(_) | Phase::Dumping(_) => None,
            Phase::Following(_) => self.read,
        }
    }

    /// Returns what the kernel holds.
    pub(super) fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Returns what the kernel holds, for the links that changed and for what was just done to it.
    pub(super) fn observed_mut(&mut self) -> &mut Observed {
        &mut self.observed
    }

    /// Begins to read everything anew.
    pub(super) fn read_again(&mut self) {
        if let Phase::Following(_) = self.phase {
            self.attempt();
        }
    }

    /// Waits until something is known that was not, or everything has been read.
    ///
    /// Cancel safe: a call that is dropped before it is ready loses nothing.
    pub(super) async fn next(&mut self, settings: &Settings) {
        loop {
            // All state changes in one go between two waits, which is what makes dropping the future harmless.
            match &mut self.phase {
                Phase::Waiting(until) => {
                    sleep_until(*until).await;
                    self.attempt();
                }
                Phase::Dumping(dumping) => match dumping.socket.receive().await {
                    Ok(()) => {
                        if self.take_part(settings) {
                            return;
                        }
                    }
                    Err(error) => self.fail(&error),
                },
                Phase::Following(socket) => match socket.receive().await {
                    Ok(()) => {
                        self.follow(settings);
                        if self.observed.take_differs() {
                            return;
                        }
                    }
                    Err(error) => self.fail(&error),
                },
            }
        }
    }

    /// Tries to subscribe and dump with a socket of its own, in which nothing stale can be waiting.
    fn attempt(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        match Dumping::start() {
            Ok(dumping) => self.phase = Phase::Dumping(Box::new(dumping)),
            Err(error) => self.fail(&error),
        }
    }

    /// Takes in a part of a dump, and tells whether that was the last.
    fn take_part(&mut self, settings: &Settings) -> bool {
        let Phase::Dumping(dumping) = &mut self.phase else {
            return false;
        };
        match dumping.take(settings) {
            Ok(Progress::More) => return false,
            Ok(Progress::Complete) => {}
            Err(error) => {
                self.fail(&error);
                return false;
            }
        }
        let waiting = Phase::Waiting(Instant::now());
        let Phase::Dumping(dumping) = std::mem::replace(&mut self.phase, waiting) else {
            return false;
        };
        self.phase = Phase::Following(dumping.socket);
        self.observed.replace(dumping.dump.finish());
        self.attempts = 0;
        self.read = Some(Instant::now());
        debug!(
            routes = self.observed.routes().len(),
            "routes and neighbours have been read"
        );
        true
    }

    /// Takes in the datagram that has arrived and all that wait behind it.
    fn follow(&mut self, settings: &Settings) {
        let Phase::Following(socket) = &mut self.phase else {
            return;
        };
        for _ in 0..BATCH {
            let mut understood = true;
            for message in messages(socket.datagram()) {
                match message.and_then(|message| fact(&message)) {
                    Ok(Some(fact)) => self.observed.apply(fact, settings),
                    Ok(None) => {}
                    Err(_) => understood = false,
                }
            }
            if !understood {
                debug!("skipped a route message that cannot be understood, reading all again");
                self.attempt();
                return;
            }
            match socket.receive_now() {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.fail(&error);
                    return;
                }
                None => break,
            }
        }
        if self.observed.take_unread() {
            debug!("a link has a workload's name now, or an address less: reading its routes");
            self.attempt();
        }
    }

    /// Begins anew after a loss: at once the first time, later after a delay.
    fn fail(&mut self, error: &RouteError) {
        if self.attempts == 0 {
            if matches!(error, RouteError::Overrun) {
                info!("changes of routes came too fast, reading all again");
            } else {
                let error = error as &dyn Error;
                warn!(error, "lost the kernel's routes, reading all again");
            }
            self.attempt();
            return;
        }
        let doublings = self.attempts.saturating_sub(1).min(16);
        let delay = FIRST_DELAY.saturating_mul(1 << doublings).min(LAST_DELAY);
        self.phase = Phase::Waiting(Instant::now() + delay);
        let error = error as &dyn Error;
        // The second failure of an outage is worth knowing, those of later retries are not.
        if self.attempts == 2 {
            warn!(error, "the kernel's routes cannot be read, will retry");
        } else {
            debug!(error, ?delay, "the kernel's routes cannot be read");
        }
    }
}

/// Dumps under way on a socket, one after the other.
struct Dumping {
    socket: RouteSocket,
    dump: Dump,
    listing: Listing,
    interrupted: bool,
    repeats: u32,
}

enum Progress {
    More,
    Complete,
}

impl Dumping {
    fn start() -> Result<Self, RouteError> {
        let mut socket = RouteSocket::open()?;
        let listing = Listing::Links;
        socket.request(listing)?;
        Ok(Self {
            socket,
            dump: Dump::default(),
            listing,
            interrupted: false,
            repeats: 0,
        })
    }

    /// Takes in the datagram that has arrived.
    fn take(&mut self, settings: &Settings) -> Result<Progress, RouteError> {
        let mut ended = false;
        for message in messages(self.socket.datagram()) {
            let Ok(message) = message else {
                self.interrupted = true;
                continue;
            };
            let answer = self.socket.is_answer(message.sequence, message.port);
            if answer && message.flags & NLM_F_DUMP_INTR != 0 {
                self.interrupted = true;
            }
            match (answer, message.code()) {
                (true, Some(0)) => ended = true,
                (true, Some(code)) => {
                    return Err(RouteError::Dump {
                        what: self.listing.noun(),
                        source: io::Error::from_raw_os_error(code),
                    });
                }
                (false, Some(_)) => {}
                (_, None) => match fact(&message) {
                    Ok(Some(fact)) if answer => self.dump.listed(fact, settings),
                    Ok(Some(fact)) => self.dump.announced(fact, settings),
                    Ok(None) => {}
                    // Another dump lists what it may have been about.
                    Err(_) => {
                        debug!("skipped a route message that cannot be understood");
                        self.interrupted = true;
                    }
                },
            }
        }
        if ended {
            self.advance()
        } else {
            Ok(Progress::More)
        }
    }

    fn advance(&mut self) -> Result<Progress, RouteError> {
        if self.interrupted && self.repeats < REPEATS {
            self.repeats += 1;
        } else if let Some(next) = self.listing.next() {
            self.listing = next;
            self.repeats = 0;
        } else {
            return Ok(Progress::Complete);
        }
        self.interrupted = false;
        self.socket.request(self.listing)?;
        Ok(Progress::More)
    }
}
