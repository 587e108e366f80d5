//! Rows of options that have no effect here, most of them for what Felix does and tortie does not.

use super::{Row, ignored};
use crate::config::choices::LogLevel;
use crate::config::types::{
    AnyInt, Authority, Bool, FilePath, InterfaceParam, Ipv4, Ipv6, Millis, OneOf, Seconds, Text,
};

ignored! {
    Logs, "configuration is read before the first line is logged":
        "EarlyLogSeverityScreen": OneOf<LogLevel> = "ERROR",
            "Level of what Felix logs before it has read its configuration.";
    Logs, "it names source files of Felix":
        "LogDebugFilenameRegex": Text = "", "Source files whose debug messages are logged.";
    Kernel, "sets of nftables grow as they need":
        "MaxIpsetSize": AnyInt = "1048576", "Largest number of members of a set.";
    Workloads, "the reverse path of workloads is checked by a rule, not by a kernel setting":
        "IgnoreLooseRPF": Bool = "false",
            "Starts although the kernel checks reverse paths loosely (Felix 2.2).";
    Servers, "there is no Go runtime":
        "PrometheusGoMetricsEnabled": Bool = "true", "Serves metrics of the Go runtime.";
    Cluster, "there is one variant":
        "Variant": Text = "Calico",
            "Variant of Calico; another one than `Calico` makes Felix passive.";
    Cluster, "tortie reports nothing to anyone":
        "UsageReportingEnabled": Bool = "true", "Reports the use of Calico to its makers.";
        "UsageReportingInitialDelaySecs": Seconds = "300", "Time before the first such report.";
        "UsageReportingIntervalSecs": Seconds = "86400", "Time between two such reports.";
    Cluster, "there is one data plane, nftables over netlink":
        "UseInternalDataplaneDriver": Bool = "true", "Uses Felix's own data plane.";
        "DataplaneDriver": Text = "calico-iptables-plugin",
            "Program that drives an external data plane.";
        "NFTablesMode": Text = "Auto", "Whether Felix uses nftables or iptables.";
    Diagnostics, "it makes Felix fail on purpose, for its tests":
        "DebugSimulateCalcGraphHangAfter": Seconds = "0", "Time until the calculation hangs.";
        "DebugSimulateDataplaneHangAfter": Seconds = "0", "Time until the data plane hangs.";
        "DebugSimulateDataplaneApplyDelay": Seconds = "0",
            "Time added to each change of the data plane.";
        "DebugPanicAfter": Seconds = "0", "Time until a crash.";
        "DebugSimulateDataRace": Bool = "false", "Makes threads race for data.";
    Diagnostics, "there is no Go runtime":
        "GoGCThreshold": AnyInt = "40", "When garbage is collected.";
        "GoMemoryLimitMB": AnyInt = "-1", "Limit of memory.";
        "GoMaxProcs": AnyInt = "-1", "Number of processors used.";
    Overlay, "hosts are not joined by tunnels":
        "IpInIpEnabled": Bool = "", "Tunnels traffic between hosts in IP-in-IP.";
        "IpInIpMtu": AnyInt = "0", "Packet size of the IP-in-IP interface.";
        "IpInIpTunnelAddr": Ipv4 = "", "Address of the IP-in-IP interface.";
        "VXLANEnabled": Bool = "", "Tunnels traffic between hosts in VXLAN.";
        "VXLANVNI": AnyInt = "4096", "Network number of VXLAN.";
        "VXLANMTU": AnyInt = "0", "Packet size of the IPv4 VXLAN interface.";
        "VXLANMTUV6": AnyInt = "0", "Packet size of the IPv6 VXLAN interface.";
        "IPv4VXLANTunnelAddr": Ipv4 = "", "IPv4 address of the VXLAN interface.";
        "IPv6VXLANTunnelAddr": Ipv6 = "", "IPv6 address of the VXLAN interface.";
        "VXLANTunnelMACAddr": Text = "", "Hardware address of the IPv4 VXLAN interface.";
        "VXLANTunnelMACAddrV6": Text = "", "Hardware address of the IPv6 VXLAN interface.";
        "MTUIfacePattern": Text = "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)",
            "Interfaces whose packet size is looked at.";
        "RequireMTUFile": Bool = "false", "Waits for the file with the packet size.";
        "ProgramClusterRoutes": Text = "EnabledIPIPOnly", "Programs routes between hosts.";
    Wireguard, "hosts are not joined by tunnels":
        "WireguardEnabled": Bool = "false", "Encrypts IPv4 traffic between hosts.";
        "WireguardEnabledV6": Bool = "false", "Encrypts IPv6 traffic between hosts.";
        "WireguardListeningPort": AnyInt = "51820", "UDP port for IPv4.";
        "WireguardListeningPortV6": AnyInt = "51821", "UDP port for IPv6.";
        "WireguardRoutingRulePriority": AnyInt = "99", "Priority of the routing rule.";
        "WireguardInterfaceName": InterfaceParam = "wireguard.cali", "Name of the IPv4 interface.";
        "WireguardInterfaceNameV6": InterfaceParam = "wg-v6.cali", "Name of the IPv6 interface.";
        "WireguardMTU": AnyInt = "0", "Packet size of the IPv4 interface.";
        "WireguardMTUV6": AnyInt = "0", "Packet size of the IPv6 interface.";
        "WireguardHostEncryptionEnabled": Bool = "false",
            "Encrypts traffic of the hosts themselves.";
        "WireguardPersistentKeepAlive": Seconds = "0", "Time between two keepalives.";
        "WireguardThreadingEnabled": Bool = "false", "Uses threads for decryption.";
        "PrometheusWireGuardMetricsEnabled": Bool = "true", "Serves metrics of WireGuard.";
    Kubernetes, "tortie serves hosts outside Kubernetes":
        "TyphaAddr": Authority = "", "Address of Typha.";
        "TyphaK8sServiceName": Text = "", "Service that names Typha.";
        "TyphaK8sNamespace": Text = "kube-system", "Namespace of that service.";
        "TyphaReadTimeout": Seconds = "30", "Time to wait for Typha.";
        "TyphaWriteTimeout": Seconds = "10", "Time to wait until Typha reads.";
        "TyphaKeyFile": FilePath = "", "Private key towards Typha.";
        "TyphaCertFile": FilePath = "", "Certificate towards Typha.";
        "TyphaCAFile": FilePath = "", "Authorities that may sign Typha's certificate.";
        "TyphaCN": Text = "", "Common name of Typha's certificate.";
        "TyphaURISAN": Text = "", "URI of Typha's certificate.";
        "KubeNodePortRanges": Text = "30000:32767", "Port ranges of node port services.";
        "AWSSrcDstCheck": Text = "DoNothing", "Sets the address check of AWS interfaces.";
        "WindowsManageFirewallRules": Text = "Disabled", "Programs the firewall of Windows.";
        "PolicySyncPathPrefix": FilePath = "", "Directory of the policy sync sockets.";
        "IstioAmbientMode": Text = "Disabled", "Cooperates with Istio's ambient mode.";
        "IstioDSCPMark": Text = "23", "Mark of Istio's packets.";
        "LocalSubnetL2Reachability": Text = "Disabled",
            "Answers for workloads on the host's own subnet.";
        "LocalSubnetL2ReachabilityRefreshInterval": Seconds = "120",
            "Time between two refreshes of that.";
        "LiveMigrationRouteConvergenceTime": Seconds = "30",
            "Time that routes need after a live migration.";
    Iptables, "iptables is not used":
        "IptablesBackend": Text = "auto", "Which iptables is used.";
        "IptablesPostWriteCheckIntervalSecs": Seconds = "5",
            "Time after a write until it is checked.";
        "IptablesLockProbeIntervalMillis": Millis = "50",
            "Time between two tries for the lock of iptables.";
        "IptablesLockFilePath": FilePath = "/run/xtables.lock", "Lock file of iptables.";
        "IptablesLockTimeoutSecs": Seconds = "0", "Time to wait for the lock of iptables.";
        "FeatureDetectOverride": Text = "", "Features of the kernel that are taken as given.";
        "FeatureGates": Text = "", "Unfinished features that are turned on.";
        "NFTablesFlowTableOffload": Text = "Disabled",
            "Lets established connections bypass the rules.";
        "NFTablesFlowTableDataIfacePattern": Text = "", "Interfaces that may do so.";
    Routing, "routes between hosts are left to others":
        "RouteSource": Text = "CalicoIPAM", "Where routes to other hosts come from.";
        "RouteTableRange": Text = "", "Routing tables that may be used.";
        "RouteTableRanges": Text = "", "Routing tables that may be used.";
        "RouteSyncDisabled": Bool = "false", "Programs no routes at all.";
        "IPv4ElevatedRoutePriority": AnyInt = "512",
            "Priority of IPv4 routes to workloads that are moving between hosts.";
        "IPv6ElevatedRoutePriority": AnyInt = "512",
            "Priority of IPv6 routes to workloads that are moving between hosts.";
    FlowLogs, "there are no flow logs":
        "FlowLogsFlushInterval": Seconds = "300", "Time between two writes of flow logs.";
        "FlowLogsCollectorDebugTrace": Bool = "false", "Logs the collector's work.";
        "FlowLogsGoldmaneServer": Text = "", "Server that takes flow logs.";
        "FlowLogsLocalReporter": Text = "Disabled", "Serves flow logs on a local socket.";
        "FlowLogsPolicyEvaluationMode": Text = "Continuous",
            "When the policies of a flow are judged anew.";
    Old, "Felix after 1.4 does not know it either":
        "StartupCleanupDelay": Seconds = "30",
            "Time after the start until what is unknown is removed.";
        "PeriodicResyncInterval": Seconds = "3600", "Time between two full reads of the datastore.";
        "HostInterfacePollInterval": Seconds = "10", "Time between two listings of interfaces.";
        "DropActionOverride": Text = "DROP", "What happens to denied packets.";
        "EtcdDriverPrometheusMetricsPort": AnyInt = "9092",
            "Port of the datastore driver's metrics.";
        "EtcdDriverLogFilePath": FilePath = "/var/log/calico/felix-etcd.log",
            "Log file of the datastore driver.";
        "IptablesGeneratorPlugin": Text = "default", "Plugin that writes iptables rules.";
}
