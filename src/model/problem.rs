//! What is wrong with a resource, said so that its author can mend it.

use std::fmt;
use std::sync::Arc;

use super::ResourceKey;

/// How much of a resource a problem spoils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The resource is used; something in it has no effect or a doubtful one.
    Warning,
    /// The resource counts as absent.
    Rejected,
}

/// Where a resource was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A line of a file, counted from 1.
    File {
        /// The path as it was found.
        path: Arc<str>,
        /// The line.
        line: usize,
    },
    /// A key of a datastore.
    Key(Arc<str>),
    /// Nowhere in particular: the problem follows from several resources together.
    Calculated,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Key(key) => f.write_str(key),
            Self::Calculated => f.write_str("calculated"),
        }
    }
}

/// One thing wrong with one resource, or with a file that holds resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// Which resource, where that much could be read.
    pub object: Option<ResourceKey>,
    /// The path of the field inside the resource, such as `spec.ingress[2].source.ports[0]`; may be empty.
    pub field: String,
    /// What is wrong, in lower case and without a full stop.
    pub reason: String,
    /// What follows from it.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}
