//! Tables, base chains, hooks and priorities: the map of the packet's path, in one place.

use std::fmt;
use std::sync::Arc;

use super::{ChainPosition, names};
use crate::model::{Direction, Form};
use crate::net::InterfaceName;
use crate::nft::{
    BaseChain, Chain, ChainName, ChainType, Comparison, Expr, Hook, InterfaceMatch, InterfaceSide,
    Rule, SetName, TableName,
};

/// Returns the name of the table that holds everything.
///
/// # Panics
/// Never: the name is a constant that `nft` accepts.
#[expect(clippy::expect_used, reason = "the text is a constant")]
pub fn table_name() -> TableName {
    "tortie"
        .parse()
        .expect("`tortie` is a table name that nft accepts")
}

/// One way through the chains of policy: a direction, and what allowing and refusing a packet mean there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Path {
    /// Ingress, from the hooks of input and forward.
    In,
    /// Egress, from the hooks of input, forward and output.
    Out,
    /// Egress, from the postrouting hook, which knows no `reject`; used in place of [`Path::Out`] there
    /// where deny means reject.
    Dnat,
    /// Ingress before connection tracking.
    RawIn,
    /// Egress before connection tracking.
    RawOut,
    /// Ingress before destinations are translated.
    PreDnat,
}

impl Path {
    /// Returns the direction of the policies on this way.
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::In | Self::RawIn | Self::PreDnat => Direction::Ingress,
            Self::Out | Self::Dnat | Self::RawOut => Direction::Egress,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Dnat => "dnat",
            Self::RawIn => "raw-in",
            Self::RawOut => "raw-out",
            Self::PreDnat => "prednat",
        })
    }
}

/// A place in the packet's path where an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// A host endpoint, for traffic that ends here.
    HostIn,
    /// A host endpoint, for traffic that begins here.
    HostOut,
    /// The same after routing, for traffic whose destination was translated.
    HostDnat,
    /// A host endpoint, for forwarded traffic that came in by its interface.
    ForwardIn,
    /// A host endpoint, for forwarded traffic that goes out by its interface.
    ForwardOut,
    /// A host endpoint, before connection tracking, for traffic that came in.
    RawIn,
    /// A host endpoint, before connection tracking, for traffic that begins here.
    RawOut,
    /// A host endpoint, before destinations are translated.
    PreDnat,
    /// A workload, for what it sends.
    FromWorkload,
    /// A workload, for what is sent to it.
    ToWorkload,
}

impl Place {
    /// The places of host endpoints.
    pub(super) const OF_HOSTS: [Self; 8] = [
        Self::HostIn,
        Self::HostOut,
        Self::HostDnat,
        Self::ForwardIn,
        Self::ForwardOut,
        Self::RawIn,
        Self::RawOut,
        Self::PreDnat,
    ];
    /// The places of workload endpoints.
    pub(super) const OF_WORKLOADS: [Self; 2] = [Self::FromWorkload, Self::ToWorkload];

    /// Returns the direction, seen from the endpoint.
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::HostIn | Self::ForwardIn | Self::RawIn | Self::PreDnat | Self::ToWorkload => {
                Direction::Ingress
            }
            Self::HostOut
            | Self::HostDnat
            | Self::ForwardOut
            | Self::RawOut
            | Self::FromWorkload => Direction::Egress,
        }
    }

    /// Returns the interface by which the endpoint is found.
    pub(super) fn side(self) -> InterfaceSide {
        match self {
            Self::HostIn | Self::ForwardIn | Self::RawIn | Self::PreDnat | Self::FromWorkload => {
                InterfaceSide::Input
            }
            Self::HostOut | Self::HostDnat | Self::ForwardOut | Self::RawOut | Self::ToWorkload => {
                InterfaceSide::Output
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostIn => "hep-in",
            Self::HostOut => "hep-out",
            Self::HostDnat => "hep-dnat",
            Self::ForwardIn => "hep-fwd-in",
            Self::ForwardOut => "hep-fwd-out",
            Self::RawIn => "hep-raw-in",
            Self::RawOut => "hep-raw-out",
            Self::PreDnat => "hep-prednat",
            Self::FromWorkload => "wl-from",
            Self::ToWorkload => "wl-to",
        })
    }
}

/// What a host endpoint asks of forwarded traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarding {
    /// The policies that say so (`applyOnForward`), and where there are none, nothing.
    ByPolicy,
    /// The same as of the host's own traffic, unless a workload is at the other side.
    AsOwnTraffic,
}

impl Forwarding {
    /// Returns what an endpoint asks by the form that it was written in.
    pub(super) fn of(form: Form) -> Self {
        match form {
            Form::V3 => Self::ByPolicy,
            Form::V1 => Self::AsOwnTraffic,
        }
    }
}

/// The base chains of policy, which are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
    /// Everything that comes in, before connection tracking.
    RawPrerouting,
    /// Everything that this host sends, before connection tracking.
    RawOutput,
    /// Everything that comes in, before its destination is translated.
    PreDnat,
    /// Traffic for this host, by the interface it came in by.
    InputPolicy,
    /// Traffic of workloads for this host, once policy has allowed it.
    InputToHost,
    /// Forwarded traffic, by the host endpoint that it came in by.
    ForwardHostIn,
    /// Forwarded traffic, by the workload that it comes from.
    ForwardFromWorkload,
    /// Forwarded traffic, by the workload that it goes to.
    ForwardToWorkload,
    /// Forwarded traffic, by the host endpoint that it goes out by.
    ForwardHostOut,
    /// Traffic from this host, by the interface it goes out by, unless its destination was translated.
    Output,
    /// Traffic from this host whose destination was translated: only after routing is its interface known.
    OutputDnat,
}

