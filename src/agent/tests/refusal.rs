//! What the kernel refuses: who is denied for it, and that everything else comes into force.

use std::collections::BTreeSet;

use nix::errno::Errno;

use crate::agent::enforcer::tests::{enforcer, examples, from_scratch, workload};
use crate::agent::{Aftermath, DenialNews, Enforcer, Step, Stuck};
use crate::config::Config;
use crate::kernel::Kernel as _;
use crate::kernel::fake::{Fake, Fault, Lasting};
use crate::model::Update;
use crate::nft::{
    Catalog, ChainName, Distrust, Expr, Fingerprint, ObjectKey, Operation, Plan, Rule, Verdict,
};
use crate::render::{Unit, table_name};

/// The errors with which `nf_tables` answers messages of a batch.
const ERRNOS: [Errno; 19] = [
    Errno::EPERM,
    Errno::ENOENT,
    Errno::EINTR,
    Errno::E2BIG,
    Errno::EAGAIN,
    Errno::ENOMEM,
    Errno::EFAULT,
    Errno::EBUSY,
    Errno::EEXIST,
    Errno::EINVAL,
    Errno::ENFILE,
    Errno::EMFILE,
    Errno::ENOSPC,
    Errno::EMLINK,
    Errno::ERANGE,
    Errno::EOVERFLOW,
    Errno::EMSGSIZE,
    Errno::EOPNOTSUPP,
    Errno::ENOBUFS,
];

/// How a row of steps ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing differs any more.
    Settled,
    /// There is nothing to do before a pause.
    Paused,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Something is in force that was not.
    Committed,
    /// There is more to do.
    More,
    Ended(End),
}

fn step(enforcer: &mut Enforcer, kernel: &mut Fake) -> Outcome {
    let aftermath = match enforcer.next_step() {
        Ok(Step::Nothing) => return Outcome::Ended(End::Settled),
        Ok(Step::Observe) => {
            let observed = kernel.observe().unwrap();
            enforcer.observed(observed.catalog, observed.needs_adoption);
            return Outcome::More;
        }
        Ok(Step::Check(plan)) => enforcer.answered(&kernel.check(&plan)),
        Ok(Step::Commit(plans)) => {
            let mut transactions = plans.transactions();
            let outcome = transactions.try_for_each(|plan| kernel.commit(plan).map(|_| ()));
            match outcome {
                Ok(()) => {
                    enforcer.committed();
                    return Outcome::Committed;
                }
                Err(error) => enforcer.refused(&error),
            }
        }
        Err(Stuck::Refused(_)) => {
            enforcer.doubt();
            Aftermath::Pause
        }
        Err(Stuck::Unplanned(error)) => panic!("{error}"),
    };
    match aftermath {
        Aftermath::Inquest => Outcome::More,
        Aftermath::Pause => Outcome::Ended(End::Paused),
    }
}

/// Takes steps until nothing differs or a pause is due.
fn work(enforcer: &mut Enforcer, kernel: &mut Fake) -> End {
    for _ in 0..400 {
        match step(enforcer, kernel) {
            Outcome::Committed | Outcome::More => {}
            Outcome::Ended(end) => return end,
        }
    }
    panic!("no end");
}

/// Takes steps until a transaction has been taken.
fn work_until_committed(enforcer: &mut Enforcer, kernel: &mut Fake) {
    while step(enforcer, kernel) != Outcome::Committed {}
}

/// Works on through pauses, of which there may be some.
pub(super) fn settle(enforcer: &mut Enforcer, kernel: &mut Fake) {
    for _ in 0..4 {
        if work(enforcer, kernel) == End::Settled {
            return;
        }
    }
    panic!("does not settle");
}

fn tell(enforcer: &mut Enforcer, updates: &[Update]) {
    let updates = updates.iter().cloned();
    updates.for_each(|update| enforcer.update(update));
}

/// Everything that the examples say, and a workload.
fn updates() -> Vec<Update> {
    examples().into_iter().chain([workload(true)]).collect()
}

