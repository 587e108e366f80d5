//! Rows of reports, servers, the cluster's identity and diagnostics.

use super::Status::{Accepted, Planned, Works};
use super::{Row, ignored, row};
use crate::config::choices::ClientAuth;
use crate::config::types::{
    AnyInt, Bool, FilePath, HostAddress, Interval, KeyDurations, OneOf, Port, Seconds, Text,
};

const SIMULATION: &str = "it makes Felix fail on purpose, for its tests";
const PHONES_HOME: &str = "tortie reports nothing to anyone";
const GO: &str = "there is no Go runtime";
const ONE_DRIVER: &str = "there is one data plane, nftables over netlink";

pub(super) static ROWS: &[Row] = &[
    row!(
        "ReportingIntervalSecs",
        [],
        Status,
        Interval,
        "30",
        NONE,
        Planned,
        |c, v| c.status.interval = v,
        "Time between two reports of the daemon's status."
    ),
    row!(
        "ReportingTTLSecs",
        [],
        Status,
        Seconds,
        "90",
        NONE,
        Planned,
        |c, v| c.status.ttl = v,
        "Time after which a status that is not renewed vanishes."
    ),
    row!(
        "EndpointReportingEnabled",
        [],
        Status,
        Bool,
        "false",
        NONE,
        Planned,
        |c, v| c.status.endpoints = v,
        "Reports the state of endpoints to the datastore."
    ),
    row!(
        "EndpointReportingDelaySecs",
        [],
        Status,
        Seconds,
        "1",
        NONE,
        Planned,
        |c, v| c.status.endpoint_delay = v,
        "Least time between two such reports."
    ),
    row!(
        "EndpointStatusPathPrefix",
        [],
        Status,
        FilePath,
        "/var/run/calico",
        NONE,
        Planned,
        |c, v| c.status.file_prefix = v,
        "Directory in whose `endpoint-status` a file for each workload endpoint is kept; `none` \
         keeps none."
    ),
    row!(
        "HealthEnabled",
        [],
        Servers,
        Bool,
        "false",
        NONE,
        Planned,
        |c, v| c.health.enabled = v,
        "Serves `/liveness` and `/readiness`."
    ),
    row!(
        "HealthHost",
        [],
        Servers,
        HostAddress,
        "localhost",
        NONE,
        Planned,
        |c, v| c.health.host = v,
        "Address that the health server listens on."
    ),
    row!(
        "HealthPort",
        [],
        Servers,
        Port,
        "9099",
        NONE,
        Planned,
        |c, v| c.health.port = v,
        "Port that the health server listens on."
    ),
    row!(
        "HealthTimeoutOverrides",
        [],
        Servers,
        KeyDurations,
        "",
        NONE,
        Accepted("parts of the daemon have other names than Felix's"),
        |c, v| c.health.timeout_overrides = v,
        "Times after which a silent part counts as unhealthy, as `NAME=90s`."
    ),
    row!(
        "DataplaneWatchdogTimeout",
        [],
        Servers,
        Seconds,
        "90",
        NONE,
        Planned,
        |c, v| c.health.dataplane_timeout = v,
        "Time after which a silent data plane counts as unhealthy."
    ),
    row!(
        "PrometheusMetricsEnabled",
        [],
        Servers,
        Bool,
        "false",
        NONE,
        Planned,
        |c, v| c.metrics.enabled = v,
        "Serves `/metrics`."
    ),
    row!(
        "PrometheusMetricsHost",
        [],
        Servers,
        HostAddress,
        "",
        NONE,
        Planned,
        |c, v| c.metrics.host = v,
        "Address that the metrics server listens on; all addresses by default."
    ),
    row!(
        "PrometheusMetricsPort",
        [],
        Servers,
        Port,
        "9091",
        NONE,
        Planned,
        |c, v| c.metrics.port = v,
        "Port that the metrics server listens on."
    ),
    ignored!(
        "PrometheusGoMetricsEnabled",
        Servers,
        Bool,
        "true",
        GO,
        "Serves metrics of the Go runtime."
    ),
    row!(
        "PrometheusProcessMetricsEnabled",
        [],
        Servers,
        Bool,
        "true",
        NONE,
        Planned,
        |c, v| c.metrics.process = v,
        "Serves metrics of the process."
    ),
    row!(
        "PrometheusMetricsCAFile",
        [],
        Servers,
        FilePath,
        "",
        NONE,
        Planned,
        |c, v| c.metrics.ca_file = v,
        "Authorities that may sign a client's certificate."
    ),
    row!(
        "PrometheusMetricsCertFile",
        [],
        Servers,
        FilePath,
        "",
        NONE,
        Planned,
        |c, v| c.metrics.cert_file = v,
        "Certificate of the metrics server; TLS if set."
    ),
    row!(
        "PrometheusMetricsKeyFile",
        [],
        Servers,
        FilePath,
        "",
        NONE,
        Planned,
        |c, v| c.metrics.key_file = v,
        "Private key of the metrics server."
    ),
    row!(
        "PrometheusMetricsClientAuth",
        [],
        Servers,
        OneOf<ClientAuth>,
        "NoClientCert",
        NONE,
        Planned,
        |c, v| c.metrics.client_auth = v,
        "What is asked of a client's certificate."
    ),
    row!(
        "ClusterGUID",
        [],
        Cluster,
        Text,
        "baddecaf",
        NONE,
        Works,
        |c, v| c.cluster.guid = v,
        "Unique name of the cluster; shown and nothing else."
    ),
    row!(
        "ClusterType",
        [],
        Cluster,
        Text,
        "",
        NONE,
        Works,
        |c, v| c.cluster.cluster_type = v,
        "Words that describe the cluster; shown. `openstack` among them turns on the rules for \
         OpenStack workloads, once there are workloads."
    ),
    row!(
        "CalicoVersion",
        [],
        Cluster,
        Text,
        "",
        NONE,
        Works,
        |c, v| c.cluster.calico_version = v,
        "Release of Calico that runs the cluster; shown and nothing else."
    ),
    ignored!(
        "Variant",
        Cluster,
        Text,
        "Calico",
        "there is one variant",
        "Variant of Calico; another one than `Calico` makes Felix passive."
    ),
    ignored!(
        "UsageReportingEnabled",
        Cluster,
        Bool,
        "true",
        PHONES_HOME,
        "Reports the use of Calico to its makers."
    ),
    ignored!(
        "UsageReportingInitialDelaySecs",
        Cluster,
        Seconds,
        "300",
        PHONES_HOME,
        "Time before the first such report."
    ),
    ignored!(
        "UsageReportingIntervalSecs",
        Cluster,
        Seconds,
        "86400",
        PHONES_HOME,
        "Time between two such reports."
    ),
    ignored!(
        "UseInternalDataplaneDriver",
        Cluster,
        Bool,
        "true",
        ONE_DRIVER,
        "Uses Felix's own data plane."
    ),
    ignored!(
        "DataplaneDriver",
        Cluster,
        Text,
        "calico-iptables-plugin",
        ONE_DRIVER,
        "Program that drives an external data plane."
    ),
    ignored!(
        "NFTablesMode",
        Cluster,
        Text,
        "Auto",
        ONE_DRIVER,
        "Whether Felix uses nftables or iptables."
    ),
    row!(
        "DebugMemoryProfilePath",
        [],
        Diagnostics,
        FilePath,
        "",
        NONE,
        Accepted(GO),
        |c, v| c.debug.memory_profile_path = v,
        "Where a memory profile is written on `SIGUSR1`."
    ),
    row!(
        "DebugCPUProfilePath",
        [],
        Diagnostics,
        FilePath,
        "/tmp/felix-cpu-<timestamp>.pprof",
        NONE,
        Accepted(GO),
        |c, v| c.debug.cpu_profile_path = v,
        "Where a processor profile is written on `SIGUSR2`."
    ),
    row!(
        "DebugHost",
        [],
        Diagnostics,
        HostAddress,
        "localhost",
        NONE,
        Accepted(GO),
        |c, v| c.debug.host = v,
        "Address that the profiling server listens on."
    ),
    row!(
        "DebugPort",
        [],
        Diagnostics,
        Port,
        "0",
        NONE,
        Accepted(GO),
        |c, v| c.debug.port = v,
        "Port of the profiling server."
    ),
    ignored!(
        "DebugSimulateCalcGraphHangAfter",
        Diagnostics,
        Seconds,
        "0",
        SIMULATION,
        "Time until the calculation hangs."
    ),
    ignored!(
        "DebugSimulateDataplaneHangAfter",
        Diagnostics,
        Seconds,
        "0",
        SIMULATION,
        "Time until the data plane hangs."
    ),
    ignored!(
        "DebugSimulateDataplaneApplyDelay",
        Diagnostics,
        Seconds,
        "0",
        SIMULATION,
        "Time added to each change of the data plane."
    ),
    ignored!(
        "DebugPanicAfter",
        Diagnostics,
        Seconds,
        "0",
        SIMULATION,
        "Time until a crash."
    ),
    ignored!(
        "DebugSimulateDataRace",
        Diagnostics,
        Bool,
        "false",
        SIMULATION,
        "Makes threads race for data."
    ),
    ignored!(
        "GoGCThreshold",
        Diagnostics,
        AnyInt,
        "40",
        GO,
        "When garbage is collected."
    ),
    ignored!(
        "GoMemoryLimitMB",
        Diagnostics,
        AnyInt,
        "-1",
        GO,
        "Limit of memory."
    ),
    ignored!(
        "GoMaxProcs",
        Diagnostics,
        AnyInt,
        "-1",
        GO,
        "Number of processors used."
    ),
];
