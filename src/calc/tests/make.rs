//! Makes resources and updates in few words.

use std::net::IpAddr;
use std::sync::Arc;

use crate::calc::{FloatingIps, LinkUpdate, Settings, SpoofedSources};
use crate::model::{
    Action, EndOfTier, EndpointPort, Form, HostEndpoint, HostInterface, Kind, LabelMap, NetworkSet,
    NodeName, Order, Policy, PolicyKind, PolicyTypes, PortName, Profile, ProfileId, Resource,
    ResourceKey, Rule, Tier, TierName, Update, WorkloadEndpoint,
};
use crate::net::{InterfaceName, InterfacePattern, Protocol, parse_net};
use crate::selector::Selector;

/// The settings of the host `here`, whose workload interfaces begin with `cali`.
pub(super) fn settings() -> Settings {
    Settings {
        node: NodeName::new("here"),
        interface_prefixes: vec!["cali".to_owned()],
        interface_exclude: vec![InterfacePattern::name("kube-ipvs0")],
        spoofed_sources: SpoofedSources::Refused,
        floating_ips: FloatingIps::OpenStack,
    }
}

pub(super) fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

pub(super) fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Reads `role=web env=prod`.
pub(super) fn labels(text: &str) -> LabelMap {
    let pairs = text
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .collect()
}

pub(super) fn profiles(names: &[&str]) -> Vec<ProfileId> {
    names.iter().map(|name| ProfileId::new(name)).collect()
}

/// Reads `http tcp 80`.
pub(super) fn port(text: &str) -> EndpointPort {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap();
    EndpointPort {
        name: PortName::new(word()),
        protocol: word().parse::<Protocol>().unwrap(),
        port: word().parse().unwrap(),
    }
}

/// A host endpoint of `here`; an empty interface is none.
pub(super) fn hep(interface_name: &str, ips: &[&str]) -> HostEndpoint {
    HostEndpoint {
        node: NodeName::new("here"),
        interface: match interface_name {
            "" => None,
            "*" => Some(HostInterface::Any),
            name => Some(HostInterface::Name(interface(name))),
        },
        expected_ips: addresses(ips),
        profiles: Vec::new(),
        labels: LabelMap::new(),
        ports: Vec::new(),
    }
}

pub(super) fn wep(nets: &[&str], label_text: &str) -> WorkloadEndpoint {
    WorkloadEndpoint {
        node: NodeName::new("there"),
        orchestrator: "k8s".to_owned(),
        workload: "ns/pod".to_owned(),
        endpoint: "eth0".to_owned(),
        interface: interface("cali1"),
        active: true,
        mac: None,
        nets: nets.iter().map(|net| parse_net(net).unwrap()).collect(),
        nat: Vec::new(),
        profiles: Vec::new(),
        labels: labels(label_text),
        ports: Vec::new(),
        allow_spoofed_sources: Vec::new(),
    }
}

pub(super) fn netset(nets: &[&str], label_text: &str) -> NetworkSet {
    NetworkSet {
        labels: labels(label_text),
        nets: nets.iter().map(|net| parse_net(net).unwrap()).collect(),
        profile: None,
    }
}

/// A normal policy of the default tier for both directions, without rules.
pub(super) fn policy(selector: &str) -> Policy {
    Policy {
        tier: TierName::new("default"),
        order: Order::LAST,
        selector: Selector::parse(selector).unwrap(),
        types: PolicyTypes::BOTH,
        kind: PolicyKind::Normal,
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

pub(super) fn tier(order: Option<f64>, default_action: EndOfTier) -> Resource {
    Resource::Tier(Tier {
        order: order.map_or(Order::LAST, |order| Order::new(order).unwrap()),
        default_action,
    })
}

pub(super) fn profile(label_text: &str, tags: &[&str]) -> Profile {
    Profile {
        labels: labels(label_text),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

/// A rule that allows what comes from everything selected.
pub(super) fn from(selector: &str) -> Rule {
    let mut rule = Rule::any(Action::Allow);
    rule.source.selector = Some(Selector::parse(selector).unwrap());
    rule
}

pub(super) fn v3(kind: Kind, name: &str) -> ResourceKey {
    ResourceKey::v3(kind, "", name)
}

/// The key of a host endpoint in v3 form, or in v1 form where the name begins with `v1:`.
pub(super) fn hep_key(name: &str) -> ResourceKey {
    match name.strip_prefix("v1:") {
        Some(name) => ResourceKey::v1(Kind::HostEndpoint, "here", name),
        None => v3(Kind::HostEndpoint, name),
    }
}

/// The key of a policy: `name`, `namespace/name` or `v1:name`.
pub(super) fn policy_key(name: &str) -> ResourceKey {
    if let Some(name) = name.strip_prefix("v1:") {
        return ResourceKey::v1(Kind::GlobalNetworkPolicy, "", name);
    }
    match name.split_once('/') {
        Some((namespace, name)) => ResourceKey::v3(Kind::NetworkPolicy, namespace, name),
        None => v3(Kind::GlobalNetworkPolicy, name),
    }
}

pub(super) fn put(key: ResourceKey, resource: Resource) -> Update {
    Update {
        key,
        value: Some(Arc::new(resource)),
    }
}

pub(super) fn gone(key: ResourceKey) -> Update {
    Update { key, value: None }
}

pub(super) fn link(name: &str, ips: &[&str]) -> LinkUpdate {
    LinkUpdate {
        name: interface(name),
        addresses: Some(addresses(ips).into_iter().collect()),
    }
}

pub(super) fn link_gone(name: &str) -> LinkUpdate {
    LinkUpdate {
        name: interface(name),
        addresses: None,
    }
}

/// The form of a key, for kinds whose objects share a name in both forms.
pub(super) fn keyed(kind: Kind, name: &str, form: Form) -> ResourceKey {
    match form {
        Form::V3 => ResourceKey::v3(kind, "", name),
        Form::V1 => ResourceKey::v1(kind, "", name),
    }
}
