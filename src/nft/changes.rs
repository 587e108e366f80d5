//! What is to become of the objects of the table.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Chain, Element, Object, ObjectKey, SetSpec};

/// What is to become of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectChange {
    /// The chain is to be exactly this one.
    Chain(Arc<Chain>),
    /// The set or map is to be exactly this one.
    Set {
        /// What it is.
        spec: Arc<SetSpec>,
        /// All its elements, ascending, without duplicates, and in interval sets without overlap.
        elements: Arc<Vec<Element>>,
    },
    /// The set or map stays what it is, with these differences.
    Elements {
        /// Elements to add. In a set they are not there; in a map one that is there gets the new verdict.
        added: Vec<Element>,
        /// Elements to remove. In a set they are there; in a map a missing one is passed over.
        removed: Vec<Element>,
    },
    /// The counter is to be there, with what it has counted.
    Counter,
    /// The object is not to be there.
    Absent,
}

impl From<Object> for ObjectChange {
    fn from(object: Object) -> Self {
        match object {
            Object::Chain(chain) => Self::Chain(chain),
            Object::Set(spec, elements) => Self::Set { spec, elements },
            Object::Counter(_) => Self::Counter,
        }
    }
}

/// What is to become of each object that is named.
pub type ObjectChanges = BTreeMap<ObjectKey, ObjectChange>;

/// What becomes of the objects that are not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// They stay as they are.
    Part,
    /// They are removed.
    Whole,
}
