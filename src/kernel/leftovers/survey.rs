//! Looking for what is Felix's.

use std::collections::{BTreeMap, BTreeSet};

use super::found::{
    ChainFate, Despite, FelixChain, FelixRule, FelixTable, Held, Leftovers, SharedTable,
};
use super::historic::Historic;
use super::names::{self, FILTER_TABLE, SHARED_TABLES, TABLE};
use super::ours::{self, Ours, Reading};
use super::passage;
use super::policed::{Policed, Unpoliced, existing};
use crate::kernel::comments::{comments, expressions};
use crate::kernel::decode::{Attributes, exact};
use crate::kernel::encode::consts::attribute::{
    NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE, NFTA_DATA_VERDICT, NFTA_RULE_HANDLE,
    NFTA_TABLE_NAME, NFTA_VERDICT_CHAIN,
};
use crate::kernel::encode::consts::{expression, message, nfnetlink};
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::{Accepted, Advice, HostChain, HostFamily, each_rule, host_chain};
use crate::kernel::socket::{Dump, Socket};
use crate::nft::TableName;

/// The most chains and rules of a family that are taken; a busy node has some thousands.
pub(super) const MOST: usize = 200_000;

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
    /// Where it filters at the hooks input, forward and output: what it does by default.
    filters: Option<HostChain>,
}

/// The chains of a family.
struct Chains {
    /// The base chains, of whomever.
    bases: Vec<Base>,
    /// Felix's chains, in a table each.
    tables: Vec<SharedTable>,
}

/// What decides about a removal beside what there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Our table.
    pub(super) ours: &'a TableName,
    /// How packets will be known that policy accepted, where our table is not there to tell.
    pub(super) expected: Option<Accepted>,
    /// What is not heeded.
    pub(super) despite: Despite,
}

/// Reads what is there, `None` where others changed it meanwhile.
pub(super) fn read(
    socket: &mut Socket,
    terms: Terms<'_>,
) -> Result<Option<Leftovers>, KernelError> {
    let mut found = Leftovers {
        tables: own_tables(socket)?,
        ..Leftovers::default()
    };
    let historic = Historic::ask(socket)?;
    let mut shared = Vec::new();
    for family in FAMILIES {
        let Some(chains) = chains(socket, family)? else {
            return Ok(None);
        };
        shared.push(chains);
    }
    let tables = || shared.iter().flat_map(|chains| &chains.tables);
    if found.tables.is_empty() && tables().all(|table| table.chains.is_empty()) {
        match stray_rules(socket, &shared, historic)? {
            None => return Ok(None),
            // Most hosts; ours need not be read.
            Some(Stray::Absent) => return Ok(Some(found)),
            Some(Stray::Present) => {}
        }
    }
    let mut felix = Vec::new();
    for family in FAMILIES {
        let Some(policed) = policed(socket, family, &found.tables, tables())? else {
            return Ok(None);
        };
        felix.push((family, policed));
    }
    let ours = match ours::read(socket, terms.ours)? {
        Reading::Interrupted => return Ok(None),
        Reading::Absent => None,
        Reading::Read(ours) => Some(ours),
    };
    if !terms.despite.unpoliced && felix.iter().any(|(_, policed)| !policed.is_empty()) {
        found.unpoliced = unpoliced(&felix, ours.as_ref(), &existing()?);
    }
    found.ip6_unasked = ours
        .as_ref()
        .is_some_and(|ours| !ours.judges(HostFamily::Ip6));
    for (Chains { bases, mut tables }, (family, felix)) in shared.into_iter().zip(felix) {
        let accepted = match &ours {
            Some(ours) => ours.accepted(family),
            None => terms.expected,
        };
        let mark = accepted.map(|accepted| accepted.mark);
        // Felix accepts packets of endpoints alone.
        let felix_accepts = !felix.is_empty() || mark.is_some();
        let heeds_drops = felix_accepts && !terms.despite.dropped;
        for table in &mut tables {
            let mut chains = passage::Chains::new(table, mark, &felix, historic);
            for base in bases.iter().filter(|base| base.table == table.name) {
                let filters = base.filters.as_ref();
                let Some(without) = chains.base(socket, &base.name, filters)? else {
                    return Ok(None);
                };
                if let (Some(drops), Some(chain), true) = (without.drops, filters, heeds_drops) {
                    found.held.push(Held {
                        family: table.family,
                        advice: Advice::new(chain.clone(), drops, accepted),
                    });
                }
                table.rules.extend(without.felix);
            }
        }
        let is_felix = |table: &SharedTable| !(table.rules.is_empty() && table.chains.is_empty());
        found.shared.extend(tables.into_iter().filter(is_felix));
    }
    Ok(Some(found))
}

