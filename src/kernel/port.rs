//! The port at the kernel: bytes go out, datagrams come in, and nothing is known of what they say.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, NetlinkAddr, recvmsg, sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeVal;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::error::KernelError;
use super::socket::Wait;

/// A limit, not an allocation: a batch must fit it whole.
const SEND_BUFFER: usize = 256 << 20;
/// Room for the answers to a batch, of which each may repeat the message that it answers.
const RECEIVE_BUFFER: usize = 64 << 20;

/// A bound netlink socket of the netfilter family.
pub(super) struct Port(NlSocket);

/// Who sent a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// The kernel.
    Kernel,
    /// A process.
    Other,
}

impl Port {
    /// Opens a port in the network namespace of the calling thread, and returns it with its number.
    pub(super) fn open(timeout: Duration) -> Result<(Self, u32), KernelError> {
        let open = |source| KernelError::Open { source };
        let socket = NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).map_err(open)?;
        socket
            .enable_ext_ack(true)
            .map_err(|source| KernelError::SocketOption {
                option: "NETLINK_EXT_ACK",
                source,
            })?;
        let number = socket.pid().map_err(open)?;
        set_options(&socket, timeout)?;
        Ok((Self(socket), number))
    }

    /// Sends bytes and returns how many were taken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes, Msg::empty())
    }

    /// Receives one datagram and returns how long it is.
    pub(super) fn receive(
        &mut self,
        datagram: &mut [u8],
        wait: Wait,
    ) -> Result<(usize, Sender), Errno> {
        let flags = match wait {
            Wait::No => MsgFlags::MSG_DONTWAIT,
            Wait::Timeout => MsgFlags::empty(),
        };
        let mut parts = [IoSliceMut::new(datagram)];
        let received = recvmsg::<NetlinkAddr>(self.0.as_raw_fd(), &mut parts, None, flags)?;
        let sender = if received.address.is_some_and(|sender| sender.pid() == 0) {
            Sender::Kernel
        } else {
            Sender::Other
        };
        Ok((received.bytes, sender))
    }
}

/// Sets the sizes of the buffers and the time to wait.
fn set_options(socket: &NlSocket, timeout: Duration) -> Result<(), KernelError> {
    let failed = |option, source| KernelError::SocketOption { option, source };
    let descriptor = duplicate(socket.as_raw_fd()).map_err(|source| failed("options", source))?;
    // Without CAP_NET_ADMIN the sizes are cut to the limits of the system, which small batches fit.
    if setsockopt(&descriptor, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        setsockopt(&descriptor, sockopt::SndBuf, &SEND_BUFFER)
            .map_err(|errno| failed("SO_SNDBUF", errno.into()))?;
    }
    if setsockopt(&descriptor, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        setsockopt(&descriptor, sockopt::RcvBuf, &RECEIVE_BUFFER)
            .map_err(|errno| failed("SO_RCVBUF", errno.into()))?;
    }
    // The kernel takes a time of zero for ever.
    let timeout = timeout.max(Duration::from_millis(1));
    let wait = TimeVal::new(
        i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        i64::from(timeout.subsec_micros()),
    );
    setsockopt(&descriptor, sockopt::ReceiveTimeout, &wait)
        .map_err(|errno| failed("SO_RCVTIMEO", errno.into()))
}

/// Returns a second, owned descriptor of a socket.
///
/// neli lends its descriptor only as a number, and safe code cannot make of a number the descriptor that the
/// setting of options wants. Sent to ourselves, it comes back as one, by the kernel's hand.
fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    let (here, there) = UnixDatagram::pair()?;
    sendmsg::<()>(
        here.as_raw_fd(),
        &[IoSlice::new(&[0])],
        &[ControlMessage::ScmRights(&[descriptor])],
        MsgFlags::empty(),
        None,
    )?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        &there,
        &mut [IoSliceMut::new(&mut [0])],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut received = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            received = descriptors.next();
        }
    }
    received.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}
