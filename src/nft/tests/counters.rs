//! Counters outlive the rules that refer to them, and nothing else.

use super::*;

fn example() -> Vec<Object> {
    vec![
        counter("allowed"),
        chain_of("pol", None, &[rule(&[count("allowed"), accept()])]),
        base_chain("base", &[jump("pol")]),
    ]
}

#[test]
fn a_rule_changes_and_its_counter_stays() {
    let mut host = Host::with(&example());
    let other = rule(&[Expr::NetworkFamily(Family::V4), count("allowed"), accept()]);
    let changed = host.put(&[counter("allowed"), chain_of("pol", None, &[other])]);
    let shown = changed.unwrap();
    assert!(
        shown.starts_with("~ chain pol\n    - all rules\n"),
        "{shown}"
    );
    assert!(!shown.contains("counter allowed"), "{shown}");
    // Neither a rule that is gone, nor a start, nor another chain.
    host.put(&[chain("pol", &[])]).unwrap();
    host.restart();
    let mut objects = example();
    objects.push(chain("new", &[count("allowed")]));
    let whole = Ruleset::of(objects);
    let plans = host.change(&whole.changes(), Extent::Whole).unwrap();
    let touched = |operation: &Operation| operation.object() == Some(counter_key("allowed"));
    assert!(!plans.operations().any(touched), "{plans:#?}");
}

#[test]
fn a_counter_goes_after_its_last_rule_in_one_transaction() {
    let mut host = Host::with(&example());
    let shown = host.part(&[
        (counter_key("allowed"), ObjectChange::Absent),
        (chain_key("pol"), chain("pol", &[accept()]).into()),
    ]);
    let expected = "- counter allowed\n~ chain pol\n    - all rules\n    + accept\n";
    assert_eq!(shown.unwrap(), expected);
    // With the chain itself, and where references are not known.
    for restarted in [false, true] {
        let mut host = Host::with(&example());
        if restarted {
            host.restart();
        }
        let rest = Ruleset::of([base_chain("base", &[])]);
        host.change(&rest.changes(), Extent::Whole).unwrap();
        assert_eq!(host.kernel.ruleset(), rest);
    }
}

#[test]
fn what_is_counted_must_have_a_counter() {
    let mut host = Host::with(&example());
    let dangling = host.put(&[chain("pol", &[count("other")])]);
    assert_eq!(
        dangling,
        Err(PlanError::Dangling {
            user: chain_key("pol"),
            target: counter_key("other"),
        })
    );
    let held = host.part(&[(counter_key("allowed"), ObjectChange::Absent)]);
    assert_eq!(
        held,
        Err(PlanError::InUse {
            object: counter_key("allowed"),
            user: chain_key("pol"),
        })
    );
    // The stand-in for the kernel says the same.
    let refused = |operation: Operation| {
        let operations = vec![operation];
        host.kernel
            .clone()
            .commit(&Plan { operations })
            .unwrap_err()
            .errno
    };
    let name = |text: &str| text.parse::<CounterName>().unwrap();
    assert_eq!(
        refused(Operation::DeleteCounter(name("allowed"))),
        Errno::Busy
    );
    assert_eq!(
        refused(Operation::DeleteCounter(name("other"))),
        Errno::NoEntry
    );
    assert_eq!(
        refused(Operation::AddCounter(name("allowed"))),
        Errno::Exists
    );
    let misfiled = (chain_key("pol"), ObjectChange::Counter);
    let misfiled = host.part(&[misfiled]);
    assert_eq!(
        misfiled,
        Err(PlanError::Misfiled {
            key: chain_key("pol")
        })
    );
}

#[test]
fn a_counter_is_shown_as_nft_shows_it() {
    let table = "tortie".parse().unwrap();
    let text = ruleset_text(&table, &Ruleset::of(example()), Elements::All);
    let expected =
        "table inet tortie {\n\tcounter allowed {\n\t\tpackets 0 bytes 0\n\t}\n\n\tchain base";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("\t\tcounter name \"allowed\" accept\n"),
        "{text}"
    );
}
