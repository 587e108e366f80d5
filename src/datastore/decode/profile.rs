//! Profiles.

use std::collections::BTreeSet;

use super::Context;
use super::rule::{Scope, rules};
use super::value::{LabelRule, labels, list, written};
use crate::datastore::field::Object;
use crate::datastore::validate;
use crate::model::{DEFAULT_ALLOW_PROFILE, Direction, Kind, LabelMap, Profile};

/// Reads the spec of a v3 profile.
pub(super) fn profile_v3(
    metadata: &Object<'_>,
    spec: &Object<'_>,
    name: &str,
    context: Context,
) -> Profile {
    if name == DEFAULT_ALLOW_PROFILE {
        metadata.reject_field("name", "the built-in profile cannot be redefined");
    }
    profile(
        spec,
        labels(spec, "labelsToApply", LabelRule::of(Kind::Profile, context)),
        BTreeSet::new(),
        context,
    )
}

/// Reads the metadata and spec of a v1 profile.
pub(super) fn profile_v1(metadata: &Object<'_>, spec: &Object<'_>, context: Context) -> Profile {
    let tags = list(metadata, "tags", |field| {
        written(field, validate::v1_name).map(str::to_owned)
    });
    let labels = labels(metadata, "labels", LabelRule::of(Kind::Profile, context));
    profile(spec, labels, tags.into_iter().collect(), context)
}

fn profile(
    spec: &Object<'_>,
    labels: LabelMap,
    tags: BTreeSet<String>,
    context: Context,
) -> Profile {
    let scope = Scope {
        context,
        namespace: None,
    };
    Profile {
        labels,
        tags,
        ingress: rules(spec, Direction::Ingress, scope),
        egress: rules(spec, Direction::Egress, scope),
    }
}
