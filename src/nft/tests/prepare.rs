//! What is made before anything leads to it.

use std::collections::BTreeSet;

use super::*;

/// Checks that packets do not see what is prepared, that no element leads to a chain of its own transaction unless a
/// packet comes back from there to where it was going, and that the two transactions do what one does.
pub(super) fn check(before: &Applied, plans: &Plans, after: &Applied) {
    let mut merged = before.clone();
    let operations = plans.operations().cloned().collect();
    merged.commit(&Plan { operations }).unwrap();
    assert_eq!(merged.ruleset(), after.ruleset());

    let old = before.ruleset();
    let mut prepared = before.clone();
    prepared.commit(&plans.prepare).unwrap();
    for (key, object) in &prepared.ruleset().objects {
        let is_base = matches!(object, Object::Chain(chain) if chain.base.is_some());
        match old.objects.get(key) {
            Some(same) => assert_eq!(object, same),
            None => assert!(!is_base, "{key} is seen at once"),
        }
    }
    let gone = |key: &&ObjectKey| !prepared.ruleset().objects.contains_key(key);
    assert_eq!(old.objects.keys().find(gone), None);

    let mut step = before.clone();
    for plan in plans.transactions() {
        check_entries(&old, plan, &after.ruleset());
        if !old.objects.is_empty() && !plan.operations.contains(&Operation::DeleteTable) {
            check_intervals(&old, &step, plan);
        }
        step.commit(plan).unwrap();
    }
}

/// Checks that an element of a map that is there leads to a chain made by the same transaction only where the
/// packet comes back as from a key that is not in the map, which it was not, or where the way on from that chain comes
/// to something that is replaced.
fn check_entries(old: &Ruleset, plan: &Plan, new: &Ruleset) {
    if plan.operations.contains(&Operation::DeleteTable) {
        return;
    }
    let made: BTreeSet<ObjectKey> = plan
        .operations
        .iter()
        .filter(|operation| matches!(operation, Operation::AddChain { .. } | Operation::AddSet(_)))
        .filter_map(Operation::object)
        .collect();
    let replaced: BTreeSet<&ObjectKey> = made
        .iter()
        .filter(|key| old.objects.contains_key(key))
        .collect();
    for operation in &plan.operations {
        let Operation::AddElements { set, elements } = operation else {
            continue;
        };
        let map = ObjectKey::Set(set.name.clone());
        let Some(Object::Set(_, known)) = old.objects.get(&map) else {
            continue;
        };
        if made.contains(&map) {
            continue;
        }
        let comes_back = |element: &Element| {
            matches!(element.verdict, Some(Verdict::Jump(_)))
                && known.iter().all(|known| known.key != element.key)
        };
        let chains = elements
            .iter()
            .filter(|element| !comes_back(element))
            .filter_map(|element| element.verdict.as_ref()?.chain());
        for chain in chains {
            let chain = ObjectKey::Chain(chain.clone());
            let held = || {
                reached(new, &chain)
                    .iter()
                    .any(|key| replaced.contains(key))
            };
            assert!(!made.contains(&chain) || held(), "{chain} was empty");
        }
    }
}

/// Checks that nothing leads to an interval set that its own transaction fills for the first time, since packets
/// would find it empty, unless it is a new one of an old name or there was no table.
fn check_intervals(old: &Ruleset, before: &Applied, plan: &Plan) {
    let mut made: BTreeSet<ObjectKey> = BTreeSet::new();
    for operation in &plan.operations {
        if let Operation::AddElements { set, .. } = operation
            && set.interval
            && !before
                .ruleset()
                .objects
                .contains_key(&ObjectKey::Set(set.name.clone()))
            && !old.objects.contains_key(&ObjectKey::Set(set.name.clone()))
        {
            made.insert(ObjectKey::Set(set.name.clone()));
        }
    }
    for operation in &plan.operations {
        if let Operation::AddRule { chain, rule, .. } = operation
            && old.objects.contains_key(&ObjectKey::Chain(chain.clone()))
        {
            let mut targets = rule.exprs.iter().filter_map(Expr::target);
            assert_eq!(
                targets.find(|target| made.contains(target)),
                None,
                "in {chain}"
            );
        }
    }
}

