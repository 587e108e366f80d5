use std::sync::Arc;

use super::super::enforcer::{Enforcer, Step};
use super::super::{calc_settings, render_settings};
use super::*;
use crate::config::Config;
use crate::datastore::read_directory;
use crate::kernel::Kernel as _;
use crate::kernel::fake::Fake;
use crate::model::Update;
use crate::nft::{Catalog, ChainName, Element, Operation, Plan, SetSpec};
use crate::render::table_name;

/// Takes steps until nothing is left, and returns the number of transactions.
fn settle(enforcer: &mut Enforcer, kernel: &mut Fake) -> usize {
    for transactions in 0..8 {
        loop {
            match enforcer.next_step().unwrap() {
                Step::Nothing => return transactions,
                Step::Observe => {
                    let observed = kernel.observe().unwrap();
                    enforcer.observed(observed.catalog, observed.needs_adoption);
                }
                Step::Check(plan) => panic!("nothing was refused: {plan:?}"),
                Step::Commit(plans) => {
                    for plan in plans.transactions() {
                        kernel.commit(plan).unwrap();
                    }
                    enforcer.committed();
                    break;
                }
            }
        }
    }
    panic!("does not settle");
}

/// An endpoint, a set of addresses, and a policy that refers to it.
const RESOURCES: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: eth0, labels: {host: 'yes'}}
spec: {node: my-host, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: members, labels: {member: 'yes'}}
spec: {nets: [10.0.0.1, 10.0.0.2, 10.1.0.0/16]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: allow}
spec:
  selector: has(host)
  types: [Ingress]
  ingress:
    - {action: Allow, source: {selector: has(member)}}
    - {action: Allow, protocol: TCP, destination: {ports: [80]}}
";

/// Puts them in force in a table that is not owned.
fn in_force() -> (Enforcer, Fake, Catalog) {
    let config = Config::default_for("my-host");
    let mut enforcer = Enforcer::new(calc_settings(&config), render_settings(&config).unwrap());
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("resources.yaml"), RESOURCES).unwrap();
    for (key, value) in read_directory(directory.path()).unwrap().objects {
        let value = Some(value);
        enforcer.update(Update { key, value });
    }
    let mut kernel = Fake::new(table_name(), false);
    settle(&mut enforcer, &mut kernel);
    let catalog = kernel.observe().unwrap().catalog;
    (enforcer, kernel, catalog)
}

/// A set that holds something, and what it holds.
fn filled(catalog: &Catalog, verdicts: bool) -> (Arc<SetSpec>, Arc<Vec<Element>>) {
    let mut sets = catalog.sets.values();
    let found = sets.find_map(|set| {
        let elements = set.elements.clone().filter(|elements| !elements.is_empty());
        let elements = elements.filter(|_| set.spec.verdicts == verdicts)?;
        Some((Arc::clone(&set.spec), elements))
    });
    found.unwrap()
}

fn chain_with_rules(catalog: &Catalog) -> ChainName {
    let mut chains = catalog.chains.iter();
    let found = chains.find(|(_, record)| record.base.is_none() && record.rules.len() > 1);
    found.unwrap().0.clone()
}

#[test]
fn what_another_program_changes_is_undone_by_one_transaction() {
    let (mut enforcer, mut kernel, before) = in_force();
    let (set, members) = filled(&before, false);
    let (map, entries) = filled(&before, true);
    let rules = chain_with_rules(&before);
    let base = before.chains.iter().find(|(_, it)| it.base.is_some());
    let mine: ChainName = "mine".parse().unwrap();
    let some = |elements: &Arc<Vec<Element>>| Arc::new(elements.iter().take(1).cloned().collect());
    let tampering = [
        vec![Operation::DeleteElements {
            set: Arc::clone(&set),
            elements: some(&members),
        }],
        vec![Operation::FlushSet(set.name.clone())],
        vec![Operation::DeleteElements {
            set: Arc::clone(&map),
            elements: some(&entries),
        }],
        vec![Operation::FlushSet(map.name.clone())],
        vec![Operation::FlushChain(rules)],
        vec![Operation::FlushChain(base.unwrap().0.clone())],
        vec![Operation::AddChain {
            name: mine,
            base: None,
        }],
        vec![Operation::DeleteTable],
        vec![Operation::DeleteTable, Operation::AddTable],
    ];
    for operations in tampering {
        let plan = Plan { operations };
        kernel.tamper(&plan).unwrap();
        assert_ne!(kernel.observe().unwrap().catalog, before, "{plan:?}");
        let first = kernel.plans().len();
        enforcer.distrust(Distrust::default());
        assert_eq!(settle(&mut enforcer, &mut kernel), 1, "{plan:?}");
        // A set is mended under the name that it has, with the rules that refer to it.
        assert_eq!(kernel.observe().unwrap().catalog, before, "{plan:?}");
        assert_eq!(kernel.plans().len(), first + 1, "{plan:?}");
    }
}

