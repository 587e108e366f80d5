//! Resources as they were understood, in Calico's v3 form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::show_rule::rules;
use crate::model::{
    ClusterInformation, DEFAULT_TIER, EndOfTier, EndpointPort, FelixConfiguration, Form,
    HostEndpoint, HostInterface, IpPool, Kind, LabelMap, NetworkSet, Node, Order, Policy,
    PolicyKind, Profile, ProfileId, Resource, ResourceKey, Tier, WorkloadEndpoint,
};
use crate::net::Protocol;

/// The fields of a map that are there.
pub(super) type Fields = Map<String, Value>;

/// Returns a resource in the form in which v3 resources are written.
pub(super) fn resource(key: &ResourceKey, resource: &Resource) -> Fields {
    let mut metadata = Fields::new();
    metadata.insert("name".to_owned(), json!(name(key)));
    match key.form {
        Form::V3 if key.kind.is_namespaced() => {
            metadata.insert("namespace".to_owned(), json!(&*key.scope));
        }
        // The scope of the v1 form is a node.
        Form::V3 | Form::V1 => {}
    }
    let no_labels = LabelMap::new();
    let (labels, spec) = match resource {
        Resource::HostEndpoint(endpoint) => (&endpoint.labels, host_endpoint(endpoint)),
        Resource::WorkloadEndpoint(endpoint) => (&endpoint.labels, workload_endpoint(endpoint)),
        Resource::Policy(policy) => (&no_labels, self::policy(policy)),
        Resource::StagedPolicy => (&no_labels, Fields::new()),
        Resource::Tier(tier) => (&no_labels, self::tier(tier)),
        Resource::Profile(profile) => (&no_labels, self::profile(profile)),
        Resource::NetworkSet(set) => (&set.labels, network_set(set)),
        Resource::Node(node) => (&node.labels, self::node(node)),
        Resource::IpPool(pool) => (&no_labels, ip_pool(pool)),
        Resource::FelixConfiguration(felix) => {
            put_texts(&mut metadata, "annotations", &felix.annotations);
            put(&mut metadata, "creationTimestamp", felix.created.as_ref());
            (&no_labels, felix_configuration(felix))
        }
        Resource::ClusterInformation(cluster) => (&no_labels, cluster_information(cluster)),
    };
    put_texts(&mut metadata, "labels", labels);
    let mut fields = Fields::new();
    fields.insert("apiVersion".to_owned(), json!("projectcalico.org/v3"));
    fields.insert("kind".to_owned(), json!(key.kind.as_str()));
    fields.insert("metadata".to_owned(), Value::Object(metadata));
    fields.insert("spec".to_owned(), Value::Object(spec));
    fields
}

/// Returns the name that a resource has in v3 form.
fn name(key: &ResourceKey) -> String {
    if key.form == Form::V1 && key.kind == Kind::WorkloadEndpoint {
        let parts = std::iter::once(&*key.scope).chain(key.name.split('/'));
        let parts: Vec<String> = parts.map(|part| part.replace('-', "--")).collect();
        parts.join("-")
    } else {
        key.name.to_string()
    }
}

/// Returns resources of a kind as a list of them.
pub(super) fn list(kind: Kind, items: &[Value]) -> Value {
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

fn put_ports(fields: &mut Fields, ports: &[EndpointPort]) {
    if !ports.is_empty() {
        let port = |port: &EndpointPort| {
            json!({
                "name": port.name.as_str(),
                "protocol": protocol_name(port.protocol),
                "port": port.port,
            })
        };
        fields.insert("ports".to_owned(), ports.iter().map(port).collect());
    }
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
    put_ports(&mut spec, &endpoint.ports);
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
    spec.insert("node".to_owned(), json!(endpoint.node.as_str()));
    spec.insert("orchestrator".to_owned(), json!(endpoint.orchestrator));
    // In v3 form the namespace stands in front, and the field is named after the orchestrator.
    let workload = endpoint.workload.split_once('/');
    let workload = workload.map_or(endpoint.workload.as_str(), |(_, name)| name);
    let field = match endpoint.orchestrator.as_str() {
        "k8s" => "pod",
        "cni" => "containerID",
        _ => "workload",
    };
    spec.insert(field.to_owned(), json!(workload));
    spec.insert("endpoint".to_owned(), json!(endpoint.endpoint));
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
    put_ports(&mut spec, &endpoint.ports);
    put_list(
        &mut spec,
        "allowSpoofedSourcePrefixes",
        &endpoint.allow_spoofed_sources,
    );
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
        PolicyKind::Normal => &[],
        PolicyKind::ApplyOnForward => &["applyOnForward"],
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

fn network_set(set: &NetworkSet) -> Fields {
    let mut spec = Fields::new();
    put_list(&mut spec, "nets", &set.nets);
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

fn felix_configuration(felix: &FelixConfiguration) -> Fields {
    let mut spec = felix.spec.clone();
    let selector = felix.node_selector.as_ref();
    put(
        &mut spec,
        "nodeSelector",
        selector
            .map(|selector| selector.as_str().to_owned())
            .as_ref(),
    );
    spec
}

fn cluster_information(cluster: &ClusterInformation) -> Fields {
    let mut spec = Fields::new();
    put(&mut spec, "clusterGUID", cluster.cluster_guid.as_ref());
    put(&mut spec, "clusterType", cluster.cluster_type.as_ref());
    put(&mut spec, "calicoVersion", cluster.calico_version.as_ref());
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
