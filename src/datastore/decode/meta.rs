//! Metadata of resources.

use std::collections::BTreeMap;

use super::value::{LabelRule, labels, written};
use super::{Context, Origin};
use crate::datastore::field::{Field, Object};
use crate::datastore::validate;
use crate::model::{Kind, LabelMap};

/// The namespace of namespaced resources that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// The metadata of a v3 resource.
#[derive(Debug)]
pub(super) struct Meta {
    /// The name; empty where it is missing.
    pub(super) name: String,
    /// The namespace; empty for kinds that have none.
    pub(super) namespace: String,
    pub(super) labels: LabelMap,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) created: Option<String>,
}

/// Reads the metadata of a v3 resource.
pub(super) fn meta_v3(resource: &Object<'_>, kind: Kind, context: Context) -> Meta {
    let field = resource.get_or_empty("metadata");
    let object = field.object();
    object.ignore(&[
        "uid",
        "resourceVersion",
        "generation",
        "generateName",
        "ownerReferences",
        "finalizers",
        "managedFields",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ]);
    let name = object.text("name").unwrap_or_default().to_owned();
    if name.is_empty() {
        // A workload endpoint's name follows from its spec.
        if kind != Kind::WorkloadEndpoint || context.origin == Origin::Datastore {
            object.missing("name");
        }
    } else if let Some(field) = object.get("name") {
        written(&field, |text| validate::resource_name(kind, text));
    }
    let namespace = object.text("namespace").unwrap_or_default();
    let namespace = if kind.is_namespaced() {
        if !namespace.is_empty()
            && let Some(field) = object.get("namespace")
        {
            written(&field, validate::namespace);
        }
        if namespace.is_empty() {
            DEFAULT_NAMESPACE
        } else {
            namespace
        }
    } else {
        if !namespace.is_empty() {
            object.reject_field("namespace", format!("a {kind} has no namespace"));
        }
        ""
    };
    let meta = Meta {
        name,
        namespace: namespace.to_owned(),
        labels: labels(&object, "labels", LabelRule::of(kind, context)),
        annotations: object
            .get("annotations")
            .map(|field| texts(&field))
            .unwrap_or_default(),
        created: object.text("creationTimestamp").map(str::to_owned),
    };
    object.finish();
    meta
}

fn texts(field: &Field<'_>) -> BTreeMap<String, String> {
    field
        .entries()
        .filter_map(|(key, value)| Some((key.to_owned(), value.text()?.to_owned())))
        .collect()
}
