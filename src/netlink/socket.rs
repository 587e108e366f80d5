//! A socket that follows what the kernel announces without blocking, and what sockets that wait have in common with it.

use std::fmt;
use std::io;

use futures::FutureExt;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket};

/// The largest datagram: the kernel sends parts of a dump of up to 32 KiB.
pub const DATAGRAM: usize = 64 << 10;

/// What the receive buffer may hold. The kernel takes memory only for what waits in it.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Is a netlink socket of the network namespace of the thread that opened it.
pub struct ChangeSocket {
    socket: TokioSocket,
    port: u32,
    sequence: u32,
    datagram: Vec<u8>,
}

impl fmt::Debug for ChangeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeSocket")
            .field("port", &self.port)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl ChangeSocket {
    /// Opens a route netlink socket, which hears nothing before it is [bound](Self::bind).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn open() -> io::Result<Self> {
        Self::of(NETLINK_ROUTE)
    }

    /// Opens and binds a netfilter socket, which hears nothing before it [joins](Self::join) a group.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub fn open_netfilter() -> io::Result<Self> {
        let mut socket = Self::of(NETLINK_NETFILTER)?;
        socket.bind(&[])?;
        Ok(socket)
    }

    fn of(protocol: isize) -> io::Result<Self> {
        let mut socket = TokioSocket::new(protocol)?;
        enlarge(socket.socket_mut());
        Ok(Self {
            socket,
            port: 0,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Subscribes to groups of changes; without any it hears what it asks for.
    pub fn bind(&mut self, groups: &[MulticastGroup]) -> io::Result<()> {
        let raw = self.socket.socket_mut();
        let bits = groups
            .iter()
            .fold(0, |bits, group| bits | 1 << (*group as u32 - 1));
        raw.bind(&SocketAddr::new(0, bits))?;
        let mut address = SocketAddr::new(0, 0);
        raw.get_address(&mut address)?;
        self.port = address.port_number();
        Ok(())
    }

    /// Begins to hear what is announced to a group.
    pub fn join(&mut self, group: u32) -> io::Result<()> {
        self.socket.socket_mut().add_membership(group)
    }

    /// Ceases to. What was announced before can still be received.
    pub fn leave(&mut self, group: u32) -> io::Result<()> {
        self.socket.socket_mut().drop_membership(group)
    }

    /// Asks for a dump.
    pub fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = serialize(message, NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.socket
            .socket_ref()
            .send_to(&bytes, &SocketAddr::new(0, 0), 0)
            .map(|_| ())
    }

    /// Asks for a dump of the links.
    pub fn dump_links(&mut self) -> io::Result<()> {
        let mut links = LinkMessage::default();
        let mask = vec![LinkExtentMask::SkipStats];
        links.attributes.push(LinkAttribute::ExtMask(mask));
        self.dump(RouteNetlinkMessage::GetLink(links))
    }

    /// Whether a message with these marks answers the last request.
    ///
    /// A change bears the marks of the request that caused it, whoever made that.
    pub fn is_answer(&self, sequence: u32, port: u32) -> bool {
        sequence == self.sequence && port == self.port
    }

    /// Waits for a datagram of the kernel, which [`datagram`](Self::datagram) then returns.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn receive(&mut self) -> io::Result<()> {
        loop {
            self.datagram.clear();
            match self.socket.recv_from(&mut self.datagram).await {
                Ok(sender) if sender.port_number() == 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a datagram if one is waiting.
    pub fn receive_now(&mut self) -> Option<io::Result<()>> {
        self.receive().now_or_never()
    }

    /// Returns what was received last.
    pub fn datagram(&self) -> &[u8] {
        &self.datagram
    }
}

/// Returns the bytes of a request.
pub fn serialize(message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Whether the kernel had more to say than the receive buffer holds.
pub fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// Gives a socket a large receive buffer.
pub fn enlarge(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // Without the privilege the limit of the system applies; the loss that may follow is noticed.
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
}
