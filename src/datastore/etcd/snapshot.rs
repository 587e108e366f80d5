//! Reading everything at one revision.

use std::time::Duration;

use etcd_client::{Client, Error as EtcdError, GetOptions, GetResponse, KeyValue, KvClient};
use tokio::time::timeout;
use tonic::Code;

use super::connection::{MAX_MESSAGE, refused, silent};
use super::fold::Fold;
use super::keys::{RANGE_END, V3_PREFIX};
use super::point::Point;
use crate::datastore::error::Error;

/// How many keys are asked for at first, before it is known how large their values are.
const FIRST_PAGE: usize = 16;
/// The most keys that are asked for at a time.
const LARGEST_PAGE: usize = 1000;
/// How many bytes a page should have.
const PAGE_SIZE: usize = 1 << 20;
/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// What etcd says where a revision is no longer kept.
const COMPACTED: &str = "has been compacted";

/// What came of reading.
#[derive(Debug)]
pub(super) enum Read {
    /// All of it.
    All(Snapshot),
    /// The revision was compacted meanwhile: what was read is of no use.
    Compacted,
}

/// All resources at one revision.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) fold: Fold,
    /// The cluster and the revision.
    pub(super) point: Point,
}

/// Reads all resources.
///
/// # Errors
/// Fails where the member does.
pub(super) async fn read(client: &Client, url: &str) -> Result<Read, Error> {
    let mut fold = Fold::default();
    let read = pairs(client, url, |page| {
        let pairs: Vec<_> = page.iter().map(|pair| (pair.key(), pair.value())).collect();
        fold.put_all(&pairs);
    })
    .await?;
    Ok(match read {
        Some(point) => Read::All(Snapshot { fold, point }),
        None => Read::Compacted,
    })
}

/// Reads the whole range, page by page, at one revision, and returns which; `None` where it was compacted meanwhile.
///
/// # Errors
/// Fails where the member does.
pub(super) async fn pairs(
    client: &Client,
    url: &str,
    mut take: impl FnMut(&[KeyValue]),
) -> Result<Option<Point>, Error> {
    let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE);
    let mut begun: Option<Point> = None;
    let mut from = V3_PREFIX.as_bytes().to_vec();
    let mut limit = FIRST_PAGE;
    loop {
        let revision = begun.map_or(0, |point| point.revision);
        let page = match page(&mut kv, from.clone(), limit, revision, url).await? {
            Page::Read(page) => page,
            Page::TooLarge => {
                limit = (limit / 8).max(1);
                continue;
            }
            Page::Compacted => return Ok(None),
        };
        let now = Point::of(page.header(), url)?;
        let point = *begun.get_or_insert(now);
        point.require_before(now, url)?;
        let mut size = 0;
        for pair in page.kvs() {
            size += pair.key().len() + pair.value().len();
        }
        take(page.kvs());
        limit = next_limit(limit, page.kvs().len(), size);
        match page.kvs().last().filter(|_| page.more()) {
            // The next key is the first that is greater.
            Some(last) => from = [last.key(), &[0]].concat(),
            None => return Ok(Some(point)),
        }
    }
}

/// Returns how many keys to ask for after a page, so that the next one has about the size that it should.
///
/// It grows by steps, since the values that come next may be larger than those that came.
fn next_limit(limit: usize, keys: usize, size: usize) -> usize {
    let fitting = PAGE_SIZE / (size / keys.max(1)).max(1);
    fitting.min(limit * 8).clamp(1, LARGEST_PAGE)
}

/// What came of asking for a page.
enum Page {
    Read(GetResponse),
    /// It was larger than what is read at a time.
    TooLarge,
    /// The revision is no longer kept.
    Compacted,
}

async fn page(
    kv: &mut KvClient,
    from: Vec<u8>,
    limit: usize,
    revision: i64,
    url: &str,
) -> Result<Page, Error> {
    let options = GetOptions::new()
        .with_range(RANGE_END)
        .with_limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .with_revision(revision);
    let answer = timeout(PAGE_TIMEOUT, kv.get(from, Some(options)))
        .await
        .map_err(|_| silent(url, PAGE_TIMEOUT))?;
    match answer {
        Ok(page) => Ok(Page::Read(page)),
        Err(error) if is_compacted(&error) => Ok(Page::Compacted),
        Err(error) if limit > 1 && is_too_large(&error) => Ok(Page::TooLarge),
        Err(error) => Err(refused(url, &error)),
    }
}

/// Tells whether a revision is no longer kept.
fn is_compacted(error: &EtcdError) -> bool {
    if let EtcdError::GRpcStatus(status) = error {
        status.code() == Code::OutOfRange && status.message().contains(COMPACTED)
    } else {
        false
    }
}

/// Tells whether an answer was too large to be read; etcd uses one of the codes for what is compacted, too.
pub(super) fn is_too_large(error: &EtcdError) -> bool {
    if let EtcdError::GRpcStatus(status) = error {
        [Code::OutOfRange, Code::ResourceExhausted].contains(&status.code())
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_grows_by_steps_and_shrinks_at_once() {
        assert_eq!(next_limit(16, 16, 16 * 200), 128);
        assert_eq!(next_limit(128, 128, 128 * 200), LARGEST_PAGE);
        assert_eq!(
            next_limit(LARGEST_PAGE, LARGEST_PAGE, LARGEST_PAGE * 200),
            LARGEST_PAGE
        );
        assert_eq!(next_limit(LARGEST_PAGE, 16, 8 << 20), 2);
        assert_eq!(next_limit(1, 1, 8 << 20), 1);
        assert_eq!(next_limit(2, 2, 2), 16);
        assert_eq!(next_limit(16, 0, 0), 128);
    }
}
