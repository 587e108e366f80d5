//! The daemon against the evaluator: random resources, random packets.
//!
//! A seed decides a walk through random states of the datastore. In each state random probes are sent through
//! a host with the real daemon, and of each it is noted whether the request arrived, whether the answer came
//! back, and whether the connection is tracked. All of that must be what `tortie::explain` says of the same
//! files. The daemon goes from state to state without a new start, save for an occasional one with other
//! settings. A difference is shrunk to the smallest resources that show it.

mod compare;
mod conntrack;
mod engine;
mod generate;
mod judge;
mod network;
mod observer;
mod options;
mod packet;
mod probes;
mod runner;
mod shrink;
mod soak;
mod walk;
mod yaml;

use std::sync::Arc;
use std::time::Duration;

use compare::{Extent, Tally, compare};
use judge::Resources;
use netns_tests::ns::privileged;
use shrink::Difference;
use tortie::model::{Action, EndOfTier, Policy, PolicyKind, Resource};

/// The seed of the run that every change must pass.
const SEED: u64 = 20_260_101;

/// What that run looks at.
const BOUNDED: Extent = Extent {
    states: 400,
    time: Duration::from_secs(240),
    probes: 150,
    first: 0,
    differences: 1,
    alter: |_| {},
};

/// Fails where anything differs, or where so much was unsteady that little was compared.
fn check((tally, differences): &(Tally, Vec<Difference>)) {
    assert!(
        differences.is_empty(),
        "{} differences, shown above",
        differences.len()
    );
    assert!(tally.unsteady * 100 <= tally.verdicts, "{tally:?}");
}

#[test]
fn the_kernel_does_what_the_evaluator_says() {
    if !privileged() {
        return;
    }
    let outcome = compare(SEED, BOUNDED);
    check(&outcome);
    let (tally, _) = outcome;
    // A run in which little passes, or nearly all, would say little.
    assert!(tally.states >= 200, "{tally:?}");
    for part in [tally.requests, tally.replies] {
        assert!(
            (20..80).contains(&(part * 100 / tally.verdicts)),
            "{tally:?}"
        );
    }
    assert!(tally.untracked * 200 >= tally.verdicts, "{tally:?}");
}

#[test]
#[ignore = "runs for as long as the environment says: scripts/differential"]
fn unbounded() {
    if !privileged() {
        return;
    }
    let extent = Extent {
        states: number("DIFFERENTIAL_STATES").unwrap_or(u64::MAX),
        time: Duration::from_secs(number("DIFFERENTIAL_SECONDS").unwrap_or(u64::MAX)),
        first: number("DIFFERENTIAL_FIRST").unwrap_or(0),
        differences: usize::try_from(number("DIFFERENTIAL_KEEP").unwrap_or(1))
            .expect("a small number"),
        ..BOUNDED
    };
    check(&compare(
        number("DIFFERENTIAL_SEED").unwrap_or(SEED),
        extent,
    ));
}

/// Reads a number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// Shows that a mistake is found: the evaluator is asked about other resources than the daemon.
fn is_found(what: &str, alter: fn(&mut Resources)) {
    if !privileged() {
        return;
    }
    let extent = Extent {
        states: 200,
        alter,
        ..BOUNDED
    };
    let (tally, differences) = compare(SEED, extent);
    let Some(found) = differences.first() else {
        panic!("{what} is not noticed: {tally:?}");
    };
    assert!(found.resources() <= 6, "{what} is not shrunk: {found}");
}

/// Changes every policy.
fn each_policy(resources: &mut Resources, change: impl Fn(&mut Policy)) {
    for resource in resources.values_mut() {
        if let Resource::Policy(policy) = resource.as_ref() {
            let mut policy = policy.clone();
            change(&mut policy);
            *resource = Arc::new(Resource::Policy(policy));
        }
    }
}

#[test]
fn a_wrong_action_is_found() {
    is_found("a wrong action", |resources| {
        each_policy(resources, |policy| {
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                if rule.action == Action::Deny {
                    rule.action = Action::Allow;
                }
            }
        });
    });
}

#[test]
fn a_missing_criterion_is_found() {
    is_found("a missing criterion", |resources| {
        each_policy(resources, |policy| {
            for rule in &mut policy.ingress {
                rule.source.not_nets = Box::default();
                rule.source.selector = None;
            }
        });
    });
}

#[test]
fn a_wrong_kind_of_policy_is_found() {
    is_found("a wrong kind of policy", |resources| {
        each_policy(resources, |policy| {
            if policy.kind == PolicyKind::Untracked {
                policy.kind = PolicyKind::ApplyOnForward;
            }
        });
    });
}

#[test]
fn a_wrong_end_of_tier_is_found() {
    is_found("a wrong end of a tier", |resources| {
        for resource in resources.values_mut() {
            if let Resource::Tier(tier) = resource.as_ref() {
                let mut tier = tier.clone();
                tier.default_action = EndOfTier::Deny;
                *resource = Arc::new(Resource::Tier(tier));
            }
        }
    });
}
