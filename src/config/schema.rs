//! The result: one small struct for each room that is configured.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::choices::{
    AllowAction, ChainInsertMode, ClientAuth, DatastoreKind, DenyAction, EndpointToHostAction,
    EtcdScheme, FelixCleanup, FloatingIps, HostChainAccept, IpForwarding, LogFormat, LogLevel,
    NatExclusions, NeighborDiscovery, PolicyCounters, ServiceLoopPrevention, SourceSpoofing,
    TableOwner, TimeUnit,
};
use super::failsafe::FailsafePort;
use crate::net::InterfacePattern;

/// Everything that can be configured, parsed.
///
/// `Config::default()` is all zeros and means nothing; a configuration of defaults is
/// [`Config::default_for`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// This host's name, as resources spell it.
    pub hostname: String,
    /// Where resources come from.
    pub datastore: DatastoreConfig,
    /// What is logged, and where.
    pub log: LogConfig,
    /// How policy becomes rules.
    pub policy: PolicyConfig,
    /// How rules reach the kernel.
    pub kernel: KernelConfig,
    /// How interfaces are watched.
    pub links: LinksConfig,
    /// How workload endpoints are treated.
    pub workload: WorkloadConfig,
    /// Routes of workload endpoints.
    pub route: RouteConfig,
    /// Address translation.
    pub nat: NatConfig,
    /// What is reported to the datastore.
    pub status: StatusConfig,
    /// The health server.
    pub health: HealthConfig,
    /// The metrics server.
    pub metrics: MetricsConfig,
    /// Identity of the cluster.
    pub cluster: ClusterConfig,
    /// Diagnostics.
    pub debug: DebugConfig,
}

impl Config {
    /// Tells whether the special rules for `OpenStack` apply.
    ///
    /// They do if the cluster says so, if the metadata service is not where it is by default, or if
    /// `tap` is a prefix of workload interfaces.
    pub fn openstack_active(&self) -> bool {
        let workload = &self.workload;
        self.cluster
            .cluster_type
            .to_lowercase()
            .contains("openstack")
            || workload
                .metadata_addr
                .as_deref()
                .is_some_and(|addr| addr != "127.0.0.1")
            || !matches!(workload.metadata_port, 0 | 8775)
            || self
                .policy
                .interface_prefixes
                .iter()
                .any(|prefix| prefix == "tap")
    }
}

/// Where resources come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatastoreConfig {
    /// Kind of source.
    pub kind: DatastoreKind,
    /// Directory that is read when the kind says so.
    pub path: PathBuf,
    /// How etcd is reached.
    pub etcd: EtcdConfig,
}

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EtcdConfig {
    /// Address of a single server, used if there are no endpoints.
    pub addr: String,
    /// Scheme that goes with `addr`.
    pub scheme: EtcdScheme,
    /// URLs of the cluster's members, without a path.
    pub endpoints: Vec<String>,
    /// Domain whose SRV records name the members.
    pub discovery_srv: Option<String>,
    /// File of the client's private key.
    pub key_file: Option<PathBuf>,
    /// File of the client's certificate.
    pub cert_file: Option<PathBuf>,
    /// File of the authorities that may sign a server's certificate; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// User to log in as; used only with a password.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<Secret>,
}

impl EtcdConfig {
    /// Returns the URLs to connect to: the endpoints, else the single address with its scheme.
    pub fn urls(&self) -> Vec<String> {
        if self.endpoints.is_empty() && !self.addr.is_empty() {
            vec![format!("{}://{}", self.scheme, self.addr)]
        } else {
            self.endpoints.clone()
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text away, to be sent and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// File that is appended to; none if absent.
    pub file_path: Option<PathBuf>,
    /// Level of the file; the sink is off if absent.
    pub file: Option<LogLevel>,
    /// Level of standard error; the sink is off if absent.
    pub screen: Option<LogLevel>,
    /// Level of syslog; the sink is off if absent.
    pub syslog: Option<LogLevel>,
    /// Form of the lines.
    pub format: LogFormat,
    /// Waits for a slow sink instead of dropping messages.
    pub never_drop: bool,
}

/// How policy becomes rules.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyConfig {
    /// Beginnings of the names of workload interfaces; every other interface is the host's.
    pub interface_prefixes: Vec<String>,
    /// Interfaces that are not looked at.
    pub interface_exclude: Vec<InterfacePattern>,
    /// Programs rules for IPv6.
    pub ipv6_support: bool,
    /// Ports of this host that no policy closes.
    pub failsafe_in: Vec<FailsafePort>,
    /// Ports of others that no policy closes to this host.
    pub failsafe_out: Vec<FailsafePort>,
    /// Fate of a packet that policy allows.
    pub filter_allow_action: AllowAction,
    /// Fate of a packet that pre-DNAT policy allows.
    pub mangle_allow_action: AllowAction,
    /// Fate of a packet that policy denies.
    pub filter_deny_action: DenyAction,
    /// What a logged packet's line begins with.
    pub log_prefix: String,
    /// Limit of each rule that logs; none if absent.
    pub log_rate_limit: Option<RateLimit>,
    /// Bits of the packet mark that are ours.
    pub mark_mask: u32,
    /// Judges packets that connection tracking calls invalid by policy instead of dropping them.
    pub disable_conntrack_invalid_check: bool,
    /// Fate of a workload's packet to the host that the workload's policy allows.
    pub endpoint_to_host_action: EndpointToHostAction,
    /// Whether IPv6 neighbour discovery passes host endpoints.
    pub neighbor_discovery: NeighborDiscovery,
    /// Whether packets are counted by policy.
    pub counters: PolicyCounters,
    /// Whether policy runs before or after the host's own rules.
    pub chain_insert_mode: ChainInsertMode,
    /// How the host's own chains learn what policy has accepted.
    pub host_chain_accept: HostChainAccept,
}

/// Limit of a rule that logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateLimit {
    /// Packets in a unit of time, 1 to 9999.
    pub count: u32,
    /// Unit of time.
    pub unit: TimeUnit,
    /// Packets that may come at once before the limit holds, 0 to 9999.
    pub burst: u32,
}

