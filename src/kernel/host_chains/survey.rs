//! Looking for the chains of others that filter packets to or through this host.

use super::acceptance::accepts;
use super::chain::{HostChain, HostFamily, HostPolicy};
use crate::kernel::decode::{Attributes, Message};
use crate::kernel::encode::consts::attribute::{
    NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE,
    NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_RULE_CHAIN, NFTA_RULE_TABLE,
};
use crate::kernel::encode::consts::{message, nfnetlink, value};
use crate::kernel::encode::object::HOOKS;
use crate::kernel::error::KernelError;
use crate::kernel::socket::{Dump, Socket};
use crate::nft::{Hook, TableName};

/// The most chains that are looked at; a host has a handful.
const CHAINS_MAX: usize = 1000;
/// How often the chains are read when others change them meanwhile; the last reading is then taken.
const ATTEMPTS: u32 = 5;

/// Lists the base chains of all tables but ours that filter at the input and forward hooks, and looks whether
/// those that drop by default accept a mark.
pub(super) fn survey(
    socket: &mut Socket,
    ours: &TableName,
    mark: u32,
) -> Result<Vec<HostChain>, KernelError> {
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        found.clear();
        let dump = socket.dump(
            "the chains",
            message::GETCHAIN,
            nfnetlink::NFPROTO_UNSPEC,
            |_| {},
            |message| {
                let chain = host_chain(message).filter(|chain| {
                    chain.hook != Hook::Output
                        && !(chain.family == HostFamily::Inet && chain.table == ours.as_str())
                });
                if found.len() < CHAINS_MAX {
                    found.extend(chain);
                }
            },
        )?;
        match dump {
            Dump::Complete => break,
            Dump::Interrupted => {}
        }
    }
    for chain in &mut found {
        if chain.drops_by_default() {
            chain.accepts_mark = accepts_mark(socket, chain, mark)?;
        }
    }
    found.sort();
    Ok(found)
}

/// Looks for a rule of a chain that accepts whatever carries a mark.
fn accepts_mark(socket: &mut Socket, chain: &HostChain, mark: u32) -> Result<bool, KernelError> {
    let mut found = false;
    each_rule(
        socket,
        chain.family,
        &chain.table,
        &chain.name,
        |attributes| found |= accepts(attributes, mark),
    )?;
    Ok(found)
}

/// Reads the rules of one chain in order.
pub(in crate::kernel) fn each_rule(
    socket: &mut Socket,
    family: HostFamily,
    table: &str,
    chain: &str,
    mut read: impl FnMut(Attributes<'_>),
) -> Result<Dump, KernelError> {
    socket.dump(
        "the rules of a chain of the host",
        message::GETRULE,
        family.number(),
        |buffer| {
            buffer.text(NFTA_RULE_TABLE, table);
            buffer.text(NFTA_RULE_CHAIN, chain);
        },
        |message| {
            let attributes = message.attributes();
            if message.family() == Some(family.number())
                && attributes.text(NFTA_RULE_TABLE) == Some(table)
                && attributes.text(NFTA_RULE_CHAIN) == Some(chain)
            {
                read(attributes);
            }
        },
    )
}

/// Reads a chain; `None` where it does not filter at the hooks input, forward or output.
pub(in crate::kernel) fn host_chain(message: Message<'_>) -> Option<HostChain> {
    let family = HostFamily::of_number(message.family()?)?;
    let attributes = message.attributes();
    let hook = attributes.nested(NFTA_CHAIN_HOOK)?;
    let number = hook.be32(NFTA_HOOK_HOOKNUM)?;
    let (_, at) = HOOKS.into_iter().find(|(known, _)| *known == number)?;
    match at {
        Hook::Input | Hook::Forward | Hook::Output => {}
        Hook::Prerouting | Hook::Postrouting => return None,
    }
    if attributes.text(NFTA_CHAIN_TYPE)? != "filter" {
        return None;
    }
    Some(HostChain {
        family,
        table: name(attributes, NFTA_CHAIN_TABLE)?,
        name: name(attributes, NFTA_CHAIN_NAME)?,
        hook: at,
        priority: hook.signed_be32(NFTA_HOOK_PRIORITY)?,
        policy: match attributes.signed_be32(NFTA_CHAIN_POLICY) {
            Some(value::NF_ACCEPT) => HostPolicy::Accept,
            Some(value::NF_DROP) => HostPolicy::Drop,
            Some(_) | None => HostPolicy::Unknown,
        },
        accepts_mark: false,
    })
}

/// Reads a name, which others may have made of any bytes but NUL.
fn name(attributes: Attributes<'_>, attribute: u16) -> Option<String> {
    let bytes = attributes.value(attribute)?;
    let bytes = bytes.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}
