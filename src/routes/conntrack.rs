//! Forgetting the connections of addresses that have left their interface, on a thread of its own: to list all
//! connections of a busy host takes long.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use tokio::sync::mpsc as channel;
use tracing::{debug, warn};

use super::error::RouteError;
use super::socket::AskSocket;
use super::wire::{Message, attribute, messages};
use crate::net::Family;

/// How often it is tried before a warning takes the place of success.
const ATTEMPTS: u32 = 4;
/// How much longer each pause between them is than the one before.
const PAUSE: Duration = Duration::from_millis(50);
/// `IPCTNL_MSG_CT_NEW` of `linux/netfilter/nfnetlink_conntrack.h`, in the subsystem of conntrack.
const CT_NEW: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_GET`, likewise.
const CT_GET: u16 = 1 << 8 | 1;
/// `IPCTNL_MSG_CT_DELETE`, likewise.
const CT_DELETE: u16 = 1 << 8 | 2;
/// The size of `struct nfgenmsg` of `linux/netfilter/nfnetlink.h`.
const NFGENMSG: usize = 4;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_ID` and `CTA_ZONE` of `linux/netfilter/nfnetlink_conntrack.h`.
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
/// `CTA_TUPLE_IP`, and in it `CTA_IP_V4_SRC` and `CTA_IP_V6_SRC`.
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
/// `NLA_F_NESTED` of `linux/netlink.h`.
const NLA_F_NESTED: u16 = 0x8000;

/// The loop's end of the thread.
pub(super) struct Forgetter {
    requests: mpsc::Sender<BTreeSet<IpAddr>>,
    done: channel::UnboundedReceiver<BTreeSet<IpAddr>>,
}

