//! Changes of routes and neighbours, one request and one answer each.

use std::io;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::error::RouteError;
use super::observed::{Path, RouteKey};
use super::plan::Operation;
use super::socket::AskSocket;
use crate::net::Family;
use crate::netlink::serialize;

/// `ESRCH` and `ENOENT`: what was to be removed is not there.
const GONE: [Errno; 2] = [Errno::ESRCH, Errno::ENOENT];

/// The socket for changes.
pub(super) struct Requests {
    socket: AskSocket,
}

impl Requests {
    /// Opens the socket in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, RouteError> {
        let socket = AskSocket::open(NETLINK_ROUTE, "routes")?;
        Ok(Self { socket })
    }

    /// Carries out one operation; to remove what is not there is no fault.
    pub(super) fn carry_out(&mut self, operation: &Operation) -> Result<(), RouteError> {
        let (message, flags) = encode(operation);
        let gone = |error: &io::Error| {
            GONE.iter()
                .any(|errno| error.raw_os_error() == Some(*errno as i32))
        };
        match (self.ask(message, flags), operation) {
            (Ok(()), _) => Ok(()),
            (Err(source), Operation::AddRoute(key, _) | Operation::ReplaceRoute(key, _)) => {
                let destination = key.destination;
                Err(RouteError::WriteRoute {
                    destination,
                    source,
                })
            }
            (Err(source), Operation::SetNeighbour { address, .. }) => {
                let address = (*address).into();
                Err(RouteError::WriteNeighbour { address, source })
            }
            (Err(source), Operation::RemoveRoute(..) | Operation::RemoveNeighbour { .. })
                if gone(&source) =>
            {
                Ok(())
            }
            (Err(source), Operation::RemoveRoute(key, _)) => {
                let destination = key.destination;
                Err(RouteError::RemoveRoute {
                    destination,
                    source,
                })
            }
            (Err(source), Operation::RemoveNeighbour { address, .. }) => {
                let address = (*address).into();
                Err(RouteError::RemoveNeighbour { address, source })
            }
        }
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let sequence = self.socket.next_sequence();
        let flags = flags | NLM_F_REQUEST | NLM_F_ACK;
        self.socket.send(&serialize(message, flags, sequence))?;
        self.socket.answer(sequence)
    }
}

fn encode(operation: &Operation) -> (RouteNetlinkMessage, u16) {
    match operation {
        Operation::AddRoute(key, path) => (
            RouteNetlinkMessage::NewRoute(route(key, path, path.scope.into())),
            NLM_F_CREATE | NLM_F_EXCL,
        ),
        Operation::ReplaceRoute(key, path) => (
            RouteNetlinkMessage::NewRoute(route(key, path, path.scope.into())),
            NLM_F_CREATE | NLM_F_REPLACE,
        ),
        Operation::RemoveRoute(key, path) => (
            RouteNetlinkMessage::DelRoute(route(key, path, RouteScope::NoWhere)),
            0,
        ),
        Operation::SetNeighbour {
            index,
            address,
            mac,
        } => {
            let mut message = neighbour(*index, *address);
            message.header.state = NeighbourState::Permanent;
            let mac = NeighbourAttribute::LinkLayerAddress(mac.to_vec());
            message.attributes.push(mac);
            let flags = NLM_F_CREATE | NLM_F_REPLACE;
            (RouteNetlinkMessage::NewNeighbour(message), flags)
        }
        Operation::RemoveNeighbour { index, address } => {
            let message = neighbour(*index, *address);
            (RouteNetlinkMessage::DelNeighbour(message), 0)
        }
    }
}

fn route(key: &RouteKey, path: &Path, scope: RouteScope) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = match Family::of_net(&key.destination) {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    header.destination_prefix_length = key.destination.prefix_len();
    header.tos = key.tos;
    header.table = RouteHeader::RT_TABLE_MAIN;
    header.protocol = path.protocol.into();
    header.scope = scope;
    header.kind = RouteType::Unicast;
    let destination = key.destination.addr().into();
    message.attributes = vec![
        RouteAttribute::Destination(destination),
        RouteAttribute::Oif(key.index),
        RouteAttribute::Priority(key.priority),
    ];
    let source = path
        .source
        .map(|source| RouteAttribute::PrefSource(source.into()));
    message.attributes.extend(source);
    message
}

fn neighbour(index: u32, address: std::net::Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.kind = RouteType::Unicast;
    let address = NeighbourAttribute::Destination(NeighbourAddress::Inet(address));
    message.attributes.push(address);
    message
}
