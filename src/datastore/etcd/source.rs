//! The source: a thread that connects, reads, watches, and begins again whenever that ends.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::thread;
use std::time::Duration;

use etcd_client::{EventType, WatchResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::connection::Certificates;
use super::fold::{Change, Fold, Message, News, Revisions};
use super::line::{Approach, Line, PROBE_INTERVAL, approach};
use super::point::Point;
use super::settings::EtcdSettings;
use super::snapshot::{self, Read, Snapshot};
use crate::datastore::directory::{Batch, Event};
use crate::datastore::error::Error;
use crate::telemetry::ErrorChain;

/// How many events may wait for whoever enforces them; then the watch is read no further.
const QUEUE: usize = 16;
/// The shortest and the longest wait before all members have been tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long a connection must have held for the next wait to be short again.
const STEADY: Duration = Duration::from_secs(5);
/// How often the files of TLS are looked at.
pub(super) const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(2);
/// How many reasons for a failure are remembered, so that each is told once.
const REASONS: usize = 32;

/// What the source is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Look at the files of TLS now, and do not wait to connect.
    Reload,
}

/// An etcd cluster that is read once and then followed.
#[derive(Debug)]
pub struct EtcdSource {
    events: mpsc::Receiver<Event>,
    requests: mpsc::Sender<Request>,
    ended: bool,
}

impl EtcdSource {
    /// Starts a thread that follows the cluster until the source is dropped.
    ///
    /// # Errors
    /// Fails where the thread cannot be started.
    pub fn open(settings: EtcdSettings) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (sender, events) = mpsc::channel(QUEUE);
        let (requests, asked) = mpsc::channel(1);
        let follower = Follower {
            settings,
            events: sender,
            asked,
            fold: Fold::default(),
            known: None,
            standing: Standing::New,
            // The hosts of a cluster begin with different members.
            member: random(),
            since: None,
            failures: 0,
            told: BTreeSet::new(),
            tried: None,
        };
        thread::Builder::new()
            .name("etcd".to_owned())
            .spawn(move || runtime.block_on(follower.run()))?;
        Ok(Self {
            events,
            requests,
            ended: false,
        })
    }

    /// Waits for the next event; nothing is lost where the wait is given up.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None if self.ended => std::future::pending().await,
            None => {
                self.ended = true;
                Event::Lost {
                    reason: "the thread that follows etcd has ended".to_owned(),
                }
            }
        }
    }

    /// Has the files of TLS read again.
    pub fn reload(&self) {
        // One that waits already does for this one too.
        let _ = self.requests.try_send(Request::Reload);
    }
}

/// What was told of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    New,
    /// It is lost.
    Lost,
    /// It stands.
    Connected,
}

/// Why following ended.
enum Ended {
    /// Nobody wants to know any more.
    Unwanted,
    /// What was to be had is no longer kept: everything has to be read again.
    Compacted {
        /// What was to be done with it.
        what: &'static str,
    },
    /// The connection failed.
    Failed(Error),
}

