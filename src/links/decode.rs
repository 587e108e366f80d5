//! From the bytes of a datagram to facts.
//!
//! Only the few attributes that a fact is made of are read. A full decoder refuses the whole message for one
//! attribute that it does not understand, and the link would then stay without its policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_core::{
    NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlaBuffer, NlasIterator,
};

use super::table::{InterfaceAddress, LinkFact, LinkState};
use crate::net::InterfaceName;

/// `RTM_NEWLINK` of `linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;
/// `RTM_DELLINK` of `linux/rtnetlink.h`.
const RTM_DELLINK: u16 = 17;
/// `RTM_NEWADDR` of `linux/rtnetlink.h`.
const RTM_NEWADDR: u16 = 20;
/// `RTM_DELADDR` of `linux/rtnetlink.h`.
const RTM_DELADDR: u16 = 21;
/// The size of `struct ifinfomsg` of `linux/rtnetlink.h`.
const IFINFOMSG: usize = 16;
/// The size of `struct ifaddrmsg` of `linux/if_addr.h`.
const IFADDRMSG: usize = 8;
/// `AF_UNSPEC` of `sys/socket.h`.
const AF_UNSPEC: u8 = 0;
/// `AF_INET` of `sys/socket.h`.
const AF_INET: u8 = 2;
/// `AF_INET6` of `sys/socket.h`.
const AF_INET6: u8 = 10;
/// `IFF_UP` of `linux/if.h`: set up by the administrator.
const IFF_UP: u32 = 1;
/// `IFF_RUNNING` of `linux/if.h`: the operational state is up, or unknown to the driver.
const IFF_RUNNING: u32 = 1 << 6;
/// `IFLA_IFNAME` of `linux/if_link.h`.
const IFLA_IFNAME: u16 = 3;
/// `IFA_ADDRESS` of `linux/if_addr.h`: the other end where the link is point to point.
const IFA_ADDRESS: u16 = 1;
/// `IFA_LOCAL` of `linux/if_addr.h`.
const IFA_LOCAL: u16 = 2;

/// A netlink message, as far as this room needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The sequence number of the request that it answers or reports.
    pub(super) sequence: u32,
    /// The port whose request it answers or reports.
    pub(super) port: u32,
    /// Whether the kernel says that the dump is inconsistent.
    pub(super) consistency: Consistency,
    /// What it says.
    pub(super) body: Body,
}

/// Whether something changed under a dump that takes several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    /// Nothing that the kernel noticed.
    Whole,
    /// Something did: an entry may be missing.
    Interrupted,
}

/// What a netlink message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Something about a link or address.
    Fact(LinkFact),
    /// The end of a dump or the answer to a request: zero, or a negated errno.
    End {
        /// The code.
        code: i32,
    },
    /// Nothing of interest here.
    Other,
    /// Something about links or addresses that cannot be understood.
    Malformed,
}

/// Returns the messages of a datagram; one that cannot be taken apart any further ends in a malformed one.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(buffer) = NetlinkBuffer::new_checked(rest) else {
            rest = &[];
            let consistency = Consistency::Whole;
            return Some(Message {
                sequence: 0,
                port: 0,
                consistency,
                body: Body::Malformed,
            });
        };
        let interrupted = buffer.flags() & NLM_F_DUMP_INTR != 0;
        let message = Message {
            sequence: buffer.sequence_number(),
            port: buffer.port_number(),
            consistency: if interrupted {
                Consistency::Interrupted
            } else {
                Consistency::Whole
            },
            body: body(buffer.message_type(), buffer.payload()),
        };
        let length = usize::try_from(buffer.length()).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn body(kind: u16, payload: &[u8]) -> Body {
    let fact = match kind {
        RTM_NEWLINK | RTM_DELLINK => link(kind, payload),
        RTM_NEWADDR | RTM_DELADDR => address(kind, payload),
        NLMSG_DONE | NLMSG_ERROR => {
            let code = payload
                .first_chunk()
                .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
            return Body::End { code };
        }
        _ => return Body::Other,
    };
    fact.unwrap_or(Body::Malformed)
}

fn link(kind: u16, payload: &[u8]) -> Option<Body> {
    let (header, attributes) = payload.split_first_chunk::<IFINFOMSG>()?;
    let [family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, _, _, _, _] = *header;
    if family != AF_UNSPEC {
        // A bridge announces that a port has left it as the end of a link, in its own family.
        return Some(Body::Other);
    }
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    if kind == RTM_DELLINK {
        return Some(Body::Fact(LinkFact::LinkGone { index }));
    }
    let up = IFF_UP | IFF_RUNNING;
    let state = if flags & up == up {
        LinkState::Up
    } else {
        LinkState::Down
    };
    let name = attribute(attributes, IFLA_IFNAME).and_then(name);
    Some(Body::Fact(LinkFact::Link { index, name, state }))
}

fn name(value: &[u8]) -> Option<InterfaceName> {
    let text = value.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads an address; one that is still tentative counts too, so that policy is there before it is used.
fn address(kind: u16, payload: &[u8]) -> Option<Body> {
    let (header, attributes) = payload.split_first_chunk::<IFADDRMSG>()?;
    let [family, prefix_length, _, _, i0, i1, i2, i3] = *header;
    if family != AF_INET && family != AF_INET6 {
        return Some(Body::Other);
    }
    let read = |kind| attribute(attributes, kind).and_then(|value| ip(family, value));
    let address = read(IFA_ADDRESS);
    let local = read(IFA_LOCAL).or(address)?;
    let address = InterfaceAddress {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        local,
        peer: address.unwrap_or(local),
        prefix_length,
    };
    Some(Body::Fact(if kind == RTM_NEWADDR {
        LinkFact::Address(address)
    } else {
        LinkFact::AddressGone(address)
    }))
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    if family == AF_INET {
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into())
    } else {
        Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into())
    }
}

fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == kind)
        .map(NlaBuffer::into_inner)
        .and_then(|bytes| {
            let length = u16::from_ne_bytes(*bytes.first_chunk()?);
            bytes.get(4..usize::from(length))
        })
}

#[cfg(test)]
#[path = "tests/decode.rs"]
mod tests;