fn counted(config: &mut Config) {
    config.policy.counters = crate::config::PolicyCounters::Enabled;
}

/// A host that is in force up to some updates, and the others.
struct Stage {
    before: usize,
    updates: Vec<Update>,
    wanted: Catalog,
}

impl Stage {
    fn new(before: usize) -> Self {
        let updates = updates();
        let wanted = from_scratch(&updates, counted);
        Self {
            before,
            updates,
            wanted,
        }
    }

    /// Brings the first updates into force, and tells the others.
    fn begin(&self) -> (Enforcer, Fake) {
        let mut kernel = Fake::new(table_name(), true);
        let mut enforcer = enforcer(counted);
        let (first, second) = self.updates.split_at(self.before);
        if self.before > 0 {
            tell(&mut enforcer, first);
            assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
        }
        tell(&mut enforcer, second);
        (enforcer, kernel)
    }

    /// Returns the operations of the change that the last updates ask for.
    fn operations(&self) -> Vec<Operation> {
        let (mut enforcer, mut kernel) = self.begin();
        let before = kernel.plans().len();
        assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
        let plans = kernel.plans();
        let plans = plans.iter().skip(before);
        plans.flat_map(|plan| plan.operations.clone()).collect()
    }

    /// Checks that nothing is open that is not to be, and that nothing else is denied than `denied`.
    fn check_held(&self, held: &Catalog, denied: &BTreeSet<Unit>, enforcer: &Enforcer) {
        let drop = Rule {
            exprs: vec![Expr::Verdict(Verdict::Drop)],
            comment: None,
        };
        let drop = Some(Fingerprint::of(&Rule {
            comment: Some("denied: the kernel refuses what belongs here".into()),
            ..drop
        }));
        let units = enforcer.renderer().units();
        for (name, wanted) in &self.wanted.chains {
            let Some(chain) = held.chains.get(name) else {
                assert!(is_shared_by_denied(name, denied), "{name} is missing");
                continue;
            };
            assert_eq!(chain.base, wanted.base, "{name}");
            if chain.rules == wanted.rules {
                continue;
            }
            let owners = &units[&ObjectKey::Chain(name.clone())];
            assert!(owners.is_subset(denied), "{name} of {owners:?}");
            // What stands before policy stays, and nothing passes behind it.
            let (last, beginning) = chain.rules.split_last().unwrap();
            assert_eq!(*last, drop, "{name}");
            assert!(wanted.rules.starts_with(beginning), "{name}");
        }
        for name in held.chains.keys() {
            assert!(self.wanted.chains.contains_key(name), "{name} is left over");
        }
        for (name, set) in &held.sets {
            if set.spec.verdicts {
                assert_eq!(Some(set), self.wanted.sets.get(name), "{name}");
            }
        }
    }
}

/// Tells whether a chain is one of tiers, which go with the endpoints that lead to them.
fn is_shared_by_denied(name: &ChainName, denied: &BTreeSet<Unit>) -> bool {
    let endpoints = denied.iter().any(|unit| matches!(unit, Unit::Endpoint(_)));
    endpoints && name.as_str().starts_with("tier-")
}

/// Checks that all that packets meet is as it was; what nothing leads to may have been prepared.
fn check_unchanged(old: &Catalog, kernel: &Fake) {
    let now = kernel.applied().catalog();
    for (name, chain) in &old.chains {
        assert_eq!(now.chains.get(name), Some(chain), "{name}");
    }
    for (name, set) in &old.sets {
        assert_eq!(now.sets.get(name), Some(set), "{name}");
    }
}

/// Returns the units that an operation belongs to.
fn units_of(operation: &Operation, enforcer: &Enforcer) -> BTreeSet<Unit> {
    let units = enforcer.renderer().units();
    let key = operation.object();
    key.and_then(|key| units.get(&key).cloned())
        .unwrap_or_default()
}

