//! What is known of the endpoints of this host, and what their status comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::calc::{AdminState, EndpointId, LocalChanges, LocalEndpoint, LocalWorkload, Owner};
use crate::model::HostInterface;
use crate::net::InterfaceName;

/// How an endpoint fares; the worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Its policy is in the kernel, and it can carry traffic.
    Up,
    /// One of the two is missing.
    Down,
    /// It is a host endpoint that no interface matches.
    Error,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Error => "error",
        })
    }
}

/// An endpoint, as those know it who read its status: two resources may be one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A host endpoint by its name.
    Host(Arc<str>),
    /// A workload endpoint.
    Workload {
        /// What started the workload.
        orchestrator: String,
        /// The workload.
        workload: String,
        /// The endpoint among those of its workload.
        endpoint: String,
    },
}

/// Whether an interface can carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// It can.
    Up,
    /// It cannot.
    Down,
}

/// Whether the interface of a workload has its routes and settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// It is wanted, and nothing has been heard of it since.
    Awaited,
    /// It has.
    Done,
    /// Some are missing.
    Missing,
}

/// What the status of every endpoint follows from.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The endpoints about which the kernel has decided.
    endpoints: BTreeMap<EndpointId, Arc<LocalEndpoint>>,
    /// Those of which it does not hold what is wanted.
    refused: BTreeSet<EndpointId>,
    /// Those that are denied, or that have a policy or profile that is.
    denied: BTreeSet<EndpointId>,
    links: BTreeMap<InterfaceName, Carrier>,
    wirings: BTreeMap<InterfaceName, Wiring>,
    extent: Extent,
}

/// How much has been heard since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Extent {
    /// Not all that is wanted has been in the kernel yet.
    #[default]
    Nothing,
    /// It has; of the wirings of workloads some have not been heard of.
    Policy,
    /// All.
    Whole,
}

impl Facts {
    /// Takes in that everything wanted is in the kernel, and what differs since it last was; tells whether that is
    /// news, as everything here does.
    pub fn committed(&mut self, changes: LocalChanges) -> bool {
        let before = self.extent;
        let news = !changes.is_empty() || !self.refused.is_empty();
        self.take(changes);
        self.refused.clear();
        if self.extent == Extent::Nothing {
            self.extent = Extent::Policy;
        }
        self.complete();
        news || self.extent != before
    }

    /// Takes in that what differs is not in the kernel, neither of these endpoints nor of those whose policies
    /// differ.
    pub fn refused(&mut self, changes: LocalChanges, policies: BTreeSet<EndpointId>) -> bool {
        let news = !changes.is_empty() || !policies.is_empty();
        self.refused.extend(changes.keys().cloned());
        self.refused.extend(policies);
        self.take(changes);
        news
    }

    /// Takes in which endpoints are denied, or have a policy or profile that is.
    pub fn denied(&mut self, endpoints: BTreeSet<EndpointId>) -> bool {
        let news = self.denied != endpoints;
        self.denied = endpoints;
        news
    }

    fn take(&mut self, changes: LocalChanges) {
        for (key, now) in changes {
            match now {
                Some(now) => self.endpoints.insert(key, now),
                None => self.endpoints.remove(&key),
            };
        }
    }

    /// Takes in how an interface fares, `None` where it is gone.
    pub fn link(&mut self, name: InterfaceName, now: Option<Carrier>) -> bool {
        let before = match now {
            Some(now) => self.links.insert(name, now),
            None => self.links.remove(&name),
        };
        before != now
    }

    /// Takes in what came of the wiring of an interface, or that something else is wanted of it.
    pub fn wired(&mut self, name: &InterfaceName, wiring: Wiring) -> bool {
        let before = self.wirings.insert(name.clone(), wiring);
        self.complete();
        before != Some(wiring)
    }

    /// Takes in that an interface is no workload's any more.
    pub fn unwanted(&mut self, name: &InterfaceName) -> bool {
        self.wirings.remove(name).is_some()
    }

    /// Tells whether everything has been in the kernel and heard of once: before, what was up at the last run
    /// would be taken for down or gone.
    pub fn are_whole(&self) -> bool {
        self.extent == Extent::Whole
    }

    fn complete(&mut self) {
        let heard = |local: &Arc<LocalEndpoint>| match local.as_ref() {
            LocalEndpoint::Workload(workload) if workload.owner == Owner::Itself => {
                match self.wirings.get(&workload.interface) {
                    Some(Wiring::Done | Wiring::Missing) => true,
                    Some(Wiring::Awaited) | None => false,
                }
            }
            LocalEndpoint::Workload(_) | LocalEndpoint::Host { .. } => true,
        };
        if self.extent == Extent::Policy && self.endpoints.values().all(heard) {
            self.extent = Extent::Whole;
        }
    }

    /// Returns the status of every endpoint; the worst one where two resources are one endpoint.
    pub fn statuses(&self) -> BTreeMap<Endpoint, Status> {
        let mut statuses = BTreeMap::new();
        for (key, local) in &self.endpoints {
            let (endpoint, status) = match local.as_ref() {
                LocalEndpoint::Host { interfaces } => {
                    let endpoint = Endpoint::Host(Arc::clone(&key.name));
                    (endpoint, self.host_status(key, interfaces))
                }
                LocalEndpoint::Workload(workload) => {
                    let endpoint = Endpoint::Workload {
                        orchestrator: workload.orchestrator.clone(),
                        workload: workload.workload.clone(),
                        endpoint: workload.endpoint.clone(),
                    };
                    (endpoint, self.workload_status(key, workload))
                }
            };
            let worst = statuses.entry(endpoint).or_insert(status);
            *worst = status.max(*worst);
        }
        statuses
    }

    /// Returns the workload endpoints that are up.
    pub fn workloads_up(&self) -> impl Iterator<Item = &LocalWorkload> {
        let mut found = self.endpoints.iter();
        std::iter::from_fn(move || {
            found.find_map(|(key, local)| match local.as_ref() {
                LocalEndpoint::Workload(workload)
                    if self.workload_status(key, workload) == Status::Up =>
                {
                    Some(workload)
                }
                LocalEndpoint::Workload(_) | LocalEndpoint::Host { .. } => None,
            })
        })
    }

    /// Tells whether the kernel does not hold what is wanted of an endpoint.
    fn lacks_policy(&self, key: &EndpointId) -> bool {
        self.refused.contains(key) || self.denied.contains(key)
    }

    fn host_status(&self, key: &EndpointId, interfaces: &BTreeSet<HostInterface>) -> Status {
        let carriers = interfaces.iter().filter_map(|interface| match interface {
            // No single interface speaks for all.
            HostInterface::Any => Some(Carrier::Up),
            HostInterface::Name(name) => self.links.get(name).copied(),
        });
        let carriers: Vec<Carrier> = carriers.collect();
        if carriers.is_empty() {
            Status::Error
        } else if carriers.contains(&Carrier::Down) || self.lacks_policy(key) {
            Status::Down
        } else {
            Status::Up
        }
    }

    fn workload_status(&self, key: &EndpointId, workload: &LocalWorkload) -> Status {
        let interface = &workload.interface;
        let up = workload.owner == Owner::Itself
            && workload.state == AdminState::Up
            && self.links.get(interface) == Some(&Carrier::Up)
            && self.wirings.get(interface) == Some(&Wiring::Done)
            && !self.lacks_policy(key);
        if up { Status::Up } else { Status::Down }
    }
}
