//! What was last told of each key, so that only differences are told.

use std::collections::{BTreeMap, BTreeSet};

/// Keys whose value may have changed, and the values last told.
#[derive(Debug)]
pub(super) struct Tracker<K, V> {
    dirty: BTreeSet<K>,
    told: BTreeMap<K, V>,
}

/// A key with what was told of it and what is told instead; `None` stands for "does not exist".
#[derive(Debug)]
pub(super) struct Difference<K, V> {
    /// The key.
    pub(super) key: K,
    /// What was told.
    pub(super) old: Option<V>,
    /// What is told instead.
    pub(super) new: Option<V>,
}

impl<K: Ord + Clone, V: PartialEq + Clone> Tracker<K, V> {
    /// Makes a tracker that has told nothing.
    pub(super) fn new() -> Self {
        Self {
            dirty: BTreeSet::new(),
            told: BTreeMap::new(),
        }
    }

    /// Notes that the value of a key may have changed.
    pub(super) fn mark(&mut self, key: K) {
        self.dirty.insert(key);
    }

    /// Returns the values last told.
    pub(super) fn told(&self) -> &BTreeMap<K, V> {
        &self.told
    }

    /// Returns which of the marked keys differ from what was told.
    pub(super) fn take(
        &mut self,
        mut value: impl FnMut(&K, Option<&V>) -> Option<V>,
    ) -> Vec<Difference<K, V>> {
        let mut differences = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let old = self.told.get(&key);
            let new = value(&key, old);
            if old == new.as_ref() {
                continue;
            }
            let old = match &new {
                Some(new) => self.told.insert(key.clone(), new.clone()),
                None => self.told.remove(&key),
            };
            differences.push(Difference { key, old, new });
        }
        differences
    }
}
