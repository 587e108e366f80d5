//! The `nft` room: nftables as data, and the difference between what is wanted and what is there.
//!
//! In: objects that are wanted, by name; what the kernel was seen to hold. Out: a plan, which is an ordered
//! list of operations for one transaction, and text in the manner of `nft`. May touch: `net`, `ipnet`,
//! `sha2`. Absent: Calico, netlink bytes, I/O.

mod catalog;
mod expr;
mod name;
mod object;
mod plan;

pub use catalog::{Catalog, ChainRecord, Fingerprint, SetRecord};
pub use expr::{
    Comparison, Expr, InterfaceMatch, InterfaceSide, Key, Limit, LimitUnit, RejectWith, Side,
    Verdict, ct_state, ct_status,
};
pub use name::{ChainName, NameError, SetName, TableName};
pub use object::{
    BaseChain, Chain, ChainType, Element, ElementKey, Hook, KeyType, Object, ObjectKey, Rule,
    SetSpec,
};
pub use plan::{Operation, Plan};
