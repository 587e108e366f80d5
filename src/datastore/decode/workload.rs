//! Workload endpoints.

use ipnet::IpNet;

use super::meta::Meta;
use super::rule::{
    NAMESPACE_LABEL, NAMESPACE_PREFIX, SERVICE_ACCOUNT_LABEL, SERVICE_ACCOUNT_PREFIX,
};
use super::value::{
    Unnamed, address, address_of, endpoint_ports, interface, list, net, profiles, written,
};
use super::{Context, Origin};
use crate::datastore::field::{Field, Object, quoted};
use crate::datastore::validate;
use crate::model::{Form, LabelMap, NatMapping, NodeName, WorkloadEndpoint};
use crate::net::Family;

/// The label that holds what started a workload.
const ORCHESTRATOR_LABEL: &str = "projectcalico.org/orchestrator";

/// What a workload endpoint's name says: its node, orchestrator, workload and endpoint.
type Parts = [String; 4];

/// Reads a v3 workload endpoint and its name.
pub(super) fn workload_endpoint_v3(
    metadata: &Object<'_>,
    spec: &Object<'_>,
    meta: &Meta,
    context: Context,
) -> Option<(String, WorkloadEndpoint)> {
    let identity = identity(metadata, spec, &meta.name, context.origin);
    let account = spec.text("serviceAccountName");
    spec.ignore(&["qosControls", "type"]);
    let ports = endpoint_ports(spec, Unnamed::LeftOut);
    let spoofed = list(spec, "allowSpoofedSourcePrefixes", net);
    let endpoint = workload_endpoint(spec, Form::V3);
    if spec.get("ipNetworks").is_none_or(|field| field.is_empty()) {
        spec.reject_field(
            "ipNetworks",
            "must be present: an endpoint without addresses counts as absent",
        );
    }
    let [node, orchestrator, workload, name] = identity?;
    let mut labels = meta.labels.clone();
    labels.retain(|key, _| {
        !key.starts_with(NAMESPACE_PREFIX) && !key.starts_with(SERVICE_ACCOUNT_PREFIX)
    });
    if let Some(account) = account {
        labels.insert(SERVICE_ACCOUNT_LABEL.to_owned(), account.to_owned());
    }
    match context.origin {
        Origin::File => {
            labels.insert(NAMESPACE_LABEL.to_owned(), meta.namespace.clone());
            labels.insert(ORCHESTRATOR_LABEL.to_owned(), orchestrator.clone());
        }
        Origin::Datastore => {}
    }
    let full_name = [&node, &orchestrator, &workload, &name].map(|part| part.replace('-', "--"));
    let endpoint = WorkloadEndpoint {
        node: NodeName::new(&node),
        workload: format!("{}/{workload}", meta.namespace),
        orchestrator,
        endpoint: name,
        labels,
        ports,
        allow_spoofed_sources: spoofed,
        ..endpoint?
    };
    Some((full_name.join("-"), endpoint))
}

/// Reads the spec of a v1 workload endpoint.
pub(super) fn workload_endpoint_v1(
    spec: &Object<'_>,
    [node, orchestrator, workload, name]: [&str; 4],
    labels: LabelMap,
) -> Option<WorkloadEndpoint> {
    Some(WorkloadEndpoint {
        node: NodeName::new(node),
        orchestrator: orchestrator.to_owned(),
        workload: workload.to_owned(),
        endpoint: name.to_owned(),
        labels,
        ..workload_endpoint(spec, Form::V1)?
    })
}

fn workload_endpoint(spec: &Object<'_>, form: Form) -> Option<WorkloadEndpoint> {
    spec.required_text("interfaceName");
    let interface = spec.text("interfaceName").and_then(|_| {
        spec.get("interfaceName")
            .and_then(|field| interface(&field))
    });
    let mac = spec
        .text("mac")
        .and_then(|_| spec.get("mac").and_then(|field| mac(&field)));
    let nets: Vec<IpNet> = list(spec, "ipNetworks", |field| {
        let net = net(field)?;
        if net.prefix_len() != net.max_prefix_len() {
            field.refuse(
                "a workload's network holds one address, /32 or /128: only its first one is routed",
            );
        }
        Some(net)
    });
    let nat = list(spec, "ipNATs", |field| nat(field, &nets));
    address_of(spec, "ipv4Gateway", Family::V4);
    address_of(spec, "ipv6Gateway", Family::V6);
    let profiles = profiles(spec, form);
    Some(WorkloadEndpoint {
        node: NodeName::new(""),
        orchestrator: String::new(),
        workload: String::new(),
        endpoint: String::new(),
        interface: interface?,
        active: state(spec, form),
        mac,
        nets,
        nat,
        profiles,
        labels: LabelMap::new(),
        ports: Vec::new(),
        allow_spoofed_sources: Vec::new(),
    })
}

