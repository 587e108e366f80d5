//! Why no plan can be made.

use super::{BaseChain, ChainName, ElementKey, Expr, ObjectKey, SetName};

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The table can only be replaced as a whole, and only a part was given.
    #[error(
        "the table holds objects that cannot be read: only a plan for the whole table replaces it"
    )]
    Undecodable,
    /// The catalogue comes from the kernel, which does not tell what refers to what.
    #[error(
        "nothing is known of the references between the objects of the table: plan the whole table first"
    )]
    ReferencesUnknown,
    /// A change is filed under the name of another object.
    #[error("a change filed under {key} is one of another object")]
    Misfiled {
        /// Where it is filed.
        key: ObjectKey,
    },
    /// Elements of a set that is not there were to change.
    #[error("set `{set}`: change its elements: there is no such set")]
    NoSet {
        /// The set.
        set: SetName,
    },
    /// Elements of a map were to change whose elements are not known.
    #[error("map `{map}`: change its elements: the present ones are not known")]
    ElementsUnknown {
        /// The map.
        map: SetName,
    },
    /// An element cannot be in its set.
    #[error("set `{set}`: element {element}: {fault}")]
    Element {
        /// The set.
        set: SetName,
        /// The element's key.
        element: ElementKey,
        /// What is wrong.
        fault: ElementFault,
    },
    /// An object has to be made anew while something that stays refers to it.
    #[error("{object}: make it anew: {user} refers to it and is not part of the plan")]
    Held {
        /// The object.
        object: ObjectKey,
        /// What refers to it.
        user: ObjectKey,
    },
    /// An object refers to one that is not there after the plan.
    #[error("{user} refers to {target}, which does not exist")]
    Dangling {
        /// What refers.
        user: ObjectKey,
        /// What it refers to.
        target: ObjectKey,
    },
    /// An object that is to go is still referred to after the plan.
    #[error("{object}: remove it: {user} refers to it")]
    InUse {
        /// The object.
        object: ObjectKey,
        /// What refers to it.
        user: ObjectKey,
    },
    /// Something jumps to a base chain.
    #[error("{user} jumps to the base chain `{chain}`")]
    BaseChainTarget {
        /// What jumps.
        user: ObjectKey,
        /// The base chain.
        chain: ChainName,
    },
    /// A rule looks something up in a set or map that is not made for it.
    #[error("chain `{chain}` looks up in `{set}`: {fault}")]
    Lookup {
        /// The chain.
        chain: ChainName,
        /// The set or map.
        set: SetName,
        /// What is wrong.
        fault: LookupFault,
    },
    /// A base chain leads to an expression that the kernel does not take there.
    #[error("chain `{chain}`: `{expr}` cannot be reached from the base chain `{root}` ({base})")]
    Misplaced {
        /// The chain that holds the expression.
        chain: ChainName,
        /// The expression.
        expr: Box<Expr>,
        /// The base chain that leads to it.
        root: ChainName,
        /// What the base chain is.
        base: BaseChain,
    },
    /// A packet could go round for ever.
    #[error("a loop: {}", shown(path))]
    Loop {
        /// The chains and maps of the loop; the last is the first again.
        path: Vec<ObjectKey>,
    },
    /// A packet could go deeper than the kernel allows.
    #[error(
        "{} chains follow one another, the kernel allows 16: {}",
        chains(path),
        shown(path)
    )]
    TooDeep {
        /// The chains and maps from the first to the deepest.
        path: Vec<ObjectKey>,
    },
}

/// What is wrong with an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElementFault {
    /// The key is of another type.
    #[error("its key is of another type than the set's")]
    Type,
    /// A map's element has no verdict, or a set's has one.
    #[error("a verdict belongs to an element of a map and to no other")]
    Verdict,
    /// The elements are not in ascending order, or two of them have one key.
    #[error("it does not come after the element before it")]
    Order,
    /// The element overlaps another one.
    #[error("it overlaps the element before it")]
    Overlap,
}

/// What is wrong with a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupFault {
    /// The fields looked up are not those of the key.
    #[error("its key is of another type")]
    Key,
    /// A verdict is expected of a plain set, or none of a map.
    #[error("it is a map where a set is asked, or a set where a map is")]
    Kind,
}

/// Shows a path.
fn shown(keys: &[ObjectKey]) -> String {
    let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
    names.join(" -> ")
}

/// Counts the chains of a path.
fn chains(keys: &[ObjectKey]) -> usize {
    keys.iter()
        .filter(|key| matches!(key, ObjectKey::Chain(_)))
        .count()
}
