//! What became of a packet, hook by hook.

use std::net::IpAddr;

use ipnet::IpNet;

use super::packet::Packet;
use super::settings::{DenyAction, Failsafe, ToHostAction};
use crate::model::{Direction, ProfileId, ResourceKey, TierName};
use crate::net::InterfaceName;

/// A question that is put to a packet on its way; they come in this order, as far as they apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Before connection tracking: the reverse path, and untracked policy by the interface that it came in by.
    RawPrerouting,
    /// Before destinations are translated: pre-DNAT policy.
    PreDnat,
    /// To this host: a workload's egress policy, or a host endpoint's ingress policy.
    Input,
    /// To this host from a workload whose policy has allowed it: what is configured for that.
    ToHost,
    /// Forwarded: a host endpoint's policy for what comes in.
    ForwardHostIn,
    /// Forwarded: the policy of the workload that sends it.
    ForwardWorkloadFrom,
    /// Forwarded: the policy of the workload that receives it.
    ForwardWorkloadTo,
    /// Forwarded: a host endpoint's policy for what goes out.
    ForwardHostOut,
    /// Made here, before connection tracking: untracked policy by the interface that it goes out by.
    RawOutput,
    /// Made here: a host endpoint's egress policy.
    Output,
    /// Made here, its destination translated and its route chosen anew: the same.
    OutputDnat,
}

/// What a question comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The packet passes; the next question is put.
    Allow,
    /// The packet passes, and host endpoints' later questions about what comes in or was made here with it.
    AllowEarly,
    /// Nothing has been decided: the next question is put.
    Continue,
    /// The packet ends here.
    Deny,
}

/// The rules that a rule stands in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleSource {
    /// A policy, in its tier.
    Policy {
        /// The tier.
        tier: TierName,
        /// The policy.
        policy: ResourceKey,
    },
    /// A profile.
    Profile(ProfileId),
}

/// A rule that has logged a packet and let it go on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoggedBy {
    /// The rules that it stands in.
    pub source: RuleSource,
    /// Their direction.
    pub direction: Direction,
    /// Its number among them, counted from 1.
    pub number: usize,
}

/// An encapsulation that workloads may not use of their own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encapsulation {
    /// VXLAN.
    Vxlan,
    /// IP in IP.
    Ipip,
}

/// What is allowed to workloads before their policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltIn {
    /// Neighbour discovery and multicast listener messages.
    NeighborDiscovery,
    /// A request for an address.
    Dhcp,
    /// A query for a name.
    Dns,
    /// The metadata service of `OpenStack`.
    Metadata,
}

/// What decided a question, or why nothing did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A rule of a policy or profile.
    Rule {
        /// The rules that it stands in.
        source: RuleSource,
        /// Their direction.
        direction: Direction,
        /// Its number among them, counted from 1.
        number: usize,
    },
    /// The end of a tier in which no rule has decided.
    EndOfTier {
        /// The tier.
        tier: TierName,
    },
    /// A profile that the endpoint names and that does not exist.
    MissingProfile {
        /// The profile.
        profile: ProfileId,
    },
    /// No policy decided, and no profile allows it.
    NothingAllows,
    /// Policy of this kind was asked and said nothing.
    NothingMatches,
    /// A failsafe port.
    Failsafe {
        /// The entry.
        entry: Failsafe,
        /// Whose port it is.
        direction: Direction,
    },
    /// The connection is known.
    Known,
    /// Connection tracking calls the packet invalid.
    Invalid,
    /// Untracked or pre-DNAT policy has allowed the packet.
    AllowedEarly,
    /// Neighbour discovery or multicast listener discovery at a host endpoint.
    NeighborDiscovery,
    /// Something that workloads may do whatever their policy says.
    WorkloadMay(BuiltIn),
    /// What is configured for packets from workloads to this host.
    ToHost(ToHostAction),
    /// This host may always reach its workloads.
    HostToWorkload,
    /// The interface has no endpoint: it is left alone.
    NoEndpoint,
    /// The endpoint has no policy of the kind that is asked here.
    NoPolicyOfKind,
    /// The endpoint leaves traffic to and from workloads to their own policy.
    LeftToWorkload,
    /// The question is put later, when the destination has been translated.
    AskedAfterTranslation,
    /// No workload endpoint of this host has the interface, whose name says that it is a workload's.
    UnknownWorkload,
    /// The workload endpoint is administratively down.
    EndpointDown,
    /// The way to the source does not lead out of the interface that the packet came in by.
    ReversePath {
        /// The source.
        source: IpAddr,
    },
    /// The source is the workload's own, or one that needs no way back.
    SourceIsRight,
    /// The workload may use the source although it is not its own.
    SourceIsAllowed {
        /// The prefix that says so.
        prefix: IpNet,
    },
    /// An encapsulated packet that a workload has made.
    Encapsulated(Encapsulation),
    /// IPv6 is not policed.
    Ipv6Off,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The question.
    pub hook: Hook,
    /// The interface that it is about.
    pub interface: InterfaceName,
    /// The endpoint whose policy was asked, where there is one.
    pub endpoint: Option<ResourceKey>,
    /// What it comes to.
    pub outcome: Outcome,
    /// What decided it.
    pub reason: Reason,
    /// The rules that logged the packet before.
    pub logged: Vec<LoggedBy>,
}

/// What becomes of a packet, as far as policy is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It passes.
    Allowed,
    /// It does not.
    Denied,
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journey {
    /// The packet as it met the host.
    pub packet: Packet,
    /// The questions, in order; none follows one that denies.
    pub steps: Vec<Step>,
    /// What became of the packet.
    pub verdict: Verdict,
    /// Whether untracked policy has let it bypass connection tracking.
    pub untracked: bool,
    /// What a denial looks like to the sender: silence in every place that cannot refuse.
    pub refusal: Option<DenyAction>,
}

impl Journey {
    /// Returns the step that denied the packet, where one did.
    pub fn denied_by(&self) -> Option<&Step> {
        self.steps
            .last()
            .filter(|step| step.outcome == Outcome::Deny)
    }

    /// Tells whether the packet passes.
    pub fn is_allowed(&self) -> bool {
        match self.verdict {
            Verdict::Allowed => true,
            Verdict::Denied => false,
        }
    }
}