impl Forgetter {
    /// Starts the thread, in the network namespace of the calling one.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<BTreeSet<IpAddr>>();
        // No address is asked for again before its answer, so neither channel grows beyond the addresses.
        let (outbox, done) = channel::unbounded_channel();
        thread::Builder::new()
            .name("conntrack".to_owned())
            .spawn(move || {
                while let Ok(mut addresses) = inbox.recv() {
                    while let Ok(mut more) = inbox.try_recv() {
                        addresses.append(&mut more);
                    }
                    forget(&addresses);
                    if outbox.send(addresses).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self { requests, done })
    }

    /// Asks for the connections of these addresses to be deleted.
    pub(super) fn forget(&self, addresses: BTreeSet<IpAddr>) {
        if !addresses.is_empty() {
            // Where the thread has ended, `done` says so.
            let _ = self.requests.send(addresses);
        }
    }

    /// Waits until connections have been deleted, and returns whose; `None` once the thread has ended, which it does
    /// only by a fault.
    pub(super) async fn done(&mut self) -> Option<BTreeSet<IpAddr>> {
        self.done.recv().await
    }
}

/// Deletes every connection that one of the addresses has opened or answers.
fn forget(addresses: &BTreeSet<IpAddr>) {
    for family in Family::BOTH {
        let of_family = |address: &&IpAddr| Family::of_address(**address) == family;
        if addresses.iter().any(|address| of_family(&address)) {
            forget_family(addresses, family);
        }
    }
}

fn forget_family(addresses: &BTreeSet<IpAddr>, family: Family) {
    let mut reason = String::new();
    for attempt in 1..=ATTEMPTS {
        reason = match pass(addresses, family) {
            Ok(Pass::Whole { deleted }) => {
                debug!(%family, deleted, addresses = addresses.len(), "forgot connections");
                return;
            }
            Ok(Pass::Interrupted) => "they changed while they were listed".to_owned(),
            Err(error) => error.with_cause(),
        };
        debug!(%family, attempt, reason, "connections could not be deleted");
        if attempt < ATTEMPTS {
            std::thread::sleep(PAUSE * attempt);
        }
    }
    warn!(
        %family,
        reason,
        addresses = addresses.len(),
        first = ?addresses.first(),
        "connections of addresses that have left may still be tracked"
    );
}

/// How one pass over the connections ended.
enum Pass {
    /// It saw all of them.
    Whole {
        /// How many were deleted.
        deleted: usize,
    },
    /// Some may have been missed.
    Interrupted,
}

fn pass(addresses: &BTreeSet<IpAddr>, family: Family) -> Result<Pass, RouteError> {
    let mut list = AskSocket::open(NETLINK_NETFILTER, "connections")?;
    let mut delete = AskSocket::open(NETLINK_NETFILTER, "connections")?;
    let sequence = list.next_sequence();
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    list.send(&request(CT_GET, flags, sequence, family, &[]))
        .map_err(|source| RouteError::Request {
            what: "connections",
            source,
        })?;
    let mut deleted = 0;
    let mut interrupted = false;
    loop {
        for message in messages(list.receive()?) {
            let Ok(message) = message else {
                interrupted = true;
                break;
            };
            if message.sequence != sequence {
                continue;
            }
            interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.code() {
                Some(0) if interrupted => return Ok(Pass::Interrupted),
                Some(0) => return Ok(Pass::Whole { deleted }),
                Some(code) => {
                    return Err(RouteError::Dump {
                        what: "connections",
                        source: io::Error::from_raw_os_error(code),
                    });
                }
                None => {}
            }
            if let Some(body) = to_delete(&message, addresses) {
                remove(&mut delete, family, &body).map_err(RouteError::DeleteConnections)?;
                deleted += 1;
            }
        }
    }
}

/// Returns the attributes that name a listed connection, if it is to be deleted.
///
/// A request without a tuple would delete every connection there is.
fn to_delete(message: &Message<'_>, addresses: &BTreeSet<IpAddr>) -> Option<Vec<u8>> {
    if message.kind != CT_NEW {
        return None;
    }
    let attributes = message.payload.get(NFGENMSG..)?;
    let original = attribute(attributes, CTA_TUPLE_ORIG).filter(|tuple| !tuple.is_empty())?;
    let concerned = [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY]
        .iter()
        .filter_map(|kind| source(attribute(attributes, *kind)?))
        .any(|source| addresses.contains(&source));
    if !concerned {
        return None;
    }
    let mut body = Vec::with_capacity(original.len() + 32);
    push(&mut body, CTA_TUPLE_ORIG | NLA_F_NESTED, original)?;
    for kind in [CTA_ZONE, CTA_ID] {
        if let Some(value) = attribute(attributes, kind) {
            push(&mut body, kind, value)?;
        }
    }
    Some(body)
}

/// Returns the source address of a tuple.
fn source(tuple: &[u8]) -> Option<IpAddr> {
    let ip = attribute(tuple, CTA_TUPLE_IP)?;
    if let Some(value) = attribute(ip, CTA_IP_V4_SRC) {
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into());
    }
    let value = attribute(ip, CTA_IP_V6_SRC)?;
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into())
}

/// Deletes one connection; that it has ended meanwhile is no fault.
fn remove(socket: &mut AskSocket, family: Family, body: &[u8]) -> io::Result<()> {
    let sequence = socket.next_sequence();
    let flags = NLM_F_REQUEST | NLM_F_ACK;
    socket.send(&request(CT_DELETE, flags, sequence, family, body))?;
    match socket.answer(sequence) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
        answer => answer,
    }
}

/// Returns a request of conntrack's subsystem.
fn request(kind: u16, flags: u16, sequence: u32, family: Family, body: &[u8]) -> Vec<u8> {
    let family = match family {
        Family::V4 => nix::libc::AF_INET,
        Family::V6 => nix::libc::AF_INET6,
    };
    let length = 16 + NFGENMSG + body.len();
    let mut bytes = Vec::with_capacity(length);
    // Bodies are copies of attributes of one message, far below the limit of the length.
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([u8::try_from(family).unwrap_or_default(), 0, 0, 0]);
    bytes.extend(body);
    bytes
}

/// Appends an attribute; `None` where it is too long for one.
fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) -> Option<()> {
    bytes.extend(u16::try_from(4 + value.len()).ok()?.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Some(())
}

#[cfg(test)]
#[path = "tests/conntrack.rs"]
mod tests;
