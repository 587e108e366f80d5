//! Reading back of our table, and of nothing else: objects of others may be of kinds that we cannot read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decode::{Attributes, Message, UserData, exact};
use super::encode::consts::attribute::{
    NFTA_CHAIN_FLAGS, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE,
    NFTA_CHAIN_TYPE, NFTA_FLOWTABLE_TABLE, NFTA_GEN_ID, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY,
    NFTA_OBJ_NAME, NFTA_OBJ_TABLE, NFTA_OBJ_TYPE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE,
    NFTA_RULE_TABLE, NFTA_RULE_USERDATA, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_TABLE, NFTA_TABLE_FLAGS, NFTA_TABLE_NAME, NFTA_TABLE_OWNER,
    NFTA_TABLE_USE,
};
use super::encode::consts::{message, nfnetlink, user_data, value};
use super::encode::object::{CHAIN_TYPES, HOOKS};
use super::error::KernelError;
use super::observe_sets::{self, Decoded, ElementReader};
use super::owner::ForeignOwner;
use super::socket::{Dump, Socket};
use crate::nft::{
    BaseChain, Catalog, ChainName, ChainRecord, CounterName, Fingerprint, SetRecord, TableName,
};

/// How often a read is repeated when others change the ruleset under it.
const ATTEMPTS: u32 = 20;

/// What the kernel was seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The objects of our table.
    pub catalog: Catalog,
    /// The table itself, where it is there.
    pub table: Option<TableState>,
    /// Whether the next transaction must begin with `AddTable` even if nothing else differs: the table is to
    /// belong to this process and does not yet, so that anybody may change it.
    pub needs_adoption: bool,
    /// The generation of the ruleset of the network namespace that this was read at.
    pub generation: u32,
}

/// What is known of the table itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// `NFT_TABLE_F_*`.
    pub flags: u32,
    /// Whose it is.
    pub ownership: Ownership,
    /// Whether `AddTable` turns it into what is wanted; where not, `DeleteTable` must come before.
    pub matches_wanted: bool,
}

/// Whose the table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody's; it was never owned.
    None,
    /// That of this socket.
    Ours,
    /// That of a socket that is gone; it can be adopted.
    Orphan,
    /// That of another socket; only that one may change it.
    Foreign(ForeignOwner),
}

/// Reads the generation of the ruleset.
pub(super) fn generation(socket: &mut Socket) -> Result<u32, KernelError> {
    let what = "the generation of the ruleset";
    let mut generation = None;
    socket.get(
        what,
        message::GETGEN,
        nfnetlink::NFPROTO_UNSPEC,
        |_| {},
        |message| generation = message.attributes().be32(NFTA_GEN_ID),
    )?;
    generation.ok_or(KernelError::Malformed { what })
}

/// Reads the table and all it holds.
///
/// `owned` tells whether the table is to belong to this socket.
pub(super) fn observe(
    socket: &mut Socket,
    table: &TableName,
    owned: bool,
) -> Result<Observed, KernelError> {
    for _ in 0..ATTEMPTS {
        let generation = self::generation(socket)?;
        let Some((state, catalog)) = attempt(socket, table, owned)? else {
            continue;
        };
        // Nobody else can have changed a table of ours, whatever happened around it.
        let ours = matches!(&state, Some(state) if state.ownership == Ownership::Ours);
        if ours || self::generation(socket)? == generation {
            return Ok(Observed {
                catalog,
                needs_adoption: owned && !ours,
                table: state,
                generation,
            });
        }
    }
    Err(KernelError::Unsettled {
        table: table.clone(),
        attempts: ATTEMPTS,
    })
}

/// Reads whose the table is; `None` where it is not there.
pub(super) fn table_ownership(
    socket: &mut Socket,
    table: &TableName,
) -> Result<Option<Ownership>, KernelError> {
    Ok(table_state(socket, table, true)?.map(|state| state.ownership))
}

