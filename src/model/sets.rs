//! Labelled sets of prefixes.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LabelMap, ProfileId};

/// Prefixes with labels, which selectors find as they find endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSet {
    /// Its labels, with the namespace's where it has one.
    pub labels: LabelMap,
    /// Its prefixes, host bits cleared.
    pub nets: Vec<IpNet>,
    /// The profile it inherits labels from: `kns.<namespace>` for a namespaced set.
    pub profile: Option<ProfileId>,
}
