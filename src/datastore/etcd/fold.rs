//! What all keys come to, and what changes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::keys::{Part, Piece, Target};
use super::values::{Held, Outcome, composed, whole};
use crate::datastore::files::log;
use crate::datastore::share::share;
use crate::model::{Problem, Resource, ResourceKey, Update};

/// A key that was written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The revision of the store that did it.
    pub(super) revision: i64,
    /// The key.
    pub(super) key: Vec<u8>,
    /// Its value; `None` where it is gone.
    pub(super) value: Option<Vec<u8>>,
}

/// What is new since it was last asked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct News {
    /// The resources that are another thing now.
    pub(super) updates: Vec<Update>,
    /// Problems that were not there before.
    pub(super) problems: Vec<Problem>,
}

/// What a key and its value come to, whatever other keys say.
enum Decoded {
    /// A whole resource.
    Whole(ResourceKey, Outcome),
    /// A part of one.
    Piece(ResourceKey, Piece, Held),
}

impl Decoded {
    /// Decodes a value; `None` where the key is of no interest.
    fn of(key: &[u8], value: &[u8]) -> Option<Self> {
        let target = Target::of(key)?;
        let held = Held {
            key: String::from_utf8_lossy(key).into(),
            value: value.into(),
        };
        Some(match target.part {
            Part::Whole => {
                let outcome = whole(&target.key, &held);
                Self::Whole(target.key, outcome)
            }
            Part::Piece(piece) => Self::Piece(target.key, piece, held),
        })
    }
}

/// The resources that keys and values come to.
#[derive(Debug, Default)]
pub(super) struct Fold {
    outcomes: BTreeMap<ResourceKey, Outcome>,
    /// The parts of those resources that are kept under several keys.
    pieces: BTreeMap<ResourceKey, BTreeMap<Piece, Held>>,
    /// The resources whose parts have changed.
    stale: BTreeSet<ResourceKey>,
    /// What the changed ones were when they were last told.
    before: BTreeMap<ResourceKey, Outcome>,
}

impl Fold {
    /// Takes in that a key has a value.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        if let Some(read) = Decoded::of(key, value) {
            self.take(read);
        }
    }

    /// Takes in that keys have values, which come in their order; many are decoded on all cores.
    pub(super) fn put_all(&mut self, pairs: &[(&[u8], &[u8])]) {
        let decoded = share(pairs, |(key, value)| Decoded::of(key, value));
        for read in decoded.into_iter().flatten() {
            self.take(read);
        }
    }

    fn take(&mut self, read: Decoded) {
        match read {
            Decoded::Whole(key, outcome) => self.set(key, outcome),
            Decoded::Piece(key, piece, held) => {
                self.stale.insert(key.clone());
                self.pieces.entry(key).or_default().insert(piece, held);
            }
        }
    }

    /// Takes in that a key is gone.
    pub(super) fn delete(&mut self, key: &[u8]) {
        let Some(target) = Target::of(key) else {
            return;
        };
        match target.part {
            Part::Whole => self.set(target.key, Outcome::default()),
            Part::Piece(piece) => {
                if let Some(pieces) = self.pieces.get_mut(&target.key) {
                    pieces.remove(&piece);
                    if pieces.is_empty() {
                        self.pieces.remove(&target.key);
                    }
                    self.stale.insert(target.key);
                }
            }
        }
    }

    /// Takes in a change.
    pub(super) fn apply(&mut self, change: &Change) {
        match &change.value {
            Some(value) => self.put(&change.key, value),
            None => self.delete(&change.key),
        }
    }

    fn set(&mut self, key: ResourceKey, outcome: Outcome) {
        let before = if outcome == Outcome::default() {
            self.outcomes.remove(&key)
        } else {
            self.outcomes.insert(key.clone(), outcome)
        };
        self.before.entry(key).or_insert(before.unwrap_or_default());
    }

    fn compose(&mut self) {
        for key in std::mem::take(&mut self.stale) {
            let outcome = self
                .pieces
                .get(&key)
                .map(|pieces| composed(&key, pieces))
                .unwrap_or_default();
            self.set(key, outcome);
        }
    }

    /// Returns what has changed since the last time.
    pub(super) fn settle(&mut self) -> News {
        self.compose();
        let mut news = News::default();
        for (key, before) in std::mem::take(&mut self.before) {
            let now = self.outcomes.get(&key).cloned().unwrap_or_default();
            compare(key, &before, &now, &mut news);
        }
        news
    }

    /// Becomes what another fold is, and returns the difference.
    pub(super) fn replace(&mut self, mut other: Self) -> News {
        other.compose();
        other.before.clear();
        let mut old = std::mem::replace(self, other);
        // What was taken in and not told would otherwise be taken for known.
        for (key, before) in std::mem::take(&mut old.before) {
            old.outcomes.insert(key, before);
        }
        let mut news = News::default();
        for (key, now) in &mut self.outcomes {
            let before = old.outcomes.remove(key).unwrap_or_default();
            compare(key.clone(), &before, now, &mut news);
            if before.value == now.value {
                now.value = before.value;
            }
        }
        for (key, before) in old.outcomes {
            compare(key, &before, &Outcome::default(), &mut news);
        }
        news
    }

    /// Returns the resources, by key.
    #[cfg(test)]
    pub(super) fn resources(&self) -> BTreeMap<ResourceKey, Arc<Resource>> {
        self.outcomes
            .iter()
            .filter_map(|(key, outcome)| Some((key.clone(), outcome.value.clone()?)))
            .collect()
    }
}

/// Notes how a resource differs from what it was.
fn compare(key: ResourceKey, before: &Outcome, now: &Outcome, news: &mut News) {
    for problem in &now.problems {
        if !before.problems.contains(problem) {
            log(problem);
            news.problems.push(problem.clone());
        }
    }
    let value: Option<Arc<Resource>> = now.value.clone();
    if before.value != value {
        news.updates.push(Update { key, value });
    }
}

/// The changes of revisions that have been received in full.
///
/// A large revision comes in several messages, and half of it is never told.
#[derive(Debug)]
pub(super) struct Revisions {
    /// The last revision that was handed on.
    applied: i64,
    held: Vec<Change>,
}

impl Revisions {
    /// Begins after a revision.
    pub(super) fn after(applied: i64) -> Self {
        Self {
            applied,
            held: Vec::new(),
        }
    }

    /// Returns the last revision of which everything has been handed on.
    pub(super) fn applied(&self) -> i64 {
        self.applied
    }

    /// Takes in the changes of a message, in order of their revisions, and returns those of whole revisions.
    pub(super) fn take(&mut self, changes: Vec<Change>, message: Message) -> Vec<Change> {
        let applied = self.applied;
        self.held
            .extend(changes.into_iter().filter(|c| c.revision > applied));
        let last = self.held.last().map_or(applied, |change| change.revision);
        let rest = match message {
            Message::Whole => Vec::new(),
            Message::Fragment => {
                let whole = self.held.iter().filter(|c| c.revision < last).count();
                self.held.split_off(whole)
            }
        };
        let whole = std::mem::replace(&mut self.held, rest);
        if let Some(change) = whole.last() {
            self.applied = change.revision;
        }
        whole
    }
}

/// Whether a message is the last of its revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// No part of its last revision follows.
    Whole,
    /// More of its last revision may follow.
    Fragment,
}
