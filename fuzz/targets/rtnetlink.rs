//! What the kernel says over rtnetlink of links, addresses, routes and neighbours.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use tortie::links::LinkTable;
use tortie::links::fuzzing::{dumped, facts};
use tortie::routes::fuzzing::planned;
use tortie::routes::{Settings, SpoofedSources, Wiring};
use tortie_fuzz::bounded;

fn check(bytes: &[u8]) {
    let facts = facts(bytes);
    // Each fact has a header of its own.
    assert!(facts.len() <= bytes.len() / 16);
    let mut table = LinkTable::default();
    for fact in facts.iter().cloned() {
        table.apply(fact);
    }
    let links = table.links();
    let mut changed = table.take_changes();
    assert_eq!(changed.len(), links.len(), "{changed:?}");
    assert_eq!(table.take_changes(), [], "told once");
    // Facts that are known change nothing, and another reading is taken over with all its differences.
    let mut other = dumped(&facts);
    other.take_changes();
    let wanted = other.links();
    table.replace(other);
    changed = table.take_changes();
    assert_eq!(table.links(), wanted, "{changed:?}");

    let wiring = Wiring {
        addresses: BTreeSet::from(["10.65.0.2", "fd00::2"].map(|text| match text.parse() {
            Ok(address) => address,
            Err(error) => panic!("{error}"),
        })),
        mac: Some([2; 6]),
        spoofing: SpoofedSources::Refused,
    };
    let Ok(name) = "cali0".parse() else { return };
    let wanted = BTreeMap::from([(name, wiring)]);
    let outcome = planned(bytes, &wanted, &Settings::default());
    assert!(outcome.facts <= bytes.len() / 16);
    assert!(outcome.operations <= 2 * outcome.facts + 4, "{outcome:?}");
}

fuzz_target!(|bytes: &[u8]| bounded((1 << 20) + 1000 * bytes.len(), || check(bytes)));
