//! Chains of policies, of profiles, and of the ordered policies of a tier.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::Path;
use super::names;
use super::rule::{PassAction, RuleContext};
use super::settings::Settings;
use crate::calc::{MatchRule, PolicyId};
use crate::model::{self, Action, Direction, Form, Kind, ProfileId};
use crate::nft::{Chain, ChainName, Comparison, Expr, Rule, Verdict};

/// Which policies can pass a packet on, by direction.
pub(super) type Passing = BTreeMap<PolicyId, Vec<Direction>>;

/// Tells whether a policy can pass a packet on.
pub(super) fn can_pass(passing: &Passing, id: &PolicyId, direction: Direction) -> bool {
    passing
        .get(id)
        .is_some_and(|directions| directions.contains(&direction))
}

/// Tells whether any rule passes packets on.
pub(super) fn any_pass(rules: &[model::Rule]) -> bool {
    rules.iter().any(|rule| rule.action == Action::Pass)
}

/// The word for a direction in comments.
fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// The short word for a kind of policy, as in log prefixes.
fn short_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::GlobalNetworkPolicy => "gnp",
        Kind::NetworkPolicy => "np",
        Kind::StagedGlobalNetworkPolicy => "sgnp",
        Kind::StagedNetworkPolicy => "snp",
        Kind::StagedKubernetesNetworkPolicy => "sknp",
        Kind::Profile => "pro",
        Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::Node
        | Kind::IpPool
        | Kind::Tier
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::HostEndpoint
        | Kind::WorkloadEndpoint => "",
    }
}

/// What a log prefix can say of the rule that logs.
struct LogWords<'a> {
    tier: &'a str,
    kind: &'a str,
    name: &'a str,
    qualified: &'a str,
}

/// The longest prefix in bytes: `NF_LOG_PREFIXLEN` of `net/netfilter/nf_log.h` less the final NUL.
const LONGEST_PREFIX: usize = 127;

/// Fills in a log prefix; `: ` is appended as Felix does.
fn log_prefix(settings: &Settings, words: &LogWords<'_>) -> String {
    let mut prefix = settings
        .log_prefix
        .replace("%t", words.tier)
        .replace("%k", words.kind)
        .replace("%p", words.qualified)
        .replace("%n", words.name);
    prefix.push_str(": ");
    let mut end = prefix.len().min(LONGEST_PREFIX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    prefix.truncate(end);
    prefix
}

/// Returns the log prefix of a policy's rules.
pub(super) fn policy_log_prefix(settings: &Settings, id: &PolicyId) -> String {
    let qualified = match (&id.key.form, id.key.scope.is_empty()) {
        (Form::V3, false) => format!("{}/{}", id.key.scope, id.key.name),
        (Form::V3, true) | (Form::V1, _) => id.key.name.to_string(),
    };
    let words = LogWords {
        tier: id.tier.as_str(),
        kind: short_kind(id.key.kind),
        name: &id.key.name,
        qualified: &qualified,
    };
    log_prefix(settings, &words)
}

/// Returns the log prefix of a profile's rules.
pub(super) fn profile_log_prefix(settings: &Settings, id: &ProfileId) -> String {
    let words = LogWords {
        tier: "",
        kind: short_kind(Kind::Profile),
        name: id.as_str(),
        qualified: id.as_str(),
    };
    log_prefix(settings, &words)
}

/// Makes the chain of a policy.
pub(super) fn policy_chain(
    path: Path,
    id: &PolicyId,
    rules: &[MatchRule],
    context: &mut RuleContext<'_>,
) -> Chain {
    context.count_all();
    let what = format!(
        "{} {} {}",
        short_kind(id.key.kind),
        id.key.name,
        word(path.direction())
    );
    let rules = rule_list(&what, rules, context);
    Chain::new(names::policy(path, id), None, rules)
}

/// Makes the chain of a profile.
pub(super) fn profile_chain(
    path: Path,
    id: &ProfileId,
    rules: &[MatchRule],
    context: &mut RuleContext<'_>,
) -> Chain {
    debug_assert_eq!(context.pass, PassAction::LeaveProfile);
    context.count_all();
    let what = format!("profile {id} {}", word(path.direction()));
    let rules = rule_list(&what, rules, context);
    Chain::new(names::profile(path, id), None, rules)
}

/// Renders rules in order, each with a comment that names its owner and number.
fn rule_list(what: &str, rules: &[MatchRule], context: &mut RuleContext<'_>) -> Vec<Rule> {
    rules
        .iter()
        .enumerate()
        .flat_map(|(index, rule)| context.rules(rule, &format!("{what} rule {}", index + 1)))
        .collect()
}

/// Makes the chain that asks the policies of a tier in order, and comes back when none has decided or one
/// has passed the packet on.
pub(super) fn tier_chain(
    path: Path,
    name: &ChainName,
    policies: &[PolicyId],
    passing: &Passing,
    settings: &Settings,
) -> Arc<Chain> {
    let direction = path.direction();
    let mut rules = Vec::with_capacity(policies.len());
    for (index, id) in policies.iter().enumerate() {
        let jump = Expr::Verdict(Verdict::Jump(names::policy(path, id)));
        rules.push(Rule {
            exprs: vec![jump],
            comment: None,
        });
        let is_last = index + 1 == policies.len();
        if !is_last && can_pass(passing, id, direction) {
            let exprs = vec![
                Expr::MarkBits(Comparison::Is, settings.marks.pass()),
                Expr::Verdict(Verdict::Return),
            ];
            rules.push(Rule {
                exprs,
                comment: Some("passed on to the next tier".into()),
            });
        }
    }
    Arc::new(Chain::new(name.clone(), None, rules))
}
