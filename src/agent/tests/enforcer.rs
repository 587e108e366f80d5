//! How the enforcer follows what is wanted, whatever becomes of its transactions.

use std::path::Path;

use nix::errno::Errno;

use super::*;
use crate::agent::{calc_settings, render_settings};
use crate::config::Config;
use crate::datastore::read_directory;
use crate::kernel::Kernel as _;
use crate::kernel::fake::{Fake, Fault};
use crate::nft::Operation;
use crate::render::table_name;
use crate::status::{Carrier, Facts, Status, Wiring};

/// The host that the examples are for.
const HOSTNAME: &str = "my-host";

pub(in crate::agent) fn examples() -> Vec<Update> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let objects = read_directory(&path).unwrap().objects;
    let update = |(key, value)| Update {
        key,
        value: Some(value),
    };
    objects.into_iter().map(update).collect()
}

fn settings(change: impl Fn(&mut Config)) -> (CalcSettings, RenderSettings) {
    let mut config = Config::default_for(HOSTNAME);
    change(&mut config);
    (calc_settings(&config), render_settings(&config).unwrap())
}

pub(in crate::agent) fn enforcer(change: impl Fn(&mut Config)) -> Enforcer {
    let (calc, render) = settings(change);
    Enforcer::new(calc, render)
}

/// Takes steps until nothing is left; at most so many transactions may fail.
fn settle(enforcer: &mut Enforcer, kernel: &mut Fake, mut failures: usize) {
    for _ in 0..200 {
        match enforcer.next_step().unwrap() {
            Step::Nothing => return,
            Step::Observe => {
                let observed = kernel.observe().unwrap();
                enforcer.observed(observed.catalog, observed.needs_adoption);
            }
            Step::Check(plan) => {
                enforcer.answered(&kernel.check(&plan));
            }
            Step::Commit(plans) => commit(enforcer, kernel, &plans, &mut failures),
        }
    }
    panic!("does not settle");
}

fn commit(enforcer: &mut Enforcer, kernel: &mut Fake, plans: &Plans, failures: &mut usize) {
    let outcome = plans
        .transactions()
        .try_for_each(|plan| kernel.commit(plan).map(|_| ()));
    match outcome {
        Ok(()) => enforcer.committed(),
        Err(error) => {
            assert!(*failures > 0, "{error}");
            *failures -= 1;
            enforcer.refused(&error);
        }
    }
}

/// Returns what the table holds where a start finds nothing.
pub(in crate::agent) fn from_scratch(
    updates: &[Update],
    change: impl Fn(&mut Config),
) -> crate::nft::Catalog {
    let mut kernel = Fake::new(table_name(), true);
    let mut enforcer = enforcer(change);
    updates
        .iter()
        .cloned()
        .for_each(|update| enforcer.update(update));
    settle(&mut enforcer, &mut kernel, 0);
    kernel.observe().unwrap().catalog
}

fn reject(config: &mut Config) {
    config.policy.filter_deny_action = crate::config::DenyAction::Reject;
}

#[test]
fn a_transaction_that_fails_in_any_way_is_made_up_for() {
    let updates = examples();
    let (first, second) = updates.split_at(updates.len() / 2);
    let wanted = from_scratch(&updates, |_| {});
    let refusal = Fault::Refuse {
        operation: 0,
        errno: Errno::ENOMEM,
    };
    for fault in [refusal, Fault::Lost, Fault::AnswerLost] {
        for number in 0..4 {
            let mut kernel = Fake::new(table_name(), true);
            kernel.fail_commit(number, fault.clone());
            let mut enforcer = enforcer(|_| {});
            for half in [first, second] {
                half.iter()
                    .cloned()
                    .for_each(|update| enforcer.update(update));
                settle(&mut enforcer, &mut kernel, 1);
            }
            let held = kernel.observe().unwrap().catalog;
            assert_eq!(held, wanted, "{fault:?} at {number}");
        }
    }
}

