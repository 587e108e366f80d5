//! Netlink messages and attributes, read from bytes without trust in any length.

/// `NLMSG_ERROR` of `linux/netlink.h`: the answer to a request.
pub(super) const NLMSG_ERROR: u16 = 2;
/// `NLMSG_DONE` of `linux/netlink.h`: the end of a dump.
pub(super) const NLMSG_DONE: u16 = 3;
/// The size of `struct nlmsghdr` of `linux/netlink.h`.
const NLMSGHDR: usize = 16;
/// The size of `struct nlattr` of `linux/netlink.h`.
const NLATTR: usize = 4;
/// `NLA_TYPE_MASK` of `linux/netlink.h`.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// A netlink message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Its type.
    pub(super) kind: u16,
    /// Its flags.
    pub(super) flags: u16,
    /// The sequence number of the request that it answers or reports.
    pub(super) sequence: u32,
    /// The port whose request it answers or reports.
    pub(super) port: u32,
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

impl Message<'_> {
    /// Returns the code of an answer or of the end of a dump: zero, or an errno.
    pub(super) fn code(&self) -> Option<i32> {
        matches!(self.kind, NLMSG_ERROR | NLMSG_DONE).then(|| {
            self.payload
                .first_chunk()
                .map_or(0, |bytes| i32::from_ne_bytes(*bytes).saturating_neg())
        })
    }
}

/// The rest of a datagram is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Returns the messages of a datagram, and a fault where it cannot be taken apart any further.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = message(rest);
        rest = message
            .as_ref()
            .and_then(|message| {
                let length = NLMSGHDR + message.payload.len();
                rest.get(length.next_multiple_of(4)..)
            })
            .unwrap_or_default();
        Some(message.ok_or(Malformed))
    })
}

fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let (header, _) = bytes.split_first_chunk::<NLMSGHDR>()?;
    let [
        l0,
        l1,
        l2,
        l3,
        k0,
        k1,
        f0,
        f1,
        s0,
        s1,
        s2,
        s3,
        p0,
        p1,
        p2,
        p3,
    ] = *header;
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
    Some(Message {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        port: u32::from_ne_bytes([p0, p1, p2, p3]),
        payload: bytes.get(NLMSGHDR..length)?,
    })
}

/// Returns the value of the first attribute of a kind.
pub(super) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    loop {
        let (header, _) = rest.split_first_chunk::<NLATTR>()?;
        let [l0, l1, k0, k1] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(NLATTR..length)?;
        if u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// Reads a number of 32 bits in the machine's order.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: u32, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend(9_u32.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_datagram_falls_into_messages() {
        let mut datagram = bytes(18, 24, &[1, 2, 0, 0]);
        datagram.extend(bytes(20, NLMSG_ERROR, &(-17_i32).to_ne_bytes()));
        let found: Vec<_> = messages(&datagram).map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].payload), (24, &[1, 2][..]));
        assert_eq!((found[0].sequence, found[0].port), (7, 9));
        assert_eq!(found[0].code(), None);
        assert_eq!(found[1].code(), Some(17));
    }

    #[test]
    fn wrong_lengths_end_the_datagram() {
        for length in [0, 15, 21, u32::MAX] {
            let datagram = bytes(length, 24, &[1, 2, 3, 4]);
            let found: Vec<_> = messages(&datagram).collect();
            assert_eq!(found, [Err(Malformed)], "length {length}");
        }
        assert_eq!(messages(&[1, 2, 3]).count(), 1);
        assert_eq!(messages(&[]).count(), 0);
    }

    #[test]
    fn attributes_are_found_past_others_and_never_past_the_end() {
        let attributes = [5, 0, 1, 0, 9, 0, 0, 0, 8, 0, 2, 0x80, 1, 2, 3, 4];
        assert_eq!(attribute(&attributes, 1), Some(&[9][..]));
        assert_eq!(attribute(&attributes, 2), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&attributes, 3), None);
        for bad in [&[0, 0, 1, 0][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 5], &[8, 0]] {
            assert_eq!(attribute(bad, 1), None);
        }
    }
}
