//! Tables, chains and rules.

use super::buffer::Buffer;
use super::consts::attribute::{
    NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE,
    NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_OBJ_DATA,
    NFTA_OBJ_NAME, NFTA_OBJ_TABLE, NFTA_OBJ_TYPE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS,
    NFTA_RULE_TABLE, NFTA_RULE_USERDATA, NFTA_TABLE_FLAGS, NFTA_TABLE_NAME,
};
use super::consts::{user_data, value};
use super::exprs;
use super::text::shortened;
use crate::nft::{
    BaseChain, ChainName, ChainType, CounterName, Fingerprint, Hook, Rule, TableName,
};

/// The names of the types of base chains and their types.
pub(in crate::kernel) const CHAIN_TYPES: [(&str, ChainType); 2] =
    [("filter", ChainType::Filter), ("nat", ChainType::Nat)];

/// The hooks by their numbers, `enum nf_inet_hooks` of `linux/netfilter.h`.
pub(in crate::kernel) const HOOKS: [(u32, Hook); 5] = [
    (0, Hook::Prerouting),
    (1, Hook::Input),
    (2, Hook::Forward),
    (3, Hook::Output),
    (4, Hook::Postrouting),
];

/// Writes the attributes of a table that is made or adopted.
pub(in crate::kernel) fn table(buffer: &mut Buffer, name: &str, flags: u32) {
    buffer.text(NFTA_TABLE_NAME, name);
    buffer.be32(NFTA_TABLE_FLAGS, flags);
}

/// Writes what names a chain.
pub(super) fn chain_name(buffer: &mut Buffer, table: &TableName, chain: &ChainName) {
    buffer.text(NFTA_CHAIN_TABLE, table.as_str());
    buffer.text(NFTA_CHAIN_NAME, chain.as_str());
}

/// Writes the attributes of a chain that is made.
pub(super) fn chain(
    buffer: &mut Buffer,
    table: &TableName,
    name: &ChainName,
    base: Option<&BaseChain>,
) {
    chain_name(buffer, table, name);
    let Some(base) = base else { return };
    let kind = match base.kind {
        ChainType::Filter => "filter",
        ChainType::Nat => "nat",
    };
    let hook = match base.hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    };
    buffer.text(NFTA_CHAIN_TYPE, kind);
    buffer.signed_be32(NFTA_CHAIN_POLICY, value::NF_ACCEPT);
    buffer.nest(NFTA_CHAIN_HOOK, |buffer| {
        buffer.be32(NFTA_HOOK_HOOKNUM, hook);
        buffer.signed_be32(NFTA_HOOK_PRIORITY, base.priority);
    });
}

/// Writes what names a counter.
pub(super) fn counter(buffer: &mut Buffer, table: &TableName, name: &CounterName) {
    buffer.text(NFTA_OBJ_TABLE, table.as_str());
    buffer.text(NFTA_OBJ_NAME, name.as_str());
    buffer.be32(NFTA_OBJ_TYPE, value::OBJECT_COUNTER);
}

/// Writes the attributes of a counter that is made, and has counted nothing.
pub(super) fn new_counter(buffer: &mut Buffer, table: &TableName, name: &CounterName) {
    counter(buffer, table, name);
    buffer.nest(NFTA_OBJ_DATA, |buffer| {
        buffer.be64(NFTA_COUNTER_BYTES, 0);
        buffer.be64(NFTA_COUNTER_PACKETS, 0);
    });
}

/// Writes what names the chain of a rule.
pub(super) fn rule_chain(buffer: &mut Buffer, table: &TableName, chain: &ChainName) {
    buffer.text(NFTA_RULE_TABLE, table.as_str());
    buffer.text(NFTA_RULE_CHAIN, chain.as_str());
}

/// Writes the attributes of a rule.
pub(super) fn rule(
    buffer: &mut Buffer,
    table: &TableName,
    chain: &ChainName,
    rule: &Rule,
    fingerprint: Fingerprint,
) {
    rule_chain(buffer, table, chain);
    buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| {
        exprs::expressions(buffer, &rule.exprs);
    });
    let (bytes, length) = rule_user_data(rule.comment.as_deref(), fingerprint);
    buffer.bytes(NFTA_RULE_USERDATA, bytes.get(..length).unwrap_or_default());
}

/// The comment with its NUL and the fingerprint, each behind its type and length.
pub(super) const USER_DATA_MAX: usize = 2 + user_data::COMMENT_MAX + 1 + 2 + 8;

// The kernel keeps at most `NFT_USERDATA_MAXLEN` bytes (`linux/netfilter/nf_tables.h`).
const _: () = assert!(USER_DATA_MAX <= 256);

pub(super) fn rule_user_data(
    comment: Option<&str>,
    fingerprint: Fingerprint,
) -> ([u8; USER_DATA_MAX], usize) {
    let mut bytes = [0; USER_DATA_MAX];
    let mut length = 0;
    let mut push = |part: &[u8]| {
        for (place, byte) in bytes.iter_mut().skip(length).zip(part) {
            *place = *byte;
        }
        length += part.len();
    };
    let comment = shortened(comment.unwrap_or_default(), user_data::COMMENT_MAX);
    if !comment.is_empty() {
        let size = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
        push(&[user_data::RULE_COMMENT, size]);
        push(comment.as_bytes());
        push(&[0]);
    }
    push(&[user_data::RULE_FINGERPRINT, 8]);
    push(&fingerprint.0);
    (bytes, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_holds_the_comment_and_the_fingerprint() {
        let fingerprint = Fingerprint([1, 2, 3, 4, 5, 6, 7, 8]);
        let (bytes, length) = rule_user_data(Some("ab"), fingerprint);
        assert_eq!(
            bytes.get(..length).unwrap(),
            &[0, 3, b'a', b'b', 0, 0x74, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let (bytes, length) = rule_user_data(None, fingerprint);
        assert_eq!(
            bytes.get(..length).unwrap(),
            &[0x74, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let (_, length) = rule_user_data(Some(&"x".repeat(300)), fingerprint);
        assert_eq!(length, USER_DATA_MAX);
    }
}
