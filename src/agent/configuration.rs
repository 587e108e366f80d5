//! The configuration in force, from the process's surroundings and from the datastore.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{
    Config, ConfigChanges, ConfigProblem, DatastoreKind, Layers, Resolution, Severity, changes,
    felix_configuration, load, resolve,
};
use crate::model::{FelixConfiguration, Form, Kind, Resource, ResourceKey, Update};

/// The name of the resource that configures every node.
const GLOBAL: &str = "default";
/// What precedes a node's name in the name of the resource that configures it alone.
const PER_NODE: &str = "node.";

/// The option that holds this host's name.
const HOSTNAME: &str = "FelixHostname";

/// Keeps the layers of the configuration and what they come to.
#[derive(Debug)]
pub struct Configuration {
    file: PathBuf,
    directory: Option<PathBuf>,
    /// What kind of datastore is read, which a start alone settles.
    kind: DatastoreKind,
    layers: Layers,
    resolution: Resolution,
    resources: BTreeMap<ResourceKey, Arc<Resource>>,
}

impl Configuration {
    /// Reads the file and the environment; `directory` is the flag that names the datastore.
    pub fn load(file: &Path, directory: Option<&Path>) -> Self {
        let layers = local_layers(file, directory);
        let resolution = resolve(&layers, None);
        Self {
            file: file.to_owned(),
            directory: directory.map(Path::to_owned),
            kind: resolution.config.datastore.kind,
            layers,
            resolution,
            resources: BTreeMap::new(),
        }
    }

    /// Speaks for a host, whatever the sources call this one, until they are read again.
    pub fn set_hostname(&mut self, hostname: &str) {
        self.layers
            .command_line
            .insert(HOSTNAME.to_owned(), hostname.to_owned());
        self.resolve();
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> &Config {
        &self.resolution.config
    }

    /// Returns what is in force, with its sources and problems.
    pub fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// Tells whether the datastore must not be used yet: one of a cluster has to say that it may, in one of the
    /// two forms, and may say in neither that it must not; a directory only has to not say the latter.
    pub fn datastore_refuses(&self) -> bool {
        self.refuses(self.resources.values())
    }

    /// Tells the same of a datastore of this kind that holds these resources.
    pub fn refuses<'a>(&self, resources: impl Iterator<Item = &'a Arc<Resource>>) -> bool {
        let ready = |resource: &Arc<Resource>| {
            if let Resource::ClusterInformation(cluster) = resource.as_ref() {
                cluster.datastore_ready
            } else {
                None
            }
        };
        let mut said = resources.filter_map(ready);
        match self.kind {
            DatastoreKind::Directory => said.any(|ready| !ready),
            DatastoreKind::Etcd | DatastoreKind::Kubernetes => {
                let said: Vec<bool> = said.collect();
                said.is_empty() || said.contains(&false)
            }
        }
    }

    /// Takes in a resource; tells whether it can bear on the configuration.
    pub fn update(&mut self, update: &Update) -> bool {
        let relevant = match update.key.kind {
            Kind::FelixConfiguration | Kind::ClusterInformation => true,
            // Those of other hosts come by the thousand, and change whenever one of them gives a sign of life.
            Kind::Node => *update.key.name == *self.resolution.config.hostname,
            Kind::IpPool
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
            | Kind::WorkloadEndpoint => false,
        };
        if relevant {
            match &update.value {
                Some(resource) => {
                    self.resources
                        .insert(update.key.clone(), Arc::clone(resource));
                }
                None => {
                    self.resources.remove(&update.key);
                }
            }
        }
        relevant
    }