/// Tells whether the endpoint is to carry traffic: the v1 form may say so, and any word but `active` is no.
fn state(spec: &Object<'_>, form: Form) -> bool {
    match form {
        Form::V3 => true,
        Form::V1 => spec.text("state").is_none_or(|state| state == "active"),
    }
}

fn nat(field: &Field<'_>, nets: &[IpNet]) -> Option<NatMapping> {
    let object = field.object();
    let part = |name: &str| {
        if object.text(name).is_none() {
            object.refuse_field(name, "must be present");
            return None;
        }
        object.get(name).and_then(|field| address(&field))
    };
    let internal = part("internalIP");
    let external = part("externalIP");
    if let Some(internal) = internal
        && !nets.iter().any(|net| net.contains(&internal))
    {
        object.refuse_field("internalIP", "is none of the endpoint's own addresses");
    }
    if let (Some(internal), Some(external)) = (internal, external)
        && internal.is_ipv4() != external.is_ipv4()
    {
        field.refuse("the two addresses must be of one family");
        return None;
    }
    object.finish();
    Some(NatMapping {
        internal: internal?,
        external: external?,
    })
}

fn mac(field: &Field<'_>) -> Option<[u8; 6]> {
    let text = field.text()?;
    // Three groups of four digits as well, as Go reads them.
    let grouped = text.split('.').map(|group| group.split_at_checked(2));
    let grouped: Option<Vec<_>> = grouped.collect();
    let grouped = grouped.filter(|groups| groups.len() == 3);
    let grouped = grouped.map(|groups| {
        let pairs = groups.iter().flat_map(|(a, b)| [*a, *b]);
        pairs.collect::<Vec<_>>().join(":")
    });
    let text = grouped.as_deref().unwrap_or(text);
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut mac = [0; 6];
    let mut parts = text.split(separator);
    let filled = mac.iter_mut().all(|byte| {
        let part = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()));
        part.and_then(|part| u8::from_str_radix(part, 16).ok())
            .map(|value| *byte = value)
            .is_some()
    });
    if filled && parts.next().is_none() {
        return Some(mac);
    }
    field.reject(format!(
        "{} is not a hardware address of six bytes",
        quoted(text)
    ));
    None
}

/// Finds out which endpoint this is: its name says so, and for what a person wrote its spec may.
fn identity(metadata: &Object<'_>, spec: &Object<'_>, name: &str, origin: Origin) -> Option<Parts> {
    let named = split_name(name);
    let given = given_parts(spec);
    match origin {
        Origin::Datastore => {}
        Origin::File => {
            if let Some(named) = &named {
                for (index, (field, value)) in given.iter().enumerate() {
                    if let Some(value) = value
                        && named.get(index) != Some(value)
                    {
                        spec.reject_field(field, "is not what the endpoint's name says");
                    }
                }
            } else if given.iter().all(|(_, value)| value.is_some()) {
                return Some(given.map(|(_, value)| value.unwrap_or_default()));
            }
        }
    }
    if named.is_none() {
        metadata.reject_field(
            "name",
            "must be NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT with each `-` inside a part doubled",
        );
    }
    named
}

/// Returns the fields that say the same as the parts of the name, with their values.
fn given_parts<'s>(spec: &'s Object<'_>) -> [(&'s str, Option<String>); 4] {
    for name in [
        "node",
        "endpoint",
        "orchestrator",
        "workload",
        "pod",
        "containerID",
    ] {
        if spec.text(name).is_some()
            && let Some(field) = spec.get(name)
        {
            written(&field, validate::node_name);
        }
    }
    let text = |name: &'s str| spec.text(name).map(str::to_owned);
    let workload = match spec.text("orchestrator") {
        Some("k8s") => ("pod", text("pod")),
        Some("cni") => ("containerID", text("containerID")),
        Some("libnetwork") => ("workload", Some("libnetwork".to_owned())),
        Some(_) | None => ("workload", text("workload")),
    };
    [
        ("node", text("node")),
        ("orchestrator", text("orchestrator")),
        workload,
        ("endpoint", text("endpoint")),
    ]
}

/// Splits a name at its single dashes; a doubled one stands for a dash.
fn split_name(name: &str) -> Option<Parts> {
    let mut parts = vec![String::new()];
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '-' && characters.next_if_eq(&'-').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts
        .try_into()
        .ok()
        .filter(|parts: &Parts| parts.iter().all(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_single_dashes() {
        let parts = split_name("node--1-k8s-pod--a--b-eth0").unwrap();
        assert_eq!(parts, ["node-1", "k8s", "pod-a-b", "eth0"]);
        for bad in ["", "a-b-c", "a-b-c-d-e", "a-b-c-", "a---b-c-d-e-f"] {
            assert!(split_name(bad).is_none(), "{bad}");
        }
    }
}
