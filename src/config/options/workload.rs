//! Rows of workload endpoints, their routes and address translation.

use super::Status::{Accepted, Planned};
use super::{Row, ignored, row};
use crate::config::choices::{FloatingIps, NatExclusions, ServiceLoopPrevention, SourceSpoofing};
use crate::config::types::{
    Bool, CidrList, Hostname, Int, InterfaceParam, Interval, Ipv4, Ipv6, OneOf, Port, PortRange,
    Region,
};

const NO_SERVICES: &str = "there are no Kubernetes services to protect";

pub(super) static ROWS: &[Row] = &[
    row!(
        "WorkloadSourceSpoofing",
        [],
        Workloads,
        OneOf<SourceSpoofing>,
        "Disabled",
        NONE,
        Planned,
        |c, v| c.workload.source_spoofing = v,
        "Whether a workload endpoint may ask to send from addresses that are not its own."
    ),
    row!(
        "AllowVXLANPacketsFromWorkloads",
        [],
        Workloads,
        Bool,
        "false",
        NONE,
        Planned,
        |c, v| c.workload.allow_vxlan = v,
        "Lets workloads send VXLAN packets."
    ),
    row!(
        "AllowIPIPPacketsFromWorkloads",
        [],
        Workloads,
        Bool,
        "false",
        NONE,
        Planned,
        |c, v| c.workload.allow_ipip = v,
        "Lets workloads send IP-in-IP packets."
    ),
    row!(
        "ServiceLoopPrevention",
        [],
        Workloads,
        OneOf<ServiceLoopPrevention>,
        "Drop",
        NONE,
        Accepted(NO_SERVICES),
        |c, v| c.workload.service_loop_prevention = v,
        "What happens to packets for a service address that nobody answers."
    ),
    row!(
        "MetadataAddr",
        [],
        Workloads,
        Hostname,
        "127.0.0.1",
        DIE,
        Planned,
        |c, v| c.workload.metadata_addr = Some(v).filter(|v| !v.is_empty()),
        "Host of the OpenStack metadata service, which workloads may always reach; `none` is none. \
         Another value than the default turns on the rules for OpenStack."
    ),
    row!(
        "MetadataPort",
        [],
        Workloads,
        Port,
        "8775",
        DIE,
        Planned,
        |c, v| c.workload.metadata_port = v,
        "Port of the OpenStack metadata service."
    ),
    row!(
        "OpenstackRegion",
        [],
        Workloads,
        Region,
        "",
        DIE,
        Planned,
        |c, v| c.workload.openstack_region = v,
        "Region that the keys of status reports carry."
    ),
    row!(
        "RouteRefreshInterval",
        [],
        Workloads,
        Interval,
        "90",
        NONE,
        Planned,
        |c, v| c.route.refresh_interval = v,
        "Time between two comparisons of routes with the kernel's."
    ),
    row!(
        "RemoveExternalRoutes",
        [],
        Workloads,
        Bool,
        "true",
        NONE,
        Planned,
        |c, v| c.route.remove_external = v,
        "Removes routes to workload interfaces that other programs have made."
    ),
    row!("DeviceRouteProtocol", [], Workloads, Int<0, 255>, "3", NONE, Planned,
        |c, v| c.route.protocol = u8::try_from(v).map_err(|error| error.to_string())?,
        "Number that marks routes as ours."),
    row!(
        "DeviceRouteSourceAddress",
        [],
        Workloads,
        Ipv4,
        "",
        NONE,
        Planned,
        |c, v| c.route.source_v4 = v,
        "Preferred source address of IPv4 routes to workloads."
    ),
    row!(
        "DeviceRouteSourceAddressIPv6",
        [],
        Workloads,
        Ipv6,
        "",
        NONE,
        Planned,
        |c, v| c.route.source_v6 = v,
        "Preferred source address of IPv6 routes to workloads."
    ),
    row!(
        "NATPortRange",
        [],
        Nat,
        PortRange,
        "",
        NONE,
        Planned,
        |c, v| c.nat.port_range = v,
        "Ports that masqueraded connections are given; by default the kernel chooses."
    ),
    row!(
        "NATOutgoingAddress",
        [],
        Nat,
        Ipv4,
        "",
        NONE,
        Planned,
        |c, v| c.nat.outgoing_address = v,
        "Source address of translated connections; by default that of the interface."
    ),
    row!(
        "NATOutgoingExclusions",
        [],
        Nat,
        OneOf<NatExclusions>,
        "IPPoolsOnly",
        NONE,
        Planned,
        |c, v| c.nat.outgoing_exclusions = v,
        "Destinations that are reached untranslated."
    ),
    row!(
        "IptablesNATOutgoingInterfaceFilter",
        [],
        Nat,
        InterfaceParam,
        "",
        NONE,
        Planned,
        |c, v| c.nat.outgoing_interface = v,
        "Interface that translation is limited to; a `+` at the end stands for any rest."
    ),
    row!(
        "FloatingIPs",
        [],
        Nat,
        OneOf<FloatingIps>,
        "Disabled",
        NONE,
        Planned,
        |c, v| c.nat.floating_ips = v,
        "Programs one-to-one translation for workload endpoints."
    ),
    row!(
        "ExternalNodesCIDRList",
        [],
        Nat,
        CidrList,
        "",
        NONE,
        Accepted("there are no tunnels between hosts"),
        |c, v| c.nat.external_nodes = v,
        "Hosts outside the cluster that may tunnel into it."
    ),
    ignored!(
        "IgnoreLooseRPF",
        Workloads,
        Bool,
        "false",
        "the reverse path of workloads is checked by a rule, not by a kernel setting",
        "Starts although the kernel checks reverse paths loosely (Felix 2.2)."
    ),
];
