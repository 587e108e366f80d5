//! Resources of the v1 form as they were understood, in Calico's v3 form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::show_rule::rules;
use crate::model::{
    ClusterInformation, DEFAULT_TIER, EndOfTier, HostEndpoint, HostInterface, IpPool, Kind,
    LabelMap, Node, Order, Policy, PolicyKind, Profile, ProfileId, Resource, ResourceKey, Tier,
    WorkloadEndpoint,
};
use crate::net::Protocol;

/// The fields of a map that are there.
pub(super) type Fields = Map<String, Value>;

/// Returns a resource of the v1 form as v3 resources are written.
///
/// Of a workload endpoint, what its name consists of is absent.
pub(super) fn resource(key: &ResourceKey, resource: &Resource) -> Fields {
    let mut metadata = Fields::new();
    metadata.insert("name".to_owned(), json!(&*key.name));
    let no_labels = LabelMap::new();
    let (labels, spec) = match resource {
        Resource::HostEndpoint(endpoint) => (&endpoint.labels, host_endpoint(endpoint)),
        Resource::WorkloadEndpoint(endpoint) => (&endpoint.labels, workload_endpoint(endpoint)),
        Resource::Policy(policy) => (&no_labels, self::policy(policy)),
        Resource::Tier(tier) => (&no_labels, self::tier(tier)),
        Resource::Profile(profile) => (&no_labels, self::profile(profile)),
        Resource::Node(node) => (&node.labels, self::node(node)),
        Resource::IpPool(pool) => (&no_labels, ip_pool(pool)),
        Resource::FelixConfiguration(felix) => {
            put_texts(&mut metadata, "annotations", &felix.annotations);
            (&no_labels, Fields::new())
        }
        Resource::ClusterInformation(cluster) => (&no_labels, cluster_information(cluster)),
        // They have no v1 form.
        Resource::StagedPolicy | Resource::NetworkSet(_) => (&no_labels, Fields::new()),
    };
    put_texts(&mut metadata, "labels", labels);
    let mut fields = Fields::new();
    fields.insert("apiVersion".to_owned(), json!("projectcalico.org/v3"));
    fields.insert("kind".to_owned(), json!(key.kind.as_str()));
    fields.insert("metadata".to_owned(), Value::Object(metadata));
    fields.insert("spec".to_owned(), Value::Object(spec));
    fields
}

/// Returns resources of a kind, or of several, as a list of them.
pub(super) fn list(kind: Option<Kind>, items: &[Value]) -> Value {
    let kind = kind.map_or("", Kind::as_str);
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": format!("{kind}List"),
        "items": items,
    })
}

/// Adds a field that may be absent.
pub(super) fn put<T: Into<Value> + Clone>(fields: &mut Fields, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.clone().into());
    }
}

/// Adds a list of texts unless it is empty.
pub(super) fn put_list<T: ToString>(fields: &mut Fields, name: &str, items: &[T]) {
    if !items.is_empty() {
        let items: Vec<Value> = items.iter().map(|item| item.to_string().into()).collect();
        fields.insert(name.to_owned(), Value::Array(items));
    }
}

fn put_texts(fields: &mut Fields, name: &str, texts: &BTreeMap<String, String>) {
    if !texts.is_empty() {
        fields.insert(name.to_owned(), json!(texts));
    }
}

fn put_profiles(fields: &mut Fields, profiles: &[ProfileId]) {
    put_list(fields, "profiles", profiles);
}

/// Returns a protocol as v3 resources write it.
pub(super) fn protocol_name(protocol: Protocol) -> Value {
    match protocol {
        Protocol::ICMPV6 => json!("ICMPv6"),
        Protocol::UDPLITE => json!("UDPLite"),
        Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::SCTP => {
            json!(protocol.to_string().to_uppercase())
        }
        _ => json!(protocol.number()),
    }
}

/// Returns an order; `None` for that of what gives none.
fn order(order: Order) -> Option<Value> {
    let value = order.value();
    let whole = format!("{value:.0}").parse::<i64>().ok();
    if value.fract() == 0.0
        && let Some(whole) = whole
    {
        return Some(json!(whole));
    }
    serde_json::Number::from_f64(value).map(Value::Number)
}

fn host_endpoint(endpoint: &HostEndpoint) -> Fields {
    let mut spec = Fields::new();
    spec.insert("node".to_owned(), json!(endpoint.node.as_str()));
    let interface = endpoint.interface.as_ref().map(interface);
    put(&mut spec, "interfaceName", interface.as_ref());
    put_list(&mut spec, "expectedIPs", &endpoint.expected_ips);
    put_profiles(&mut spec, &endpoint.profiles);
    spec
}

/// Returns an interface as host endpoints write it.
pub(super) fn interface(interface: &HostInterface) -> String {
    match interface {
        HostInterface::Any => "*".to_owned(),
        HostInterface::Name(name) => name.to_string(),
    }
}

