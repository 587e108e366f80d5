//! Reading everything at one revision.

use std::time::Duration;

use etcd_client::{Client, Error as EtcdError, GetOptions, GetResponse, KvClient};
use tokio::time::timeout;

use super::connection::{MAX_MESSAGE, refused, silent};
use super::fold::Fold;
use super::keys::{RANGE_END, V3_PREFIX};
use crate::datastore::error::Error;

/// How many keys are asked for at a time.
const PAGE: i64 = 1000;
/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// What etcd says where a revision is no longer kept.
const COMPACTED: &str = "has been compacted";

/// All resources at one revision.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) fold: Fold,
    /// The revision.
    pub(super) revision: i64,
    /// The cluster that holds it.
    pub(super) cluster: u64,
}

/// Reads the whole range, page by page.
///
/// # Errors
/// Fails where the member does, or where the revision is compacted meanwhile.
pub(super) async fn read(client: &Client, url: &str) -> Result<Snapshot, Error> {
    let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
    let mut snapshot: Option<Snapshot> = None;
    let mut from = V3_PREFIX.as_bytes().to_vec();
    let mut limit = PAGE;
    loop {
        let revision = snapshot.as_ref().map_or(0, |snapshot| snapshot.revision);
        let page = match page(&mut kv, from.clone(), limit, revision, url).await? {
            Page::Read(page) => page,
            Page::TooLarge => {
                limit = (limit / 8).max(1);
                continue;
            }
        };
        let known = if let Some(known) = snapshot.as_mut() {
            known
        } else {
            let header = page.header().ok_or_else(|| headless(url))?;
            snapshot.insert(Snapshot {
                fold: Fold::default(),
                revision: header.revision(),
                cluster: header.cluster_id(),
            })
        };
        for pair in page.kvs() {
            known.fold.put(pair.key(), pair.value());
        }
        match page.kvs().last().filter(|_| page.more()) {
            // The next key is the first that is greater.
            Some(last) => from = [last.key(), &[0]].concat(),
            None => return snapshot.ok_or_else(|| headless(url)),
        }
    }
}

/// What came of asking for a page.
enum Page {
    Read(GetResponse),
    /// It was larger than what is read at a time.
    TooLarge,
}

async fn page(
    kv: &mut KvClient,
    from: Vec<u8>,
    limit: i64,
    revision: i64,
    url: &str,
) -> Result<Page, Error> {
    let options = GetOptions::new()
        .with_range(RANGE_END)
        .with_limit(limit)
        .with_revision(revision);
    let answer = timeout(PAGE_TIMEOUT, kv.get(from, Some(options)))
        .await
        .map_err(|_| silent(url, PAGE_TIMEOUT))?;
    match answer {
        Ok(page) => Ok(Page::Read(page)),
        Err(error) if limit > 1 && is_too_large(&error) => Ok(Page::TooLarge),
        Err(error) => Err(refused(url, &error)),
    }
}

fn headless(url: &str) -> Error {
    Error::Refused {
        url: url.to_owned(),
        reason: "the answer does not say its revision".to_owned(),
    }
}

/// Tells whether an answer was too large to be read; etcd uses the same code for what is compacted.
pub(super) fn is_too_large(error: &EtcdError) -> bool {
    if let EtcdError::GRpcStatus(status) = error {
        let large = [tonic::Code::OutOfRange, tonic::Code::ResourceExhausted];
        large.contains(&status.code()) && !status.message().contains(COMPACTED)
    } else {
        false
    }
}
