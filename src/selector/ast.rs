//! The expression and its canonical text.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::lex;

/// How one label's value is compared with one string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
}

/// Whether one label's value is among several strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    In,
    NotIn,
}

/// A parsed selector.
///
/// `Not` never holds a `Not` (see [`Node::negated`]), and `And` and `Or` hold two operands or more, so
/// equal canonical texts mean equal nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    All,
    Global,
    Has(Arc<str>),
    Compare {
        label: Arc<str>,
        comparison: Comparison,
        value: Arc<str>,
    },
    Within {
        label: Arc<str>,
        membership: Membership,
        values: BTreeSet<Arc<str>>,
    },
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

impl Node {
    /// Returns the opposite, taking an existing negation away rather than adding a second.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            Self::All
            | Self::Global
            | Self::Has(_)
            | Self::Compare { .. }
            | Self::Within { .. }
            | Self::And(_)
            | Self::Or(_) => Self::Not(Box::new(self)),
        }
    }

    /// Rebuilds the expression with every leaf replaced by what `replace` makes of it.
    pub(super) fn map_leaves(&self, replace: &dyn Fn(&Node) -> Node) -> Self {
        match self {
            Self::All
            | Self::Global
            | Self::Has(_)
            | Self::Compare { .. }
            | Self::Within { .. } => replace(self),
            Self::Not(inner) => inner.map_leaves(replace).negated(),
            Self::And(nodes) => Self::And(nodes.iter().map(|n| n.map_leaves(replace)).collect()),
            Self::Or(nodes) => Self::Or(nodes.iter().map(|n| n.map_leaves(replace)).collect()),
        }
    }

    /// Tells whether `leaf` occurs anywhere in the expression.
    pub(super) fn mentions(&self, leaf: &Node) -> bool {
        match self {
            Self::All
            | Self::Global
            | Self::Has(_)
            | Self::Compare { .. }
            | Self::Within { .. } => self == leaf,
            Self::Not(inner) => inner.mentions(leaf),
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().any(|node| node.mentions(leaf)),
        }
    }

    /// Adds the label keys that the expression looks at to `labels`.
    pub(super) fn collect_labels(&self, labels: &mut BTreeSet<Arc<str>>) {
        match self {
            Self::All | Self::Global => {}
            Self::Has(label) | Self::Compare { label, .. } | Self::Within { label, .. } => {
                labels.insert(Arc::clone(label));
            }
            Self::Not(inner) => inner.collect_labels(labels),
            Self::And(nodes) | Self::Or(nodes) => {
                for node in nodes {
                    node.collect_labels(labels);
                }
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Contains => "contains",
            Self::StartsWith => "starts with",
            Self::EndsWith => "ends with",
        })
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::NotIn => "not in",
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all()"),
            Self::Global => f.write_str("global()"),
            Self::Has(label) => write!(f, "has({label})"),
            Self::Compare {
                label,
                comparison,
                value,
            } => {
                write!(f, "{label} {comparison} ")?;
                write_quoted(f, value)
            }
            Self::Within {
                label,
                membership,
                values,
            } => {
                write!(f, "{label} {membership} {{")?;
                for (position, value) in values.iter().enumerate() {
                    if position > 0 {
                        f.write_str(", ")?;
                    }
                    write_quoted(f, value)?;
                }
                f.write_str("}")
            }
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::And(nodes) => write_joined(f, nodes, " && "),
            Self::Or(nodes) => write_joined(f, nodes, " || "),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, nodes: &[Node], separator: &str) -> fmt::Result {
    f.write_str("(")?;
    for (position, node) in nodes.iter().enumerate() {
        if position > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{node}")?;
    }
    f.write_str(")")
}

fn write_quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let quote = lex::quote_for(value);
    write!(f, "{quote}{value}{quote}")
}
