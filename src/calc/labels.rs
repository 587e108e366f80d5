//! What labels an item has of its own and by way of profiles.

use std::collections::BTreeSet;

use crate::model::{LabelMap, Profile, ProfileId, Resource};
use crate::selector::Labels;

/// The labels of a resource that selectors can find, and the profiles it inherits more from.
pub(super) fn labelled(resource: &Resource) -> Option<(&LabelMap, &[ProfileId])> {
    match resource {
        Resource::HostEndpoint(endpoint) => Some((&endpoint.labels, &endpoint.profiles)),
        Resource::WorkloadEndpoint(endpoint) => Some((&endpoint.labels, &endpoint.profiles)),
        Resource::NetworkSet(set) => Some((&set.labels, set.profile.as_slice())),
        Resource::Policy(_)
        | Resource::StagedPolicy
        | Resource::Tier(_)
        | Resource::Profile(_)
        | Resource::Node(_)
        | Resource::IpPool(_)
        | Resource::FelixConfiguration(_)
        | Resource::ClusterInformation(_) => None,
    }
}

/// The labels of an item with those it inherits: its own win over its profiles' labels, which win over tags.
pub(super) struct Effective<'a> {
    pub(super) own: &'a LabelMap,
    pub(super) parents: Vec<&'a Profile>,
}

impl Labels for Effective<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let own = self.own.get(key);
        own.or_else(|| {
            self.parents
                .iter()
                .find_map(|parent| parent.labels.get(key))
        })
        .map(String::as_str)
        .or_else(|| {
            let tagged = self.parents.iter().any(|parent| parent.tags.contains(key));
            tagged.then_some("")
        })
    }
}

/// Returns the labels that a profile hands down, with its tags as labels without a value.
pub(super) fn handed_down_by(profile: &Profile) -> impl Iterator<Item = (&str, &str)> {
    let labels = profile
        .labels
        .iter()
        .map(|(label, value)| (label.as_str(), value.as_str()));
    labels.chain(profile.tags.iter().map(|tag| (tag.as_str(), "")))
}

/// Returns the labels that differ in what a profile hands down.
pub(super) fn changed_labels_of_profile<'a>(
    old: Option<&'a Profile>,
    new: Option<&'a Profile>,
) -> BTreeSet<&'a str> {
    let all = |profile: Option<&'a Profile>| -> BTreeSet<(&'a str, &'a str, bool)> {
        profile
            .into_iter()
            .flat_map(|profile| {
                let labels = profile
                    .labels
                    .iter()
                    .map(|(label, value)| (label.as_str(), value.as_str(), false));
                labels.chain(profile.tags.iter().map(|tag| (tag.as_str(), "", true)))
            })
            .collect()
    };
    let (old, new) = (all(old), all(new));
    old.symmetric_difference(&new)
        .map(|(label, _, _)| *label)
        .collect()
}
