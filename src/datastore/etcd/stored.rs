//! The value that a resource is stored as, as calicoctl's library writes it.

use serde_json::{Map, Value as Json, json};

use super::values::NAME_ANNOTATION;
use crate::datastore::store::{complete, tier_of};
use crate::model::{Resource, ResourceKey};

/// The fields of metadata that a client may set.
const OWN: [&str; 4] = ["annotations", "labels", "name", "namespace"];
/// The maps of metadata in which a client adds to what is there.
const SHARED: [&str; 2] = ["annotations", "labels"];
/// The API version of the v3 form.
const V3: &str = "projectcalico.org/v3";

/// What a resource is given at its creation.
#[derive(Debug, Clone)]
pub(super) struct Birth {
    /// The time, in the form of RFC 3339.
    pub(super) time: String,
    /// A random UUID.
    pub(super) uid: String,
}

/// Returns the value of a resource that takes the place of `stored`, if there is anything.
///
/// Of the metadata, a client decides about labels and annotations alone, and what it does not name of them stays: other
/// programs keep theirs there.
pub(super) fn value(
    document: &Map<String, Json>,
    key: &ResourceKey,
    resource: &Resource,
    stored: Option<&Map<String, Json>>,
    birth: &Birth,
) -> Map<String, Json> {
    let mut document = complete(document, key, resource, None);
    document.insert("apiVersion".to_owned(), json!(V3));
    let given = object(&document, "metadata");
    let before = stored
        .map(|stored| object(stored, "metadata"))
        .unwrap_or_default();
    let mut metadata = before.clone();
    metadata.remove("resourceVersion");
    for (field, born) in [("uid", &birth.uid), ("creationTimestamp", &birth.time)] {
        if !metadata.get(field).is_some_and(is_text) {
            metadata.insert(field.to_owned(), json!(born));
        }
    }
    for field in OWN {
        let mut value = given.get(field).cloned();
        if SHARED.contains(&field) {
            let mut merged = object(&before, field);
            merged.extend(object(&given, field));
            // As calicoctl's library keeps the names of policies, which stand in tiers.
            if field == "annotations" && tier_of(key, &document).is_some() {
                let name = json!({ "name": &*key.name }).to_string();
                merged.insert(NAME_ANNOTATION.to_owned(), json!(name));
            }
            value = (!merged.is_empty()).then_some(Json::Object(merged));
        }
        match value {
            Some(value) => metadata.insert(field.to_owned(), value),
            None => metadata.remove(field),
        };
    }
    document.insert("metadata".to_owned(), Json::Object(metadata));
    if let Some(status) = stored.and_then(|stored| stored.get("status")) {
        document.insert("status".to_owned(), status.clone());
    }
    document
}

fn object(fields: &Map<String, Json>, name: &str) -> Map<String, Json> {
    let found = fields.get(name).and_then(Json::as_object);
    found.cloned().unwrap_or_default()
}

fn is_text(value: &Json) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Returns what a cluster says of itself when nobody has said anything, or `None` where it says enough; `guid` is a
/// random one.
pub(super) fn information(
    stored: Option<&Map<String, Json>>,
    guid: &str,
    birth: &Birth,
) -> Option<Map<String, Json>> {
    let mut document = stored.cloned().unwrap_or_default();
    let mut spec = object(&document, "spec");
    let mut missing = false;
    if !spec.get("clusterGUID").is_some_and(is_text) {
        spec.insert("clusterGUID".to_owned(), json!(guid));
        missing = true;
    }
    if spec.get("datastoreReady").is_none_or(Json::is_null) {
        spec.insert("datastoreReady".to_owned(), json!(true));
        missing = true;
    }
    if stored.is_none() {
        document = born("ClusterInformation", "default", birth);
    }
    document.insert("spec".to_owned(), Json::Object(spec));
    missing.then_some(document)
}

/// Returns a tier that every cluster has.
pub(super) fn tier(name: &str, order: u64, action: &str, birth: &Birth) -> Map<String, Json> {
    let mut document = born("Tier", name, birth);
    let spec = json!({ "order": order, "defaultAction": action });
    document.insert("spec".to_owned(), spec);
    document
}

fn born(kind: &str, name: &str, birth: &Birth) -> Map<String, Json> {
    let metadata = json!({
        "name": name,
        "uid": birth.uid,
        "creationTimestamp": birth.time,
    });
    [
        ("apiVersion", json!(V3)),
        ("kind", json!(kind)),
        ("metadata", metadata),
    ]
    .map(|(field, value)| (field.to_owned(), value))
    .into_iter()
    .collect()
}
