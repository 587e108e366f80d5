//! Names and keys of resources.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Defines a name type: shared text that cannot be mistaken for another kind of name.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes the name from text that its decoder has checked.
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name_type! {
    /// The name of a host as the datastore knows it.
    NodeName
}
name_type! {
    /// The name of a profile.
    ProfileId
}
name_type! {
    /// The name of a tier.
    TierName
}

name_type! {
    /// The name of a port that endpoints declare.
    PortName
}

/// The kinds of resource that mean something to this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Facts about the whole cluster, among them whether the datastore is ready.
    ClusterInformation,
    /// Felix's configuration, global, for one node, or for nodes that a selector names.
    FelixConfiguration,
    /// A host.
    Node,
    /// A pool of workload addresses.
    IpPool,
    /// A stage in the order of policies.
    Tier,
    /// Rules, labels and tags that endpoints name.
    Profile,
    /// A policy for endpoints of every namespace; also the `policy` of the v1 form.
    GlobalNetworkPolicy,
    /// A policy for the endpoints of one namespace.
    NetworkPolicy,
    /// A global policy that is only being tried.
    StagedGlobalNetworkPolicy,
    /// A namespaced policy that is only being tried.
    StagedNetworkPolicy,
    /// A Kubernetes policy that is only being tried.
    StagedKubernetesNetworkPolicy,
    /// Labelled prefixes for policies of every namespace.
    GlobalNetworkSet,
    /// Labelled prefixes for the policies of one namespace.
    NetworkSet,
    /// An interface of a host itself.
    HostEndpoint,
    /// An interface of a workload.
    WorkloadEndpoint,
}

impl Kind {
    /// Every kind, in the order in which they are listed.
    pub const ALL: [Self; 15] = [
        Self::ClusterInformation,
        Self::FelixConfiguration,
        Self::Node,
        Self::IpPool,
        Self::Tier,
        Self::Profile,
        Self::GlobalNetworkPolicy,
        Self::NetworkPolicy,
        Self::StagedGlobalNetworkPolicy,
        Self::StagedNetworkPolicy,
        Self::StagedKubernetesNetworkPolicy,
        Self::GlobalNetworkSet,
        Self::NetworkSet,
        Self::HostEndpoint,
        Self::WorkloadEndpoint,
    ];

    /// Returns the kind as Calico's v3 form spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterInformation => "ClusterInformation",
            Self::FelixConfiguration => "FelixConfiguration",
            Self::Node => "Node",
            Self::IpPool => "IPPool",
            Self::Tier => "Tier",
            Self::Profile => "Profile",
            Self::GlobalNetworkPolicy => "GlobalNetworkPolicy",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::StagedGlobalNetworkPolicy => "StagedGlobalNetworkPolicy",
            Self::StagedNetworkPolicy => "StagedNetworkPolicy",
            Self::StagedKubernetesNetworkPolicy => "StagedKubernetesNetworkPolicy",
            Self::GlobalNetworkSet => "GlobalNetworkSet",
            Self::NetworkSet => "NetworkSet",
            Self::HostEndpoint => "HostEndpoint",
            Self::WorkloadEndpoint => "WorkloadEndpoint",
        }
    }

    /// Tells whether resources of this kind, in v3 form, live in a namespace.
    pub fn is_namespaced(self) -> bool {
        match self {
            Self::NetworkPolicy
            | Self::StagedNetworkPolicy
            | Self::StagedKubernetesNetworkPolicy
            | Self::NetworkSet
            | Self::WorkloadEndpoint => true,
            Self::ClusterInformation
            | Self::FelixConfiguration
            | Self::Node
            | Self::IpPool
            | Self::Tier
            | Self::Profile
            | Self::GlobalNetworkPolicy
            | Self::StagedGlobalNetworkPolicy
            | Self::GlobalNetworkSet
            | Self::HostEndpoint => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of Calico's two data models a resource was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// `apiVersion: projectcalico.org/v3`.
    V3,
    /// `apiVersion: v1`.
    V1,
}

/// Names one resource: two resources with the same key are the same resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace (v3), the node (v1 endpoints), or the empty text.
    pub scope: Arc<str>,
    /// The name; for a v1 workload endpoint `orchestrator/workload/endpoint`, for a v1 pool its CIDR.
    pub name: Arc<str>,
    /// The data model, so that a v1 and a v3 resource of one name are two.
    pub form: Form,
}

impl ResourceKey {
    /// Makes the key of a v3 resource; `namespace` is empty where the kind has none.
    pub fn v3(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            scope: namespace.into(),
            name: name.into(),
            form: Form::V3,
        }
    }

    /// Makes the key of a v1 resource; `node` is empty where the kind has none.
    pub fn v1(kind: Kind, node: &str, name: &str) -> Self {
        Self {
            kind,
            scope: node.into(),
            name: name.into(),
            form: Form::V1,
        }
    }
}

impl fmt::Display for ResourceKey {
    /// Writes `Kind(scope/name)`, and the form where it is v1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::V3 => "",
            Form::V1 => "v1 ",
        };
        let name = Shown(&self.name);
        if self.scope.is_empty() {
            write!(f, "{form}{}({name})", self.kind)
        } else {
            write!(f, "{form}{}({}/{name})", self.kind, Shown(&self.scope))
        }
    }
}

/// A name in a line. One that no resource may have is a key's too, of the resource that is refused for it.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More than the longest name that is allowed.
        const LONGEST: usize = 1024;
        let is_end = |end: &usize| self.0.is_char_boundary(*end);
        let end = (0..=self.0.len().min(LONGEST)).rev().find(is_end);
        let (shown, rest) = self.0.split_at(end.unwrap_or_default());
        if shown.contains(char::is_control) {
            write!(f, "{}", shown.escape_debug())?;
        } else {
            f.write_str(shown)?;
        }
        f.write_str(if rest.is_empty() { "" } else { "…" })
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_spoils_the_line_that_it_is_shown_in() {
        let shown =
            |scope: &str, name: &str| ResourceKey::v3(Kind::NetworkPolicy, scope, name).to_string();
        assert_eq!(shown("prod", "a'b\u{e9}"), "NetworkPolicy(prod/a'b\u{e9})");
        assert_eq!(shown("x\n", "\u{1b}[2J"), "NetworkPolicy(x\\n/\\u{1b}[2J)");
        let long = shown("", &"é".repeat(1_000_000));
        assert_eq!(
            long.chars().count(),
            "NetworkPolicy(…)".chars().count() + 512
        );
    }
}
