//! A plan: what one transaction does, in the order in which it does it.

use std::sync::Arc;

use super::{BaseChain, ChainName, Element, Rule, SetName, SetSpec};

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Removes the table with all it holds, as found, so that it can be made anew.
    DeleteTable,
    /// Makes the table, or adopts it where it is there.
    AddTable,
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
