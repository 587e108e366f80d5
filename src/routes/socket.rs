//! Netlink sockets: one that follows rtnetlink without blocking, one that asks and waits for the answer.

use std::io;
use std::time::Duration;

use futures::FutureExt;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket};

use super::error::RouteError;
use super::wire::messages;

/// What the receive buffer may hold. The kernel takes memory only for what waits in it.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The largest datagram: the kernel sends parts of a dump of up to 32 KiB.
const DATAGRAM: usize = 64 << 10;
/// How long an answer may take, which the kernel gives before the request has returned.
const ANSWER: Duration = Duration::from_secs(10);

/// What a dump lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// The links.
    Links,
    /// The IPv4 routes.
    RoutesV4,
    /// The IPv6 routes.
    RoutesV6,
    /// The IPv4 neighbours.
    Neighbours,
}

impl Listing {
    /// Returns the word for it in messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::RoutesV4 => "IPv4 routes",
            Self::RoutesV6 => "IPv6 routes",
            Self::Neighbours => "neighbours",
        }
    }

    /// Returns what is listed next.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Links => Some(Self::RoutesV4),
            Self::RoutesV4 => Some(Self::RoutesV6),
            Self::RoutesV6 => Some(Self::Neighbours),
            Self::Neighbours => None,
        }
    }

    fn request(self) -> RouteNetlinkMessage {
        let routes = |family| {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            RouteNetlinkMessage::GetRoute(message)
        };
        match self {
            Self::Links => {
                let mut links = LinkMessage::default();
                let mask = vec![LinkExtentMask::SkipStats];
                links.attributes.push(LinkAttribute::ExtMask(mask));
                RouteNetlinkMessage::GetLink(links)
            }
            Self::RoutesV4 => routes(AddressFamily::Inet),
            Self::RoutesV6 => routes(AddressFamily::Inet6),
            Self::Neighbours => {
                let mut message = NeighbourMessage::default();
                message.header.family = AddressFamily::Inet;
                RouteNetlinkMessage::GetNeighbour(message)
            }
        }
    }
}

/// A socket that hears of changes, in the network namespace of the thread that opened it.
pub(super) struct RouteSocket {
    socket: TokioSocket,
    port: u32,
    sequence: u32,
    datagram: Vec<u8>,
}

impl RouteSocket {
    /// Opens the socket and subscribes to changes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub(super) fn open() -> Result<Self, RouteError> {
        let failed = |source| RouteError::Open {
            what: "changes of routes",
            source,
        };
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(failed)?;
        let raw = socket.socket_mut();
        enlarge(raw);
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Neigh,
        ]
        .into_iter()
        .fold(0, |groups, group| groups | 1 << (group as u32 - 1));
        raw.bind(&SocketAddr::new(0, groups)).map_err(failed)?;
        let mut address = SocketAddr::new(0, 0);
        raw.get_address(&mut address).map_err(failed)?;
        Ok(Self {
            port: address.port_number(),
            socket,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Asks for a dump.
    pub(super) fn request(&mut self, listing: Listing) -> Result<(), RouteError> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = serialize(listing.request(), NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.socket
            .socket_ref()
            .send_to(&bytes, &SocketAddr::new(0, 0), 0)
            .map_err(|source| RouteError::Request {
                what: listing.noun(),
                source,
            })?;
        Ok(())
    }

    /// Whether a message with these marks answers the last request.
    ///
    /// A change bears the marks of the request that caused it, whoever made that.
    pub(super) fn is_answer(&self, sequence: u32, port: u32) -> bool {
        sequence == self.sequence && port == self.port
    }

    /// Waits for a datagram of the kernel, which [`datagram`](Self::datagram) then returns.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn receive(&mut self) -> Result<(), RouteError> {
        loop {
            self.datagram.clear();
            match self.socket.recv_from(&mut self.datagram).await {
                Ok(sender) if sender.port_number() == 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_overrun(&error) => return Err(RouteError::Overrun),
                Err(source) => {
                    return Err(RouteError::Receive {
                        what: "changes of routes",
                        source,
                    });
                }
            }
        }
    }

    /// Takes a datagram if one is waiting.
    pub(super) fn receive_now(&mut self) -> Option<Result<(), RouteError>> {
        self.receive().now_or_never()
    }

    /// Returns what was received last.
    pub(super) fn datagram(&self) -> &[u8] {
        &self.datagram
    }
}

/// A socket that hears nothing but answers, and waits for them.
pub(super) struct AskSocket {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
    /// What it is for, in messages.
    what: &'static str,
}

impl AskSocket {
    /// Opens a socket of a protocol in the network namespace of the calling thread.
    pub(super) fn open(protocol: isize, what: &'static str) -> Result<Self, RouteError> {
        let failed = |source| RouteError::Open { what, source };
        let mut socket = Socket::new(protocol).map_err(failed)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(failed)?;
        enlarge(&socket);
        let wait = TimeVal::new(i64::try_from(ANSWER.as_secs()).unwrap_or(i64::MAX), 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &wait)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            socket,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
            what,
        })
    }

    /// Takes the next sequence number.
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends a request.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket
            .send_to(bytes, &SocketAddr::new(0, 0), 0)
            .map(|_| ())
    }

    /// Waits for a datagram of the kernel.
    pub(super) fn receive(&mut self) -> Result<&[u8], RouteError> {
        loop {
            self.datagram.clear();
            match self.socket.recv_from(&mut self.datagram, 0) {
                Ok((_, sender)) if sender.port_number() == 0 => return Ok(&self.datagram),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_overrun(&error) => return Err(RouteError::Overrun),
                Err(source) => {
                    let what = self.what;
                    return Err(RouteError::Receive { what, source });
                }
            }
        }
    }

    /// Waits for the answer to a request that asked for one.
    pub(super) fn answer(&mut self, sequence: u32) -> io::Result<()> {
        loop {
            let datagram = self.receive().map_err(io::Error::other)?;
            let answer = messages(datagram)
                .map_while(Result::ok)
                .find(|message| message.sequence == sequence)
                .and_then(|message| message.code());
            match answer {
                Some(0) => return Ok(()),
                Some(code) => return Err(io::Error::from_raw_os_error(code)),
                // The answer to a request that was given up.
                None => {}
            }
        }
    }
}

/// Returns the bytes of a request.
pub(super) fn serialize(message: RouteNetlinkMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

fn enlarge(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // Without the privilege the limit of the system applies; the loss that may follow is noticed.
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
}