    /// Reads the file and the environment again, and returns what a person should know of it.
    ///
    /// The host keeps its name, and the datastore its kind: whose policy is enforced, and when it may be, is
    /// settled by a start alone.
    ///
    /// # Errors
    /// Fails with what is wrong where the daemon could not start with what they say now; then nothing changes.
    pub fn reload(&mut self) -> Result<Vec<ConfigProblem>, Vec<ConfigProblem>> {
        let mut layers = local_layers(&self.file, self.directory.as_deref());
        let read = resolve(&layers, Some(&self.resolution));
        if read.fatal {
            let fatal = |problem: &ConfigProblem| problem.severity == Severity::Fatal;
            return Err(read.problems.into_iter().filter(fatal).collect());
        }
        let hostname = &self.resolution.config.hostname;
        let mut problems = Vec::new();
        if read.config.hostname != *hostname {
            problems.push(ConfigProblem {
                severity: Severity::Warning,
                subject: Some(HOSTNAME.to_owned()),
                place: read
                    .provenance
                    .get(HOSTNAME)
                    .map_or_else(String::new, |p| p.origin.to_string()),
                reason: format!("`{}` takes effect at the next start", read.config.hostname),
            });
            layers
                .command_line
                .insert(HOSTNAME.to_owned(), hostname.clone());
        }
        // What the datastore said last holds until it is asked again, which may have to wait until it is ready.
        self.layers = Layers {
            datastore_global: std::mem::take(&mut self.layers.datastore_global),
            datastore_selector: std::mem::take(&mut self.layers.datastore_selector),
            datastore_per_host: std::mem::take(&mut self.layers.datastore_per_host),
            ..layers
        };
        Ok(problems)
    }

    /// Works out the configuration anew for a running daemon, as [`Configuration::resolve`] does; one that a
    /// daemon could not start with is not gone over to.
    pub fn renew(&mut self) -> (ConfigChanges, Vec<ConfigProblem>) {
        let before = self.resolution.clone();
        let (changed, problems) = self.resolve();
        if self.resolution.fatal {
            self.resolution = before;
            return (ConfigChanges::default(), problems);
        }
        (changed, problems)
    }

    /// Works out the configuration anew, and returns what changed and the problems that are new.
    ///
    /// What a datastore says that is not ready is held back: what it said before counts on.
    pub fn resolve(&mut self) -> (ConfigChanges, Vec<ConfigProblem>) {
        let datastore_problems = if self.datastore_refuses() {
            Vec::new()
        } else {
            self.take_datastore()
        };
        let before = std::mem::take(&mut self.layers.problems);
        self.layers.problems = before.iter().cloned().chain(datastore_problems).collect();
        let resolution = resolve(&self.layers, Some(&self.resolution));
        self.layers.problems = before;
        let changed = changes(&self.resolution.config, &resolution.config);
        let new = resolution
            .problems
            .iter()
            .filter(|problem| !self.resolution.problems.contains(problem))
            .cloned()
            .collect();
        self.resolution = resolution;
        (changed, new)
    }

    /// Makes the datastore's layers say what its resources say, and returns what is wrong with those.
    fn take_datastore(&mut self) -> Vec<ConfigProblem> {
        let mut datastore_problems = Vec::new();
        let hostname = self.resolution.config.hostname.clone();
        let per_host = format!("{PER_NODE}{hostname}");
        let selected = self.selected(&hostname);
        let mut values = |form, name: &str| {
            self.values(form, name, &mut datastore_problems)
                .unwrap_or_default()
        };
        // Where a cluster has values in both forms, those of the v3 form count.
        let global_v1 = values(Form::V1, GLOBAL);
        let global_v3 = values(Form::V3, GLOBAL);
        let per_host_v1 = values(Form::V1, &per_host);
        let per_host_v3 = values(Form::V3, &per_host);
        let selected = selected.map(|name| values(Form::V3, &name));
        let cluster = self.cluster();
        self.layers.datastore_global = overlaid(overlaid(global_v1, cluster), global_v3);
        self.layers.datastore_per_host = overlaid(per_host_v1, per_host_v3);
        self.layers.datastore_selector = selected.unwrap_or_default();
        datastore_problems
    }

