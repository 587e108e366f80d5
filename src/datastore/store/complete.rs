//! What calicoctl's library fills in when it writes a resource.

use serde_json::{Map, Value as Json, json};

use super::contents::bare;
use super::documents::text_of;
use crate::model::{DEFAULT_TIER, Form, Kind, Policy, Resource, ResourceKey};

/// The label that names the tier of a policy.
const TIER_LABEL: &str = "projectcalico.org/tier";
/// The label that holds an endpoint's namespace.
const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";
/// The label that holds what started a workload.
const ORCHESTRATOR_LABEL: &str = "projectcalico.org/orchestrator";
/// The order of a tier that gives none.
const TIER_ORDER: u64 = 1_000_000;

/// Returns the document that is stored for a resource; `created` is when its first state was written.
///
/// The v1 form is stored as it is.
pub(in crate::datastore) fn complete(
    written: &Map<String, Json>,
    key: &ResourceKey,
    value: &Resource,
    created: Option<&str>,
) -> Map<String, Json> {
    let mut document = bare(written.clone());
    match key.form {
        Form::V1 => return document,
        Form::V3 => {}
    }
    // As the model spells it, whatever the case of the letters.
    document.insert("kind".to_owned(), json!(key.kind.as_str()));
    within(&mut document, "metadata", |metadata| {
        metadata.insert("name".to_owned(), json!(&*key.name));
        if key.kind.is_namespaced() {
            metadata.insert("namespace".to_owned(), json!(&*key.scope));
        }
        match created {
            Some(created) => metadata.insert("creationTimestamp".to_owned(), json!(created)),
            None => metadata.remove("creationTimestamp"),
        };
    });
    match value {
        Resource::Policy(policy) => complete_policy(&mut document, Some(policy)),
        // A Kubernetes policy knows no tiers.
        Resource::StagedPolicy if key.kind != Kind::StagedKubernetesNetworkPolicy => {
            complete_policy(&mut document, None);
        }
        Resource::Tier(_) => within(&mut document, "spec", |spec| {
            default(spec, "order", &json!(TIER_ORDER));
            default(spec, "defaultAction", &json!("Deny"));
        }),
        Resource::WorkloadEndpoint(endpoint) => {
            label(&mut document, NAMESPACE_LABEL, json!(&*key.scope));
            let orchestrator = json!(endpoint.orchestrator);
            label(&mut document, ORCHESTRATOR_LABEL, orchestrator);
        }
        Resource::IpPool(pool) => within(&mut document, "spec", |spec| {
            let size = if pool.cidr.addr().is_ipv4() { 26 } else { 122 };
            for (field, value) in [
                ("allowedUses", json!(["Workload", "Tunnel"])),
                ("assignmentMode", json!("Automatic")),
                ("blockSize", json!(size)),
                ("ipipMode", json!("Never")),
                ("nodeSelector", json!("all()")),
                ("vxlanMode", json!("Never")),
            ] {
                default(spec, field, &value);
            }
        }),
        Resource::StagedPolicy
        | Resource::HostEndpoint(_)
        | Resource::Profile(_)
        | Resource::NetworkSet(_)
        | Resource::Node(_)
        | Resource::FelixConfiguration(_)
        | Resource::ClusterInformation(_) => {}
    }
    document
}

/// Fills in a policy; one that is only tried is not understood, and keeps its types.
fn complete_policy(document: &mut Map<String, Json>, policy: Option<&Policy>) {
    within(document, "spec", |spec| {
        default(spec, "tier", &json!(DEFAULT_TIER));
        if let Some(policy) = policy {
            let directions = [
                ("Ingress", policy.types.ingress),
                ("Egress", policy.types.egress),
            ];
            let governed = directions.iter().filter(|(_, governed)| *governed);
            let types = governed.map(|(name, _)| json!(name)).collect();
            default(spec, "types", &Json::Array(types));
        }
    });
    let tier = json!(tier(document));
    label(document, TIER_LABEL, tier);
}

/// Returns the tier that a resource's document names, for policies that have one.
pub(in crate::datastore) fn tier_of<'a>(
    key: &ResourceKey,
    document: &'a Map<String, Json>,
) -> Option<&'a str> {
    match (key.form, key.kind) {
        (
            Form::V3,
            Kind::GlobalNetworkPolicy
            | Kind::NetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy,
        ) => Some(tier(document)),
        (
            Form::V3,
            Kind::ClusterInformation
            | Kind::FelixConfiguration
            | Kind::Node
            | Kind::IpPool
            | Kind::Tier
            | Kind::Profile
            | Kind::StagedKubernetesNetworkPolicy
            | Kind::GlobalNetworkSet
            | Kind::NetworkSet
            | Kind::HostEndpoint
            | Kind::WorkloadEndpoint,
        )
        | (Form::V1, _) => None,
    }
}

fn tier(document: &Map<String, Json>) -> &str {
    let spec = document.get("spec").and_then(Json::as_object);
    match spec.map_or("", |spec| text_of(spec, "tier")) {
        "" => DEFAULT_TIER,
        tier => tier,
    }
}

/// Sets a field that is absent or empty.
fn default(fields: &mut Map<String, Json>, name: &str, value: &Json) {
    let given = fields.get(name).is_some_and(|value| match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => true,
    });
    if !given {
        fields.insert(name.to_owned(), value.clone());
    }
}

/// Changes a map within a map, which is made if it is absent.
fn within(fields: &mut Map<String, Json>, name: &str, change: impl FnOnce(&mut Map<String, Json>)) {
    let mut part = match fields.remove(name) {
        Some(Json::Object(part)) => part,
        // What is wrong here has been refused before.
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_))
        | None => Map::new(),
    };
    change(&mut part);
    fields.insert(name.to_owned(), Json::Object(part));
}

/// Sets a label.
fn label(document: &mut Map<String, Json>, name: &str, value: Json) {
    within(document, "metadata", |metadata| {
        within(metadata, "labels", |labels| {
            labels.insert(name.to_owned(), value);
        });
    });
}
