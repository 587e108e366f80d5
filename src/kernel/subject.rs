//! What an error is about.

use std::fmt;
use std::sync::Arc;

use crate::nft::{
    ChainName, CounterName, Element, ElementKey, ObjectKey, Operation, Plan, SetName, TableName,
};

/// What a message of a batch is about, in the words of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The transaction as a whole.
    Batch,
    /// The table.
    Table(TableName),
    /// A chain.
    Chain(ChainName),
    /// A rule, by its number among those that the plan adds to its chain, from one.
    Rule(ChainName, usize),
    /// A counter.
    Counter(CounterName),
    /// A set or map.
    Set(SetName),
    /// One element of a set or map.
    Element(SetName, Box<ElementKey>),
    /// Several elements of a set or map.
    Elements(SetName, usize),
}

impl Subject {
    /// Returns the object of the table, where the subject is in one.
    pub fn object(&self) -> Option<ObjectKey> {
        match self {
            Self::Batch | Self::Table(_) => None,
            Self::Counter(name) => Some(ObjectKey::Counter(name.clone())),
            Self::Chain(name) | Self::Rule(name, _) => Some(ObjectKey::Chain(name.clone())),
            Self::Set(name) | Self::Element(name, _) | Self::Elements(name, _) => {
                Some(ObjectKey::Set(name.clone()))
            }
        }
    }

    /// Names what an operation of a plan is about, down to one of its elements where that is known.
    pub(super) fn of_operation(
        plan: &Plan,
        table: &TableName,
        operation: usize,
        element: Option<usize>,
    ) -> Self {
        match plan.operations.get(operation) {
            None => Self::Batch,
            Some(Operation::DeleteTable | Operation::AddTable) => Self::Table(table.clone()),
            Some(Operation::AddCounter(name) | Operation::DeleteCounter(name)) => {
                Self::Counter(name.clone())
            }
            Some(Operation::AddSet(spec)) => Self::Set(spec.name.clone()),
            Some(Operation::FlushSet(name) | Operation::DeleteSet(name)) => Self::Set(name.clone()),
            Some(
                Operation::AddChain { name, .. }
                | Operation::FlushChain(name)
                | Operation::DeleteChain(name),
            ) => Self::Chain(name.clone()),
            Some(Operation::AddRule { chain, .. }) => {
                Self::Rule(chain.clone(), rule_number(plan, chain, operation))
            }
            Some(
                Operation::AddElements { set, elements }
                | Operation::DeleteElements { set, elements },
            ) => Self::of_elements(&set.name, elements, element),
        }
    }

    fn of_elements(set: &SetName, elements: &Arc<Vec<Element>>, element: Option<usize>) -> Self {
        match element.and_then(|place| elements.get(place)) {
            Some(element) => Self::Element(set.clone(), Box::new(element.key.clone())),
            None => Self::Elements(set.clone(), elements.len()),
        }
    }
}

/// Counts the rules that a plan adds to a chain up to and with one of its operations.
fn rule_number(plan: &Plan, wanted: &ChainName, operation: usize) -> usize {
    plan.operations
        .iter()
        .take(operation + 1)
        .filter(|other| matches!(other, Operation::AddRule { chain, .. } if chain == wanted))
        .count()
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => f.write_str("the transaction"),
            Self::Table(name) => write!(f, "table `inet {name}`"),
            Self::Chain(name) => write!(f, "chain `{name}`"),
            Self::Rule(chain, number) => write!(f, "rule {number} of chain `{chain}`"),
            Self::Counter(name) => write!(f, "counter `{name}`"),
            Self::Set(name) => write!(f, "set `{name}`"),
            Self::Element(set, key) => {
                f.write_str("element ")?;
                element_key(f, key)?;
                write!(f, " of set `{set}`")
            }
            Self::Elements(set, 1) => write!(f, "one element of set `{set}`"),
            Self::Elements(set, count) => write!(f, "{count} elements of set `{set}`"),
        }
    }
}

fn element_key(f: &mut fmt::Formatter<'_>, key: &ElementKey) -> fmt::Result {
    match key {
        ElementKey::Net(net) if net.prefix_len() == net.max_prefix_len() => {
            write!(f, "{}", net.addr())
        }
        ElementKey::Net(net) => write!(f, "{net}"),
        ElementKey::AddressPort(address, protocol, port) => {
            write!(f, "{address} . {protocol} . {port}")
        }
        ElementKey::Ports(range) => write!(f, "{range}"),
        ElementKey::Interface(name) => write!(f, "{name}"),
    }
}