/// Whether base chains hold rules of Felix's without any chain of its.
enum Stray {
    Present,
    Absent,
}

/// Looks for rules of Felix's in base chains, `None` where others changed them meanwhile.
fn stray_rules(
    socket: &mut Socket,
    shared: &[Chains],
    historic: Historic,
) -> Result<Option<Stray>, KernelError> {
    for (chains, family) in shared.iter().zip(FAMILIES) {
        for base in &chains.bases {
            let mut present = false;
            let place = (family, base.table, base.name.as_str());
            let dump = each_rule(socket, family, base.table, &base.name, |attributes| {
                present |= rule_of_felix(historic, place, attributes).is_some();
            })?;
            match dump {
                Dump::Interrupted => return Ok(None),
                Dump::Complete if present => return Ok(Some(Stray::Present)),
                Dump::Complete => {}
            }
        }
    }
    Ok(Some(Stray::Absent))
}

/// Returns what Felix's rules police and ours do not, of interfaces that exist, and in which families.
fn unpoliced(
    felix: &[(HostFamily, Policed)],
    ours: Option<&Ours>,
    exist: &BTreeSet<String>,
) -> BTreeMap<Unpoliced, BTreeSet<HostFamily>> {
    let nothing = Policed::default();
    let mut unpoliced: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (family, felix) in felix {
        let there = ours.and_then(|ours| ours.policed(*family));
        for missing in felix.without(there.unwrap_or(&nothing), exist) {
            unpoliced.entry(missing).or_default().insert(*family);
        }
    }
    unpoliced
}

/// Reads which interfaces Felix's rules of a family police, `None` where others changed them meanwhile.
fn policed<'a>(
    socket: &mut Socket,
    family: HostFamily,
    own: &[FelixTable],
    shared: impl Iterator<Item = &'a SharedTable>,
) -> Result<Option<Policed>, KernelError> {
    let mut policed = Policed::default();
    let number = family.number();
    if own.iter().any(|table| table.number() == number) {
        let rules = policed.read_rules(socket, number, TABLE, |_| true)?;
        let maps = policed.read_maps(socket, number, TABLE)?;
        if rules == Dump::Interrupted || maps == Dump::Interrupted {
            return Ok(None);
        }
    }
    // Every endpoint has chains there.
    let filters = |table: &&SharedTable| {
        table.family == family && table.name == FILTER_TABLE && !table.chains.is_empty()
    };
    for table in shared.filter(filters) {
        let rules = policed.read_rules(socket, number, table.name, names::is_chain)?;
        if rules == Dump::Interrupted {
            return Ok(None);
        }
    }
    Ok(Some(policed))
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

/// Reads a rule of a base chain, in the family, the table and the chain that it stands in; `None` where it is of no
/// release of Felix.
pub(super) fn rule_of_felix(
    historic: Historic,
    place: (HostFamily, &str, &str),
    attributes: Attributes<'_>,
) -> Option<FelixRule> {
    let (.., chain) = place;
    felix_rule(chain, attributes).or_else(|| historic.rule(place, attributes))
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