/// Reads how many objects the table has; `None` where it is not there.
pub(super) fn object_count(
    socket: &mut Socket,
    table: &TableName,
) -> Result<Option<usize>, KernelError> {
    let mut count = None;
    let found = socket.get(
        "our table",
        message::GETTABLE,
        nfnetlink::NFPROTO_INET,
        |buffer| buffer.text(NFTA_TABLE_NAME, table.as_str()),
        |message| count = message.attributes().be32(NFTA_TABLE_USE),
    )?;
    Ok(found.map(|()| count.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))))
}

type Snapshot = (Option<TableState>, Catalog);

/// Reads everything once; `None` where the ruleset changed in the middle of a dump.
fn attempt(
    socket: &mut Socket,
    table: &TableName,
    owned: bool,
) -> Result<Option<Snapshot>, KernelError> {
    let Some(state) = table_state(socket, table, owned)? else {
        return Ok(Some((None, Catalog::default())));
    };
    let mut reading = Reading {
        catalog: Catalog {
            table: true,
            ..Catalog::default()
        },
    };
    let steps = [
        Reading::chains,
        Reading::rules,
        Reading::sets,
        Reading::stateful_objects,
        Reading::flow_tables,
    ];
    for step in steps {
        if step(&mut reading, socket, table)? == Dump::Interrupted {
            return Ok(None);
        }
    }
    let named: Vec<_> = reading.catalog.sets.keys().cloned().collect();
    for name in named {
        let Some(record) = reading.catalog.sets.get_mut(&name) else {
            continue;
        };
        match read_elements(socket, table, record)? {
            ElementsRead::Interrupted => return Ok(None),
            ElementsRead::Done => {}
        }
    }
    Ok(Some((Some(state), reading.catalog)))
}

/// Reads the table itself.
fn table_state(
    socket: &mut Socket,
    table: &TableName,
    owned: bool,
) -> Result<Option<TableState>, KernelError> {
    let what = "our table";
    let mut read = None;
    let found = socket.get(
        what,
        message::GETTABLE,
        nfnetlink::NFPROTO_INET,
        |buffer| buffer.text(NFTA_TABLE_NAME, table.as_str()),
        |message| {
            let attributes = message.attributes();
            read = Some((
                attributes.be32(NFTA_TABLE_FLAGS).unwrap_or(0),
                attributes.be32(NFTA_TABLE_OWNER),
            ));
        },
    )?;
    if found.is_none() {
        return Ok(None);
    }
    let (flags, port) = read.ok_or(KernelError::Malformed { what })?;
    let ownership = match port {
        Some(port) if port == socket.port() => Ownership::Ours,
        Some(port) => Ownership::Foreign(ForeignOwner::of_port(port)),
        None if flags & value::TABLE_PERSIST != 0 => Ownership::Orphan,
        None => Ownership::None,
    };
    let kept = flags & !value::TABLE_OWNER;
    let wanted = if owned { value::TABLE_PERSIST } else { 0 };
    let ownable = match ownership {
        Ownership::None => !owned,
        Ownership::Ours | Ownership::Orphan => owned,
        Ownership::Foreign(_) => false,
    };
    let state = TableState {
        flags,
        matches_wanted: kept == wanted && ownable,
        ownership,
    };
    Ok(Some(state))
}

struct Reading {
    catalog: Catalog,
}

impl Reading {
    fn chains(&mut self, socket: &mut Socket, table: &TableName) -> Result<Dump, KernelError> {
        // The kernel lists the chains of every table; there is no filter.
        socket.dump(
            "the chains",
            message::GETCHAIN,
            nfnetlink::NFPROTO_INET,
            |_| {},
            |message| {
                let attributes = message.attributes();
                if is_ours(message, attributes, NFTA_CHAIN_TABLE, table) {
                    self.chain(attributes);
                }
            },
        )
    }

