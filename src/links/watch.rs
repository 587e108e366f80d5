//! Following the kernel: subscribe, dump, follow; and once more whenever something may have been lost.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::decode::{Body, Consistency, messages};
use super::dump::Dump;
use super::error::LinkError;
use super::socket::{Listing, RouteSocket, Subscription};
use super::table::{Link, LinkChange, LinkTable};

/// How often a dump that was interrupted by changes is repeated before what it gave is taken.
const REPEATS: u32 = 8;

/// How many datagrams go into one batch at most, so that an endless stream of changes still yields batches.
const BATCH: usize = 1024;

/// The delay before the second attempt to read the links; the first follows at once, later ones double it.
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// The longest delay between two attempts.
const LAST_DELAY: Duration = Duration::from_secs(5);

/// What happened to the links since the event before.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// The changes, removals first.
    pub changes: Vec<LinkChange>,
    /// Whether all changes up to now are known. After `false`, what was told still stands, but may be old.
    pub in_sync: bool,
}

/// Follows the links of the network namespace of the thread that opens it.
pub struct LinkWatch {
    table: LinkTable,
    phase: Phase,
    /// Attempts to read everything since the last one that succeeded.
    attempts: u32,
    in_sync: bool,
}

enum Phase {
    /// No socket, until the time has come for the next attempt.
    Waiting(Instant),
    Dumping(Box<Dumping>),
    Following(RouteSocket),
}

impl LinkWatch {
    /// Subscribes to changes and asks for everything; the first event holds the answer.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn open() -> Result<Self, LinkError> {
        let dumping = Dumping::start(Subscription::Changes)?;
        Ok(Self {
            table: LinkTable::default(),
            phase: Phase::Dumping(Box::new(dumping)),
            attempts: 1,
            in_sync: false,
        })
    }

    /// Waits until something changed and returns all of it.
    ///
    /// Cancel safe: a call that is dropped before it is ready loses nothing. It returns an event without changes
    /// when everything has become known, or no longer is.
    pub async fn next(&mut self) -> LinkEvent {
        loop {
            // All state changes in one go between two waits, which is what makes dropping the future harmless.
            let step = match &mut self.phase {
                Phase::Waiting(until) => {
                    sleep_until(*until).await;
                    self.attempt()
                }
                Phase::Dumping(dumping) => match dumping.socket.receive().await {
                    Ok(()) => self.take_part(),
                    Err(error) => self.fail(&error),
                },
                Phase::Following(socket) => match socket.receive().await {
                    Ok(()) => self.follow(),
                    Err(error) => self.fail(&error),
                },
            };
            if let Some(event) = step {
                return event;
            }
        }
    }

    /// Tries to subscribe and dump with a socket of its own, in which nothing stale can be waiting.
    fn attempt(&mut self) -> Option<LinkEvent> {
        self.attempts = self.attempts.saturating_add(1);
        match Dumping::start(Subscription::Changes) {
            Ok(dumping) => {
                self.phase = Phase::Dumping(Box::new(dumping));
                None
            }
            Err(error) => self.fail(&error),
        }
    }

    fn take_part(&mut self) -> Option<LinkEvent> {
        let Phase::Dumping(dumping) = &mut self.phase else {
            return None;
        };
        match dumping.take() {
            Ok(Progress::More) => None,
            Ok(Progress::Complete) => {
                let waiting = Phase::Waiting(Instant::now());
                let Phase::Dumping(dumping) = std::mem::replace(&mut self.phase, waiting) else {
                    return None;
                };
                self.phase = Phase::Following(dumping.socket);
                self.table.replace(dumping.dump.finish());
                self.attempts = 0;
                let regained = !std::mem::replace(&mut self.in_sync, true);
                let changes = self.table.take_changes();
                debug!(changes = changes.len(), "links and addresses are in sync");
                (regained || !changes.is_empty()).then_some(LinkEvent {
                    changes,
                    in_sync: true,
                })
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Takes in the datagram that has arrived and all that wait behind it.
    fn follow(&mut self) -> Option<LinkEvent> {
        let Phase::Following(socket) = &mut self.phase else {
            return None;
        };
        for _ in 0..BATCH {
            let mut understood = true;
            for message in messages(socket.datagram()) {
                match message.body {
                    Body::Fact(fact) => self.table.apply(fact),
                    Body::End { .. } | Body::Other => {}
                    Body::Malformed => understood = false,
                }
            }
            if !understood {
                debug!("skipped a link message that cannot be understood, reading all again");
                return self.attempt();
            }
            match socket.receive_now() {
                Some(Ok(())) => {}
                Some(Err(error)) => return self.fail(&error),
                None => break,
            }
        }
        let changes = self.table.take_changes();
        (!changes.is_empty()).then_some(LinkEvent {
            changes,
            in_sync: true,
        })
    }

    /// Begins anew after a loss: at once the first time, later after a delay.
    fn fail(&mut self, error: &LinkError) -> Option<LinkEvent> {
        if self.attempts == 0 {
            match error {
                LinkError::Overrun => info!("link changes came too fast, reading all again"),
                LinkError::Open(_)
                | LinkError::Subscribe(_)
                | LinkError::Request { .. }
                | LinkError::Dump { .. }
                | LinkError::Receive(_) => {
                    warn!(
                        error = error as &dyn Error,
                        "lost the links, reading all again"
                    );
                }
            }
            return self.attempt();
        }
        let delay = delay(self.attempts);
        self.phase = Phase::Waiting(Instant::now() + delay);
        let lost = std::mem::replace(&mut self.in_sync, false);
        let error = error as &dyn Error;
        // The first failure of an outage is worth knowing, those of the retries are not.
        if lost || self.attempts == 1 {
            warn!(error, "links and addresses cannot be read, will retry");
        } else {
            debug!(error, ?delay, "links and addresses still cannot be read");
        }
        lost.then(|| LinkEvent {
            changes: self.table.take_changes(),
            in_sync: false,
        })
    }
}

impl fmt::Debug for LinkWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            phase: _,
            attempts,
            in_sync,
        } = self;
        f.debug_struct("LinkWatch")
            .field("table", table)
            .field("attempts", attempts)
            .field("in_sync", in_sync)
            .finish_non_exhaustive()
    }
}