#[test]
fn rules_that_are_not_believed_are_written_anew_though_nothing_differs() {
    let (mut enforcer, mut kernel, before) = in_force();
    let chain = chain_with_rules(&before);
    let mut distrust = Distrust::default();
    distrust.rule(chain.clone());
    enforcer.distrust(distrust);
    // One that is refused leaves them unbelieved.
    assert!(matches!(enforcer.next_step(), Ok(Step::Observe)));
    enforcer.observed(before.clone(), false);
    assert!(matches!(enforcer.next_step(), Ok(Step::Commit(_))));
    enforcer.doubt();
    settle(&mut enforcer, &mut kernel);
    let flushed = |plan: &Plan| {
        plan.operations
            .contains(&Operation::FlushChain(chain.clone()))
    };
    assert!(kernel.plans().last().is_some_and(flushed));
    assert_eq!(kernel.observe().unwrap().catalog, before);
    // And are believed from then on.
    enforcer.distrust(Distrust::default());
    assert_eq!(settle(&mut enforcer, &mut kernel), 0);
}

fn heard() -> Heard {
    Heard::Foreign {
        touched: Touched::default(),
        author: Some(Author {
            process: 7,
            command: "nft".to_owned(),
        }),
    }
}

/// Makes one that hears nothing by itself.
fn deaf() -> Drift {
    Drift {
        place: Some(Place {
            table: table_name(),
            timeout: Duration::from_secs(1),
        }),
        ..Drift::none()
    }
}

#[test]
fn of_an_owned_table_nothing_is_due() {
    let mut drift = Drift::none();
    let now = Instant::now();
    assert_eq!(drift.next(now, Some(Duration::from_secs(1))), Due::Nothing);
    assert_eq!(drift.due(now), None);
}

#[test]
fn a_fight_is_held_back_and_named() {
    let mut drift = deaf();
    let now = Instant::now();
    let mut repairs = 0;
    let held = loop {
        drift.pending.get_or_insert_default().take(heard());
        match drift.next(now, None) {
            Due::Repair { changes, .. } => {
                assert_eq!(changes, 1);
                repairs += 1;
                drift.committed();
            }
            Due::Held => break drift.due(now).unwrap(),
            Due::Nothing => panic!("nothing is due"),
        }
    };
    assert_eq!(repairs, 16);
    assert!(held > now);
    drift.pending.get_or_insert_default().take(heard());
    assert!(matches!(
        drift.next(held, None),
        Due::Repair { changes: 2, .. }
    ));
}

#[test]
fn everything_is_compared_from_time_to_time_where_nothing_can_be_heard() {
    let mut drift = deaf();
    let now = Instant::now();
    assert_eq!(drift.next(now, None), Due::Nothing);
    let later = drift.due(now).unwrap();
    assert_eq!(later, now + REOPEN);
    assert_eq!(drift.next(now, Some(Duration::from_secs(1))), Due::Nothing);
}

#[test]
fn a_pending_change_says_who_it_was() {
    let mut pending = Pending::default();
    assert_eq!(pending.by(), "nobody who is known");
    for _ in 0..20 {
        pending.take(heard());
    }
    assert_eq!(
        (pending.by().as_str(), pending.changes),
        ("process 7 (`nft`)", 20)
    );
}
