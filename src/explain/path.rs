//! The way of a packet: which questions are put to it, and in which order.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;

use super::chain::Answer;
use super::host::{Host, List};
use super::journey::{BuiltIn, Hook, Journey, Outcome, Reason, Step, Verdict};
use super::packet::{ConntrackState, Content, Packet};
use super::settings::{DenyAction, ToHostAction};
use crate::model::{Direction, ResourceKey};
use crate::net::{Family, InterfaceName, Protocol};

/// The interface over which a host speaks to itself.
const LOOPBACK: &str = "lo";
/// The types of `ICMPv6` that workloads may always send to this host.
const WORKLOAD_NEIGHBOR_DISCOVERY: [u8; 6] = [130, 131, 132, 133, 135, 136];
/// The ports of DHCP for IPv4, the client's first.
const DHCP_V4: (u16, u16) = (68, 67);
/// The ports of DHCP for IPv6, the client's first.
const DHCP_V6: (u16, u16) = (546, 547);
/// The port of name servers.
const DNS: u16 = 53;

impl Host {
    /// Tells what becomes of a packet, and why.
    pub fn packet(&self, packet: &Packet) -> Journey {
        self.walk(packet, None)
    }

    /// Tells what becomes of a packet whose source is given back what was asked, which the kernel does after
    /// routing: a host that answers itself then sees that.
    pub(super) fn walk(&self, packet: &Packet, asked: Option<(IpAddr, Content)>) -> Journey {
        let mut way = Way {
            host: self,
            packet: packet.clone(),
            asked,
            early: false,
            untracked: false,
            steps: Vec::new(),
        };
        let verdict = match way.go() {
            ControlFlow::Continue(()) => Verdict::Allowed,
            ControlFlow::Break(()) => Verdict::Denied,
        };
        let refusal = way.steps.last().and_then(|step| self.refusal(step));
        Journey {
            packet: packet.clone(),
            steps: way.steps,
            verdict,
            untracked: way.untracked,
            refusal,
        }
    }

    /// Returns what a denial in this place looks like: the kernel cannot refuse after routing, an error for a packet
    /// without a connection would not get out, and what is configured for packets from workloads to this host is
    /// to drop them.
    fn refusal(&self, step: &Step) -> Option<DenyAction> {
        match step.outcome {
            Outcome::Allow | Outcome::AllowEarly | Outcome::Continue => return None,
            Outcome::Deny => {}
        }
        match step.hook {
            Hook::RawPrerouting | Hook::RawOutput | Hook::OutputDnat | Hook::ToHost => {
                Some(DenyAction::Drop)
            }
            Hook::PreDnat
            | Hook::Input
            | Hook::ForwardHostIn
            | Hook::ForwardWorkloadFrom
            | Hook::ForwardWorkloadTo
            | Hook::ForwardHostOut
            | Hook::Output => Some(self.settings.deny),
        }
    }
}

/// A packet on its way.
struct Way<'h> {
    host: &'h Host,
    /// The packet as the present hook sees it.
    packet: Packet,
    /// The source, with what follows the addresses, that the packet is given once it has left.
    asked: Option<(IpAddr, Content)>,
    /// Whether untracked or pre-DNAT policy has allowed it since it came in or was made.
    early: bool,
    /// Whether untracked policy has let it bypass connection tracking.
    untracked: bool,
    steps: Vec<Step>,
}

/// Whether the packet goes on.
type Flow = ControlFlow<()>;

const ON: Flow = ControlFlow::Continue(());

