//! What differs between two configurations.

use std::collections::BTreeSet;

use super::schema::Config;

/// A part of the configuration that some room of the daemon receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// This host's name.
    Hostname,
    /// `Config::datastore`.
    Datastore,
    /// `Config::log`.
    Log,
    /// `Config::policy`.
    Policy,
    /// `Config::kernel`.
    Kernel,
    /// `Config::links`.
    Links,
    /// `Config::workload`.
    Workload,
    /// `Config::route`.
    Route,
    /// `Config::nat`.
    Nat,
    /// `Config::status`.
    Status,
    /// `Config::health`.
    Health,
    /// `Config::metrics`.
    Metrics,
    /// `Config::cluster`.
    Cluster,
    /// `Config::debug`.
    Debug,
}

/// What differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigChanges {
    /// Parts that differ.
    pub changed: BTreeSet<Room>,
    /// Parts among them of which something takes effect at a restart alone.
    pub restart: BTreeSet<Room>,
}

impl ConfigChanges {
    /// Tells whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }
}

/// Compares two configurations.
///
/// The host's name, the datastore, the ownership of the table and the time that the kernel is given
/// are fixed when the daemon starts; everything else can be applied to a running one.
pub fn changes(old: &Config, new: &Config) -> ConfigChanges {
    let differs = [
        (Room::Hostname, old.hostname != new.hostname),
        (Room::Datastore, old.datastore != new.datastore),
        (Room::Log, old.log != new.log),
        (Room::Policy, old.policy != new.policy),
        (Room::Kernel, old.kernel != new.kernel),
        (Room::Links, old.links != new.links),
        (Room::Workload, old.workload != new.workload),
        (Room::Route, old.route != new.route),
        (Room::Nat, old.nat != new.nat),
        (Room::Status, old.status != new.status),
        (Room::Health, old.health != new.health),
        (Room::Metrics, old.metrics != new.metrics),
        (Room::Cluster, old.cluster != new.cluster),
        (Room::Debug, old.debug != new.debug),
    ];
    let changed: BTreeSet<Room> = differs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(room, _)| room)
        .collect();
    let writer_differs = old.kernel.table_owner != new.kernel.table_owner
        || old.kernel.netlink_timeout != new.kernel.netlink_timeout;
    let restart = changed
        .iter()
        .copied()
        .filter(|room| match room {
            Room::Hostname | Room::Datastore => true,
            Room::Kernel => writer_differs,
            Room::Log
            | Room::Policy
            | Room::Links
            | Room::Workload
            | Room::Route
            | Room::Nat
            | Room::Status
            | Room::Health
            | Room::Metrics
            | Room::Cluster
            | Room::Debug => false,
        })
        .collect();
    ConfigChanges { changed, restart }
}
