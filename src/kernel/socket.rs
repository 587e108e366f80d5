//! The netlink socket, opened once and kept: the kernel knows the owner of a table by it.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::decode::{Message, Messages, exact};
use super::encode::bound::BoundBytes;
use super::encode::buffer::{Buffer, Header};
use super::encode::consts::netlink;
use super::error::KernelError;
use super::port::{Port, Sender};

/// Longer than the longest answer: an error that repeats a full list of elements.
const DATAGRAM_MAX: usize = 128 << 10;
/// Sequence numbers start again beyond this, so that those of one batch never wrap.
const SEQUENCE_TURN: u32 = u32::MAX / 2;

/// A netlink socket of the netfilter family.
pub(super) struct Socket {
    port: Port,
    number: u32,
    next_sequence: u32,
    timeout: Duration,
    datagram: Vec<u8>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("port", &self.number)
            .field("next_sequence", &self.next_sequence)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Whether to wait for a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Take what is there.
    No,
    /// Until the time allowed has passed.
    Timeout,
}

/// What came of an attempt to receive.
#[derive(Debug)]
pub(super) enum Received<'a> {
    /// A datagram of the kernel.
    Datagram(&'a [u8]),
    /// Nothing is there, or nothing came in time.
    Nothing,
    /// The kernel dropped answers because the receive buffer was full.
    Overrun,
}

/// What the kernel said to a batch.
#[derive(Debug, Default)]
struct Answer {
    /// Whether its last message was done; it says so also where another was refused.
    acknowledged: bool,
    /// The messages that it refused, by their sequence numbers.
    refused: Vec<(u32, Errno)>,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of it was done.
    Done,
    /// It was refused for these messages, and nothing was done.
    Refused(Vec<(u32, Errno)>),
    /// Somebody changed the ruleset since it was read, or it is not known what came of it: read again.
    Again,
}

impl Answer {
    /// Says what became of the batch.
    fn outcome(self) -> Outcome {
        let stale = |(_, errno): &(u32, Errno)| {
            matches!(errno, Errno::ERESTART | Errno::EAGAIN | Errno::EINTR)
        };
        if self.refused.iter().any(stale) {
            Outcome::Again
        } else if !self.refused.is_empty() {
            Outcome::Refused(self.refused)
        } else if self.acknowledged {
            Outcome::Done
        } else {
            Outcome::Again
        }
    }
}

/// How a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dump {
    /// It shows one state.
    Complete,
    /// The ruleset changed in between.
    Interrupted,
}

impl Socket {
    /// Opens and binds the socket in the network namespace of the calling thread.
    pub(super) fn open(timeout: Duration) -> Result<Self, KernelError> {
        let (port, number) = Port::open(timeout)?;
        Ok(Self {
            port,
            number,
            next_sequence: 1,
            timeout,
            datagram: vec![0; DATAGRAM_MAX],
        })
    }

    /// Returns the port, by which the kernel knows the owner of a table.
    pub(super) fn port(&self) -> u32 {
        self.number
    }

    /// Takes `count` sequence numbers and returns the first.
    pub(super) fn take_sequences(&mut self, count: u32) -> u32 {
        if self.next_sequence > SEQUENCE_TURN {
            self.next_sequence = 1;
        }
        let first = self.next_sequence;
        self.next_sequence = first.saturating_add(count);
        first
    }

