//! A transaction that is bound to the generation of the ruleset in which its cause was read.

use super::buffer::{Buffer, Header, TooLong};
use super::consts::netlink::{NLM_F_ACK, NLM_F_REQUEST};
use super::consts::nfnetlink;

/// How a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) enum Finish {
    /// It takes effect.
    Commit,
    /// The kernel goes through it, says what it would refuse, and takes all back, since the end is missing.
    Check,
}

/// A batch that the kernel refuses in any other generation.
#[derive(Debug)]
pub(in crate::kernel) struct BoundBatch {
    buffer: Buffer,
    first_sequence: u32,
    next_sequence: u32,
    last: usize,
}

/// The bytes of a batch, and the sequence numbers in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kernel) struct BoundBytes {
    pub(in crate::kernel) bytes: Vec<u8>,
    pub(in crate::kernel) sequences: std::ops::Range<u32>,
}

impl BoundBatch {
    /// Begins a batch; each message has the sequence number after that of the one before.
    pub(in crate::kernel) fn new(generation: u32, first_sequence: u32) -> Result<Self, TooLong> {
        let mut batch = Self {
            buffer: Buffer::with_capacity(512),
            first_sequence,
            next_sequence: first_sequence,
            last: 0,
        };
        batch.end(nfnetlink::NFNL_MSG_BATCH_BEGIN, |buffer| {
            buffer.be32(nfnetlink::NFNL_BATCH_GENID, generation);
        })?;
        Ok(batch)
    }

    /// Writes a message of a family, `NFPROTO_*`.
    pub(in crate::kernel) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        body: impl FnOnce(&mut Buffer),
    ) -> Result<(), TooLong> {
        self.last = self.buffer.len();
        let header = Header {
            kind,
            flags: NLM_F_REQUEST | flags,
            sequence: self.take_sequence(),
            family,
            resource: 0,
        };
        self.buffer.message(header, body)
    }

    /// Ends the batch.
    pub(in crate::kernel) fn finish(mut self, finish: Finish) -> Result<BoundBytes, TooLong> {
        // The acknowledgement of the last message comes after every refusal.
        self.buffer.add_flags(self.last, NLM_F_ACK);
        match finish {
            Finish::Commit => self.end(nfnetlink::NFNL_MSG_BATCH_END, |_| {})?,
            Finish::Check => {}
        }
        Ok(BoundBytes {
            bytes: self.buffer.into_bytes(),
            sequences: self.first_sequence..self.next_sequence,
        })
    }

    fn end(&mut self, kind: u16, body: impl FnOnce(&mut Buffer)) -> Result<(), TooLong> {
        let header = Header {
            kind,
            flags: NLM_F_REQUEST,
            sequence: self.take_sequence(),
            family: nfnetlink::NFPROTO_UNSPEC,
            resource: nfnetlink::NFNL_SUBSYS_NFTABLES,
        };
        self.buffer.message(header, body)
    }

    fn take_sequence(&mut self) -> u32 {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.saturating_add(1);
        sequence
    }
}
