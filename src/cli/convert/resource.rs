//! Resources of the v1 form in v3 form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::show::{self, Fields, put_list};
use super::command::Remarks;
use crate::datastore::Written;
use crate::model::{
    Form, Kind, Place, Profile, ProfileId, Resource, ResourceKey, WorkloadEndpoint,
};

/// The namespace of workloads that name none.
const DEFAULT_NAMESPACE: &str = "default";
/// The longest name of a resource.
const MAX_NAME: usize = 253;
/// The longest part of a policy's name.
const MAX_LABEL: usize = 63;

/// What is different about forwarded traffic.
const FORWARDED: &str = "in v3 form, failsafe ports and profiles do not count for forwarded traffic, and it is not \
     denied where no policy selects the endpoint; every policy has been given applyOnForward, so that it goes on to \
     count for it";
/// What is different about workloads.
const WORKLOADS: &str = "in v3 form, policies with applyOnForward count also for traffic between an interface with \
     an endpoint and a workload: allow that traffic, or take the field away";

/// A resource in v3 form.
#[derive(Debug)]
pub(super) struct Converted {
    /// The document.
    pub(super) document: Value,
    /// Where what it was made from begins.
    pub(super) place: Place,
    /// The resource of the v1 form that it was made from, if it was.
    pub(super) from: Option<ResourceKey>,
    /// The version that what it was made from names, if any; a document that is shown anew has none.
    pub(super) version: String,
}

