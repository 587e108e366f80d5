//! Netlink sockets: one that follows routes without blocking, one that asks and waits for the answer.

use std::io;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::{Socket, SocketAddr};

use super::error::RouteError;
use super::wire::messages;
use crate::netlink::{ChangeSocket, DATAGRAM, enlarge, is_overrun};

/// How long an answer may take, which the kernel gives before the request has returned.
const ANSWER: Duration = Duration::from_secs(10);
/// What the socket that follows is for, in messages.
const CHANGES: &str = "changes of routes";

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
}

/// A socket that hears of changes, in the network namespace of the thread that opened it.
pub(super) struct RouteSocket(ChangeSocket);

impl RouteSocket {
    /// Opens the socket and subscribes to changes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub(super) fn open() -> Result<Self, RouteError> {
        let failed = |source| RouteError::Open {
            what: CHANGES,
            source,
        };
        let mut socket = ChangeSocket::open().map_err(failed)?;
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Netconf,
            MulticastGroup::Ipv6Netconf,
        ];
        socket.bind(&groups).map_err(failed)?;
        Ok(Self(socket))
    }

    /// Asks for a dump.
    pub(super) fn request(&mut self, listing: Listing) -> Result<(), RouteError> {
        let what = listing.noun();
        let routes = |family| {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            RouteNetlinkMessage::GetRoute(message)
        };
        match listing {
            Listing::Links => self.0.dump_links(),
            Listing::RoutesV4 => self.0.dump(routes(AddressFamily::Inet)),
            Listing::RoutesV6 => self.0.dump(routes(AddressFamily::Inet6)),
            Listing::Neighbours => {
                let mut message = NeighbourMessage::default();
                message.header.family = AddressFamily::Inet;
                self.0.dump(RouteNetlinkMessage::GetNeighbour(message))
            }
        }
        .map_err(|source| RouteError::Request { what, source })
    }

    /// Whether a message with these marks answers the last request.
    pub(super) fn is_answer(&self, sequence: u32, port: u32) -> bool {
        self.0.is_answer(sequence, port)
    }

    /// Waits for a datagram of the kernel, which [`datagram`](Self::datagram) then returns.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn receive(&mut self) -> Result<(), RouteError> {
        let received = self.0.receive().await;
        received.map_err(|error| broken(error, CHANGES))
    }

    /// Takes a datagram if one is waiting.
    pub(super) fn receive_now(&mut self) -> Option<Result<(), RouteError>> {
        let received = self.0.receive_now()?;
        Some(received.map_err(|error| broken(error, CHANGES)))
    }

    /// Returns what was received last.
    pub(super) fn datagram(&self) -> &[u8] {
        self.0.datagram()
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
                Err(error) => return Err(broken(error, self.what)),
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

fn broken(source: io::Error, what: &'static str) -> RouteError {
    if is_overrun(&source) {
        RouteError::Overrun
    } else {
        RouteError::Receive { what, source }
    }
}