fn workload_endpoint(endpoint: &WorkloadEndpoint) -> Fields {
    let mut spec = Fields::new();
    spec.insert(
        "interfaceName".to_owned(),
        json!(endpoint.interface.as_str()),
    );
    let mac = endpoint.mac.map(|mac| {
        let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(":")
    });
    put(&mut spec, "mac", mac.as_ref());
    put_list(&mut spec, "ipNetworks", &endpoint.nets);
    if !endpoint.nat.is_empty() {
        let nat = endpoint.nat.iter().map(|nat| {
            json!({
                "internalIP": nat.internal.to_string(),
                "externalIP": nat.external.to_string(),
            })
        });
        spec.insert("ipNATs".to_owned(), nat.collect());
    }
    put_profiles(&mut spec, &endpoint.profiles);
    spec
}

fn policy(policy: &Policy) -> Fields {
    let mut spec = Fields::new();
    if policy.tier.as_str() != DEFAULT_TIER {
        spec.insert("tier".to_owned(), json!(policy.tier.as_str()));
    }
    put(&mut spec, "order", order(policy.order).as_ref());
    spec.insert("selector".to_owned(), json!(policy.selector.as_str()));
    spec.insert("types".to_owned(), json!(types(policy)));
    let flags: &[&str] = match policy.kind {
        // In v1 form, policy counts for forwarded traffic without saying so.
        PolicyKind::Normal | PolicyKind::ApplyOnForward => &["applyOnForward"],
        PolicyKind::Untracked => &["applyOnForward", "doNotTrack"],
        PolicyKind::PreDnat => &["applyOnForward", "preDNAT"],
    };
    for flag in flags {
        spec.insert((*flag).to_owned(), json!(true));
    }
    put(&mut spec, "ingress", rules(&policy.ingress).as_ref());
    put(&mut spec, "egress", rules(&policy.egress).as_ref());
    spec
}

/// Returns the directions that a policy governs where it stands.
pub(super) fn types(policy: &Policy) -> Vec<&'static str> {
    let egress = match policy.kind {
        PolicyKind::Normal | PolicyKind::ApplyOnForward | PolicyKind::Untracked => {
            policy.types.egress
        }
        PolicyKind::PreDnat => false,
    };
    [
        policy.types.ingress.then_some("Ingress"),
        egress.then_some("Egress"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn tier(tier: &Tier) -> Fields {
    let mut spec = Fields::new();
    put(&mut spec, "order", order(tier.order).as_ref());
    let action = end_of_tier(tier.default_action);
    spec.insert("defaultAction".to_owned(), json!(action));
    spec
}

/// Returns what happens at the end of a tier, as tiers write it.
pub(super) fn end_of_tier(end: EndOfTier) -> &'static str {
    match end {
        EndOfTier::Deny => "Deny",
        EndOfTier::Pass => "Pass",
    }
}

/// Returns the labels that a profile gives; the v1 form's tags are labels without a value, as Calico's own
/// conversion has it.
pub(super) fn profile_labels(profile: &Profile) -> LabelMap {
    let tags = profile.tags.iter().map(|tag| (tag.clone(), String::new()));
    let mut labels: LabelMap = tags.collect();
    labels.extend(profile.labels.clone());
    labels
}

fn profile(profile: &Profile) -> Fields {
    let mut spec = Fields::new();
    put_texts(&mut spec, "labelsToApply", &profile_labels(profile));
    put(&mut spec, "ingress", rules(&profile.ingress).as_ref());
    put(&mut spec, "egress", rules(&profile.egress).as_ref());
    spec
}

fn node(node: &Node) -> Fields {
    let mut spec = Fields::new();
    let mut bgp = Fields::new();
    for address in &node.addresses {
        let name = if address.is_ipv4() {
            "ipv4Address"
        } else {
            "ipv6Address"
        };
        bgp.insert(name.to_owned(), json!(address.to_string()));
    }
    if !bgp.is_empty() {
        spec.insert("bgp".to_owned(), Value::Object(bgp));
    }
    spec
}

fn ip_pool(pool: &IpPool) -> Fields {
    let mut spec = Fields::new();
    spec.insert("cidr".to_owned(), json!(pool.cidr.to_string()));
    spec.insert("natOutgoing".to_owned(), json!(pool.nat_outgoing));
    spec.insert("disabled".to_owned(), json!(pool.disabled));
    spec
}

fn cluster_information(cluster: &ClusterInformation) -> Fields {
    let mut spec = Fields::new();
    put(
        &mut spec,
        "datastoreReady",
        cluster.datastore_ready.as_ref(),
    );
    spec
}

#[cfg(test)]
#[path = "tests/show.rs"]
mod tests;
