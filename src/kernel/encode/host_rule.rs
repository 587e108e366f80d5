//! Our one rule in a chain of the host's own firewall, in the form that every `iptables-nft` can list.
//!
//! Programs before iptables 1.8.8 show a rule without those expressions that they do not know, which would
//! make an accept of marked packets look like one of everything, and would restore it so. All of them know the
//! `mark` match of xtables. The comment is kept as they keep it.

use super::bound::{BoundBatch, BoundBytes, Finish};
use super::buffer::{Buffer, TooLong};
use super::consts::attribute::{
    NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_TABLE, NFTA_RULE_USERDATA,
};
use super::consts::netlink::NLM_F_CREATE;
use super::consts::{expression as field, message};
use super::exprs::{expressions, named};
use super::object::rule_user_data;
use crate::nft::{Expr, Fingerprint, Verdict};

/// What a reader of `iptables -S` is told, and by what the rule is known when it was saved and restored.
pub(in crate::kernel) const COMMENT: &str = "tortie: accepted by policy";

/// The revision of the `mark` match that has a mask.
const MARK_REVISION: u32 = 1;

/// The chain that a batch changes.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernel) struct Target<'a> {
    /// `NFPROTO_*`.
    pub(in crate::kernel) family: u8,
    /// The table.
    pub(in crate::kernel) table: &'a str,
    /// The chain.
    pub(in crate::kernel) chain: &'a str,
}

/// What a batch does to a chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::kernel) struct Steps {
    /// The handles of the rules that go.
    pub(in crate::kernel) delete: Vec<u64>,
    /// The mark that a new rule at the head accepts.
    pub(in crate::kernel) insert: Option<u32>,
}

impl Steps {
    /// Tells whether there is nothing to do.
    pub(in crate::kernel) fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.insert.is_none()
    }

    /// Returns how many messages the batch has, its ends counted.
    pub(in crate::kernel) fn message_count(&self) -> usize {
        self.delete.len() + usize::from(self.insert.is_some()) + 2
    }
}

/// Returns what the user data of the rule says of its content.
pub(in crate::kernel) fn fingerprint(mark: u32) -> Fingerprint {
    let [a, b, c, d] = mark.to_be_bytes();
    Fingerprint([b'h', b'e', b'a', b'd', a, b, c, d])
}

/// Encodes a transaction for one generation of the ruleset.
pub(in crate::kernel) fn batch(
    target: Target<'_>,
    steps: &Steps,
    generation: u32,
    first_sequence: u32,
) -> Result<BoundBytes, TooLong> {
    let mut batch = BoundBatch::new(generation, first_sequence)?;
    for handle in &steps.delete {
        batch.message(message::DELRULE, 0, target.family, |buffer| {
            chain(buffer, target);
            buffer.be64(NFTA_RULE_HANDLE, *handle);
        })?;
    }
    if let Some(mark) = steps.insert {
        batch.message(message::NEWRULE, NLM_F_CREATE, target.family, |buffer| {
            chain(buffer, target);
            rule(buffer, mark);
        })?;
    }
    batch.finish(Finish::Commit)
}

fn chain(buffer: &mut Buffer, target: Target<'_>) {
    buffer.text(NFTA_RULE_TABLE, target.table);
    buffer.text(NFTA_RULE_CHAIN, target.chain);
}

/// Writes what `iptables -m mark --mark M/M -m comment --comment C -j ACCEPT` says.
fn rule(buffer: &mut Buffer, mark: u32) {
    buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| {
        named(buffer, "match", |buffer| {
            buffer.text(field::NFTA_MATCH_NAME, "mark");
            buffer.be32(field::NFTA_MATCH_REV, MARK_REVISION);
            buffer.bytes(field::NFTA_MATCH_INFO, &mark_info(mark));
        });
        expressions(buffer, &[Expr::Counter, Expr::Verdict(Verdict::Accept)]);
    });
    let (bytes, length) = rule_user_data(Some(COMMENT), fingerprint(mark));
    buffer.bytes(NFTA_RULE_USERDATA, bytes.get(..length).unwrap_or_default());
}

/// Returns `struct xt_mark_mtinfo1` of `linux/netfilter/xt_mark.h`: mark, mask, not inverted; filled to the
/// alignment of xtables.
fn mark_info(mark: u32) -> [u8; 16] {
    let mut info = [0; 16];
    let number = mark.to_ne_bytes();
    for (place, byte) in info.iter_mut().zip(number.iter().chain(&number)) {
        *place = *byte;
    }
    info
}
