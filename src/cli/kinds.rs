//! Kinds of resource, as people type them.

use crate::model::{Kind, ResourceKey};

/// Names beside the kinds' own, in lower case.
const SHORT: [(&str, Kind); 16] = [
    ("hep", Kind::HostEndpoint),
    ("gnp", Kind::GlobalNetworkPolicy),
    ("policy", Kind::GlobalNetworkPolicy),
    ("np", Kind::NetworkPolicy),
    ("wep", Kind::WorkloadEndpoint),
    ("gns", Kind::GlobalNetworkSet),
    ("ns", Kind::NetworkSet),
    ("netset", Kind::NetworkSet),
    ("pool", Kind::IpPool),
    ("ipp", Kind::IpPool),
    ("felixconfig", Kind::FelixConfiguration),
    ("fc", Kind::FelixConfiguration),
    ("clusterinfo", Kind::ClusterInformation),
    ("sgnp", Kind::StagedGlobalNetworkPolicy),
    ("snp", Kind::StagedNetworkPolicy),
    ("sknp", Kind::StagedKubernetesNetworkPolicy),
];

/// Finds a kind by its name in any case, singular or plural, or by a short name.
pub(super) fn parse(text: &str) -> Result<Kind, String> {
    let text = text.to_ascii_lowercase();
    let is = |name: &str| {
        let plural = match name.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{name}s"),
        };
        text == name || text == plural
    };
    let own = Kind::ALL
        .into_iter()
        .find(|kind| is(&kind.as_str().to_ascii_lowercase()));
    let short = || {
        SHORT
            .iter()
            .find(|(name, _)| is(name))
            .map(|(_, kind)| *kind)
    };
    own.or_else(short).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::as_str).collect();
        format!("no such kind; there are {}", names.join(", "))
    })
}

/// Tells whether a resource is meant by `NAME`, or by `NAMESPACE/NAME` or `NODE/NAME`.
pub(super) fn is_named(key: &ResourceKey, name: &str) -> bool {
    let full = name
        .strip_prefix(&*key.scope)
        .and_then(|rest| rest.strip_prefix('/'));
    *name == *key.name || full == Some(&*key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_however_they_are_typed() {
        for kind in Kind::ALL {
            assert_eq!(parse(kind.as_str()), Ok(kind));
            assert_eq!(parse(&kind.as_str().to_uppercase()), Ok(kind));
        }
        for (text, kind) in [
            ("hostendpoints", Kind::HostEndpoint),
            ("hep", Kind::HostEndpoint),
            ("GNPs", Kind::GlobalNetworkPolicy),
            ("networkpolicies", Kind::NetworkPolicy),
            ("policies", Kind::GlobalNetworkPolicy),
            ("ns", Kind::NetworkSet),
            ("gns", Kind::GlobalNetworkSet),
            ("nodes", Kind::Node),
            ("ippools", Kind::IpPool),
        ] {
            assert_eq!(parse(text), Ok(kind), "{text}");
        }
        assert!(parse("hostendpointss").is_err());
    }
}
