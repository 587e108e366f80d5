//! Rows of policy.

use super::Status::Works;
use super::{Row, table};
use crate::config::choices::{
    AllowAction, DenyAction, EndpointToHostAction, NeighborDiscovery, PolicyCounters,
};
use crate::config::types::{Bool, FailsafePorts, Int, LogRate, OneOf, Text};

table! {
    "FailsafeInboundHostPorts": FailsafePorts =
        "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
        Policy, DIE, Works,
        |c, v| c.policy.failsafe_in = v,
        "Ports of this host that no policy on a host endpoint closes. Items are `PORT` (TCP), \
         `PROTOCOL:PORT` or `PROTOCOL:NET:PORT`, an IPv6 net in brackets, as \
         `tcp:[2001:db8::/32]:22`; the protocol is tcp, udp or sctp. `none` opens nothing.";
    "FailsafeOutboundHostPorts": FailsafePorts =
        "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:4001,tcp:5473,tcp:6443,tcp:6666,tcp:6667,tcp:7001",
        Policy, DIE, Works,
        |c, v| c.policy.failsafe_out = v,
        "Ports of other hosts that no policy on a host endpoint closes to this one, in the same \
         form. The default has the old etcd ports 4001 and 7001 besides those of recent releases \
         of Calico.";
    "NftablesFilterAllowAction" | "IptablesFilterAllowAction": OneOf<AllowAction> =
        "ACCEPT",
        Policy, DIE_NON_ZERO, Works,
        |c, v| c.policy.filter_allow_action = v,
        "What the tables of others are told of a packet that policy allows: the mark bit that says so \
         (`ACCEPT`), which a chain that drops by default can accept, or nothing (`RETURN`).";
    "NftablesMangleAllowAction" | "IptablesMangleAllowAction": OneOf<AllowAction> =
        "ACCEPT",
        Policy, DIE_NON_ZERO, Works,
        |c, v| c.policy.mangle_allow_action = v,
        "Accepted for Felix's sake: a packet that pre-DNAT policy allows goes on to the hooks behind \
         with either value, as an accept ends one chain alone.";
    "NftablesFilterDenyAction" | "IptablesFilterDenyAction": OneOf<DenyAction> =
        "DROP",
        Policy, DIE_NON_ZERO, Works,
        |c, v| c.policy.filter_deny_action = v,
        "What happens to a packet that policy denies: dropped, or rejected where the kernel can.";
    "DefaultEndpointToHostAction": OneOf<EndpointToHostAction> =
        "DROP",
        Policy, DIE_NON_ZERO, Works,
        |c, v| c.policy.endpoint_to_host_action = v,
        "What happens to a packet from a workload to this host once the workload's policy has \
         allowed it.";
    "HostEndpointNeighborDiscovery": OneOf<NeighborDiscovery> =
        "Allow",
        Policy, DIE_NON_ZERO, Works,
        |c, v| c.policy.neighbor_discovery = v,
        "Whether ICMPv6 types 130 to 136 and 143 (multicast listeners and neighbour discovery) \
         pass every host endpoint, or are judged by its policy, as Felix does, which cuts IPv6 \
         off unless the policy allows them. Not Felix's.";
    "PolicyCounters": OneOf<PolicyCounters> =
        "Disabled",
        Policy, NONE, Works,
        |c, v| c.policy.counters = v,
        "Counts the packets and bytes that each policy, each profile and the end of each tier decides, for \
         `/metrics`: see [metrics.md](metrics.md#packets-and-bytes-by-policy). Not Felix's.";
    "Ipv6Support": Bool = "true", Policy, NONE, Works,
        |c, v| c.policy.ipv6_support = v,
        "Programs rules for IPv6.";
    "DisableConntrackInvalidCheck": Bool = "false", Policy, NONE, Works,
        |c, v| c.policy.disable_conntrack_invalid_check = v,
        "Lets policy judge packets that connection tracking calls invalid, which are dropped \
         otherwise.";
    "LogPrefix": Text = "calico-packet", Policy, NONE, Works,
        |c, v| c.policy.log_prefix = v,
        "What the kernel's line begins with for a packet that a `Log` rule sees, before `: `. \
         `%t`, `%k`, `%n` and `%p` stand for the tier, the kind and the names of the policy.";
    "LogActionRateLimit": LogRate = "", Policy, NONE, Works,
        |c, v| c.policy.log_rate_limit = v,
        "Limit of each `Log` rule, as `10/minute`; the number is 1 to 9999. No limit by default.";
    // After the row above, whose value it completes.
    "LogActionRateLimitBurst": Int<0, 9999> = "5", Policy, NONE, Works,
        |c, v| if let Some(limit) = &mut c.policy.log_rate_limit {
            limit.burst = u32::try_from(v).map_err(|error| error.to_string())?;
        },
        "Packets that a `Log` rule lets through at once before the limit holds.";
}