    /// Returns what the cluster says of itself, as configuration.
    fn cluster(&self) -> BTreeMap<String, String> {
        let key = ResourceKey::v3(Kind::ClusterInformation, "", GLOBAL);
        let Some(Resource::ClusterInformation(cluster)) = self.resources.get(&key).map(Arc::as_ref)
        else {
            return BTreeMap::new();
        };
        [
            ("ClusterGUID", &cluster.cluster_guid),
            ("ClusterType", &cluster.cluster_type),
            ("CalicoVersion", &cluster.calico_version),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
        .collect()
    }

    /// Returns a configuration resource by form and name.
    fn felix(&self, form: Form, name: &str) -> Option<&FelixConfiguration> {
        let key = match form {
            Form::V3 => ResourceKey::v3(Kind::FelixConfiguration, "", name),
            Form::V1 => ResourceKey::v1(Kind::FelixConfiguration, "", name),
        };
        let Resource::FelixConfiguration(felix) = self.resources.get(&key)?.as_ref() else {
            return None;
        };
        Some(felix)
    }

    /// Returns the values of a configuration resource.
    fn values(
        &self,
        form: Form,
        name: &str,
        problems: &mut Vec<ConfigProblem>,
    ) -> Option<BTreeMap<String, String>> {
        let felix = self.felix(form, name)?;
        let (values, found) = felix_configuration(&felix.spec, &felix.annotations);
        problems.extend(found.into_iter().map(|reason| ConfigProblem {
            severity: Severity::Warning,
            subject: None,
            place: format!("FelixConfiguration({name})"),
            reason,
        }));
        Some(values)
    }

    /// Returns the name of the one resource that selects this node: the oldest, then the first by name.
    fn selected(&self, hostname: &str) -> Option<String> {
        let node = ResourceKey::v3(Kind::Node, "", hostname);
        let Some(Resource::Node(node)) = self.resources.get(&node).map(Arc::as_ref) else {
            return None;
        };
        self.resources
            .keys()
            .filter(|key| key.kind == Kind::FelixConfiguration && key.form == Form::V3)
            .filter(|key| key.name.as_ref() != GLOBAL && !key.name.starts_with(PER_NODE))
            .filter_map(|key| Some((key, self.felix(Form::V3, &key.name)?)))
            .filter(|(_, felix)| {
                felix
                    .node_selector
                    .as_ref()
                    .is_some_and(|s| s.matches(&node.labels))
            })
            .min_by_key(|(key, felix)| {
                (
                    felix.created.is_none(),
                    felix.created.clone(),
                    key.name.clone(),
                )
            })
            .map(|(key, _)| key.name.to_string())
    }
}

/// Puts one map of options over another; the same name in another case is the same option.
fn overlaid(
    mut below: BTreeMap<String, String>,
    above: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let names: BTreeSet<String> = above.keys().map(|name| name.to_ascii_lowercase()).collect();
    below.retain(|name, _| !names.contains(&name.to_ascii_lowercase()));
    below.extend(above);
    below
}

/// Reads the layers of the process's surroundings.
fn local_layers(file: &Path, directory: Option<&Path>) -> Layers {
    let mut layers = load(file);
    if let Some(directory) = directory {
        layers.set_directory(directory);
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Room;
    use crate::model::ClusterInformation;

    fn configuration(name: &str, text: &str) -> (PathBuf, Configuration) {
        let path = std::env::temp_dir().join(format!("tortie-agent-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let configuration = Configuration::load(&path, None);
        assert!(!configuration.resolution().fatal);
        (path, configuration)
    }

    #[test]
    fn a_file_that_cannot_be_used_when_read_again_changes_nothing() {
        for (name, bad) in [
            (
                "syntax",
                "[global]\nFailsafeInboundHostPorts = 2222\nnonsense\n",
            ),
            ("value", "[global]\nFailsafeInboundHostPorts = ssh\n"),
        ] {
            let good = "[global]\nFailsafeInboundHostPorts = 2222\nLogPrefix = x\n";
            let (path, mut configuration) = configuration(name, good);
            let before = configuration.config().clone();
            std::fs::write(&path, bad).unwrap();
            assert!(configuration.reload().is_err(), "{name}");
            let (changed, _) = configuration.renew();
            assert!(changed.is_empty(), "{name}: {changed:?}");
            assert_eq!(*configuration.config(), before);
            std::fs::write(&path, "[global]\nFailsafeInboundHostPorts = 2223\n").unwrap();
            assert_eq!(configuration.reload(), Ok(Vec::new()));
            let (changed, _) = configuration.renew();
            assert!(changed.changed.contains(&Room::Policy));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn of_all_nodes_only_this_hosts_bears_on_the_configuration() {
        let (path, mut configuration) = configuration("nodes", "[global]\nFelixHostname = here\n");
        for (name, bears) in [("here", true), ("elsewhere", false)] {
            let key = ResourceKey::v3(Kind::Node, "", name);
            let value = None;
            assert_eq!(
                configuration.update(&Update { key, value }),
                bears,
                "{name}"
            );
        }
        std::fs::remove_file(&path).unwrap();
    }

    fn stored(configuration: &mut Configuration, key: ResourceKey, value: Resource) {
        let value = Some(Arc::new(value));
        assert!(configuration.update(&Update { key, value }));
    }

    fn felix(configuration: &mut Configuration, name: &str, spec: &serde_json::Value) {
        let felix = FelixConfiguration {
            node_selector: None,
            created: None,
            annotations: BTreeMap::new(),
            spec: spec.as_object().unwrap().clone(),
        };
        let key = ResourceKey::v3(Kind::FelixConfiguration, "", name);
        stored(configuration, key, Resource::FelixConfiguration(felix));
    }

    #[test]
    fn a_running_daemon_waits_for_the_datastore_that_it_reads() {
        let etcd = "[global]\nEtcdEndpoints = http://127.0.0.1:1\n";
        for (name, before, after, refuses) in [
            ("to-directory", etcd, "[global]\n", true),
            ("to-etcd", "[global]\n", etcd, false),
        ] {
            let (path, mut configuration) = configuration(name, before);
            assert_eq!(configuration.datastore_refuses(), refuses, "{name}");
            std::fs::write(&path, after).unwrap();
            assert_eq!(configuration.reload(), Ok(Vec::new()));
            let (changed, _) = configuration.renew();
            assert!(changed.restart.contains(&Room::Datastore), "{name}");
            assert_eq!(configuration.datastore_refuses(), refuses, "{name}");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_bad_value_at_the_start_leaves_the_decision_to_the_next_source() {
        let (path, mut configuration) = configuration("start", "[global]\nFelixHostname = h1\n");
        std::fs::remove_file(&path).unwrap();
        let ports = |protocol: &str, port: u16| {
            serde_json::json!({"failsafeInboundHostPorts": [{"protocol": protocol, "port": port}],
                "defaultEndpointToHostAction": if port == 3333 { "Accept" } else { "Odd" }})
        };
        felix(&mut configuration, "default", &ports("TCP", 3333));
        felix(&mut configuration, "node.h1", &ports("ICMP", 1));
        configuration.renew();
        let policy = &configuration.config().policy;
        let open: Vec<u16> = policy.failsafe_in.iter().map(|open| open.port).collect();
        assert_eq!(open, [3333]);
        let action = crate::config::EndpointToHostAction::Accept;
        assert_eq!(policy.endpoint_to_host_action, action);
    }

    fn ready(configuration: &mut Configuration, ready: bool) {
        stored(
            configuration,
            ResourceKey::v1(Kind::ClusterInformation, "", GLOBAL),
            Resource::ClusterInformation(ClusterInformation {
                datastore_ready: Some(ready),
                ..ClusterInformation::default()
            }),
        );
    }

    fn prefix(configuration: &mut Configuration, text: &str) {
        felix(
            configuration,
            GLOBAL,
            &serde_json::json!({"logPrefix": text}),
        );
    }

    #[test]
    fn what_a_datastore_says_that_is_not_ready_is_held_back() {
        let file = "[global]\nEtcdEndpoints = http://127.0.0.1:1\n";
        let (path, mut configuration) = configuration("ready", file);
        let log_prefix = |configuration: &mut Configuration| {
            assert!(configuration.reload().is_ok());
            configuration.renew();
            configuration.config().policy.log_prefix.clone()
        };
        let usual = log_prefix(&mut configuration);
        prefix(&mut configuration, "early");
        assert_eq!(log_prefix(&mut configuration), usual);
        ready(&mut configuration, true);
        assert_eq!(log_prefix(&mut configuration), "early");
        ready(&mut configuration, false);
        prefix(&mut configuration, "late");
        assert_eq!(log_prefix(&mut configuration), "early");
        ready(&mut configuration, true);
        assert_eq!(log_prefix(&mut configuration), "late");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_running_daemon_keeps_its_host_name() {
        let (path, mut configuration) = configuration("name", "[global]\nFelixHostname = a\n");
        std::fs::write(&path, "[global]\nFelixHostname = b\nLogPrefix = y\n").unwrap();
        let problems = configuration.reload().unwrap();
        assert!(
            problems[0]
                .to_string()
                .contains("`b` takes effect at the next start")
        );
        let (changed, _) = configuration.renew();
        assert!(changed.changed.contains(&Room::Policy));
        assert_eq!(configuration.config().hostname, "a");
        std::fs::remove_file(&path).unwrap();
    }
}
