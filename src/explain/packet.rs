//! A packet, as far as policy can see it.

use std::net::IpAddr;

use crate::net::{Family, InterfaceName, Protocol};

/// What connection tracking says of a packet before policy has had a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConntrackState {
    /// It begins a connection.
    New,
    /// It belongs to a connection that has been seen.
    Established,
    /// It begins a connection that belongs to another, or reports an error of one.
    Related,
    /// It fits nothing.
    Invalid,
    /// It has bypassed connection tracking.
    Untracked,
}

impl ConntrackState {
    /// Tells whether the packet belongs to something that has been allowed before.
    pub(super) fn is_known(self) -> bool {
        match self {
            Self::Established | Self::Related => true,
            Self::New | Self::Invalid | Self::Untracked => false,
        }
    }

    /// Tells whether the packet has an entry, without which no address is translated.
    pub(super) fn has_entry(self) -> bool {
        match self {
            Self::New | Self::Established | Self::Related => true,
            Self::Invalid | Self::Untracked => false,
        }
    }
}

/// What stands in a packet behind its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A transport header with ports.
    Ports {
        /// The sender's port.
        source: u16,
        /// The receiver's port.
        destination: u16,
    },
    /// An ICMP or `ICMPv6` message.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// Something that rules cannot look into.
    Other,
}

/// A packet at the moment when it meets this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The interface that it came in by; none where this host made it.
    pub input: Option<InterfaceName>,
    /// The interface that it goes out by; none where it is for this host.
    ///
    /// Where both are absent the host speaks to itself, over `lo`.
    pub output: Option<InterfaceName>,
    /// For a packet of this host whose destination is translated: the interface that the untranslated destination
    /// leads to, where that is another one. Only untracked policy sees it.
    pub first_output: Option<InterfaceName>,
    /// The sender's address; translation of sources comes after everything that policy sees.
    pub source: IpAddr,
    /// The receiver's address before translation.
    pub destination: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// What follows the addresses.
    pub content: Content,
    /// What connection tracking says of it, unless policy lets it bypass that.
    pub state: ConntrackState,
    /// What its destination is translated to, with the port where that changes too.
    pub dnat: Option<(IpAddr, Option<u16>)>,
}

impl Packet {
    /// Makes the first packet of a TCP or UDP connection; the interfaces are to be filled in.
    pub fn with_ports(
        protocol: Protocol,
        source: (IpAddr, u16),
        destination: (IpAddr, u16),
    ) -> Self {
        let content = Content::Ports {
            source: source.1,
            destination: destination.1,
        };
        Self::new(protocol, source.0, destination.0, content)
    }

    /// Makes a packet that begins a connection; the interfaces are to be filled in.
    pub fn new(protocol: Protocol, source: IpAddr, destination: IpAddr, content: Content) -> Self {
        Self {
            input: None,
            output: None,
            first_output: None,
            source,
            destination,
            protocol,
            content,
            state: ConntrackState::New,
            dnat: None,
        }
    }

    /// Returns the family of its addresses.
    pub(super) fn family(&self) -> Family {
        Family::of_address(self.source)
    }

    /// Returns its ports, source first, where it has them.
    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        match self.content {
            Content::Ports {
                source,
                destination,
            } => Some((source, destination)),
            Content::Icmp { .. } | Content::Other => None,
        }
    }

    /// Returns its ICMP type and code, where it is a message of its family's ICMP.
    pub(super) fn icmp(&self) -> Option<(u8, u8)> {
        let own = match self.family() {
            Family::V4 => Protocol::ICMP,
            Family::V6 => Protocol::ICMPV6,
        };
        match self.content {
            Content::Icmp { kind, code } if self.protocol == own => Some((kind, code)),
            Content::Icmp { .. } | Content::Ports { .. } | Content::Other => None,
        }
    }

    /// Tells whether its destination port is `port` of `protocol`.
    pub(super) fn goes_to(&self, protocol: Protocol, port: u16) -> bool {
        self.protocol == protocol && self.ports().is_some_and(|(_, to)| to == port)
    }

    /// Tells whether it goes from one UDP port to another.
    pub(super) fn is_udp(&self, from: u16, to: u16) -> bool {
        self.protocol == Protocol::UDP && self.ports() == Some((from, to))
    }

    /// Tells whether it is neighbour discovery or multicast listener discovery of one of these types.
    pub(super) fn is_icmpv6_of(&self, kinds: &[u8]) -> bool {
        self.family() == Family::V6 && self.icmp().is_some_and(|(kind, _)| kinds.contains(&kind))
    }

    /// Returns the packet as it is once its destination has been translated.
    pub(super) fn translated(&self) -> Self {
        let mut packet = self.clone();
        let Some((destination, port)) = packet.dnat.take() else {
            return packet;
        };
        packet.destination = destination;
        if let (Some(port), Content::Ports { source, .. }) = (port, packet.content) {
            packet.content = Content::Ports {
                source,
                destination: port,
            };
        }
        packet
    }
}
