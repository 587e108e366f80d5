//! The order of tiers and policies, and the lists an endpoint gets of them.

use super::make::{
    gone, hep, hep_key, keyed, policy, policy_key, profile, profiles, put, tier, v3,
};
use super::state::World;
use crate::calc::{EndpointPolicies, TierPolicies};
use crate::model::{
    Action, Direction, EndOfTier, Form, Kind, Order, Policy, PolicyKind, PolicyTypes, ProfileId,
    Resource, Rule, TierName, Update,
};
use crate::selector::Selector;

/// A world with one endpoint, on `eth0`.
fn world() -> World {
    let mut world = World::new();
    world.feed([put(hep_key("e"), Resource::HostEndpoint(hep("eth0", &[])))]);
    world
}

fn lists(world: &World) -> &EndpointPolicies {
    &world.state.endpoints[&hep_key("e")]
}

/// Writes `tier: policy policy -> end` for each tier.
fn shown(tiers: &[TierPolicies]) -> Vec<String> {
    let tiers = tiers.iter().map(|tier| {
        let names: Vec<String> = tier
            .policies
            .iter()
            .map(|id| {
                assert_eq!(id.tier, tier.tier);
                let form = match id.key.form {
                    Form::V3 => "",
                    Form::V1 => "v1:",
                };
                let slash = if id.key.scope.is_empty() { "" } else { "/" };
                format!("{form}{}{slash}{}", id.key.scope, id.key.name)
            })
            .collect();
        format!("{}: {} -> {:?}", tier.tier, names.join(" "), tier.end)
    });
    tiers.collect()
}

fn put_policy(name: &str, change: impl FnOnce(&mut Policy)) -> Update {
    let mut made = policy("all()");
    change(&mut made);
    put(policy_key(name), Resource::Policy(made))
}

fn in_tier(name: &str, tier: &str) -> Update {
    put_policy(name, |policy| policy.tier = TierName::new(tier))
}

fn with_order(name: &str, order: f64) -> Update {
    put_policy(name, |policy| policy.order = Order::new(order).unwrap())
}

#[test]
fn policies_go_by_order_then_by_name_namespace_and_kind() {
    let mut world = world();
    world.feed([
        with_order("last", 30.0),
        with_order("first", -1.5),
        put_policy("none", |_| {}),
        with_order("b", 20.0),
        with_order("a", 20.0),
        // `a-b//...` sorts before `a//...`: `-` stands before `/`.
        with_order("a-b", 20.0),
        with_order("prod/a", 20.0),
        with_order("v1:a", 20.0),
    ]);
    assert_eq!(
        shown(&lists(&world).normal.ingress),
        ["default: first a-b a v1:a prod/a b last none -> Deny"]
    );
}

#[test]
fn tiers_go_by_order_then_by_name_and_missing_ones_last() {
    let mut world = world();
    world.feed([
        put(v3(Kind::Tier, "late"), tier(None, EndOfTier::Pass)),
        put(v3(Kind::Tier, "b"), tier(Some(5.0), EndOfTier::Pass)),
        put(v3(Kind::Tier, "a"), tier(Some(5.0), EndOfTier::Deny)),
        in_tier("p1", "late"),
        in_tier("p2", "b"),
        in_tier("p3", "a"),
        in_tier("p4", "aaa-missing"),
        in_tier("p5", "default"),
        in_tier("p6", "kube-admin"),
        in_tier("p7", "kube-baseline"),
    ]);
    let expected = [
        "a: p3 -> Deny",
        "b: p2 -> Pass",
        "kube-admin: p6 -> Pass",
        "default: p5 -> Deny",
        "kube-baseline: p7 -> Pass",
        "late: p1 -> Pass",
        "aaa-missing: p4 -> Deny",
    ];
    assert_eq!(shown(&lists(&world).normal.ingress), expected);
    let problems: Vec<String> = world
        .calc
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        problems[1]
            .contains("GlobalNetworkPolicy(p4): spec.tier: tier `aaa-missing` does not exist"),
        "{problems:?}"
    );
}

