//! What is done for which change.

use super::*;

fn elements(added: &[Element], removed: &[Element]) -> ObjectChange {
    ObjectChange::Elements {
        added: added.to_vec(),
        removed: removed.to_vec(),
    }
}

/// A base chain, a map, two chains and a set.
fn example() -> Vec<Object> {
    vec![
        base_chain("input-policy", &[vmap("hep-in-if")]),
        map(
            "hep-in-if",
            &[entry("eth0", goto("a")), entry("eth1", goto("b"))],
        ),
        chain("a", &[in_set("nets"), accept()]),
        chain("b", &[accept()]),
        addresses("nets", &["10.0.0.0/8", "11.0.0.0/8"]),
    ]
}

#[test]
fn nothing_to_do_is_an_empty_plan() {
    let mut host = Host::with(&example());
    let ruleset = Ruleset::of(example());
    assert_eq!(host.kernel.ruleset(), ruleset);
    for extent in [Extent::Whole, Extent::Part] {
        let plan = host.change(&ruleset.changes(), extent).unwrap();
        assert!(plan.is_empty(), "{plan:?}");
    }
    host.restart();
    let plan = host.change(&ruleset.changes(), Extent::Whole).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    assert!(host.catalog.references_known());
    let (plan, _) = super::super::plan(
        &Catalog::default(),
        &ObjectChanges::default(),
        Extent::Whole,
    )
    .unwrap();
    assert!(plan.is_empty());
}