impl Way<'_> {
    fn go(&mut self) -> Flow {
        let loopback = LOOPBACK.parse::<InterfaceName>().ok();
        let input = self.packet.input.clone();
        let output = self.packet.output.clone();
        if self.packet.family() == Family::V6 && !self.host.settings.ipv6 {
            return self.ipv6_off(input.or(output).or(loopback));
        }
        match (input, output) {
            (Some(input), None) => {
                self.prerouting(&input)?;
                self.input(&input)
            }
            (Some(input), Some(output)) => {
                self.prerouting(&input)?;
                self.forward(&input, &output)
            }
            (None, output) => {
                let Some(output) = output.or_else(|| loopback.clone()) else {
                    return ON;
                };
                self.output(&output)?;
                if Some(&output) == loopback.as_ref() {
                    self.give_back();
                    self.prerouting(&output)?;
                    self.input(&output)?;
                }
                ON
            }
        }
    }

    /// Notes the answer to a question; a denial ends the way.
    fn answer(
        &mut self,
        hook: Hook,
        interface: &InterfaceName,
        endpoint: Option<&ResourceKey>,
        answer: Answer,
    ) -> Flow {
        let outcome = answer.outcome;
        self.steps.push(Step {
            hook,
            interface: interface.clone(),
            endpoint: endpoint.cloned(),
            outcome,
            reason: answer.reason,
            logged: answer.logged,
        });
        match outcome {
            Outcome::Allow | Outcome::Continue => ON,
            Outcome::AllowEarly => {
                self.early = true;
                ON
            }
            Outcome::Deny => ControlFlow::Break(()),
        }
    }

    fn ipv6_off(&mut self, interface: Option<InterfaceName>) -> Flow {
        let Some(interface) = interface else {
            return ON;
        };
        let hook = match self.packet.input {
            Some(_) => Hook::RawPrerouting,
            None => Hook::RawOutput,
        };
        let answer = Answer::new(Outcome::Allow, Reason::Ipv6Off);
        self.answer(hook, &interface, None, answer)
    }

    /// What comes in: before connection tracking, then before translation.
    fn prerouting(&mut self, interface: &InterfaceName) -> Flow {
        self.early = false;
        if self.is_workload(interface) {
            self.raw_from_workload(interface)?;
        } else {
            self.untracked(Hook::RawPrerouting, interface, Direction::Ingress)?;
        }
        self.pre_dnat(interface)?;
        self.translate();
        ON
    }

    /// Asks untracked policy. What it allows bypasses connection tracking, unless that has seen the packet before:
    /// one that comes back over the loopback interface keeps what it has.
    fn untracked(&mut self, hook: Hook, interface: &InterfaceName, direction: Direction) -> Flow {
        let host = self.host;
        if hook == Hook::RawPrerouting && self.is_dhcp_discover() {
            let answer = Answer::new(Outcome::Allow, Reason::WorkloadMay(BuiltIn::Dhcp));
            return self.answer(hook, interface, None, answer);
        }
        let Some((key, endpoint)) = host.host_endpoint(interface, List::Untracked) else {
            return self.left_alone(hook, interface);
        };
        let subject = host.host_subject(key, endpoint);
        let answer = host.host_untracked(&self.packet, &subject, direction);
        let seen_before = !self.steps.is_empty() && self.packet.state.has_entry();
        if answer.outcome == Outcome::AllowEarly && !seen_before {
            self.packet.state = ConntrackState::Untracked;
            self.untracked = true;
        }
        self.answer(hook, interface, Some(key), answer)
    }

    /// Checks that a workload sends from an address of its own.
    fn raw_from_workload(&mut self, interface: &InterfaceName) -> Flow {
        let endpoint = self.host.workload_endpoint(interface);
        let key = endpoint.map(|(key, _)| key);
        let source = self.packet.source;
        let allowed = endpoint.and_then(|(_, endpoint)| {
            let prefixes = &endpoint.allow_spoofed_sources;
            prefixes.iter().find(|prefix| prefix.contains(&source))
        });
        let answer = if let Some(prefix) = allowed {
            Answer::new(Outcome::Allow, Reason::SourceIsAllowed { prefix: *prefix })
        } else if self.is_dhcp_discover() {
            Answer::new(Outcome::Allow, Reason::WorkloadMay(BuiltIn::Dhcp))
        } else if self.needs_no_way_back() {
            Answer::new(Outcome::Allow, Reason::SourceIsRight)
        } else {
            match endpoint {
                None => Answer::new(Outcome::Deny, Reason::UnknownWorkload),
                // Its routes are withdrawn.
                Some((_, endpoint)) if !endpoint.active => {
                    Answer::new(Outcome::Deny, Reason::EndpointDown)
                }
                Some((_, endpoint)) if self.host.leads_to(endpoint, source) => {
                    Answer::new(Outcome::Allow, Reason::SourceIsRight)
                }
                Some(_) => Answer::new(Outcome::Deny, Reason::ReversePath { source }),
            }
        };
        self.answer(Hook::RawPrerouting, interface, key, answer)
    }

    /// Tells whether the reverse path of a packet holds by its nature: link-local sources are on the interface that
    /// they are heard on, and who has no address yet asks for one.
    fn needs_no_way_back(&self) -> bool {
        let packet = &self.packet;
        match (packet.source, packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [first, ..] = source.octets();
                let [a, b, c, _] = destination.octets();
                first == 0 && (destination == Ipv4Addr::BROADCAST || [a, b, c] == [224, 0, 0])
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let link_local =
                    source.is_unicast_link_local() && !self.host.is_own_address(packet.source);
                let detects_duplicates = source.is_unspecified()
                    && packet.protocol == Protocol::ICMPV6
                    && (destination.is_multicast() || destination.is_unicast_link_local());
                link_local || detects_duplicates
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Tells whether it is a host's first question for an address, with which `OpenStack` does not interfere.
    fn is_dhcp_discover(&self) -> bool {
        self.host.settings.openstack.is_some()
            && self.packet.source == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            && self.packet.is_udp(DHCP_V4.0, DHCP_V4.1)
    }

    fn pre_dnat(&mut self, interface: &InterfaceName) -> Flow {
        let host = self.host;
        let hook = Hook::PreDnat;
        let found = host.host_endpoint(interface, List::PreDnat);
        let key = found.map(|(key, _)| key);
        let answer = if self.packet.state.is_known() {
            Answer::new(Outcome::Allow, Reason::Known)
        } else if self.early {
            Answer::new(Outcome::Allow, Reason::AllowedEarly)
        } else if let Some((key, endpoint)) = found {
            host.host_pre_dnat(&self.packet, &host.host_subject(key, endpoint))
        } else {
            return self.left_alone(hook, interface);
        };
        self.answer(hook, interface, key, answer)
    }

    /// Gives the source of an answer the address that was asked, which only connection tracking can.
    fn give_back(&mut self) {
        if let Some((source, content)) = self.asked.take()
            && self.packet.state.has_entry()
        {
            self.packet.source = source;
            self.packet.content = content;
        }
    }

    /// Translates the destination, which only connection tracking can.
    fn translate(&mut self) {
        if self.packet.state.has_entry() {
            self.packet = self.packet.translated();
        }
    }

    /// What is for this host.
    fn input(&mut self, interface: &InterfaceName) -> Flow {
        let host = self.host;
        if self.is_workload(interface) {
            self.workload_to_host(interface)?;
            return self.endpoint_to_host(interface);
        }
        let hook = Hook::Input;
        let Some((key, endpoint)) = host.host_endpoint(interface, List::Normal) else {
            return self.left_alone(hook, interface);
        };
        let answer = if self.early {
            Answer::new(Outcome::Allow, Reason::AllowedEarly)
        } else {
            let subject = host.host_subject(key, endpoint);
            host.host_normal(&self.packet, &subject, Direction::Ingress)
        };
        self.answer(hook, interface, Some(key), answer)
    }

    /// Asks a workload's own policy about what it sends to this host.
    fn workload_to_host(&mut self, interface: &InterfaceName) -> Flow {
        if let Some(built_in) = self.workload_may() {
            let answer = Answer::new(Outcome::Allow, Reason::WorkloadMay(built_in));
            return self.answer(Hook::Input, interface, None, answer);
        }
        self.workload(Hook::Input, interface, Direction::Egress)
    }

    /// Does what is configured with a packet to this host that the workload's policy allows.
    fn endpoint_to_host(&mut self, interface: &InterfaceName) -> Flow {
        let answer = if self.packet.state.is_known() {
            Answer::new(Outcome::Allow, Reason::Known)
        } else if let Some(built_in) = self.workload_may() {
            Answer::new(Outcome::Allow, Reason::WorkloadMay(built_in))
        } else {
            let action = self.host.settings.to_host;
            let outcome = match action {
                ToHostAction::Drop => Outcome::Deny,
                ToHostAction::Accept => Outcome::Allow,
                ToHostAction::Return => Outcome::Continue,
            };
            Answer::new(outcome, Reason::ToHost(action))
        };
        self.answer(Hook::ToHost, interface, None, answer)
    }

    /// Returns what allows a packet to this host from any workload, known or not, whatever its policy says.
    fn workload_may(&self) -> Option<BuiltIn> {
        let packet = &self.packet;
        if packet.is_icmpv6_of(&WORKLOAD_NEIGHBOR_DISCOVERY) {
            return Some(BuiltIn::NeighborDiscovery);
        }
        let openstack = self.host.settings.openstack.as_ref()?;
        let (client, server) = match packet.family() {
            Family::V4 => DHCP_V4,
            Family::V6 => DHCP_V6,
        };
        if packet.is_udp(client, server) {
            return Some(BuiltIn::Dhcp);
        }
        if packet.goes_to(Protocol::UDP, DNS) {
            return Some(BuiltIn::Dns);
        }
        let (address, port) = openstack.metadata?;
        let is_metadata =
            packet.destination == IpAddr::V4(address) && packet.goes_to(Protocol::TCP, port);
        is_metadata.then_some(BuiltIn::Metadata)
    }

    /// What passes through.
    fn forward(&mut self, input: &InterfaceName, output: &InterfaceName) -> Flow {
        let from_workload = self.is_workload(input);
        let to_workload = self.is_workload(output);
        if self.early {
            let answer = Answer::new(Outcome::Allow, Reason::AllowedEarly);
            let endpoint = self.host.host_endpoint(input, List::Forward);
            let key = endpoint.map(|(key, _)| key);
            self.answer(Hook::ForwardHostIn, input, key, answer)?;
        } else {
            self.host_forward(Hook::ForwardHostIn, input, to_workload)?;
        }
        if from_workload {
            self.workload(Hook::ForwardWorkloadFrom, input, Direction::Egress)?;
        }
        if to_workload {
            self.workload(Hook::ForwardWorkloadTo, output, Direction::Ingress)?;
        }
        self.host_forward(Hook::ForwardHostOut, output, from_workload)
    }

    /// Asks the host endpoint of one of the two interfaces, each on its own.
    fn host_forward(
        &mut self,
        hook: Hook,
        interface: &InterfaceName,
        other_is_workload: bool,
    ) -> Flow {
        let host = self.host;
        let direction = if hook == Hook::ForwardHostIn {
            Direction::Ingress
        } else {
            Direction::Egress
        };
        let Some((key, endpoint)) = host.host_endpoint(interface, List::Forward) else {
            return self.left_alone(hook, interface);
        };
        let subject = host.host_subject(key, endpoint);
        let answer = if !subject.is_v1() {
            host.host_forward(&self.packet, &subject, direction)
        } else if other_is_workload {
            Answer::new(Outcome::Continue, Reason::LeftToWorkload)
        } else {
            host.host_forward_as_own(&self.packet, &subject, direction)
        };
        self.answer(hook, interface, Some(key), answer)
    }

    /// What this host makes.
    fn output(&mut self, interface: &InterfaceName) -> Flow {
        let first = self.packet.first_output.clone();
        let first = first.as_ref().unwrap_or(interface);
        self.untracked(Hook::RawOutput, first, Direction::Egress)?;
        let translated = self.packet.dnat.is_some() && self.packet.state.has_entry();
        if !translated {
            return self.output_policy(Hook::Output, interface);
        }
        let answer = Answer::new(Outcome::Continue, Reason::AskedAfterTranslation);
        self.answer(Hook::Output, first, None, answer)?;
        self.translate();
        self.output_policy(Hook::OutputDnat, interface)
    }

    fn output_policy(&mut self, hook: Hook, interface: &InterfaceName) -> Flow {
        let host = self.host;
        if self.is_workload(interface) {
            let answer = Answer::new(Outcome::Allow, Reason::HostToWorkload);
            return self.answer(hook, interface, None, answer);
        }
        let Some((key, endpoint)) = host.host_endpoint(interface, List::Normal) else {
            return self.left_alone(hook, interface);
        };
        let answer = if self.early {
            Answer::new(Outcome::Allow, Reason::AllowedEarly)
        } else {
            let subject = host.host_subject(key, endpoint);
            host.host_normal(&self.packet, &subject, Direction::Egress)
        };
        self.answer(hook, interface, Some(key), answer)
    }

    /// Asks the workload endpoint of an interface.
    fn workload(&mut self, hook: Hook, interface: &InterfaceName, direction: Direction) -> Flow {
        let found = self.host.workload_endpoint(interface);
        let answer = match found {
            Some(found) => self.host.workload(&self.packet, found, direction),
            None => Answer::new(Outcome::Deny, Reason::UnknownWorkload),
        };
        self.answer(hook, interface, found.map(|(key, _)| key), answer)
    }

    fn left_alone(&mut self, hook: Hook, interface: &InterfaceName) -> Flow {
        let answer = Answer::new(Outcome::Continue, Reason::NoEndpoint);
        self.answer(hook, interface, None, answer)
    }

    fn is_workload(&self, interface: &InterfaceName) -> bool {
        self.host.settings.is_workload(interface.as_str())
    }
}
