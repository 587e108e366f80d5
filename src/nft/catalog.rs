//! What the kernel holds, as far as a plan needs to know it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::elements::{Digest, Verdicts};
use super::graph::{Graph, Overlay, Presence};
use super::{
    BaseChain, ChainName, CounterName, Element, ElementKey, ObjectKey, SetName, SetSpec, Verdict,
};

/// A stable hash of a rule's content, kept in the rule's user data in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 8]);

/// What is known of a chain in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRecord {
    /// Present for a base chain of a kind that we make.
    pub base: Option<BaseChain>,
    /// Whether it is a base chain of a kind that we never make, be it by its hook, its type or its policy: it becomes
    /// what is wanted only by being made anew.
    pub alien: bool,
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
    /// Its counters.
    pub counters: BTreeSet<CounterName>,
    /// Objects of kinds that we never make, or that could not be decoded: only replacing the table
    /// removes them.
    pub undecodable: bool,
    /// What is known from our own commits alone; the default where the rest was read from the kernel.
    pub committed: Committed,
    /// What sets held before another program had a hand in the table; their names are chosen by it, and nothing else.
    pub untouched: Arc<Committed>,
}

/// What the kernel does not tell: the references between objects, and in short the content of sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    pub(super) graph: Graph,
    sets: BTreeMap<SetName, Known>,
}

/// What is known of the content of a set that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Enough to tell whether another content is the same.
    Digest(Digest),
    /// The whole content of a verdict map.
    Verdicts(Verdicts),
}

impl Committed {
    /// Tells whether a set has been committed with just this content.
    pub fn holds(&self, set: &SetName, elements: impl Iterator<Item = Element>) -> bool {
        self.sets.get(set).is_some_and(|known| match known {
            Known::Digest(digest) => {
                let mut wanted = Digest::default();
                elements.for_each(|element| wanted.add(&element));
                *digest == wanted
            }
            Known::Verdicts(verdicts) => {
                *verdicts == Verdicts::of(&elements.collect::<Vec<Element>>())
            }
        })
    }
}

/// What is known of the content of a set.
pub(super) enum Content<'a> {
    /// It was read from the kernel.
    Read(&'a [Element]),
    /// It was committed.
    Committed(&'a Known),
    /// Nothing.
    Unknown,
}

impl Catalog {
    /// Tells whether all references between the objects of the table are known, so that a part of it can be
    /// planned. They are not after the table was read from the kernel, until a whole plan was committed.
    pub fn references_known(&self) -> bool {
        let objects = self.chains.len() + self.sets.len() + self.counters.len();
        !self.undecodable && self.committed.graph.len() == objects
    }

    /// Takes over what a plan that has been committed changed.
    pub fn apply(&mut self, delta: CatalogDelta) {
        if delta.anew {
            *self = Self::default();
        }
        self.table |= delta.table;
        self.untouched = Arc::default();
        for (name, record) in delta.chains {
            match record {
                Some(record) => self.chains.insert(name, record),
                None => self.chains.remove(&name),
            };
        }
        for (name, change) in delta.sets {
            self.apply_set(name, change);
        }
        for (name, presence) in delta.counters {
            match presence {
                Presence::Present => self.counters.insert(name),
                Presence::Absent => self.counters.remove(&name),
            };
        }
        self.committed.graph.apply(delta.overlay);
    }

    fn apply_set(&mut self, name: SetName, change: SetDelta) {
        match change {
            SetDelta::Whole { spec, known } => {
                let elements = None;
                self.committed.sets.insert(name.clone(), known);
                self.sets.insert(name, SetRecord { spec, elements });
            }
            SetDelta::Digest(digest) => {
                self.committed.sets.insert(name, Known::Digest(digest));
            }
            SetDelta::Unknown => {
                self.committed.sets.remove(&name);
                if let Some(record) = self.sets.get_mut(&name) {
                    record.elements = None;
                }
            }
            SetDelta::Verdicts(changes) => {
                if let Some(Known::Verdicts(verdicts)) = self.committed.sets.get_mut(&name) {
                    for (key, verdict) in changes {
                        verdicts.set(&key, verdict.as_ref());
                    }
                }
            }
            SetDelta::Absent => {
                self.committed.sets.remove(&name);
                self.sets.remove(&name);
            }
        }
    }

    /// Returns what is known of the content of a set.
    pub(super) fn content(&self, name: &SetName) -> Content<'_> {
        let read = self.sets.get(name).and_then(|set| set.elements.as_ref());
        match (self.committed.sets.get(name), read) {
            (Some(known), _) => Content::Committed(known),
            (None, Some(elements)) => Content::Read(elements),
            (None, None) => Content::Unknown,
        }
    }

    /// Tells whether an object is there.
    pub(super) fn contains(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::Counter(name) => self.counters.contains(name),
            ObjectKey::Set(name) => self.sets.contains_key(name),
            ObjectKey::Chain(name) => self.chains.contains_key(name),
        }
    }

    /// Returns the names of all objects.
    pub(super) fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        let sets = self.sets.keys().cloned().map(ObjectKey::Set);
        let counters = self.counters.iter().cloned().map(ObjectKey::Counter);
        let chains = self.chains.keys().cloned().map(ObjectKey::Chain);
        counters.chain(sets).chain(chains)
    }
}

/// What a plan changes in the catalogue, to be applied once the plan is committed.
///
/// It is to be applied also where the plan is empty: the references may have become known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogDelta {
    /// Whether everything known before is void.
    pub(super) anew: bool,
    /// Whether the table is there afterwards.
    pub(super) table: bool,
    pub(super) chains: BTreeMap<ChainName, Option<ChainRecord>>,
    pub(super) sets: BTreeMap<SetName, SetDelta>,
    pub(super) counters: BTreeMap<CounterName, Presence>,
    pub(super) overlay: Overlay,
}

/// What a plan changes in what is known of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SetDelta {
    /// Everything.
    Whole {
        /// What the set is.
        spec: Arc<SetSpec>,
        /// What is known of its content.
        known: Known,
    },
    /// The content of a set.
    Digest(Digest),
    /// The content of a set, and the new one is not known.
    Unknown,
    /// The verdicts of some keys; `None` for keys that go.
    Verdicts(BTreeMap<ElementKey, Option<Verdict>>),
    /// The set goes.
    Absent,
}
