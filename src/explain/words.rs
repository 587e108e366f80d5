//! All of it in words for people.

use std::fmt;

use super::journey::{
    BuiltIn, Encapsulation, Hook, Journey, LoggedBy, Outcome, Reason, RuleSource, Step, Verdict,
};
use super::packet::{ConntrackState, Content, Packet};
use super::settings::{DenyAction, ToHostAction};
use crate::model::Direction;

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RawPrerouting => "raw prerouting",
            Self::PreDnat => "pre-DNAT",
            Self::Input => "input",
            Self::ToHost => "workload to host",
            Self::ForwardHostIn => "forward, host endpoint in",
            Self::ForwardWorkloadFrom => "forward, from workload",
            Self::ForwardWorkloadTo => "forward, to workload",
            Self::ForwardHostOut => "forward, host endpoint out",
            Self::RawOutput => "raw output",
            Self::Output => "output",
            Self::OutputDnat => "output after DNAT",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::AllowEarly => "allow early",
            Self::Continue => "continue",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        })
    }
}

impl fmt::Display for DenyAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
        })
    }
}

impl fmt::Display for ToHostAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Accept => "accept",
            Self::Return => "return to the host's own rules",
        })
    }
}

impl fmt::Display for ConntrackState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        })
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vxlan => "VXLAN",
            Self::Ipip => "IP-in-IP",
        })
    }
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeighborDiscovery => "neighbour discovery",
            Self::Dhcp => "DHCP",
            Self::Dns => "DNS",
            Self::Metadata => "the metadata service",
        })
    }
}

impl fmt::Display for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { tier, policy } => write!(f, "tier {tier}, {policy}"),
            Self::Profile(profile) => write!(f, "profile {profile}"),
        }
    }
}

impl fmt::Display for LoggedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            direction,
            number,
        } = self;
        write!(f, "{source}, {} rule {number}", word(*direction))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule {
                source,
                direction,
                number,
            } => write!(f, "{source}, {} rule {number}", word(*direction)),
            Self::EndOfTier { tier } => write!(f, "end of tier {tier}: no rule decides"),
            Self::MissingProfile { profile } => write!(f, "there is no profile {profile}"),
            Self::NothingAllows => f.write_str("no policy decides and no profile allows"),
            Self::NothingMatches => f.write_str("no rule decides"),
            Self::Failsafe { entry, direction } => {
                let list = match direction {
                    Direction::Ingress => "inbound",
                    Direction::Egress => "outbound",
                };
                write!(f, "{list} failsafe port {entry}")
            }
            Self::Known => f.write_str("the connection is known"),
            Self::Invalid => f.write_str("connection tracking calls it invalid"),
            Self::AllowedEarly => f.write_str("untracked or pre-DNAT policy has allowed it"),
            Self::NeighborDiscovery => f.write_str("IPv6 neighbour discovery"),
            Self::WorkloadMay(what) => write!(f, "{what} is open to every workload"),
            Self::ToHost(action) => write!(f, "DefaultEndpointToHostAction: {action}"),
            Self::HostToWorkload => f.write_str("the host may always reach its workloads"),
            Self::NoEndpoint => f.write_str("the interface has no endpoint"),
            Self::NoPolicyOfKind => f.write_str("the endpoint has no policy for this"),
            Self::LeftToWorkload => f.write_str("left to the workload's own policy"),
            Self::AskedAfterTranslation => f.write_str("asked after translation"),
            Self::UnknownWorkload => {
                f.write_str("no workload endpoint of this host has the interface")
            }
            Self::EndpointDown => f.write_str("the endpoint is administratively down"),
            Self::ReversePath { source } => {
                write!(f, "{source} is no address of the workload that sends it")
            }
            Self::SourceIsRight => f.write_str("the source is the workload's own"),
            Self::SourceIsAllowed { prefix } => {
                write!(
                    f,
                    "the workload may send from {prefix}; nothing else is asked here"
                )
            }
            Self::Encapsulated(what) => write!(f, "workloads may not send {what} packets"),
            Self::Ipv6Off => f.write_str("IPv6 is not policed"),
        }
    }
}

impl fmt::Display for Step {
    /// Writes a line: the question, the interface, the endpoint, the outcome and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.hook, self.interface)?;
        if let Some(endpoint) = &self.endpoint {
            write!(f, ", {endpoint}")?;
        }
        write!(f, "): {}: {}", self.outcome, self.reason)?;
        for logged in &self.logged {
            write!(f, "; logged by {logged}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Journey {
    /// Writes a line for each step and one for the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "{}", self.verdict)?;
        if let Some(refusal) = self.refusal {
            write!(f, " ({refusal})")?;
        }
        if self.untracked {
            f.write_str(", without connection tracking")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Packet {
    /// Writes the packet as it meets the host, with its interfaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            destination,
            protocol,
            state,
            ..
        } = self;
        match self.content {
            Content::Ports {
                source: from,
                destination: to,
            } => write!(
                f,
                "{protocol} from {source} port {from} to {destination} port {to}"
            )?,
            Content::Icmp { kind, code } => write!(
                f,
                "{protocol} type {kind} code {code} from {source} to {destination}"
            )?,
            Content::Other => write!(f, "protocol {protocol} from {source} to {destination}")?,
        }
        if let Some((address, port)) = self.dnat {
            write!(f, " (translated to {address}")?;
            if let Some(port) = port {
                write!(f, " port {port}")?;
            }
            f.write_str(")")?;
        }
        match (&self.input, &self.output) {
            (Some(input), Some(output)) => write!(f, ", in by {input}, out by {output}")?,
            (Some(input), None) => write!(f, ", in by {input}, for this host")?,
            (None, Some(output)) => write!(f, ", from this host, out by {output}")?,
            (None, None) => f.write_str(", from this host to itself")?,
        }
        write!(f, ", {state}")
    }
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}
