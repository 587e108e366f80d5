//! The columns in which resources of each kind are listed.

use super::output::Table;
use super::show::{end_of_tier, interface, profile_labels, types};
use super::status::Statuses;
use crate::model::{
    Form, HostInterface, Kind, LabelMap, Order, PolicyKind, Resource, ResourceKey, Rule,
};

/// How many items of a list are shown.
const SHOWN: usize = 4;

/// Begins the table of a kind.
pub(super) fn table(kind: Kind) -> Table {
    Table::new(match kind {
        Kind::HostEndpoint => &[
            "NAME",
            "NODE",
            "INTERFACE",
            "EXPECTED",
            "PROFILES",
            "FORM",
            "BOUND",
            "PROBLEMS",
        ],
        Kind::WorkloadEndpoint => &[
            "SCOPE",
            "NAME",
            "NODE",
            "INTERFACE",
            "NETWORKS",
            "PROFILES",
            "FORM",
            "PROBLEMS",
        ],
        Kind::GlobalNetworkPolicy => &[
            "NAME", "TIER", "ORDER", "KIND", "TYPES", "RULES", "SELECTOR", "FORM",
        ],
        Kind::NetworkPolicy => &[
            "NAMESPACE",
            "NAME",
            "TIER",
            "ORDER",
            "TYPES",
            "RULES",
            "SELECTOR",
        ],
        Kind::StagedGlobalNetworkPolicy => &["NAME", "ENFORCED"],
        Kind::StagedNetworkPolicy | Kind::StagedKubernetesNetworkPolicy => {
            &["NAMESPACE", "NAME", "ENFORCED"]
        }
        Kind::Tier => &["NAME", "ORDER", "DEFAULT"],
        Kind::Profile => &["NAME", "RULES", "LABELS", "FORM"],
        Kind::GlobalNetworkSet => &["NAME", "NETS", "LABELS"],
        Kind::NetworkSet => &["NAMESPACE", "NAME", "NETS", "LABELS"],
        Kind::Node => &["NAME", "LABELS", "FORM"],
        Kind::IpPool => &["NAME", "CIDR", "NAT", "DISABLED", "FORM"],
        Kind::FelixConfiguration => &["NAME", "NODES", "SETTINGS"],
        Kind::ClusterInformation => &["NAME", "TYPE", "VERSION", "READY"],
    })
}

/// Returns the row of a resource.
pub(super) fn row(key: &ResourceKey, resource: &Resource, statuses: &Statuses) -> Vec<String> {
    let mut row = Vec::new();
    if key.kind.is_namespaced() {
        row.push(key.scope.to_string());
    }
    row.push(key.name.to_string());
    let form = || form(key.form).to_owned();
    match resource {
        Resource::HostEndpoint(endpoint) => row.extend([
            endpoint.node.to_string(),
            endpoint
                .interface
                .as_ref()
                .map(interface)
                .unwrap_or_default(),
            joined(&endpoint.expected_ips),
            joined(&endpoint.profiles),
            form(),
            match statuses.bound(key) {
                Some(names) if names.is_empty() => "none".to_owned(),
                Some(_) if endpoint.interface == Some(HostInterface::Any) => {
                    "every other".to_owned()
                }
                Some(names) => joined(&names),
                None => String::new(),
            },
            statuses.problems(key).join("; "),
        ]),
        Resource::WorkloadEndpoint(endpoint) => row.extend([
            endpoint.node.to_string(),
            endpoint.interface.to_string(),
            joined(&endpoint.nets),
            joined(&endpoint.profiles),
            form(),
            statuses.problems(key).join("; "),
        ]),
        Resource::Policy(policy) => {
            row.extend([policy.tier.to_string(), order(policy.order)]);
            let types = types(policy).join(",");
            let rules = rules(&policy.ingress, &policy.egress);
            let selector = policy.selector.to_string();
            if key.kind.is_namespaced() {
                row.extend([types, rules, selector]);
            } else {
                row.extend([
                    policy_kind(policy.kind).to_owned(),
                    types,
                    rules,
                    selector,
                    form(),
                ]);
            }
        }
        Resource::StagedPolicy => row.push("no".to_owned()),
        Resource::Tier(tier) => {
            row.extend([
                order(tier.order),
                end_of_tier(tier.default_action).to_owned(),
            ]);
        }
        Resource::Profile(profile) => row.extend([
            rules(&profile.ingress, &profile.egress),
            labels(&profile_labels(profile)),
            form(),
        ]),
        Resource::NetworkSet(set) => row.extend([joined(&set.nets), labels(&set.labels)]),
        Resource::Node(node) => row.extend([labels(&node.labels), form()]),
        Resource::IpPool(pool) => row.extend([
            pool.cidr.to_string(),
            pool.nat_outgoing.to_string(),
            pool.disabled.to_string(),
            form(),
        ]),
        Resource::FelixConfiguration(felix) => {
            let nodes = match (&*key.name, &felix.node_selector) {
                (_, Some(selector)) => selector.to_string(),
                ("default", None) => "all".to_owned(),
                (name, None) => name.strip_prefix("node.").unwrap_or_default().to_owned(),
            };
            let names: Vec<&String> = felix.spec.keys().collect();
            row.extend([nodes, joined(&names)]);
        }
        Resource::ClusterInformation(cluster) => row.extend([
            cluster.cluster_type.clone().unwrap_or_default(),
            cluster.calico_version.clone().unwrap_or_default(),
            cluster
                .datastore_ready
                .map(|ready| ready.to_string())
                .unwrap_or_default(),
        ]),
    }
    row
}

fn form(form: Form) -> &'static str {
    match form {
        Form::V1 => "v1",
        Form::V3 => "v3",
    }
}

fn policy_kind(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Normal => "normal",
        PolicyKind::ApplyOnForward => "applyOnForward",
        PolicyKind::Untracked => "doNotTrack",
        PolicyKind::PreDnat => "preDNAT",
    }
}

fn order(order: Order) -> String {
    if order == Order::LAST {
        "last".to_owned()
    } else {
        order.to_string()
    }
}

fn rules(ingress: &[Rule], egress: &[Rule]) -> String {
    format!("{} in, {} out", ingress.len(), egress.len())
}

fn labels(labels: &LabelMap) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    joined(&labels)
}

/// Joins the first items, and says how many more there are.
fn joined<T: ToString>(items: &[T]) -> String {
    let mut shown: Vec<String> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    if items.len() > SHOWN {
        shown.push(format!("... ({})", items.len()));
    }
    shown.join(",")
}
