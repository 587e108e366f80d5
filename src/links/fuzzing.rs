//! What datagrams of a fuzzer's choice come to; compiled with `--cfg fuzzing` alone.

use super::decode::{Body, messages};
use super::dump::Dump;
use super::table::{LinkFact, LinkTable};

/// Returns what a datagram says of links and addresses.
pub fn facts(datagram: &[u8]) -> Vec<LinkFact> {
    let fact = |body| match body {
        Body::Fact(fact) => Some(fact),
        Body::End { .. } | Body::Other | Body::Malformed => None,
    };
    messages(datagram)
        .filter_map(|message| fact(message.body))
        .collect()
}

/// Returns the table that facts come to, of which every other one was announced while the rest was listed.
pub fn dumped(facts: &[LinkFact]) -> LinkTable {
    let mut dump = Dump::default();
    for (number, fact) in facts.iter().cloned().enumerate() {
        if number % 2 == 0 {
            dump.listed(fact);
        } else {
            dump.announced(fact);
        }
    }
    dump.finish()
}
