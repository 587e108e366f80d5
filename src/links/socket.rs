//! The route netlink socket of links and addresses.

use std::io;

use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;

use super::error::LinkError;
use crate::netlink::{ChangeSocket, is_overrun};

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

/// A socket of the network namespace of the thread that opened it.
pub(super) struct RouteSocket(ChangeSocket);

impl RouteSocket {
    /// Opens the socket.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled.
    pub(super) fn open(subscription: Subscription) -> Result<Self, LinkError> {
        let mut socket = ChangeSocket::open().map_err(LinkError::Open)?;
        let groups: &[MulticastGroup] = match subscription {
            Subscription::Changes => &[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ],
            Subscription::None => &[],
        };
        socket.bind(groups).map_err(LinkError::Subscribe)?;
        Ok(Self(socket))
    }

    /// Asks for a dump.
    pub(super) fn request(&mut self, listing: Listing) -> Result<(), LinkError> {
        let what = listing.noun();
        match listing {
            Listing::Links => self.0.dump_links(),
            Listing::Addresses => {
                let addresses = AddressMessage::default();
                self.0.dump(RouteNetlinkMessage::GetAddress(addresses))
            }
        }
        .map_err(|source| LinkError::Request { what, source })
    }

    /// Whether a message with these marks answers the last request.
    pub(super) fn is_answer(&self, sequence: u32, port: u32) -> bool {
        self.0.is_answer(sequence, port)
    }

    /// Waits for a datagram of the kernel, which [`datagram`](Self::datagram) then returns.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn receive(&mut self) -> Result<(), LinkError> {
        self.0.receive().await.map_err(broken)
    }

    /// Takes a datagram if one is waiting.
    pub(super) fn receive_now(&mut self) -> Option<Result<(), LinkError>> {
        Some(self.0.receive_now()?.map_err(broken))
    }

    /// Returns what was received last.
    pub(super) fn datagram(&self) -> &[u8] {
        self.0.datagram()
    }
}

fn broken(error: io::Error) -> LinkError {
    if is_overrun(&error) {
        LinkError::Overrun
    } else {
        LinkError::Receive(error)
    }
}