    fn chain(&mut self, attributes: Attributes<'_>) {
        // A chain that is part of a rule goes with that rule, which has no fingerprint of ours.
        let flags = attributes.be32(NFTA_CHAIN_FLAGS).unwrap_or(0);
        if flags & value::CHAIN_BINDING != 0 {
            return;
        }
        let name = attributes
            .text(NFTA_CHAIN_NAME)
            .and_then(|name| name.parse::<ChainName>().ok());
        let Some(name) = name else {
            self.catalog.undecodable = true;
            return;
        };
        let base = base_chain(attributes);
        self.catalog.chains.insert(
            name,
            ChainRecord {
                base: base.flatten(),
                alien: base.is_none(),
                rules: Vec::new(),
            },
        );
    }

    fn rules(&mut self, socket: &mut Socket, table: &TableName) -> Result<Dump, KernelError> {
        // Names of chains are looked up as text: parsing each would allocate for every rule.
        let mut chains: BTreeMap<String, RulesRead> = BTreeMap::new();
        let dump = socket.dump(
            "the rules",
            message::GETRULE,
            nfnetlink::NFPROTO_INET,
            |buffer| buffer.text(NFTA_RULE_TABLE, table.as_str()),
            |message| {
                let attributes = message.attributes();
                if !is_ours(message, attributes, NFTA_RULE_TABLE, table) {
                    return;
                }
                let Some(chain) = attributes.text(NFTA_RULE_CHAIN) else {
                    return;
                };
                if !chains.contains_key(chain) {
                    chains.insert(chain.to_owned(), RulesRead::default());
                }
                if let Some(rules) = chains.get_mut(chain) {
                    rules.take(attributes);
                }
            },
        )?;
        for (name, record) in &mut self.catalog.chains {
            if let Some(rules) = chains.remove(name.as_str()) {
                record.rules = rules.believed();
            }
        }
        Ok(dump)
    }

    fn sets(&mut self, socket: &mut Socket, table: &TableName) -> Result<Dump, KernelError> {
        socket.dump(
            "the sets",
            message::GETSET,
            nfnetlink::NFPROTO_INET,
            |buffer| buffer.text(NFTA_SET_TABLE, table.as_str()),
            |message| {
                let attributes = message.attributes();
                if !is_ours(message, attributes, NFTA_SET_TABLE, table) {
                    return;
                }
                match observe_sets::spec(attributes) {
                    Decoded::Spec(spec) => {
                        let record = SetRecord {
                            spec: Arc::new(spec),
                            elements: None,
                        };
                        self.catalog.sets.insert(record.spec.name.clone(), record);
                    }
                    Decoded::PartOfRule => {}
                    Decoded::Undecodable => self.catalog.undecodable = true,
                }
            },
        )
    }
}

impl Reading {
    /// Reads the names of counters, and looks for quotas and the like, which we never make.
    fn stateful_objects(
        &mut self,
        socket: &mut Socket,
        table: &TableName,
    ) -> Result<Dump, KernelError> {
        socket.dump(
            "the stateful objects",
            message::GETOBJ,
            nfnetlink::NFPROTO_INET,
            |buffer| buffer.text(NFTA_OBJ_TABLE, table.as_str()),
            |message| {
                let attributes = message.attributes();
                if !is_ours(message, attributes, NFTA_OBJ_TABLE, table) {
                    return;
                }
                match counter_name(attributes) {
                    Some(name) => {
                        self.catalog.counters.insert(name);
                    }
                    None => self.catalog.undecodable = true,
                }
            },
        )
    }

    /// Looks for flow tables, which we never make.
    fn flow_tables(&mut self, socket: &mut Socket, table: &TableName) -> Result<Dump, KernelError> {
        socket.dump(
            "the flow tables",
            message::GETFLOWTABLE,
            nfnetlink::NFPROTO_INET,
            |buffer| buffer.text(NFTA_FLOWTABLE_TABLE, table.as_str()),
            |message| {
                if is_ours(message, message.attributes(), NFTA_FLOWTABLE_TABLE, table) {
                    self.catalog.undecodable = true;
                }
            },
        )
    }
}

/// The rules of a chain, as they come.
#[derive(Default)]
struct RulesRead {
    fingerprints: Vec<Option<Fingerprint>>,
    last: u64,
    /// Whether a rule is older than the one before it.
    disordered: bool,
}

