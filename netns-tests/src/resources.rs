//! Short ways to write the resources that the scenarios use.
//!
//! Rules are given as YAML in flow style, so that a test shows the very fields it is about.

use crate::topology::{Place, WL0, WL1};
use crate::workloads;

/// Selects the host endpoints that [`host_endpoint`] makes.
pub const HOSTS: &str = "role == 'host'";

/// Selects the workloads that [`local`] and [`local_v1`] make.
pub const WORKLOADS: &str = "role == 'workload'";

/// The profile that is built in and allows everything.
pub const ALLOW_ALL: &str = "profiles: [projectcalico-default-allow]";

/// Joins documents into one file.
pub fn documents<Text: AsRef<str>>(documents: &[Text]) -> String {
    documents
        .iter()
        .flat_map(|it| ["---\n", it.as_ref().trim_end(), "\n"])
        .collect()
}

/// Returns a host endpoint of `host1` with the label `role: host` and these fields of its spec.
pub fn host_endpoint(name: &str, spec: &str) -> String {
    host_endpoint_of("host1", name, "role: host", spec)
}

/// Returns a host endpoint of any node with any labels.
pub fn host_endpoint_of(node: &str, name: &str, labels: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: HostEndpoint\n\
         metadata: {{name: {name}, labels: {{{labels}}}}}\n\
         spec: {{node: {node}, {spec}}}\n"
    )
}

/// Returns the host endpoint of the host's `eth0`.
pub fn eth0() -> String {
    host_endpoint("eth0", "interfaceName: eth0")
}

/// Returns the host endpoint of all of the host's interfaces.
pub fn star() -> String {
    host_endpoint("star", "interfaceName: \"*\"")
}

/// Returns a policy for the host endpoints with these fields of its spec, in flow style.
pub fn policy(name: &str, order: u32, spec: &str) -> String {
    policy_for(HOSTS, name, order, spec)
}

/// Returns a policy for a selector with these fields of its spec, in flow style.
pub fn policy_for(selector: &str, name: &str, order: u32, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: GlobalNetworkPolicy\n\
         metadata: {{name: {name}}}\n\
         spec: {{order: {order}, selector: \"{selector}\", {spec}}}\n"
    )
}

/// Returns an ingress policy for the host endpoints with these rules.
pub fn ingress(name: &str, order: u32, rules: &str) -> String {
    policy(
        name,
        order,
        &format!("types: [Ingress], ingress: [{rules}]"),
    )
}

/// Returns a policy for the host endpoints that is also for what they forward.
pub fn forward(name: &str, order: u32, spec: &str) -> String {
    policy(name, order, &format!("applyOnForward: true, {spec}"))
}

/// Returns an untracked policy for the host endpoints.
pub fn untracked(name: &str, order: u32, spec: &str) -> String {
    policy(
        name,
        order,
        &format!("doNotTrack: true, applyOnForward: true, {spec}"),
    )
}

/// Returns a policy for the host endpoints that sees destinations before they are translated.
pub fn pre_dnat(name: &str, order: u32, rules: &str) -> String {
    let spec = format!("preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{rules}]");
    policy(name, order, &spec)
}

/// Returns a policy for the host's workloads with these fields of its spec.
pub fn workload_policy(name: &str, order: u32, spec: &str) -> String {
    policy_for(WORKLOADS, name, order, spec)
}

/// Returns an egress policy for the host endpoints with these rules.
pub fn egress(name: &str, order: u32, rules: &str) -> String {
    policy(name, order, &format!("types: [Egress], egress: [{rules}]"))
}

/// Returns a profile with these fields of its spec.
pub fn profile(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: Profile\n\
         metadata: {{name: {name}}}\n\
         spec: {{{spec}}}\n"
    )
}

/// Returns a tier.
pub fn tier(name: &str, order: u32, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: Tier\n\
         metadata: {{name: {name}}}\n\
         spec: {{order: {order}{spec}}}\n"
    )
}

/// Returns a global network set.
pub fn network_set(name: &str, labels: &str, nets: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: GlobalNetworkSet\n\
         metadata: {{name: {name}, labels: {{{labels}}}}}\n\
         spec: {{nets: [{nets}]}}\n"
    )
}

