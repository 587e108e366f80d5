//! What is written when, and that it leads to what is wanted whatever fails meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::status::facts::Status;
use crate::status::ledger::{Found, Ledger, Write};

fn wanted(statuses: &[(&str, Status)]) -> BTreeMap<String, Status> {
    statuses
        .iter()
        .map(|(key, status)| ((*key).to_owned(), *status))
        .collect()
}

fn write(key: &str, status: Option<Status>) -> Write {
    Write {
        key: key.to_owned(),
        status,
    }
}

#[test]
fn what_is_new_waits_for_a_turn_and_what_flaps_is_written_once() {
    let mut ledger = Ledger::default();
    ledger.want(wanted(&[("a", Status::Up)]));
    assert_eq!(ledger.next(), None);
    ledger.want(wanted(&[("a", Status::Down)]));
    ledger.turn();
    ledger.want(wanted(&[("a", Status::Up)]));
    let first = ledger.next().unwrap();
    assert_eq!(first, write("a", Some(Status::Up)));
    ledger.written(&first);
    assert!(ledger.is_settled());
    ledger.want(wanted(&[]));
    assert!(!ledger.is_settled());
    ledger.turn();
    assert_eq!(ledger.next(), Some(write("a", None)));
}

#[test]
fn what_fails_does_not_hold_up_the_others() {
    let mut ledger = Ledger::default();
    let all = [("a", Status::Up), ("b", Status::Up), ("c", Status::Up)];
    ledger.want(wanted(&all));
    ledger.turn();
    let tried: Vec<String> = (0..5)
        .filter_map(|_| ledger.next())
        .map(|write| write.key)
        .collect();
    assert_eq!(tried, ["a", "b", "c", "a", "b"]);
}

#[test]
fn a_comparison_finds_what_is_wrong_stale_and_missing() {
    let mut ledger = Ledger::default();
    let all = [
        ("missing", Status::Up),
        ("right", Status::Up),
        ("unreadable", Status::Up),
        ("wrong", Status::Down),
    ];
    ledger.want(wanted(&all));
    let mut comparison = ledger.compare();
    comparison.stored("right", Some(Status::Up));
    comparison.stored("stale", Some(Status::Up));
    comparison.stored("unreadable", None);
    comparison.stored("wrong", Some(Status::Up));
    let found = Found {
        wrong: 2,
        stale: 1,
        missing: 1,
    };
    assert_eq!(comparison.finish(), found);
    let mut written = Vec::new();
    while let Some(write) = ledger.next() {
        ledger.written(&write);
        written.push((write.key, write.status.is_some()));
    }
    let expected = [
        ("missing", true),
        ("stale", false),
        ("unreadable", true),
        ("wrong", true),
    ];
    assert_eq!(written, expected.map(|(key, put)| (key.to_owned(), put)));
}

#[test]
fn however_many_keys_are_stale_few_are_kept_in_mind() {
    let mut ledger = Ledger::default();
    let mut comparison = ledger.compare();
    for number in 0..100_000 {
        comparison.stored(&number.to_string(), Some(Status::Up));
    }
    assert_eq!(comparison.finish().stale, 1000);
    let mut comparison = ledger.compare();
    for number in 100_000..200_000 {
        comparison.stored(&number.to_string(), Some(Status::Up));
    }
    assert_eq!(comparison.finish().stale, 0, "there are enough already");
}

/// What happens in one turn.
#[derive(Debug, Clone)]
enum Event {
    /// Other endpoints have a status, or one has another.
    Want(Vec<Option<Status>>),
    /// Somebody else writes or deletes a key.
    Meddle(usize, Meddling),
    /// The write of this turn, which succeeds or not.
    Turn(bool),
    /// Everything that is stored is compared.
    Compare,
}

/// What somebody else does with a key.
#[derive(Debug, Clone)]
enum Meddling {
    Delete,
    Write(Status),
    /// What is written is no status.
    WriteRubbish,
}

const KEYS: usize = 5;

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Up), Just(Status::Down), Just(Status::Error)]
}

fn meddling() -> impl Strategy<Value = Meddling> {
    prop_oneof![
        Just(Meddling::Delete),
        any_status().prop_map(Meddling::Write),
        Just(Meddling::WriteRubbish),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => prop::collection::vec(prop::option::of(any_status()), KEYS).prop_map(Event::Want),
        1 => (0..KEYS, meddling()).prop_map(|(key, how)| Event::Meddle(key, how)),
        6 => any::<bool>().prop_map(Event::Turn),
        1 => Just(Event::Compare),
    ]
}

/// The store: what it holds by key, and `None` for what is no status.
type Stored = BTreeMap<String, Option<Status>>;

fn turn(ledger: &mut Ledger, stored: &mut Stored, succeeds: bool) -> Option<Write> {
    let write = ledger.next();
    if let Some(write) = write.as_ref().filter(|_| succeeds) {
        match write.status {
            Some(status) => stored.insert(write.key.clone(), Some(status)),
            None => stored.remove(&write.key),
        };
        ledger.written(write);
    }
    ledger.turn();
    write
}

fn compare(ledger: &mut Ledger, stored: &Stored) {
    let mut comparison = ledger.compare();
    for (key, status) in stored {
        comparison.stored(key, *status);
    }
    comparison.finish();
}

proptest! {
    #[test]
    fn the_store_becomes_what_is_wanted(events in prop::collection::vec(event(), 0..60)) {
        let mut ledger = Ledger::default();
        let mut stored = Stored::new();
        let mut want = BTreeMap::new();
        let mut fresh: BTreeSet<String> = BTreeSet::new();
        let mut meddled = false;
        for event in events {
            match event {
                Event::Want(statuses) => {
                    let before = want;
                    want = statuses
                        .into_iter()
                        .enumerate()
                        .filter_map(|(key, status)| Some((key.to_string(), status?)))
                        .collect();
                    // Of what was settled and changes now nothing is written in this turn.
                    if ledger.is_settled() {
                        let keys = (0..KEYS).map(|key| key.to_string());
                        fresh.extend(keys.filter(|key| want.get(key) != before.get(key)));
                    }
                    ledger.want(want.clone());
                }
                Event::Meddle(key, how) => {
                    meddled = true;
                    let key = key.to_string();
                    match how {
                        Meddling::Delete => stored.remove(&key),
                        Meddling::Write(status) => stored.insert(key, Some(status)),
                        Meddling::WriteRubbish => stored.insert(key, None),
                    };
                }
                Event::Turn(succeeds) => {
                    if let Some(write) = turn(&mut ledger, &mut stored, succeeds) {
                        prop_assert!(!fresh.contains(&write.key), "{} too early", write.key);
                    }
                    fresh.clear();
                }
                Event::Compare => {
                    // What is found to be wrong may be written at once.
                    fresh.clear();
                    compare(&mut ledger, &stored);
                }
            }
        }
        if meddled {
            compare(&mut ledger, &stored);
        }
        for _ in 0..=KEYS {
            turn(&mut ledger, &mut stored, true);
        }
        prop_assert!(ledger.is_settled());
        let wanted: Stored = want.into_iter().map(|(key, status)| (key, Some(status))).collect();
        prop_assert_eq!(stored, wanted);
    }
}
