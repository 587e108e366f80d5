//! A cluster that a client writes, in calicoctl's manners.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use serde_json::{Map, Value as Json};

use super::client::{Connection, Value};
use super::keys::paths;
use super::settings::EtcdSettings;
use super::stored::{self, Birth};
use crate::datastore::error::Error;
use crate::datastore::store::{StoreError, Written, tier_of};
use crate::model::{DEFAULT_TIER, Form, Kind, Place, ResourceKey};

/// How often a change is tried that others come before.
const ATTEMPTS: usize = 5;
/// The tiers that every cluster has, with their orders and default actions.
const TIERS: [(&str, u64, &str); 3] = [
    (DEFAULT_TIER, 1_000_000, "Deny"),
    ("kube-admin", 1_000, "Pass"),
    ("kube-baseline", 10_000_000, "Pass"),
];
/// An etcd cluster that a client writes.
#[derive(Debug)]
pub struct EtcdSession {
    connection: Connection,
}

impl EtcdSession {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// Fails where none of its members can be used.
    pub fn open(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let connection = Connection::open(settings).map_err(StoreError::Cluster)?;
        Ok(Self { connection })
    }

    /// Says that the cluster is ready, and makes the tiers that every cluster has, where nobody has done so.
    ///
    /// # Errors
    /// Fails where that cannot be read or written.
    pub fn prepare(&mut self, now: &str) -> Result<(), StoreError> {
        let birth = birth(now).map_err(StoreError::Cluster)?;
        let information = path(&ResourceKey::v3(Kind::ClusterInformation, "", "default"));
        for _ in 0..ATTEMPTS {
            let stored = self
                .connection
                .get(&information)
                .map_err(StoreError::Cluster)?;
            let object = stored.as_ref().map(object);
            // What cannot be read is somebody's to look at.
            if object.as_ref().is_some_and(Option::is_none) {
                break;
            }
            let guid = self::birth(now).map_err(StoreError::Cluster)?.uid;
            let guid = guid.replace('-', "");
            let Some(document) = stored::information(object.flatten().as_ref(), &guid, &birth)
            else {
                break;
            };
            let unchanged = Compare::mod_revision(
                information.as_str(),
                CompareOp::Equal,
                stored.map_or(0, |value| value.revision),
            );
            let transaction = Txn::new()
                .when([unchanged])
                .and_then([put(&information, document)]);
            let done = self
                .connection
                .commit(transaction)
                .map_err(StoreError::Cluster)?;
            if done.succeeded() {
                break;
            }
        }
        for (name, order, action) in TIERS {
            let birth = self::birth(now).map_err(StoreError::Cluster)?;
            let path = path(&ResourceKey::v3(Kind::Tier, "", name));
            let document = stored::tier(name, order, action, &birth);
            let transaction = Txn::new()
                .when([absent(&path)])
                .and_then([put(&path, document)]);
            self.connection
                .commit(transaction)
                .map_err(StoreError::Cluster)?;
        }
        Ok(())
    }

    /// Returns the keys of the resources that are there.
    ///
    /// # Errors
    /// Fails where they cannot be read.
    pub fn keys(&self) -> Result<Vec<ResourceKey>, StoreError> {
        let contents = self.connection.read().map_err(StoreError::Cluster)?;
        Ok(contents.keys().cloned().collect())
    }

    /// Writes a resource that is not there; `now` is the time in the form of RFC 3339.
    ///
    /// # Errors
    /// Fails where it is, or it cannot be written.
    pub fn create(&mut self, written: &Written, now: &str) -> Result<(), StoreError> {
        let key = writable(written)?;
        if !written.version().is_empty() {
            return Err(StoreError::VersionGiven(key.clone()));
        }
        let path = path(key);
        let others = written.converted.as_ref().map(paths).unwrap_or_default();
        let tier = tier_path(key, &written.document);
        let conditions: Vec<Compare> = std::iter::once(absent(&path))
            .chain(others.iter().map(|other| absent(other)))
            .chain(tier.iter().map(|(_, path)| present(path)))
            .collect();
        let looks: Vec<TxnOp> = std::iter::once(&path)
            .chain(&others)
            .map(|key| look(key))
            .collect();
        let birth = birth(now).map_err(|source| unread(key, source))?;
        let document = stored::value(&written.document, key, written.value()?, None, &birth);
        let transaction = Txn::new()
            .when(conditions)
            .and_then([put(&path, document)])
            .or_else(looks);
        let done = self.commit(key, transaction)?;
        if done.succeeded() {
            return Ok(());
        }
        match (found(done.op_responses()), tier) {
            (Some(place), _) => Err(StoreError::Exists {
                key: key.clone(),
                place: Place::Key(place),
            }),
            (None, Some((tier, _))) => Err(StoreError::NoTier {
                key: key.clone(),
                tier,
            }),
            // It was there, and is gone again.
            (None, None) => Err(StoreError::Contested(key.clone())),
        }
    }

