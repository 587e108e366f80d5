//! The source: a thread that connects, reads, watches, and begins again whenever that ends.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::thread;
use std::time::Duration;

use etcd_client::{
    Client, EventType, GetOptions, ResponseHeader, WatchOptions, WatchResponse, WatchStream,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

use super::connection::{Certificates, MAX_MESSAGE, connect, refused, silent};
use super::fold::Fold;
use super::fold::{Change, Message, News, Revisions};
use super::keys::{RANGE_END, V1_PREFIX, V3_PREFIX};
use super::settings::EtcdSettings;
use super::snapshot::{self, Snapshot};
use crate::datastore::directory::{Batch, Event};
use crate::datastore::error::Error;
use crate::telemetry::ErrorChain;

/// How many events may wait for whoever enforces them; then the watch is read no further.
const QUEUE: usize = 16;
/// The shortest and the longest wait before all members have been tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How long a connection must have held for the next wait to be short again.
const STEADY: Duration = Duration::from_secs(5);
/// How often a member is asked whether it still answers for its cluster.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// How long it may take to answer, and to begin a watch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files of TLS are looked at.
pub(super) const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(2);

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
            member: 0,
            failures: 0,
            told: None,
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
    /// What was to be watched is no longer kept: everything has to be read again.
    Compacted,
    /// The connection failed.
    Failed(Error),
}

/// A connection whose watch is followed.
struct Line {
    /// Dropping it would end the stream.
    _client: Client,
    watch: WatchStream,
    probe: JoinHandle<Error>,
    certificates: Certificates,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.probe.abort();
    }
}

