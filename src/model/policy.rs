//! Policies and tiers.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Direction, Rule, TierName};
use crate::selector::Selector;

/// The tier of policies that name none.
pub const DEFAULT_TIER: &str = "default";

/// A place in an order; smaller comes first, and one that is not given comes last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub struct Order(f64);

impl Order {
    /// The order of what gives none.
    pub const LAST: Self = Self(f64::INFINITY);

    /// Makes an order from a number; `None` for not-a-number.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0, so that equal numbers are equal orders.
        (!value.is_nan()).then_some(Self(value + 0.0))
    }

    /// Returns the number; infinity where none was given.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl From<Order> for u64 {
    /// Returns the bits of the number: exact, and infinity among them.
    fn from(order: Order) -> Self {
        order.0.to_bits()
    }
}

impl TryFrom<u64> for Order {
    type Error = &'static str;

    fn try_from(bits: u64) -> Result<Self, Self::Error> {
        Self::new(f64::from_bits(bits)).ok_or("an order is a number")
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Order {}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The directions that a policy governs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTypes {
    /// Whether it governs traffic towards the endpoint.
    pub ingress: bool,
    /// Whether it governs traffic from the endpoint.
    pub egress: bool,
}

impl PolicyTypes {
    /// Both directions: what a stored policy without `types` governs.
    pub const BOTH: Self = Self {
        ingress: true,
        egress: true,
    };

    /// Tells whether a direction is governed.
    pub fn governs(self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// Where in the packet's path a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// For traffic that ends or begins on this host, and for workloads.
    Normal,
    /// As `Normal`, and for traffic that a host endpoint forwards.
    ApplyOnForward,
    /// Before connection tracking, which packets it allows bypass (`doNotTrack`).
    Untracked,
    /// Before destination addresses are translated.
    PreDnat,
}

/// A policy, already confined to its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The tier it stands in.
    pub tier: TierName,
    /// Its place in the tier.
    pub order: Order,
    /// The endpoints it applies to.
    pub selector: Selector,
    /// The directions it governs.
    pub types: PolicyTypes,
    /// Where it is asked.
    pub kind: PolicyKind,
    /// Rules for traffic towards the endpoint.
    pub ingress: Vec<Rule>,
    /// Rules for traffic from the endpoint.
    pub egress: Vec<Rule>,
}

impl Policy {
    /// Returns the rules of one direction.
    pub fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// What becomes of a packet that no policy of a tier has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndOfTier {
    /// It is refused.
    Deny,
    /// The next tier is asked.
    Pass,
}

/// A tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Its place among the tiers.
    pub order: Order,
    /// What happens at its end.
    pub default_action: EndOfTier,
}
