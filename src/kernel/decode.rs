//! Reading of netlink bytes that are not to be trusted: every length is checked, what is unknown is skipped.

use super::encode::consts::{netlink, nfnetlink};

/// A message of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// The type.
    pub(super) kind: u16,
    /// `NLM_F_*`.
    pub(super) flags: u16,
    /// The sequence number of the request that it answers.
    pub(super) sequence: u32,
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Returns the attributes of a message of a netfilter subsystem.
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes(
            self.payload
                .get(nfnetlink::NFGENMSG_LENGTH..)
                .unwrap_or_default(),
        )
    }

    /// Returns the address family of a message of a netfilter subsystem.
    pub(super) fn family(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// Reads the message as an answer that carries an error number, zero for an acknowledgement.
    pub(super) fn reply(&self) -> Option<Reply<'a>> {
        if self.kind != netlink::NLMSG_ERROR {
            return None;
        }
        let code = i32::from_ne_bytes(take(self.payload, 0)?);
        let request_length = u32::from_ne_bytes(take(self.payload, 4)?);
        let request_length = usize::try_from(request_length).ok()?;
        // The kernel repeats the request behind the error, or just its header.
        let repeated = if self.flags & netlink::NLM_F_CAPPED != 0 || code == 0 {
            netlink::HEADER_LENGTH
        } else {
            request_length.checked_next_multiple_of(4)?
        };
        let details = if self.flags & netlink::NLM_F_ACK_TLVS == 0 {
            &[]
        } else {
            self.payload
                .get(repeated.checked_add(4)?..)
                .unwrap_or_default()
        };
        let mut reply = Reply {
            errno: code.checked_neg()?,
            offset: None,
            text: None,
        };
        for (attribute, value) in Attributes(details) {
            match attribute {
                netlink::NLMSGERR_ATTR_OFFS => {
                    let offset = take(value, 0).map(u32::from_ne_bytes);
                    reply.offset = offset.and_then(|offset| usize::try_from(offset).ok());
                }
                netlink::NLMSGERR_ATTR_MSG => reply.text = text(value),
                _ => {}
            }
        }
        Some(reply)
    }
}

/// The kernel's answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    /// The error number, zero for success.
    pub(super) errno: i32,
    /// The place in the request that is complained of.
    pub(super) offset: Option<usize>,
    /// What the kernel says in words.
    pub(super) text: Option<&'a str>,
}

/// The messages of a datagram; ends at the first that is malformed.
#[derive(Debug, Clone)]
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0;
        let length = usize::try_from(u32::from_ne_bytes(take(rest, 0)?)).ok()?;
        if length < netlink::HEADER_LENGTH {
            return None;
        }
        // A message that was cut off still says in its head what it answers.
        let end = length.min(rest.len());
        let message = Message {
            kind: u16::from_ne_bytes(take(rest, 4)?),
            flags: u16::from_ne_bytes(take(rest, 6)?),
            sequence: u32::from_ne_bytes(take(rest, 8)?),
            payload: rest.get(netlink::HEADER_LENGTH..end)?,
        };
        let next = length.checked_next_multiple_of(4)?;
        self.0 = rest.get(next..).unwrap_or_default();
        Some(message)
    }
}

/// The attributes of a message or of an attribute; ends at the first that is malformed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    /// Returns the value of the first attribute of a type.
    pub(super) fn value(self, wanted: u16) -> Option<&'a [u8]> {
        self.into_iter()
            .find_map(|(attribute, value)| (attribute == wanted).then_some(value))
    }

    /// Returns the attributes inside the first attribute of a type.
    pub(super) fn nested(self, wanted: u16) -> Option<Self> {
        self.value(wanted).map(Self)
    }

    /// Returns a text without its NUL.
    pub(super) fn text(self, wanted: u16) -> Option<&'a str> {
        text(self.value(wanted)?)
    }

    /// Returns a number in network order.
    pub(super) fn be32(self, wanted: u16) -> Option<u32> {
        exact(self.value(wanted)?).map(u32::from_be_bytes)
    }

    /// Returns a number of 64 bits in network order.
    pub(super) fn be64(self, wanted: u16) -> Option<u64> {
        exact(self.value(wanted)?).map(u64::from_be_bytes)
    }

    /// Returns a signed number in network order.
    pub(super) fn signed_be32(self, wanted: u16) -> Option<i32> {
        exact(self.value(wanted)?).map(i32::from_be_bytes)
    }
}

impl<'a> IntoIterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);
    type IntoIter = AttributeIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        AttributeIter(self.0)
    }
}

/// Goes through attributes.
#[derive(Debug, Clone)]
pub(super) struct AttributeIter<'a>(&'a [u8]);

impl<'a> Iterator for AttributeIter<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0;
        let length = usize::from(u16::from_ne_bytes(take(rest, 0)?));
        let kind = u16::from_ne_bytes(take(rest, 2)?) & netlink::NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The user data of an object: values behind a type and a length of one byte each.
#[derive(Debug, Clone)]
pub(super) struct UserData<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for UserData<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some((kind, value))
    }
}

/// Returns a text up to its first NUL, where it is UTF-8.
fn text(value: &[u8]) -> Option<&str> {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    std::str::from_utf8(value.get(..end)?).ok()
}

fn take<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start.checked_add(N)?)?.try_into().ok()
}

/// Returns bytes as an array where they are just as many.
pub(super) fn exact<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut read = 0;
            for message in Messages(&bytes) {
                read += message.payload.len();
                let _ = message.reply();
                for (_, value) in message.attributes() {
                    read += Attributes(value).into_iter().count();
                }
            }
            prop_assert!(read <= 200);
            prop_assert!(UserData(&bytes).count() <= 100);
        }
    }

    fn error(flags: u16, tail: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = u32::try_from(16 + tail.len()).unwrap();
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&netlink::NLMSG_ERROR.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn the_offset_is_found_behind_a_repeated_request_and_behind_its_header_alone() {
        let mut request = Vec::new();
        request.extend_from_slice(&24_u32.to_ne_bytes());
        request.extend_from_slice(&[0; 20]);
        let mut offset = Vec::new();
        offset.extend_from_slice(&8_u16.to_ne_bytes());
        offset.extend_from_slice(&2_u16.to_ne_bytes());
        offset.extend_from_slice(&28_u32.to_ne_bytes());
        let code = (-2_i32).to_ne_bytes();
        let whole = [code.as_slice(), &request, &offset].concat();
        let header = request.get(..16).unwrap();
        let capped = [code.as_slice(), header, &offset].concat();
        for bytes in [error(0x200, &whole), error(0x300, &capped)] {
            let message = Messages(&bytes).next().unwrap();
            let reply = message.reply().unwrap();
            assert_eq!((reply.errno, reply.offset), (2, Some(28)));
        }
    }

    #[test]
    fn a_cut_message_still_says_what_it_answers() {
        let bytes = error(0, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        let message = Messages(&bytes).next().unwrap();
        assert_eq!(message.reply().unwrap().errno, 2);
        assert!(Messages(bytes.get(..15).unwrap()).next().is_none());
    }
}
