//! What is to be written next.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::facts::Status;

/// How many keys that nobody wants are kept in mind; what is beyond is found again.
const MOST_STALE: usize = 1000;

/// Something to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// The key.
    pub(super) key: String,
    /// Its status; `None` where the key is to be deleted.
    pub(super) status: Option<Status>,
}

/// The statuses that are wanted, and which of them are not known to be stored.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    wanted: BTreeMap<String, Status>,
    /// What has changed since the last turn, and waits for the next one: what flaps is written once.
    queued: BTreeSet<String>,
    /// What may be written.
    due: BTreeSet<String>,
    /// What was tried last, so that one that fails does not hold up the others.
    last: Option<String>,
}

impl Ledger {
    /// Takes in what is wanted now.
    pub(super) fn want(&mut self, wanted: BTreeMap<String, Status>) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let gone = before.keys().filter(|key| !self.wanted.contains_key(*key));
        let differs = |key: &&String| before.get(*key) != self.wanted.get(*key);
        let changed = self.wanted.keys().filter(differs).chain(gone);
        let queued = changed.filter(|key| !self.due.contains(*key));
        self.queued.extend(queued.cloned());
    }

    /// Returns what is to be written in this turn.
    pub(super) fn next(&mut self) -> Option<Write> {
        let after = self.last.take().and_then(|last| {
            let beyond = (Bound::Excluded(last), Bound::Unbounded);
            self.due.range(beyond).next().cloned()
        });
        let key = after.or_else(|| self.due.first().cloned())?;
        self.last = Some(key.clone());
        let status = self.wanted.get(&key).copied();
        Some(Write { key, status })
    }

    /// Takes in that something was written.
    pub(super) fn written(&mut self, write: &Write) {
        if self.wanted.get(&write.key).copied() == write.status {
            self.due.remove(&write.key);
        }
    }

    /// Ends a turn: what waited for the next one has waited.
    pub(super) fn turn(&mut self) {
        self.due.append(&mut self.queued);
    }

    /// Tells whether everything wanted is stored, as far as is known.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_empty() && self.queued.is_empty()
    }

    /// Begins to compare with what is stored.
    pub(super) fn compare(&mut self) -> Comparison<'_> {
        Comparison {
            missing: self.wanted.keys().cloned().collect(),
            ledger: self,
            found: Found::default(),
        }
    }
}

/// What a comparison has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Keys that hold something else than is wanted.
    pub(super) wrong: usize,
    /// Keys that nobody wants.
    pub(super) stale: usize,
    /// Keys that are wanted and not there.
    pub(super) missing: usize,
}

/// A comparison with what is stored, that may be given up: what was found until then holds.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    ledger: &'a mut Ledger,
    missing: BTreeSet<String>,
    found: Found,
}

impl Comparison<'_> {
    /// Takes in a key that is stored; `None` where its value is no status as we write it.
    pub(super) fn stored(&mut self, key: &str, status: Option<Status>) {
        self.missing.remove(key);
        let ledger = &mut *self.ledger;
        match ledger.wanted.get(key).copied() {
            Some(wanted) if Some(wanted) == status => {
                ledger.due.remove(key);
                ledger.queued.remove(key);
            }
            Some(_) => {
                self.found.wrong += 1;
                ledger.due.insert(key.to_owned());
            }
            None if ledger.due.len() < ledger.wanted.len() + MOST_STALE => {
                self.found.stale += 1;
                ledger.due.insert(key.to_owned());
            }
            None => {}
        }
    }

    /// Takes in that everything that is stored was told.
    pub(super) fn finish(mut self) -> Found {
        self.found.missing = self.missing.len();
        self.ledger.due.append(&mut self.missing);
        self.found
    }
}
