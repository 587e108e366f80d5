//! Rules that Felix 1.4 put into POSTROUTING itself, without a comment, and by which later releases know them.
//!
//! One masquerades what leaves the pools, and names a set of `ipset` that nobody else makes. The other one masquerades
//! what leaves by `tunl0` with a source of another interface; it has one form.

use std::path::Path;

use super::elsewhere::IPSET_MODULE;
use super::found::FelixRule;
use crate::kernel::comments::expressions;
use crate::kernel::decode::{Attributes, exact};
use crate::kernel::encode::consts::attribute::{NFTA_DATA_VALUE, NFTA_RULE_HANDLE};
use crate::kernel::encode::consts::{expression as field, ipset, nfnetlink, value};
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::HostFamily;
use crate::kernel::socket::Socket;

/// Where the rules stand.
const CHAIN: &str = "POSTROUTING";
const PLACE: (HostFamily, &str, &str) = (HostFamily::Ip, "nat", CHAIN);
/// The set that the first one names.
const POOLS: &str = "felix-masq-ipam-pools";
/// The interface of the second one, as the kernel compares it.
const TUNNEL: &[u8] = b"tunl0\0";
/// What the second one asks of the source, in the words of `struct xt_addrtype_info_v1`: that it is no address of the
/// interface that the packet leaves by, and one of this host.
const ASKED: [AddressType; 2] = [
    AddressType {
        source: LOCAL,
        destination: 0,
        flags: INVERT_SOURCE | LIMIT_OUT,
    },
    AddressType {
        source: LOCAL,
        destination: 0,
        flags: 0,
    },
];
/// `XT_ADDRTYPE_LOCAL`, `XT_ADDRTYPE_INVERT_SOURCE` and `XT_ADDRTYPE_LIMIT_IFACE_OUT` of
/// `linux/netfilter/xt_addrtype.h`.
const LOCAL: u16 = 1 << 2;
const INVERT_SOURCE: u32 = 1;
const LIMIT_OUT: u32 = 8;

/// `struct xt_addrtype_info_v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AddressType {
    source: u16,
    destination: u16,
    flags: u32,
}

impl AddressType {
    fn read(info: &[u8]) -> Option<Self> {
        let (source, rest) = info.split_at_checked(2)?;
        let (destination, flags) = rest.split_at_checked(2)?;
        Some(Self {
            source: exact(source).map(u16::from_ne_bytes)?,
            destination: exact(destination).map(u16::from_ne_bytes)?,
            flags: exact(flags.get(..4)?).map(u32::from_ne_bytes)?,
        })
    }
}

/// By what the rules are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Historic {
    /// The number of the set, by which rules name it; none where there is no such set, and so no rule.
    pools: Option<u16>,
}

impl Historic {
    /// Asks the kernel for the number of the set.
    pub(super) fn ask(socket: &mut Socket) -> Result<Self, KernelError> {
        let mut pools = None;
        if Path::new(IPSET_MODULE).exists() {
            socket.get(
                "a set of ipset",
                ipset::GET_BYNAME,
                nfnetlink::NFPROTO_IPV4,
                |buffer| {
                    buffer.u8(ipset::IPSET_ATTR_PROTOCOL, ipset::NEWEST_PROTOCOL);
                    buffer.text(ipset::IPSET_ATTR_SETNAME, POOLS);
                },
                |message| {
                    let index = message.attributes().value(ipset::IPSET_ATTR_INDEX);
                    pools = index.and_then(exact).map(u16::from_be_bytes);
                },
            )?;
        }
        Ok(Self { pools })
    }

    /// Reads a rule of a base chain; `None` where it is neither of the two.
    pub(super) fn rule(
        self,
        place: (HostFamily, &str, &str),
        attributes: Attributes<'_>,
    ) -> Option<FelixRule> {
        if place != PLACE || !(self.names_pools(attributes) || is_of_tunnel(attributes)) {
            return None;
        }
        let handle = attributes.value(NFTA_RULE_HANDLE).and_then(exact)?;
        Some(FelixRule {
            chain: CHAIN.to_owned(),
            handle: u64::from_be_bytes(handle),
            comment: None,
            target: None,
        })
    }

    /// Tells whether a rule names the set; every revision of the match begins with the set's number.
    fn names_pools(self, rule: Attributes<'_>) -> bool {
        let Some(pools) = self.pools else {
            return false;
        };
        expressions(rule)
            .filter_map(|expr| matched(expr, "set"))
            .any(|info| info.get(..2) == Some(&pools.to_ne_bytes()))
    }
}

/// Returns what a match of xtables is told.
fn matched<'a>(expr: Attributes<'a>, name: &str) -> Option<&'a [u8]> {
    let data = named(expr, "match")?;
    if data.text(field::NFTA_MATCH_NAME)? != name {
        return None;
    }
    data.value(field::NFTA_MATCH_INFO)
}

/// Returns the data of an expression of a name.
fn named<'a>(expr: Attributes<'a>, name: &str) -> Option<Attributes<'a>> {
    if expr.text(field::NFTA_EXPR_NAME)? != name {
        return None;
    }
    expr.nested(field::NFTA_EXPR_DATA)
}

/// Tells whether a rule is the one of `tunl0`, with nothing more and nothing less.
fn is_of_tunnel(rule: Attributes<'_>) -> bool {
    let exprs = expressions(rule).filter(|expr| named(*expr, "counter").is_none());
    // One more would be one too many.
    let exprs: Vec<Attributes<'_>> = exprs.take(6).collect();
    let &[loaded, compared, first, second, last] = exprs.as_slice() else {
        return false;
    };
    let by_interface = named(loaded, "meta").and_then(|data| data.be32(field::NFTA_META_KEY))
        == Some(value::META_OIFNAME);
    let tunnel = named(compared, "cmp").filter(|data| {
        let wanted = data.nested(field::NFTA_CMP_DATA);
        data.be32(field::NFTA_CMP_OP) == Some(value::CMP_EQ)
            && wanted.and_then(|data| data.value(NFTA_DATA_VALUE)) == Some(TUNNEL)
    });
    let asked = [first, second].map(|expr| matched(expr, "addrtype").and_then(AddressType::read));
    by_interface && tunnel.is_some() && asked == ASKED.map(Some) && masquerades(last)
}

/// Tells whether an expression masquerades in the plainest way.
fn masquerades(expr: Attributes<'_>) -> bool {
    if let Some(data) = named(expr, "masq") {
        return data.into_iter().next().is_none();
    }
    // The second number of `struct nf_nat_ipv4_multi_range_compat` says what else is asked.
    named(expr, "target").is_some_and(|data| {
        let info = data.value(field::NFTA_TARGET_INFO);
        data.text(field::NFTA_TARGET_NAME) == Some("MASQUERADE")
            && info.and_then(|info| info.get(4..8)) == Some(&[0; 4])
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200)) {
            let historic = Historic { pools: Some(1) };
            let attributes = Attributes(&bytes);
            let _ = historic.rule(PLACE, attributes);
            let _ = (historic.names_pools(attributes), is_of_tunnel(attributes), masquerades(attributes));
            let _ = (matched(attributes, "set"), AddressType::read(&bytes));
        }
    }
}