/// Returns resources in v3 form, in an order in which they can be created.
pub(super) fn convert(all: &[Written], remarks: &mut Remarks) -> Vec<Converted> {
    let names = Names::of(all, remarks);
    let mut converted: BTreeMap<(Kind, String, String), Converted> = BTreeMap::new();
    for (index, written) in all.iter().enumerate() {
        let (Some(key), Some(value)) = (&written.key, &written.value) else {
            let text = format_args!(
                "a {} has no effect on policy and is left out",
                written.kind()
            );
            remarks.warn(&written.place, text);
            continue;
        };
        let document = match key.form {
            Form::V3 => Value::Object(written.document.clone()),
            Form::V1 => {
                let name = names.by_index.get(&index).map_or("", String::as_str);
                let document = Value::Object(resource(written, key, value, name, &names, remarks));
                match Written::from_json(&document, &written.place) {
                    Ok(again) if remarks.check(&again) => {}
                    Ok(_) => continue,
                    Err(error) => {
                        remarks.reject(&written.place, error);
                        continue;
                    }
                }
                document
            }
        };
        let text = |name: &str| {
            let metadata = document
                .get("metadata")
                .and_then(|metadata| metadata.get(name));
            metadata
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let identity = (key.kind, text("namespace"), text("name"));
        let from = match key.form {
            Form::V1 => Some(key.clone()),
            Form::V3 => None,
        };
        let resource = Converted {
            document,
            place: written.place.clone(),
            from,
            version: written.version().to_owned(),
        };
        converted.insert(identity, resource);
    }
    remark_whole(all, remarks);
    converted.into_values().collect()
}

/// Says what is different about all resources together.
fn remark_whole(all: &[Written], remarks: &mut Remarks) {
    let of_v1 = |kind: Kind| {
        let keys = all.iter().filter_map(|written| written.key.as_ref());
        keys.filter(|key| key.form == Form::V1 && key.kind == kind)
            .count()
    };
    let (hosts, policies) = (of_v1(Kind::HostEndpoint), of_v1(Kind::GlobalNetworkPolicy));
    if hosts > 0 {
        remarks.warn(format_args!("{hosts} host endpoints"), FORWARDED);
    }
    if policies > 0 && (of_v1(Kind::WorkloadEndpoint) > 0 || hosts == 0) {
        remarks.warn(format_args!("{policies} policies"), WORKLOADS);
    }
    let nodes: BTreeSet<&str> = all
        .iter()
        .filter_map(|written| match written.value.as_deref()? {
            Resource::HostEndpoint(endpoint) => Some(endpoint.node.as_str()),
            Resource::WorkloadEndpoint(endpoint) => Some(endpoint.node.as_str()),
            Resource::Policy(_)
            | Resource::StagedPolicy
            | Resource::Tier(_)
            | Resource::Profile(_)
            | Resource::NetworkSet(_)
            | Resource::Node(_)
            | Resource::IpPool(_)
            | Resource::FelixConfiguration(_)
            | Resource::ClusterInformation(_) => None,
        })
        .filter(|node| node.contains(|c: char| c.is_ascii_uppercase()))
        .collect();
    for node in nodes {
        let text = "is the node of endpoints and has capital letters, which the name that a host finds out for itself \
             has not: set FelixHostname there, or write the node in small letters";
        remarks.warn(format_args!("`{node}`"), text);
    }
    let profiles = || {
        all.iter()
            .filter_map(|written| match written.value.as_deref() {
                Some(Resource::Profile(profile)) => Some(profile),
                _ => None,
            })
    };
    let labels: BTreeSet<&String> = profiles()
        .flat_map(|profile| profile.labels.keys())
        .collect();
    let tags: BTreeSet<&String> = profiles().flat_map(|profile| &profile.tags).collect();
    for tag in tags.intersection(&labels) {
        let text = "is a tag of one profile and a label of another: as labels they are equals";
        remarks.warn(format_args!("`{tag}`"), text);
    }
}

fn resource(
    written: &Written,
    key: &ResourceKey,
    value: &Resource,
    name: &str,
    names: &Names,
    remarks: &mut Remarks,
) -> Fields {
    let mut fields = show::resource(key, value);
    set(&mut fields, "metadata", "name", json!(name));
    match value {
        Resource::HostEndpoint(endpoint) => {
            set_profiles(
                &mut fields,
                &names.profiles(&endpoint.profiles, key, remarks),
            );
        }
        Resource::WorkloadEndpoint(endpoint) => {
            if !endpoint.active {
                remarks.reject(
                    &written.place,
                    "an endpoint that is not active has no v3 form",
                );
            }
            let (namespace, parts) = parts(endpoint);
            if parts
                .first()
                .is_none_or(|node| node != endpoint.node.as_str())
            {
                let text = "the name of its node cannot be part of a name in v3 form";
                remarks.reject(&written.place, text);
            }
            set(&mut fields, "metadata", "namespace", json!(namespace));
            for (field, part) in ["node", "orchestrator", workload_field(endpoint), "endpoint"]
                .into_iter()
                .zip(&parts)
            {
                set(&mut fields, "spec", field, json!(part));
            }
            set_profiles(
                &mut fields,
                &names.profiles(&endpoint.profiles, key, remarks),
            );
        }
        Resource::Node(_) => {
            let spec = written
                .document
                .get("spec")
                .and_then(|spec| spec.get("bgp"));
            if let Some(bgp) = spec {
                set(&mut fields, "spec", "bgp", bgp.clone());
            }
        }
        Resource::IpPool(_) => set(&mut fields, "spec", "ipipMode", json!(ipip_mode(written))),
        Resource::Profile(Profile { .. })
        | Resource::Policy(_)
        | Resource::StagedPolicy
        | Resource::Tier(_)
        | Resource::NetworkSet(_)
        | Resource::FelixConfiguration(_)
        | Resource::ClusterInformation(_) => {}
    }
    fields
}

fn set(fields: &mut Fields, part: &str, name: &str, value: Value) {
    if let Some(Value::Object(part)) = fields.get_mut(part) {
        part.insert(name.to_owned(), value);
    }
}

fn set_profiles(fields: &mut Fields, profiles: &[String]) {
    if let Some(Value::Object(spec)) = fields.get_mut("spec") {
        put_list(spec, "profiles", profiles);
    }
}

/// Returns the field that names a workload.
fn workload_field(endpoint: &WorkloadEndpoint) -> &'static str {
    match endpoint.orchestrator.as_str() {
        "k8s" => "pod",
        "cni" => "containerID",
        _ => "workload",
    }
}

/// Returns the namespace of a workload, and what its name consists of.
fn parts(endpoint: &WorkloadEndpoint) -> (String, [String; 4]) {
    let workload = endpoint.workload.as_str();
    let split = match endpoint.orchestrator.as_str() {
        // The plugin for Kubernetes wrote `namespace.pod`.
        "k8s" => workload.split_once(['/', '.']),
        _ => workload.split_once('/'),
    };
    let (namespace, workload) = split.unwrap_or((DEFAULT_NAMESPACE, workload));
    let parts = [
        endpoint.node.as_str(),
        &endpoint.orchestrator,
        workload,
        &endpoint.endpoint,
    ];
    (clean(namespace), parts.map(clean))
}

fn ipip_mode(written: &Written) -> &'static str {
    let spec = written
        .document
        .get("spec")
        .and_then(|spec| spec.get("ipip"));
    let part = |name: &str| spec.and_then(|ipip| ipip.get(name));
    match (
        part("enabled").and_then(Value::as_bool),
        part("mode").and_then(Value::as_str),
    ) {
        (Some(true), Some("cross-subnet")) => "CrossSubnet",
        (Some(true), _) => "Always",
        (Some(false) | None, _) => "Never",
    }
}

/// The names that resources of the v1 form get.
struct Names {
    by_index: BTreeMap<usize, String>,
    profiles: BTreeMap<String, String>,
}

