//! The keys of statuses in etcd, which are Felix's, and the values of those of endpoints.

use super::facts::{Endpoint, Status};

/// What the keys of a host without a region carry.
const NO_REGION: &str = "no-region";

/// The keys of one host in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    host: String,
    region: String,
}

impl Keys {
    /// Makes the keys of a host.
    pub(super) fn new(host: &str, region: Option<&str>) -> Self {
        Self {
            host: host.to_owned(),
            region: match region {
                Some(region) => format!("region-{region}"),
                None => NO_REGION.to_owned(),
            },
        }
    }

    /// Returns the key of the process's status, which ends with it.
    pub(super) fn process(&self) -> String {
        format!("{}status", self.of_region())
    }

    /// Returns the key of the last status that was reported.
    pub(super) fn last_process(&self) -> String {
        format!("{}last_reported_status", self.of_region())
    }

    /// Returns the key of an endpoint's status.
    pub(super) fn endpoint(&self, endpoint: &Endpoint) -> String {
        match endpoint {
            Endpoint::Host(name) => format!("{}{}", self.hosts(), escaped(name)),
            Endpoint::Workload {
                orchestrator,
                workload,
                endpoint,
            } => format!(
                "{}{}/{}/endpoint/{}",
                self.workloads(),
                escaped(orchestrator),
                escaped(workload),
                escaped(endpoint)
            ),
        }
    }

    /// Returns what the keys of endpoints begin with, and no key of another host's.
    pub(super) fn prefixes(&self) -> [String; 2] {
        [self.hosts(), self.workloads()]
    }

    /// Tells whether a key that begins so is one of an endpoint, and not of anything that Felix does not know.
    pub(super) fn is_endpoint(&self, key: &str) -> bool {
        if let Some(rest) = key.strip_prefix(&self.hosts()) {
            return !rest.is_empty() && !rest.contains('/');
        }
        key.strip_prefix(&self.workloads()).is_some_and(|rest| {
            let parts: Vec<&str> = rest.split('/').collect();
            parts.iter().all(|part| !part.is_empty())
                && matches!(parts.as_slice(), [_, _, "endpoint", _])
        })
    }

    fn hosts(&self) -> String {
        format!("/calico/felix/v1/host/{}/endpoint/", self.host)
    }

    fn workloads(&self) -> String {
        format!("{}workload/", self.of_region())
    }

    fn of_region(&self) -> String {
        format!("/calico/felix/v2/{}/host/{}/", self.region, self.host)
    }
}

/// Returns the value of an endpoint's key.
pub(super) fn value(status: Status) -> Vec<u8> {
    format!(r#"{{"status":"{status}"}}"#).into_bytes()
}

/// Returns the status that a value says; `None` where it is none as we write it.
pub(super) fn status(text: &[u8]) -> Option<Status> {
    let known = [Status::Up, Status::Down, Status::Error];
    known.into_iter().find(|status| value(*status) == text)
}

/// Returns where the range of the keys ends that begin so, itself not in it.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    // What ends in a slash is followed by what ends in the next character.
    let stem = prefix.strip_suffix('/').unwrap_or(prefix);
    format!("{stem}0").into_bytes()
}

/// Escapes a name.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f")
}
