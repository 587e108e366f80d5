//! What a datagram of a fuzzer's choice leads to; compiled with `--cfg fuzzing` alone.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::fact;
use super::dump::Dump;
use super::ours::Ours;
use super::plan::{Knowledge, View, plan};
use super::settings::{Settings, Wiring};
use super::wire::{Malformed, messages};
use crate::net::InterfaceName;

/// What a datagram came to.
#[derive(Debug)]
pub struct Outcome {
    /// How many facts it held.
    pub facts: usize,
    /// How many changes of the kernel it would lead to.
    pub operations: usize,
}

/// Reads a datagram as the kernel's, half of it as a listing, and plans by it.
pub fn planned(
    datagram: &[u8],
    wanted: &BTreeMap<InterfaceName, Wiring>,
    settings: &Settings,
) -> Outcome {
    let mut dump = Dump::default();
    let mut facts = 0;
    for message in messages(datagram) {
        let Ok(Some(fact)) = message.and_then(|message| fact(&message)) else {
            continue;
        };
        if facts % 2 == 0 {
            dump.listed(fact, settings);
        } else {
            dump.announced(fact, settings);
        }
        facts += 1;
    }
    let nothing = BTreeSet::new();
    let plan = plan(&View {
        settings,
        wanted,
        knowledge: Knowledge::Whole,
        observed: &dump.finish(),
        ours: &Ours::default(),
        flushing: &nothing,
        inherited: &nothing,
        in_grace: &BTreeSet::new(),
    });
    Outcome {
        facts,
        operations: plan.operations.len(),
    }
}

/// Tells whether a datagram can be taken apart to its end.
pub fn is_whole(datagram: &[u8]) -> bool {
    let whole = messages(datagram).collect::<Result<Vec<_>, Malformed>>();
    whole.is_ok()
}
