//! The keys of Calico's resources in etcd.

use crate::model::{DEFAULT_TIER, Form, Kind, ResourceKey};

/// What the keys of the v3 form begin with.
pub(super) const V3_PREFIX: &str = "/calico/resources/v3/projectcalico.org/";
/// What the keys of the v1 form begin with.
pub(super) const V1_PREFIX: &str = "/calico/v1/";
/// Where the range that holds both forms ends, itself not in it: what follows every key with `V1_PREFIX`.
///
/// Calico keeps nothing else between the two, so that one range is read and watched, and a change across both
/// is one change.
pub(super) const RANGE_END: &str = "/calico/v10";

/// The name of the resources that are for the whole cluster.
const CLUSTER_WIDE: &str = "default";
/// What stands before a host's name in the name of its configuration.
const PER_NODE: &str = "node.";
/// No key of Calico's is longer, in bytes.
const MAX_KEY: usize = 2048;

/// The kinds by the words that keys use.
const PLURALS: [(&str, Kind); 15] = [
    ("clusterinformations", Kind::ClusterInformation),
    ("felixconfigurations", Kind::FelixConfiguration),
    ("nodes", Kind::Node),
    ("ippools", Kind::IpPool),
    ("tiers", Kind::Tier),
    ("profiles", Kind::Profile),
    ("globalnetworkpolicies", Kind::GlobalNetworkPolicy),
    ("networkpolicies", Kind::NetworkPolicy),
    (
        "stagedglobalnetworkpolicies",
        Kind::StagedGlobalNetworkPolicy,
    ),
    ("stagednetworkpolicies", Kind::StagedNetworkPolicy),
    (
        "stagedkubernetesnetworkpolicies",
        Kind::StagedKubernetesNetworkPolicy,
    ),
    ("globalnetworksets", Kind::GlobalNetworkSet),
    ("networksets", Kind::NetworkSet),
    ("hostendpoints", Kind::HostEndpoint),
    ("workloadendpoints", Kind::WorkloadEndpoint),
];

/// Which resource a key belongs to, and which part of it is kept there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// The resource.
    pub(super) key: ResourceKey,
    /// The part.
    pub(super) part: Part,
}

/// What one key holds of a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All of it, as JSON.
    Whole,
    /// One of several parts, which together are the resource.
    Piece(Piece),
}

/// A part of a resource of the v1 form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    /// The word that says whether the datastore may be used.
    Ready,
    /// The text of an option.
    Option(String),
    /// The address of a host.
    Address,
    /// A profile's rules.
    Rules,
    /// A profile's tags.
    Tags,
    /// A profile's labels.
    Labels,
}

impl Target {
    fn whole(key: ResourceKey) -> Self {
        Self {
            key,
            part: Part::Whole,
        }
    }

    fn piece(key: ResourceKey, piece: Piece) -> Self {
        Self {
            key,
            part: Part::Piece(piece),
        }
    }

    /// Reads a key; `None` where it is none that means something here.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let key = std::str::from_utf8(key)
            .ok()
            .filter(|key| key.len() <= MAX_KEY && !key.contains(char::is_control))?;
        if let Some(rest) = key.strip_prefix(V3_PREFIX) {
            v3(rest)
        } else {
            v1(key.strip_prefix(V1_PREFIX)?)
        }
    }
}

/// Reads what follows the prefix of the v3 form; names stand verbatim there.
fn v3(rest: &str) -> Option<Target> {
    let (plural, rest) = rest.split_once('/')?;
    let (_, kind) = PLURALS.into_iter().find(|(known, _)| *known == plural)?;
    let (namespace, name) = if kind.is_namespaced() {
        rest.split_once('/')
            .filter(|(scope, _)| !scope.is_empty())?
    } else {
        ("", rest)
    };
    (!name.is_empty() && !name.contains('/'))
        .then(|| Target::whole(ResourceKey::v3(kind, namespace, name)))
}

