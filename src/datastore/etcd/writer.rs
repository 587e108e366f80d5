//! Single requests to a cluster, beside the watch that follows it.

use std::fmt;
use std::time::Duration;

use etcd_client::{
    Client, DeleteOptions, Error as EtcdError, GetOptions, PutOptions, ResponseHeader,
};
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::connection::{Certificates, connect, refused, silent};
use super::point::Point;
use super::settings::EtcdSettings;
use super::snapshot::is_too_large;
use super::source::{CERTIFICATES_INTERVAL, random};
use crate::datastore::error::Error;

/// How long one request may take, as Felix has it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How many keys are asked for at a time.
const PAGE: i64 = 256;
/// What etcd says where the users were changed after a token was given.
const OLD_TOKEN: &str = "revision of auth store is old";

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Some of the keys of a range, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys and their values.
    pub pairs: Vec<Pair>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Vec<u8>>,
}

/// Writes, deletes and lists keys of a cluster, one request at a time.
///
/// It connects when something is first asked of it, to the next member after a failure, and anew when the files of
/// TLS have changed.
pub struct EtcdWriter {
    settings: EtcdSettings,
    line: Option<Line>,
    /// Which member is tried, counted on without end.
    member: usize,
    /// The cluster and the revision that were last seen.
    seen: Option<Point>,
    history: u64,
}

/// A connection.
struct Line {
    client: Client,
    certificates: Certificates,
    /// When the files of TLS were last looked at.
    looked: Instant,
}

impl fmt::Debug for EtcdWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdWriter").finish_non_exhaustive()
    }
}

impl EtcdWriter {
    /// Makes one that is not connected.
    pub fn new(settings: EtcdSettings) -> Self {
        Self {
            settings,
            line: None,
            // The hosts of a cluster begin with different members.
            member: random(),
            seen: None,
            history: 0,
        }
    }

    /// Returns a number that differs from what it was when what was written before may be gone: the connection is
    /// another one, or the cluster is, or it has gone back in time.
    pub fn history(&self) -> u64 {
        self.history
    }

    /// Writes a key; with a life it is gone after that unless it is written again.
    ///
    /// # Errors
    /// Fails where no member can be reached, or one refuses it.
    pub async fn put(
        &mut self,
        key: &str,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<(), Error> {
        let answer = self
            .ask(async |client| {
                let options = match life {
                    Some(life) => {
                        // Leases are counted in whole seconds.
                        let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX).max(1);
                        let lease = client.lease_client().grant(seconds, None).await?;
                        Some(PutOptions::new().with_lease(lease.id()))
                    }
                    None => None,
                };
                client.kv_client().put(key, value, options).await
            })
            .await?;
        let answer = answer.map_err(|error| refused(self.url(), &error))?;
        self.note(answer.header());
        Ok(())
    }

    /// Deletes a key; one that does not exist is no fault.
    ///
    /// # Errors
    /// Fails where no member can be reached, or one refuses it.
    pub async fn delete(&mut self, key: &str) -> Result<(), Error> {
        let answer = self
            .ask(async |client| {
                let options: Option<DeleteOptions> = None;
                client.kv_client().delete(key, options).await
            })
            .await?;
        let answer = answer.map_err(|error| refused(self.url(), &error))?;
        self.note(answer.header());
        Ok(())
    }

    /// Reads the first keys of a range that ends before `end`.
    ///
    /// # Errors
    /// Fails where no member can be reached, or one refuses it.
    pub async fn page(&mut self, from: &[u8], end: &[u8]) -> Result<Page, Error> {
        let mut limit = PAGE;
        loop {
            let options = GetOptions::new().with_range(end).with_limit(limit);
            let answer = self
                .ask(async |client| client.kv_client().get(from, Some(options)).await)
                .await?;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if limit > 1 && is_too_large(&error) => {
                    limit /= 4;
                    continue;
                }
                Err(error) => return Err(refused(self.url(), &error)),
            };
            self.note(answer.header());
            let pairs: Vec<Pair> = answer
                .kvs()
                .iter()
                .map(|pair| Pair {
                    key: pair.key().to_vec(),
                    value: pair.value().to_vec(),
                })
                .collect();
            // The next key is the first that is greater.
            let next = pairs.last().filter(|_| answer.more());
            let next = next.map(|last| [last.key.as_slice(), &[0]].concat());
            return Ok(Page { pairs, next });
        }
    }

    /// Asks a member something; what it refuses is within the answer.
    async fn ask<T>(
        &mut self,
        request: impl AsyncFnOnce(Client) -> Result<T, EtcdError>,
    ) -> Result<Result<T, EtcdError>, Error> {
        let client = self.client().await?;
        match timeout(REQUEST_TIMEOUT, request(client)).await {
            Ok(Err(error)) if !is_refusal(&error) => {
                let error = refused(self.url(), &error);
                self.hang_up();
                Err(error)
            }
            Ok(answer) => Ok(answer),
            Err(_) => {
                let error = silent(self.url(), REQUEST_TIMEOUT);
                self.hang_up();
                Err(error)
            }
        }
    }

    /// Returns a client that is connected.
    async fn client(&mut self) -> Result<Client, Error> {
        match &mut self.line {
            Some(line) if line.looked.elapsed() < CERTIFICATES_INTERVAL => {
                return Ok(line.client.clone());
            }
            Some(line) => {
                line.looked = Instant::now();
                // Who follows the cluster says what is wrong with files that have changed.
                let changed = Certificates::read(&self.settings.tls)
                    .ok()
                    .filter(|now| *now != line.certificates);
                if changed.is_none() {
                    return Ok(line.client.clone());
                }
            }
            None => {}
        }
        match (self.dial().await, &self.line) {
            (Ok(line), _) => {
                self.history += 1;
                Ok(self.line.insert(line).client.clone())
            }
            // The old connection does as long as the new files do not.
            (Err(_), Some(line)) => Ok(line.client.clone()),
            (Err(error), None) => {
                self.hang_up();
                Err(error)
            }
        }
    }

    async fn dial(&self) -> Result<Line, Error> {
        let certificates = Certificates::read(&self.settings.tls)?;
        let client = connect(self.url(), &self.settings, &certificates).await?;
        Ok(Line {
            client,
            certificates,
            looked: Instant::now(),
        })
    }

    /// Gives the connection up; the next member is tried next.
    fn hang_up(&mut self) {
        self.line = None;
        self.member = self.member.wrapping_add(1);
    }

    /// Returns the member that is asked.
    fn url(&self) -> &str {
        let count = self.settings.endpoints.len().max(1);
        let url = self.settings.endpoints.get(self.member % count);
        url.map_or("", String::as_str)
    }

    /// Takes in of which cluster and time an answer is.
    fn note(&mut self, header: Option<&ResponseHeader>) {
        let Ok(now) = Point::of(header, self.url()) else {
            return;
        };
        let broken = self.seen.and_then(|seen| seen.break_before(now));
        self.history += u64::from(broken.is_some());
        self.seen = Some(now);
    }
}

/// Tells whether a member that is well has refused something: another one would do the same. A token that is older than
/// the users is refused in the same words as what is wrong for good, and is not renewed on the connection.
fn is_refusal(error: &EtcdError) -> bool {
    if let EtcdError::GRpcStatus(status) = error {
        [
            Code::PermissionDenied,
            Code::InvalidArgument,
            Code::FailedPrecondition,
            Code::OutOfRange,
            Code::ResourceExhausted,
        ]
        .contains(&status.code())
            && !status.message().contains(OLD_TOKEN)
    } else {
        false
    }
}
