//! Rows of the eBPF data plane, which has no place beside nftables.

use super::{Row, ignored};
use crate::config::types::{AnyInt, Bool, CidrList, FilePath, PortRange, Seconds, Text};

const NO_BPF: &str = "rules are nftables, not eBPF";

pub(super) static ROWS: &[Row] = &[
    ignored!(
        "XDPEnabled",
        Bpf,
        Bool,
        "true",
        NO_BPF,
        "Drops early with XDP."
    ),
    ignored!(
        "GenericXDPEnabled",
        Bpf,
        Bool,
        "false",
        NO_BPF,
        "Uses XDP without the driver's help."
    ),
    ignored!(
        "XDPRefreshInterval",
        Bpf,
        Seconds,
        "90",
        NO_BPF,
        "Time between two comparisons of XDP state."
    ),
    ignored!(
        "SidecarAccelerationEnabled",
        Bpf,
        Bool,
        "false",
        NO_BPF,
        "Joins local sockets."
    ),
    ignored!(
        "CgroupV2Path",
        Bpf,
        FilePath,
        "",
        NO_BPF,
        "Where the control groups are mounted."
    ),
    ignored!(
        "DebugBPFCgroupV2",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Control group of the connect-time load balancer."
    ),
    ignored!(
        "BPFEnabled",
        Bpf,
        Bool,
        "false",
        NO_BPF,
        "Uses the eBPF data plane."
    ),
    ignored!(
        "BPFOverlayHostSourceIP",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Source address of the host in an overlay."
    ),
    ignored!(
        "BPFDisableUnprivileged",
        Bpf,
        Bool,
        "true",
        NO_BPF,
        "Forbids eBPF to ordinary users."
    ),
    ignored!(
        "BPFJITHardening",
        Bpf,
        Text,
        "Auto",
        NO_BPF,
        "Hardening of compiled programs."
    ),
    ignored!(
        "BPFLogLevel",
        Bpf,
        Text,
        "off",
        NO_BPF,
        "Level of the programs' log."
    ),
    ignored!(
        "BPFConntrackLogLevel",
        Bpf,
        Text,
        "off",
        NO_BPF,
        "Level of the connection tracker's log."
    ),
    ignored!(
        "BPFConntrackCleanupMode",
        Bpf,
        Text,
        "Auto",
        NO_BPF,
        "Who removes old connections."
    ),
    ignored!(
        "BPFConntrackTimeouts",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Lives of connections."
    ),
    ignored!(
        "BPFIPFragTimeout",
        Bpf,
        Seconds,
        "0",
        NO_BPF,
        "Life of a fragment."
    ),
    ignored!(
        "BPFLogFilters",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Packets that are logged."
    ),
    ignored!(
        "BPFCTLBLogFilter",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Messages of the connect-time load balancer that are logged."
    ),
    ignored!(
        "BPFDataIfacePattern",
        Bpf,
        Text,
        "^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)",
        NO_BPF,
        "Interfaces that programs are attached to."
    ),
    ignored!(
        "BPFL3IfacePattern",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Interfaces without a link layer."
    ),
    ignored!(
        "BPFConnectTimeLoadBalancingEnabled",
        Bpf,
        Bool,
        "",
        NO_BPF,
        "Balances services when a socket connects."
    ),
    ignored!(
        "BPFConnectTimeLoadBalancing",
        Bpf,
        Text,
        "TCP",
        NO_BPF,
        "Protocols that are balanced then."
    ),
    ignored!(
        "BPFHostNetworkedNATWithoutCTLB",
        Bpf,
        Text,
        "Enabled",
        NO_BPF,
        "Balances the host's own connections in packets."
    ),
    ignored!(
        "BPFExternalServiceMode",
        Bpf,
        Text,
        "tunnel",
        NO_BPF,
        "How packets for services reach another host."
    ),
    ignored!(
        "BPFDSROptoutCIDRs",
        Bpf,
        CidrList,
        "",
        NO_BPF,
        "Clients that are not answered directly."
    ),
    ignored!(
        "BPFKubeProxyIptablesCleanupEnabled",
        Bpf,
        Bool,
        "true",
        NO_BPF,
        "Removes the rules of kube-proxy."
    ),
    ignored!(
        "BPFKubeProxyMinSyncPeriod",
        Bpf,
        Seconds,
        "1",
        NO_BPF,
        "Least time between two updates of services."
    ),
    ignored!(
        "BPFKubeProxyHealthzPort",
        Bpf,
        AnyInt,
        "10256",
        NO_BPF,
        "Port of the service proxy's health server."
    ),
    ignored!(
        "BPFExtToServiceConnmark",
        Bpf,
        AnyInt,
        "0",
        NO_BPF,
        "Mark of connections to services."
    ),
    ignored!(
        "BPFPSNATPorts",
        Bpf,
        PortRange,
        "20000:29999",
        NO_BPF,
        "Source ports of translated connections."
    ),
    ignored!(
        "BPFMapSizeNATFrontend",
        Bpf,
        AnyInt,
        "65536",
        NO_BPF,
        "Room for service addresses."
    ),
    ignored!(
        "BPFMapSizeNATBackend",
        Bpf,
        AnyInt,
        "262144",
        NO_BPF,
        "Room for service backends."
    ),
    ignored!(
        "BPFMapSizeNATAffinity",
        Bpf,
        AnyInt,
        "65536",
        NO_BPF,
        "Room for session affinity."
    ),
    ignored!(
        "BPFMapSizeRoute",
        Bpf,
        AnyInt,
        "262144",
        NO_BPF,
        "Room for routes."
    ),
    ignored!(
        "BPFMapSizeConntrack",
        Bpf,
        AnyInt,
        "512000",
        NO_BPF,
        "Room for connections."
    ),
    ignored!(
        "BPFMapSizePerCPUConntrack",
        Bpf,
        AnyInt,
        "0",
        NO_BPF,
        "Room for connections of each processor."
    ),
    ignored!(
        "BPFMapSizeConntrackScaling",
        Bpf,
        Text,
        "DoubleIfFull",
        NO_BPF,
        "How that room grows."
    ),
    ignored!(
        "BPFMapSizeConntrackCleanupQueue",
        Bpf,
        AnyInt,
        "100000",
        NO_BPF,
        "Room for connections to be removed."
    ),
    ignored!(
        "BPFMapSizeIPSets",
        Bpf,
        AnyInt,
        "1048576",
        NO_BPF,
        "Room for members of sets."
    ),
    ignored!(
        "BPFMapSizeIfState",
        Bpf,
        AnyInt,
        "1000",
        NO_BPF,
        "Room for interfaces."
    ),
    ignored!(
        "BPFHostConntrackBypass",
        Bpf,
        Bool,
        "false",
        NO_BPF,
        "Bypasses the kernel's connection tracking."
    ),
    ignored!(
        "BPFIPFragmentReassemblyEnabled",
        Bpf,
        Bool,
        "true",
        NO_BPF,
        "Reassembles fragments."
    ),
    ignored!(
        "BPFEnforceRPF",
        Bpf,
        Text,
        "Loose",
        NO_BPF,
        "How reverse paths are checked."
    ),
    ignored!(
        "BPFPolicyDebugEnabled",
        Bpf,
        Bool,
        "true",
        NO_BPF,
        "Keeps what shows policy programs."
    ),
    ignored!(
        "BPFForceTrackPacketsFromIfaces",
        Bpf,
        Text,
        "docker+",
        NO_BPF,
        "Interfaces whose packets the kernel tracks."
    ),
    ignored!(
        "BPFDisableGROForIfaces",
        Bpf,
        Text,
        "",
        NO_BPF,
        "Interfaces whose receive offload is turned off."
    ),
    ignored!(
        "BPFExcludeCIDRsFromNAT",
        Bpf,
        CidrList,
        "",
        NO_BPF,
        "Services that are left to others."
    ),
    ignored!(
        "BPFRedirectToPeer",
        Bpf,
        Text,
        "Enabled",
        NO_BPF,
        "Hands packets straight to a workload."
    ),
    ignored!(
        "BPFAttachType",
        Bpf,
        Text,
        "Netkit",
        NO_BPF,
        "How programs are attached."
    ),
    ignored!(
        "BPFExportBufferSizeMB",
        Bpf,
        AnyInt,
        "1",
        NO_BPF,
        "Room for events."
    ),
    ignored!(
        "BPFProfiling",
        Bpf,
        Text,
        "Disabled",
        NO_BPF,
        "Measures the programs."
    ),
    ignored!(
        "BPFMaglevMaxEndpointsPerService",
        Bpf,
        AnyInt,
        "100",
        NO_BPF,
        "Backends of a consistently hashed service."
    ),
    ignored!(
        "BPFMaglevMaxServices",
        Bpf,
        AnyInt,
        "100",
        NO_BPF,
        "Number of consistently hashed services."
    ),
];
