//! What stands in several places.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::command::Remarks;
use super::keys::{CONFIG, V1};
use crate::config::felix_configuration;
use crate::datastore::Written;
use crate::model::{Kind, Place, ResourceKey};

type Fields = Map<String, Value>;

/// Returns each resource once. Configuration of both forms is put together; otherwise what differs from place to
/// place is refused.
pub(super) fn merge(all: Vec<Written>, remarks: &mut Remarks) -> Vec<Written> {
    let mut merged: Vec<Written> = Vec::new();
    let mut first: BTreeMap<ResourceKey, usize> = BTreeMap::new();
    for written in all {
        let before = written.key.as_ref().and_then(|key| first.get(key)).copied();
        let Some(known) = before.and_then(|index| merged.get_mut(index)) else {
            if let Some(key) = written.key.clone() {
                first.insert(key, merged.len());
            }
            merged.push(written);
            continue;
        };
        if known.document == written.document {
            continue;
        }
        let together = match (is_of_keys(known), is_of_keys(&written)) {
            (false, true) => put_together(known, &written, remarks),
            (true, false) => put_together(&written, known, remarks),
            (true, true) | (false, false) => None,
        };
        if let Some(together) = together {
            *known = together;
        } else {
            let text = format_args!("it differs from what stands at {}", known.place);
            remarks.reject(&written.place, text);
        }
    }
    merged
}

/// Tells whether a resource of the v3 form was made of keys of the v1 form.
fn is_of_keys(written: &Written) -> bool {
    match &written.place {
        Place::Key(key) => key.starts_with(V1),
        Place::File { .. } | Place::Calculated => false,
    }
}

/// Puts what keys of the v1 form say under what a resource says; `None` where that has no meaning.
fn put_together(over: &Written, under: &Written, remarks: &mut Remarks) -> Option<Written> {
    let mut document = over.document.clone();
    match over.key.as_ref()?.kind {
        Kind::FelixConfiguration => put_options(&mut document, &under.document),
        Kind::ClusterInformation => put_cluster(&mut document, &under.document),
        Kind::Node
        | Kind::Tier
        | Kind::Profile
        | Kind::GlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::HostEndpoint
        | Kind::WorkloadEndpoint
        | Kind::IpPool => return None,
    }
    let text = format_args!(
        "what it says, and {} does not, is added to that",
        over.place
    );
    remarks.warn(&under.place, text);
    Written::from_json(&Value::Object(document), &over.place).ok()
}

/// Adds the options that are not set, neither by a field nor by an annotation.
fn put_options(over: &mut Fields, under: &Fields) {
    let given = annotations(over);
    let spec = over.get("spec").and_then(Value::as_object);
    let (set, _) = felix_configuration(spec.unwrap_or(&Fields::new()), &given);
    let (added, _) = felix_configuration(&Fields::new(), &annotations(under));
    let missing: Vec<(String, String)> = added
        .into_iter()
        .filter(|(name, _)| !set.keys().any(|known| known.eq_ignore_ascii_case(name)))
        .collect();
    let Some(annotations) =
        part(over, "metadata").and_then(|metadata| part(metadata, "annotations"))
    else {
        return;
    };
    for (name, value) in missing {
        annotations.insert(format!("{CONFIG}{name}"), json!(value));
    }
}

/// Adds the fields that are not there. A datastore is only ready where nothing says that it is not.
fn put_cluster(over: &mut Fields, under: &Fields) {
    let Some(spec) = part(over, "spec") else {
        return;
    };
    let under = under.get("spec").and_then(Value::as_object);
    for (name, value) in under.into_iter().flatten() {
        let is_ready = name == "datastoreReady";
        let known = spec.entry(name.clone()).or_insert_with(|| value.clone());
        if is_ready && *value == json!(false) {
            *known = json!(false);
        }
    }
}

fn annotations(document: &Fields) -> BTreeMap<String, String> {
    let annotations = document
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(Value::as_object);
    let texts = annotations.into_iter().flatten();
    texts
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Returns a map within a map, made where there is none; `None` where something else has its place.
fn part<'a>(fields: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    fields
        .entry(name)
        .or_insert_with(|| json!({}))
        .as_object_mut()
}
