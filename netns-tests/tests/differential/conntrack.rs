//! The connections that the host's kernel tracks, over netlink.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use netns_tests::Namespace;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

/// `NFNL_SUBSYS_CTNETLINK` and its messages (`linux/netfilter/nfnetlink_conntrack.h`).
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// Flags of netlink.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
/// Netlink's own messages.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Attributes.
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTO_ICMP_ID: u16 = 4;
const CTA_PROTO_ICMPV6_ID: u16 = 7;

/// Is the direction in which a connection began.
///
/// Ports are zero where the protocol has none; the identifier of an echo stands in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tuple {
    pub(crate) protocol: u8,
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) source: u16,
    pub(crate) port: u16,
}

/// Is a way to ask the kernel of one namespace.
#[derive(Debug)]
pub(crate) struct Conntrack(OwnedFd);

impl Conntrack {
    /// Opens it.
    pub(crate) fn open(namespace: &Namespace) -> Self {
        namespace.run(|| {
            let fd = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkNetFilter,
            )
            .expect("open a netlink socket");
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).expect("bind a netlink socket");
            setsockopt(&fd, sockopt::RcvBufForce, &(8 << 20)).expect("make room");
            Self(fd)
        })
    }

    /// Forgets every connection.
    pub(crate) fn flush(&self) {
        self.ask(DELETE, REQUEST | ACKNOWLEDGE, |_| {});
    }

    /// Lists the connections by the direction in which each began.
    pub(crate) fn list(&self) -> BTreeSet<Tuple> {
        let mut tuples = BTreeSet::new();
        self.ask(GET, REQUEST | DUMP, |attributes| {
            tuples.extend(attribute(attributes, CTA_TUPLE_ORIG).and_then(tuple));
        });
        tuples
    }

    fn ask(&self, kind: u16, flags: u16, mut each: impl FnMut(&[u8])) {
        let mut message = Vec::new();
        message.extend(20_u32.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        // The sequence number, the port, and the family "any".
        message.extend([0; 12]);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty()).expect("ask connection tracking");
        let mut buffer = vec![0; 1 << 17];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .expect("hear connection tracking");
            let mut rest = &buffer[..length];
            while rest.len() >= 16 {
                let size = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]);
                let size = usize::try_from(size).expect("a message fits the memory");
                match u16::from_ne_bytes([rest[4], rest[5]]) {
                    NEW => each(&rest[20..size]),
                    DONE => return,
                    ERROR => {
                        let code = i32::from_ne_bytes([rest[16], rest[17], rest[18], rest[19]]);
                        assert_eq!(code, 0, "connection tracking refuses");
                        return;
                    }
                    other => panic!("connection tracking answers with {other}"),
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// Finds an attribute among others.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([attributes[0], attributes[1]]));
        // The upper two bits say how the value is written.
        let kind = u16::from_ne_bytes([attributes[2], attributes[3]]) & 0x3fff;
        if kind == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(length.next_multiple_of(4).max(4)..)?;
    }
    None
}

fn tuple(nested: &[u8]) -> Option<Tuple> {
    let ip = attribute(nested, CTA_TUPLE_IP)?;
    let protocol = attribute(nested, CTA_TUPLE_PROTO)?;
    let address = |v4: u16, v6: u16| -> Option<IpAddr> {
        if let Some(bytes) = attribute(ip, v4) {
            return Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
        }
        Some(IpAddr::from(<[u8; 16]>::try_from(attribute(ip, v6)?).ok()?))
    };
    let number = |kind: u16| {
        let bytes = attribute(protocol, kind)?;
        Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?))
    };
    let id = number(CTA_PROTO_ICMP_ID).or_else(|| number(CTA_PROTO_ICMPV6_ID));
    Some(Tuple {
        protocol: *attribute(protocol, CTA_PROTO_NUM)?.first()?,
        from: address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?,
        to: address(CTA_IP_V4_DST, CTA_IP_V6_DST)?,
        source: number(CTA_PROTO_SRC_PORT).or(id).unwrap_or(0),
        port: number(CTA_PROTO_DST_PORT).or(id).unwrap_or(0),
    })
}