#[test]
fn whatever_operation_is_refused_the_rest_comes_into_force() {
    for before in [0, updates().len() / 2] {
        let stage = Stage::new(before);
        let (mut clean, mut kernel) = stage.begin();
        assert_eq!(work(&mut clean, &mut kernel), End::Settled);
        let (mut denials, mut stuck) = (0, 0);
        for (number, operation) in stage.operations().into_iter().enumerate() {
            let units = units_of(&operation, &clean);
            // What belongs to no single object fares alike.
            if units.is_empty() && number % 16 != 0 {
                continue;
            }
            let errno = ERRNOS[number % ERRNOS.len()];
            let (mut enforcer, mut kernel) = stage.begin();
            let old = kernel.applied().catalog();
            kernel.refuse(Lasting::Operation(operation.clone()), errno);
            let end = work(&mut enforcer, &mut kernel);
            let news = enforcer.take_denial_news();
            let denied: BTreeSet<Unit> = news.begun.keys().cloned().collect();
            assert!(denied.is_subset(&units), "{operation}: {denied:?}");
            if end == End::Paused {
                assert!(denied.is_empty(), "{operation}");
                check_unchanged(&old, &kernel);
                stuck += 1;
            } else {
                let held = kernel.observe().unwrap().catalog;
                stage.check_held(&held, &denied, &enforcer);
                denials += usize::from(!denied.is_empty());
                for why in news.begun.values() {
                    assert!(why.contains(&format!("({errno:?})")), "{why}");
                }
            }
            kernel.relent();
            enforcer.reconsider();
            settle(&mut enforcer, &mut kernel);
            let held = kernel.observe().unwrap().catalog;
            assert!(held == stage.wanted, "{operation}");
            assert_eq!(enforcer.take_denial_news().over, denied, "{operation}");
        }
        assert!(denials > 0 && stuck > 0);
    }
}

/// Returns a rule of a policy that is added by the last updates, and whose it is.
fn rule_of_a_policy(stage: &Stage) -> (Operation, BTreeSet<Unit>) {
    let (mut clean, mut kernel) = stage.begin();
    assert_eq!(work(&mut clean, &mut kernel), End::Settled);
    let is_rule = |operation: &Operation| matches!(operation, Operation::AddRule { chain, .. } if chain.as_str().starts_with("pol-"));
    let operation = stage.operations().into_iter().find(is_rule).unwrap();
    let units = units_of(&operation, &clean);
    (operation, units)
}

/// Has the one policy that these are be deleted.
fn remove(enforcer: &mut Enforcer, units: &BTreeSet<Unit>) {
    let [Unit::Policy(id)] = units.iter().collect::<Vec<_>>()[..] else {
        panic!("{units:?}");
    };
    enforcer.update(Update {
        key: id.key.clone(),
        value: None,
    });
}

#[test]
fn an_object_is_denied_whatever_the_error_is() {
    let stage = Stage::new(0);
    let (operation, units) = rule_of_a_policy(&stage);
    for errno in ERRNOS {
        let (mut enforcer, mut kernel) = stage.begin();
        kernel.refuse(Lasting::Operation(operation.clone()), errno);
        assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
        let news = enforcer.take_denial_news();
        assert!(news.begun.keys().eq(&units), "{errno}");
        assert_eq!(kernel.checks(), 2, "the kernel has named it");
    }
}