#[test]
fn what_changes_while_a_transaction_is_in_flight_is_not_lost() {
    let updates = examples();
    for (index, change) in [(0, false), (1, false), (0, true), (1, true)] {
        let (first, second) = updates.split_at(updates.len() / 2);
        let mut kernel = Fake::new(table_name(), true);
        let mut enforcer = enforcer(|_| {});
        first
            .iter()
            .cloned()
            .for_each(|update| enforcer.update(update));
        assert!(matches!(enforcer.next_step(), Ok(Step::Observe)));
        let happen = |enforcer: &mut Enforcer| {
            second
                .iter()
                .cloned()
                .for_each(|update| enforcer.update(update));
            if change {
                let (calc, render) = settings(reject);
                enforcer.reconfigure(calc, render);
            }
        };
        if index == 0 {
            happen(&mut enforcer);
        }
        let observed = kernel.observe().unwrap();
        enforcer.observed(observed.catalog, observed.needs_adoption);
        let Ok(Step::Commit(plans)) = enforcer.next_step() else {
            panic!("nothing to commit");
        };
        if index == 1 {
            happen(&mut enforcer);
        }
        commit(&mut enforcer, &mut kernel, &plans, &mut 0);
        settle(&mut enforcer, &mut kernel, 0);
        let wanted = if change {
            from_scratch(&updates, reject)
        } else {
            from_scratch(&updates, |_| {})
        };
        assert_eq!(
            kernel.observe().unwrap().catalog,
            wanted,
            "{index} {change}"
        );
    }
}

#[test]
fn a_start_with_other_base_chains_adopts_the_table_first() {
    let updates = examples();
    let mut kernel = Fake::new(table_name(), true);
    let append = |config: &mut Config| {
        config.policy.chain_insert_mode = crate::config::ChainInsertMode::Append;
    };
    for second in [false, true] {
        kernel.release();
        let mut enforcer = if second {
            enforcer(append)
        } else {
            enforcer(|_| {})
        };
        updates
            .iter()
            .cloned()
            .for_each(|update| enforcer.update(update));
        settle(&mut enforcer, &mut kernel, 0);
    }
    let held = kernel.observe().unwrap().catalog;
    assert_eq!(held, from_scratch(&updates, append));
}

#[test]
fn an_unchanged_start_adopts_the_table_and_writes_nothing_else() {
    let updates = examples();
    let mut kernel = Fake::new(table_name(), true);
    for _ in 0..2 {
        kernel.release();
        let mut enforcer = enforcer(|_| {});
        updates
            .iter()
            .cloned()
            .for_each(|update| enforcer.update(update));
        settle(&mut enforcer, &mut kernel, 0);
    }
    let plans = kernel.plans();
    let adoption = plans.last().unwrap();
    assert_eq!(adoption.operations, [Operation::AddTable]);
}

#[test]
fn counters_are_kept_by_a_start_and_go_with_the_switch() {
    let counted = |config: &mut Config| {
        config.policy.counters = crate::config::PolicyCounters::Enabled;
    };
    let updates = examples();
    let mut kernel = Fake::new(table_name(), true);
    let start = |kernel: &mut Fake, change: &dyn Fn(&mut Config)| {
        kernel.release();
        let mut enforcer = enforcer(change);
        updates
            .iter()
            .cloned()
            .for_each(|update| enforcer.update(update));
        settle(&mut enforcer, kernel, 0);
        enforcer
    };
    for _ in 0..2 {
        let mut enforcer = start(&mut kernel, &counted);
        let counters = kernel.observe().unwrap().catalog.counters;
        let Some(CounterNews::Whole(news)) = enforcer.take_counter_news() else {
            panic!("no news of the whole");
        };
        assert!(!counters.is_empty() && counters.iter().eq(news.keys()));
        assert_eq!(enforcer.take_counter_news(), None);
    }
    let plans = kernel.plans();
    assert_eq!(plans.last().unwrap().operations, [Operation::AddTable]);
    start(&mut kernel, &|_| {});
    let held = kernel.observe().unwrap().catalog;
    assert_eq!(held, from_scratch(&updates, |_| {}));
}

