//! Chains of host endpoints: what is asked of a packet, in order.

use std::sync::Arc;

use super::layout::{Path, failsafe_chain};
use super::names;
use super::policy::{Passing, can_pass};
use super::rule::deny;
use super::settings::{DenyAction, Settings};
use crate::calc::{EndpointId, EndpointPolicies, TierPolicies};
use crate::model::EndOfTier;
use crate::nft::{Chain, Comparison, Expr, Rule, Verdict, ct_state};

/// Makes a rule that asks another chain.
fn jump(chain: crate::nft::ChainName) -> Rule {
    Rule {
        exprs: vec![Expr::Verdict(Verdict::Jump(chain))],
        comment: None,
    }
}

/// Makes the chain of an endpoint on one way: known connections, failsafe ports, tiers, profiles, and at
/// the end a refusal.
pub(super) fn chain(
    path: Path,
    id: &EndpointId,
    policies: &EndpointPolicies,
    passing: &Passing,
    refusal: DenyAction,
    settings: &Settings,
) -> Arc<Chain> {
    let direction = path.direction();
    let known = ct_state::ESTABLISHED | ct_state::RELATED;
    let mut rules = vec![Rule::new(
        "connections that policy has accepted",
        vec![Expr::CtState(known), Expr::Verdict(Verdict::Accept)],
    )];
    if settings.drop_invalid {
        rules.push(Rule::new(
            "packets of no connection",
            vec![Expr::CtState(ct_state::INVALID), deny(refusal)],
        ));
    }
    rules.push(jump(failsafe_chain(direction)));
    let tiers = policies.normal.direction(direction);
    let ended = tiers.iter().any(|tier| {
        tier_rules(path, tier, passing, refusal, settings, &mut rules) == AfterTier::Nothing
    });
    if !ended {
        let profiles = policies.profiles.iter();
        rules.extend(profiles.map(|profile| jump(names::profile(path, profile))));
        rules.push(Rule::new(
            "no policy or profile has accepted",
            vec![deny(refusal)],
        ));
    }
    Arc::new(Chain::new(names::endpoint(path, id), None, rules))
}

/// What a packet can meet behind a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterTier {
    /// The next tier, or the profiles.
    More,
    /// Nothing: every packet has been decided.
    Nothing,
}

/// Adds the rules that ask one tier and act at its end.
fn tier_rules(
    path: Path,
    tier: &TierPolicies,
    passing: &Passing,
    refusal: DenyAction,
    settings: &Settings,
    rules: &mut Vec<Rule>,
) -> AfterTier {
    let direction = path.direction();
    let passes = tier
        .policies
        .iter()
        .any(|id| can_pass(passing, id, direction));
    let bit = settings.marks.pass();
    if passes {
        rules.push(Rule {
            exprs: vec![Expr::SetMark {
                mask: bit,
                value: 0,
            }],
            comment: None,
        });
    }
    rules.push(jump(names::tier(path, &tier.tier, &tier.policies)));
    match tier.end {
        EndOfTier::Pass => AfterTier::More,
        EndOfTier::Deny => {
            let mut exprs = Vec::new();
            if passes {
                exprs.push(Expr::MarkBits(Comparison::IsNot, bit));
            }
            exprs.push(deny(refusal));
            rules.push(Rule::new(&format!("end of tier {}", tier.tier), exprs));
            if passes {
                AfterTier::More
            } else {
                AfterTier::Nothing
            }
        }
    }
}