#[test]
fn a_fault_that_passes_denies_nobody() {
    let stage = Stage::new(updates().len() / 2);
    let refusal = Fault::Refuse {
        operation: 3,
        errno: Errno::ENOMEM,
    };
    let (operation, units) = rule_of_a_policy(&stage);
    for fault in [refusal, Fault::Lost, Fault::AnswerLost] {
        for number in 0..6 {
            let (mut enforcer, mut kernel) = stage.begin();
            kernel.fail_commit(kernel.plans().len() + number, fault.clone());
            settle(&mut enforcer, &mut kernel);
            assert_eq!(enforcer.take_denial_news(), DenialNews::default());
            let held = kernel.observe().unwrap().catalog;
            assert!(held == stage.wanted, "{fault:?} at {number}");

            // While somebody is looked for who is at fault.
            let (mut enforcer, mut kernel) = stage.begin();
            kernel.refuse(Lasting::Operation(operation.clone()), Errno::EINVAL);
            kernel.fail_check(number, fault.clone());
            settle(&mut enforcer, &mut kernel);
            let denied: BTreeSet<Unit> = enforcer.take_denial_news().begun.into_keys().collect();
            assert!(units.is_subset(&denied), "{fault:?} at {number}");
            let held = kernel.observe().unwrap().catalog;
            stage.check_held(&held, &denied, &enforcer);
            kernel.relent();
            // The first of these may meet the fault that has not come yet.
            for _ in 0..2 {
                enforcer.reconsider();
                settle(&mut enforcer, &mut kernel);
            }
            let held = kernel.observe().unwrap().catalog;
            assert!(held == stage.wanted, "{fault:?} at {number}");
        }
    }
}

#[test]
fn where_there_is_no_room_for_all_some_are_denied_or_nothing_changes() {
    let stage = Stage::new(updates().len() / 2);
    let (mut clean, mut kernel) = stage.begin();
    let empty = kernel.applied().content();
    assert_eq!(work(&mut clean, &mut kernel), End::Settled);
    let full = kernel.applied().content();
    let (mut denials, mut stuck) = (0, 0);
    for most in empty..full {
        let (mut enforcer, mut kernel) = stage.begin();
        let old = kernel.applied().catalog();
        kernel.refuse(Lasting::Fuller(most), Errno::ENOMEM);
        if work(&mut enforcer, &mut kernel) == End::Paused {
            check_unchanged(&old, &kernel);
            stuck += 1;
        } else {
            let denied: BTreeSet<Unit> = enforcer.take_denial_news().begun.into_keys().collect();
            assert!(!denied.is_empty(), "{most}");
            let held = kernel.observe().unwrap().catalog;
            stage.check_held(&held, &denied, &enforcer);
            denials += 1;
        }
        kernel.relent();
        enforcer.reconsider();
        settle(&mut enforcer, &mut kernel);
        let held = kernel.observe().unwrap().catalog;
        assert!(held == stage.wanted, "{most}");
    }
    assert!(denials > 0 && stuck > 0, "{denials} {stuck}");
}

#[test]
fn what_is_denied_holds_nothing_else_up_and_is_tried_again_when_it_changes() {
    let stage = Stage::new(0);
    let (operation, units) = rule_of_a_policy(&stage);
    let (mut enforcer, mut kernel) = stage.begin();
    kernel.refuse(Lasting::Operation(operation), Errno::EINVAL);
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert!(enforcer.take_denial_news().begun.keys().eq(&units));
    assert!(!enforcer.concerned().is_empty());

    // Something else comes into force by one transaction and no question.
    let (checks, plans) = (kernel.checks(), kernel.plans().len());
    enforcer.update(workload(false));
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert_eq!((kernel.checks(), kernel.plans().len()), (checks, plans + 1));

    // Another attempt that comes to nothing costs one question and changes nothing.
    let before = kernel.applied();
    enforcer.reconsider();
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert_eq!(
        (kernel.checks(), kernel.plans().len()),
        (checks + 1, plans + 1)
    );
    assert!(kernel.applied() == before);

    // It goes, and with it the reason.
    remove(&mut enforcer, &units);
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert_eq!(enforcer.take_denial_news().over, units);
    assert!(enforcer.concerned().is_empty());
    // It is back as it was: the kernel refuses it as it did.
    tell(&mut enforcer, &stage.updates);
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert!(enforcer.take_denial_news().begun.keys().eq(&units));
    kernel.relent();
    tell(&mut enforcer, &stage.updates);
    enforcer.reconsider();
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert!(kernel.observe().unwrap().catalog == stage.wanted);
}

