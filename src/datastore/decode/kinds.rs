//! The kinds of resource by the words that files use.

use crate::model::{Form, Kind};

/// What a resource says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    /// One of the kinds that mean something here.
    Known(Form, Kind),
    /// A list of resources.
    List,
    /// One of Calico's that means nothing here.
    Other,
    /// Neither Calico's nor a list.
    Unknown,
}

/// The API version of the v3 form.
pub(super) const V3: &str = "projectcalico.org/v3";
/// The API version of the v1 form, which Kubernetes uses as well.
pub(super) const V1: &str = "v1";

/// No kind is longer than this, in bytes.
const MAX_KIND: usize = 64;

/// Calico's v3 kinds that mean nothing to the filtering of packets.
const OTHER_V3: [&str; 13] = [
    "BGPConfiguration",
    "BGPFilter",
    "BGPPeer",
    "BlockAffinity",
    "CalicoNodeStatus",
    "IPAMBlock",
    "IPAMConfig",
    "IPAMConfiguration",
    "IPAMHandle",
    "IPReservation",
    "KubeControllersConfiguration",
    "LiveMigration",
    "CalicoAPIConfig",
];
/// Calico's v1 kinds that mean nothing to the filtering of packets.
const OTHER_V1: [&str; 4] = ["bgpPeer", "tier", "calicoApiConfig", "config"];
/// Calico's v1 kinds and what they are.
const KNOWN_V1: [(&str, Kind); 6] = [
    ("hostEndpoint", Kind::HostEndpoint),
    ("policy", Kind::GlobalNetworkPolicy),
    ("profile", Kind::Profile),
    ("node", Kind::Node),
    ("ipPool", Kind::IpPool),
    ("workloadEndpoint", Kind::WorkloadEndpoint),
];

/// Recognises a resource by its API version and kind; kinds without regard to case.
pub(super) fn recognise(version: &str, kind: &str) -> Recognised {
    if kind.len() > MAX_KIND {
        return Recognised::Unknown;
    }
    let listed = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(kind));
    if kind.eq_ignore_ascii_case("List") && matches!(version, V1 | V3) {
        return Recognised::List;
    }
    match version {
        V3 => {
            let known = Kind::ALL
                .into_iter()
                .find(|k| k.as_str().eq_ignore_ascii_case(kind));
            if let Some(known) = known {
                return Recognised::Known(Form::V3, known);
            }
            let single = kind
                .len()
                .checked_sub("List".len())
                .filter(|at| kind.is_char_boundary(*at));
            match single.map(|at| kind.split_at(at)) {
                Some((single, list)) if list.eq_ignore_ascii_case("List") => {
                    match recognise(V3, single) {
                        Recognised::Known(..) | Recognised::Other => Recognised::List,
                        Recognised::List | Recognised::Unknown => Recognised::Unknown,
                    }
                }
                _ if listed(&OTHER_V3) => Recognised::Other,
                _ => Recognised::Unknown,
            }
        }
        V1 => {
            let known = KNOWN_V1
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(kind));
            match known {
                Some((_, known)) => Recognised::Known(Form::V1, known),
                None if listed(&OTHER_V1) => Recognised::Other,
                None => Recognised::Unknown,
            }
        }
        _ => Recognised::Unknown,
    }
}