/// Returns an object and all that it leads to.
fn reached(ruleset: &Ruleset, start: &ObjectKey) -> BTreeSet<ObjectKey> {
    let mut reached = BTreeSet::from([start.clone()]);
    let mut open = vec![start.clone()];
    while let Some(key) = open.pop() {
        let targets: Vec<ObjectKey> = match &ruleset.objects[&key] {
            Object::Chain(chain) => {
                let exprs = chain.rules.iter().flat_map(|rule| &rule.exprs);
                exprs.filter_map(Expr::target).collect()
            }
            Object::Set(_, elements) => elements
                .iter()
                .filter_map(|element| element.verdict.as_ref()?.chain())
                .map(|chain| ObjectKey::Chain(chain.clone()))
                .collect(),
            Object::Counter(_) => Vec::new(),
        };
        for target in targets {
            if reached.insert(target.clone()) {
                open.push(target);
            }
        }
    }
    reached
}

/// An interface that belongs to the endpoint `a`, and another endpoint `b`, which has none.
fn example() -> Vec<Object> {
    let mut objects = endpoint("a");
    objects.extend([
        base_chain("input-policy", &[vmap("hep-in-if")]),
        map("hep-in-if", &[entry("eth0", goto("hep-in-a"))]),
        chain("pol-in-shared", &[Expr::Verdict(Verdict::Drop)]),
        chain("hep-in-b", &[jump("pol-in-shared")]),
    ]);
    objects
}

/// The chains and the set of an endpoint with a policy of its own.
fn endpoint(name: &str) -> Vec<Object> {
    let (chain_name, policy) = (format!("hep-in-{name}"), format!("pol-in-{name}"));
    let set = format!("sel4-{name}");
    vec![
        chain(&chain_name, &[jump(&policy), jump("pol-in-shared")]),
        chain(&policy, &[in_set(&set)]),
        addresses(&set, &["10.0.0.0/8"]),
    ]
}

fn changes_of(objects: &[Object]) -> ObjectChanges {
    Ruleset::of(objects.iter().cloned()).changes()
}

fn added(elements: &[Element]) -> ObjectChange {
    ObjectChange::Elements {
        added: elements.to_vec(),
        removed: vec![],
    }
}

/// Shows the two transactions apart.
fn texts(plans: Plans) -> (String, String) {
    let text = |enforce| {
        let plans = Plans {
            enforce,
            ..Plans::default()
        };
        plan_text(&plans, Elements::All)
    };
    (text(plans.prepare), text(plans.enforce))
}

const PREPARED: &str = "+ set sel4-new\n    + type ipv4_addr\n    + flags interval\n    + 10.0.0.0/8\n\
    + chain hep-in-new\n    + jump pol-in-new\n    + jump pol-in-shared\n\
    + chain pol-in-new\n    + @nh,96,32 @sel4-new\n";

#[test]
fn a_new_endpoint_is_made_before_its_interface_leads_to_it() {
    let mut host = Host::with(&example());
    let mut changes = changes_of(&endpoint("new"));
    let element = entry("eth1", goto("hep-in-new"));
    changes.insert(set_key("hep-in-if"), added(&[element]));
    // Nothing that is new leads to this chain, and it is rewritten at the same time.
    let shared = chain("pol-in-shared", &[accept()]);
    changes.insert(shared.key(), shared.into());
    let unused = chain("unused", &[accept()]);
    changes.insert(unused.key(), unused.into());
    let (prepare, enforce) = texts(host.change(&changes, Extent::Part).unwrap());
    assert_eq!(prepare, PREPARED);
    assert_eq!(
        enforce,
        "~ map hep-in-if\n    + \"eth1\" : goto hep-in-new\n\
         ~ chain pol-in-shared\n    - all rules\n    + accept\n\
         + chain unused\n    + accept\n"
    );
}

