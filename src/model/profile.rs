//! Profiles.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Action, Direction, LabelMap, Rule};

/// The name of the built-in profile that allows everything.
pub const DEFAULT_ALLOW_PROFILE: &str = "projectcalico-default-allow";

/// A profile: rules for, and labels upon, every endpoint that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Labels that the endpoints inherit.
    pub labels: LabelMap,
    /// Tags of the v1 form: each acts as a label without a value, behind every label.
    pub tags: BTreeSet<String>,
    /// Rules for traffic towards the endpoint.
    pub ingress: Vec<Rule>,
    /// Rules for traffic from the endpoint.
    pub egress: Vec<Rule>,
}

impl Profile {
    /// Makes the built-in profile that allows everything.
    pub fn default_allow() -> Self {
        Self::of_all(Action::Allow)
    }

    /// Makes a profile that denies everything.
    pub fn deny() -> Self {
        Self::of_all(Action::Deny)
    }

    fn of_all(action: Action) -> Self {
        Self {
            labels: LabelMap::new(),
            tags: BTreeSet::new(),
            ingress: vec![Rule::any(action)],
            egress: vec![Rule::any(action)],
        }
    }

    /// Returns the rules of one direction.
    pub fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}
