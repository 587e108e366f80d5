//! What the loop tells whoever reports statuses.

use std::io;

use super::enforcer::Weighed;
use super::{etcd_settings, status_settings};
use crate::config::{Config, DatastoreKind};
use crate::links::{Link, LinkChange};
use crate::net::InterfaceName;
use crate::routes::{Event as RouteEvent, Outcome};
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
}

impl Statuses {
    /// Starts the threads that report.
    pub(super) fn start(config: &Config) -> io::Result<Self> {
        let etcd = match config.datastore.kind {
            DatastoreKind::Etcd => Some(etcd_settings(config)),
            DatastoreKind::Directory | DatastoreKind::Kubernetes => None,
        };
        Handle::start(etcd).map(|handle| Self { handle })
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

    /// Tells that nobody wants an interface wired any more.
    pub(super) fn unwanted(&self, interface: &InterfaceName) {
        self.handle.note(|facts| facts.unwanted(interface));
    }

    /// Tells that all that was weighed is in the kernel.
    pub(super) fn committed(&self, weighed: Weighed) {
        self.handle.note(|facts| facts.committed(weighed.endpoints));
    }

    /// Tells that it is not.
    pub(super) fn refused(&self, weighed: Weighed) {
        self.handle
            .note(|facts| facts.refused(weighed.endpoints, weighed.policies));
    }
}
