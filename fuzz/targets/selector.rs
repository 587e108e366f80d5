//! The selector: what it reads, what it writes, and what it decides about labels.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tortie::selector::{MAX_LENGTH, MAX_NESTING, Requirement, Selector};
use tortie_fuzz::bounded;

/// Labels of some things to select: none, and all that the selector names with one of its values each, in turn.
fn things(selector: &Selector, text: &str) -> Vec<BTreeMap<String, String>> {
    let values: Vec<&str> = text.split(['"', '\'']).skip(1).step_by(2).take(8).collect();
    let labels: Vec<&str> = selector.labels().iter().map(AsRef::as_ref).collect();
    let mut things = vec![BTreeMap::new()];
    for turn in 0..=values.len() {
        let some = |step: usize| {
            labels
                .iter()
                .enumerate()
                .filter(move |(at, _)| (at + turn) % step == 0)
                .map(|(at, label)| {
                    let value = values.get((at + turn) % (values.len() + 1));
                    (
                        (*label).to_owned(),
                        value.copied().unwrap_or("x").to_owned(),
                    )
                })
                .collect()
        };
        things.push(some(1));
        things.push(some(2));
    }
    things
}

fn meets(labels: &BTreeMap<String, String>, requirement: &Requirement) -> bool {
    match requirement {
        Requirement::Equals { label, value } => {
            labels.get(&**label).is_some_and(|it| **it == **value)
        }
        Requirement::OneOf { label, values } => labels
            .get(&**label)
            .is_some_and(|it| values.contains(it.as_str())),
        Requirement::Has { label } => labels.contains_key(&**label),
    }
}

fn check(text: &str) {
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            // What is shown of it must not grow with what others wrote.
            assert!(error.to_string().len() < 4096 + 4 * MAX_LENGTH.min(text.len()));
            return;
        }
    };
    let printed = selector.as_str();
    // Printing adds parentheses and quotes, and may lead beyond the limits of what is read.
    let nested = printed.matches(['(', '!']).count();
    let again = Selector::parse(printed);
    if printed.len() <= MAX_LENGTH && nested < MAX_NESTING {
        assert_eq!(again.as_ref(), Ok(&selector), "{printed:?}");
    }
    let negated = Selector::parse(&format!("!({text})"));
    let doubled = Selector::parse(&format!("({text}) && ({text})"));
    let either = Selector::parse(&format!("({text}) || !({text})"));
    let requirements = selector.requirements();
    assert_eq!(selector.requirement().is_some(), !requirements.is_empty());
    let blank = text.trim().is_empty();
    for labels in things(&selector, text) {
        let matches = selector.matches(&labels);
        if let Ok(again) = &again {
            assert_eq!(again.matches(&labels), matches, "{printed:?} {labels:?}");
            assert_eq!(again.id(), selector.id());
        }
        if matches {
            for requirement in &requirements {
                assert!(
                    meets(&labels, requirement),
                    "{text:?} {labels:?} {requirement:?}"
                );
            }
        }
        // Nothing between parentheses is no selector.
        if !blank {
            if let Ok(negated) = &negated {
                assert_eq!(negated.matches(&labels), !matches, "{text:?} {labels:?}");
            }
            if let Ok(doubled) = &doubled {
                assert_eq!(doubled.matches(&labels), matches, "{text:?} {labels:?}");
            }
            if let Ok(either) = &either {
                assert!(either.matches(&labels), "{text:?} {labels:?}");
            }
        }
        assert_eq!(selector.and(&selector).matches(&labels), matches);
        assert!(!selector.and_not(&selector).matches(&labels));
    }
}

fuzz_target!(|text: &str| bounded((1 << 20) + 1000 * text.len(), || check(text)));
