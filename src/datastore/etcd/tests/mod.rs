//! Tests of the pure parts.

mod fold;
mod hostile;
mod keys;
mod stored;
mod tolerance;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fold::Fold;
use crate::model::{Resource, ResourceKey};

/// Where the keys of the two forms begin.
const V3: &str = "/calico/resources/v3/projectcalico.org";
const V1: &str = "/calico/v1";

/// What pairs of keys and values come to, and the reasons of what is wrong with them.
fn read(pairs: &[(&str, &str)]) -> (BTreeMap<ResourceKey, Arc<Resource>>, Vec<String>) {
    let mut fold = Fold::default();
    for (key, value) in pairs {
        fold.put(key.as_bytes(), value.as_bytes());
    }
    let news = fold.settle();
    let problems = news.problems.iter().map(ToString::to_string).collect();
    (fold.resources(), problems)
}

/// What one value comes to.
fn one(key: &str, value: &str) -> Resource {
    let (mut resources, problems) = read(&[(key, value)]);
    assert_eq!(problems, Vec::<String>::new(), "{key}: {value}");
    let (_, resource) = resources.pop_first().expect("the value is good");
    resource.as_ref().clone()
}

/// What is wrong with a value that counts as absent.
fn refused(key: &str, value: &str) -> String {
    let (resources, problems) = read(&[(key, value)]);
    assert!(resources.is_empty(), "{key}: {resources:?}");
    problems.join("; ")
}
