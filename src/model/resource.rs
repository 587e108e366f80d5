//! Everything a datastore can hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    HostEndpoint, LabelMap, NetworkSet, Policy, Profile, ResourceKey, Tier, WorkloadEndpoint,
};
use crate::selector::Selector;

/// A resource that has been read, checked and understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Resource {
    /// An interface of a host.
    HostEndpoint(HostEndpoint),
    /// An interface of a workload.
    WorkloadEndpoint(WorkloadEndpoint),
    /// A policy of either scope and either form.
    Policy(Policy),
    /// A policy that is only being tried, and therefore not enforced.
    StagedPolicy,
    /// A tier.
    Tier(Tier),
    /// A profile.
    Profile(Profile),
    /// A set of prefixes of either scope.
    NetworkSet(NetworkSet),
    /// A host.
    Node(Node),
    /// A pool of workload addresses.
    IpPool(IpPool),
    /// Configuration.
    FelixConfiguration(FelixConfiguration),
    /// Facts about the cluster.
    ClusterInformation(ClusterInformation),
}

impl Resource {
    /// Returns the host endpoint that this is.
    pub fn as_host_endpoint(&self) -> Option<&HostEndpoint> {
        if let Self::HostEndpoint(endpoint) = self {
            Some(endpoint)
        } else {
            None
        }
    }

    /// Returns the workload endpoint that this is.
    pub fn as_workload_endpoint(&self) -> Option<&WorkloadEndpoint> {
        if let Self::WorkloadEndpoint(endpoint) = self {
            Some(endpoint)
        } else {
            None
        }
    }

    /// Returns the policy that this is.
    pub fn as_policy(&self) -> Option<&Policy> {
        if let Self::Policy(policy) = self {
            Some(policy)
        } else {
            None
        }
    }

    /// Returns the tier that this is.
    pub fn as_tier(&self) -> Option<&Tier> {
        if let Self::Tier(tier) = self {
            Some(tier)
        } else {
            None
        }
    }

    /// Returns the profile that this is.
    pub fn as_profile(&self) -> Option<&Profile> {
        if let Self::Profile(profile) = self {
            Some(profile)
        } else {
            None
        }
    }

    /// Returns the host that this is.
    pub fn as_node(&self) -> Option<&Node> {
        if let Self::Node(node) = self {
            Some(node)
        } else {
            None
        }
    }

    /// Returns the pool that this is.
    pub fn as_ip_pool(&self) -> Option<&IpPool> {
        if let Self::IpPool(pool) = self {
            Some(pool)
        } else {
            None
        }
    }
}

/// One change of the datastore.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Which resource.
    pub key: ResourceKey,
    /// What it is now; `None` where it is gone or was rejected.
    pub value: Option<Arc<Resource>>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its labels, which select configuration.
    pub labels: LabelMap,
    /// Its own addresses, as far as they are known: those it speaks BGP from.
    pub addresses: Vec<IpAddr>,
}

/// A pool of workload addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpPool {
    /// The addresses.
    pub cidr: IpNet,
    /// Whether traffic that leaves the pools is masqueraded.
    pub nat_outgoing: bool,
    /// Whether no new addresses are given out.
    pub disabled: bool,
}

/// Configuration from the datastore, still in its own words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FelixConfiguration {
    /// The nodes it is for, where neither its name nor its absence says so.
    pub node_selector: Option<Selector>,
    /// When it was made, as written; decides between several that select a node.
    pub created: Option<String>,
    /// Annotations, which may override fields.
    pub annotations: BTreeMap<String, String>,
    /// The fields.
    pub spec: serde_json::Map<String, serde_json::Value>,
}

/// Facts about the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClusterInformation {
    /// The cluster's identity.
    pub cluster_guid: Option<String>,
    /// What the cluster is made of, in Calico's comma-separated words.
    pub cluster_type: Option<String>,
    /// The version that the cluster says it runs.
    pub calico_version: Option<String>,
    /// Whether the datastore may be used.
    pub datastore_ready: Option<bool>,
}
