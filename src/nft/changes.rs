//! What render hands to plan.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Chain, Element, ObjectKey, SetSpec};

/// How one object of the table changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectChange {
    /// The chain is to be so, whole.
    Chain(Arc<Chain>),
    /// The set or map is to be so, whole.
    Set {
        /// What it is.
        spec: Arc<SetSpec>,
        /// All its elements, ascending.
        elements: Arc<Vec<Element>>,
    },
    /// Elements of a set that is there came and went.
    Elements {
        /// Elements that came.
        added: Vec<Element>,
        /// Elements that went.
        removed: Vec<Element>,
    },
    /// The object is to be gone.
    Absent,
}

/// Changes by object.
pub type ObjectChanges = BTreeMap<ObjectKey, ObjectChange>;
