//! Numbers found by texts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Numbers by label and value.
#[derive(Debug, Default)]
pub(super) struct ByLabel(HashMap<Box<str>, BTreeMap<Box<str>, BTreeSet<u32>>>);

impl ByLabel {
    /// Adds a number to those of a label and value.
    pub(super) fn insert(&mut self, label: &str, value: &str, id: u32) {
        // Looked up by reference first: most labels and values are known already.
        if let Some(ids) = self
            .0
            .get_mut(label)
            .and_then(|values| values.get_mut(value))
        {
            ids.insert(id);
            return;
        }
        self.0
            .entry(label.into())
            .or_default()
            .entry(value.into())
            .or_default()
            .insert(id);
    }

    /// Takes a number from those of a label and value.
    pub(super) fn remove(&mut self, label: &str, value: &str, id: u32) {
        let Some(values) = self.0.get_mut(label) else {
            return;
        };
        let Some(ids) = values.get_mut(value) else {
            return;
        };
        ids.remove(&id);
        if ids.is_empty() {
            values.remove(value);
        }
        if values.is_empty() {
            self.0.remove(label);
        }
    }

    /// Returns the numbers of a label and value.
    pub(super) fn get(&self, label: &str, value: &str) -> Option<&BTreeSet<u32>> {
        self.0.get(label)?.get(value)
    }

    /// Returns the numbers of a label with whatever value.
    pub(super) fn with_label(&self, label: &str) -> impl Iterator<Item = u32> + '_ {
        self.0
            .get(label)
            .into_iter()
            .flat_map(|values| values.values().flatten().copied())
    }
}

/// Numbers by one text.
#[derive(Debug, Default)]
pub(super) struct ByText(HashMap<Box<str>, BTreeSet<u32>>);

impl ByText {
    /// Adds a number to those of a text.
    pub(super) fn insert(&mut self, text: &str, id: u32) {
        self.0.entry(text.into()).or_default().insert(id);
    }

    /// Takes a number from those of a text.
    pub(super) fn remove(&mut self, text: &str, id: u32) {
        if let Some(ids) = self.0.get_mut(text) {
            ids.remove(&id);
            if ids.is_empty() {
                self.0.remove(text);
            }
        }
    }

    /// Returns the numbers of a text.
    pub(super) fn get(&self, text: &str) -> Option<&BTreeSet<u32>> {
        self.0.get(text)
    }
}
