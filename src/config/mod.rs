//! Configuration: from the raw texts of several sources to one typed [`Config`] and a list of
//! problems.
//!
//! In: [`Layers`], that is the command line, the environment, the configuration file and what the
//! datastore says, each as a map of names to raw text. Out: a [`Resolution`]: small structs, one
//! for each room that is configured, the origin of every value, and every problem at once; never an
//! error, so that one bad value does not hide another. [`changes`] tells what differs between two
//! of them.
//!
//! May touch: nothing but `load`, which reads the file, the environment and the kernel's hostname.
//! Absent: the datastore (its values are handed in as maps), the clock, and any decision on when to
//! exit: a caller reads [`Resolution::fatal`].
//!
//! Every option is one row of the table in `options`; the defaults, the parsers, the reference page
//! ([`document`]) and the conversion of `FelixConfiguration` objects all come from that row.

mod changes;
mod choices;
mod document;
mod failsafe;
mod felix_configuration;
mod go_duration;
mod ini;
mod layers;
mod load;
mod options;
mod problem;
mod resolve;
mod schema;
mod types;

#[cfg(test)]
mod tests;

pub use changes::{ConfigChanges, Room, changes};
pub use choices::{
    AllowAction, ChainInsertMode, ClientAuth, DatastoreKind, DenyAction, EndpointToHostAction,
    EtcdScheme, FelixCleanup, FloatingIps, HostChainAccept, IpForwarding, LogFormat, LogLevel,
    NatExclusions, NeighborDiscovery, PolicyCounters, ServiceLoopPrevention, SourceSpoofing,
    TableOwner, TimeUnit,
};
pub use document::document;
pub use failsafe::{FailsafePort, FailsafeProtocol};
pub use felix_configuration::{felix_configuration, felix_configuration_problems};
pub use layers::{DetectedHostname, HostnameSource, Layers};
pub use load::load;
pub use problem::{ConfigProblem, Severity};
pub use resolve::{Origin, Provenance, Resolution, resolve};
pub use schema::{
    ClusterConfig, Config, DatastoreConfig, DebugConfig, EtcdConfig, HealthConfig, KernelConfig,
    LinksConfig, LogConfig, MetricsConfig, NatConfig, PolicyConfig, PortSpan, RateLimit,
    RouteConfig, Secret, StatusConfig, WorkloadConfig,
};

/// Path of the configuration file that is read when no other is named.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/calico/felix.cfg";
