//! Reading of what the counters of our table have counted, beside whoever writes the table.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;

use super::decode::{Attributes, exact};
use super::encode::consts::attribute::{
    NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_OBJ_DATA, NFTA_OBJ_TABLE, NFTA_OBJ_TYPE,
};
use super::encode::consts::{message, nfnetlink, value};
use super::error::KernelError;
use super::observe::{counter_name, is_ours};
use super::socket::{Dump, Socket};
use crate::nft::{CounterName, TableName};

/// How often a reading is repeated that somebody's change of the ruleset has interrupted.
const ATTEMPTS: u32 = 4;

/// What a counter has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the network header on.
    pub bytes: u64,
}

/// Reads the counters of our table, on a socket of its own.
#[derive(Debug)]
pub struct CounterReader {
    socket: Socket,
    table: TableName,
    /// What was read last.
    known: BTreeMap<CounterName, Count>,
}

impl CounterReader {
    /// Opens the socket in the network namespace of the calling thread; `patience` is how long the kernel may be
    /// silent.
    ///
    /// # Errors
    /// Fails without a socket.
    pub fn open(table: TableName, patience: Duration) -> Result<Self, KernelError> {
        let socket = Socket::open(patience)?;
        Ok(Self {
            socket,
            table,
            known: BTreeMap::new(),
        })
    }

    /// Returns what each counter has counted; nothing where there is no table.
    ///
    /// Each count is one of a moment, all of them together are not: packets go on meanwhile. Where the ruleset changes
    /// so often that no list comes to an end, counters that were passed over keep the count that was read before.
    ///
    /// # Errors
    /// Fails where the kernel does not answer.
    pub fn read(&mut self) -> Result<BTreeMap<CounterName, Count>, KernelError> {
        let mut counts = BTreeMap::new();
        for _ in 0..ATTEMPTS {
            // What was read before an interruption is good; only others may have been passed over.
            if self.dump(&mut counts)? == Dump::Complete {
                self.known.clone_from(&counts);
                return Ok(counts);
            }
        }
        self.known.append(&mut counts);
        Ok(self.known.clone())
    }

    fn dump(&mut self, counts: &mut BTreeMap<CounterName, Count>) -> Result<Dump, KernelError> {
        let Self { socket, table, .. } = self;
        let dump = socket.dump(
            "the counters",
            message::GETOBJ,
            nfnetlink::NFPROTO_INET,
            |buffer| {
                buffer.text(NFTA_OBJ_TABLE, table.as_str());
                buffer.be32(NFTA_OBJ_TYPE, value::OBJECT_COUNTER);
            },
            |message| {
                let attributes = message.attributes();
                if is_ours(message, attributes, NFTA_OBJ_TABLE, table)
                    && let Some(name) = counter_name(attributes)
                    && let Some(count) = count(attributes)
                {
                    counts.insert(name, count);
                }
            },
        );
        match dump {
            // The kernel may refuse to list what is in a table that is not there.
            Err(KernelError::Refused {
                source: Errno::ENOENT,
                ..
            }) => Ok(Dump::Complete),
            other => other,
        }
    }
}

/// Reads the numbers of a counter.
fn count(attributes: Attributes<'_>) -> Option<Count> {
    let data = attributes.nested(NFTA_OBJ_DATA)?;
    let number = |attribute| exact(data.value(attribute)?).map(u64::from_be_bytes);
    Some(Count {
        packets: number(NFTA_COUNTER_PACKETS)?,
        bytes: number(NFTA_COUNTER_BYTES)?,
    })
}
