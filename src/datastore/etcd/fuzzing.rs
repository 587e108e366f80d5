//! A cluster whose keys and values a fuzzer chooses; compiled with `--cfg fuzzing` alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::contents::EtcdContents;
use super::fold::Fold;
use super::keys::paths;
use super::stored::{Birth, value};
use crate::model::{Problem, Resource, ResourceKey, Update};

/// What keys and values come to, one after the other.
#[derive(Debug, Default)]
pub struct Cluster(Fold);

impl Cluster {
    /// Takes in that a key has a value.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }

    /// Takes in that a key is gone.
    pub fn delete(&mut self, key: &[u8]) {
        self.0.delete(key);
    }

    /// Returns what has changed since the last time.
    pub fn settle(&mut self) -> (Vec<Update>, Vec<Problem>) {
        let news = self.0.settle();
        (news.updates, news.problems)
    }

    /// Becomes what another cluster is, and returns the difference.
    pub fn replace(&mut self, other: Self) -> (Vec<Update>, Vec<Problem>) {
        let news = self.0.replace(other.0);
        (news.updates, news.problems)
    }
}

/// Returns what keys and values come to at once, for the commands.
pub fn contents(pairs: &BTreeMap<Vec<u8>, Vec<u8>>) -> EtcdContents {
    let mut contents = EtcdContents::default();
    for (key, value) in pairs {
        contents.put(key, value, 1);
    }
    contents.settle(1);
    contents
}

/// Returns the key and the value that a resource is stored as.
pub fn stored(
    document: &Map<String, Json>,
    key: &ResourceKey,
    resource: &Arc<Resource>,
) -> (String, String) {
    let birth = Birth {
        time: "2026-01-02T03:04:05Z".to_owned(),
        uid: "00000000-0000-4000-8000-000000000000".to_owned(),
    };
    let document = value(document, key, resource, None, &birth);
    (paths(key).concat(), Json::Object(document).to_string())
}