/// How rules reach the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelConfig {
    /// Whether the table belongs to the daemon's socket.
    pub table_owner: TableOwner,
    /// What becomes of what Felix has left.
    pub felix_cleanup: FelixCleanup,
    /// Time between two comparisons of rules with the kernel's; none if absent.
    pub refresh_interval: Option<Duration>,
    /// Time between two comparisons of set members with the kernel's; none if absent.
    pub sets_refresh_interval: Option<Duration>,
    /// Time to wait for the kernel's answer; no limit if absent.
    pub netlink_timeout: Option<Duration>,
}

/// How interfaces are watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinksConfig {
    /// Time between two full listings of interfaces and addresses; none if absent.
    pub refresh_interval: Option<Duration>,
    /// Whether forwarding is turned on.
    pub ip_forwarding: IpForwarding,
}

/// How workload endpoints are treated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadConfig {
    /// Whether an endpoint may ask to send from foreign addresses.
    pub source_spoofing: SourceSpoofing,
    /// Lets workloads send VXLAN packets.
    pub allow_vxlan: bool,
    /// UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Lets workloads send IP-in-IP packets.
    pub allow_ipip: bool,
    /// Fate of packets for service addresses that nobody answers.
    pub service_loop_prevention: ServiceLoopPrevention,
    /// Host of the `OpenStack` metadata service; none if absent.
    pub metadata_addr: Option<String>,
    /// Port of that service; 0 is none.
    pub metadata_port: u16,
    /// `OpenStack` region that status keys carry; none if absent.
    pub openstack_region: Option<String>,
}

/// Routes of workload endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteConfig {
    /// Time between two comparisons of routes with the kernel's; none if absent.
    pub refresh_interval: Option<Duration>,
    /// Removes routes to workload interfaces that others have made.
    pub remove_external: bool,
    /// Protocol number that marks our routes.
    pub protocol: u8,
    /// Priority of IPv4 routes.
    pub priority_v4: u32,
    /// Priority of IPv6 routes.
    pub priority_v6: u32,
    /// Preferred source of IPv4 routes.
    pub source_v4: Option<Ipv4Addr>,
    /// Preferred source of IPv6 routes.
    pub source_v6: Option<Ipv6Addr>,
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSpan {
    /// First port.
    pub first: u16,
    /// Last port, not below the first.
    pub last: u16,
}

/// Address translation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatConfig {
    /// Ports that masqueraded connections are given; the kernel chooses if absent.
    pub port_range: Option<PortSpan>,
    /// Source address of outgoing connections; that of the interface if absent.
    pub outgoing_address: Option<Ipv4Addr>,
    /// Destinations that are reached untranslated.
    pub outgoing_exclusions: NatExclusions,
    /// Interface that translation is limited to, `+` at its end meaning any rest; all if absent.
    pub outgoing_interface: Option<String>,
    /// Whether one-to-one translation is programmed for every endpoint.
    pub floating_ips: FloatingIps,
    /// Hosts outside the cluster that may tunnel into it.
    pub external_nodes: Vec<IpNet>,
}

/// What is reported to the datastore.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusConfig {
    /// Time between two reports of the daemon's own status; none if absent.
    pub interval: Option<Duration>,
    /// Life of such a report.
    pub ttl: Duration,
    /// Reports the state of endpoints.
    pub endpoints: bool,
    /// Least time between two reports of endpoints.
    pub endpoint_delay: Duration,
    /// Directory below which status files are written; none if absent.
    pub file_prefix: Option<PathBuf>,
}

/// The health server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthConfig {
    /// Serves at all.
    pub enabled: bool,
    /// Address or name to listen on; all addresses if empty.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Time after which a part that has not reported is unhealthy, by the part's name.
    pub timeout_overrides: BTreeMap<String, Duration>,
    /// Time after which a silent dataplane is unhealthy.
    pub dataplane_timeout: Duration,
}

/// The metrics server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsConfig {
    /// Serves at all.
    pub enabled: bool,
    /// Address or name to listen on; all addresses if empty.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Serves metrics of the process.
    pub process: bool,
    /// File of the authorities that may sign a client's certificate.
    pub ca_file: Option<PathBuf>,
    /// File of the server's certificate; plain text if absent.
    pub cert_file: Option<PathBuf>,
    /// File of the server's private key.
    pub key_file: Option<PathBuf>,
    /// What is asked of a client's certificate.
    pub client_auth: ClientAuth,
}

/// Identity of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterConfig {
    /// Unique name.
    pub guid: String,
    /// Words that describe it, comma separated.
    pub cluster_type: String,
    /// Release of Calico that runs it.
    pub calico_version: String,
}

/// Diagnostics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DebugConfig {
    /// Where a memory profile is written on `SIGUSR1`.
    pub memory_profile_path: Option<PathBuf>,
    /// Where a processor profile is written on `SIGUSR2`.
    pub cpu_profile_path: Option<PathBuf>,
    /// Address or name that the debug server listens on.
    pub host: String,
    /// Port of the debug server; 0 is none.
    pub port: u16,
}
