//! Folding changes, compared with reading the same from scratch.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::fold::{Change, Fold, Message, News, Revisions};
use crate::model::{Resource, ResourceKey, Update};
use std::sync::Arc;

const KEYS: [&str; 10] = [
    "/calico/v1/Ready",
    "/calico/v1/config/LogPrefix",
    "/calico/v1/config/logprefix",
    "/calico/v1/host/h/bird_ip",
    "/calico/v1/policy/profile/p/rules",
    "/calico/v1/policy/profile/p/tags",
    "/calico/v1/policy/profile/p/labels",
    "/calico/v1/policy/tier/default/policy/x",
    "/calico/resources/v3/projectcalico.org/tiers/t",
    "/calico/resources/v3/projectcalico.org/unknown/t",
];
const VALUES: [&str; 6] = [
    "{}",
    "true",
    "192.0.2.1",
    r#"{"order":3,"inbound_rules":[{"action":"deny"}]}"#,
    r#"{"spec":{"order":7}}"#,
    r#"["a"]"#,
];

type State = BTreeMap<&'static str, &'static str>;

fn scratch(state: &State) -> Fold {
    let mut fold = Fold::default();
    for (key, value) in state {
        fold.put(key.as_bytes(), value.as_bytes());
    }
    fold.settle();
    fold
}

fn told(updates: Vec<Update>, heard: &mut BTreeMap<ResourceKey, Arc<Resource>>) {
    for update in updates {
        match update.value {
            Some(value) => heard.insert(update.key, value),
            None => heard.remove(&update.key),
        };
    }
}

fn change() -> impl Strategy<Value = (usize, Option<usize>)> {
    (0..KEYS.len(), prop::option::of(0..VALUES.len()))
}

proptest! {
    #[test]
    fn what_was_told_is_what_a_fresh_reading_says(
        steps in prop::collection::vec((prop::collection::vec(change(), 0..6), any::<bool>()), 0..12),
    ) {
        let mut state = State::new();
        let mut fold = Fold::default();
        let mut heard = BTreeMap::new();
        for (changes, resync) in steps {
            for (key, value) in changes {
                let value = value.map(|index| VALUES[index]);
                match value {
                    Some(value) => state.insert(KEYS[key], value),
                    None => state.remove(KEYS[key]),
                };
                if !resync {
                    fold.apply(&Change {
                        revision: 1,
                        key: KEYS[key].into(),
                        value: value.map(Into::into),
                    });
                }
            }
            let news = if resync {
                fold.replace(scratch(&state))
            } else {
                fold.settle()
            };
            told(news.updates, &mut heard);
            prop_assert_eq!(&heard, &scratch(&state).resources());
            prop_assert_eq!(&fold.resources(), &heard);
        }
        prop_assert_eq!(fold.replace(scratch(&state)), News::default());
    }
}

#[test]
fn a_problem_is_told_once() {
    let (key, bad) = (
        "/calico/v1/policy/tier/default/policy/x",
        r#"{"selector":"("}"#,
    );
    let state = State::from([(key, bad)]);
    let mut fold = Fold::default();
    fold.put(key.as_bytes(), bad.as_bytes());
    assert_eq!(fold.settle().problems.len(), 1);
    fold.put(key.as_bytes(), bad.as_bytes());
    assert_eq!(fold.settle(), News::default());
    assert_eq!(fold.replace(scratch(&state)), News::default());
    fold.delete(key.as_bytes());
    assert_eq!(fold.settle(), News::default());
    fold.put(key.as_bytes(), bad.as_bytes());
    assert_eq!(fold.settle().problems.len(), 1);
}

fn changes(revisions: &[i64]) -> Vec<Change> {
    revisions
        .iter()
        .map(|revision| Change {
            revision: *revision,
            key: Vec::new(),
            value: None,
        })
        .collect()
}

#[test]
fn half_a_revision_is_held_back() {
    let mut revisions = Revisions::after(4);
    let mut take = |numbers: &[i64], message| {
        let whole = revisions.take(changes(numbers), message);
        let numbers: Vec<i64> = whole.iter().map(|change| change.revision).collect();
        (numbers, revisions.applied())
    };
    assert_eq!(take(&[4, 5, 5], Message::Whole), (vec![5, 5], 5));
    assert_eq!(take(&[6, 7, 7], Message::Fragment), (vec![6], 6));
    assert_eq!(take(&[7], Message::Fragment), (vec![], 6));
    assert_eq!(take(&[7, 8], Message::Fragment), (vec![7, 7, 7, 7], 7));
    assert_eq!(take(&[], Message::Whole), (vec![8], 8));
}