/// Returns the links and addresses of the network namespace of this thread, by name.
pub async fn snapshot() -> Result<Vec<Link>, LinkError> {
    let mut dumping = Dumping::start(Subscription::None)?;
    loop {
        dumping.socket.receive().await?;
        match dumping.take()? {
            Progress::More => {}
            Progress::Complete => return Ok(dumping.dump.finish().links()),
        }
    }
}

/// A dump of links, then of addresses, under way on a socket.
struct Dumping {
    socket: RouteSocket,
    dump: Dump,
    listing: Listing,
    consistency: Consistency,
    repeats: u32,
}

enum Progress {
    More,
    Complete,
}

impl Dumping {
    fn start(subscription: Subscription) -> Result<Self, LinkError> {
        let mut socket = RouteSocket::open(subscription)?;
        let listing = Listing::Links;
        socket.request(listing)?;
        let dump = Dump::default();
        Ok(Self {
            socket,
            dump,
            listing,
            consistency: Consistency::Whole,
            repeats: 0,
        })
    }

    /// Takes in the datagram that has arrived.
    fn take(&mut self) -> Result<Progress, LinkError> {
        let mut ended = false;
        for message in messages(self.socket.datagram()) {
            let answer = self.socket.is_answer(message.sequence, message.port);
            if answer && message.consistency == Consistency::Interrupted {
                self.consistency = Consistency::Interrupted;
            }
            match message.body {
                Body::Fact(fact) if answer => self.dump.listed(fact),
                Body::Fact(fact) => self.dump.announced(fact),
                Body::End { code: 0 } if answer => ended = true,
                Body::End { code } if answer => {
                    let what = self.listing.noun();
                    let source = io::Error::from_raw_os_error(code.saturating_neg());
                    return Err(LinkError::Dump { what, source });
                }
                Body::End { .. } | Body::Other => {}
                // Another dump lists what it may have been about.
                Body::Malformed => {
                    debug!("skipped a link message that cannot be understood");
                    self.consistency = Consistency::Interrupted;
                }
            }
        }
        if ended {
            self.advance()
        } else {
            Ok(Progress::More)
        }
    }

    fn advance(&mut self) -> Result<Progress, LinkError> {
        if self.consistency == Consistency::Interrupted && self.repeats < REPEATS {
            self.repeats += 1;
        } else if self.listing == Listing::Links {
            self.listing = Listing::Addresses;
            self.repeats = 0;
        } else {
            return Ok(Progress::Complete);
        }
        self.consistency = Consistency::Whole;
        self.socket.request(self.listing)?;
        Ok(Progress::More)
    }
}

fn delay(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LAST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_last() {
        let delays: Vec<u128> = (1..=12)
            .map(|attempts| delay(attempts).as_millis())
            .collect();
        assert_eq!(
            delays,
            [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000, 5000]
        );
        assert_eq!(delay(u32::MAX), LAST_DELAY);
    }
}
