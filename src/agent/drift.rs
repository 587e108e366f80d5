//! What other programs do to our table where it is not owned: when it is read back, and what is said of it.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::pace::Pace;
use crate::kernel::{Author, CommitError, Heard, KernelError, RulesetWatch, Touched, Unheard};
use crate::nft::{Distrust, Plans, TableName};
use crate::telemetry::ErrorChain;

/// How often a lost socket is opened again.
const REOPEN: Duration = Duration::from_secs(10);
/// How often in a row a refusal is laid to somebody's change of the ruleset in the same moment.
const EXCUSED: u32 = 3;
/// How often a fight is mentioned.
const MENTION: Duration = Duration::from_secs(10);
/// How many steps of a repair are named.
const SHOWN: usize = 8;

/// What the loop is to do about foreign changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Nothing yet; nor is anything to be planned before.
    Held,
    /// The table is to be read and compared.
    Repair {
        /// What is not believed of it.
        distrust: Distrust,
        /// How many foreign changes of it were heard of.
        changes: u64,
        /// Whether it comes before those at fault for a refusal are looked for.
        urgent: bool,
    },
}

/// Whether a refusal comes of what another program did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meddled {
    /// Not as far as is known.
    No,
    /// It may: the table is to be read again at once, and this is not believed of it.
    Yes(Distrust),
}

/// Where a socket that hears of changes is opened.
#[derive(Debug, Clone)]
struct Place {
    table: TableName,
    timeout: Duration,
}

/// What is known of foreign changes and not dealt with yet.
#[derive(Debug, Default)]
struct Pending {
    touched: Touched,
    authors: BTreeSet<Author>,
    changes: u64,
    unheard: Option<Unheard>,
    refresh: bool,
}

/// Looks after foreign changes; of an owned table there are none.
#[derive(Debug)]
pub(super) struct Drift {
    /// `None` where the table is owned.
    place: Option<Place>,
    watch: Option<RulesetWatch>,
    pending: Option<Pending>,
    /// How many transactions are under way that are not to be heard of.
    committing: Option<u32>,
    /// Whether what is under way puts something right.
    repairing: bool,
    pace: Pace,
    /// The generation at which the table was last compared whole, or that our own transactions led to from there.
    compared: Option<u32>,
    refresh_at: Option<Instant>,
    excused: u32,
    /// Whether nothing of the table has been believed since the start, or since another program last changed it.
    doubted: bool,
    mentioned: Option<Instant>,
}

impl Drift {
    /// Makes one for a table that is owned.
    pub(super) fn none() -> Self {
        Self {
            place: None,
            watch: None,
            pending: None,
            committing: None,
            repairing: false,
            pace: Pace::default(),
            compared: None,
            refresh_at: None,
            excused: 0,
            doubted: false,
            mentioned: None,
        }
    }

    /// Begins to hear of changes of a table that is not owned.
    ///
    /// # Errors
    /// Fails without a socket.
    pub(super) fn watch(table: TableName, timeout: Duration) -> Result<Self, KernelError> {
        let watch = RulesetWatch::open(table.clone(), timeout)?;
        Ok(Self {
            place: Some(Place { table, timeout }),
            watch: Some(watch),
            ..Self::none()
        })
    }