impl RulesRead {
    fn take(&mut self, attributes: Attributes<'_>) {
        let handle = attributes.be64(NFTA_RULE_HANDLE).unwrap_or(0);
        self.disordered |= handle <= self.last;
        self.last = handle;
        let data = attributes.value(NFTA_RULE_USERDATA);
        self.fingerprints.push(data.and_then(rule_fingerprint));
    }

    /// Returns the fingerprints, as far as they are believed.
    ///
    /// The kernel numbers the rules of a table as they are made, and we add rules at the end alone: where one has
    /// another with a smaller number behind it, somebody put it there or in the place of one of ours, perhaps with a
    /// fingerprint of ours.
    fn believed(mut self) -> Vec<Option<Fingerprint>> {
        if self.disordered {
            self.fingerprints.fill(None);
        }
        self.fingerprints
    }
}

enum ElementsRead {
    Done,
    Interrupted,
}

fn read_elements(
    socket: &mut Socket,
    table: &TableName,
    record: &mut SetRecord,
) -> Result<ElementsRead, KernelError> {
    let mut reader = ElementReader::new(&record.spec);
    let dump = socket.dump(
        "the elements of a set",
        message::GETSETELEM,
        nfnetlink::NFPROTO_INET,
        |buffer| {
            buffer.text(NFTA_SET_ELEM_LIST_TABLE, table.as_str());
            buffer.text(NFTA_SET_ELEM_LIST_SET, record.spec.name.as_str());
        },
        |message| {
            if let Some(list) = message.attributes().nested(NFTA_SET_ELEM_LIST_ELEMENTS) {
                reader.list(list);
            }
        },
    );
    let dump = match dump {
        // It went away since it was listed.
        Err(KernelError::Refused { .. }) => return Ok(ElementsRead::Interrupted),
        other => other?,
    };
    if dump == Dump::Interrupted {
        return Ok(ElementsRead::Interrupted);
    }
    // Where one of them cannot be ours, the set has to be emptied: its elements are not known.
    record.elements = reader.finish().map(Arc::new);
    Ok(ElementsRead::Done)
}

/// Reads the name of a counter; `None` of any other object.
pub(super) fn counter_name(attributes: Attributes<'_>) -> Option<CounterName> {
    if attributes.be32(NFTA_OBJ_TYPE)? != value::OBJECT_COUNTER {
        return None;
    }
    attributes.text(NFTA_OBJ_NAME)?.parse().ok()
}

pub(super) fn is_ours(
    message: Message<'_>,
    attributes: Attributes<'_>,
    attribute: u16,
    table: &TableName,
) -> bool {
    message.family() == Some(nfnetlink::NFPROTO_INET)
        && attributes.text(attribute) == Some(table.as_str())
}

/// Reads what makes a chain a base chain; the outer `None` is a kind that we never make.
#[expect(clippy::option_option, reason = "unreadable and absent differ")]
fn base_chain(attributes: Attributes<'_>) -> Option<Option<BaseChain>> {
    let Some(hook) = attributes.nested(NFTA_CHAIN_HOOK) else {
        return Some(None);
    };
    let number = hook.be32(NFTA_HOOK_HOOKNUM)?;
    let name = attributes.text(NFTA_CHAIN_TYPE)?;
    let (_, hook_kind) = HOOKS.into_iter().find(|(known, _)| *known == number)?;
    let (_, kind) = CHAIN_TYPES.into_iter().find(|(known, _)| *known == name)?;
    if attributes.signed_be32(NFTA_CHAIN_POLICY)? != value::NF_ACCEPT {
        return None;
    }
    Some(Some(BaseChain {
        kind,
        hook: hook_kind,
        priority: hook.signed_be32(NFTA_HOOK_PRIORITY)?,
    }))
}

/// Reads the fingerprint in the user data of a rule.
pub(super) fn rule_fingerprint(data: &[u8]) -> Option<Fingerprint> {
    UserData(data)
        .find(|(kind, _)| *kind == user_data::RULE_FINGERPRINT)
        .and_then(|(_, value)| exact(value))
        .map(Fingerprint)
}