#[test]
fn a_load_from_nothing_makes_what_is_used_before_its_users() {
    let changes = Ruleset::of(example()).changes();
    let (plan, _) = super::super::plan(&Catalog::default(), &changes, Extent::Part).unwrap();
    let kinds: Vec<&str> = plan
        .operations()
        .map(|operation| match operation {
            Operation::DeleteTable => "delete table",
            Operation::AddTable => "table",
            Operation::AddCounter(_) => "counter",
            Operation::AddSet(_) => "set",
            Operation::AddChain { .. } => "chain",
            Operation::DeleteElements { .. } => "delete elements",
            Operation::FlushSet(_) => "flush set",
            Operation::FlushChain(_) => "flush chain",
            Operation::AddRule { .. } => "rule",
            Operation::AddElements { .. } => "elements",
            Operation::DeleteChain(_) => "delete chain",
            Operation::DeleteSet(_) => "delete set",
            Operation::DeleteCounter(_) => "delete counter",
        })
        .collect();
    let expected = [
        "table", "set", "set", "chain", "chain", "chain", "rule", "rule", "rule", "rule",
        "elements", "elements",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_chain_that_grew_keeps_its_rules() {
    let mut host = Host::with(&example());
    let grown = chain("b", &[accept(), Expr::Counter]);
    assert_eq!(host.put(&[grown]).unwrap(), "~ chain b\n    + counter\n");
    let other = chain("b", &[Expr::Counter, accept()]);
    assert_eq!(
        host.put(&[other]).unwrap(),
        "~ chain b\n    - all rules\n    + counter\n    + accept\n"
    );
    let shorter = chain("b", &[Expr::Counter]);
    assert_eq!(
        host.put(&[shorter]).unwrap(),
        "~ chain b\n    - all rules\n    + counter\n"
    );
}

#[test]
fn a_rule_of_somebody_else_is_removed() {
    let mut host = Host::with(&example());
    host.restart();
    let record = host.catalog.chains.get_mut(&"b".parse().unwrap()).unwrap();
    record.rules.push(None);
    let changes = Ruleset::of(example()).changes();
    let plan = host.change(&changes, Extent::Whole).unwrap();
    assert_eq!(
        plan_text(&plan, Elements::All),
        "~ chain b\n    - all rules\n    + accept\n"
    );
}

#[test]
fn only_the_elements_that_differ_are_touched() {
    let mut host = Host::with(&example());
    let nets = addresses("nets", &["11.0.0.0/8", "12.0.0.0/8"]);
    let differing = "~ set nets\n    - 10.0.0.0/8\n    + 12.0.0.0/8\n";
    // What was committed is remembered only as a digest.
    assert_eq!(
        host.put(&[nets]).unwrap(),
        "~ set nets\n    - all elements\n    + 11.0.0.0/8\n    + 12.0.0.0/8\n"
    );
    let mut host = Host::with(&example());
    host.restart();
    let mut objects = example();
    objects.pop();
    objects.push(addresses("nets", &["11.0.0.0/8", "12.0.0.0/8"]));
    let changes = Ruleset::of(objects.clone()).changes();
    let plan = host.change(&changes, Extent::Whole).unwrap();
    assert_eq!(plan_text(&plan, Elements::All), differing);

    let mut host = Host::with(&example());
    let change = elements(&[net("12.0.0.0/8")], &[net("10.0.0.0/8")]);
    assert_eq!(host.part(&[(set_key("nets"), change)]).unwrap(), differing);
    let plan = host.change(&changes, Extent::Whole).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
}

#[test]
fn a_set_whose_elements_could_not_be_read_is_filled_anew() {
    let mut host = Host::with(&example());
    host.restart();
    let record = host.catalog.sets.get_mut(&"nets".parse().unwrap());
    record.unwrap().elements = None;
    let changes = Ruleset::of(example()).changes();
    let plan = host.change(&changes, Extent::Whole).unwrap();
    assert_eq!(
        plan_text(&plan, Elements::All),
        "~ set nets\n    - all elements\n    + 10.0.0.0/8\n    + 11.0.0.0/8\n"
    );
}

#[test]
fn a_wider_prefix_takes_the_place_of_narrower_ones() {
    let mut host = Host::with(&[addresses("nets", &["10.1.0.0/16", "10.2.0.0/16"])]);
    let change = elements(
        &[net("10.0.0.0/8")],
        &[net("10.1.0.0/16"), net("10.2.0.0/16")],
    );
    host.part(&[(set_key("nets"), change)]).unwrap();
    let back = elements(&[net("10.1.0.0/16")], &[net("10.0.0.0/8")]);
    host.part(&[(set_key("nets"), back)]).unwrap();
    let expected = Ruleset::of([addresses("nets", &["10.1.0.0/16"])]);
    assert_eq!(host.kernel.ruleset(), expected);
}

#[test]
fn a_verdict_that_changes_replaces_its_element() {
    let mut host = Host::with(&example());
    let change = elements(
        &[entry("eth0", goto("b")), entry("eth1", goto("b"))],
        &[entry("eth9", Verdict::Drop)],
    );
    assert_eq!(
        host.part(&[(set_key("hep-in-if"), change)]).unwrap(),
        "~ map hep-in-if\n    - \"eth0\" : goto a\n    + \"eth0\" : goto b\n"
    );
    // Nothing leads to `a` any more.
    let gone = [
        (chain_key("a"), ObjectChange::Absent),
        (set_key("nets"), ObjectChange::Absent),
    ];
    assert_eq!(host.part(&gone).unwrap(), "- set nets\n- chain a\n");
}

#[test]
fn users_go_before_what_they_use() {
    let deep = [
        base_chain("base", &[jump("z"), vmap("m")]),
        chain("a", &[accept()]),
        chain("m", &[jump("a"), in_set("nets")]),
        chain("z", &[jump("m")]),
        map("m", &[entry("eth0", goto("z"))]),
        addresses("nets", &["10.0.0.0/8"]),
    ];
    for restarted in [false, true] {
        let mut host = Host::with(&deep);
        if restarted {
            host.restart();
        }
        let kept = Ruleset::of([base_chain("base", &[])]);
        host.change(&kept.changes(), Extent::Whole).unwrap();
        assert_eq!(host.kernel.ruleset(), kept);
    }
}

#[test]
fn an_unreadable_table_is_replaced_as_a_whole() {
    let mut host = Host::with(&example());
    host.restart();
    host.catalog.undecodable = true;
    let changes = Ruleset::of(example()).changes();
    assert_eq!(
        host.change(&changes, Extent::Part),
        Err(PlanError::Undecodable)
    );
    let plan = host.change(&changes, Extent::Whole).unwrap();
    assert!(plan.prepare.is_empty());
    let start = &plan.enforce.operations[..2];
    assert_eq!(start, [Operation::DeleteTable, Operation::AddTable]);
    assert_eq!(host.kernel.ruleset(), Ruleset::of(example()));
    assert!(!host.catalog.undecodable && host.catalog.references_known());
}

#[test]
fn what_cannot_be_changed_is_made_anew() {
    let base = |priority, name: &str| {
        let base = BaseChain {
            priority,
            ..input()
        };
        chain_of(name, Some(base), &[rule(&[jump("a")])])
    };
    let mut host = Host::with(&[base(0, "base"), chain("a", &[accept()])]);
    assert_eq!(
        host.put(&[base(5, "base")]).unwrap(),
        "~ chain base\n    - all rules\n    + type filter hook input priority filter + 5; policy \
         accept;\n    + jump a\n"
    );

    let mut host = Host::with(&example());
    let Object::Set(spec, elements) = addresses("nets", &["10.0.0.0/8"]) else {
        panic!();
    };
    let size = Some(100);
    let sized = Object::Set(
        Arc::new(SetSpec {
            size,
            ..(*spec).clone()
        }),
        elements,
    );
    assert_eq!(
        host.put(std::slice::from_ref(&sized)),
        Err(PlanError::Held {
            object: set_key("nets"),
            user: chain_key("a"),
        })
    );
    let user = chain("a", &[in_set("nets"), accept()]);
    host.put(&[sized.clone(), user]).unwrap();
    assert_eq!(host.kernel.ruleset().objects[&set_key("nets")], sized);
}

#[test]
fn a_part_needs_to_know_the_references() {
    let mut host = Host::with(&example());
    host.restart();
    let part = host.put(&[chain("b", &[])]);
    assert_eq!(part, Err(PlanError::ReferencesUnknown));
}
