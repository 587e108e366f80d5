//! What the kernel under the tests can do.

use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// `NFNL_MSG_BATCH_BEGIN`, the first message of a transaction.
const BEGIN: u16 = 0x10;
/// `NFNL_MSG_BATCH_END`, the last one.
const END: u16 = 0x11;
/// `NFT_MSG_NEWTABLE` of `NFNL_SUBSYS_NFTABLES`.
const NEW_TABLE: u16 = 10 << 8;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// The same with `NLM_F_ACK` and `NLM_F_CREATE`.
const ASKED: u16 = 0x405;
/// `NLMSG_ERROR`, which an acknowledgement is as well.
const ANSWER: u16 = 2;
/// `NFT_TABLE_F_OWNER` and `NFT_TABLE_F_PERSIST`.
const OWNED: u32 = 6;

/// Tells whether tables can outlive their owner, as Linux 6.9 and later let them: asks the kernel for such a table.
pub fn tables_persist() -> bool {
    static PERSIST: LazyLock<bool> = LazyLock::new(|| {
        let asked = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a namespace");
            takes_an_owned_table()
        });
        asked.join().expect("the kernel answers")
    });
    *PERSIST
}

/// Says whether a table can be owned by the daemon; if not, prints "skipped".
pub fn owns() -> bool {
    let owns = tables_persist();
    if !owns {
        eprintln!("skipped: tables of this kernel do not outlive their owner");
    }
    owns
}

fn takes_an_owned_table() -> bool {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .expect("open a socket");
    let mut table = attribute(1, b"probe\0");
    table.extend(attribute(2, &OWNED.to_be_bytes()));
    let batch = [
        message(BEGIN, REQUEST, [0, 0, 0, 10], &[]),
        message(NEW_TABLE, ASKED, [1, 0, 0, 0], &table),
        message(END, REQUEST, [0, 0, 0, 10], &[]),
    ]
    .concat();
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &batch, &kernel, MsgFlags::empty()).expect("ask the kernel");
    let mut buffer = [0; 4096];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("its answer");
    let answer = &buffer[..length];
    assert_eq!(answer.get(4..6), Some(ANSWER.to_ne_bytes().as_slice()));
    answer.get(16..20) == Some([0; 4].as_slice())
}

fn message(kind: u16, flags: u16, family: [u8; 4], attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).expect("it is short");
    let number: u32 = 1;
    [
        length.to_ne_bytes().as_slice(),
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &number.to_ne_bytes(),
        &[0; 4],
        &family,
        attributes,
    ]
    .concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("it is short");
    let mut bytes = [length.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