/// Reads what follows the prefix of the v1 form; names are escaped there, except those of hosts.
fn v1(rest: &str) -> Option<Target> {
    if rest == "Ready" {
        let key = ResourceKey::v1(Kind::ClusterInformation, "", CLUSTER_WIDE);
        return Some(Target::piece(key, Piece::Ready));
    }
    // The name of an option is all that follows, slashes included.
    if let Some(option) = rest.strip_prefix("config/") {
        return option_of(CLUSTER_WIDE, option);
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    match parts.as_slice() {
        ["host", host, "config", ..] => {
            let option = rest.splitn(4, '/').nth(3)?;
            option_of(&format!("{PER_NODE}{host}"), option)
        }
        ["host", host, "bird_ip"] => Some(Target::piece(
            ResourceKey::v1(Kind::Node, "", host),
            Piece::Address,
        )),
        ["host", host, "endpoint", name] => Some(Target::whole(ResourceKey::v1(
            Kind::HostEndpoint,
            host,
            &unescaped(name),
        ))),
        [
            "host",
            host,
            "workload",
            orchestrator,
            workload,
            "endpoint",
            name,
        ] => {
            let parts = [orchestrator, workload, name].map(|part| unescaped(part));
            let name = parts.join("/");
            Some(Target::whole(ResourceKey::v1(
                Kind::WorkloadEndpoint,
                host,
                &name,
            )))
        }
        ["policy", "tier", tier, "policy", name] => {
            let tier = unescaped(tier);
            let scope = if tier == DEFAULT_TIER { "" } else { &tier };
            let key = ResourceKey::v1(Kind::GlobalNetworkPolicy, scope, &unescaped(name));
            Some(Target::whole(key))
        }
        ["policy", "tier", tier, "metadata"] => Some(Target::whole(ResourceKey::v1(
            Kind::Tier,
            "",
            &unescaped(tier),
        ))),
        ["policy", "profile", name, piece] => {
            let piece = match *piece {
                "rules" => Piece::Rules,
                "tags" => Piece::Tags,
                "labels" => Piece::Labels,
                _ => return None,
            };
            let key = ResourceKey::v1(Kind::Profile, "", &unescaped(name));
            Some(Target::piece(key, piece))
        }
        ["ipam", "v4" | "v6", "pool", cidr] => Some(Target::whole(ResourceKey::v1(
            Kind::IpPool,
            "",
            &cidr.replacen('-', "/", 1),
        ))),
        _ => None,
    }
}

fn option_of(name: &str, option: &str) -> Option<Target> {
    let key = ResourceKey::v1(Kind::FelixConfiguration, "", name);
    (!option.is_empty()).then(|| Target::piece(key, Piece::Option(option.to_owned())))
}

/// Undoes the escaping of a name.
fn unescaped(name: &str) -> String {
    name.replace("%2f", "/").replace("%25", "%")
}

/// Does the escaping of a name.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f")
}

/// Returns the keys that a resource is kept at: one, but for some of the v1 form; none where they follow from no name.
pub(super) fn paths(key: &ResourceKey) -> Vec<String> {
    let (scope, name) = (&*key.scope, &*key.name);
    match key.form {
        Form::V3 => {
            let plural = PLURALS.iter().find(|(_, kind)| *kind == key.kind);
            let plural = plural.map_or("", |(plural, _)| plural);
            let scope = if scope.is_empty() {
                String::new()
            } else {
                format!("{scope}/")
            };
            vec![format!("{V3_PREFIX}{plural}/{scope}{name}")]
        }
        Form::V1 => {
            let rest = match key.kind {
                Kind::HostEndpoint => vec![format!("host/{scope}/endpoint/{}", escaped(name))],
                Kind::WorkloadEndpoint => {
                    let parts = name.split_once('/').and_then(|(orchestrator, rest)| {
                        Some((orchestrator, rest.rsplit_once('/')?))
                    });
                    let path = |(orchestrator, (workload, endpoint))| {
                        let [orchestrator, workload, endpoint] =
                            [orchestrator, workload, endpoint].map(escaped);
                        format!(
                            "host/{scope}/workload/{orchestrator}/{workload}/endpoint/{endpoint}"
                        )
                    };
                    parts.map(path).into_iter().collect()
                }
                Kind::GlobalNetworkPolicy => {
                    let tier = if scope.is_empty() {
                        DEFAULT_TIER
                    } else {
                        scope
                    };
                    vec![format!(
                        "policy/tier/{}/policy/{}",
                        escaped(tier),
                        escaped(name)
                    )]
                }
                Kind::Tier => vec![format!("policy/tier/{}/metadata", escaped(name))],
                Kind::Profile => ["rules", "tags", "labels"]
                    .map(|piece| format!("policy/profile/{}/{piece}", escaped(name)))
                    .into(),
                Kind::Node => ["bird_ip", "metadata"]
                    .map(|piece| format!("host/{name}/{piece}"))
                    .into(),
                Kind::IpPool => {
                    let version = if name.contains(':') { "v6" } else { "v4" };
                    vec![format!(
                        "ipam/{version}/pool/{}",
                        name.replacen('/', "-", 1)
                    )]
                }
                Kind::ClusterInformation => vec!["Ready".to_owned()],
                Kind::FelixConfiguration
                | Kind::NetworkPolicy
                | Kind::StagedGlobalNetworkPolicy
                | Kind::StagedNetworkPolicy
                | Kind::StagedKubernetesNetworkPolicy
                | Kind::GlobalNetworkSet
                | Kind::NetworkSet => Vec::new(),
            };
            let path = |rest: String| format!("{V1_PREFIX}{rest}");
            rest.into_iter().map(path).collect()
        }
    }
}