/// Returns a workload of another node, with its addresses in both families and its named ports.
pub fn workload(place: Place, labels: &str, ports: &str) -> String {
    let (name, v4, v6) = (place.name, place.v4, place.v6);
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: WorkloadEndpoint\n\
         metadata: {{name: node2-k8s-{name}-eth0, namespace: default, labels: {{{labels}}}}}\n\
         spec: {{node: node2, orchestrator: k8s, pod: {name}, endpoint: eth0,\n\
         \x20 interfaceName: cali{name}, ipNetworks: [\"{v4}/32\", \"{v6}/128\"],\n\
         \x20 ports: [{ports}]}}\n"
    )
}

/// Returns a workload of `host1` itself, with the labels `role: workload` and `name`, the addresses of its
/// place, and these further fields of its spec.
pub fn local(place: Place, spec: &str) -> String {
    local_of("k8s", place, &format!("name: {}", place.name), spec)
}

/// Returns the first two workloads of `host1`, which may do everything.
pub fn two() -> Vec<String> {
    vec![local(WL0, ALLOW_ALL), local(WL1, ALLOW_ALL)]
}

/// Returns one file of [`two`] and more resources.
pub fn two_and(more: &[String]) -> String {
    documents(&[two(), more.to_vec()].concat())
}

/// Returns a workload of `host1` with these labels beside `role: workload`.
pub fn local_labelled(place: Place, labels: &str, spec: &str) -> String {
    local_of("k8s", place, labels, spec)
}

/// Returns a workload of `host1` that an orchestrator made.
pub fn local_of(orchestrator: &str, place: Place, labels: &str, spec: &str) -> String {
    let identity = match orchestrator {
        "k8s" => format!("pod: {}", place.name),
        _ => format!("workload: {}", place.name),
    };
    named_workload(
        &format!("host1-{orchestrator}-{}-eth0", place.name),
        &format!("{{role: workload, {labels}}}"),
        &format!("node: host1, orchestrator: {orchestrator}, {identity}, endpoint: eth0"),
        place,
        spec,
    )
}

/// Returns a workload with a name, labels and the fields of its spec that name says.
pub fn named_workload(
    name: &str,
    labels: &str,
    identity: &str,
    place: Place,
    spec: &str,
) -> String {
    let separator = if spec.is_empty() { "" } else { ", " };
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: WorkloadEndpoint\n\
         metadata: {{name: {name}, namespace: default, labels: {labels}}}\n\
         spec: {{{identity}, {}{separator}{spec}}}\n",
        link(place)
    )
}

/// Returns a workload of `host1` in v1 form.
pub fn local_v1(place: Place, spec: &str) -> String {
    let separator = if spec.is_empty() { "" } else { ", " };
    format!(
        "apiVersion: v1\n\
         kind: workloadEndpoint\n\
         metadata: {{name: eth0, workload: {name}, orchestrator: k8s, node: host1, \
         labels: {{role: workload, name: {name}}}}}\n\
         spec: {{{}{separator}{spec}}}\n",
        link(place),
        name = place.name,
    )
}

/// Returns the fields that join a workload to its interface.
fn link(place: Place) -> String {
    format!(
        "interfaceName: {}, mac: \"{}\", ipNetworks: [\"{}/32\", \"{}/128\"]",
        workloads::interface(place),
        workloads::hardware_address(place),
        place.v4,
        place.v6,
    )
}

/// Returns a host endpoint of `host1` in v1 form, with the label `role: host`.
pub fn host_endpoint_v1(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: hostEndpoint\n\
         metadata: {{name: {name}, node: host1, labels: {{role: host}}}}\n\
         spec: {{{spec}}}\n"
    )
}

/// Returns a policy in v1 form for a selector, which governs both directions unless it says otherwise.
pub fn policy_v1(selector: &str, name: &str, order: u32, spec: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: policy\n\
         metadata: {{name: {name}}}\n\
         spec: {{order: {order}, selector: \"{selector}\", {spec}}}\n"
    )
}

/// Returns a profile in v1 form.
pub fn profile_v1(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: profile\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

/// Returns a pool of addresses.
pub fn ip_pool(name: &str, cidr: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: IPPool\n\
         metadata: {{name: {name}}}\n\
         spec: {{cidr: \"{cidr}\", {spec}}}\n"
    )
}

/// Returns a pool of addresses in v1 form.
pub fn ip_pool_v1(cidr: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: ipPool\nmetadata: {{cidr: \"{cidr}\"}}\nspec: {{{spec}}}\n")
}
