//! The selector as other rooms hold it.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ast::Node;
use super::error::ParseError;
use super::eval::Labels;
use super::requirement::Requirement;
use super::{id, parse, requirement};

/// An expression over labels, cheap to clone, compared and ordered by its canonical text.
///
/// Two selectors are equal when their canonical texts are: `a=='b'` and `(a == "b")` are, and
/// `has(a) && has(b)` and `has(b) && has(a)` are not. `Display` writes the canonical text, which parses
/// to an equal selector as long as it stays within [`MAX_LENGTH`](super::MAX_LENGTH) and
/// [`MAX_NESTING`](super::MAX_NESTING).
#[derive(Clone)]
pub struct Selector(Arc<Inner>);

struct Inner {
    node: Node,
    canonical: String,
    labels: BTreeSet<Arc<str>>,
}

impl Selector {
    /// Reads a selector; nothing but blanks reads as `all()`.
    ///
    /// Every operator of every Calico release is accepted, read as current releases read it.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text).map(Self::from_node)
    }

    /// Tells whether something with `labels` is selected. `global()` on its own is true.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        self.0.node.matches(labels)
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.0.canonical
    }

    /// Returns the keys of the labels that decide whether it matches.
    pub fn labels(&self) -> &BTreeSet<Arc<str>> {
        &self.0.labels
    }

    /// Tells whether it is `all()`, and not merely equivalent to it.
    pub fn is_all(&self) -> bool {
        self.0.node == Node::All
    }

    /// Returns the most telling condition on one label that all labels it matches satisfy.
    ///
    /// None where there is no such condition, as for `all()` and `!has(a)`; and where nothing can match,
    /// as for `!all()`.
    pub fn requirement(&self) -> Option<Requirement> {
        requirement::requirement(&self.0.node)
    }

    /// Returns every condition on one label that all labels it matches satisfy, at most one for each label.
    ///
    /// Empty where [`requirement`](Self::requirement) is none. An index that knows how many things meet each
    /// condition picks the rarest.
    pub fn requirements(&self) -> Vec<Requirement> {
        requirement::requirements(&self.0.node)
    }

    /// Returns the name that Felix gives it: `s:` and a hash of the canonical text, 40 characters.
    pub fn id(&self) -> String {
        id::id(&self.0.canonical)
    }

    pub(super) fn from_node(node: Node) -> Self {
        let canonical = node.to_string();
        let mut labels = BTreeSet::new();
        node.collect_labels(&mut labels);
        Self(Arc::new(Inner {
            node,
            canonical,
            labels,
        }))
    }

    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Selector {
    /// Reads canonical text, also such as is longer than what a resource may hold, since it was put together.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let node = parse::parse_composed(&text).map_err(de::Error::custom)?;
        Ok(Self::from_node(node))
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({self})")
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Selector {}

impl PartialOrd for Selector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Selector {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Selector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
