//! What the loop tells whoever reports statuses.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::enforcer::Weighed;
use super::{etcd_settings, status_settings};
use crate::calc::EndpointId;
use crate::config::{Config, DatastoreKind};
use crate::links::{Link, LinkChange};
use crate::net::InterfaceName;
use crate::routes::{self, Event as RouteEvent, Outcome};
use crate::status::{Carrier, Handle, Wiring};

/// Whether statuses may be written to the datastore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It has been read, policy is in force, and it says that it is ready.
    Open,
    /// Something of this is missing.
    Closed,
}

/// Tells of what is in the kernel, and of interfaces. Nothing that it does waits for anybody.
#[derive(Debug)]
pub(super) struct Statuses {
    handle: Handle,
    /// What is wanted of the interfaces of workloads.
    wanted: BTreeMap<InterfaceName, routes::Wiring>,
}

impl Statuses {
    /// Starts the threads that report.
    pub(super) fn start(config: &Config) -> io::Result<Self> {
        let etcd = match config.datastore.kind {
            DatastoreKind::Etcd => Some(etcd_settings(config)),
            DatastoreKind::Directory | DatastoreKind::Kubernetes => None,
        };
        let handle = Handle::start(etcd)?;
        Ok(Self {
            handle,
            wanted: BTreeMap::new(),
        })
    }

    /// Tells what is to be reported.
    pub(super) fn configure(&self, config: &Config, gate: Gate) {
        self.handle.configure(status_settings(config, gate));
    }

    /// Tells of interfaces.
    pub(super) fn links(&self, changes: &[LinkChange]) {
        self.handle.note(|facts| {
            changes.iter().fold(false, |news, change| {
                let differs = match change {
                    LinkChange::Changed(Link { name, up, .. }) => {
                        let carrier = if *up { Carrier::Up } else { Carrier::Down };
                        facts.link(name.clone(), Some(carrier))
                    }
                    LinkChange::Removed(name) => facts.link(name.clone(), None),
                };
                news || differs
            })
        });
    }

    /// Tells what came of the wiring of an interface.
    pub(super) fn wired(&self, event: &RouteEvent) {
        let wiring = match event.outcome {
            Outcome::Wired => Wiring::Done,
            Outcome::Down | Outcome::Absent | Outcome::Failed { .. } => Wiring::Missing,
        };
        self.handle
            .note(|facts| facts.wired(&event.interface, wiring));
    }

    /// Tells what is wanted of an interface, `None` where that is nothing any more: what came of something else
    /// does not count. To be told before the routes' thread is.
    pub(super) fn wanted(&mut self, interface: &InterfaceName, wiring: Option<&routes::Wiring>) {
        if self.wanted.get(interface) == wiring {
            return;
        }
        if let Some(wiring) = wiring {
            self.wanted.insert(interface.clone(), wiring.clone());
            self.handle
                .note(|facts| facts.wired(interface, Wiring::Awaited));
        } else {
            self.wanted.remove(interface);
            self.handle.note(|facts| facts.unwanted(interface));
        }
    }

    /// Tells that all that was weighed is in the kernel.
    pub(super) fn committed(&self, weighed: Weighed) {
        self.handle.note(|facts| facts.committed(weighed.endpoints));
    }

    /// Tells which endpoints are denied, or have a policy or profile that is.
    pub(super) fn denied(&self, endpoints: BTreeSet<EndpointId>) {
        self.handle.note(|facts| facts.denied(endpoints));
    }

    /// Tells that it is not.
    pub(super) fn refused(&self, weighed: Weighed) {
        self.handle
            .note(|facts| facts.refused(weighed.endpoints, weighed.policies));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::calc::{AdminState, LocalEndpoint, LocalWorkload, Owner};
    use crate::model::{Kind, ResourceKey};
    use crate::routes::SpoofedSources;

    /// Weighs an endpoint that owns `cali0`.
    fn weighed(address: &str) -> Weighed {
        let endpoint = LocalEndpoint::Workload(LocalWorkload {
            orchestrator: "k8s".to_owned(),
            workload: "ns/pod".to_owned(),
            endpoint: "eth0".to_owned(),
            interface: "cali0".parse().unwrap(),
            owner: Owner::Itself,
            state: AdminState::Up,
            mac: None,
            nets: vec![address.parse().unwrap()],
        });
        let key = ResourceKey::v3(Kind::WorkloadEndpoint, "ns", "pod");
        Weighed {
            endpoints: [(key, Some(Arc::new(endpoint)))].into(),
            policies: BTreeSet::new(),
        }
    }

    #[test]
    fn a_workload_is_not_up_before_what_it_wants_now_is_wired() {
        let mut config = Config::default_for("my-host");
        config.datastore.kind = DatastoreKind::Directory;
        let mut statuses = Statuses::start(&config).unwrap();
        let interface: InterfaceName = "cali0".parse().unwrap();
        statuses
            .handle
            .note(|facts| facts.link(interface.clone(), Some(Carrier::Up)));
        let is_up = |statuses: &Statuses| {
            let mut up = false;
            statuses.handle.note(|facts| {
                up = facts.workloads_up().count() == 1;
                false
            });
            up
        };
        let wired = RouteEvent {
            interface: interface.clone(),
            outcome: Outcome::Wired,
        };
        for address in ["10.65.0.1", "10.65.0.2"] {
            let wiring = routes::Wiring {
                addresses: [address.parse().unwrap()].into(),
                mac: None,
                spoofing: SpoofedSources::Refused,
            };
            statuses.wanted(&interface, Some(&wiring));
            statuses.committed(weighed(&format!("{address}/32")));
            assert!(!is_up(&statuses), "{address} has no route");
            statuses.wired(&wired);
            assert!(is_up(&statuses), "{address} has one");
            // Something about the workload differs that asks for no other wiring.
            statuses.wanted(&interface, Some(&wiring));
            assert!(is_up(&statuses), "{address} keeps it");
        }
        statuses.wanted(&interface, None);
        assert!(!is_up(&statuses));
    }
}
