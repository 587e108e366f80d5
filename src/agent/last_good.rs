//! What was in force last: kept for the next start, and in force again until the datastore has been read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use tracing::{info, warn};

use super::configuration::Configuration;
use super::guard::Scene;
use super::run::Agent;
use crate::config::{Config, DatastoreKind};
use crate::last_good::{Host, Keeper, Kept, read};
use crate::model::{Kind, Resource, ResourceKey, Update};
use crate::telemetry::ErrorChain;

/// Changes of resources, the last of each.
type Changes = BTreeMap<ResourceKey, Option<Arc<Resource>>>;

/// Where the last good state is kept as a rule.
pub const LAST_GOOD_FILE: &str = "/var/lib/tortie/last-good";

/// What a round enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// What the datastore says.
    Datastore,
    /// What was in force last.
    LastGood,
}

/// Tells the keeper what has come into force; what was read and is not, it does not hear of.
#[derive(Debug, Default)]
pub(super) struct Record {
    keeper: Option<Keeper>,
    /// What came since the last round was planned.
    read: Changes,
    /// What is being committed, or was and did not come into force.
    planned: Changes,
}

impl Record {
    /// Starts to keep the state in a file, where one is named.
    pub(super) fn start(file: Option<&Path>, config: &Config) -> std::io::Result<Self> {
        let keeper = file.map(|path| Keeper::start(path.to_owned(), host(config)));
        Ok(Self {
            keeper: keeper.transpose()?,
            ..Self::default()
        })
    }

    /// Takes in a change of a resource.
    pub(super) fn update(&mut self, update: &Update) {
        if self.keeper.is_some() {
            self.read.insert(update.key.clone(), update.value.clone());
        }
    }

    /// Takes in that all that was read is being planned.
    pub(super) fn planning(&mut self) {
        self.planned.append(&mut self.read);
    }

    /// Takes in that what was planned last is in force.
    pub(super) fn in_force(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.in_force(std::mem::take(&mut self.planned));
        }
    }
}

/// The last good state, while it stands for a datastore that has not been read yet.
#[derive(Debug)]
pub(super) struct Provisional {
    /// When it came into force.
    time: SystemTime,
    /// All that the datastore has told of, and nothing for what it has not.
    arrived: Changes,
}

impl Provisional {
    /// Takes in what the datastore says; nothing of it counts yet.
    fn hear(&mut self, updates: Vec<Update>) {
        let updates = updates.into_iter();
        self.arrived
            .extend(updates.map(|update| (update.key, update.value)));
    }

    /// Tells whether the datastore must not be used, by what it has said of itself.
    fn refuses(&self, configuration: &Configuration) -> bool {
        // They are the first, so that not all have to be looked at.
        let about = self.arrived.iter();
        let about = about.take_while(|(key, _)| key.kind == Kind::ClusterInformation);
        configuration.refuses(about.filter_map(|(_, value)| value.as_ref()))
    }

    /// Returns what changes when the datastore counts: what is gone is gone.
    fn end(self) -> Vec<Update> {
        let updates = self.arrived.into_iter();
        updates.map(|(key, value)| Update { key, value }).collect()
    }

    /// Returns when it came into force, for people.
    pub(super) fn since(&self) -> String {
        Timestamp::try_from(self.time)
            .map_or_else(|_| "an unknown time".to_owned(), |time| time.to_string())
    }
}

/// Reads the last good state where it is needed: where nobody has policed this host since it booted.
pub(super) fn recall(file: Option<&Path>, scene: Scene, config: &Config) -> Option<Kept> {
    let path = match scene {
        Scene::Bare => file?,
        Scene::Ours | Scene::Felix => return None,
    };
    match read(path, &host(config)) {
        Ok(Some(kept)) => Some(kept),
        Ok(None) => {
            info!("{}: no last good state is kept", path.display());
            None
        }
        Err(cause) => {
            warn!(
                "{}: the last good state is not used: {}",
                path.display(),
                ErrorChain(&cause)
            );
            None
        }
    }
}

/// Returns whose state is kept.
fn host(config: &Config) -> Host {
    let datastore = match config.datastore.kind {
        DatastoreKind::Directory => "directory",
        DatastoreKind::Etcd => "etcd",
        DatastoreKind::Kubernetes => "kubernetes",
    };
    Host {
        name: config.hostname.clone(),
        datastore: datastore.to_owned(),
    }
}