    /// Writes a resource in the place of what is there.
    ///
    /// # Errors
    /// Fails where it is not, where it has changed since the version that `written` was made from, or where it
    /// cannot be written.
    pub fn replace(&mut self, written: &Written, now: &str) -> Result<(), StoreError> {
        let key = writable(written)?;
        let path = path(key);
        let wanted = revision(key, written.version())?;
        let conflict = |revision: i64| StoreError::Conflict {
            key: key.clone(),
            version: revision.to_string(),
        };
        for _ in 0..ATTEMPTS {
            let Some(before) = self.get(key, &path)? else {
                return Err(self.absent(key, written.converted.as_ref())?);
            };
            if wanted.is_some_and(|wanted| wanted != before.revision) {
                return Err(conflict(before.revision));
            }
            let birth = birth(now).map_err(|source| unread(key, source))?;
            let stored = object(&before);
            let document = stored::value(
                &written.document,
                key,
                written.value()?,
                stored.as_ref(),
                &birth,
            );
            keep_pool(key, &document, stored.as_ref())?;
            let unchanged = Compare::mod_revision(path.as_str(), CompareOp::Equal, before.revision);
            let tier = tier_path(key, &written.document);
            let conditions: Vec<Compare> = std::iter::once(unchanged)
                .chain(tier.iter().map(|(_, path)| present(path)))
                .collect();
            let transaction = Txn::new()
                .when(conditions)
                .and_then([put(&path, document)])
                .or_else([look(&path)]);
            let done = self.commit(key, transaction)?;
            if done.succeeded() {
                return Ok(());
            }
            let now = pairs(done.op_responses())
                .pop()
                .map(|(_, revision)| revision);
            match (now, tier) {
                (Some(now), Some((tier, _))) if now == before.revision => {
                    return Err(StoreError::NoTier {
                        key: key.clone(),
                        tier,
                    });
                }
                (Some(now), _) if wanted.is_some() => return Err(conflict(now)),
                (Some(_) | None, _) => {}
            }
        }
        Err(StoreError::Contested(key.clone()))
    }

    /// Removes a resource, which must have a version unless that is empty.
    ///
    /// # Errors
    /// Fails where it is not there, has another version, or cannot be removed.
    pub fn delete(&mut self, key: &ResourceKey, version: &str) -> Result<(), StoreError> {
        protect(key)?;
        let wanted = revision(key, version)?;
        let paths = paths(key);
        for _ in 0..ATTEMPTS {
            let mut conditions = self.keep_tiers(key)?;
            if let Some(wanted) = wanted {
                conditions.extend(self.unchanged(key, &paths, wanted)?);
            }
            let removals: Vec<TxnOp> = paths
                .iter()
                .map(|path| TxnOp::delete(path.as_str(), None))
                .collect();
            let transaction = Txn::new().when(conditions).and_then(removals);
            let done = self.commit(key, transaction)?;
            if !done.succeeded() {
                continue;
            }
            let removed = |response: TxnOpResponse| match response {
                TxnOpResponse::Delete(response) => response.deleted(),
                TxnOpResponse::Put(_) | TxnOpResponse::Get(_) | TxnOpResponse::Txn(_) => 0,
            };
            if done.op_responses().into_iter().map(removed).sum::<i64>() == 0 {
                return Err(StoreError::Absent(key.clone()));
            }
            return Ok(());
        }
        Err(StoreError::Contested(key.clone()))
    }

