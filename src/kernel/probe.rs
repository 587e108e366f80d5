//! What this kernel can do.

use nix::errno::Errno;
use nix::sys::utsname::uname;

use super::decode::Messages;
use super::encode::buffer::{Buffer, Header};
use super::encode::consts::attribute::NFTA_TABLE_NAME;
use super::encode::consts::netlink::{NLM_F_ACK, NLM_F_REQUEST};
use super::encode::consts::{message, nfnetlink, value};
use super::encode::object;
use super::error::KernelError;
use super::socket::{Received, Socket, Wait};
use crate::nft::TableName;

/// The flags of a table that belongs to a socket and outlives it. Without the second flag the table would vanish
/// with the process, and all protection with it.
pub(super) const OWNED: u32 = value::TABLE_OWNER | value::TABLE_PERSIST;

/// The first kernel with `NFT_TABLE_F_PERSIST`.
const PERSIST_SINCE: (u32, u32) = (6, 9);

/// What was found out about a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// A table can belong to a socket and outlive it.
    pub persistent_owner: bool,
    /// The end of a batch is acknowledged, which says that it was committed; `None` where it was not seen.
    pub end_acknowledged: Option<bool>,
}

/// Finds out what the kernel can do.
///
/// A table is made and removed in one transaction, so that nobody ever sees it. The table that is probed is not
/// ours: a transaction that fails may leave a table slow to change for a while.
pub(super) fn probe(socket: &mut Socket, table: &TableName) -> Result<Capabilities, KernelError> {
    match try_table(socket, table, OWNED)? {
        Trial::Committed { end_acknowledged } => Ok(Capabilities {
            persistent_owner: true,
            end_acknowledged: Some(end_acknowledged),
        }),
        Trial::Refused(Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(Capabilities {
            persistent_owner: false,
            end_acknowledged: None,
        }),
        Trial::Refused(_) | Trial::Unknown => Ok(Capabilities {
            persistent_owner: release_has_persist(
                uname()
                    .ok()
                    .as_ref()
                    .and_then(|names| names.release().to_str()),
            ),
            end_acknowledged: None,
        }),
    }
}

enum Trial {
    Committed { end_acknowledged: bool },
    Refused(Errno),
    Unknown,
}

/// Makes and removes a table in one transaction.
///
/// After a transaction that failed in the search for loops, the kernel searches again at every step of the next
/// ones until one has succeeded; this is the cheapest that does.
pub(super) fn settle(socket: &mut Socket, table: &TableName) -> Result<(), KernelError> {
    try_table(socket, table, 0).map(|_| ())
}

fn try_table(socket: &mut Socket, table: &TableName, flags: u32) -> Result<Trial, KernelError> {
    let first = socket.take_sequences(4);
    let name = format!("{table}-probe-{}", socket.port());
    let mut buffer = Buffer::with_capacity(256);
    let ends = |kind, sequence, flags| Header {
        kind,
        flags: NLM_F_REQUEST | flags,
        sequence,
        family: nfnetlink::NFPROTO_UNSPEC,
        resource: nfnetlink::NFNL_SUBSYS_NFTABLES,
    };
    let inet = |kind, sequence, flags| Header {
        kind,
        flags: NLM_F_REQUEST | flags,
        sequence,
        family: nfnetlink::NFPROTO_INET,
        resource: 0,
    };
    let begin = ends(nfnetlink::NFNL_MSG_BATCH_BEGIN, first, 0);
    let end = ends(nfnetlink::NFNL_MSG_BATCH_END, first + 3, NLM_F_ACK);
    let written = buffer
        .message(begin, |_| {})
        .and_then(|()| {
            buffer.message(inet(message::NEWTABLE, first + 1, 0), |buffer| {
                object::table(buffer, &name, flags);
            })
        })
        .and_then(|()| {
            buffer.message(inet(message::DELTABLE, first + 2, NLM_F_ACK), |buffer| {
                buffer.text(NFTA_TABLE_NAME, &name);
            })
        })
        .and_then(|()| buffer.message(end, |_| {}));
    if written.is_err() {
        return Ok(Trial::Unknown);
    }
    socket.send(&buffer.into_bytes())?;
    let (mut acknowledged, mut end_acknowledged, mut refused) = (false, false, None);
    // The kernel has handled the batch by now: all answers are there.
    while let Ok(Received::Datagram(bytes)) = socket.receive(Wait::No) {
        for message in Messages(bytes).filter(|m| (first..first + 4).contains(&m.sequence)) {
            match message.reply() {
                Some(reply) if reply.errno == 0 => {
                    acknowledged |= message.sequence == first + 2;
                    end_acknowledged |= message.sequence == first + 3;
                }
                Some(reply) => {
                    refused.get_or_insert(Errno::from_raw(reply.errno));
                }
                None => {}
            }
        }
    }
    Ok(match refused {
        Some(errno) => Trial::Refused(errno),
        None if acknowledged => Trial::Committed { end_acknowledged },
        None => Trial::Unknown,
    })
}

/// Tells whether a kernel of a release has persistent tables; used where the kernel could not be asked.
fn release_has_persist(release: Option<&str>) -> bool {
    let mut numbers = release
        .unwrap_or_default()
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= PERSIST_SINCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, has) in [
            ("6.9.0", true),
            ("6.18.44-fc-v669", true),
            ("7.0", true),
            ("6.8.0-31-generic", false),
            ("6.1.0-18-amd64", false),
            ("5.15.0", false),
            ("strange", false),
            ("", false),
        ] {
            assert_eq!(release_has_persist(Some(release)), has, "{release}");
        }
        assert!(!release_has_persist(None));
    }
}
