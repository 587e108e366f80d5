//! What selectors can find, and what labels endpoints have.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{
    DEFAULT_ALLOW_PROFILE, EndpointPort, Form, Kind, LabelMap, Profile, ProfileId, Resource,
    ResourceKey,
};
use crate::net::host_net;
use crate::selector::Selector;

/// The resources that there are.
pub(super) type Resources = BTreeMap<ResourceKey, Arc<Resource>>;

/// Something that selectors can find, on whichever host.
#[derive(Debug, Clone)]
pub(super) struct Member {
    labels: LabelMap,
    nets: Vec<IpNet>,
    /// The ports that it declares by name.
    pub(super) ports: Vec<EndpointPort>,
}

impl Member {
    /// Tells whether an address belongs to it.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// Tells whether a rule that names these selectors together means it.
    ///
    /// The two are one question: a negated selector takes members away from what the other one selects.
    pub(super) fn is_meant(&self, selector: &Selector, not_selector: Option<&Selector>) -> bool {
        selector.matches(&self.labels)
            && not_selector.is_none_or(|not_selector| !not_selector.matches(&self.labels))
    }
}

/// Returns everything that selectors can find.
pub(super) fn members(resources: &Resources) -> Vec<Member> {
    let mut members = Vec::new();
    for resource in resources.values() {
        match resource.as_ref() {
            Resource::HostEndpoint(endpoint) => members.push(Member {
                labels: labels_of(resources, &endpoint.labels, &endpoint.profiles),
                nets: endpoint
                    .expected_ips
                    .iter()
                    .copied()
                    .map(host_net)
                    .collect(),
                ports: endpoint.ports.clone(),
            }),
            Resource::WorkloadEndpoint(endpoint) => members.push(Member {
                labels: labels_of(resources, &endpoint.labels, &endpoint.profiles),
                nets: endpoint.nets.clone(),
                ports: endpoint.ports.clone(),
            }),
            Resource::NetworkSet(set) => members.push(Member {
                labels: labels_of(resources, &set.labels, set.profile.as_slice()),
                nets: set.nets.clone(),
                ports: Vec::new(),
            }),
            Resource::Policy(_)
            | Resource::StagedPolicy
            | Resource::Tier(_)
            | Resource::Profile(_)
            | Resource::Node(_)
            | Resource::IpPool(_)
            | Resource::FelixConfiguration(_)
            | Resource::ClusterInformation(_) => {}
        }
    }
    members
}

/// Returns labels with those inherited: its own win over its profiles' labels, which win over their tags; of
/// several profiles the first one that has a label wins.
pub(super) fn labels_of(resources: &Resources, own: &LabelMap, profiles: &[ProfileId]) -> LabelMap {
    let mut labels = own.clone();
    let found: Vec<Profile> = profiles
        .iter()
        .filter_map(|id| profile(resources, id))
        .collect();
    for profile in &found {
        for (key, value) in &profile.labels {
            labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    for tag in found.iter().flat_map(|profile| &profile.tags) {
        labels.entry(tag.clone()).or_default();
    }
    labels
}

/// Returns a profile by name; of two forms of one name the v3 one counts.
pub(super) fn profile(resources: &Resources, id: &ProfileId) -> Option<Profile> {
    if id.as_str() == DEFAULT_ALLOW_PROFILE {
        return Some(Profile::default_allow());
    }
    let of_form = |form| {
        let key = ResourceKey {
            kind: Kind::Profile,
            scope: "".into(),
            name: id.as_str().into(),
            form,
        };
        resources.get(&key)?.as_profile().cloned()
    };
    of_form(Form::V3).or_else(|| of_form(Form::V1))
}