#[test]
fn a_new_interface_that_packets_come_back_from_takes_no_transaction_before() {
    for restarted in [false, true] {
        let mut host = Host::with(&example());
        if restarted {
            host.restart();
        }
        let mut objects = example();
        objects.retain(|object| object.key() != set_key("hep-in-if"));
        let entries = [
            entry("eth0", goto("hep-in-a")),
            entry("eth1", leap("hep-in-new")),
        ];
        objects.extend([
            map("hep-in-if", &entries),
            chain("hep-in-new", &[jump("pol-in-shared"), accept()]),
        ]);
        let plans = host.change(&changes_of(&objects), Extent::Whole).unwrap();
        let (prepare, enforce) = texts(plans);
        assert_eq!(prepare, "");
        assert_eq!(
            enforce,
            "~ map hep-in-if\n    + \"eth1\" : jump hep-in-new\n\
             + chain hep-in-new\n    + jump pol-in-shared\n    + accept\n"
        );
        // Where it led somewhere before, coming back is no longer what happened.
        let mut changes = changes_of(&[chain("hep-in-other", &[accept()])]);
        let handed = ObjectChange::Elements {
            added: vec![entry("eth1", leap("hep-in-other"))],
            removed: vec![entry("eth1", leap("hep-in-new"))],
        };
        changes.insert(set_key("hep-in-if"), handed);
        changes.insert(chain_key("hep-in-new"), ObjectChange::Absent);
        let (prepare, _) = texts(host.change(&changes, Extent::Part).unwrap());
        assert_eq!(prepare, "+ chain hep-in-other\n    + accept\n");
    }
}

#[test]
fn a_new_interval_set_is_filled_before_a_rule_looks_into_it() {
    let mut host = Host::with(&example());
    let objects = [
        addresses("sel4-b", &["10.0.0.0/8"]),
        chain("pol-in-shared", &[in_set("sel4-b")]),
    ];
    let (prepare, enforce) = texts(host.change(&changes_of(&objects), Extent::Part).unwrap());
    assert_eq!(
        prepare,
        "+ set sel4-b\n    + type ipv4_addr\n    + flags interval\n    + 10.0.0.0/8\n"
    );
    assert_eq!(
        enforce,
        "~ chain pol-in-shared\n    - all rules\n    + @nh,96,32 @sel4-b\n"
    );
}

#[test]
fn a_table_is_adopted_before_anything_else() {
    let mut host = Host::with(&example());
    let mut changes = changes_of(&endpoint("new"));
    let element = entry("eth1", goto("hep-in-new"));
    changes.insert(set_key("hep-in-if"), added(&[element]));
    let mut plans = host.change(&changes, Extent::Part).unwrap();
    plans.adopt();
    assert_eq!(plans.adopt.operations, [Operation::AddTable]);
    for plan in [&plans.prepare, &plans.enforce] {
        let tables = plan.operations.iter();
        let tables: Vec<usize> = tables
            .enumerate()
            .filter(|(_, operation)| **operation == Operation::AddTable)
            .map(|(index, _)| index)
            .collect();
        assert_eq!(tables, [0]);
    }
    let mut nothing = Plans::default();
    nothing.adopt();
    let transactions: Vec<_> = nothing.transactions().collect();
    assert_eq!(transactions, [&nothing.adopt]);
    let mut anew = Plans::default();
    anew.enforce.operations = vec![Operation::DeleteTable, Operation::AddTable];
    anew.adopt();
    assert!(anew.adopt.is_empty(), "what is made anew is ours");
}

#[test]
fn an_interface_is_handed_over_to_a_new_endpoint() {
    let mut objects: Vec<Object> = example().split_off(3);
    objects.retain(|object| object.key() != set_key("hep-in-if"));
    objects.extend(endpoint("new"));
    objects.push(map("hep-in-if", &[entry("eth0", goto("hep-in-new"))]));
    let handed = "~ map hep-in-if\n    - \"eth0\" : goto hep-in-a\n    + \"eth0\" : goto hep-in-new\n\
                  - set sel4-a\n- chain hep-in-a\n- chain pol-in-a\n";
    for restarted in [false, true] {
        let mut host = Host::with(&example());
        if restarted {
            host.restart();
        }
        let plans = host.change(&changes_of(&objects), Extent::Whole).unwrap();
        let (prepare, enforce) = texts(plans);
        assert_eq!((prepare.as_str(), enforce.as_str()), (PREPARED, handed));
    }
}

fn assert_no_chain(plan: &Plan) {
    let is_chain = |operation: &Operation| matches!(operation.object(), Some(ObjectKey::Chain(_)));
    assert!(!plan.operations.iter().any(is_chain), "{plan:#?}");
}

