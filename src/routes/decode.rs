//! From the bytes of a route netlink message to facts.
//!
//! Only the attributes that a fact is made of are read: a full decoder refuses the whole message for one that it
//! does not understand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::observed::{Fact, Hop, Link, LinkState, Path, Placed, RouteKey};
use super::wire::{Malformed, Message, attribute, number};
use crate::net::InterfaceName;

/// `RTM_NEWLINK` of `linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;
/// `RTM_DELLINK` of `linux/rtnetlink.h`.
const RTM_DELLINK: u16 = 17;
/// `RTM_DELADDR` of `linux/rtnetlink.h`.
const RTM_DELADDR: u16 = 21;
/// `RTM_NEWROUTE` of `linux/rtnetlink.h`.
const RTM_NEWROUTE: u16 = 24;
/// `RTM_DELROUTE` of `linux/rtnetlink.h`.
const RTM_DELROUTE: u16 = 25;
/// `RTM_NEWNEIGH` of `linux/rtnetlink.h`.
const RTM_NEWNEIGH: u16 = 28;
/// `RTM_DELNEIGH` of `linux/rtnetlink.h`.
const RTM_DELNEIGH: u16 = 29;
/// `RTM_NEWNETCONF` of `linux/rtnetlink.h`.
const RTM_NEWNETCONF: u16 = 80;
/// `NLM_F_REPLACE` of `linux/netlink.h`.
const NLM_F_REPLACE: u16 = 0x100;
/// The size of `struct ifinfomsg` of `linux/rtnetlink.h`.
const IFINFOMSG: usize = 16;
/// The size of `struct ifaddrmsg` of `linux/if_addr.h`.
const IFADDRMSG: usize = 8;
/// The size of `struct rtmsg` of `linux/rtnetlink.h`.
const RTMSG: usize = 12;
/// The size of `struct ndmsg` of `linux/neighbour.h`.
const NDMSG: usize = 12;
/// The size of `struct netconfmsg` of `linux/netconf.h`, up to the first attribute.
const NETCONFMSG: usize = 4;
/// `NETCONFA_IFINDEX` of `linux/netconf.h`.
const NETCONFA_IFINDEX: u16 = 1;
/// `NETCONFA_IFINDEX_ALL` of `linux/netconf.h`.
const NETCONFA_IFINDEX_ALL: i32 = -1;
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
/// `IFA_LOCAL` of `linux/if_addr.h`.
const IFA_LOCAL: u16 = 2;
/// `RT_TABLE_MAIN` of `linux/rtnetlink.h`.
const RT_TABLE_MAIN: u32 = 254;
/// `RTN_UNICAST` of `linux/rtnetlink.h`.
const RTN_UNICAST: u8 = 1;
/// `RTM_F_CLONED` of `linux/rtnetlink.h`: a route that the kernel has made from another.
const RTM_F_CLONED: u32 = 0x200;
/// `RTA_DST` of `linux/rtnetlink.h`.
const RTA_DST: u16 = 1;
/// `RTA_OIF` of `linux/rtnetlink.h`.
const RTA_OIF: u16 = 4;
/// `RTA_GATEWAY` of `linux/rtnetlink.h`.
const RTA_GATEWAY: u16 = 5;
/// `RTA_PRIORITY` of `linux/rtnetlink.h`.
const RTA_PRIORITY: u16 = 6;
/// `RTA_PREFSRC` of `linux/rtnetlink.h`.
const RTA_PREFSRC: u16 = 7;
/// `RTA_TABLE` of `linux/rtnetlink.h`.
const RTA_TABLE: u16 = 15;
/// `RTA_VIA` of `linux/rtnetlink.h`: a gateway of the other family.
const RTA_VIA: u16 = 18;
/// `NUD_PERMANENT` of `linux/neighbour.h`.
const NUD_PERMANENT: u16 = 0x80;
/// `NTF_PROXY` of `linux/neighbour.h`: an entry of another table.
const NTF_PROXY: u8 = 0x08;
/// `NDA_DST` of `linux/neighbour.h`.
const NDA_DST: u16 = 1;
/// `NDA_LLADDR` of `linux/neighbour.h`.
const NDA_LLADDR: u16 = 2;

/// Returns what a message says, `None` where that concerns nobody here.
pub(super) fn fact(message: &Message<'_>) -> Result<Option<Fact>, Malformed> {
    match message.kind {
        RTM_NEWLINK | RTM_DELLINK => link(message),
        RTM_DELADDR => address(message),
        RTM_NEWROUTE | RTM_DELROUTE => route(message),
        RTM_NEWNEIGH | RTM_DELNEIGH => neighbour(message),
        RTM_NEWNETCONF => settings(message),
        _ => Ok(None),
    }
}

