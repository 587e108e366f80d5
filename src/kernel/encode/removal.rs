//! The removal of tables, chains and rules of another program.

use super::bound::{BoundBatch, BoundBytes, Finish};
use super::buffer::TooLong;
use super::consts::attribute::{
    NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, NFTA_RULE_TABLE,
    NFTA_TABLE_NAME,
};
use super::consts::message;

/// One thing that goes, in a table of a family, `NFPROTO_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) enum Removal<'a> {
    /// A table with all it holds.
    Table {
        /// The family.
        family: u8,
        /// The table.
        table: &'a str,
    },
    /// A rule.
    Rule {
        /// The family.
        family: u8,
        /// The table.
        table: &'a str,
        /// The chain.
        chain: &'a str,
        /// The rule.
        handle: u64,
    },
    /// Every rule of a chain.
    Rules {
        /// The family.
        family: u8,
        /// The table.
        table: &'a str,
        /// The chain.
        chain: &'a str,
    },
    /// A chain without rules.
    Chain {
        /// The family.
        family: u8,
        /// The table.
        table: &'a str,
        /// The chain.
        chain: &'a str,
    },
}

/// Encodes a transaction that removes things in this order; the message of the first of them has the sequence
/// number after `first_sequence`, each later one more.
pub(in crate::kernel) fn batch(
    removals: &[Removal<'_>],
    generation: u32,
    first_sequence: u32,
    finish: Finish,
) -> Result<BoundBytes, TooLong> {
    let mut batch = BoundBatch::new(generation, first_sequence)?;
    for removal in removals {
        match *removal {
            Removal::Table { family, table } => {
                batch.message(message::DELTABLE, 0, family, |buffer| {
                    buffer.text(NFTA_TABLE_NAME, table);
                })?;
            }
            Removal::Rule {
                family,
                table,
                chain,
                handle,
            } => batch.message(message::DELRULE, 0, family, |buffer| {
                buffer.text(NFTA_RULE_TABLE, table);
                buffer.text(NFTA_RULE_CHAIN, chain);
                buffer.be64(NFTA_RULE_HANDLE, handle);
            })?,
            Removal::Rules {
                family,
                table,
                chain,
            } => batch.message(message::DELRULE, 0, family, |buffer| {
                buffer.text(NFTA_RULE_TABLE, table);
                buffer.text(NFTA_RULE_CHAIN, chain);
            })?,
            Removal::Chain {
                family,
                table,
                chain,
            } => batch.message(message::DELCHAIN, 0, family, |buffer| {
                buffer.text(NFTA_CHAIN_TABLE, table);
                buffer.text(NFTA_CHAIN_NAME, chain);
            })?,
        }
    }
    batch.finish(finish)
}
