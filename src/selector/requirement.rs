//! What labels must have for a selector to match, for an index to find candidates by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ast::{Comparison, Membership, Node};

/// A condition on one label, necessary for a selector to match and in general not sufficient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label has this value.
    Equals {
        /// The label's key.
        label: Arc<str>,
        /// Its value.
        value: Arc<str>,
    },
    /// The label has one of these values, two or more.
    OneOf {
        /// The label's key.
        label: Arc<str>,
        /// The values it may have.
        values: BTreeSet<Arc<str>>,
    },
    /// The label is there, with any value.
    Has {
        /// The label's key.
        label: Arc<str>,
    },
}

/// What one label must be.
#[derive(Debug, Clone)]
enum Condition {
    Present,
    /// One of these; never empty, since that is [`Needs::Impossible`].
    Among(BTreeSet<Arc<str>>),
}

/// What all labels that satisfy a node have in common.
enum Needs {
    /// Nothing satisfies the node.
    Impossible,
    /// Each of these labels is as its condition says.
    All(BTreeMap<Arc<str>, Condition>),
}

/// Which truth of a node is asked about.
#[derive(Clone, Copy)]
enum Wanted {
    True,
    False,
}

/// Picks the condition that the fewest labels satisfy: a value, few values, mere presence.
pub(super) fn requirement(node: &Node) -> Option<Requirement> {
    requirements(node)
        .into_iter()
        .min_by_key(|requirement| match requirement {
            Requirement::Equals { .. } => 1,
            Requirement::OneOf { values, .. } => values.len(),
            Requirement::Has { .. } => usize::MAX,
        })
}

/// Returns every condition that all labels satisfying a node have in common, in order of their keys.
pub(super) fn requirements(node: &Node) -> Vec<Requirement> {
    let conditions = match needs(node, Wanted::True) {
        Needs::Impossible => return Vec::new(),
        Needs::All(conditions) => conditions,
    };
    let found = conditions
        .into_iter()
        .map(|(label, condition)| match condition {
            Condition::Present => Requirement::Has { label },
            Condition::Among(mut values) => match values.pop_first() {
                Some(value) if values.is_empty() => Requirement::Equals { label, value },
                first => {
                    values.extend(first);
                    Requirement::OneOf { label, values }
                }
            },
        });
    found.collect()
}

fn needs(node: &Node, wanted: Wanted) -> Needs {
    match (node, wanted) {
        (Node::All | Node::Global, Wanted::False) => Needs::Impossible,
        (Node::Has(label), Wanted::True) => Needs::one(label, Condition::Present),
        (Node::All | Node::Global, Wanted::True) | (Node::Has(_), Wanted::False) => {
            Needs::nothing()
        }
        (
            Node::Compare {
                label,
                comparison,
                value,
            },
            _,
        ) => match (comparison, wanted) {
            (Comparison::Equal, Wanted::True) | (Comparison::NotEqual, Wanted::False) => {
                Needs::one(label, Condition::Among(BTreeSet::from([Arc::clone(value)])))
            }
            (
                Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith,
                Wanted::True,
            ) => Needs::one(label, Condition::Present),
            (Comparison::NotEqual, Wanted::True)
            | (
                Comparison::Equal
                | Comparison::Contains
                | Comparison::StartsWith
                | Comparison::EndsWith,
                Wanted::False,
            ) => Needs::nothing(),
        },
        (
            Node::Within {
                label,
                membership,
                values,
            },
            _,
        ) => match (membership, wanted) {
            (Membership::In, Wanted::True) | (Membership::NotIn, Wanted::False) => {
                Needs::one(label, Condition::Among(values.clone()))
            }
            (Membership::In, Wanted::False) | (Membership::NotIn, Wanted::True) => Needs::nothing(),
        },
        (Node::Not(inner), Wanted::True) => needs(inner, Wanted::False),
        (Node::Not(inner), Wanted::False) => needs(inner, Wanted::True),
        (Node::And(nodes), Wanted::True) | (Node::Or(nodes), Wanted::False) => nodes
            .iter()
            .map(|node| needs(node, wanted))
            .fold(Needs::nothing(), Needs::and),
        (Node::Or(nodes), Wanted::True) | (Node::And(nodes), Wanted::False) => nodes
            .iter()
            .map(|node| needs(node, wanted))
            .fold(Needs::Impossible, Needs::or),
    }
}

impl Needs {
    fn nothing() -> Self {
        Self::All(BTreeMap::new())
    }

    fn one(label: &Arc<str>, condition: Condition) -> Self {
        match condition {
            Condition::Among(values) if values.is_empty() => Self::Impossible,
            Condition::Among(_) | Condition::Present => {
                Self::All(BTreeMap::from([(Arc::clone(label), condition)]))
            }
        }
    }

    /// Returns the needs of what satisfies both.
    fn and(self, other: Self) -> Self {
        let (Self::All(mut conditions), Self::All(others)) = (self, other) else {
            return Self::Impossible;
        };
        for (label, theirs) in others {
            let condition = match (conditions.remove(&label), theirs) {
                (None | Some(Condition::Present), theirs) => theirs,
                (Some(ours @ Condition::Among(_)), Condition::Present) => ours,
                (Some(Condition::Among(mut ours)), Condition::Among(theirs)) => {
                    ours.retain(|value| theirs.contains(value));
                    if ours.is_empty() {
                        return Self::Impossible;
                    }
                    Condition::Among(ours)
                }
            };
            conditions.insert(label, condition);
        }
        Self::All(conditions)
    }

    /// Returns the needs of what satisfies one or the other.
    fn or(self, other: Self) -> Self {
        let (conditions, mut others) = match (self, other) {
            (Self::Impossible, needs) | (needs, Self::Impossible) => return needs,
            (Self::All(conditions), Self::All(others)) => (conditions, others),
        };
        let shared = conditions.into_iter().filter_map(|(label, ours)| {
            let theirs = others.remove(&label)?;
            let condition = match (ours, theirs) {
                (Condition::Among(mut ours), Condition::Among(theirs)) => {
                    ours.extend(theirs);
                    Condition::Among(ours)
                }
                (Condition::Present, _) | (_, Condition::Present) => Condition::Present,
            };
            Some((label, condition))
        });
        Self::All(shared.collect())
    }
}