/// A workload endpoint of this host, or its end.
pub(in crate::agent) fn workload(there: bool) -> Update {
    let text = format!(
        "{{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, \
         metadata: {{name: {}-k8s-pod-eth0, namespace: ns}}, \
         spec: {{interfaceName: cali0, ipNetworks: [10.65.0.1]}}}}",
        HOSTNAME.replace('-', "--"),
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("workload.yaml"), text).unwrap();
    let (key, value) = read_directory(directory.path()).unwrap().objects.remove(0);
    Update {
        key,
        value: Some(value).filter(|_| there),
    }
}

#[test]
fn an_endpoint_is_up_only_once_the_kernel_has_taken_its_policy() {
    let mut kernel = Fake::new(table_name(), true);
    let mut enforcer = enforcer(|_| {});
    let mut facts = Facts::default();
    let interface: InterfaceName = "cali0".parse().unwrap();
    facts.link(interface.clone(), Some(Carrier::Up));
    facts.wired(&interface, Wiring::Done);
    settle(&mut enforcer, &mut kernel, 0);
    facts.committed(enforcer.take_weighed().endpoints);
    assert!(facts.statuses().is_empty());
    let refusal = Fault::Refuse {
        operation: 0,
        errno: Errno::ENOMEM,
    };
    kernel.fail_commit(kernel.plans().len(), refusal);
    enforcer.update(workload(true));
    let mut heard: Vec<Vec<Status>> = Vec::new();
    loop {
        match enforcer.next_step().unwrap() {
            Step::Nothing => break,
            Step::Observe => {
                let observed = kernel.observe().unwrap();
                enforcer.observed(observed.catalog, observed.needs_adoption);
            }
            Step::Check(plan) => {
                enforcer.answered(&kernel.check(&plan));
            }
            Step::Commit(plans) => {
                let mut failures = 1;
                commit(&mut enforcer, &mut kernel, &plans, &mut failures);
                let weighed = enforcer.take_weighed();
                if failures == 0 {
                    facts.refused(weighed.endpoints, weighed.policies);
                } else {
                    facts.committed(weighed.endpoints);
                }
                heard.push(facts.statuses().into_values().collect());
            }
        }
    }
    assert_eq!(heard, [[Status::Down], [Status::Up]]);
    // That it is gone is not lost with a plan that came to nothing.
    enforcer.update(workload(false));
    assert!(matches!(enforcer.next_step(), Ok(Step::Commit(_))));
    enforcer.doubt();
    settle(&mut enforcer, &mut kernel, 0);
    facts.committed(enforcer.take_weighed().endpoints);
    assert!(facts.statuses().is_empty());
}

#[test]
fn a_workload_is_guarded_once_its_policy_is_in_the_kernel() {
    let mut kernel = Fake::new(table_name(), true);
    let mut enforcer = enforcer(|_| {});
    settle(&mut enforcer, &mut kernel, 0);
    enforcer.update(workload(true));
    let Ok(Step::Commit(plans)) = enforcer.next_step() else {
        panic!("nothing to commit");
    };
    assert!(enforcer.take_guarded().is_empty(), "not yet");
    commit(&mut enforcer, &mut kernel, &plans, &mut 0);
    let told = |changes: WorkloadChanges| -> Vec<(String, bool)> {
        let told = changes.into_iter();
        told.map(|(name, now)| (name.to_string(), now.is_some()))
            .collect()
    };
    assert_eq!(told(enforcer.take_guarded()), [("cali0".to_owned(), true)]);
    let (calc, render) = settings(reject);
    enforcer.reconfigure(calc, render);
    settle(&mut enforcer, &mut kernel, 0);
    assert!(enforcer.take_guarded().is_empty(), "nothing new of it");
    // That it is gone is not lost with the transaction that says so.
    kernel.fail_commit(kernel.plans().len(), Fault::AnswerLost);
    enforcer.update(workload(false));
    settle(&mut enforcer, &mut kernel, 1);
    assert_eq!(told(enforcer.take_guarded()), [("cali0".to_owned(), false)]);
}