    /// Demands that `wanted` is the last revision that wrote one of a resource's keys, which is its version, and
    /// returns the conditions under which that is still so.
    fn unchanged(
        &self,
        key: &ResourceKey,
        paths: &[String],
        wanted: i64,
    ) -> Result<Vec<Compare>, StoreError> {
        let looks: Vec<TxnOp> = paths.iter().map(|path| look(path)).collect();
        let looked = self
            .connection
            .commit(Txn::new().and_then(looks))
            .map_err(|source| unread(key, source))?;
        let found: BTreeMap<Arc<str>, i64> = pairs(looked.op_responses()).into_iter().collect();
        match found.values().max() {
            None => Err(StoreError::Absent(key.clone())),
            Some(latest) if *latest != wanted => Err(StoreError::Conflict {
                key: key.clone(),
                version: latest.to_string(),
            }),
            Some(_) => {
                let condition = |path: &String| {
                    // What is absent has the revision 0.
                    let revision = found.get(path.as_str()).copied().unwrap_or_default();
                    Compare::mod_revision(path.as_str(), CompareOp::Equal, revision)
                };
                Ok(paths.iter().map(condition).collect())
            }
        }
    }

    fn get(&self, key: &ResourceKey, path: &str) -> Result<Option<Value>, StoreError> {
        self.connection
            .get(path)
            .map_err(|source| unread(key, source))
    }

    fn commit(&self, key: &ResourceKey, transaction: Txn) -> Result<TxnResponse, StoreError> {
        self.connection.commit(transaction).map_err(|source| {
            let key = key.clone();
            if matches!(source, Error::Silent { .. }) {
                StoreError::Unanswered { key, source }
            } else {
                StoreError::Refused { key, source }
            }
        })
    }

    /// Says that a resource is not there, or that it is only in v1 form.
    fn absent(
        &self,
        key: &ResourceKey,
        converted: Option<&ResourceKey>,
    ) -> Result<StoreError, StoreError> {
        for path in converted.map(paths).unwrap_or_default() {
            if self.get(key, &path)?.is_some() {
                return Ok(StoreError::Protected {
                    key: key.clone(),
                    reason: format!(
                        "is kept in v1 form at {path}, which is not written: delete it, and create it anew"
                    ),
                });
            }
        }
        Ok(StoreError::Absent(key.clone()))
    }

    /// Refuses to remove a tier that every cluster has, or that policies stand in; returns the conditions under which
    /// none has come into it since.
    fn keep_tiers(&self, key: &ResourceKey) -> Result<Vec<Compare>, StoreError> {
        if key.kind != Kind::Tier || key.form != Form::V3 {
            return Ok(Vec::new());
        }
        let refuse = |reason: String| {
            Err(StoreError::Protected {
                key: key.clone(),
                reason,
            })
        };
        if TIERS.iter().any(|(name, ..)| *name == &*key.name) {
            return refuse("cannot be removed: every cluster has this tier".to_owned());
        }
        let contents = self
            .connection
            .read()
            .map_err(|source| unread(key, source))?;
        let within = contents.keys().find(|policy| {
            let document = contents.document(policy);
            document.is_some_and(|document| tier_of(policy, &document.fields) == Some(&*key.name))
        });
        match within {
            Some(policy) => refuse(format!("cannot be removed: {policy} stands in it")),
            None => Ok(unwritten_policies(contents.revision())),
        }
    }
}

/// Refuses to change a pool whose addresses may have been given out.
fn keep_pool(
    key: &ResourceKey,
    document: &Map<String, Json>,
    stored: Option<&Map<String, Json>>,
) -> Result<(), StoreError> {
    let field = |document: &Map<String, Json>, name: &str| {
        document
            .get("spec")
            .and_then(|spec| spec.get(name))
            .cloned()
    };
    if key.kind != Kind::IpPool {
        return Ok(());
    }
    for name in ["cidr", "blockSize"] {
        let before = stored.and_then(|stored| field(stored, name));
        if before.is_some() && before != field(document, name) {
            return Err(StoreError::Protected {
                key: key.clone(),
                reason: format!("spec.{name}: cannot be changed"),
            });
        }
    }
    Ok(())
}

/// Returns the key of a resource that a client may write; the v1 form is never written.
fn writable(written: &Written) -> Result<&ResourceKey, StoreError> {
    let key = written.key()?;
    protect(key)?;
    match key.form {
        Form::V3 => Ok(key),
        Form::V1 => Err(StoreError::Invalid(written.place.clone())),
    }
}

