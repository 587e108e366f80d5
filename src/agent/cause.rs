//! What a round is for.

use std::collections::BTreeSet;
use std::time::Instant;

/// Why there may be something to apply, and since when.
#[derive(Debug, Default)]
pub(super) struct Cause {
    pub(super) triggers: BTreeSet<&'static str>,
    pub(super) since: Option<Instant>,
}

impl Cause {
    pub(super) fn new(trigger: &'static str) -> Self {
        Self {
            triggers: BTreeSet::from([trigger]),
            since: Some(Instant::now()),
        }
    }

    pub(super) fn add(&mut self, trigger: &'static str) {
        self.triggers.insert(trigger);
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_none(&self) -> bool {
        self.triggers.is_empty()
    }
}
