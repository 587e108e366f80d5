//! The `nft` room: nftables as data, and the difference between what is wanted and what is there.
//!
//! In: objects that are wanted, by name; what the kernel was seen to hold. Out: plans, each an
//! ordered list of operations for one transaction; text in the manner of `nft`; a table in memory that takes
//! plans as strictly as the kernel. May touch: `net`, `ipnet`, `sha2`. Absent: Calico, netlink bytes, I/O.

mod apply;
mod catalog;
mod changes;
mod check;
mod difference;
mod distrust;
mod elements;
mod error;
mod expr;
mod fingerprint;
mod graph;
mod name;
mod object;
mod place;
mod plan;
mod prepare;
mod ruleset;
mod text;

pub use apply::{Applied, ApplyError, Errno};
pub use catalog::{Catalog, CatalogDelta, ChainRecord, Committed, Fingerprint, SetRecord};
pub use changes::{Extent, ObjectChange, ObjectChanges};
pub use difference::plan;
pub use distrust::Distrust;
pub use error::{ElementFault, LookupFault, PlanError};
pub use expr::{
    Comparison, Expr, InterfaceMatch, InterfaceSide, Key, Limit, LimitUnit, LookUp, RejectWith,
    Side, Verdict, ct_state, ct_status,
};
pub use name::{ChainName, CounterName, NameError, SetName, TableName};
pub use object::{
    BaseChain, Chain, ChainType, Element, ElementKey, Hook, KeyType, Object, ObjectKey, Rule,
    SetSpec,
};
pub use plan::{Operation, Plan, Plans};
pub use ruleset::Ruleset;
pub use text::{Elements, chain_text, plan_text, ruleset_text, set_text};

#[cfg(test)]
mod tests;
