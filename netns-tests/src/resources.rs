//! Short ways to write the resources that the scenarios use.
//!
//! Rules are given as YAML in flow style, so that a test shows the very fields it is about.

/// Selects the host endpoints that [`host_endpoint`] makes.
pub const HOSTS: &str = "role == 'host'";

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
pub fn workload(place: crate::Place, labels: &str, ports: &str) -> String {
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
