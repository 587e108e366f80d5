//! Failures, each of which is told once.

use std::collections::BTreeSet;
use std::fmt::Display;

use tracing::{debug, info, warn};

/// How many reasons are kept in mind.
const MOST: usize = 64;

/// What was told of failures in a row.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: BTreeSet<String>,
}

impl Complaints {
    /// Tells that something could not be done; a reason that was told before is not told again.
    pub(super) fn add(&mut self, subject: &dyn Display, reason: &dyn Display) {
        let reason = reason.to_string();
        if self.told.contains(&reason) || self.told.len() >= MOST {
            debug!(%subject, reason, "the status is not written");
        } else {
            warn!(
                %subject,
                reason,
                "the status is not written; it is tried again, and enforcement goes on"
            );
            self.told.insert(reason);
        }
    }

    /// Tells that nothing fails any more.
    pub(super) fn settle(&mut self, what: &str) {
        if !self.told.is_empty() {
            self.told.clear();
            info!(what, "the status is written again");
        }
    }
}