#[test]
fn a_tier_that_changes_moves_its_policies() {
    let mut world = world();
    world.feed([
        put(v3(Kind::Tier, "t"), tier(Some(1.0), EndOfTier::Deny)),
        in_tier("p1", "t"),
        in_tier("p2", "default"),
    ]);
    assert_eq!(
        shown(&lists(&world).normal.egress),
        ["t: p1 -> Deny", "default: p2 -> Deny"]
    );
    let changes = world.feed([put(v3(Kind::Tier, "t"), tier(Some(2e6), EndOfTier::Pass))]);
    assert_eq!(
        shown(&lists(&world).normal.egress),
        ["default: p2 -> Deny", "t: p1 -> Pass"]
    );
    assert!(changes.policies.is_empty(), "their rules are the same");
    world.feed([put(
        keyed(Kind::Tier, "t", Form::V1),
        tier(Some(0.0), EndOfTier::Deny),
    )]);
    assert_eq!(
        shown(&lists(&world).normal.egress),
        ["default: p2 -> Deny", "t: p1 -> Pass"]
    );
    world.feed([gone(v3(Kind::Tier, "t"))]);
    assert_eq!(
        shown(&lists(&world).normal.egress),
        ["t: p1 -> Deny", "default: p2 -> Deny"]
    );
}

#[test]
fn types_decide_which_directions_a_policy_exists_for() {
    let mut world = world();
    let types = |ingress, egress| PolicyTypes { ingress, egress };
    world.feed([
        put_policy("in", |policy| policy.types = types(true, false)),
        put_policy("out", |policy| {
            policy.types = types(false, true);
            policy.ingress = vec![Rule::any(Action::Allow)];
        }),
    ]);
    assert_eq!(
        shown(&lists(&world).normal.ingress),
        ["default: in -> Deny"]
    );
    assert_eq!(
        shown(&lists(&world).normal.egress),
        ["default: out -> Deny"]
    );
    for (id, policy) in &world.state.policies {
        assert_eq!(
            policy.written(Direction::Ingress).is_some(),
            &*id.key.name == "in"
        );
        assert_eq!(
            policy.written(Direction::Egress).is_some(),
            &*id.key.name == "out"
        );
    }
    world.feed([gone(policy_key("in"))]);
    assert!(lists(&world).normal.ingress.is_empty(), "profiles decide");
}

#[test]
fn each_kind_of_policy_has_its_own_place() {
    let mut world = world();
    let of_kind = |name: &str, kind| put_policy(name, |policy| policy.kind = kind);
    world.feed([
        of_kind("n", PolicyKind::Normal),
        of_kind("f", PolicyKind::ApplyOnForward),
        of_kind("u", PolicyKind::Untracked),
        of_kind("d", PolicyKind::PreDnat),
    ]);
    let lists = lists(&world);
    assert_eq!(shown(&lists.normal.ingress), ["default: f n -> Deny"]);
    assert_eq!(shown(&lists.normal.egress), ["default: f n -> Deny"]);
    assert_eq!(shown(&lists.forward.ingress), ["default: f -> Deny"]);
    assert_eq!(shown(&lists.forward.egress), ["default: f -> Deny"]);
    assert_eq!(shown(&lists.untracked.ingress), ["default: u -> Pass"]);
    assert_eq!(shown(&lists.untracked.egress), ["default: u -> Pass"]);
    assert_eq!(shown(&lists.pre_dnat.ingress), ["default: d -> Pass"]);
    assert!(lists.pre_dnat.egress.is_empty());
}

#[test]
fn staged_policies_do_not_count() {
    let mut world = world();
    let changes = world.feed([
        put(
            v3(Kind::StagedGlobalNetworkPolicy, "s"),
            Resource::StagedPolicy,
        ),
        put(v3(Kind::GlobalNetworkPolicy, "odd"), Resource::StagedPolicy),
    ]);
    assert!(changes.is_empty());
}

#[test]
fn only_policies_that_select_an_endpoint_are_in_use() {
    let mut world = world();
    let selecting = |name: &str, selector: &str| {
        put_policy(name, |policy| {
            policy.selector = Selector::parse(selector).unwrap();
        })
    };
    world.feed([
        selecting("web", "role == 'web'"),
        selecting("rest", "!has(role)"),
    ]);
    assert_eq!(
        shown(&lists(&world).normal.ingress),
        ["default: rest -> Deny"]
    );
    let mut labelled = hep("eth0", &[]);
    labelled.labels = super::make::labels("role=web");
    let changes = world.feed([put(hep_key("e"), Resource::HostEndpoint(labelled))]);
    assert_eq!(
        shown(&lists(&world).normal.ingress),
        ["default: web -> Deny"]
    );
    assert_eq!(changes.policies.len(), 2);
    world.feed([gone(hep_key("e"))]);
    assert!(world.state.policies.is_empty());
}

