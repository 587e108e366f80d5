//! How much the datastore holds for all hosts together.

use std::collections::BTreeMap;

use crate::model::{Kind, NodeName, Resource, ResourceKey, Update};
use crate::monitor::Cluster;

/// Counts resources of the kinds that are asked about.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// What there is, with the host that it names.
    known: BTreeMap<ResourceKey, Option<NodeName>>,
    /// How much names each host.
    hosts: BTreeMap<NodeName, usize>,
    cluster: Cluster,
}

impl Census {
    /// Takes in a change.
    pub(super) fn update(&mut self, update: &Update) {
        let node = match update.value.as_deref() {
            Some(Resource::HostEndpoint(endpoint)) => Some(endpoint.node.clone()),
            Some(Resource::WorkloadEndpoint(endpoint)) => Some(endpoint.node.clone()),
            Some(Resource::Node(_)) => Some(NodeName::new(&update.key.name)),
            Some(_) | None => None,
        };
        let before = self.known.remove(&update.key);
        if let Some(host) = before.as_ref().and_then(Option::as_ref)
            && let Some(count) = self.hosts.get_mut(host)
        {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(host);
            }
        }
        if let Some(host) = &node {
            *self.hosts.entry(host.clone()).or_default() += 1;
        }
        self.cluster.hosts = self.hosts.len();
        let counter = counter(&mut self.cluster, update.key.kind);
        if update.value.is_some() && (counter.is_some() || node.is_some()) {
            self.known.insert(update.key.clone(), node);
        }
        if let Some(count) = counter {
            *count += usize::from(update.value.is_some());
            *count -= usize::from(before.is_some());
        }
    }

    /// Returns the counts.
    pub(super) fn cluster(&self) -> Cluster {
        self.cluster
    }
}

/// Returns what counts resources of a kind.
fn counter(cluster: &mut Cluster, kind: Kind) -> Option<&mut usize> {
    match kind {
        Kind::HostEndpoint => Some(&mut cluster.host_endpoints),
        Kind::WorkloadEndpoint => Some(&mut cluster.workload_endpoints),
        Kind::GlobalNetworkPolicy | Kind::NetworkPolicy => Some(&mut cluster.policies),
        Kind::Profile => Some(&mut cluster.profiles),
        Kind::Tier => Some(&mut cluster.tiers),
        // Counted by the hosts alone.
        Kind::Node
        | Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::IpPool
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::datastore::read_directory;

    #[test]
    fn what_came_and_went_counts_nothing() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let objects = read_directory(&path).unwrap().objects;
        assert!(!objects.is_empty());
        let mut census = Census::default();
        // Each one twice: a change is no second one.
        for (key, value) in objects.iter().chain(&objects) {
            census.update(&Update {
                key: key.clone(),
                value: Some(Arc::clone(value)),
            });
        }
        let cluster = census.cluster();
        let of = |kinds: &[Kind]| {
            objects
                .iter()
                .filter(|(key, _)| kinds.contains(&key.kind))
                .count()
        };
        assert_eq!(cluster.host_endpoints, of(&[Kind::HostEndpoint]));
        assert_eq!(cluster.workload_endpoints, of(&[Kind::WorkloadEndpoint]));
        assert_eq!(
            cluster.policies,
            of(&[Kind::GlobalNetworkPolicy, Kind::NetworkPolicy])
        );
        assert_eq!(cluster.profiles, of(&[Kind::Profile]));
        assert!(cluster.hosts > 0 && cluster.host_endpoints > 0 && cluster.policies > 0);
        for (key, _) in objects {
            census.update(&Update { key, value: None });
        }
        assert_eq!(census.cluster(), Cluster::default());
        assert!(census.known.is_empty());
    }
}
