//! The thread that writes to etcd.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::complaints::Complaints;
use super::facts::{Facts, Status};
use super::keys::{Keys, end_of, status, value};
use super::ledger::{Found, Ledger};
use super::process::{Attempt, report};
use super::settings::{ProcessSettings, Settings};
use crate::datastore::EtcdWriter;
use crate::telemetry::ErrorChain;

/// How long the process lives at least before it reports, so that one that is restarted again and again does not.
const SETTLED: Duration = Duration::from_secs(10);
/// The shortest time between two writes about endpoints, whatever is configured.
const SHORTEST: Duration = Duration::from_millis(10);
/// How many times of that pass between two comparisons with what is stored.
const COMPARED_EVERY: u32 = 180;
/// How many pages of keys are read for it.
const MOST_PAGES: usize = 256;
/// How long a comparison that failed waits for the next attempt.
const COMPARE_AGAIN: Duration = Duration::from_secs(10);
/// The shortest and the longest wait after a write that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Writes statuses until nobody tells anything any more.
#[derive(Debug)]
pub(super) struct Reporter {
    settings: watch::Receiver<Settings>,
    facts: watch::Receiver<Facts>,
    writer: EtcdWriter,
    begun: Instant,
    keys: Keys,
    process: Option<Process>,
    attempt: Attempt,
    complaints: Complaints,
    endpoints: Option<Endpoints>,
}

/// The reports of the process.
#[derive(Debug)]
struct Process {
    settings: ProcessSettings,
    due: Instant,
}

/// The reports of endpoints.
#[derive(Debug)]
struct Endpoints {
    delay: Duration,
    ledger: Ledger,
    knowledge: Knowledge,
    /// When the next turn is.
    due: Instant,
    /// When to compare with what is stored.
    compare: Instant,
    /// What the writer said when that was last done or found due.
    history: u64,
    /// How many writes in a row have failed.
    failures: u32,
    complaints: Complaints,
}

/// Whether it is known what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// It is not.
    None,
    /// It is, as of the last turn.
    Current,
}

/// Something could not be done, which was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed;

impl Reporter {
    /// Makes one that knows of nothing to report.
    pub(super) fn new(
        settings: watch::Receiver<Settings>,
        facts: watch::Receiver<Facts>,
        writer: EtcdWriter,
    ) -> Self {
        Self {
            settings,
            facts,
            writer,
            begun: Instant::now(),
            keys: Keys::new("", None),
            process: None,
            attempt: Attempt::First,
            complaints: Complaints::default(),
            endpoints: None,
        }
    }

    /// Runs until nobody tells anything any more.
    pub(super) async fn run(mut self) {
        loop {
            let process = self.process.as_ref().map(|process| process.due);
            let endpoints = self.endpoints.as_ref().map(|endpoints| endpoints.due);
            tokio::select! {
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.configure();
                }
                () = until(process) => self.report().await,
                () = until(endpoints) => self.turn().await,
            }
        }
    }

    fn configure(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        let now = Instant::now();
        let keys = Keys::new(&settings.host, settings.region.as_deref());
        // What was written under other keys stays there, as Felix leaves it: it is not known to be ours alone.
        let elsewhere = std::mem::replace(&mut self.keys, keys) != self.keys;
        let before = self.process.take();
        self.process = settings.process.map(|settings| Process {
            settings,
            due: match before {
                Some(before) if before.settings.interval == settings.interval && !elsewhere => {
                    before.due
                }
                Some(_) | None => now + settings.interval.min(SETTLED),
            },
        });
        let before = self.endpoints.take().filter(|_| !elsewhere);
        self.endpoints = settings.endpoints.map(|delay| {
            let delay = delay.max(SHORTEST);
            match before {
                Some(endpoints) => Endpoints {
                    delay,
                    due: endpoints.due.min(now + delay),
                    compare: endpoints
                        .compare
                        .min(now + delay.saturating_mul(COMPARED_EVERY)),
                    ..endpoints
                },
                None => Endpoints::new(delay, now),
            }
        });
    }

    /// Reports the process.
    async fn report(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.due = Instant::now() + process.settings.interval;
        let life = Some(process.settings.life).filter(|life| !life.is_zero());
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let value = report(&time, self.begun.elapsed(), self.attempt);
        let (key, last) = (self.keys.process(), self.keys.last_process());
        let written = self.writer.put(&key, &value, life).await;
        if written.is_ok() {
            self.attempt = Attempt::Later;
        }
        let outcomes = [
            (key, written),
            (last.clone(), self.writer.put(&last, &value, None).await),
        ];
        let mut failed = false;
        for (key, outcome) in outcomes {
            if let Err(error) = outcome {
                failed = true;
                self.complaints.add(&key, &ErrorChain(&error));
            }
        }
        if !failed {
            self.complaints.settle("process");
        }
    }

    /// Does the one thing about endpoints that this turn is for.
    async fn turn(&mut self) {
        let Some(endpoints) = &mut self.endpoints else {
            return;
        };
        let now = Instant::now();
        endpoints.due = now + jittered(endpoints.delay);
        match endpoints.knowledge {
            Knowledge::Current if !self.facts.has_changed().unwrap_or(false) => {}
            Knowledge::Current | Knowledge::None => {
                // Copied, so that whoever tells of the next thing does not wait for what is made of this.
                let facts = self.facts.borrow_and_update().clone();
                if !facts.are_whole() {
                    return;
                }
                endpoints.ledger.want(wanted(&facts, &self.keys));
                endpoints.knowledge = Knowledge::Current;
            }
        }
        if endpoints.history != self.writer.history() {
            // What was written before may be gone.
            endpoints.history = self.writer.history();
            endpoints.compare = now;
        }
        let outcome = if endpoints.compare <= now {
            endpoints.compare(&mut self.writer, &self.keys).await
        } else {
            endpoints.write(&mut self.writer).await
        };
        endpoints.ledger.turn();
        if outcome.is_ok() {
            endpoints.failures = 0;
            return;
        }
        let doubled = 2_u32.pow(endpoints.failures.min(10));
        endpoints.failures = endpoints.failures.saturating_add(1);
        let (shortest, longest) = BACKOFF;
        let pause = endpoints.delay.max((shortest * doubled).min(longest));
        endpoints.due = Instant::now() + jittered(pause);
    }
}