/// The base chains of translation, each there only where it has a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NatBase {
    /// New connections that come in: their destinations are translated.
    Prerouting,
    /// New connections of this host: their destinations are translated.
    Output,
    /// New connections that go out: their sources are translated.
    Postrouting,
}

impl NatBase {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Prerouting, Self::Output, Self::Postrouting];

    /// Returns the chain's name.
    pub(super) fn name(self) -> ChainName {
        names::chain(match self {
            Self::Prerouting => "nat-prerouting",
            Self::Output => "nat-output",
            Self::Postrouting => "nat-postrouting",
        })
    }

    /// Makes the chain with its rules.
    pub(super) fn chain(self, rules: Vec<Rule>) -> Arc<Chain> {
        let (hook, priority) = match self {
            Self::Prerouting => (Hook::Prerouting, -100),
            Self::Output => (Hook::Output, -100),
            // Behind `kube-proxy`, whose masquerading comes first.
            Self::Postrouting => (Hook::Postrouting, 110),
        };
        let base = BaseChain {
            kind: ChainType::Nat,
            hook,
            priority,
        };
        Arc::new(Chain::new(self.name(), Some(base), rules))
    }
}

impl Base {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Self::RawPrerouting,
        Self::RawOutput,
        Self::PreDnat,
        Self::InputPolicy,
        Self::InputToHost,
        Self::ForwardHostIn,
        Self::ForwardFromWorkload,
        Self::ForwardToWorkload,
        Self::ForwardHostOut,
        Self::Output,
        Self::OutputDnat,
    ];

    /// Returns the chain's name.
    pub(super) fn name(self) -> ChainName {
        names::chain(match self {
            Self::RawPrerouting => "raw-prerouting",
            Self::RawOutput => "raw-output",
            Self::PreDnat => "prednat",
            Self::InputPolicy => "input-policy",
            Self::InputToHost => "input-to-host",
            Self::ForwardHostIn => "forward-hep-in",
            Self::ForwardFromWorkload => "forward-wl-from",
            Self::ForwardToWorkload => "forward-wl-to",
            Self::ForwardHostOut => "forward-hep-out",
            Self::Output => "output",
            Self::OutputDnat => "output-dnat",
        })
    }

    /// Makes the chain with its rules.
    pub(super) fn chain(self, position: ChainPosition, rules: Vec<Rule>) -> Arc<Chain> {
        let filter = |place| filter_priority(position, place);
        let (hook, priority) = match self {
            Self::RawPrerouting => (Hook::Prerouting, -300),
            Self::RawOutput => (Hook::Output, -300),
            Self::PreDnat => (Hook::Prerouting, -150),
            Self::InputPolicy => (Hook::Input, filter(0)),
            Self::InputToHost => (Hook::Input, filter(1)),
            Self::ForwardHostIn => (Hook::Forward, filter(0)),
            Self::ForwardFromWorkload => (Hook::Forward, filter(1)),
            Self::ForwardToWorkload => (Hook::Forward, filter(2)),
            Self::ForwardHostOut => (Hook::Forward, filter(LAST_FILTER)),
            Self::Output => (Hook::Output, filter(0)),
            Self::OutputDnat => (Hook::Postrouting, -150),
        };
        let base = BaseChain {
            kind: ChainType::Filter,
            hook,
            priority,
        };
        Arc::new(Chain::new(self.name(), Some(base), rules))
    }
}

/// The place of the last filter chain of a hook.
const LAST_FILTER: i32 = 3;

/// Returns the priority of a filter chain by its place in its hook: the order is the same on either side of the
/// host's own chains.
fn filter_priority(position: ChainPosition, place: i32) -> i32 {
    match position {
        ChainPosition::Insert => -10 + place,
        ChainPosition::Append => 10 + place,
    }
}

/// Returns the priority of the last chain that marks accepted packets for other tables.
pub fn last_filter_priority(position: ChainPosition) -> i32 {
    filter_priority(position, LAST_FILTER)
}

/// Names the verdict map from interfaces to the chains of their endpoints.
pub(super) fn interface_map(place: Place) -> SetName {
    names::set(&format!("{place}-if"))
}

/// Matches the interfaces whose name begins as a workload's.
pub(super) fn workload_interface(side: InterfaceSide, prefix: &InterfaceName) -> Expr {
    let matched = InterfaceMatch::Prefix(prefix.clone());
    Expr::interface(side, Comparison::Is, matched)
}

/// The chains that several endpoints or base chains share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    /// Ports of this host that stay open.
    FailsafeIn,
    /// Ports of other hosts that stay open.
    FailsafeOut,
    /// Both before connection tracking, where replies need a rule as well, for what comes in.
    FailsafeRawIn,
    /// The same for what this host sends.
    FailsafeRawOut,
    /// What IPv6 cannot do without on a link of a host endpoint.
    NeighborDiscovery,
    /// What workloads may always ask of this host.
    WorkloadEssentials,
    /// Refusal of everything to and from a workload that is not to carry traffic.
    WorkloadDown,
}

impl Shared {
    /// Returns the chain's name.
    pub(super) fn name(self) -> ChainName {
        names::chain(match self {
            Self::FailsafeIn => "failsafe-in",
            Self::FailsafeOut => "failsafe-out",
            Self::FailsafeRawIn => "failsafe-raw-in",
            Self::FailsafeRawOut => "failsafe-raw-out",
            Self::NeighborDiscovery => "neighbor-discovery",
            Self::WorkloadEssentials => "workload-essentials",
            Self::WorkloadDown => "workload-down",
        })
    }

    /// Makes the chain with its rules.
    pub(super) fn chain(self, rules: Vec<Rule>) -> Arc<Chain> {
        Arc::new(Chain::new(self.name(), None, rules))
    }
}