impl Names {
    fn of(all: &[Written], remarks: &mut Remarks) -> Self {
        let mut names = Self {
            by_index: BTreeMap::new(),
            profiles: BTreeMap::new(),
        };
        let keys = || {
            all.iter()
                .enumerate()
                .filter_map(|(index, written)| Some((index, written, written.key.as_ref()?)))
        };
        let mut taken: BTreeSet<(Kind, String)> = keys()
            .filter(|(.., key)| key.form == Form::V3)
            .map(|(.., key)| (key.kind, key.name.to_string()))
            .collect();
        let of_v1 = keys().filter(|(.., key)| key.form == Form::V1);
        let mut wanting: Vec<(usize, &ResourceKey, String)> = of_v1
            .map(|(index, written, key)| {
                let wanted = match written.value.as_deref() {
                    Some(Resource::WorkloadEndpoint(endpoint)) => parts(endpoint)
                        .1
                        .map(|part| part.replace('-', "--"))
                        .join("-"),
                    _ => name(key),
                };
                (index, key, wanted)
            })
            .collect();
        // Others refer to a name that can stay, perhaps from what is converted another time.
        wanting.sort_by_key(|(_, key, wanted)| **wanted != *key.name);
        for (index, key, wanted) in wanting {
            let numbers = 2..;
            let others = numbers.map(|number: usize| format!("{wanted}-{number}"));
            let free = |name: &String| !taken.contains(&(key.kind, name.clone()));
            let name = std::iter::once(wanted.clone()).chain(others).find(free);
            let name = name.unwrap_or(wanted);
            taken.insert((key.kind, name.clone()));
            let keeps = match key.kind {
                // Their names are made from what they are.
                Kind::WorkloadEndpoint | Kind::IpPool => true,
                Kind::ClusterInformation
                | Kind::FelixConfiguration
                | Kind::Node
                | Kind::Tier
                | Kind::Profile
                | Kind::GlobalNetworkPolicy
                | Kind::NetworkPolicy
                | Kind::StagedGlobalNetworkPolicy
                | Kind::StagedNetworkPolicy
                | Kind::StagedKubernetesNetworkPolicy
                | Kind::GlobalNetworkSet
                | Kind::NetworkSet => *name == *key.name,
                Kind::HostEndpoint => name == format!("{}.{}", key.scope, key.name),
            };
            if !keeps {
                let text = format_args!(
                    "is named `{name}`; names decide between policies of one order, and between endpoints of one \
                     interface"
                );
                remarks.warn(key, text);
            }
            if key.kind == Kind::Profile {
                names.profiles.insert(key.name.to_string(), name.clone());
            }
            names.by_index.insert(index, name);
        }
        names
    }

    /// Returns the names of profiles that a resource refers to; one that is elsewhere will have been named alike.
    fn profiles(
        &self,
        profiles: &[ProfileId],
        of: &ResourceKey,
        remarks: &mut Remarks,
    ) -> Vec<String> {
        let name = |profile: &ProfileId| {
            if let Some(renamed) = self.profiles.get(profile.as_str()) {
                return renamed.clone();
            }
            let name = clean(profile.as_str());
            if name != profile.as_str() {
                let text = format_args!("its profile `{profile}` is named `{name}`");
                remarks.warn(of, text);
            }
            name
        };
        profiles.iter().map(name).collect()
    }
}

/// Returns the name that a resource would have if no other had it, as calicoctl's own conversion makes it.
fn name(key: &ResourceKey) -> String {
    let clean = clean(&key.name);
    match key.kind {
        Kind::IpPool => clean.replace('.', "-"),
        Kind::GlobalNetworkPolicy => {
            let mut name = clean;
            if name.split('.').count() > 2 {
                name = name.replace('.', "-");
            }
            let parts = name.split('.').map(|part| cut(part, MAX_LABEL));
            parts.collect::<Vec<_>>().join(".")
        }
        // Names of the v1 form are the node's own.
        Kind::HostEndpoint => self::clean(&format!("{}.{}", key.scope, key.name)),
        Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::Node
        | Kind::Tier
        | Kind::Profile
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::WorkloadEndpoint => clean,
    }
}

fn cut(text: &str, length: usize) -> &str {
    text.get(..length)
        .unwrap_or(text)
        .trim_end_matches(['-', '.'])
}

/// Returns a name of the v3 form that is like a text.
fn clean(text: &str) -> String {
    let letters = text.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '-') => c,
        _ => '-',
    });
    let letters: String = letters.collect();
    let parts = letters.split('.').map(|part| part.trim_matches('-'));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let name = parts.join(".");
    let name = cut(&name, MAX_NAME);
    if name.is_empty() {
        "x".to_owned()
    } else {
        name.to_owned()
    }
}
