//! A request and its reply.

use super::host::Host;
use super::journey::Journey;
use super::packet::{ConntrackState, Content, Packet};
use crate::net::{Family, InterfaceName, Protocol};

/// The types of `ICMPv6` that connection tracking leaves alone.
const NEVER_TRACKED: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];
/// Questions of ICMP and the types of their answers.
const ICMP_QUESTIONS: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];
/// Questions of `ICMPv6` and the types of their answers.
const ICMPV6_QUESTIONS: [(u8, u8); 2] = [(128, 129), (139, 140)];
/// Questions of neighbour discovery and the types of their answers.
const ND_QUESTIONS: [(u8, u8); 2] = [(133, 134), (135, 136)];

/// What becomes of the first packet of a connection, and of the answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The first packet's way.
    pub request: Journey,
    /// The answer's way, where the first packet arrives and is one that is answered.
    pub reply: Option<Journey>,
    /// Whether the receiver sees the first packet.
    pub request_seen: bool,
    /// Whether the sender sees the answer.
    pub reply_seen: bool,
    /// Whether connection tracking has an entry of it once the first packet has passed.
    pub tracked: bool,
}

impl Host {
    /// Tells what becomes of a packet that begins a connection and of the answer to it.
    ///
    /// The state that the packet says is not looked at: it is what connection tracking says of such a packet.
    pub fn connection(&self, packet: &Packet) -> Connection {
        let mut request = packet.clone();
        request.state = first_state(packet);
        let journey = self.packet(&request);
        let request_seen = journey.is_allowed();
        let tracked = request_seen && !journey.untracked && request.state.has_entry();
        let translated = tracked && request.dnat.is_some();
        let reply = if request_seen {
            let seen = if tracked {
                request.translated()
            } else {
                request.clone()
            };
            let asked = answer_to(&request)
                .filter(|_| translated && is_to_itself(&request))
                .map(|reply| (reply.source, reply.content));
            answer_to(&seen).map(|mut reply| {
                reply.state = if tracked {
                    ConntrackState::Established
                } else {
                    unexpected_state(&reply)
                };
                self.walk(&reply, asked)
            })
        } else {
            None
        };
        // Without connection tracking nobody gives the answer the address that was asked.
        let reply_seen = reply
            .as_ref()
            .is_some_and(|reply| reply.is_allowed() && !(translated && reply.untracked));
        Connection {
            request: journey,
            reply,
            request_seen,
            reply_seen,
            tracked,
        }
    }
}

/// Returns what connection tracking says of a packet that it has no entry for, a first one for TCP.
fn first_state(packet: &Packet) -> ConntrackState {
    let Some((kind, _)) = packet.icmp() else {
        return ConntrackState::New;
    };
    let questions = match packet.family() {
        Family::V4 => &ICMP_QUESTIONS[..],
        Family::V6 => &ICMPV6_QUESTIONS[..],
    };
    if questions.iter().any(|(question, _)| *question == kind) {
        ConntrackState::New
    } else if packet.family() == Family::V6 && NEVER_TRACKED.contains(&kind) {
        ConntrackState::Untracked
    } else {
        ConntrackState::Invalid
    }
}

/// Returns what connection tracking says of an answer to something that it has not seen.
fn unexpected_state(packet: &Packet) -> ConntrackState {
    if packet.protocol == Protocol::TCP {
        ConntrackState::Invalid
    } else {
        first_state(packet)
    }
}

/// Returns the answer to a packet; none to a message that is no question.
fn answer_to(packet: &Packet) -> Option<Packet> {
    let mut reply = packet.clone();
    (reply.source, reply.destination) = (packet.destination, packet.source);
    (reply.input, reply.output) = (packet.output.clone(), packet.input.clone());
    if is_to_itself(packet) {
        (reply.input, reply.output) = (None, packet.output.clone());
    }
    reply.first_output = None;
    reply.dnat = None;
    reply.content = match packet.content {
        Content::Ports {
            source,
            destination,
        } => Content::Ports {
            source: destination,
            destination: source,
        },
        Content::Icmp { kind, code } => Content::Icmp {
            kind: answer_kind(packet, kind)?,
            code,
        },
        Content::Other => Content::Other,
    };
    Some(reply)
}

/// Tells whether this host speaks to itself.
fn is_to_itself(packet: &Packet) -> bool {
    packet.input.is_none()
        && packet
            .output
            .as_ref()
            .is_none_or(|output: &InterfaceName| output.as_str() == "lo")
}

/// Returns the type of the answer to an ICMP message.
fn answer_kind(packet: &Packet, kind: u8) -> Option<u8> {
    let mut questions = match packet.family() {
        Family::V4 => ICMP_QUESTIONS.to_vec(),
        Family::V6 => ICMPV6_QUESTIONS.to_vec(),
    };
    if packet.family() == Family::V6 {
        questions.extend(ND_QUESTIONS);
    }
    questions
        .into_iter()
        .find(|(question, _)| *question == kind)
        .map(|(_, answer)| answer)
}
