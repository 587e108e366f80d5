//! The bytes of the probes that no ordinary socket sends.

use std::net::IpAddr;

use crate::topology::Family;

/// Marks a request of a raw IP protocol.
const REQUEST: &[u8; 4] = b"ask:";
/// Marks its answer.
const ANSWER: &[u8; 4] = b"yes:";

/// Returns a request of a raw IP protocol.
pub(crate) fn request(token: u16) -> Vec<u8> {
    [REQUEST.as_slice(), &token.to_be_bytes()].concat()
}

/// Returns the answer to a request, or nothing if the payload is none.
pub(crate) fn answer(payload: &[u8]) -> Option<Vec<u8>> {
    payload
        .strip_prefix(REQUEST)
        .map(|token| [ANSWER.as_slice(), token].concat())
}

/// Says whether the payload answers the request with this token.
pub(crate) fn is_answer(payload: &[u8], token: u16) -> bool {
    payload
        .strip_prefix(ANSWER)
        .is_some_and(|rest| rest == token.to_be_bytes())
}

/// Returns what follows the IP header that a raw IPv4 socket delivers and a raw IPv6 socket does not.
pub(crate) fn ip_payload(family: Family, packet: &[u8]) -> &[u8] {
    let header = match family {
        Family::V4 => packet
            .first()
            .map_or(0, |first| usize::from(first & 0x0f) * 4),
        Family::V6 => 0,
    };
    packet.get(header..).unwrap_or_default()
}

/// Returns an ICMP message with identifier `token`; the kernel fills in the checksum of IPv6.
pub(crate) fn icmp_message(family: Family, icmp_type: u8, code: u8, token: u16) -> Vec<u8> {
    let [high, low] = token.to_be_bytes();
    // 20 bytes suit an echo (8 and a payload) and a timestamp (8 and three times).
    let mut message = vec![0; 20];
    message[..8].copy_from_slice(&[icmp_type, code, 0, 0, high, low, 0, 1]);
    if family == Family::V4 {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Says whether an ICMP message is the reply of `icmp_type` to identifier `token`.
pub(crate) fn is_icmp_reply(message: &[u8], icmp_type: u8, token: u16) -> bool {
    let [high, low] = token.to_be_bytes();
    matches!(message, [kind, _, _, _, a, b, ..] if *kind == icmp_type && [*a, *b] == [high, low])
}

/// The TCP flag RST.
const RST: u8 = 0x04;
/// The TCP flag ACK.
const ACK: u8 = 0x10;

/// Returns a TCP segment that acknowledges what nobody sent.
pub(crate) fn stray_acknowledgement(from: IpAddr, to: IpAddr, source: u16, port: u16) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..2].copy_from_slice(&source.to_be_bytes());
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment[4..8].copy_from_slice(&1000_u32.to_be_bytes());
    segment[8..12].copy_from_slice(&2000_u32.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = ACK;
    segment[14..16].copy_from_slice(&1024_u16.to_be_bytes());
    let mut covered = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            covered.extend(from.octets());
            covered.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            covered.extend(from.octets());
            covered.extend(to.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            unreachable!("both ends of a probe are of one family")
        }
    }
    // The rest of the pseudo header: the protocol and the length, each as its low bytes.
    covered.extend([0, 6, 0, 20]);
    covered.extend(&segment);
    let sum = checksum(&covered);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// Says whether a TCP segment resets the connection from `port` to `destination`.
pub(crate) fn is_reset(segment: &[u8], port: u16, destination: u16) -> bool {
    segment.len() >= 20
        && segment[..2] == port.to_be_bytes()
        && segment[2..4] == destination.to_be_bytes()
        && segment[13] & RST != 0
}

/// Returns the internet checksum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
