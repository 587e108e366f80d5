//! Whether labels satisfy a selector.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::{Comparison, Membership, Node};

/// Something with labels.
pub trait Labels {
    /// Returns the value of the label `key`, or none if it has no such label.
    fn get(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn get(&self, key: &str) -> Option<&str> {
        BTreeMap::get(self, key).map(String::as_str)
    }
}

impl<L: Labels + ?Sized> Labels for &L {
    fn get(&self, key: &str) -> Option<&str> {
        (**self).get(key)
    }
}

impl<L: Labels + ?Sized> Labels for Arc<L> {
    fn get(&self, key: &str) -> Option<&str> {
        (**self).get(key)
    }
}

/// Labels of its own and labels that come from parents: its own win, then the first parent that has one.
#[derive(Debug, Clone, Copy)]
pub struct Inherited<'a, O = BTreeMap<String, String>, P = &'a BTreeMap<String, String>>
where
    O: ?Sized,
{
    /// Its own labels.
    pub own: &'a O,
    /// What it inherits from, the strongest first.
    pub parents: &'a [P],
}

impl<O: Labels + ?Sized, P: Labels> Labels for Inherited<'_, O, P> {
    fn get(&self, key: &str) -> Option<&str> {
        self.own
            .get(key)
            .or_else(|| self.parents.iter().find_map(|parent| parent.get(key)))
    }
}

impl Node {
    /// Tells whether `labels` satisfy the expression.
    pub(super) fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        match self {
            Self::All | Self::Global => true,
            Self::Has(label) => labels.get(label).is_some(),
            Self::Compare {
                label,
                comparison,
                value,
            } => comparison.holds(labels.get(label), value),
            Self::Within {
                label,
                membership,
                values,
            } => {
                let found = labels
                    .get(label)
                    .is_some_and(|actual| values.contains(actual));
                match membership {
                    Membership::In => found,
                    Membership::NotIn => !found,
                }
            }
            Self::Not(inner) => !inner.matches(labels),
            Self::And(nodes) => nodes.iter().all(|node| node.matches(labels)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(labels)),
        }
    }
}

impl Comparison {
    fn holds(self, actual: Option<&str>, value: &str) -> bool {
        match self {
            Self::Equal => actual == Some(value),
            Self::NotEqual => actual != Some(value),
            Self::Contains => actual.is_some_and(|actual| actual.contains(value)),
            Self::StartsWith => actual.is_some_and(|actual| actual.starts_with(value)),
            Self::EndsWith => actual.is_some_and(|actual| actual.ends_with(value)),
        }
    }
}
