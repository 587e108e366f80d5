//! Rows of reports, servers, the cluster's identity and diagnostics.

use super::Status::{Accepted, Works};
use super::{Row, table};
use crate::config::choices::ClientAuth;
use crate::config::types::{
    Bool, FilePath, HostAddress, Interval, KeyDurations, OneOf, Port, Seconds, Text,
};

table! {
    "ReportingIntervalSecs": Interval = "30", Status, NONE, Works,
        |c, v| c.status.interval = v,
        "Time between two reports of the daemon's status to etcd.";
    "ReportingTTLSecs": Seconds = "90", Status, NONE, Works,
        |c, v| c.status.ttl = v,
        "Time after which a reported status that is not renewed vanishes; 0 is never.";
    "EndpointReportingEnabled": Bool = "false", Status, NONE, Works,
        |c, v| c.status.endpoints = v,
        "Reports the status of each endpoint of this host to etcd.";
    "EndpointReportingDelaySecs": Seconds = "1", Status, NONE, Works,
        |c, v| c.status.endpoint_delay = v,
        "Time between two such reports; each is about one endpoint.";
    "EndpointStatusPathPrefix": FilePath = "/var/run/calico", Status, NONE, Works,
        |c, v| c.status.file_prefix = v,
        "Directory in whose `endpoint-status` a file for each workload endpoint that is up is kept, for \
         the network plugin; `none` keeps none.";
    "HealthEnabled": Bool = "false", Servers, NONE, Works,
        |c, v| c.health.enabled = v,
        "Serves `/liveness` and `/readiness` over HTTP.";
    "HealthHost": HostAddress = "localhost", Servers, NONE, Works,
        |c, v| c.health.host = v,
        "Address that the health server listens on.";
    "HealthPort": Port = "9099", Servers, NONE, Works,
        |c, v| c.health.port = v,
        "Port that the health server listens on.";
    "HealthTimeoutOverrides": KeyDurations = "", Servers, NONE, Works,
        |c, v| c.health.timeout_overrides = v,
        "Times after which a silent part counts as unhealthy, as `NAME=90s`; at least 20 seconds, and \
         0 is never. `InternalDataplaneMainLoop` is the kernel with its writer, and takes the place of \
         `DataplaneWatchdogTimeout`; `CalculationGraph` is the daemon's own loop, which has the \
         former's time if it is not named. Other names have no effect.";
    "DataplaneWatchdogTimeout": Seconds = "90", Servers, NONE, Works,
        |c, v| c.health.dataplane_timeout = v,
        "Time after which a silent data plane counts as unhealthy; at least 20 seconds.";
    "PrometheusMetricsEnabled": Bool = "false", Servers, NONE, Works,
        |c, v| c.metrics.enabled = v,
        "Serves `/metrics`: see [metrics.md](metrics.md).";
    "PrometheusMetricsHost": HostAddress = "", Servers, NONE, Works,
        |c, v| c.metrics.host = v,
        "Address that the metrics server listens on; all addresses by default.";
    "PrometheusMetricsPort": Port = "9091", Servers, NONE, Works,
        |c, v| c.metrics.port = v,
        "Port that the metrics server listens on.";
    "PrometheusProcessMetricsEnabled": Bool = "true", Servers, NONE, Works,
        |c, v| c.metrics.process = v,
        "Serves metrics of the process.";
    "PrometheusMetricsCAFile": FilePath = "", Servers, NONE, Works,
        |c, v| c.metrics.ca_file = v,
        "Authorities that may sign a client's certificate; needed where one has to be valid.";
    "PrometheusMetricsCertFile": FilePath = "", Servers, NONE, Works,
        |c, v| c.metrics.cert_file = v,
        "Certificate of the metrics server, with those that lead to its authority. TLS if this or the key is set. \
         The files are read again when they change.";
    "PrometheusMetricsKeyFile": FilePath = "", Servers, NONE, Works,
        |c, v| c.metrics.key_file = v,
        "Private key of the metrics server.";
    "PrometheusMetricsClientAuth": OneOf<ClientAuth> = "NoClientCert", Servers, NONE, Works,
        |c, v| c.metrics.client_auth = v,
        "What is asked of a client's certificate.";
    "ClusterGUID": Text = "baddecaf", Cluster, NONE, Works,
        |c, v| c.cluster.guid = v,
        "Unique name of the cluster; shown and nothing else.";
    "ClusterType": Text = "", Cluster, NONE, Works,
        |c, v| c.cluster.cluster_type = v,
        "Words that describe the cluster; shown. `openstack` among them turns on the rules for \
         OpenStack workloads, once there are workloads.";
    "CalicoVersion": Text = "", Cluster, NONE, Works,
        |c, v| c.cluster.calico_version = v,
        "Release of Calico that runs the cluster; shown and nothing else.";
    "DebugMemoryProfilePath": FilePath = "", Diagnostics, NONE, Accepted("there is no Go runtime"),
        |c, v| c.debug.memory_profile_path = v,
        "Where a memory profile is written on `SIGUSR1`.";
    "DebugCPUProfilePath": FilePath =
        "/tmp/felix-cpu-<timestamp>.pprof",
        Diagnostics, NONE, Accepted("there is no Go runtime"),
        |c, v| c.debug.cpu_profile_path = v,
        "Where a processor profile is written on `SIGUSR2`.";
    "DebugHost": HostAddress = "localhost", Diagnostics, NONE, Accepted("there is no Go runtime"),
        |c, v| c.debug.host = v,
        "Address that the profiling server listens on.";
    "DebugPort": Port = "0", Diagnostics, NONE, Accepted("there is no Go runtime"),
        |c, v| c.debug.port = v,
        "Port of the profiling server.";
}
