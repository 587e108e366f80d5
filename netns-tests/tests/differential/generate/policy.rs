//! Random policies, tiers and profiles.

use serde_json::{Map, Value, json};

use super::rule::{Setting, rules};
use super::words::{Form, labels, put, selector};
use netns_tests::random::Random;

const RULES_V3: Setting = Setting {
    form: Form::V3,
    policy: true,
};
const RULES_V1: Setting = Setting {
    form: Form::V1,
    policy: true,
};

/// Which of the four kinds of list a policy stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Normal,
    Forward,
    Untracked,
    PreDnat,
}

fn list(random: &mut Random) -> List {
    *random.weighted(&[
        (9, List::Normal),
        (5, List::Forward),
        (3, List::Untracked),
        (3, List::PreDnat),
    ])
}

/// Orders that are often equal.
fn order(random: &mut Random) -> Value {
    random
        .weighted(&[
            (3, Value::Null),
            (3, json!(10)),
            (3, json!(20)),
            (2, json!(15.5)),
            (1, json!(-3)),
            (1, json!(1000)),
        ])
        .clone()
}

/// Writes what a policy governs: both, one, or nothing said.
fn types(random: &mut Random, list: List) -> Vec<&'static str> {
    if list == List::PreDnat {
        return random.pick(&[vec!["Ingress"], vec![]]).clone();
    }
    random
        .weighted(&[
            (5, vec!["Ingress", "Egress"]),
            (3, vec!["Ingress"]),
            (3, vec!["Egress"]),
            (3, vec![]),
        ])
        .clone()
}

/// Fills in what policies of both forms have.
fn spec(random: &mut Random, list: List, setting: Setting) -> Map<String, Value> {
    let mut spec = Map::new();
    put(&mut spec, "order", order(random));
    let mut selector = selector(random);
    // Policies that only host endpoints heed should often find one.
    if list != List::Normal && random.chance(50) {
        "role == 'host'".clone_into(&mut selector);
    }
    if random.chance(92) {
        put(&mut spec, "selector", selector);
    }
    let types = types(random, list);
    let governs = |direction: &str| types.is_empty() || types.contains(&direction);
    if governs("Ingress") || random.chance(10) {
        put(&mut spec, "ingress", rules(random, setting));
    }
    if list != List::PreDnat && (governs("Egress") || random.chance(10)) {
        put(&mut spec, "egress", rules(random, setting));
    }
    put(&mut spec, "types", types);
    match list {
        List::Normal | List::Forward => {}
        List::Untracked => put(&mut spec, "doNotTrack", true),
        List::PreDnat => put(&mut spec, "preDNAT", true),
    }
    spec
}

fn tier(random: &mut Random) -> Value {
    random
        .weighted(&[
            (8, Value::Null),
            (2, json!("default")),
            (7, json!("first")),
            (6, json!("second")),
            (1, json!("kube-admin")),
            (1, json!("kube-baseline")),
            (1, json!("ghost")),
        ])
        .clone()
}

/// Makes a global policy of the v3 form.
pub(crate) fn global(random: &mut Random, name: &str) -> Value {
    let list = list(random);
    let mut spec = spec(random, list, RULES_V3);
    put(&mut spec, "tier", tier(random));
    if list != List::Normal {
        put(&mut spec, "applyOnForward", true);
    }
    if random.chance(5) {
        put(&mut spec, "namespaceSelector", "team == 'red'");
    }
    if random.chance(3) {
        put(&mut spec, "serviceAccountSelector", "all()");
    }
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Makes a policy of one namespace.
pub(crate) fn namespaced(random: &mut Random, namespace: &str, name: &str) -> Value {
    let mut spec = spec(random, List::Normal, RULES_V3);
    put(&mut spec, "tier", tier(random));
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// Makes a policy that is only being tried.
pub(crate) fn staged(random: &mut Random, name: &str) -> Value {
    let mut spec = spec(random, List::Normal, RULES_V3);
    put(&mut spec, "tier", tier(random));
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "StagedGlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Makes a policy of the v1 form.
pub(crate) fn old(random: &mut Random, name: &str) -> Value {
    let list = match list(random) {
        List::Forward => List::Normal,
        list @ (List::Normal | List::Untracked | List::PreDnat) => list,
    };
    let mut spec = spec(random, list, RULES_V1);
    if let Some(types) = spec.get_mut("types") {
        *types = json!(types.to_string().to_lowercase().parse::<Value>().ok());
    }
    json!({
        "apiVersion": "v1",
        "kind": "policy",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Makes a tier.
pub(crate) fn tier_of(random: &mut Random, name: &str) -> Value {
    let mut spec = Map::new();
    put(&mut spec, "order", order(random));
    if random.chance(85) {
        put(
            &mut spec,
            "defaultAction",
            *random.pick(&["Pass", "Pass", "Deny"]),
        );
    }
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "Tier",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Makes a profile of the v3 form.
pub(crate) fn profile(random: &mut Random, name: &str) -> Value {
    let setting = Setting {
        form: Form::V3,
        policy: false,
    };
    let mut spec = Map::new();
    put(&mut spec, "ingress", rules(random, setting));
    put(&mut spec, "egress", rules(random, setting));
    if random.chance(60) {
        let choices = [
            json!({"inherited": "yes"}),
            json!({"inherited": "yes", "app": "c"}),
            json!({"env": "prod"}),
            json!({"pcns.team": "red", "pcns.projectcalico.org/name": "ns1"}),
            json!({"pcsa.kind": "robot"}),
        ];
        put(&mut spec, "labelsToApply", random.pick(&choices).clone());
    }
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "Profile",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Makes a profile of the v1 form.
pub(crate) fn old_profile(random: &mut Random, name: &str) -> Value {
    let setting = Setting {
        form: Form::V1,
        policy: false,
    };
    let mut spec = Map::new();
    put(&mut spec, "ingress", rules(random, setting));
    put(&mut spec, "egress", rules(random, setting));
    let mut metadata = Map::new();
    put(&mut metadata, "name", name);
    if random.chance(60) {
        put(&mut metadata, "tags", json!(["tagged"]));
    }
    if random.chance(40) {
        put(&mut metadata, "labels", labels(random, "old"));
    }
    json!({"apiVersion": "v1", "kind": "profile", "metadata": metadata, "spec": spec})
}