    /// Sends bytes to the kernel, which has handled them when this returns.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), KernelError> {
        // What is left of an earlier exchange that was given up must not be taken for an answer to this one.
        while !matches!(self.receive(Wait::No), Ok(Received::Nothing) | Err(_)) {}
        let failed = |source| KernelError::Send {
            bytes: bytes.len(),
            source,
        };
        let sent = self.port.send(bytes).map_err(failed)?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(failed(io::Error::from(io::ErrorKind::WriteZero)))
        }
    }

    /// Receives one datagram of the kernel.
    pub(super) fn receive(&mut self, wait: Wait) -> Result<Received<'_>, Errno> {
        let deadline = Instant::now() + self.timeout;
        let length = loop {
            match self.port.receive(&mut self.datagram, wait) {
                Ok((length, Sender::Kernel)) => break length,
                // A privileged process may write to our port as the kernel does; it is not believed.
                Ok(_) | Err(Errno::EINTR) if Instant::now() < deadline => {}
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
                Err(Errno::ENOBUFS) => return Ok(Received::Overrun),
                Err(errno) => return Err(errno),
            }
        };
        Ok(Received::Datagram(
            self.datagram.get(..length).unwrap_or_default(),
        ))
    }

    /// Asks for one object; `None` where there is none of that name.
    pub(super) fn get(
        &mut self,
        what: &'static str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Buffer),
        mut found: impl FnMut(Message<'_>),
    ) -> Result<Option<()>, KernelError> {
        let sequence = self.request(what, kind, family, netlink::NLM_F_REQUEST, body)?;
        let end = self.exchange(what, &(sequence..sequence + 1), |message| {
            if let Some(reply) = message.reply() {
                return Some(if reply.errno == 0 {
                    Ok(None)
                } else {
                    Err(Errno::from_raw(reply.errno))
                });
            }
            found(message);
            Some(Ok(Some(())))
        })?;
        match end {
            Ok(found) => Ok(found),
            Err(Errno::ENOENT) => Ok(None),
            Err(source) => Err(KernelError::Refused { what, source }),
        }
    }

    /// Asks for all objects of a kind and gives each to `found`.
    pub(super) fn dump(
        &mut self,
        what: &'static str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Buffer),
        mut found: impl FnMut(Message<'_>),
    ) -> Result<Dump, KernelError> {
        let flags = netlink::NLM_F_REQUEST | netlink::NLM_F_DUMP;
        let sequence = self.request(what, kind, family, flags, body)?;
        let mut dump = Dump::Complete;
        let end = self.exchange(what, &(sequence..sequence + 1), |message| {
            if message.flags & netlink::NLM_F_DUMP_INTR != 0 {
                dump = Dump::Interrupted;
            }
            if let Some(reply) = message.reply() {
                return Some(if reply.errno == 0 {
                    Ok(())
                } else {
                    Err(Errno::from_raw(reply.errno))
                });
            }
            match message.kind {
                netlink::NLMSG_DONE => Some(dump_result(message.payload)),
                netlink::NLMSG_NOOP => None,
                _ => {
                    found(message);
                    None
                }
            }
        })?;
        match end {
            Ok(()) => Ok(dump),
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(Dump::Interrupted),
            Err(source) => Err(KernelError::Refused { what, source }),
        }
    }

    /// Sends a batch and takes what the kernel says to it.
    pub(super) fn transact(&mut self, batch: &BoundBytes) -> Result<Outcome, KernelError> {
        self.send(&batch.bytes)?;
        let mut answer = Answer::default();
        // The kernel has handled the batch by now: all answers are there.
        while let Ok(Received::Datagram(bytes)) = self.receive(Wait::No) {
            let ours = Messages(bytes).filter(|m| batch.sequences.contains(&m.sequence));
            for message in ours {
                match message.reply() {
                    Some(reply) if reply.errno == 0 => answer.acknowledged = true,
                    Some(reply) => {
                        let errno = Errno::from_raw(reply.errno);
                        answer.refused.push((message.sequence, errno));
                    }
                    None => {}
                }
            }
        }
        Ok(answer.outcome())
    }

    fn request(
        &mut self,
        what: &'static str,
        kind: u16,
        family: u8,
        flags: u16,
        body: impl FnOnce(&mut Buffer),
    ) -> Result<u32, KernelError> {
        let sequence = self.take_sequences(1);
        let mut buffer = Buffer::with_capacity(512);
        let header = Header {
            kind,
            flags,
            sequence,
            family,
            resource: 0,
        };
        buffer
            .message(header, body)
            .map_err(|_| KernelError::Malformed { what })?;
        self.send(&buffer.into_bytes())?;
        Ok(sequence)
    }

    /// Gives every message with one of our sequence numbers to `take` until it has what it wants.
    fn exchange<T>(
        &mut self,
        what: &'static str,
        sequences: &Range<u32>,
        mut take: impl FnMut(Message<'_>) -> Option<T>,
    ) -> Result<T, KernelError> {
        let timeout = self.timeout;
        let deadline = Instant::now() + timeout;
        loop {
            match self.receive(Wait::Timeout) {
                Ok(Received::Datagram(bytes)) => {
                    let ours = Messages(bytes).filter(|m| sequences.contains(&m.sequence));
                    for message in ours {
                        if let Some(end) = take(message) {
                            return Ok(end);
                        }
                    }
                }
                Ok(Received::Overrun) => {
                    return Err(KernelError::Receive {
                        source: Errno::ENOBUFS,
                    });
                }
                Ok(Received::Nothing) => {
                    return Err(KernelError::Timeout {
                        milliseconds: timeout.as_millis(),
                    });
                }
                Err(source) => return Err(KernelError::Receive { source }),
            }
            // A dump may go on for long as long as it moves; this ends an exchange with nothing of ours in it.
            if Instant::now() > deadline + timeout * 10 {
                return Err(KernelError::Malformed { what });
            }
        }
    }
}

/// Reads the result that closes a dump.
fn dump_result(payload: &[u8]) -> Result<(), Errno> {
    let code = payload.get(..4).and_then(exact).map(i32::from_ne_bytes);
    match code.and_then(i32::checked_neg) {
        None | Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw(errno)),
    }
}
