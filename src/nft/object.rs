//! Chains, rules, sets, maps and their elements.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{ChainName, CounterName, Expr, SetName, Verdict};
use crate::net::{Family, InterfaceName, PortRange, Protocol};

/// The type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainType {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
}

/// The place in the packet's path where a base chain is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// For this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
}

/// What makes a chain a base chain. Its policy is always accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseChain {
    /// The type.
    pub kind: ChainType,
    /// The hook.
    pub hook: Hook,
    /// The priority; smaller is asked earlier.
    pub priority: i32,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What it asks and does, in order.
    pub exprs: Vec<Expr>,
    /// What a reader of `nft list table` is told; at most 128 bytes are kept.
    pub comment: Option<Arc<str>>,
}

/// A chain with all its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The name.
    pub name: ChainName,
    /// Present where the chain is a base chain.
    pub base: Option<BaseChain>,
    /// The rules, in order; a plan shares them.
    pub rules: Vec<Arc<Rule>>,
}

/// The type of one field of a set's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// An address, 4 or 16 bytes.
    Address(Family),
    /// A transport protocol, 1 byte.
    Protocol,
    /// A transport port, 2 bytes.
    Port,
    /// An interface name, 16 bytes.
    Interface,
}

/// What a set or map is, without its elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetSpec {
    /// The name.
    pub name: SetName,
    /// The fields of the key; several make a concatenation.
    pub key: Vec<KeyType>,
    /// Whether elements are prefixes or ranges; such a set has a key of one field.
    pub interval: bool,
    /// Whether each element carries a verdict.
    pub verdicts: bool,
    /// How many elements the kernel makes room for; without it the table grows as it must.
    pub size: Option<u32>,
}

/// The key of an element. Addresses of full length are written as addresses in sets without intervals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementKey {
    /// An address, or in an interval set a prefix.
    Net(IpNet),
    /// An address, a protocol and a port.
    AddressPort(IpAddr, Protocol, u16),
    /// A port, or in an interval set a range of ports.
    Ports(PortRange),
    /// An interface name.
    Interface(InterfaceName),
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The key.
    pub key: ElementKey,
    /// The verdict, in a map.
    pub verdict: Option<Verdict>,
}

/// Names one object of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// A counter.
    Counter(CounterName),
    /// A set or map.
    Set(SetName),
    /// A chain.
    Chain(ChainName),
}

/// One object of the table, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A chain and its rules.
    Chain(Arc<Chain>),
    /// A set or map and all its elements; the elements are in ascending order, without duplicates, and in
    /// interval sets without overlap.
    Set(Arc<SetSpec>, Arc<Vec<Element>>),
    /// A counter that rules refer to; what it has counted belongs to the kernel.
    Counter(CounterName),
}

impl Rule {
    /// Makes a rule with a comment.
    pub fn new(comment: &str, exprs: Vec<Expr>) -> Self {
        Self {
            exprs,
            comment: Some(comment.into()),
        }
    }
}

impl Chain {
    /// Makes a chain of rules that nothing else shares yet.
    pub fn new(name: ChainName, base: Option<BaseChain>, rules: Vec<Rule>) -> Self {
        let rules = rules.into_iter().map(Arc::new).collect();
        Self { name, base, rules }
    }
}

impl ObjectKey {
    /// Returns the name.
    pub fn name(&self) -> &str {
        match self {
            Self::Counter(name) => name.as_str(),
            Self::Set(name) => name.as_str(),
            Self::Chain(name) => name.as_str(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter(name) => write!(f, "counter `{name}`"),
            Self::Set(name) => write!(f, "set `{name}`"),
            Self::Chain(name) => write!(f, "chain `{name}`"),
        }
    }
}

impl Object {
    /// Returns the key under which the object is filed.
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Chain(chain) => ObjectKey::Chain(chain.name.clone()),
            Self::Set(spec, _) => ObjectKey::Set(spec.name.clone()),
            Self::Counter(name) => ObjectKey::Counter(name.clone()),
        }
    }
}
