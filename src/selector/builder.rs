//! Selectors made from names and from other selectors.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ast::{Comparison, Membership, Node};
use super::{Selector, lex};

impl Selector {
    /// Makes `all()`, which matches everything.
    pub fn all() -> Self {
        Self::from_node(Node::All)
    }

    /// Makes `!all()`, which matches nothing.
    pub fn none() -> Self {
        Self::from_node(Node::All.negated())
    }

    /// Makes `has(label)`; or [`none`](Self::none) for a key that the language cannot name, since nothing
    /// has such a label.
    pub fn has(label: &str) -> Self {
        Self::from_node(speakable(label, Node::Has(label.into())))
    }

    /// Makes `label == "value"`; or [`none`](Self::none) for a key or a value that the language cannot
    /// write, since no label is like that.
    pub fn equals(label: &str, value: &str) -> Self {
        if !lex::is_quotable(value) {
            return Self::none();
        }
        let (key, value, comparison) = (label.into(), value.into(), Comparison::Equal);
        Self::from_node(speakable(
            label,
            Node::Compare {
                label: key,
                comparison,
                value,
            },
        ))
    }

    /// Makes `label in {values}`, leaving out the values that the language cannot write.
    pub fn one_of<V: AsRef<str>>(label: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values: BTreeSet<Arc<str>> = values
            .into_iter()
            .filter(|value| lex::is_quotable(value.as_ref()))
            .map(|value| value.as_ref().into())
            .collect();
        let (key, membership) = (label.into(), Membership::In);
        Self::from_node(speakable(
            label,
            Node::Within {
                label: key,
                membership,
                values,
            },
        ))
    }

    /// Makes the selector of what both match, `(self && other)`; an `all()` on either side vanishes.
    ///
    /// Where an `all()` is to become something else, [`replace_all`](Self::replace_all) comes first.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        if other.is_all() {
            return self.clone();
        }
        if self.is_all() {
            return other.clone();
        }
        Self::from_node(Node::And(vec![self.node().clone(), other.node().clone()]))
    }

    /// Makes the selector of what this one matches and `other` does not, `(self && !other)`.
    #[must_use]
    pub fn and_not(&self, other: &Self) -> Self {
        self.and(&Self::from_node(other.node().clone().negated()))
    }

    /// Puts `prefix` before every label key.
    ///
    /// A key that becomes one that the language cannot name is taken to be absent, as it always is:
    /// `!=` and `not in` become `all()`, and the others `!all()`.
    #[must_use]
    pub fn prefixed(&self, prefix: &str) -> Self {
        if self.labels().is_empty() {
            return self.clone();
        }
        Self::from_node(self.node().map_leaves(&|leaf| with_prefix(leaf, prefix)))
    }

    /// Puts `with` in place of every `all()`, among them the one that an empty text stands for.
    #[must_use]
    pub fn replace_all(&self, with: &Self) -> Self {
        self.replace(&Node::All, with)
    }

    /// Puts `with` in place of every `global()`.
    #[must_use]
    pub fn replace_global(&self, with: &Self) -> Self {
        self.replace(&Node::Global, with)
    }

    fn replace(&self, what: &Node, with: &Self) -> Self {
        if !self.node().mentions(what) {
            return self.clone();
        }
        let replaced = self.node().map_leaves(&|leaf| {
            if leaf == what {
                with.node().clone()
            } else {
                leaf.clone()
            }
        });
        Self::from_node(replaced)
    }
}

/// Returns `node`, about the label `key`, if the language can name it, and otherwise what `node` is for
/// things without the label.
fn speakable(key: &str, node: Node) -> Node {
    if lex::is_label(key) {
        return node;
    }
    match node {
        Node::Compare {
            comparison: Comparison::NotEqual,
            ..
        }
        | Node::Within {
            membership: Membership::NotIn,
            ..
        } => Node::All,
        Node::Compare {
            comparison:
                Comparison::Equal | Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith,
            ..
        }
        | Node::Within {
            membership: Membership::In,
            ..
        }
        | Node::Has(_) => Node::All.negated(),
        Node::All | Node::Global | Node::Not(_) | Node::And(_) | Node::Or(_) => node,
    }
}

fn with_prefix(leaf: &Node, prefix: &str) -> Node {
    let mut leaf = leaf.clone();
    let (Node::Has(label) | Node::Compare { label, .. } | Node::Within { label, .. }) = &mut leaf
    else {
        return leaf;
    };
    let key: Arc<str> = format!("{prefix}{label}").into();
    *label = Arc::clone(&key);
    speakable(&key, leaf)
}
