//! Rows of options that have no effect on a host without overlay, Kubernetes or iptables.

use super::{Row, ignored};
use crate::config::types::{
    AnyInt, Authority, Bool, FilePath, InterfaceParam, Ipv4, Ipv6, Millis, Seconds, Text,
};

const NO_OVERLAY: &str = "hosts are not joined by tunnels";
const NO_KUBERNETES: &str = "tortie serves hosts outside Kubernetes";
const NO_IPTABLES: &str = "iptables is not used";
const NO_ROUTING: &str = "routes between hosts are left to others";
const NO_FLOW_LOGS: &str = "there are no flow logs";
const OLD: &str = "Felix after 1.4 does not know it either";

pub(super) static ROWS: &[Row] = &[
    ignored!(
        "IpInIpEnabled",
        Overlay,
        Bool,
        "",
        NO_OVERLAY,
        "Tunnels traffic between hosts in IP-in-IP."
    ),
    ignored!(
        "IpInIpMtu",
        Overlay,
        AnyInt,
        "0",
        NO_OVERLAY,
        "Packet size of the IP-in-IP interface."
    ),
    ignored!(
        "IpInIpTunnelAddr",
        Overlay,
        Ipv4,
        "",
        NO_OVERLAY,
        "Address of the IP-in-IP interface."
    ),
    ignored!(
        "VXLANEnabled",
        Overlay,
        Bool,
        "",
        NO_OVERLAY,
        "Tunnels traffic between hosts in VXLAN."
    ),
    ignored!(
        "VXLANPort",
        Overlay,
        AnyInt,
        "4789",
        NO_OVERLAY,
        "UDP port of VXLAN."
    ),
    ignored!(
        "VXLANVNI",
        Overlay,
        AnyInt,
        "4096",
        NO_OVERLAY,
        "Network number of VXLAN."
    ),
    ignored!(
        "VXLANMTU",
        Overlay,
        AnyInt,
        "0",
        NO_OVERLAY,
        "Packet size of the IPv4 VXLAN interface."
    ),
    ignored!(
        "VXLANMTUV6",
        Overlay,
        AnyInt,
        "0",
        NO_OVERLAY,
        "Packet size of the IPv6 VXLAN interface."
    ),
    ignored!(
        "IPv4VXLANTunnelAddr",
        Overlay,
        Ipv4,
        "",
        NO_OVERLAY,
        "IPv4 address of the VXLAN interface."
    ),
    ignored!(
        "IPv6VXLANTunnelAddr",
        Overlay,
        Ipv6,
        "",
        NO_OVERLAY,
        "IPv6 address of the VXLAN interface."
    ),
    ignored!(
        "VXLANTunnelMACAddr",
        Overlay,
        Text,
        "",
        NO_OVERLAY,
        "Hardware address of the IPv4 VXLAN interface."
    ),
    ignored!(
        "VXLANTunnelMACAddrV6",
        Overlay,
        Text,
        "",
        NO_OVERLAY,
        "Hardware address of the IPv6 VXLAN interface."
    ),
    ignored!(
        "MTUIfacePattern",
        Overlay,
        Text,
        "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)",
        NO_OVERLAY,
        "Interfaces whose packet size is looked at."
    ),
    ignored!(
        "RequireMTUFile",
        Overlay,
        Bool,
        "false",
        NO_OVERLAY,
        "Waits for the file with the packet size."
    ),
    ignored!(
        "ProgramClusterRoutes",
        Overlay,
        Text,
        "EnabledIPIPOnly",
        NO_OVERLAY,
        "Programs routes between hosts."
    ),
    ignored!(
        "WireguardEnabled",
        Wireguard,
        Bool,
        "false",
        NO_OVERLAY,
        "Encrypts IPv4 traffic between hosts."
    ),
    ignored!(
        "WireguardEnabledV6",
        Wireguard,
        Bool,
        "false",
        NO_OVERLAY,
        "Encrypts IPv6 traffic between hosts."
    ),
    ignored!(
        "WireguardListeningPort",
        Wireguard,
        AnyInt,
        "51820",
        NO_OVERLAY,
        "UDP port for IPv4."
    ),
    ignored!(
        "WireguardListeningPortV6",
        Wireguard,
        AnyInt,
        "51821",
        NO_OVERLAY,
        "UDP port for IPv6."
    ),
    ignored!(
        "WireguardRoutingRulePriority",
        Wireguard,
        AnyInt,
        "99",
        NO_OVERLAY,
        "Priority of the routing rule."
    ),
    ignored!(
        "WireguardInterfaceName",
        Wireguard,
        InterfaceParam,
        "wireguard.cali",
        NO_OVERLAY,
        "Name of the IPv4 interface."
    ),
    ignored!(
        "WireguardInterfaceNameV6",
        Wireguard,
        InterfaceParam,
        "wg-v6.cali",
        NO_OVERLAY,
        "Name of the IPv6 interface."
    ),
    ignored!(
        "WireguardMTU",
        Wireguard,
        AnyInt,
        "0",
        NO_OVERLAY,
        "Packet size of the IPv4 interface."
    ),
    ignored!(
        "WireguardMTUV6",
        Wireguard,
        AnyInt,
        "0",
        NO_OVERLAY,
        "Packet size of the IPv6 interface."
    ),
    ignored!(
        "WireguardHostEncryptionEnabled",
        Wireguard,
        Bool,
        "false",
        NO_OVERLAY,
        "Encrypts traffic of the hosts themselves."
    ),
    ignored!(
        "WireguardPersistentKeepAlive",
        Wireguard,
        Seconds,
        "0",
        NO_OVERLAY,
        "Time between two keepalives."
    ),
    ignored!(
        "WireguardThreadingEnabled",
        Wireguard,
        Bool,
        "false",
        NO_OVERLAY,
        "Uses threads for decryption."
    ),
    ignored!(
        "PrometheusWireGuardMetricsEnabled",
        Wireguard,
        Bool,
        "true",
        NO_OVERLAY,
        "Serves metrics of WireGuard."
    ),
    ignored!(
        "TyphaAddr",
        Kubernetes,
        Authority,
        "",
        NO_KUBERNETES,
        "Address of Typha."
    ),
    ignored!(
        "TyphaK8sServiceName",
        Kubernetes,
        Text,
        "",
        NO_KUBERNETES,
        "Service that names Typha."
    ),
    ignored!(
        "TyphaK8sNamespace",
        Kubernetes,
        Text,
        "kube-system",
        NO_KUBERNETES,
        "Namespace of that service."
    ),
    ignored!(
        "TyphaReadTimeout",
        Kubernetes,
        Seconds,
        "30",
        NO_KUBERNETES,
        "Time to wait for Typha."
    ),
    ignored!(
        "TyphaWriteTimeout",
        Kubernetes,
        Seconds,
        "10",
        NO_KUBERNETES,
        "Time to wait until Typha reads."
    ),
    ignored!(
        "TyphaKeyFile",
        Kubernetes,
        FilePath,
        "",
        NO_KUBERNETES,
        "Private key towards Typha."
    ),
    ignored!(
        "TyphaCertFile",
        Kubernetes,
        FilePath,
        "",
        NO_KUBERNETES,
        "Certificate towards Typha."
    ),
    ignored!(
        "TyphaCAFile",
        Kubernetes,
        FilePath,
        "",
        NO_KUBERNETES,
        "Authorities that may sign Typha's certificate."
    ),
    ignored!(
        "TyphaCN",
        Kubernetes,
        Text,
        "",
        NO_KUBERNETES,
        "Common name of Typha's certificate."
    ),
    ignored!(
        "TyphaURISAN",
        Kubernetes,
        Text,
        "",
        NO_KUBERNETES,
        "URI of Typha's certificate."
    ),
    ignored!(
        "KubeNodePortRanges",
        Kubernetes,
        Text,
        "30000:32767",
        NO_KUBERNETES,
        "Port ranges of node port services."
    ),
    ignored!(
        "AWSSrcDstCheck",
        Kubernetes,
        Text,
        "DoNothing",
        NO_KUBERNETES,
        "Sets the address check of AWS interfaces."
    ),
    ignored!(
        "WindowsManageFirewallRules",
        Kubernetes,
        Text,
        "Disabled",
        NO_KUBERNETES,
        "Programs the firewall of Windows."
    ),
    ignored!(
        "PolicySyncPathPrefix",
        Kubernetes,
        FilePath,
        "",
        NO_KUBERNETES,
        "Directory of the policy sync sockets."
    ),
    ignored!(
        "IstioAmbientMode",
        Kubernetes,
        Text,
        "Disabled",
        NO_KUBERNETES,
        "Cooperates with Istio's ambient mode."
    ),
    ignored!(
        "IstioDSCPMark",
        Kubernetes,
        Text,
        "23",
        NO_KUBERNETES,
        "Mark of Istio's packets."
    ),
    ignored!(
        "LocalSubnetL2Reachability",
        Kubernetes,
        Text,
        "Disabled",
        NO_KUBERNETES,
        "Answers for workloads on the host's own subnet."
    ),
    ignored!(
        "LocalSubnetL2ReachabilityRefreshInterval",
        Kubernetes,
        Seconds,
        "120",
        NO_KUBERNETES,
        "Time between two refreshes of that."
    ),
    ignored!(
        "LiveMigrationRouteConvergenceTime",
        Kubernetes,
        Seconds,
        "30",
        NO_KUBERNETES,
        "Time that routes need after a live migration."
    ),
    ignored!(
        "IptablesBackend",
        Iptables,
        Text,
        "auto",
        NO_IPTABLES,
        "Which iptables is used."
    ),
    ignored!(
        "IptablesPostWriteCheckIntervalSecs",
        Iptables,
        Seconds,
        "5",
        NO_IPTABLES,
        "Time after a write until it is checked."
    ),
    ignored!(
        "IptablesLockProbeIntervalMillis",
        Iptables,
        Millis,
        "50",
        NO_IPTABLES,
        "Time between two tries for the lock of iptables."
    ),
    ignored!(
        "IptablesLockFilePath",
        Iptables,
        FilePath,
        "/run/xtables.lock",
        NO_IPTABLES,
        "Lock file of iptables."
    ),
    ignored!(
        "IptablesLockTimeoutSecs",
        Iptables,
        Seconds,
        "0",
        NO_IPTABLES,
        "Time to wait for the lock of iptables."
    ),
    ignored!(
        "FeatureDetectOverride",
        Iptables,
        Text,
        "",
        NO_IPTABLES,
        "Features of the kernel that are taken as given."
    ),
    ignored!(
        "FeatureGates",
        Iptables,
        Text,
        "",
        NO_IPTABLES,
        "Unfinished features that are turned on."
    ),
    ignored!(
        "NFTablesFlowTableOffload",
        Iptables,
        Text,
        "Disabled",
        NO_IPTABLES,
        "Lets established connections bypass the rules."
    ),
    ignored!(
        "NFTablesFlowTableDataIfacePattern",
        Iptables,
        Text,
        "",
        NO_IPTABLES,
        "Interfaces that may do so."
    ),
    ignored!(
        "RouteSource",
        Routing,
        Text,
        "CalicoIPAM",
        NO_ROUTING,
        "Where routes to other hosts come from."
    ),
    ignored!(
        "RouteTableRange",
        Routing,
        Text,
        "",
        NO_ROUTING,
        "Routing tables that may be used."
    ),
    ignored!(
        "RouteTableRanges",
        Routing,
        Text,
        "",
        NO_ROUTING,
        "Routing tables that may be used."
    ),
    ignored!(
        "RouteSyncDisabled",
        Routing,
        Bool,
        "false",
        NO_ROUTING,
        "Programs no routes at all."
    ),
    ignored!(
        "IPv4NormalRoutePriority",
        Routing,
        AnyInt,
        "1024",
        NO_ROUTING,
        "Priority of IPv4 routes."
    ),
    ignored!(
        "IPv6NormalRoutePriority",
        Routing,
        AnyInt,
        "1024",
        NO_ROUTING,
        "Priority of IPv6 routes."
    ),
    ignored!(
        "IPv4ElevatedRoutePriority",
        Routing,
        AnyInt,
        "512",
        NO_ROUTING,
        "Priority of preferred IPv4 routes."
    ),
    ignored!(
        "IPv6ElevatedRoutePriority",
        Routing,
        AnyInt,
        "512",
        NO_ROUTING,
        "Priority of preferred IPv6 routes."
    ),
    ignored!(
        "FlowLogsFlushInterval",
        FlowLogs,
        Seconds,
        "300",
        NO_FLOW_LOGS,
        "Time between two writes of flow logs."
    ),
    ignored!(
        "FlowLogsCollectorDebugTrace",
        FlowLogs,
        Bool,
        "false",
        NO_FLOW_LOGS,
        "Logs the collector's work."
    ),
    ignored!(
        "FlowLogsGoldmaneServer",
        FlowLogs,
        Text,
        "",
        NO_FLOW_LOGS,
        "Server that takes flow logs."
    ),
    ignored!(
        "FlowLogsLocalReporter",
        FlowLogs,
        Text,
        "Disabled",
        NO_FLOW_LOGS,
        "Serves flow logs on a local socket."
    ),
    ignored!(
        "FlowLogsPolicyEvaluationMode",
        FlowLogs,
        Text,
        "Continuous",
        NO_FLOW_LOGS,
        "When the policies of a flow are judged anew."
    ),
    ignored!(
        "StartupCleanupDelay",
        Old,
        Seconds,
        "30",
        OLD,
        "Time after the start until what is unknown is removed."
    ),
    ignored!(
        "PeriodicResyncInterval",
        Old,
        Seconds,
        "3600",
        OLD,
        "Time between two full reads of the datastore."
    ),
    ignored!(
        "HostInterfacePollInterval",
        Old,
        Seconds,
        "10",
        OLD,
        "Time between two listings of interfaces."
    ),
    ignored!(
        "DropActionOverride",
        Old,
        Text,
        "DROP",
        OLD,
        "What happens to denied packets."
    ),
    ignored!(
        "EtcdDriverPrometheusMetricsPort",
        Old,
        AnyInt,
        "9092",
        OLD,
        "Port of the datastore driver's metrics."
    ),
    ignored!(
        "EtcdDriverLogFilePath",
        Old,
        FilePath,
        "/var/log/calico/felix-etcd.log",
        OLD,
        "Log file of the datastore driver."
    ),
    ignored!(
        "IptablesGeneratorPlugin",
        Old,
        Text,
        "default",
        OLD,
        "Plugin that writes iptables rules."
    ),
];