fn link(message: &Message<'_>) -> Result<Option<Fact>, Malformed> {
    let (header, attributes) = message
        .payload
        .split_first_chunk::<IFINFOMSG>()
        .ok_or(Malformed)?;
    let [family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, _, _, _, _] = *header;
    if family != AF_UNSPEC {
        // A bridge announces that a port has left it as the end of a link, in its own family.
        return Ok(None);
    }
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    if message.kind == RTM_DELLINK {
        return Ok(Some(Fact::LinkGone(index)));
    }
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let state = match (flags & IFF_UP != 0, flags & IFF_RUNNING != 0) {
        (true, true) => LinkState::Up,
        (true, false) => LinkState::Dormant,
        (false, _) => LinkState::Down,
    };
    let name = attribute(attributes, IFLA_IFNAME).and_then(name);
    Ok(Some(Fact::Link(index, Link { name, state })))
}

fn name(value: &[u8]) -> Option<InterfaceName> {
    let text = value.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn address(message: &Message<'_>) -> Result<Option<Fact>, Malformed> {
    let (header, attributes) = message
        .payload
        .split_first_chunk::<IFADDRMSG>()
        .ok_or(Malformed)?;
    let [family, _, _, _, i0, i1, i2, i3] = *header;
    if family != AF_INET {
        return Ok(None);
    }
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    let local = attribute(attributes, IFA_LOCAL).and_then(v4);
    Ok(local.map(|local| Fact::AddressGone(index, local)))
}

fn route(message: &Message<'_>) -> Result<Option<Fact>, Malformed> {
    let (header, attributes) = message
        .payload
        .split_first_chunk::<RTMSG>()
        .ok_or(Malformed)?;
    let [
        family,
        length,
        source_length,
        tos,
        table,
        protocol,
        scope,
        kind,
        f0,
        f1,
        f2,
        f3,
    ] = *header;
    if family != AF_INET && family != AF_INET6 {
        return Ok(None);
    }
    let table = attribute(attributes, RTA_TABLE)
        .and_then(number)
        .unwrap_or_else(|| table.into());
    let cloned = u32::from_ne_bytes([f0, f1, f2, f3]) & RTM_F_CLONED != 0;
    if table != RT_TABLE_MAIN || kind != RTN_UNICAST || source_length != 0 || cloned {
        return Ok(None);
    }
    // A route over several links has none of its own, and is nobody's but its maker's.
    let Some(index) = attribute(attributes, RTA_OIF).and_then(number) else {
        return Ok(None);
    };
    let destination = match attribute(attributes, RTA_DST) {
        Some(value) => ip(family, value).ok_or(Malformed)?,
        None if family == AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        None => Ipv6Addr::UNSPECIFIED.into(),
    };
    let key = RouteKey {
        destination: IpNet::new(destination, length).map_err(|_| Malformed)?,
        priority: attribute(attributes, RTA_PRIORITY)
            .and_then(number)
            .unwrap_or(0),
        tos,
        index,
    };
    if message.kind == RTM_DELROUTE {
        return Ok(Some(Fact::RouteGone(key)));
    }
    let gateway = [RTA_GATEWAY, RTA_VIA]
        .iter()
        .any(|kind| attribute(attributes, *kind).is_some());
    let path = Path {
        protocol,
        scope,
        source: attribute(attributes, RTA_PREFSRC).and_then(|value| ip(family, value)),
        hop: if gateway { Hop::Gateway } else { Hop::Direct },
    };
    let placed = if message.flags & NLM_F_REPLACE == 0 {
        Placed::Added
    } else {
        Placed::Replaced
    };
    Ok(Some(Fact::Route(key, path, placed)))
}

fn neighbour(message: &Message<'_>) -> Result<Option<Fact>, Malformed> {
    let (header, attributes) = message
        .payload
        .split_first_chunk::<NDMSG>()
        .ok_or(Malformed)?;
    let [family, _, _, _, i0, i1, i2, i3, s0, s1, flags, _] = *header;
    if family != AF_INET || flags & NTF_PROXY != 0 {
        return Ok(None);
    }
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    let address = attribute(attributes, NDA_DST)
        .and_then(v4)
        .ok_or(Malformed)?;
    let permanent = u16::from_ne_bytes([s0, s1]) & NUD_PERMANENT != 0;
    // An entry without a hardware address of Ethernet is none of ours, whatever it is.
    let mac = attribute(attributes, NDA_LLADDR).and_then(|value| value.try_into().ok());
    Ok(Some(match mac {
        Some(mac) if message.kind == RTM_NEWNEIGH && permanent => {
            Fact::Neighbour(index, address, mac)
        }
        _ => Fact::NeighbourGone(index, address),
    }))
}

fn settings(message: &Message<'_>) -> Result<Option<Fact>, Malformed> {
    let (_, attributes) = message
        .payload
        .split_first_chunk::<NETCONFMSG>()
        .ok_or(Malformed)?;
    let index = attribute(attributes, NETCONFA_IFINDEX).ok_or(Malformed)?;
    let index = i32::from_ne_bytes(index.try_into().map_err(|_| Malformed)?);
    if index == NETCONFA_IFINDEX_ALL {
        return Ok(Some(Fact::HostSettings));
    }
    // What is left are those of interfaces that are still to come.
    let index = u32::try_from(index).ok().filter(|index| *index > 0);
    Ok(index.map(Fact::Settings))
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    if family == AF_INET {
        Some(v4(value)?.into())
    } else {
        Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into())
    }
}

fn v4(value: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))
}

#[cfg(test)]
#[path = "tests/decode.rs"]
mod tests;
