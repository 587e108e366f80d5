//! Where the history of a cluster stands.

use etcd_client::ResponseHeader;

use super::connection::refusal;
use crate::datastore::error::Error;

/// A point in the history of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// The cluster's identity, which a copy that is restored can have too.
    pub(super) cluster: u64,
    /// How many changes it has seen.
    pub(super) revision: i64,
}

impl Point {
    /// Returns the point at which an answer was given.
    ///
    /// # Errors
    /// Fails where the answer does not say it.
    pub(super) fn of(header: Option<&ResponseHeader>, url: &str) -> Result<Self, Error> {
        let header = header
            .ok_or_else(|| refusal(url, "the answer does not say its revision".to_owned()))?;
        Ok(Self {
            cluster: header.cluster_id(),
            revision: header.revision(),
        })
    }

    /// Returns why a point that was seen later cannot come after this one, if it cannot.
    pub(super) fn break_before(self, later: Self) -> Option<&'static str> {
        if self.cluster != later.cluster {
            Some("belongs to another cluster than before")
        } else if self.revision > later.revision {
            Some("has gone back in time, as one restored from a copy")
        } else {
            None
        }
    }

    /// Requires that a point that was seen later comes after this one.
    ///
    /// # Errors
    /// Fails where it does not.
    pub(super) fn require_before(self, later: Self, url: &str) -> Result<(), Error> {
        match self.break_before(later) {
            None => Ok(()),
            Some(broken) => Err(refusal(url, format!("it {broken}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_history_is_found_by_its_cluster_or_by_an_earlier_revision() {
        let point = |cluster, revision| Point { cluster, revision };
        let known = point(7, 20);
        assert_eq!(known.break_before(point(7, 20)), None);
        assert_eq!(known.break_before(point(7, 21)), None);
        let restored = known.break_before(point(7, 4));
        assert!(restored.is_some_and(|broken| broken.contains("back in time")));
        let other = known.break_before(point(8, 21));
        assert!(other.is_some_and(|broken| broken.contains("another cluster")));
    }
}
