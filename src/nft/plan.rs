//! A plan: what one transaction does, in the order in which it does it, and the plans of a change.

use std::fmt;
use std::sync::Arc;

use super::{
    BaseChain, ChainName, CounterName, Element, Fingerprint, ObjectKey, Rule, SetName, SetSpec,
};

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Removes the table with all it holds, as found, so that it can be made anew.
    DeleteTable,
    /// Makes the table, or adopts it where it is there.
    AddTable,
    /// Makes a counter that has counted nothing.
    AddCounter(CounterName),
    /// Makes a set or map without elements.
    AddSet(Arc<SetSpec>),
    /// Makes a chain without rules.
    AddChain {
        /// The name.
        name: ChainName,
        /// Present for a base chain.
        base: Option<BaseChain>,
    },
    /// Removes elements; every one of them is there.
    DeleteElements {
        /// The set or map.
        set: Arc<SetSpec>,
        /// The elements.
        elements: Arc<Vec<Element>>,
    },
    /// Removes all elements of a set or map.
    FlushSet(SetName),
    /// Removes all rules of a chain.
    FlushChain(ChainName),
    /// Adds a rule at the end of a chain.
    AddRule {
        /// The chain.
        chain: ChainName,
        /// The rule.
        rule: Arc<Rule>,
        /// The fingerprint that it carries.
        fingerprint: Fingerprint,
    },
    /// Adds elements.
    AddElements {
        /// The set or map.
        set: Arc<SetSpec>,
        /// The elements.
        elements: Arc<Vec<Element>>,
    },
    /// Removes a chain that nothing refers to any more, with its rules.
    DeleteChain(ChainName),
    /// Removes a set or map that nothing refers to any more.
    DeleteSet(SetName),
    /// Removes a counter that nothing refers to any more, with what it has counted.
    DeleteCounter(CounterName),
}

impl Operation {
    /// Returns the object that the step makes, changes or removes; the table is none.
    pub fn object(&self) -> Option<ObjectKey> {
        match self {
            Self::DeleteTable | Self::AddTable => None,
            Self::AddSet(set)
            | Self::DeleteElements { set, .. }
            | Self::AddElements { set, .. } => Some(ObjectKey::Set(set.name.clone())),
            Self::AddCounter(name) | Self::DeleteCounter(name) => {
                Some(ObjectKey::Counter(name.clone()))
            }
            Self::FlushSet(name) | Self::DeleteSet(name) => Some(ObjectKey::Set(name.clone())),
            Self::AddChain { name, .. }
            | Self::FlushChain(name)
            | Self::AddRule { chain: name, .. }
            | Self::DeleteChain(name) => Some(ObjectKey::Chain(name.clone())),
        }
    }
}

impl fmt::Display for Operation {
    /// Names the object and what happens to it, in a few words that fit into a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(object) = self.object() {
            write!(f, "{object}: ")?;
        }
        match self {
            Self::DeleteTable => f.write_str("delete the table"),
            Self::AddTable => f.write_str("add the table"),
            Self::AddSet(_) | Self::AddChain { .. } | Self::AddCounter(_) => f.write_str("add it"),
            Self::DeleteElements { elements, .. } => {
                write!(f, "delete {} elements", elements.len())
            }
            Self::FlushSet(_) => f.write_str("delete all elements"),
            Self::FlushChain(_) => f.write_str("delete all rules"),
            Self::AddRule { rule, .. } => write!(f, "add the rule `{rule}`"),
            Self::AddElements { elements, .. } => write!(f, "add {} elements", elements.len()),
            Self::DeleteChain(_) | Self::DeleteSet(_) | Self::DeleteCounter(_) => {
                f.write_str("delete it")
            }
        }
    }
}

/// The steps of one transaction, in an order that the kernel accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps; where there are none, nothing is sent.
    pub operations: Vec<Operation>,
}

impl Plan {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// The transactions that lead to what is wanted, each committed after the one before it.
///
/// Where one is refused, nothing that packets see has changed; what was prepared by then is used or removed by the
/// next plan of [`Extent::Whole`](super::Extent::Whole).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plans {
    /// Takes over a table that is there and belongs to nobody; empty where there is none, or it is ours. By
    /// itself, since the kernel refuses new base chains in the transaction that changes a table's owner
    /// (`nf_tables_addchain` of `net/netfilter/nf_tables_api.c`).
    pub adopt: Plan,
    /// Makes new objects that nothing refers to yet; mostly empty.
    pub prepare: Plan,
    /// Does everything else, and is what packets see.
    pub enforce: Plan,
}

impl Plans {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.transactions().next().is_none()
    }

    /// Returns the plans that do something, in order.
    pub fn transactions(&self) -> impl Iterator<Item = &Plan> {
        let plans = [&self.adopt, &self.prepare, &self.enforce].into_iter();
        plans.filter(|plan| !plan.is_empty())
    }

    /// Returns all steps, in order.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.transactions().flat_map(|plan| &plan.operations)
    }

    /// Returns everything but the taking over as one transaction, for asking whether the kernel would take it.
    pub fn as_one(&self) -> Plan {
        let mut operations = self.prepare.operations.clone();
        let enforce = self.enforce.operations.iter();
        let known = !operations.is_empty();
        operations.extend(
            enforce
                .filter(|step| !(known && **step == Operation::AddTable))
                .cloned(),
        );
        Plan { operations }
    }

    /// Has a table that is there taken over before anything else, unless it is made anew.
    pub fn adopt(&mut self) {
        let anew = self
            .operations()
            .any(|step| *step == Operation::DeleteTable);
        if !anew {
            self.adopt.operations = vec![Operation::AddTable];
        }
    }
}
