//! A connection whose watch is followed, and the questions that show that it lives.

use std::time::Duration;

use etcd_client::{Client, GetOptions, WatchOptions, WatchResponse, WatchStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::{Certificates, MAX_MESSAGE, connect, in_doubt, refusal, refused, silent};
use super::keys::{RANGE_END, V1_PREFIX, V3_PREFIX};
use super::point::Point;
use super::settings::EtcdSettings;
use crate::datastore::error::Error;

/// How often a member is asked whether it still answers for its cluster, and a watch how far it is.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// How long it may take to answer, and to begin a watch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of connecting, with the certificates that were used.
pub(super) type Approach = Result<(Client, Certificates), Error>;

/// Connects to a member and has it answer once.
pub(super) async fn approach(
    url: &str,
    settings: &EtcdSettings,
    certificates: Certificates,
) -> Approach {
    let client = connect(url, settings, &certificates).await?;
    once(&client, url).await.map_err(in_doubt)?;
    Ok((client, certificates))
}

/// A connection whose watch is followed.
pub(super) struct Line {
    /// Dropping it would end the stream.
    _client: Client,
    watch: WatchStream,
    probe: JoinHandle<Error>,
    certificates: Certificates,
    /// The cluster that is watched.
    cluster: u64,
    pulse: Pulse,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.probe.abort();
    }
}

impl Line {
    /// Begins to watch on a connection, with what follows a point.
    ///
    /// # Errors
    /// Fails where the member refuses, or does not answer in time.
    pub(super) async fn open(
        url: &str,
        client: Client,
        certificates: Certificates,
        after: Point,
    ) -> Result<Self, Error> {
        let options = WatchOptions::new()
            .with_range(RANGE_END)
            .with_start_revision(after.revision + 1)
            .with_fragment();
        let mut watcher = client.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let watch = timeout(ANSWER_TIMEOUT, watcher.watch(V3_PREFIX, Some(options)))
            .await
            .map_err(|_| silent(url, ANSWER_TIMEOUT))?
            .map_err(|error| refused(url, &error))?;
        let probe = tokio::spawn(probe(client.clone(), url.to_owned(), after));
        Ok(Self {
            _client: client,
            watch,
            probe,
            certificates,
            cluster: after.cluster,
            pulse: Pulse::default(),
        })
    }

    /// Tells whether these certificates are the ones in use.
    pub(super) fn was_made_with(&self, certificates: &Certificates) -> bool {
        self.certificates == *certificates
    }

    /// Waits for the next message; nothing is lost where the wait is given up.
    ///
    /// # Errors
    /// Fails where the watch ends or comes from another cluster, and where the member no longer answers, or answers
    /// for another history.
    pub(super) async fn next(&mut self, url: &str) -> Result<WatchResponse, Error> {
        let message = tokio::select! {
            message = self.watch.message() => message,
            failed = &mut self.probe => {
                return Err(failed.unwrap_or_else(|_| silent(url, ANSWER_TIMEOUT)));
            }
        };
        let message = message
            .map_err(|error| refused(url, &error))?
            .ok_or_else(|| refusal(url, "the watch has ended".to_owned()))?;
        if let Some(header) = message.header()
            && header.cluster_id() != self.cluster
        {
            let reason = "the watch belongs to another cluster than what was read";
            return Err(refusal(url, reason.to_owned()));
        }
        self.pulse.heard = if message.events().is_empty() && !message.created() {
            Heard::Answer
        } else {
            Heard::Change.max(self.pulse.heard)
        };
        Ok(message)
    }

    /// Asks the watch how far it is.
    ///
    /// # Errors
    /// Fails where it has always answered and no longer does.
    pub(super) async fn ask(&mut self, url: &str) -> Result<(), Error> {
        if !self.pulse.beat() {
            let reason = "the watch no longer says how far it is";
            return Err(refusal(url, reason.to_owned()));
        }
        timeout(ANSWER_TIMEOUT, self.watch.request_progress())
            .await
            .map_err(|_| silent(url, ANSWER_TIMEOUT))?
            .map_err(|error| refused(url, &error))
    }
}

/// What a watch has said since it was last asked, least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    /// Nothing.
    #[default]
    Nothing,
    /// What it tells of itself.
    Change,
    /// How far it is.
    Answer,
}

/// Whether a watch still says how far it is when it is asked.
///
/// A proxy may not know the question, and a member that is behind answers late; so silence means something only after
/// answers, and only when it lasts.
#[derive(Debug, Default)]
struct Pulse {
    heard: Heard,
    /// How many questions in a row were answered.
    answered: usize,
    /// For how many questions there has been nothing since.
    silent: usize,
}

/// After how many answers silence means something: more than the servers give unasked between two questions.
const CUSTOMARY: usize = 2;
/// How many questions a watch may leave unanswered.
const PATIENCE: usize = 2;

impl Pulse {
    /// Notes what came of the last question, and tells whether the watch is alive.
    fn beat(&mut self) -> bool {
        match std::mem::take(&mut self.heard) {
            Heard::Answer => {
                self.answered = self.answered.saturating_add(1);
                self.silent = 0;
            }
            Heard::Change => self.silent = 0,
            Heard::Nothing if self.answered >= CUSTOMARY => self.silent += 1,
            Heard::Nothing => self.answered = 0,
        }
        self.silent <= PATIENCE
    }
}

/// Asks a member something that it can only answer together with its cluster, and returns at which point it stands.
async fn once(client: &Client, url: &str) -> Result<Point, Error> {
    let mut kv = client.kv_client();
    let options = GetOptions::new().with_count_only();
    let key = format!("{V1_PREFIX}Ready");
    let answer = timeout(ANSWER_TIMEOUT, kv.get(key, Some(options)))
        .await
        .map_err(|_| silent(url, ANSWER_TIMEOUT))?
        .map_err(|error| refused(url, &error))?;
    Point::of(answer.header(), url)
}

/// Asks a member again and again, and returns what was wrong when it did not answer as before.
async fn probe(client: Client, url: String, begun: Point) -> Error {
    let mut known = begun;
    loop {
        let answered = once(&client, &url).await;
        match answered.and_then(|now| known.require_before(now, &url).map(|()| now)) {
            Ok(now) => known = now,
            Err(error) => return error,
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells for each question whether the watch counts as alive after what was heard since the one before.
    fn beats(heard: &[Heard]) -> Vec<bool> {
        let mut pulse = Pulse::default();
        let beat = |heard: &Heard| {
            pulse.heard = *heard;
            pulse.beat()
        };
        heard.iter().map(beat).collect()
    }

    #[test]
    fn a_watch_that_has_answered_and_is_silent_is_dead() {
        use Heard::{Answer, Change, Nothing};
        assert_eq!(
            beats(&[Answer, Answer, Nothing, Nothing, Nothing]),
            [true, true, true, true, false]
        );
        let behind = [Answer, Answer, Nothing, Nothing, Change, Nothing, Nothing];
        assert_eq!(beats(&behind), [true; 7]);
    }

    #[test]
    fn a_watch_that_never_answers_is_not_held_dead() {
        use Heard::{Answer, Change, Nothing};
        assert_eq!(beats(&[Nothing; 9]), [true; 9]);
        // As a server that tells of itself now and then.
        let now_and_then = [Answer, Nothing, Nothing, Answer, Nothing, Nothing, Nothing];
        assert_eq!(beats(&now_and_then), [true; 7]);
        assert_eq!(beats(&[Change, Nothing, Nothing, Nothing]), [true; 4]);
    }
}