impl Agent {
    /// Has the last good state enforced until the datastore has been read.
    pub(super) fn take_last_good(&mut self, kept: Kept) {
        let provisional = Provisional {
            time: kept.time,
            arrived: kept
                .resources
                .keys()
                .map(|key| (key.clone(), None))
                .collect(),
        };
        info!(
            since = provisional.since(),
            resources = kept.resources.len(),
            "the last good state is enforced until the datastore has been read"
        );
        self.provisional = Some(provisional);
        let updates = kept.resources.into_iter().map(|(key, value)| Update {
            key,
            value: Some(value),
        });
        self.take_updates(updates.collect());
        self.news("last-good");
    }

    /// Returns what counts of what the datastore has said: while the last good state stands for it, nothing does
    /// until all was said and it may be used.
    pub(super) fn weigh(&mut self, updates: Vec<Update>) -> Vec<Update> {
        let Some(mut provisional) = self.provisional.take() else {
            return updates;
        };
        provisional.hear(updates);
        if self.datastore_in_sync && !provisional.refuses(&self.configuration) {
            info!("the datastore takes the place of the last good state");
            return provisional.end();
        }
        self.provisional = Some(provisional);
        Vec::new()
    }

    /// Returns what a round that begins now enforces.
    pub(super) fn basis(&self) -> Basis {
        match self.provisional {
            Some(_) => Basis::LastGood,
            None => Basis::Datastore,
        }
    }

    /// Tells whether the datastore refuses to be used.
    pub(super) fn datastore_refuses(&self) -> bool {
        match &self.provisional {
            Some(provisional) => provisional.refuses(&self.configuration),
            None => self.configuration.datastore_refuses(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClusterInformation, Node};

    fn update(key: ResourceKey, value: Option<Resource>) -> Update {
        Update {
            key,
            value: value.map(Arc::new),
        }
    }

    fn node(name: &str, there: bool) -> Update {
        let node = Node {
            labels: BTreeMap::new(),
            addresses: Vec::new(),
        };
        let key = ResourceKey::v3(Kind::Node, "", name);
        update(key, there.then_some(Resource::Node(node)))
    }

    fn ready(ready: bool) -> Update {
        let cluster = ClusterInformation {
            datastore_ready: Some(ready),
            ..ClusterInformation::default()
        };
        let key = ResourceKey::v1(Kind::ClusterInformation, "", "default");
        update(key, Some(Resource::ClusterInformation(cluster)))
    }

    #[test]
    fn what_has_not_come_into_force_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("last-good");
        let config = Config::default_for("h");
        let mut record = Record::start(Some(&path), &config).unwrap();
        record.update(&node("a", true));
        record.update(&node("b", true));
        record.planning();
        record.update(&node("c", true));
        record.in_force();
        record.planning();
        // The kernel refused that one.
        record.update(&node("a", false));
        record.update(&node("d", true));
        drop(record);
        let kept = read(&path, &host(&config)).unwrap().unwrap();
        let names: Vec<&str> = kept.resources.keys().map(|key| &*key.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn what_was_refused_is_kept_once_a_later_round_is_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("last-good");
        let config = Config::default_for("h");
        let mut record = Record::start(Some(&path), &config).unwrap();
        record.update(&node("a", true));
        record.planning();
        record.update(&node("a", false));
        record.update(&node("b", true));
        record.planning();
        record.in_force();
        drop(record);
        let kept = read(&path, &host(&config)).unwrap().unwrap();
        let names: Vec<&str> = kept.resources.keys().map(|key| &*key.name).collect();
        assert_eq!(names, ["b"]);
    }

    #[test]
    fn the_datastore_takes_its_place_as_a_whole_and_when_it_is_ready() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[global]\nEtcdEndpoints = http://127.0.0.1:1\n";
        std::fs::write(file.path(), text).unwrap();
        let configuration = Configuration::load(file.path(), None);
        let kept = [node("gone", true), node("stays", true), ready(true)];
        let mut provisional = Provisional {
            time: SystemTime::now(),
            arrived: kept.map(|update| (update.key, None)).into(),
        };
        assert!(provisional.refuses(&configuration), "it has said nothing");
        provisional.hear(vec![node("stays", true), ready(false)]);
        assert!(provisional.refuses(&configuration));
        provisional.hear(vec![node("new", true), node("new", false), ready(true)]);
        assert!(!provisional.refuses(&configuration));
        let ended = provisional.end();
        let there: Vec<(&str, bool)> = ended
            .iter()
            .map(|update| (&*update.key.name, update.value.is_some()))
            .collect();
        assert_eq!(
            there,
            [
                ("default", true),
                ("gone", false),
                ("new", false),
                ("stays", true)
            ]
        );
    }
}