/// Empties all chains by another's hand, and has it known.
fn tamper(enforcer: &mut Enforcer, kernel: &Fake) {
    let chains = kernel.applied().catalog().chains.into_keys();
    let operations = chains.map(Operation::FlushChain).collect();
    kernel.tamper(&Plan { operations }).unwrap();
    let mut distrust = Distrust::default();
    distrust.everything();
    enforcer.distrust(distrust);
    enforcer.repair_first();
}

#[test]
fn a_table_that_was_changed_is_right_before_those_at_fault_are_found() {
    let stage = Stage::new(updates().len() / 2);
    let (operation, units) = rule_of_a_policy(&stage);
    let named = Lasting::Operation(operation.clone());
    let unnamed = Lasting::Unnamed(operation);
    // Before the transaction that is refused, and at each question of the inquest.
    for (lasting, questions) in [(&named, 2), (&unnamed, 4)] {
        for moment in 0..questions {
            let (mut enforcer, mut kernel) = stage.begin();
            kernel.refuse(lasting.clone(), Errno::ENOMEM);
            while kernel.checks() < moment {
                assert_eq!(step(&mut enforcer, &mut kernel), Outcome::More);
            }
            tamper(&mut enforcer, &kernel);
            work_until_committed(&mut enforcer, &mut kernel);
            assert_eq!(kernel.checks(), moment, "nothing is asked before");
            let provisional: BTreeSet<Unit> =
                enforcer.take_denial_news().begun.into_keys().collect();
            assert!(units.is_subset(&provisional), "{lasting:?} at {moment}");
            let held = kernel.observe().unwrap().catalog;
            stage.check_held(&held, &provisional, &enforcer);

            // Those that are innocent are not denied for long.
            assert!(enforcer.is_to_inquire());
            assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
            let others: BTreeSet<Unit> = provisional.difference(&units).cloned().collect();
            assert_eq!(enforcer.take_denial_news().over, others);
            assert_eq!(enforcer.denied(), units.len());
            let held = kernel.observe().unwrap().catalog;
            stage.check_held(&held, &units, &enforcer);

            // Another change, while what is denied is tried again.
            enforcer.reconsider();
            assert_eq!(step(&mut enforcer, &mut kernel), Outcome::More);
            assert_eq!(step(&mut enforcer, &mut kernel), Outcome::More);
            let checks = kernel.checks();
            tamper(&mut enforcer, &kernel);
            work_until_committed(&mut enforcer, &mut kernel);
            assert_eq!(kernel.checks(), checks);
            let held = kernel.observe().unwrap().catalog;
            stage.check_held(&held, &units, &enforcer);

            kernel.relent();
            assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
            let held = kernel.observe().unwrap().catalog;
            assert!(held == stage.wanted, "{lasting:?} at {moment}");
        }
    }
}

/// Has a policy refused, and then what the inquest comes to as well, as where memory is given back late.
fn refuse_a_policy_and_the_verdict(stage: &Stage, operation: Operation) -> (Enforcer, Fake) {
    let (mut enforcer, mut kernel) = stage.begin();
    kernel.refuse(Lasting::Operation(operation), Errno::ENOMEM);
    let refusal = Fault::Refuse {
        operation: 0,
        errno: Errno::ENOMEM,
    };
    kernel.fail_commit(kernel.plans().len() + 1, refusal);
    assert_eq!(work(&mut enforcer, &mut kernel), End::Paused);
    assert_eq!(enforcer.denied(), 0);
    (enforcer, kernel)
}

#[test]
fn what_was_judged_is_tried_first_after_a_pause() {
    let stage = Stage::new(updates().len() / 2);
    let (operation, units) = rule_of_a_policy(&stage);
    let (mut enforcer, mut kernel) = refuse_a_policy_and_the_verdict(&stage, operation.clone());
    let checks = kernel.checks();
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert_eq!(kernel.checks(), checks, "nothing is asked again");
    assert!(enforcer.take_denial_news().begun.keys().eq(&units));
    let held = kernel.observe().unwrap().catalog;
    stage.check_held(&held, &units, &enforcer);

    // What has changed meanwhile has not been judged.
    let (mut enforcer, mut kernel) = refuse_a_policy_and_the_verdict(&stage, operation);
    kernel.relent();
    remove(&mut enforcer, &units);
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert_eq!(enforcer.take_denial_news(), DenialNews::default());
    tell(&mut enforcer, &stage.updates);
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert!(kernel.observe().unwrap().catalog == stage.wanted);
}