/// What the thread holds.
struct Follower {
    settings: EtcdSettings,
    events: mpsc::Sender<Event>,
    asked: mpsc::Receiver<Request>,
    fold: Fold,
    /// How far has been read.
    known: Option<Point>,
    standing: Standing,
    /// Which member is tried, counted on without end.
    member: usize,
    /// Since when the present connection has been followed.
    since: Option<Instant>,
    /// How many attempts in a row have failed.
    failures: usize,
    /// The reasons that were logged since a connection last stood.
    told: BTreeSet<String>,
    /// The files of TLS that were tried last beside a connection that stands, and when.
    tried: Option<(Certificates, Instant)>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            match self.follow().await {
                Ended::Unwanted => return,
                Ended::Compacted { what } => {
                    self.count_failure();
                    info!("resync: etcd no longer keeps what was to be {what}; reading all again");
                }
                Ended::Failed(error) => {
                    self.count_failure();
                    self.member = self.member.wrapping_add(1);
                    if !self.lose(&error).await {
                        return;
                    }
                }
            }
            if !self.pause().await {
                return;
            }
        }
    }

    /// Counts an attempt that failed, as the first one where what came before it held.
    fn count_failure(&mut self) {
        if self
            .since
            .take()
            .is_some_and(|since| since.elapsed() >= STEADY)
        {
            self.failures = 0;
        }
        self.failures += 1;
    }

    /// Returns the member that is to be tried.
    fn url(&self) -> &str {
        let count = self.settings.endpoints.len().max(1);
        let url = self.settings.endpoints.get(self.member % count);
        url.map_or("", String::as_str)
    }

    /// Says that the connection is lost; tells whether anybody listens.
    async fn lose(&mut self, error: &Error) -> bool {
        let reason = ErrorChain(error).to_string();
        let is_new = self.is_new(&reason);
        match std::mem::replace(&mut self.standing, Standing::Lost) {
            Standing::New | Standing::Connected => {
                self.events.send(Event::Lost { reason }).await.is_ok()
            }
            Standing::Lost => {
                if is_new {
                    warn!(reason, "etcd is still away; what is in the kernel stays");
                } else {
                    debug!(reason, "etcd is still away");
                }
                !self.events.is_closed()
            }
        }
    }

    /// Tells whether a reason has not been told yet, and remembers it.
    fn is_new(&mut self, reason: &str) -> bool {
        if self.told.len() >= REASONS {
            self.told.clear();
        }
        self.told.insert(reason.to_owned())
    }

    /// Waits before the next attempt; tells whether there is to be one.
    async fn pause(&mut self) -> bool {
        let rounds = self.failures.saturating_sub(1) / self.settings.endpoints.len().max(1);
        let doubled = u32::try_from(rounds).unwrap_or(u32::MAX).min(10);
        let (shortest, longest) = BACKOFF;
        let wait = (shortest * 2_u32.pow(doubled)).min(longest);
        // A random half of it, so that the hosts of a cluster do not come back in step.
        let share = u32::try_from(random() % 512).unwrap_or(0);
        let wait = wait / 2 + wait / 1024 * share;
        match timeout(wait, self.asked.recv()).await {
            Ok(None) => false,
            Ok(Some(Request::Reload)) | Err(_) => true,
        }
    }

    /// Connects, reads everything, and follows until something ends that.
    async fn follow(&mut self) -> Ended {
        Box::pin(self.try_follow())
            .await
            .unwrap_or_else(Ended::Failed)
    }

    async fn try_follow(&mut self) -> Result<Ended, Error> {
        let url = self.url().to_owned();
        let certificates = Certificates::read(&self.settings.tls)?;
        let first = approach(&url, &self.settings, certificates).await;
        let Some((mut line, snapshot)) = Box::pin(begin(&url, first)).await? else {
            return Ok(Ended::Compacted { what: "read" });
        };
        let mut revisions = Revisions::after(snapshot.point.revision);
        if !self.resynchronise(snapshot).await {
            return Ok(Ended::Unwanted);
        }
        self.since = Some(Instant::now());
        let mut connecting: JoinSet<Approach> = JoinSet::new();
        let mut look = every(CERTIFICATES_INTERVAL);
        let mut ask = every(PROBE_INTERVAL);
        loop {
            tokio::select! {
                message = line.next(&url) => {
                    if let Some(ended) = self.hear(&url, &message?, &mut revisions).await {
                        return Ok(ended);
                    }
                }
                _ = ask.tick() => line.ask(&url).await?,
                asked = self.asked.recv() => match asked {
                    None => return Ok(Ended::Unwanted),
                    Some(Request::Reload) => {
                        self.tried = None;
                        look.reset_immediately();
                    }
                },
                _ = look.tick(), if connecting.is_empty() => {
                    if let Some(changed) = self.changed_certificates(&line) {
                        let (url, settings) = (url.clone(), self.settings.clone());
                        connecting.spawn(async move { approach(&url, &settings, changed).await });
                    }
                }
                Some(Ok(approached)) = connecting.join_next() => {
                    // The old watch is not heard meanwhile, so that nothing goes back in time.
                    match Box::pin(begin(&url, approached)).await {
                        Ok(Some((renewed, snapshot))) => {
                            line = renewed;
                            revisions = Revisions::after(snapshot.point.revision);
                            info!(url, "the certificates have changed: connected anew with them");
                            if !self.resynchronise(snapshot).await {
                                return Ok(Ended::Unwanted);
                            }
                        }
                        Ok(None) => debug!("what was read with new certificates is no longer kept"),
                        Err(error) => self.keep(&error),
                    }
                }
            }
        }
    }

    /// Reads the files of TLS, and returns what they hold where that is not what a connection was made with.
    fn changed_certificates(&mut self, line: &Line) -> Option<Certificates> {
        match Certificates::read(&self.settings.tls) {
            Ok(certificates) if line.was_made_with(&certificates) => None,
            // Those that were refused may be accepted by and by; what they are refused for can be costly.
            Ok(certificates)
                if self.tried.as_ref().is_some_and(|(tried, at)| {
                    *tried == certificates && at.elapsed() < PROBE_INTERVAL
                }) =>
            {
                None
            }
            Ok(certificates) => {
                self.tried = Some((certificates.clone(), Instant::now()));
                Some(certificates)
            }
            Err(error) => {
                self.keep(&error);
                None
            }
        }
    }

    /// Goes over to what was read, and tells the difference; tells whether anybody listens.
    async fn resynchronise(&mut self, snapshot: Snapshot) -> bool {
        let point = snapshot.point;
        if let Some(broken) = self.known.and_then(|known| known.break_before(point)) {
            warn!(
                before = self.known.map(|known| known.revision),
                now = point.revision,
                "this etcd {broken}; going over to what it holds"
            );
        }
        self.known = Some(point);
        let news = self.fold.replace(snapshot.fold);
        let standing = std::mem::replace(&mut self.standing, Standing::Connected);
        self.told.clear();
        info!(
            url = self.url(),
            revision = point.revision,
            "following etcd"
        );
        let back = match standing {
            Standing::Lost => self.events.send(Event::Recovered).await.is_ok(),
            Standing::New | Standing::Connected => true,
        };
        back && self.tell(news).await
    }

    async fn tell(&self, news: News) -> bool {
        let batch = Batch {
            updates: news.updates,
            in_sync: true,
            problems: news.problems,
        };
        self.events.send(Event::Batch(batch)).await.is_ok()
    }

    /// Takes in a message of the watch.
    async fn hear(
        &mut self,
        url: &str,
        response: &WatchResponse,
        revisions: &mut Revisions,
    ) -> Option<Ended> {
        if response.compact_revision() > 0 {
            return Some(Ended::Compacted { what: "watched" });
        }
        if response.canceled() {
            return Some(Ended::Failed(Error::Refused {
                url: url.to_owned(),
                reason: format!("the watch was cancelled: {}", response.cancel_reason()),
            }));
        }
        if response.events().is_empty() {
            return None;
        }
        let message = if response.0.fragment {
            Message::Fragment
        } else {
            Message::Whole
        };
        let changes = response.events().iter().filter_map(|event| {
            let pair = event.kv()?;
            // Asked of the number itself, since the client ends the process at one that it does not know.
            let deleted = event.0.r#type == EventType::Delete as i32;
            Some(Change {
                revision: pair.mod_revision(),
                key: pair.key().to_vec(),
                value: (!deleted).then(|| pair.value().to_vec()),
            })
        });
        for change in revisions.take(changes.collect(), message) {
            self.fold.apply(&change);
        }
        if let Some(known) = &mut self.known {
            known.revision = revisions.applied();
        }
        let news = self.fold.settle();
        if news == News::default() || self.tell(news).await {
            None
        } else {
            Some(Ended::Unwanted)
        }
    }

    /// Says that changed files cannot be used, once for each reason.
    fn keep(&mut self, error: &Error) {
        let reason = ErrorChain(error).to_string();
        if self.is_new(&reason) {
            warn!(
                reason,
                "the certificates have changed and cannot be used; the connection stays"
            );
        }
    }
}

/// Reads everything on a connection, and begins to watch what follows it; `None` where that is no longer kept.
///
/// The watch is begun before what was read is told, so that a connection that cannot watch is no success.
async fn begin(url: &str, approached: Approach) -> Result<Option<(Line, Snapshot)>, Error> {
    let (client, certificates) = approached?;
    match snapshot::read(&client, url).await? {
        Read::Compacted => Ok(None),
        Read::All(snapshot) => {
            let line = Line::open(url, client, certificates, snapshot.point).await?;
            Ok(Some((line, snapshot)))
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Returns a number that nobody else has.
pub(super) fn random() -> usize {
    // Each state has keys of its own, from the system's source of randomness.
    usize::try_from(RandomState::new().hash_one(0)).unwrap_or(0)
}
