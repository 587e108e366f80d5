//! Rows of the eBPF data plane, which has no place beside nftables.

use super::{Row, ignored};
use crate::config::types::{AnyInt, Bool, CidrList, FilePath, PortRange, Seconds, Text};

ignored! {
    Bpf, "rules are nftables, not eBPF":
        "XDPEnabled": Bool = "true", "Drops early with XDP.";
        "GenericXDPEnabled": Bool = "false", "Uses XDP without the driver's help.";
        "XDPRefreshInterval": Seconds = "90", "Time between two comparisons of XDP state.";
        "SidecarAccelerationEnabled": Bool = "false", "Joins local sockets.";
        "CgroupV2Path": FilePath = "", "Where the control groups are mounted.";
        "DebugBPFCgroupV2": Text = "", "Control group of the connect-time load balancer.";
        "BPFEnabled": Bool = "false", "Uses the eBPF data plane.";
        "BPFOverlayHostSourceIP": Text = "", "Source address of the host in an overlay.";
        "BPFDisableUnprivileged": Bool = "true", "Forbids eBPF to ordinary users.";
        "BPFJITHardening": Text = "Auto", "Hardening of compiled programs.";
        "BPFLogLevel": Text = "off", "Level of the programs' log.";
        "BPFConntrackLogLevel": Text = "off", "Level of the connection tracker's log.";
        "BPFConntrackCleanupMode": Text = "Auto", "Who removes old connections.";
        "BPFConntrackTimeouts": Text = "", "Lives of connections.";
        "BPFIPFragTimeout": Seconds = "0", "Life of a fragment.";
        "BPFLogFilters": Text = "", "Packets that are logged.";
        "BPFCTLBLogFilter": Text = "",
            "Messages of the connect-time load balancer that are logged.";
        "BPFDataIfacePattern": Text = "^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)",
            "Interfaces that programs are attached to.";
        "BPFL3IfacePattern": Text = "", "Interfaces without a link layer.";
        "BPFConnectTimeLoadBalancingEnabled": Bool = "",
            "Balances services when a socket connects.";
        "BPFConnectTimeLoadBalancing": Text = "TCP", "Protocols that are balanced then.";
        "BPFHostNetworkedNATWithoutCTLB": Text = "Enabled",
            "Balances the host's own connections in packets.";
        "BPFExternalServiceMode": Text = "tunnel", "How packets for services reach another host.";
        "BPFDSROptoutCIDRs": CidrList = "", "Clients that are not answered directly.";
        "BPFKubeProxyIptablesCleanupEnabled": Bool = "true", "Removes the rules of kube-proxy.";
        "BPFKubeProxyMinSyncPeriod": Seconds = "1", "Least time between two updates of services.";
        "BPFKubeProxyHealthzPort": AnyInt = "10256", "Port of the service proxy's health server.";
        "BPFExtToServiceConnmark": AnyInt = "0", "Mark of connections to services.";
        "BPFPSNATPorts": PortRange = "20000:29999", "Source ports of translated connections.";
        "BPFMapSizeNATFrontend": AnyInt = "65536", "Room for service addresses.";
        "BPFMapSizeNATBackend": AnyInt = "262144", "Room for service backends.";
        "BPFMapSizeNATAffinity": AnyInt = "65536", "Room for session affinity.";
        "BPFMapSizeRoute": AnyInt = "262144", "Room for routes.";
        "BPFMapSizeConntrack": AnyInt = "512000", "Room for connections.";
        "BPFMapSizePerCPUConntrack": AnyInt = "0", "Room for connections of each processor.";
        "BPFMapSizeConntrackScaling": Text = "DoubleIfFull", "How that room grows.";
        "BPFMapSizeConntrackCleanupQueue": AnyInt = "100000", "Room for connections to be removed.";
        "BPFMapSizeIPSets": AnyInt = "1048576", "Room for members of sets.";
        "BPFMapSizeIfState": AnyInt = "1000", "Room for interfaces.";
        "BPFHostConntrackBypass": Bool = "false", "Bypasses the kernel's connection tracking.";
        "BPFIPFragmentReassemblyEnabled": Bool = "true", "Reassembles fragments.";
        "BPFEnforceRPF": Text = "Loose", "How reverse paths are checked.";
        "BPFPolicyDebugEnabled": Bool = "true", "Keeps what shows policy programs.";
        "BPFForceTrackPacketsFromIfaces": Text = "docker+",
            "Interfaces whose packets the kernel tracks.";
        "BPFDisableGROForIfaces": Text = "", "Interfaces whose receive offload is turned off.";
        "BPFExcludeCIDRsFromNAT": CidrList = "", "Services that are left to others.";
        "BPFRedirectToPeer": Text = "Enabled", "Hands packets straight to a workload.";
        "BPFAttachType": Text = "Netkit", "How programs are attached.";
        "BPFExportBufferSizeMB": AnyInt = "1", "Room for events.";
        "BPFProfiling": Text = "Disabled", "Measures the programs.";
        "BPFMaglevMaxEndpointsPerService": AnyInt = "100",
            "Backends of a consistently hashed service.";
        "BPFMaglevMaxServices": AnyInt = "100", "Number of consistently hashed services.";
}
