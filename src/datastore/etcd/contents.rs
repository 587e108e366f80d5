//! What a cluster holds at one revision, as it was understood and as it was written.

use std::collections::BTreeMap;

use super::fold::Fold;
use super::keys::{Part, Piece, Target};
use super::values::{Held, document};
use crate::datastore::directory::Snapshot;
use crate::datastore::store::Document;
use crate::model::ResourceKey;

/// All resources at one revision.
#[derive(Debug, Default)]
pub struct EtcdContents {
    fold: Fold,
    snapshot: Snapshot,
    held: BTreeMap<ResourceKey, Values>,
    revision: i64,
}

/// The values of one resource.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// The value that is all of it.
    pub(super) whole: Option<Held>,
    /// The values that are parts of it.
    pub(super) pieces: BTreeMap<Piece, Held>,
    /// The last revision that wrote one.
    pub(super) revision: i64,
}

impl EtcdContents {
    /// Takes in a key and its value.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8], revision: i64) {
        self.fold.put(key, value);
        let Some(target) = Target::of(key) else {
            return;
        };
        let held = Held {
            key: String::from_utf8_lossy(key).into(),
            value: value.into(),
        };
        let values = self.held.entry(target.key).or_default();
        values.revision = values.revision.max(revision);
        match target.part {
            Part::Whole => values.whole = Some(held),
            Part::Piece(piece) => drop(values.pieces.insert(piece, held)),
        }
    }

    /// Takes in that there are no more at the revision.
    pub(super) fn settle(&mut self, revision: i64) {
        self.revision = revision;
        let news = std::mem::take(&mut self.fold).settle();
        let objects = news.updates.into_iter();
        self.snapshot = Snapshot {
            objects: objects
                .filter_map(|update| Some((update.key, update.value?)))
                .collect(),
            problems: news.problems,
            ..Snapshot::default()
        };
    }

    /// Returns the revision at which all of it was there.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// Returns the resources as they were understood.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the keys of the resources that are there, those that cannot be understood included.
    pub fn keys(&self) -> impl Iterator<Item = &ResourceKey> {
        self.held.keys()
    }

    /// Returns a resource as it was written, or in the words in which calicoctl's form of its time writes it; `None`
    /// where there is no such form, or the value cannot be read.
    pub fn document(&self, key: &ResourceKey) -> Option<Document> {
        let values = self.held.get(key)?;
        Some(Document {
            fields: document(key, values)?,
            version: values.revision.to_string(),
        })
    }
}