    /// Waits until something was heard.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn heard(&mut self) {
        match &mut self.watch {
            Some(watch) => {
                let outcome = watch.changed().await;
                self.listen(outcome);
            }
            None => pending().await,
        }
    }

    /// Takes in what can be heard without waiting.
    pub(super) fn listen_now(&mut self) {
        if let Some(watch) = &mut self.watch {
            let outcome = watch.drain();
            self.listen(outcome);
        }
    }

    /// Returns when there is something to do that nothing will announce.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let held = self.pending.as_ref().and(self.pace.held_until(now));
        held.into_iter().chain(self.refresh_at).min()
    }

    /// Tells whether another program has changed the table, or may have, so that an inquest has to wait. In a fight it
    /// does not: it would never come to its end.
    pub(super) fn interrupts(&self, now: Instant) -> bool {
        let tampered = self.pending.as_ref().is_some_and(Pending::is_tampered);
        tampered && !self.pace.is_contested(now)
    }

    /// Returns what is to be done now; `refresh` is the time between two comparisons of everything.
    pub(super) fn next(&mut self, now: Instant, refresh: Option<Duration>) -> Due {
        if self.place.is_none() {
            return Due::Nothing;
        }
        self.refresh(now, refresh);
        if self.pending.is_none() {
            return Due::Nothing;
        }
        if self.pace.held_until(now).is_some() {
            return Due::Held;
        }
        let Some(pending) = self.pending.take() else {
            return Due::Nothing;
        };
        self.pace.begin(now);
        self.say(&pending, now);
        self.repairing = true;
        self.doubted = false;
        Due::Repair {
            urgent: pending.is_tampered() && !self.pace.is_contested(now),
            distrust: pending.touched.into_distrust(),
            changes: pending.changes,
        }
    }

    /// Takes in at which generation the table was read.
    pub(super) fn observed(&mut self, generation: u32) {
        self.compared = Some(generation);
    }

    /// Takes in that transactions are about to be made.
    pub(super) fn committing(&mut self, plans: &Plans) {
        if self.repairing {
            let mut steps = plans.operations().map(ToString::to_string);
            let shown: Vec<String> = steps.by_ref().take(SHOWN).collect();
            let more = steps.count();
            info!(steps = shown.join("; "), more, "putting our table right");
        }
        let transactions = u32::try_from(plans.transactions().count()).unwrap_or(u32::MAX);
        if let Some(watch) = &mut self.watch {
            self.committing = Some(transactions);
            let outcome = watch.pause();
            self.listen(outcome);
        }
    }

    /// Takes in that they are in force, and tells whether they have put something right.
    pub(super) fn committed(&mut self) -> bool {
        self.excused = 0;
        let repaired = self.repairing;
        let count = self.committing.take().unwrap_or(0);
        self.resume(count);
        self.settled();
        repaired
    }

    /// Takes in that one of them was refused, or that this is not known.
    pub(super) fn refused(&mut self, cause: &CommitError) -> Meddled {
        self.committing = None;
        self.resume(0);
        self.settled();
        let excused = self.excused < EXCUSED;
        self.excused = self.excused.saturating_add(1);
        if self.pending.is_some() && excused {
            return Meddled::Yes(Distrust::default());
        }
        // Something refers to what nothing of ours should: rules lead elsewhere than they say, as they do where a chain
        // was given another name while nobody looked.
        if cause.is_busy() && !self.doubted {
            self.doubted = true;
            let mut distrust = Distrust::default();
            distrust.everything();
            return Meddled::Yes(distrust);
        }
        Meddled::No
    }

    /// Takes in that nothing differs any more, or that no more can be done now.
    pub(super) fn settled(&mut self) {
        if std::mem::take(&mut self.repairing) {
            self.pace.end(Instant::now());
        }
    }

    fn resume(&mut self, count: u32) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let before = watch.generation();
        let outcome = watch.resume(count);
        let after = watch.generation();
        if self.compared == Some(before) && after == before.wrapping_add(count) {
            self.compared = Some(after);
        }
        self.listen(outcome);
    }

    /// Has everything compared from time to time, unless nobody else has changed anything since that was last done.
    fn refresh(&mut self, now: Instant, interval: Option<Duration>) {
        let again = if self.watch.is_some() {
            interval
        } else {
            Some(interval.map_or(REOPEN, |interval| interval.min(REOPEN)))
        };
        let Some(again) = again else {
            self.refresh_at = None;
            return;
        };
        let at = *self.refresh_at.get_or_insert(now + again);
        if at > now {
            return;
        }
        self.refresh_at = Some(now + again);
        if self.watch.is_none() {
            self.reopen();
        }
        if let Some(watch) = &mut self.watch {
            let outcome = watch.check();
            self.listen(outcome);
        }
        let generation = self.watch.as_ref().map(RulesetWatch::generation);
        if generation.is_none() || generation != self.compared {
            self.pending.get_or_insert_default().refresh = true;
        }
    }

    fn reopen(&mut self) {
        let Some(place) = &self.place else { return };
        match RulesetWatch::open(place.table.clone(), place.timeout) {
            Ok(watch) => {
                info!("changes of the ruleset are heard again");
                self.watch = Some(watch);
            }
            Err(cause) => debug!("{}", ErrorChain(&cause)),
        }
    }

    /// Takes in what was heard, or that nothing can be heard any more.
    fn listen(&mut self, outcome: Result<(), KernelError>) {
        let heard = self.watch.as_mut().map(RulesetWatch::take_heard);
        for heard in heard.into_iter().flatten() {
            self.pending.get_or_insert_default().take(heard);
        }
        if let Err(cause) = outcome {
            warn!(
                "{}; our table is compared from time to time alone",
                ErrorChain(&cause)
            );
            self.watch = None;
            self.refresh_at = None;
            self.pending.get_or_insert_default().refresh = true;
        }
    }

    fn say(&mut self, pending: &Pending, now: Instant) {
        match pending.unheard {
            Some(Unheard::Overrun) => {
                info!("the ruleset changed faster than could be heard; reading our table back");
            }
            Some(Unheard::Generation) => {
                debug!("the ruleset changed beside a transaction of ours; reading our table back");
            }
            None => {}
        }
        if pending.changes == 0 {
            return;
        }
        let (changes, by) = (pending.touched.to_string(), pending.by());
        if !self.pace.is_contested(now) {
            warn!(changes, by, "another program has changed our table");
            return;
        }
        if self.mentioned.is_none_or(|at| at + MENTION <= now) {
            self.mentioned = Some(now);
            warn!(
                changes,
                by, "another program keeps changing our table; it is put right with pauses"
            );
        }
    }
}

impl Pending {
    fn is_tampered(&self) -> bool {
        self.changes > 0 || self.unheard.is_some()
    }

    fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Foreign { touched, author } => {
                self.touched.merge(touched);
                self.changes += 1;
                // In a fight with a script each is another process of the same name.
                if self.authors.len() < SHOWN {
                    self.authors.extend(author);
                }
            }
            Heard::Missed(why) => self.unheard = Some(why),
        }
    }

    fn by(&self) -> String {
        let names: Vec<String> = self.authors.iter().map(ToString::to_string).collect();
        if names.is_empty() {
            "nobody who is known".to_owned()
        } else {
            names.join(", ")
        }
    }
}

#[cfg(test)]
#[path = "tests/drift.rs"]
mod tests;