impl Endpoints {
    /// Begins with nothing known.
    fn new(delay: Duration, now: Instant) -> Self {
        Self {
            delay,
            ledger: Ledger::default(),
            knowledge: Knowledge::None,
            due: now + jittered(delay),
            compare: now,
            history: 0,
            failures: 0,
            complaints: Complaints::default(),
        }
    }

    /// Compares what is stored with what is wanted.
    async fn compare(&mut self, writer: &mut EtcdWriter, keys: &Keys) -> Result<(), Failed> {
        let outcome = self.look(writer, keys).await;
        self.history = writer.history();
        let now = Instant::now();
        match outcome {
            Ok(found) => {
                self.compare = now + jittered(self.delay.saturating_mul(COMPARED_EVERY));
                if found == Found::default() {
                    debug!("the stored statuses of endpoints are right");
                } else {
                    info!(
                        wrong = found.wrong,
                        stale = found.stale,
                        missing = found.missing,
                        "correcting the stored statuses of endpoints"
                    );
                }
                self.settle();
                Ok(())
            }
            Err(failed) => {
                self.compare = now + COMPARE_AGAIN;
                Err(failed)
            }
        }
    }

    async fn look(&mut self, writer: &mut EtcdWriter, keys: &Keys) -> Result<Found, Failed> {
        let mut comparison = self.ledger.compare();
        let mut pages = 0;
        for prefix in keys.prefixes() {
            let end = end_of(&prefix);
            let mut from = Some(prefix.clone().into_bytes());
            while let Some(start) = from {
                let page = writer.page(&start, &end).await.map_err(|error| {
                    self.complaints.add(&prefix, &ErrorChain(&error));
                    Failed
                })?;
                for pair in &page.pairs {
                    let key = std::str::from_utf8(&pair.key).ok();
                    if let Some(key) = key.filter(|key| keys.is_endpoint(key)) {
                        comparison.stored(key, status(&pair.value));
                    }
                }
                pages += 1;
                if pages == MOST_PAGES && page.next.is_some() {
                    self.complaints
                        .add(&prefix, &"there are more keys than any host has endpoints");
                    return Err(Failed);
                }
                from = page.next;
            }
        }
        Ok(comparison.finish())
    }

    /// Writes what is due next.
    async fn write(&mut self, writer: &mut EtcdWriter) -> Result<(), Failed> {
        let Some(write) = self.ledger.next() else {
            return Ok(());
        };
        let outcome = match write.status {
            Some(status) => writer.put(&write.key, &value(status), None).await,
            None => writer.delete(&write.key).await,
        };
        match outcome {
            Ok(()) => {
                self.ledger.written(&write);
                self.settle();
                Ok(())
            }
            Err(error) => {
                self.complaints.add(&write.key, &ErrorChain(&error));
                Err(Failed)
            }
        }
    }

    /// Says that nothing fails any more, if nothing is left to be written.
    fn settle(&mut self) {
        if self.ledger.is_settled() {
            self.complaints.settle("endpoints");
        }
    }
}

/// Returns the keys that should be there.
fn wanted(facts: &Facts, keys: &Keys) -> BTreeMap<String, Status> {
    let statuses = facts.statuses().into_iter();
    statuses
        .map(|(endpoint, status)| (keys.endpoint(&endpoint), status))
        .collect()
}

/// Waits for a time; without one, for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Returns a time up to a tenth longer, so that the hosts of a cluster do not write in step.
fn jittered(time: Duration) -> Duration {
    let share = u32::try_from(RandomState::new().hash_one(0) % 1024).unwrap_or(0);
    time.saturating_add(time / 10_240 * share)
}
