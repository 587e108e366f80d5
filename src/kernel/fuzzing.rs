//! A port whose other end is bytes of a fuzzer's choice; compiled with `--cfg fuzzing` alone, in place of `port`.
//!
//! The bytes are a script of records, each one byte that says what comes, two that say how long it is, in the order of
//! the machine, and its text. After a record without [`MORE`] nothing comes until the next request is sent.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use super::decode::exact;
use super::error::KernelError;
use super::socket::Wait;

/// A datagram that answers: its messages get sequence numbers of what was sent last.
pub const ANSWER: u8 = 0;
/// A datagram as it is.
pub const RAW: u8 = 1;
/// A datagram of another process.
pub const FOREIGN: u8 = 2;
/// An error in place of a datagram, whose number is the first byte of the text.
pub const ERROR: u8 = 3;
/// Another record follows at once.
pub const MORE: u8 = 0x80;

/// The number of every port.
pub const NUMBER: u32 = 1;

thread_local! {
    static SCRIPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lets the kernel answer what a script says; what an earlier one has left is forgotten.
pub fn answer_with(script: &[u8]) {
    SCRIPT.with_borrow_mut(|rest| {
        rest.clear();
        rest.extend_from_slice(script);
        // The first record stands last.
        rest.reverse();
    });
}

/// The port.
pub(super) struct Port {
    /// The sequence numbers of what was sent last.
    sent: Vec<[u8; 4]>,
    quiet: bool,
}

/// Who sent a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The kernel.
    Kernel,
    /// A process.
    Other,
}

impl Port {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the port that it stands for can fail"
    )]
    pub(super) fn open(_timeout: Duration) -> Result<(Self, u32), KernelError> {
        let port = Self {
            sent: Vec::new(),
            quiet: true,
        };
        Ok((port, NUMBER))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the port that it stands for can fail"
    )]
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.clear();
        for_each_message(&mut bytes.to_vec(), |sequence| self.sent.push(*sequence));
        self.quiet = false;
        Ok(bytes.len())
    }

    pub(super) fn receive(
        &mut self,
        datagram: &mut [u8],
        _wait: Wait,
    ) -> Result<(usize, Sender), Errno> {
        if std::mem::replace(&mut self.quiet, true) {
            return Err(Errno::EAGAIN);
        }
        let (what, mut text) = record().ok_or(Errno::EAGAIN)?;
        self.quiet = what & MORE == 0;
        text.truncate(datagram.len());
        let sender = match what & !MORE {
            ERROR => return Err(Errno::from_raw(text.first().copied().unwrap_or(0).into())),
            FOREIGN => Sender::Other,
            RAW => Sender::Kernel,
            _ => {
                for_each_message(&mut text, |sequence| {
                    let which = usize::try_from(u32::from_ne_bytes(*sequence)).unwrap_or(0);
                    let which = which.checked_rem(self.sent.len()).unwrap_or(0);
                    *sequence = self.sent.get(which).copied().unwrap_or_default();
                });
                Sender::Kernel
            }
        };
        let room = datagram.get_mut(..text.len()).unwrap_or_default();
        room.copy_from_slice(&text);
        Ok((text.len(), sender))
    }
}

/// Takes the next record of the script, cut off where the script ends.
fn record() -> Option<(u8, Vec<u8>)> {
    SCRIPT.with_borrow_mut(|rest| {
        let what = rest.pop()?;
        let length = [rest.pop()?, rest.pop()?];
        let left = rest
            .len()
            .saturating_sub(usize::from(u16::from_ne_bytes(length)));
        let mut text = rest.split_off(left);
        text.reverse();
        Some((what, text))
    })
}

/// Shows the sequence number of each message of a datagram.
fn for_each_message(bytes: &mut [u8], mut take: impl FnMut(&mut [u8; 4])) {
    let mut rest = bytes;
    while let Some(length) = rest.get(..4).and_then(exact).map(u32::from_ne_bytes) {
        if let Some(sequence) = rest.get_mut(8..12).and_then(|it| it.try_into().ok()) {
            take(sequence);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX).max(16);
        let Some(next) = length.checked_next_multiple_of(4) else {
            break;
        };
        rest = rest.get_mut(next..).unwrap_or_default();
    }
}
