//! A growing run of netlink messages.

use super::consts::netlink;

/// What stands at the head of an `nf_tables` message.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernel) struct Header {
    /// The type of the message.
    pub(in crate::kernel) kind: u16,
    /// `NLM_F_*`.
    pub(in crate::kernel) flags: u16,
    /// The sequence number, which replies carry.
    pub(in crate::kernel) sequence: u32,
    /// `NFPROTO_*`.
    pub(in crate::kernel) family: u8,
    /// The subsystem at the ends of a batch, else zero.
    pub(in crate::kernel) resource: u16,
}

/// An attribute or a message is longer than its length field can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct TooLong;

/// Netlink messages, one after the other.
///
/// Attributes that outgrow their length field are remembered and reported at the end of their message, so
/// that writing needs no check at every step.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Buffer {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Buffer {
    /// Makes an empty buffer with room for `capacity` bytes.
    pub(in crate::kernel) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            too_long: false,
        }
    }

    /// Returns how many bytes have been written.
    pub(in crate::kernel) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the bytes.
    pub(in crate::kernel) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a message whose attributes `body` writes.
    pub(in crate::kernel) fn message(
        &mut self,
        header: Header,
        body: impl FnOnce(&mut Self),
    ) -> Result<(), TooLong> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&header.kind.to_ne_bytes());
        self.bytes.extend_from_slice(&header.flags.to_ne_bytes());
        self.bytes.extend_from_slice(&header.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[header.family, 0]);
        self.bytes.extend_from_slice(&header.resource.to_be_bytes());
        body(self);
        let length = u32::try_from(self.bytes.len() - start).map_err(|_| TooLong)?;
        if std::mem::take(&mut self.too_long) {
            return Err(TooLong);
        }
        self.patch(start, &length.to_ne_bytes());
        Ok(())
    }

    /// Adds flags to the message that begins at `start`.
    pub(in crate::kernel) fn add_flags(&mut self, start: usize, flags: u16) {
        if let Some(field) = self.bytes.get_mut(start + 6..start + 8) {
            for (byte, more) in field.iter_mut().zip(flags.to_ne_bytes()) {
                *byte |= more;
            }
        }
    }

    /// Writes an attribute whose inner attributes `body` writes.
    pub(in crate::kernel) fn nest(&mut self, attribute: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes
            .extend_from_slice(&(attribute | netlink::NLA_F_NESTED).to_ne_bytes());
        body(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.patch(start, &length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
    }

    /// Writes an attribute of plain bytes.
    #[inline]
    pub(in crate::kernel) fn bytes(&mut self, attribute: u16, value: &[u8]) {
        self.parts(attribute, value, &[]);
    }

    /// Writes an attribute of text with a final NUL.
    pub(in crate::kernel) fn text(&mut self, attribute: u16, value: &str) {
        self.parts(attribute, value.as_bytes(), &[0]);
    }

    /// Writes an attribute of one byte.
    pub(in crate::kernel) fn u8(&mut self, attribute: u16, value: u8) {
        self.bytes(attribute, &[value]);
    }

    /// Writes an attribute of four bytes, the most significant first.
    #[inline]
    pub(in crate::kernel) fn be32(&mut self, attribute: u16, value: u32) {
        self.bytes(attribute, &value.to_be_bytes());
    }

    /// Writes a signed attribute of four bytes, the most significant first.
    pub(in crate::kernel) fn signed_be32(&mut self, attribute: u16, value: i32) {
        self.bytes(attribute, &value.to_be_bytes());
    }

    /// Writes an attribute of eight bytes, the most significant first.
    pub(in crate::kernel) fn be64(&mut self, attribute: u16, value: u64) {
        self.bytes(attribute, &value.to_be_bytes());
    }

    fn parts(&mut self, attribute: u16, first: &[u8], second: &[u8]) {
        let length = first.len() + second.len();
        let Ok(field) = u16::try_from(length + 4) else {
            self.too_long = true;
            return;
        };
        self.bytes.extend_from_slice(&field.to_ne_bytes());
        self.bytes.extend_from_slice(&attribute.to_ne_bytes());
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
        self.bytes
            .resize(self.bytes.len() + (4 - length % 4) % 4, 0);
    }

    fn patch(&mut self, start: usize, field: &[u8]) {
        if let Some(place) = self.bytes.get_mut(start..start + field.len()) {
            place.copy_from_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: impl FnOnce(&mut Buffer)) -> Result<Vec<u8>, TooLong> {
        let mut buffer = Buffer::with_capacity(64);
        let header = Header {
            kind: 0x0a00,
            flags: 1,
            sequence: 7,
            family: 1,
            resource: 10,
        };
        buffer.message(header, body)?;
        Ok(buffer.into_bytes())
    }

    #[test]
    fn lengths_are_patched_and_attributes_padded() {
        let bytes = message(|buffer| {
            buffer.nest(4, |buffer| {
                buffer.text(1, "ab");
                buffer.be32(2, 5);
                buffer.u8(3, 9);
            });
        })
        .unwrap();
        let mut expected = Vec::new();
        expected.extend_from_slice(&48_u32.to_ne_bytes());
        expected.extend_from_slice(&0x0a00_u16.to_ne_bytes());
        expected.extend_from_slice(&1_u16.to_ne_bytes());
        expected.extend_from_slice(&7_u32.to_ne_bytes());
        expected.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 10]);
        expected.extend_from_slice(&28_u16.to_ne_bytes());
        expected.extend_from_slice(&0x8004_u16.to_ne_bytes());
        expected.extend_from_slice(&7_u16.to_ne_bytes());
        expected.extend_from_slice(&1_u16.to_ne_bytes());
        expected.extend_from_slice(b"ab\0\0");
        expected.extend_from_slice(&8_u16.to_ne_bytes());
        expected.extend_from_slice(&2_u16.to_ne_bytes());
        expected.extend_from_slice(&[0, 0, 0, 5]);
        expected.extend_from_slice(&5_u16.to_ne_bytes());
        expected.extend_from_slice(&3_u16.to_ne_bytes());
        expected.extend_from_slice(&[9, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn lengths_beyond_the_field_are_refused() {
        assert!(message(|buffer| buffer.bytes(1, &vec![0; 65_531])).is_ok());
        assert_eq!(
            message(|buffer| buffer.bytes(1, &vec![0; 65_532])),
            Err(TooLong)
        );
        let nested = |length: usize| {
            message(|buffer| buffer.nest(1, |buffer| buffer.bytes(1, &vec![0; length])))
        };
        assert!(nested(65_524).is_ok());
        assert_eq!(nested(65_528), Err(TooLong));
    }

    #[test]
    fn one_long_message_does_not_taint_the_next() {
        let mut buffer = Buffer::default();
        let header = Header {
            kind: 1,
            flags: 0,
            sequence: 0,
            family: 0,
            resource: 0,
        };
        assert!(
            buffer
                .message(header, |b| b.bytes(1, &vec![0; 70_000]))
                .is_err()
        );
        assert!(buffer.message(header, |b| b.u8(1, 1)).is_ok());
    }

    #[test]
    fn flags_are_added_in_place() {
        let mut buffer = Buffer::default();
        let header = Header {
            kind: 1,
            flags: 1,
            sequence: 0,
            family: 0,
            resource: 0,
        };
        buffer.message(header, |_| {}).unwrap();
        buffer.add_flags(0, 4);
        assert_eq!(buffer.into_bytes().get(6..8).unwrap(), &5_u16.to_ne_bytes());
    }
}
