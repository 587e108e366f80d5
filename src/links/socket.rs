//! The route netlink socket: groups, a large receive buffer, requests for dumps.

use std::io;

use futures::FutureExt;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::error::LinkError;

/// What the receive buffer may hold. The kernel takes memory only for what waits in it.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The largest datagram: the kernel sends parts of a dump of up to 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// Whether the socket hears of changes or only of what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscription {
    /// Links, IPv4 and IPv6 addresses.
    Changes,
    /// Nothing.
    None,
}

/// What a dump lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// The links.
    Links,
    /// The addresses of both families.
    Addresses,
}

impl Listing {
    /// Returns the word for it in messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Addresses => "addresses",
        }
    }
}

/// A route netlink socket of the network namespace of the thread that opened it.
pub(super) struct RouteSocket {
    socket: TokioSocket,
    port: u32,
    sequence: u32,
    datagram: Vec<u8>,
}

impl RouteSocket {
    /// Opens the socket.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub(super) fn open(subscription: Subscription) -> Result<Self, LinkError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(LinkError::Open)?;
        let raw = socket.socket_mut();
        let forced = setsockopt(raw, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        if forced.is_err() {
            // Without the privilege the limit of the system applies; the loss that may follow is noticed.
            let _ = setsockopt(raw, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        let groups = match subscription {
            Subscription::Changes => [
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ]
            .into_iter()
            .fold(0, |groups, group| groups | 1 << (group as u32 - 1)),
            Subscription::None => 0,
        };
        raw.bind(&SocketAddr::new(0, groups))
            .map_err(LinkError::Subscribe)?;
        let mut address = SocketAddr::new(0, 0);
        raw.get_address(&mut address)
            .map_err(LinkError::Subscribe)?;
        let port = address.port_number();
        Ok(Self {
            socket,
            port,
            sequence: 0,
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Asks for a dump.
    pub(super) fn request(&mut self, listing: Listing) -> Result<(), LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(match listing {
            Listing::Links => {
                let mut links = LinkMessage::default();
                let mask = vec![LinkExtentMask::SkipStats];
                links.attributes.push(LinkAttribute::ExtMask(mask));
                RouteNetlinkMessage::GetLink(links)
            }
            Listing::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        });
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket
            .socket_ref()
            .send_to(&bytes, &SocketAddr::new(0, 0), 0)
            .map_err(|source| LinkError::Request {
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
    pub(super) async fn receive(&mut self) -> Result<(), LinkError> {
        loop {
            self.datagram.clear();
            match self.socket.recv_from(&mut self.datagram).await {
                Ok(sender) if sender.port_number() == 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    return Err(LinkError::Overrun);
                }
                Err(error) => return Err(LinkError::Receive(error)),
            }
        }
    }

    /// Takes a datagram if one is waiting.
    pub(super) fn receive_now(&mut self) -> Option<Result<(), LinkError>> {
        self.receive().now_or_never()
    }

    /// Returns what was received last.
    pub(super) fn datagram(&self) -> &[u8] {
        &self.datagram
    }
}