#[test]
fn elements_that_lead_to_what_is_there_need_no_preparation() {
    let mut host = Host::with(&example());
    let element = entry("eth1", goto("hep-in-b"));
    let mut changes = changes_of(&endpoint("unused"));
    changes.insert(set_key("hep-in-if"), added(&[element]));
    let plans = host.change(&changes, Extent::Part).unwrap();
    assert_no_chain(&plans.prepare);

    let mut objects = example();
    objects.retain(|object| object.key() != set_key("hep-in-if"));
    objects.push(map("hep-in-if", &[]));
    let plans = host.change(&changes_of(&objects), Extent::Whole).unwrap();
    assert_no_chain(&plans.prepare);
}

#[test]
fn a_map_that_is_new_needs_no_preparation() {
    let (plans, _) =
        super::super::plan(&Catalog::default(), &changes_of(&example()), Extent::Whole).unwrap();
    assert_no_chain(&plans.prepare);

    let mut host = Host::with(&[base_chain("input-policy", &[])]);
    let plans = host.change(&changes_of(&example()), Extent::Part).unwrap();
    assert_no_chain(&plans.prepare);

    host.restart();
    host.catalog.undecodable = true;
    let mut objects = example();
    objects.extend(endpoint("new"));
    let plans = host.change(&changes_of(&objects), Extent::Whole).unwrap();
    assert!(plans.prepare.is_empty(), "{plans:#?}");
}

#[test]
fn a_new_map_is_prepared_with_what_it_leads_to() {
    let mut host = Host::with(&example());
    let changes = changes_of(&[
        chain("hep-in-new", &[vmap("inner")]),
        map("inner", &[entry("eth1", goto("leaf"))]),
        chain("leaf", &[accept()]),
        map("hep-in-if", &[entry("eth1", goto("hep-in-new"))]),
    ]);
    let (prepare, _) = texts(host.change(&changes, Extent::Part).unwrap());
    assert_eq!(
        prepare,
        "+ map inner\n    + type ifname : verdict\n    + \"eth1\" : goto leaf\n\
         + chain hep-in-new\n    + iifname vmap @inner\n+ chain leaf\n    + accept\n"
    );
}

#[test]
fn what_leads_to_a_replaced_set_is_not_prepared() {
    let mut host = Host::with(&example());
    let Object::Set(spec, elements) = addresses("sel4-a", &["10.0.0.0/8"]) else {
        panic!();
    };
    let spec = SetSpec {
        size: Some(100),
        ..(*spec).clone()
    };
    let mut objects = endpoint("new");
    objects.extend([
        Object::Set(Arc::new(spec), elements),
        chain("pol-in-a", &[in_set("sel4-a"), accept()]),
        chain("hep-in-held", &[jump("pol-in-held")]),
        chain("pol-in-held", &[in_set("sel4-a"), jump("pol-in-free")]),
        chain("pol-in-free", &[accept()]),
        map(
            "hep-in-if",
            &[
                entry("eth0", goto("hep-in-a")),
                entry("eth1", goto("hep-in-new")),
                entry("eth2", goto("hep-in-held")),
            ],
        ),
    ]);
    let plans = host.change(&changes_of(&objects), Extent::Part).unwrap();
    let (prepare, enforce) = texts(plans);
    assert_eq!(prepare, PREPARED);
    for chain in ["hep-in-held", "pol-in-held", "pol-in-free"] {
        assert!(enforce.contains(&format!("+ chain {chain}\n")), "{enforce}");
    }
}

#[test]
fn what_was_prepared_in_vain_goes_or_is_used() {
    let mut wanted = example();
    wanted.retain(|object| object.key() != set_key("hep-in-if"));
    wanted.extend(endpoint("new"));
    wanted.push(map("hep-in-if", &[entry("eth0", goto("hep-in-new"))]));
    for wanted in [example(), wanted.clone()] {
        let mut host = Host::with(&example());
        let mut changes = changes_of(&endpoint("new"));
        let element = entry("eth0", goto("hep-in-new"));
        changes.insert(set_key("hep-in-if"), added(&[element]));
        let (plans, _) = super::super::plan(&host.catalog, &changes, Extent::Part).unwrap();
        host.kernel.commit(&plans.prepare).unwrap();
        host.restart();
        let plans = host.change(&changes_of(&wanted), Extent::Whole).unwrap();
        assert!(plans.prepare.is_empty(), "{plans:#?}");
        assert_eq!(host.kernel.ruleset(), Ruleset::of(wanted));
    }
}
