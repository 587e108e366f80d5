//! What is served, and where.

use std::path::PathBuf;
use std::time::Duration;

/// What is served; absent is what is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `/liveness` and `/readiness`.
    pub health: Option<HealthSettings>,
    /// `/metrics`.
    pub metrics: Option<MetricsSettings>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// An address or a name; all addresses if empty.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The health server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// Where it listens.
    pub listen: Listen,
    /// How long which part may be silent.
    pub patience: Patience,
}

/// How long which part may be silent; for ever if absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Patience {
    /// The loop.
    pub turn: Option<Duration>,
    /// The kernel and its writer; also how long policy may fail to come into force.
    pub kernel: Option<Duration>,
}

/// Tells whether something has lasted longer than there is patience with it.
pub fn outlasts(elapsed: Duration, patience: Option<Duration>) -> bool {
    patience.is_some_and(|patience| elapsed > patience)
}

/// The metrics server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where it listens.
    pub listen: Listen,
    /// How it is encrypted; plain text if absent.
    pub tls: Option<Tls>,
    /// Whether the process is measured.
    pub process: bool,
    /// Whether the counters of policies are read.
    pub counters: bool,
}

/// How a server is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The file of its certificate, with those that lead to its authority.
    pub certificate: PathBuf,
    /// The file of its private key.
    pub key: PathBuf,
    /// The file of the authorities that sign clients' certificates; the server's own chain has no part in this.
    pub authorities: Option<PathBuf>,
    /// What is asked of clients.
    pub client: ClientAuth,
}

/// What is asked of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// That there is one.
    Any,
    /// That it is valid, if there is one.
    ValidIfGiven,
    /// That there is a valid one.
    Valid,
}
