//! What another program did to our table, as far as the kernel announces it.

use std::collections::BTreeMap;
use std::fmt;

use super::decode::{Attributes, Message};
use super::encode::consts::attribute::{
    NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE, NFTA_FLOWTABLE_TABLE, NFTA_OBJ_NAME, NFTA_OBJ_TABLE,
    NFTA_RULE_CHAIN, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_TABLE_NAME,
};
use super::encode::consts::message;
use super::observe::is_ours;
use crate::nft::{Distrust, TableName};

/// The most kinds of deeds that are told apart; beyond, nothing of the table is believed.
const KEPT: usize = 4096;
/// The most of them that are named in a message.
const SHOWN: usize = 8;

/// Who changed the ruleset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Author {
    /// The process, as the first process namespace numbers it.
    pub process: u32,
    /// The name of its command.
    pub command: String,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} (`{}`)", self.process, self.command)
    }
}

/// What of our table was touched, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    deeds: BTreeMap<Deed, usize>,
    uncounted: usize,
    distrust: Distrust,
}

/// Something that was done; a name is as the kernel has it, in whatever table of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Deed {
    what: What,
    name: String,
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Table,
    Chain,
    RuleOf,
    Set,
    ElementOf,
    Object,
    FlowTable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    /// Made, or changed where it was there already.
    Made,
    Removed,
}

impl Touched {
    /// Takes in an announcement, if it is about our table, and tells whether it was.
    pub(super) fn take(&mut self, message: Message<'_>, table: &TableName) -> bool {
        let Some((what, verb, of_table, of_name)) = subject(message.kind) else {
            return false;
        };
        let attributes = message.attributes();
        if !is_ours(message, attributes, of_table, table) {
            return false;
        }
        let name = of_name.and_then(|name| attributes.text(name));
        let name = name.unwrap_or_default().to_owned();
        self.note_distrust(what, verb, &name);
        let count = match what {
            What::ElementOf => elements(attributes),
            What::Table
            | What::Chain
            | What::RuleOf
            | What::Set
            | What::Object
            | What::FlowTable => 1,
        };
        let deed = Deed { what, name, verb };
        self.count(deed, count);
        true
    }

    /// Counts a deed so many times more. Where there are too many to keep, nothing is believed any more.
    fn count(&mut self, deed: Deed, count: usize) {
        if let Some(known) = self.deeds.get_mut(&deed) {
            *known = known.saturating_add(count);
        } else if self.deeds.len() < KEPT {
            self.deeds.insert(deed, count);
        } else {
            self.uncounted = self.uncounted.saturating_add(count);
            self.distrust.everything();
        }
    }

    /// Returns which rules are not believed any more.
    pub fn into_distrust(self) -> Distrust {
        self.distrust
    }

    /// Adds what was touched besides.
    pub fn merge(&mut self, other: Self) {
        self.distrust.merge(other.distrust);
        self.uncounted = self.uncounted.saturating_add(other.uncounted);
        for (deed, count) in other.deeds {
            self.count(deed, count);
        }
    }

    fn note_distrust(&mut self, what: What, verb: Verb, name: &str) {
        // What has a name that cannot be one of ours is none of ours.
        let Ok(chain) = name.parse() else { return };
        match (what, verb) {
            (What::Chain, Verb::Made) => self.distrust.chain(chain),
            (What::RuleOf, Verb::Made | Verb::Removed) => self.distrust.rule(chain),
            // What these hold is read back whole.
            (
                What::Table
                | What::Chain
                | What::Set
                | What::ElementOf
                | What::Object
                | What::FlowTable,
                Verb::Made | Verb::Removed,
            ) => {}
        }
    }
}

impl fmt::Display for Touched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (deed, count)) in self.deeds.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", Counted(deed, *count))?;
        }
        let more = self.deeds.len().saturating_sub(SHOWN);
        match (more, self.uncounted) {
            (0, 0) => Ok(()),
            (more, 0) => write!(f, "; and {more} more"),
            (_, _) => f.write_str("; and many more"),
        }
    }
}

/// A deed, and how often it was done.
struct Counted<'a>(&'a Deed, usize);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Deed { what, name, verb }, count) = self;
        let plural = if *count == 1 { "" } else { "s" };
        let done = match (what, verb) {
            (What::RuleOf | What::ElementOf, Verb::Made) => "added",
            (_, Verb::Made) => "made or changed",
            (_, Verb::Removed) => "removed",
        };
        match what {
            What::Table => write!(f, "the table: {done}"),
            What::Chain => write!(f, "chain `{name}`: {done}"),
            What::RuleOf => write!(f, "chain `{name}`: {count} rule{plural} {done}"),
            What::Set => write!(f, "set `{name}`: {done}"),
            What::ElementOf => write!(f, "set `{name}`: {count} element{plural} {done}"),
            What::Object => write!(f, "object `{name}`: {done}"),
            What::FlowTable => write!(f, "{count} flow table{plural}: {done}"),
        }
    }
}

/// Returns what a kind of announcement is about, and where it names the table and the object.
fn subject(kind: u16) -> Option<(What, Verb, u16, Option<u16>)> {
    Some(match kind {
        message::NEWTABLE => (What::Table, Verb::Made, NFTA_TABLE_NAME, None),
        message::DELTABLE => (What::Table, Verb::Removed, NFTA_TABLE_NAME, None),
        message::NEWCHAIN => chain(Verb::Made),
        message::DELCHAIN => chain(Verb::Removed),
        message::NEWRULE => rule(Verb::Made),
        message::DELRULE => rule(Verb::Removed),
        message::NEWSET => set(Verb::Made),
        message::DELSET => set(Verb::Removed),
        message::NEWSETELEM => element(Verb::Made),
        message::DELSETELEM => element(Verb::Removed),
        message::NEWOBJ => object(Verb::Made),
        message::DELOBJ => object(Verb::Removed),
        message::NEWFLOWTABLE => (What::FlowTable, Verb::Made, NFTA_FLOWTABLE_TABLE, None),
        message::DELFLOWTABLE => (What::FlowTable, Verb::Removed, NFTA_FLOWTABLE_TABLE, None),
        _ => return None,
    })
}

fn chain(verb: Verb) -> (What, Verb, u16, Option<u16>) {
    (What::Chain, verb, NFTA_CHAIN_TABLE, Some(NFTA_CHAIN_NAME))
}

fn rule(verb: Verb) -> (What, Verb, u16, Option<u16>) {
    (What::RuleOf, verb, NFTA_RULE_TABLE, Some(NFTA_RULE_CHAIN))
}

fn set(verb: Verb) -> (What, Verb, u16, Option<u16>) {
    (What::Set, verb, NFTA_SET_TABLE, Some(NFTA_SET_NAME))
}

fn element(verb: Verb) -> (What, Verb, u16, Option<u16>) {
    let set = Some(NFTA_SET_ELEM_LIST_SET);
    (What::ElementOf, verb, NFTA_SET_ELEM_LIST_TABLE, set)
}

fn object(verb: Verb) -> (What, Verb, u16, Option<u16>) {
    (What::Object, verb, NFTA_OBJ_TABLE, Some(NFTA_OBJ_NAME))
}

fn elements(attributes: Attributes<'_>) -> usize {
    let list = attributes.nested(NFTA_SET_ELEM_LIST_ELEMENTS);
    list.map_or(0, |list| list.into_iter().count())
}
