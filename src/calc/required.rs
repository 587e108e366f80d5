//! Selectors found by what they require.

use std::collections::BTreeSet;

use super::label_index::SelectorId;
use super::lookup::{ByLabel, ByText};
use crate::selector::Requirement;

/// Selectors, each under one requirement: whoever does not meet it is not selected.
#[derive(Debug, Default)]
pub(super) struct Required {
    /// By a label and value, one of possibly several values.
    by_value: ByLabel,
    /// By a label with whatever value.
    by_label: ByText,
    /// Those that require nothing that can be looked up.
    nothing: BTreeSet<SelectorId>,
}

impl Required {
    /// Adds a selector under its requirement.
    pub(super) fn insert(&mut self, requirement: Option<&Requirement>, id: SelectorId) {
        match requirement {
            Some(Requirement::Equals { label, value }) => self.by_value.insert(label, value, id),
            Some(Requirement::OneOf { label, values }) => {
                for value in values {
                    self.by_value.insert(label, value, id);
                }
            }
            Some(Requirement::Has { label }) => self.by_label.insert(label, id),
            None => {
                self.nothing.insert(id);
            }
        }
    }

    /// Takes away a selector from under its requirement.
    pub(super) fn remove(&mut self, requirement: Option<&Requirement>, id: SelectorId) {
        match requirement {
            Some(Requirement::Equals { label, value }) => self.by_value.remove(label, value, id),
            Some(Requirement::OneOf { label, values }) => {
                for value in values {
                    self.by_value.remove(label, value, id);
                }
            }
            Some(Requirement::Has { label }) => self.by_label.remove(label, id),
            None => {
                self.nothing.remove(&id);
            }
        }
    }

    /// Returns how many selectors stand under a requirement.
    pub(super) fn count(&self, requirement: &Requirement) -> usize {
        let with_value = |label, value| self.by_value.get(label, value).map_or(0, BTreeSet::len);
        match requirement {
            Requirement::Equals { label, value } => with_value(label, value),
            Requirement::OneOf { label, values } => {
                values.iter().map(|value| with_value(label, value)).sum()
            }
            Requirement::Has { label } => self.by_label.get(label).map_or(0, BTreeSet::len),
        }
    }

    /// Returns the selectors whose requirement one of these labels meets, in several sets.
    pub(super) fn met_by<'a, 'b>(
        &'a self,
        labels: impl Iterator<Item = (&'b str, &'b str)>,
    ) -> impl Iterator<Item = &'a BTreeSet<SelectorId>> {
        let met = labels.flat_map(|(label, value)| {
            let by_value = self.by_value.get(label, value);
            let by_label = self.by_label.get(label);
            by_value.into_iter().chain(by_label)
        });
        met.chain(std::iter::once(&self.nothing))
    }
}
