//! Which endpoint polices which interface, and what follows for the maps of interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::dispatch::{Dispatch, element};
use super::endpoint;
use super::layout::{Place, Shared, interface_map};
use super::names;
use super::settings::{DenyAction, Settings};
use crate::calc::{AdminState, Changes, EndpointId, EndpointPolicies, WorkloadInterface};
use crate::model::HostInterface;
use crate::nft::{ObjectChange, ObjectChanges, ObjectKey, SetName, Verdict};

/// The endpoints and their policies.
type Endpoints = BTreeMap<EndpointId, Arc<EndpointPolicies>>;

/// Which endpoint polices which interface.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    hosts: BTreeMap<HostInterface, EndpointId>,
    by_endpoint: BTreeMap<EndpointId, BTreeSet<HostInterface>>,
    dispatch: Dispatch,
    /// Whether anything changed that base chains may depend on.
    moved: bool,
}

impl Bindings {
    /// Returns where packets go.
    pub(super) fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// Stores the map to the sources that workloads may use although they are not their own.
    pub(super) fn set_spoofed_sources(&mut self, map: Option<&SetName>) {
        self.moved |= self.dispatch.set_spoofed_sources(map);
    }

    /// Tells whether anything changed that base chains may depend on, once.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Takes in what changed, and writes how the maps of interfaces changed; whole ones the first time.
    pub(super) fn follow(
        &mut self,
        changes: &Changes,
        endpoints: &Endpoints,
        settings: &Settings,
        started: bool,
        out: &mut ObjectChanges,
    ) {
        let mut touched: BTreeSet<HostInterface> = changes
            .endpoints
            .keys()
            .filter_map(|id| self.by_endpoint.get(id))
            .flatten()
            .cloned()
            .collect();
        for (interface, now) in &changes.interfaces {
            self.bind(interface, now.as_ref());
            touched.insert(interface.clone());
        }
        for place in host_places(settings) {
            let verdict = |id: &EndpointId| host_verdict(place, id, endpoints, settings);
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            for interface in &touched {
                let now = self.hosts.get(interface).map(verdict);
                match interface {
                    HostInterface::Any => {
                        let leads_on = now.filter(|verdict| verdict.chain().is_some());
                        self.moved |= self.dispatch.set_others(place, leads_on);
                    }
                    HostInterface::Name(name) => {
                        let before = self.dispatch.set(place, name, now.clone());
                        if before != now {
                            self.moved = true;
                            removed.extend(before.map(|before| element(name, &before)));
                            added.extend(now.map(|now| element(name, &now)));
                        }
                    }
                }
            }
            self.write(place, started, added, removed, out);
        }
        for place in Place::OF_WORKLOADS {
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            for (name, now) in &changes.workloads {
                let now = now.as_ref().map(|now| workload_verdict(place, now));
                let before = self.dispatch.set(place, name, now.clone());
                if before != now {
                    removed.extend(before.map(|before| element(name, &before)));
                    added.extend(now.map(|now| element(name, &now)));
                }
            }
            self.write(place, started, added, removed, out);
        }
    }

    /// Writes the map of a place.
    fn write(
        &self,
        place: Place,
        started: bool,
        added: Vec<crate::nft::Element>,
        removed: Vec<crate::nft::Element>,
        out: &mut ObjectChanges,
    ) {
        if !started {
            self.dispatch.write_map(place, out);
        } else if !(added.is_empty() && removed.is_empty()) {
            let change = ObjectChange::Elements { added, removed };
            out.insert(ObjectKey::Set(interface_map(place)), change);
        }
    }

    /// Binds an interface to an endpoint, or to none.
    fn bind(&mut self, interface: &HostInterface, now: Option<&EndpointId>) {
        let before = match now {
            Some(id) => self.hosts.insert(interface.clone(), id.clone()),
            None => self.hosts.remove(interface),
        };
        if let Some(before) = before
            && let Some(interfaces) = self.by_endpoint.get_mut(&before)
        {
            interfaces.remove(interface);
            if interfaces.is_empty() {
                self.by_endpoint.remove(&before);
            }
        }
        if let Some(id) = now {
            let interfaces = self.by_endpoint.entry(id.clone()).or_default();
            interfaces.insert(interface.clone());
        }
    }
}

/// Returns the places that have a map of host interfaces.
fn host_places(settings: &Settings) -> impl Iterator<Item = Place> + use<> {
    let refuses_aloud = settings.deny == DenyAction::Reject;
    Place::OF_HOSTS
        .into_iter()
        .filter(move |place| refuses_aloud || *place != Place::HostDnat)
}

/// Returns where packets of a host endpoint's interface go. One without a say at the place still keeps the
/// endpoint of all other interfaces from it.
fn host_verdict(
    place: Place,
    id: &EndpointId,
    endpoints: &Endpoints,
    settings: &Settings,
) -> Verdict {
    // One that is not known would lead to a chain that is not there, which no plan lets happen.
    let asked = endpoints
        .get(id)
        .is_none_or(|policies| endpoint::is_asked(place, policies, settings));
    if asked {
        Verdict::Jump(names::endpoint(place, id))
    } else {
        Verdict::Accept
    }
}

/// Returns where packets of a workload's interface go.
fn workload_verdict(place: Place, workload: &WorkloadInterface) -> Verdict {
    Verdict::Jump(match workload.state {
        AdminState::Up => names::endpoint(place, &workload.endpoint),
        AdminState::Down => Shared::WorkloadDown.name(),
    })
}
