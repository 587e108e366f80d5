//! Rows of workload endpoints, their routes and address translation.

use super::Status::{Accepted, Works};
use super::{Row, table};
use crate::config::choices::{FloatingIps, NatExclusions, ServiceLoopPrevention, SourceSpoofing};
use crate::config::types::{
    Bool, CidrList, Hostname, Int, InterfaceParam, Interval, Ipv4, Ipv6, OneOf, Port, PortRange,
    Region,
};

table! {
    "WorkloadSourceSpoofing": OneOf<SourceSpoofing> = "Disabled", Workloads, NONE, Works,
        |c, v| c.workload.source_spoofing = v,
        "Whether a workload endpoint may ask to send from addresses that are not its own.";
    "AllowVXLANPacketsFromWorkloads": Bool = "false", Workloads, NONE, Works,
        |c, v| c.workload.allow_vxlan = v,
        "Lets workloads send VXLAN packets.";
    "VXLANPort": Port = "4789", Workloads, NONE, Works,
        |c, v| c.workload.vxlan_port = v,
        "UDP port of VXLAN, to which workloads may not send unless they are allowed to.";
    "AllowIPIPPacketsFromWorkloads": Bool = "false", Workloads, NONE, Works,
        |c, v| c.workload.allow_ipip = v,
        "Lets workloads send IP-in-IP packets.";
    "ServiceLoopPrevention": OneOf<ServiceLoopPrevention> =
        "Drop",
        Workloads, NONE, Accepted("there are no Kubernetes services to protect"),
        |c, v| c.workload.service_loop_prevention = v,
        "What happens to packets for a service address that nobody answers.";
    "MetadataAddr": Hostname = "127.0.0.1", Workloads, DIE, Works,
        |c, v| c.workload.metadata_addr = Some(v).filter(|v| !v.is_empty()),
        "IPv4 address of the OpenStack metadata service, which workloads may always reach; `none` is \
         none, and so is the name of a host, which is not looked up. Another value than the \
         default turns on the rules for OpenStack.";
    "MetadataPort": Port = "8775", Workloads, DIE, Works,
        |c, v| c.workload.metadata_port = v,
        "Port of the OpenStack metadata service.";
    "OpenstackRegion": Region = "", Workloads, DIE, Works,
        |c, v| c.workload.openstack_region = v,
        "Region that the keys of reported statuses carry.";
    "RouteRefreshInterval": Interval = "90", Workloads, NONE, Works,
        |c, v| c.route.refresh_interval = v,
        "Time between two comparisons of routes, neighbours and the settings of workloads' interfaces with \
         the kernel's, and two looks at whether the host forwards (`IPForwarding`).";
    "RemoveExternalRoutes": Bool = "true", Workloads, NONE, Works,
        |c, v| c.route.remove_external = v,
        "Removes routes to workload interfaces that other programs have made.";
    "DeviceRouteProtocol": Int<0, 255> = "3", Workloads, NONE, Works,
        |c, v| c.route.protocol = u8::try_from(v).map_err(|error| error.to_string())?,
        "Number that marks routes as ours.";
    "DeviceRouteSourceAddress": Ipv4 = "", Workloads, NONE, Works,
        |c, v| c.route.source_v4 = v,
        "Preferred source address of IPv4 routes to workloads.";
    "DeviceRouteSourceAddressIPv6": Ipv6 = "", Workloads, NONE, Works,
        |c, v| c.route.source_v6 = v,
        "Preferred source address of IPv6 routes to workloads.";
    "IPv4NormalRoutePriority": Int<1, 2_147_483_646> = "1024", Workloads, NONE, Works,
        |c, v| c.route.priority_v4 = u32::try_from(v).map_err(|error| error.to_string())?,
        "Priority of IPv4 routes to workloads; that of BGPConfiguration has to be the same.";
    "IPv6NormalRoutePriority": Int<1, 2_147_483_646> = "1024", Workloads, NONE, Works,
        |c, v| c.route.priority_v6 = u32::try_from(v).map_err(|error| error.to_string())?,
        "Priority of IPv6 routes to workloads; that of BGPConfiguration has to be the same.";
    "NATPortRange": PortRange = "", Nat, NONE, Works,
        |c, v| c.nat.port_range = v,
        "Ports that masqueraded connections are given; by default the kernel chooses.";
    "NATOutgoingAddress": Ipv4 = "", Nat, NONE, Works,
        |c, v| c.nat.outgoing_address = v,
        "Source address of translated connections; by default that of the interface.";
    "NATOutgoingExclusions": OneOf<NatExclusions> = "IPPoolsOnly", Nat, NONE, Works,
        |c, v| c.nat.outgoing_exclusions = v,
        "Destinations that are reached untranslated.";
    "IptablesNATOutgoingInterfaceFilter": InterfaceParam = "", Nat, NONE, Works,
        |c, v| c.nat.outgoing_interface = v,
        "Interface that translation is limited to; a `+` at the end stands for any rest.";
    "FloatingIPs": OneOf<FloatingIps> = "Disabled", Nat, NONE, Works,
        |c, v| c.nat.floating_ips = v,
        "Programs one-to-one translation for every workload endpoint; for those of OpenStack it always \
         is.";
    "ExternalNodesCIDRList": CidrList =
        "",
        Nat, NONE, Accepted("there are no tunnels between hosts"),
        |c, v| c.nat.external_nodes = v,
        "Hosts outside the cluster that may tunnel into it.";
}
