//! Looking for what is Felix's.

use super::found::{ChainFate, FelixChain, FelixRule, FelixTable, Held, Leftovers, SharedTable};
use super::historic::Historic;
use super::names::{self, SHARED_TABLES, TABLE};
use crate::kernel::comments::{comments, expressions};
use crate::kernel::decode::{Attributes, exact};
use crate::kernel::encode::consts::attribute::{
    NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE, NFTA_DATA_VERDICT, NFTA_RULE_HANDLE,
    NFTA_TABLE_NAME, NFTA_VERDICT_CHAIN,
};
use crate::kernel::encode::consts::{expression, message, nfnetlink};
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::{
    Accepted, HostChain, HostFamily, accepts, advice, each_rule, host_chain,
};
use crate::kernel::socket::{Dump, Socket};

/// The most chains and rules of a family that are taken; a busy node has some thousands.
const MOST: usize = 200_000;

/// The families of the tables of `iptables-nft`.
const FAMILIES: [HostFamily; 2] = [HostFamily::Ip, HostFamily::Ip6];

impl FelixTable {
    /// Returns the family, `NFPROTO_*`.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Ip => nfnetlink::NFPROTO_IPV4,
            Self::Ip6 => nfnetlink::NFPROTO_IPV6,
            Self::Arp => nfnetlink::NFPROTO_ARP,
        }
    }
}

/// A base chain of a table of `iptables-nft`.
struct Base {
    table: &'static str,
    name: String,
    /// Where it filters at the input or forward hook: what it does by default.
    filters: Option<HostChain>,
}

/// The chains of a family.
struct Chains {
    /// The base chains, of whomever.
    bases: Vec<Base>,
    /// Felix's chains, in a table each.
    tables: Vec<SharedTable>,
}

/// What came of reading the rules of a base chain.
enum Rules {
    /// They changed meanwhile.
    Interrupted,
    /// The chain can do without Felix's.
    Dispensable,
    /// Without Felix's it would drop what policy accepts.
    Needed(Held),
}

/// Reads what is there, `None` where others changed it meanwhile. `accepted` tells how packets are known that policy
/// accepted; without it nothing is held back.
pub(super) fn read(
    socket: &mut Socket,
    accepted: Option<Accepted>,
) -> Result<Option<Leftovers>, KernelError> {
    let mut found = Leftovers {
        tables: own_tables(socket)?,
        ..Leftovers::default()
    };
    let historic = Historic::ask(socket)?;
    for family in FAMILIES {
        let Some(Chains { bases, mut tables }) = chains(socket, family)? else {
            return Ok(None);
        };
        for base in bases {
            let Some(table) = tables.iter_mut().find(|table| table.name == base.table) else {
                continue;
            };
            match rules(socket, table, &base, historic, accepted)? {
                Rules::Interrupted => return Ok(None),
                Rules::Dispensable => {}
                Rules::Needed(held) => found.held.push(held),
            }
        }
        let is_felix = |table: &SharedTable| !(table.rules.is_empty() && table.chains.is_empty());
        found.shared.extend(tables.into_iter().filter(is_felix));
    }
    Ok(Some(found))
}

/// Returns which of Felix's own tables are there.
fn own_tables(socket: &mut Socket) -> Result<Vec<FelixTable>, KernelError> {
    let mut tables = Vec::new();
    for table in [FelixTable::Ip, FelixTable::Ip6, FelixTable::Arp] {
        let found = socket.get(
            "a table of Felix's",
            message::GETTABLE,
            table.number(),
            |buffer| buffer.text(NFTA_TABLE_NAME, TABLE),
            |_| {},
        )?;
        tables.extend(found.map(|()| table));
    }
    Ok(tables)
}

/// Lists the chains of the tables of `iptables-nft`: base chains, and those of Felix's.
fn chains(socket: &mut Socket, family: HostFamily) -> Result<Option<Chains>, KernelError> {
    let mut bases = Vec::new();
    let mut tables = SHARED_TABLES.map(|name| SharedTable {
        family,
        name,
        rules: Vec::new(),
        chains: Vec::new(),
    });
    let mut count = 0;
    let dump = socket.dump(
        "the chains",
        message::GETCHAIN,
        family.number(),
        |_| {},
        |message| {
            let attributes = message.attributes();
            let table = attributes.text(NFTA_CHAIN_TABLE);
            let table = tables.iter_mut().find(|known| table == Some(known.name));
            let (Some(table), Some(name)) = (table, attributes.text(NFTA_CHAIN_NAME)) else {
                return;
            };
            if message.family() != Some(family.number()) {
                return;
            }
            if attributes.value(NFTA_CHAIN_HOOK).is_some() {
                count += 1;
                bases.push(Base {
                    table: table.name,
                    name: name.to_owned(),
                    filters: host_chain(message),
                });
            } else if names::is_chain(name) {
                count += 1;
                if count <= MOST {
                    table.chains.push(FelixChain {
                        name: name.to_owned(),
                        fate: ChainFate::Removed,
                    });
                }
            }
        },
    )?;
    if count > MOST {
        return Err(KernelError::TooManyLeftovers { most: MOST });
    }
    Ok(match dump {
        Dump::Complete => Some(Chains {
            bases,
            tables: tables.into(),
        }),
        Dump::Interrupted => None,
    })
}

