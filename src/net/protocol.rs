//! IP protocols.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IP protocol number, 1 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct Protocol(u8);

/// The protocols that Calico knows by name, in lower case.
const NAMES: [(&str, Protocol); 6] = [
    ("tcp", Protocol::TCP),
    ("udp", Protocol::UDP),
    ("icmp", Protocol::ICMP),
    ("icmpv6", Protocol::ICMPV6),
    ("sctp", Protocol::SCTP),
    ("udplite", Protocol::UDPLITE),
];

impl Protocol {
    /// The Internet Control Message Protocol, for IPv4.
    pub const ICMP: Self = Self(1);
    /// IP-in-IP.
    pub const IPIP: Self = Self(4);
    /// The Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// The User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// The Internet Control Message Protocol for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// The Stream Control Transmission Protocol.
    pub const SCTP: Self = Self(132);
    /// The Lightweight User Datagram Protocol.
    pub const UDPLITE: Self = Self(136);

    /// Makes a protocol from its number.
    ///
    /// # Errors
    /// Fails for zero, which stands for IPv6 hop-by-hop options and is no protocol to match.
    pub fn new(number: u8) -> Result<Self, ProtocolError> {
        if number == 0 {
            Err(ProtocolError)
        } else {
            Ok(Self(number))
        }
    }

    /// Returns the protocol number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Tells whether rules may match ports of this protocol: TCP, UDP and SCTP.
    pub fn has_ports(self) -> bool {
        self == Self::TCP || self == Self::UDP || self == Self::SCTP
    }
}

impl From<Protocol> for u8 {
    fn from(protocol: Protocol) -> Self {
        protocol.0
    }
}

impl TryFrom<u8> for Protocol {
    type Error = ProtocolError;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::new(number)
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    /// Accepts a name in any case, or a number in decimal.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, known)) = NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            return Ok(*known);
        }
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ProtocolError);
        }
        text.parse::<u8>()
            .map_err(|_| ProtocolError)
            .and_then(Self::new)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, known)| known == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text or number names no IP protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a protocol is a number from 1 to 255 or one of tcp, udp, icmp, icmpv6, sctp, udplite")]
pub struct ProtocolError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_and_shown() {
        let shown = |text: &str| text.parse::<Protocol>().map(|p| p.to_string()).ok();
        assert_eq!(shown("TCP").as_deref(), Some("tcp"));
        assert_eq!(shown("6").as_deref(), Some("tcp"));
        assert_eq!(shown("ICMPv6").as_deref(), Some("icmpv6"));
        assert_eq!(shown("253").as_deref(), Some("253"));
        for bad in ["0", "256", "-1", "+6", "", "gre", " 6"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
