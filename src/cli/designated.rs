//! The resources that files name.

use super::convert::into_v3;
use super::datastore::Datastore;
use super::input::complain;
use crate::datastore::Written;
use crate::model::ResourceKey;

/// A resource that is meant.
#[derive(Debug)]
pub(super) struct Designated {
    /// Its key.
    pub(super) key: ResourceKey,
    /// The resource of the v1 form that counts where there is none of the v3 form.
    pub(super) v1: Option<ResourceKey>,
    /// The version that it is of; empty where any will do.
    pub(super) version: String,
}

impl From<ResourceKey> for Designated {
    fn from(key: ResourceKey) -> Self {
        Self {
            key,
            v1: None,
            version: String::new(),
        }
    }
}

/// Returns the resources that documents name, as they would be written into a datastore; `done` is what was to be done
/// with them, as in `removed`.
///
/// Nothing but the name matters, so that what is wrong can be named as well.
///
/// # Errors
/// Fails where a document does not name one, or is of the v1 form and has no v3 form that it would be written in.
pub(super) fn designated(
    written: Vec<Written>,
    datastore: &Datastore,
    done: &str,
) -> anyhow::Result<Vec<Designated>> {
    let unnamed: Vec<_> = written
        .iter()
        .filter(|written| written.key.is_none())
        .collect();
    if complain(unnamed.iter().copied()) > 0 {
        anyhow::bail!("nothing was {done}: {} cannot be named", unnamed.len());
    }
    let written = match datastore {
        Datastore::Directory(_) => written,
        Datastore::Etcd(_) => in_v3(written, done)?,
    };
    let designated = written.into_iter().filter_map(|written| {
        Some(Designated {
            version: written.version().to_owned(),
            v1: written.converted,
            key: written.key?,
        })
    });
    Ok(designated.collect())
}

/// Puts documents into v3 form; only what is of the v1 form has to be all right for that.
fn in_v3(written: Vec<Written>, done: &str) -> anyhow::Result<Vec<Written>> {
    let (v1, mut v3): (Vec<_>, Vec<_>) = written.into_iter().partition(Written::is_v1);
    let rejected = complain(&v1);
    if rejected > 0 {
        anyhow::bail!("nothing was {done}: {rejected} cannot be put into v3 form");
    }
    v3.extend(into_v3(v1)?);
    Ok(v3)
}