/// Reads the rules of a base chain, keeps those that are Felix's, and says what is lost without them.
fn rules(
    socket: &mut Socket,
    table: &mut SharedTable,
    base: &Base,
    historic: Historic,
    accepted: Option<Accepted>,
) -> Result<Rules, KernelError> {
    let mut felix = Vec::new();
    let mut others_accept = false;
    let mut count = 0;
    let (family, name) = (table.family, table.name);
    let dump = each_rule(socket, family, name, &base.name, |attributes| {
        let rule = felix_rule(&base.name, attributes)
            .or_else(|| historic.rule(family, name, &base.name, attributes));
        if let Some(rule) = rule {
            count += 1;
            if count <= MOST {
                felix.push(rule);
            }
        } else {
            others_accept |= accepted.is_some_and(|known| accepts(attributes, known.mark));
        }
    })?;
    if count > MOST {
        return Err(KernelError::TooManyLeftovers { most: MOST });
    }
    match dump {
        Dump::Complete => {}
        Dump::Interrupted => return Ok(Rules::Interrupted),
    }
    let mut needed = None;
    if let (Some(chain), Some(accepted), false, false) =
        (&base.filters, accepted, felix.is_empty(), others_accept)
    {
        needed = advice(std::slice::from_ref(chain), accepted)
            .into_iter()
            .next();
    }
    table.rules.extend(felix);
    Ok(match needed {
        None => Rules::Dispensable,
        Some(advice) => Rules::Needed(Held {
            family: table.family,
            advice,
        }),
    })
}

/// Reads a rule of a base chain; `None` where it is not Felix's.
pub(super) fn felix_rule(chain: &str, attributes: Attributes<'_>) -> Option<FelixRule> {
    let handle = attributes.value(NFTA_RULE_HANDLE).and_then(exact)?;
    let comment = comments(attributes)
        .find(|text| names::is_comment(text))
        .map(|text| String::from_utf8_lossy(text).into_owned());
    let target = expressions(attributes)
        .filter_map(target)
        .find(|target| names::is_chain(target))
        .map(ToOwned::to_owned);
    (comment.is_some() || target.is_some()).then(|| FelixRule {
        chain: chain.to_owned(),
        handle: u64::from_be_bytes(handle),
        comment,
        target,
    })
}

/// Returns the chain that an expression leads to.
fn target(expr: Attributes<'_>) -> Option<&str> {
    if expr.text(expression::NFTA_EXPR_NAME)? != "immediate" {
        return None;
    }
    expr.nested(expression::NFTA_EXPR_DATA)?
        .nested(expression::NFTA_IMMEDIATE_DATA)?
        .nested(NFTA_DATA_VERDICT)?
        .text(NFTA_VERDICT_CHAIN)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::decode::Messages;
    use crate::kernel::encode::buffer::{Buffer, Header};
    use crate::kernel::encode::consts::attribute::{
        NFTA_LIST_ELEM, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA,
    };

    fn read(body: impl FnOnce(&mut Buffer)) -> Option<FelixRule> {
        let mut buffer = Buffer::with_capacity(512);
        let header = Header {
            kind: 0x0a06,
            flags: 0,
            sequence: 1,
            family: 2,
            resource: 0,
        };
        buffer
            .message(header, |buffer| {
                buffer.be64(NFTA_RULE_HANDLE, 7);
                body(buffer);
            })
            .unwrap();
        let bytes = buffer.into_bytes();
        felix_rule("INPUT", Messages(&bytes).next().unwrap().attributes())
    }

    fn matching(comment: &str) -> Option<FelixRule> {
        let mut info = comment.as_bytes().to_vec();
        info.resize(256, 0);
        read(|buffer| {
            buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| {
                for info in [&vec![b'x'; 256], &info] {
                    buffer.nest(NFTA_LIST_ELEM, |buffer| {
                        buffer.text(expression::NFTA_EXPR_NAME, "match");
                        buffer.nest(expression::NFTA_EXPR_DATA, |buffer| {
                            buffer.text(expression::NFTA_MATCH_NAME, "comment");
                            buffer.bytes(expression::NFTA_MATCH_INFO, info);
                        });
                    });
                }
            });
        })
    }

    fn jumping(chain: &str) -> Option<FelixRule> {
        read(|buffer| {
            buffer.nest(NFTA_RULE_EXPRESSIONS, |buffer| {
                buffer.nest(NFTA_LIST_ELEM, |buffer| {
                    buffer.text(expression::NFTA_EXPR_NAME, "immediate");
                    buffer.nest(expression::NFTA_EXPR_DATA, |buffer| {
                        buffer.nest(expression::NFTA_IMMEDIATE_DATA, |buffer| {
                            buffer.nest(NFTA_DATA_VERDICT, |buffer| {
                                buffer.text(NFTA_VERDICT_CHAIN, chain);
                            });
                        });
                    });
                });
            });
        })
    }

    #[test]
    fn a_rule_is_felixs_by_its_comment_or_by_the_chain_that_it_leads_to() {
        let rule = matching("cali:S93hcgKJrXEqnTfs").unwrap();
        assert_eq!(rule.comment.as_deref(), Some("cali:S93hcgKJrXEqnTfs"));
        assert_eq!((rule.handle, rule.target), (7, None));
        let mut noted = vec![0, 7];
        noted.extend_from_slice(b"cali:x\0");
        let rule = read(|buffer| buffer.bytes(NFTA_RULE_USERDATA, &noted)).unwrap();
        assert_eq!(rule.comment.as_deref(), Some("cali:x"));
        let rule = jumping("felix-INPUT").unwrap();
        assert_eq!(
            (rule.comment, rule.target.as_deref()),
            (None, Some("felix-INPUT"))
        );
        for other in [
            matching("calico"),
            matching(""),
            jumping("DOCKER-USER"),
            read(|_| {}),
        ] {
            assert_eq!(other, None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..200), attribute in 1_u16..8) {
            let _ = read(|buffer| buffer.bytes(attribute, &bytes));
            let _ = felix_rule("INPUT", Attributes(&bytes));
            let _ = target(Attributes(&bytes));
        }
    }
}
