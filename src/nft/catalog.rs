//! What the kernel holds, as far as a plan needs to know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BaseChain, ChainName, Element, SetName, SetSpec};

/// A stable hash of a rule's content, kept in the rule's user data in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

/// What is known of a chain in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRecord {
    /// Present for a base chain; a hook or type that we never use makes the record foreign.
    pub base: Option<BaseChain>,
    /// The fingerprint of each rule, in order; `None` for a rule without one of ours.
    pub rules: Vec<Option<Fingerprint>>,
}

/// What is known of a set or map in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRecord {
    /// What it is.
    pub spec: Arc<SetSpec>,
    /// Its elements in ascending order, where they have been read; a set of ours whose elements are
    /// known from what was committed does not keep a second copy of them.
    pub elements: Option<Arc<Vec<Element>>>,
}

/// What is known of our table in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Whether the table is there at all.
    pub table: bool,
    /// Its chains.
    pub chains: BTreeMap<ChainName, ChainRecord>,
    /// Its sets and maps.
    pub sets: BTreeMap<SetName, SetRecord>,
    /// Objects of kinds that we never make, or that could not be decoded: only replacing the table
    /// removes them.
    pub undecodable: bool,
}
