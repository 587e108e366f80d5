//! Talking to a cluster step by step, as commands do.

use std::fmt;
use std::time::Duration;

use etcd_client::{Client, Error as EtcdError, Txn, TxnResponse};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::connection::{Certificates, MAX_MESSAGE, refusal, refused, silent};
use super::contents::EtcdContents;
use super::line::approach;
use super::settings::EtcdSettings;
use super::snapshot::pairs;
use crate::datastore::error::Error;
use crate::telemetry::ErrorChain;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often everything is read again because the revision is no longer kept.
const ATTEMPTS: usize = 5;

/// A value, and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) revision: i64,
}

/// A connection to one member, with a runtime of its own.
pub(super) struct Connection {
    runtime: Runtime,
    client: Client,
    url: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to the first member that answers for its cluster.
    ///
    /// # Errors
    /// Fails where none does.
    pub(super) fn open(settings: &EtcdSettings) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let certificates = Certificates::read(&settings.tls)?;
        let mut failed = Vec::new();
        for url in &settings.endpoints {
            match runtime.block_on(approach(url, settings, certificates.clone())) {
                Ok((client, _)) => {
                    let url = url.clone();
                    return Ok(Self {
                        runtime,
                        client,
                        url,
                    });
                }
                Err(error) => failed.push(error),
            }
        }
        match failed.pop() {
            Some(only) if failed.is_empty() => Err(only),
            last => {
                let all = failed.iter().chain(&last);
                let all = all.map(|error: &Error| ErrorChain(error).to_string());
                Err(Error::NoMember(all.collect()))
            }
        }
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Fails where the member does.
    pub(super) fn get(&self, key: &str) -> Result<Option<Value>, Error> {
        self.runtime.block_on(value(&self.client, &self.url, key))
    }

    /// Makes a transaction.
    ///
    /// # Errors
    /// Fails where the member does; where it only has not answered, the transaction may have been made.
    pub(super) fn commit(&self, transaction: Txn) -> Result<TxnResponse, Error> {
        let mut kv = self.client.kv_client();
        self.runtime
            .block_on(answer(&self.url, kv.txn(transaction)))
    }

    /// Reads everything at one revision.
    ///
    /// # Errors
    /// Fails where the member does.
    pub(super) fn read(&self) -> Result<EtcdContents, Error> {
        for _ in 0..ATTEMPTS {
            let mut contents = EtcdContents::default();
            let read = pairs(&self.client, &self.url, |page| {
                for pair in page {
                    contents.put(pair.key(), pair.value(), pair.mod_revision());
                }
            });
            if let Some(point) = self.runtime.block_on(read)? {
                contents.settle(point.revision);
                return Ok(contents);
            }
        }
        let reason = "its history is compacted faster than it can be read".to_owned();
        Err(refusal(&self.url, reason))
    }
}

async fn value(client: &Client, url: &str, key: &str) -> Result<Option<Value>, Error> {
    let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
    let found = answer(url, kv.get(key, None)).await?;
    Ok(found.kvs().first().map(|pair| Value {
        bytes: pair.value().to_vec(),
        revision: pair.mod_revision(),
    }))
}

/// Waits for an answer.
async fn answer<T>(
    url: &str,
    asked: impl Future<Output = Result<T, EtcdError>>,
) -> Result<T, Error> {
    match timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(|error| refused(url, &error)),
        Err(_) => Err(silent(url, ANSWER_TIMEOUT)),
    }
}

impl EtcdContents {
    /// Reads everything that a cluster holds, at one revision.
    ///
    /// # Errors
    /// Fails where none of its members can be used.
    pub fn read(settings: &EtcdSettings) -> Result<Self, Error> {
        Connection::open(settings)?.read()
    }
}