/// What the thread holds.
struct Follower {
    settings: EtcdSettings,
    events: mpsc::Sender<Event>,
    asked: mpsc::Receiver<Request>,
    fold: Fold,
    /// The cluster and revision that were read last.
    known: Option<(u64, i64)>,
    standing: Standing,
    /// Which member is tried, counted on without end.
    member: usize,
    /// How many attempts in a row have failed.
    failures: usize,
    /// The last reason that was logged.
    told: Option<String>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let begun = Instant::now();
            match self.follow().await {
                Ended::Unwanted => return,
                Ended::Compacted => {
                    info!("resync: etcd no longer keeps what was to be watched; reading all again");
                }
                Ended::Failed(error) => {
                    if begun.elapsed() >= STEADY {
                        self.failures = 0;
                    }
                    self.failures += 1;
                    self.member = self.member.wrapping_add(1);
                    if !self.lose(&error).await || !self.pause().await {
                        return;
                    }
                }
            }
        }
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
        let standing = std::mem::replace(&mut self.standing, Standing::Lost);
        let again = self.told.replace(reason.clone());
        match standing {
            Standing::New | Standing::Connected => {
                self.events.send(Event::Lost { reason }).await.is_ok()
            }
            Standing::Lost => {
                if again.as_ref() == Some(&reason) {
                    debug!(reason, "etcd is still away");
                } else {
                    warn!(reason, "etcd is still away; what is in the kernel stays");
                }
                !self.events.is_closed()
            }
        }
    }

    /// Waits before the next attempt; tells whether there is to be one.
    async fn pause(&mut self) -> bool {
        let rounds = self.failures.saturating_sub(1) / self.settings.endpoints.len().max(1);
        let doubled = u32::try_from(rounds).unwrap_or(u32::MAX).min(10);
        let (shortest, longest) = BACKOFF;
        let wait = (shortest * 2_u32.pow(doubled)).min(longest);
        // A random half of it, so that the hosts of a cluster do not come back in step.
        let share = u32::try_from(RandomState::new().hash_one(0) % 512).unwrap_or(0);
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
        let client = connect(&url, &self.settings, &certificates).await?;
        let snapshot = snapshot::read(&client, &url).await?;
        let revision = snapshot.revision;
        // The watch is begun before what was read is told, so that a connection that cannot watch is no success.
        let mut line = self.open(&url, client, certificates, revision).await?;
        if !self.resynchronise(snapshot).await {
            return Ok(Ended::Unwanted);
        }
        let mut revisions = Revisions::after(revision);
        let mut look = interval(CERTIFICATES_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = line.watch.message() => {
                    let message = message
                        .map_err(|error| refused(&url, &error))?
                        .ok_or_else(|| Error::Refused {
                            url: url.clone(),
                            reason: "the watch has ended".to_owned(),
                        })?;
                    if let Some(ended) = self.hear(&url, &message, &mut revisions).await {
                        return Ok(ended);
                    }
                }
                failed = &mut line.probe => {
                    return Err(failed.unwrap_or_else(|_| silent(&url, ANSWER_TIMEOUT)));
                }
                asked = self.asked.recv() => match asked {
                    None => return Ok(Ended::Unwanted),
                    Some(Request::Reload) => look.reset_immediately(),
                },
                _ = look.tick() => Box::pin(self.renew(&url, &mut line, revisions.applied())).await,
            }
        }
    }

    /// Begins to watch on a connection, with what follows a revision.
    async fn open(
        &self,
        url: &str,
        client: Client,
        certificates: Certificates,
        after: i64,
    ) -> Result<Line, Error> {
        let options = WatchOptions::new()
            .with_range(RANGE_END)
            .with_start_revision(after + 1)
            .with_progress_notify()
            .with_fragment();
        let mut watcher = client.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let watch = timeout(ANSWER_TIMEOUT, watcher.watch(V3_PREFIX, Some(options)))
            .await
            .map_err(|_| silent(url, ANSWER_TIMEOUT))?
            .map_err(|error| refused(url, &error))?;
        let probe = tokio::spawn(probe(client.clone(), url.to_owned()));
        Ok(Line {
            _client: client,
            watch,
            probe,
            certificates,
        })
    }

    /// Goes over to what was read, and tells the difference; tells whether anybody listens.
    async fn resynchronise(&mut self, snapshot: Snapshot) -> bool {
        if let Some((cluster, revision)) = self.known {
            if cluster != snapshot.cluster {
                warn!("this is another etcd cluster than before; going over to what it holds");
            } else if revision > snapshot.revision {
                warn!(
                    before = revision,
                    now = snapshot.revision,
                    "etcd has gone back in time, as one restored from a copy; going over to what it holds"
                );
            }
        }
        self.known = Some((snapshot.cluster, snapshot.revision));
        let news = self.fold.replace(snapshot.fold);
        let standing = std::mem::replace(&mut self.standing, Standing::Connected);
        self.told = None;
        info!(
            url = self.url(),
            revision = snapshot.revision,
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
            return Some(Ended::Compacted);
        }
        if response.canceled() {
            return Some(Ended::Failed(Error::Refused {
                url: url.to_owned(),
                reason: format!("the watch was cancelled: {}", response.cancel_reason()),
            }));
        }
        if response.events().is_empty() {
            // Word of progress; what says that a watch has begun speaks of a revision that is still to come.
            if let Some(header) = response.header().filter(|_| !response.created()) {
                revisions.advance(header.revision());
            }
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
        self.known = self
            .known
            .map(|(cluster, _)| (cluster, revisions.applied()));
        let news = self.fold.settle();
        if news == News::default() || self.tell(news).await {
            None
        } else {
            Some(Ended::Unwanted)
        }
    }

    /// Goes over to a new connection if the files of TLS have changed; the old one stays where that fails.
    async fn renew(&mut self, url: &str, line: &mut Line, applied: i64) {
        let certificates = match Certificates::read(&self.settings.tls) {
            Ok(certificates) if certificates == line.certificates => return,
            Ok(certificates) => certificates,
            Err(error) => return self.keep(&error),
        };
        let renewed = match connect(url, &self.settings, &certificates).await {
            Ok(client) => match once(&client, url).await {
                Ok(_) => self.open(url, client, certificates, applied).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match renewed {
            Ok(renewed) => {
                *line = renewed;
                self.told = None;
                info!(
                    url,
                    "the certificates have changed: connected anew with them"
                );
            }
            Err(error) => self.keep(&error),
        }
    }

    /// Says that changed files cannot be used, once for each reason.
    fn keep(&mut self, error: &Error) {
        let reason = ErrorChain(error).to_string();
        if self.told.as_ref() != Some(&reason) {
            warn!(
                reason,
                "the certificates have changed and cannot be used; the connection stays"
            );
            self.told = Some(reason);
        }
    }
}

/// Asks a member something that it can only answer together with its cluster, and returns the cluster.
async fn once(client: &Client, url: &str) -> Result<u64, Error> {
    let mut kv = client.kv_client();
    let options = GetOptions::new().with_count_only();
    let key = format!("{V1_PREFIX}Ready");
    let answer = timeout(ANSWER_TIMEOUT, kv.get(key, Some(options)))
        .await
        .map_err(|_| silent(url, ANSWER_TIMEOUT))?
        .map_err(|error| refused(url, &error))?;
    Ok(answer.header().map_or(0, ResponseHeader::cluster_id))
}

/// Asks a member again and again, and returns what was wrong when it did not answer as before.
async fn probe(client: Client, url: String) -> Error {
    let mut cluster = None;
    loop {
        match once(&client, &url).await {
            Ok(now) if cluster.is_none_or(|before| before == now) => cluster = Some(now),
            Ok(_) => {
                return Error::Refused {
                    url,
                    reason: "it has become a member of another cluster".to_owned(),
                };
            }
            Err(error) => return error,
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
