//! Whole packets, IP header included, and what can be read out of those that arrive.
//!
//! A request carries a number of its own, its token: TCP in the sequence number, everything else behind the
//! transport's header. A token survives every translation of addresses and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The numbers of the protocols that probes use beside those with a name: one that is free for experiments, and
/// IP in IP, which workloads may not send.
pub(crate) const RAW: [u8; 2] = [253, 4];
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

/// The flags of TCP that matter here.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// FIN, PSH and URG, which nobody sends and which no connection can begin with.
const NONSENSE: u8 = 0x29;

const ASK: &[u8; 4] = b"ask:";
const YES: &[u8; 4] = b"yes:";

/// What a probe sends behind its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    /// Opens a TCP connection.
    Tcp { source: u16, port: u16 },
    /// Sends a datagram.
    Udp { source: u16, port: u16 },
    /// Asks for an echo.
    Icmp { id: u16, code: u8 },
    /// Sends a packet of a protocol by number.
    Raw(u8),
    /// Sends a TCP segment that belongs to nothing.
    Stray { source: u16, port: u16 },
    /// Sends a message of neighbour or listener discovery, which nobody answers.
    Discovery { kind: u8 },
}

impl Transport {
    /// Returns the protocol number within the family of an address.
    pub(crate) fn protocol(self, family_of: IpAddr) -> u8 {
        match self {
            Self::Tcp { .. } | Self::Stray { .. } => TCP,
            Self::Udp { .. } => UDP,
            Self::Icmp { .. } if family_of.is_ipv4() => ICMP,
            Self::Icmp { .. } | Self::Discovery { .. } => ICMPV6,
            Self::Raw(number) => number,
        }
    }

    /// Returns the ports, source first, of what has them.
    pub(crate) fn ports(self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp { source, port }
            | Self::Udp { source, port }
            | Self::Stray { source, port } => Some((source, port)),
            Self::Icmp { .. } | Self::Raw(_) | Self::Discovery { .. } => None,
        }
    }
}

/// Says what an arrived packet is to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its request.
    Request,
    /// An answer to it.
    Reply,
}

/// Is an arrived packet of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Which part it is.
    pub(crate) part: Part,
    /// The probe's token.
    pub(crate) token: u32,
    /// The ports of the packet itself, where it has some.
    pub(crate) ports: Option<(u16, u16)>,
}

/// Builds the request of a probe.
pub(crate) fn request(from: IpAddr, to: IpAddr, transport: Transport, token: u32) -> Vec<u8> {
    let bytes = token.to_be_bytes();
    let body = match transport {
        Transport::Tcp { source, port } => segment(source, port, SYN, token),
        Transport::Stray { source, port } => segment(source, port, NONSENSE, token),
        Transport::Udp { source, port } => {
            datagram(source, port, &[ASK.as_slice(), &bytes].concat())
        }
        Transport::Icmp { id, code } => {
            let [high, low] = id.to_be_bytes();
            let kind = if from.is_ipv4() { 8 } else { 128 };
            [&[kind, code, 0, 0, high, low, 0, 1], ASK.as_slice(), &bytes].concat()
        }
        Transport::Raw(_) => [ASK.as_slice(), &bytes].concat(),
        Transport::Discovery { kind } => {
            [&[kind, 0, 0, 0, 0, 0, 0, 0], ASK.as_slice(), &bytes].concat()
        }
    };
    whole(from, to, transport.protocol(from), body)
}

/// Builds the answer to a request that the kernel does not answer by itself: UDP and those of [`RAW`].
pub(crate) fn answer(from: IpAddr, to: IpAddr, protocol: u8, arrival: Arrival) -> Option<Vec<u8>> {
    let text = [YES.as_slice(), &arrival.token.to_be_bytes()].concat();
    let body = match (protocol, arrival.ports) {
        (UDP, Some((source, port))) => datagram(port, source, &text),
        (number, _) if RAW.contains(&number) => text,
        _ => return None,
    };
    Some(whole(from, to, protocol, body))
}

/// Reads what stands behind the IP header of an arrived packet.
pub(crate) fn recognise(protocol: u8, body: &[u8]) -> Option<Arrival> {
    let ports = |body: &[u8]| Some((number(body, 0)?, number(body, 2)?));
    let marked = |text: &[u8]| {
        let part = match text.get(..4)? {
            mark if mark == ASK => Part::Request,
            mark if mark == YES => Part::Reply,
            _ => return None,
        };
        Some((part, long(text, 4)?))
    };
    match protocol {
        TCP => {
            let flags = body.get(13)? & (SYN | ACK | RST | NONSENSE);
            let (part, token) = match flags {
                SYN | NONSENSE => (Part::Request, long(body, 4)?),
                it if it == SYN | ACK => (Part::Reply, long(body, 8)?.wrapping_sub(1)),
                _ => return None,
            };
            Some(Arrival {
                part,
                token,
                ports: ports(body),
            })
        }
        UDP => {
            let (part, token) = marked(body.get(8..)?)?;
            Some(Arrival {
                part,
                token,
                ports: ports(body),
            })
        }
        ICMP | ICMPV6 => {
            let part = match body.first()? {
                8 | 128 | 130..=136 | 143 => Part::Request,
                0 | 129 => Part::Reply,
                _ => return None,
            };
            let (_, token) = marked(body.get(8..)?)?;
            Some(Arrival {
                part,
                token,
                ports: None,
            })
        }
        number if RAW.contains(&number) => {
            let (part, token) = marked(body)?;
            Some(Arrival {
                part,
                token,
                ports: None,
            })
        }
        _ => None,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn segment(source: u16, port: u16, flags: u8, token: u32) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..2].copy_from_slice(&source.to_be_bytes());
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment[4..8].copy_from_slice(&token.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = flags;
    segment[14..16].copy_from_slice(&64240_u16.to_be_bytes());
    segment
}

fn datagram(source: u16, port: u16, text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + text.len()).expect("a probe is short");
    let mut datagram = Vec::new();
    for field in [source, port, length, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(text);
    datagram
}

/// Puts the checksum into a body and an IP header in front of it.
fn whole(from: IpAddr, to: IpAddr, protocol: u8, mut body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a probe is short");
    let (header, mut covered) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            header_v4(from, to, protocol, length),
            [from.octets(), to.octets()].concat(),
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => (
            header_v6(from, to, protocol, length),
            [from.octets(), to.octets()].concat(),
        ),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            unreachable!("both ends of a probe are of one family")
        }
    };
    let at = match protocol {
        TCP => Some(16),
        UDP => Some(6),
        ICMP | ICMPV6 => Some(2),
        _ => None,
    };
    if let Some(at) = at {
        // The pseudo header: addresses, protocol and length; ICMP of IPv4 has none.
        covered.extend([0, protocol]);
        covered.extend(length.to_be_bytes());
        if protocol == ICMP {
            covered.clear();
        }
        covered.extend(&body);
        body[at..at + 2].copy_from_slice(&checksum(&covered).to_be_bytes());
    }
    [header, body].concat()
}

fn header_v4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: u16) -> Vec<u8> {
    // The kernel fills in the identification and the checksum.
    let mut header = vec![0x45, 0];
    header.extend((20 + length).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

fn header_v6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, length: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([protocol, 64]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

/// Returns the internet checksum of RFC 1071, never zero, which means "none" to UDP.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !u16::try_from(sum).unwrap_or(0) {
        0 => 0xffff,
        sum => sum,
    }
}