/// Refuses to change what clients do not.
fn protect(key: &ResourceKey) -> Result<(), StoreError> {
    let reason = match (key.form, key.kind) {
        (_, Kind::ClusterInformation) => "cannot be changed: the cluster's programs keep it",
        (Form::V1, Kind::FelixConfiguration) => {
            "cannot be changed: it is kept in v1 form, one option at a key"
        }
        (
            Form::V3 | Form::V1,
            Kind::FelixConfiguration
            | Kind::Node
            | Kind::IpPool
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
            | Kind::WorkloadEndpoint,
        ) => return Ok(()),
    };
    Err(StoreError::Protected {
        key: key.clone(),
        reason: reason.to_owned(),
    })
}

fn unread(key: &ResourceKey, source: Error) -> StoreError {
    StoreError::Unread {
        key: key.clone(),
        source,
    }
}

/// Returns the one key of a resource in v3 form.
fn path(key: &ResourceKey) -> String {
    paths(key).concat()
}

/// Returns the tier that must be there, and its key; as in every datastore of Calico, the default tier needs no
/// resource.
fn tier_path(key: &ResourceKey, document: &Map<String, Json>) -> Option<(String, String)> {
    let tier = tier_of(key, document).filter(|tier| *tier != DEFAULT_TIER)?;
    let path = path(&ResourceKey::v3(Kind::Tier, "", tier));
    Some((tier.to_owned(), path))
}

/// Demands that no policy of a kind that stands in tiers has been written after a revision.
fn unwritten_policies(revision: i64) -> Vec<Compare> {
    let whole = |kind| path(&ResourceKey::v3(kind, "", ""));
    let stands = |kind: &Kind| tier_of(&ResourceKey::v3(*kind, "", ""), &Map::new()).is_some();
    let kinds = Kind::ALL.into_iter().filter(stands);
    // An empty range has the revision 0.
    let unwritten = |kind| {
        Compare::mod_revision(whole(kind), CompareOp::Less, revision.saturating_add(1))
            .with_prefix()
    };
    kinds.map(unwritten).collect()
}

fn absent(key: &str) -> Compare {
    Compare::version(key, CompareOp::Equal, 0)
}

fn present(key: &str) -> Compare {
    Compare::version(key, CompareOp::Greater, 0)
}

/// Asks for a key without its value.
fn look(key: &str) -> TxnOp {
    TxnOp::get(key, Some(GetOptions::new().with_keys_only()))
}

fn put(key: &str, document: Map<String, Json>) -> TxnOp {
    TxnOp::put(key, Json::Object(document).to_string(), None)
}

/// Returns a value as the object that it is.
fn object(value: &Value) -> Option<Map<String, Json>> {
    serde_json::from_slice(&value.bytes).ok()
}

/// Returns the keys that were found, with their revisions.
fn pairs(responses: Vec<TxnOpResponse>) -> Vec<(Arc<str>, i64)> {
    let found = responses.into_iter().map(|response| match response {
        TxnOpResponse::Get(mut response) => response.take_kvs(),
        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => Vec::new(),
    });
    let pair = |pair: etcd_client::KeyValue| {
        (
            String::from_utf8_lossy(pair.key()).into(),
            pair.mod_revision(),
        )
    };
    found.flatten().map(pair).collect()
}

fn found(responses: Vec<TxnOpResponse>) -> Option<Arc<str>> {
    pairs(responses).into_iter().next().map(|(key, _)| key)
}

/// Reads the revision that a change was made from; `None` where it does not say.
fn revision(key: &ResourceKey, version: &str) -> Result<Option<i64>, StoreError> {
    if version.is_empty() {
        return Ok(None);
    }
    let invalid = || StoreError::NoRevision {
        key: key.clone(),
        version: version.to_owned(),
    };
    version.parse().map(Some).map_err(|_| invalid())
}

/// Makes what a resource is given when it is created.
fn birth(now: &str) -> Result<Birth, Error> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::Random)?;
    // A random UUID says so in two of its digits (RFC 9562).
    let random = u128::from_be_bytes(bytes);
    let random = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{random:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    let parts = [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ];
    Ok(Birth {
        time: now.to_owned(),
        uid: parts.join("-"),
    })
}
