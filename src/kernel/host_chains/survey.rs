//! Looking for the chains of others that filter packets to or through this host.

use super::chain::{HostChain, HostFamily, HostPolicy};
use crate::kernel::decode::{Attributes, Message};
use crate::kernel::encode::consts::attribute::{
    NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE,
    NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY,
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

/// Lists the base chains of all tables but ours that filter at the input and forward hooks.
pub(super) fn survey(socket: &mut Socket, ours: &TableName) -> Result<Vec<HostChain>, KernelError> {
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
                    !(chain.family == HostFamily::Inet && chain.table == ours.as_str())
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
    found.sort();
    Ok(found)
}

/// Reads a chain; `None` where it does not filter at one of the two hooks.
pub(super) fn host_chain(message: Message<'_>) -> Option<HostChain> {
    let family = HostFamily::of_number(message.family()?)?;
    let attributes = message.attributes();
    let hook = attributes.nested(NFTA_CHAIN_HOOK)?;
    let number = hook.be32(NFTA_HOOK_HOOKNUM)?;
    let (_, at) = HOOKS.into_iter().find(|(known, _)| *known == number)?;
    match at {
        Hook::Input | Hook::Forward => {}
        Hook::Prerouting | Hook::Output | Hook::Postrouting => return None,
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
    })
}

/// Reads a name, which others may have made of any bytes but NUL.
fn name(attributes: Attributes<'_>, attribute: u16) -> Option<String> {
    let bytes = attributes.value(attribute)?;
    let bytes = bytes.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}