#[test]
fn a_chain_that_has_the_name_of_another_is_found_during_an_inquest_as_well() {
    let stage = Stage::new(updates().len() / 2);
    let (operation, _) = rule_of_a_policy(&stage);
    for questions in [0, 1] {
        let (mut enforcer, mut kernel) = stage.begin();
        kernel.refuse(Lasting::Unnamed(operation.clone()), Errno::ENOMEM);
        while kernel.checks() < questions {
            step(&mut enforcer, &mut kernel);
        }
        // What leads to it leads elsewhere than it says.
        let chains = kernel.applied().catalog().chains;
        let mut ours = chains.iter().filter(|(_, chain)| chain.base.is_none());
        let mut distrust = Distrust::default();
        distrust.chain(ours.next().unwrap().0.clone());
        enforcer.distrust(distrust);
        enforcer.repair_first();
        work_until_committed(&mut enforcer, &mut kernel);
        let plans = kernel.plans();
        let written = |name: &ChainName| {
            let flush = Operation::FlushChain(name.clone());
            plans.last().unwrap().operations.contains(&flush)
        };
        let with_rules = chains.iter().filter(|(_, chain)| !chain.rules.is_empty());
        assert!(with_rules.clone().count() > 0);
        for (name, _) in with_rules {
            assert!(written(name), "{name} after {questions} questions");
        }
    }
}

#[test]
fn what_has_gone_is_not_denied() {
    let stage = Stage::new(1);
    let (operation, _) = rule_of_a_policy(&stage);
    let (mut enforcer, mut kernel) = stage.begin();
    kernel.refuse(Lasting::Unnamed(operation.clone()), Errno::ENOMEM);
    while kernel.checks() < 1 {
        step(&mut enforcer, &mut kernel);
    }
    let is_other = |unit: &&Unit| {
        matches!(unit, Unit::Policy(_)) && !units_of(&operation, &enforcer).contains(*unit)
    };
    let Some(Unit::Policy(other)) = enforcer.unproven.iter().flatten().find(is_other).cloned()
    else {
        panic!("there is another one");
    };
    tamper(&mut enforcer, &kernel);
    enforcer.update(Update {
        key: other.key.clone(),
        value: None,
    });
    work_until_committed(&mut enforcer, &mut kernel);
    let denied = enforcer.take_denial_news().begun;
    assert!(!denied.is_empty() && !denied.contains_key(&Unit::Policy(other)));
}

#[test]
fn two_inquests_in_a_row_are_given_up_for_a_repair_and_the_third_is_not() {
    let stage = Stage::new(updates().len() / 2);
    let (operation, units) = rule_of_a_policy(&stage);
    let (mut enforcer, mut kernel) = stage.begin();
    kernel.refuse(Lasting::Unnamed(operation), Errno::ENOMEM);
    let until_inquest = |enforcer: &mut Enforcer, kernel: &mut Fake| {
        while !enforcer.is_inquiring() {
            step(enforcer, kernel);
        }
    };
    for _ in 0..2 {
        until_inquest(&mut enforcer, &mut kernel);
        assert!(enforcer.may_be_interrupted());
        tamper(&mut enforcer, &kernel);
    }
    until_inquest(&mut enforcer, &mut kernel);
    assert!(!enforcer.may_be_interrupted());
    assert_eq!(work(&mut enforcer, &mut kernel), End::Settled);
    assert!(enforcer.take_denial_news().begun.keys().eq(&units));
    assert!(enforcer.may_be_interrupted());
}