#[test]
fn labels_of_profiles_choose_policies_too() {
    let mut world = world();
    let mut with_profile = hep("eth0", &[]);
    with_profile.profiles = profiles(&["p"]);
    world.feed([
        put_policy("web", |policy| {
            policy.selector = Selector::parse("role == 'web'").unwrap();
        }),
        put(hep_key("e"), Resource::HostEndpoint(with_profile)),
    ]);
    assert!(world.state.policies.is_empty());
    world.feed([put(
        v3(Kind::Profile, "p"),
        Resource::Profile(profile("role=web", &[])),
    )]);
    assert_eq!(
        shown(&lists(&world).normal.ingress),
        ["default: web -> Deny"]
    );
}

#[test]
fn profiles_deny_where_they_are_missing_and_the_built_in_one_cannot_be_replaced() {
    let mut world = world();
    let mut endpoint = hep("eth0", &[]);
    endpoint.profiles = profiles(&["p", "projectcalico-default-allow"]);
    let mut denying = profile("", &[]);
    denying.ingress = vec![Rule::any(Action::Deny)];
    world.feed([
        put(hep_key("e"), Resource::HostEndpoint(endpoint)),
        put(
            v3(Kind::Profile, "projectcalico-default-allow"),
            Resource::Profile(denying),
        ),
        put(
            v3(Kind::Profile, "unused"),
            Resource::Profile(profile("", &[])),
        ),
    ]);
    assert_eq!(
        lists(&world).profiles,
        profiles(&["p", "projectcalico-default-allow"])
    );
    let actions = |world: &World, name: &str| {
        let profile = &world.state.profiles[&ProfileId::new(name)];
        let both = Direction::BOTH.map(|direction| profile.rules(direction));
        both.iter()
            .flatten()
            .map(|rule| rule.action)
            .collect::<Vec<_>>()
    };
    assert_eq!(world.state.profiles.len(), 2);
    assert_eq!(actions(&world, "p"), [Action::Deny, Action::Deny]);
    assert_eq!(
        actions(&world, "projectcalico-default-allow"),
        [Action::Allow, Action::Allow]
    );
    let passing = |action| {
        let mut passing = profile("", &[]);
        passing.egress = vec![Rule::any(action)];
        Resource::Profile(passing)
    };
    world.feed([put(
        keyed(Kind::Profile, "p", Form::V1),
        passing(Action::Pass),
    )]);
    assert_eq!(actions(&world, "p"), [Action::Pass]);
    world.feed([put(v3(Kind::Profile, "p"), passing(Action::Log))]);
    assert_eq!(actions(&world, "p"), [Action::Log]);
    world.feed([
        gone(v3(Kind::Profile, "p")),
        gone(keyed(Kind::Profile, "p", Form::V1)),
    ]);
    assert_eq!(actions(&world, "p"), [Action::Deny, Action::Deny]);
}

#[test]
fn a_change_of_rules_alone_leaves_endpoints_alone() {
    let mut world = world();
    world.feed([put_policy("p", |_| {})]);
    let changes = world.feed([put_policy("p", |policy| {
        policy.ingress = vec![Rule::any(Action::Allow)];
    })]);
    assert_eq!((changes.policies.len(), changes.endpoints.len()), (1, 0));
}

#[test]
fn what_cancels_out_is_not_told() {
    let mut world = world();
    let with_set = || {
        put_policy("p", |policy| {
            policy.ingress = vec![super::make::from("role == 'web'")];
        })
    };
    world.feed([with_set()]);
    let changes = world.feed([gone(policy_key("p")), with_set()]);
    assert!(changes.is_empty(), "{changes:?}");
    let changes = world.feed([in_tier("q", "t"), gone(policy_key("q"))]);
    assert!(changes.is_empty(), "{changes:?}");
    let changes = world.feed([
        gone(policy_key("p")),
        put_policy("other", |policy| {
            policy.ingress = vec![super::make::from("role == 'web'")];
        }),
    ]);
    assert!(
        changes.sets.is_empty(),
        "the set goes from one policy to the other"
    );
}
