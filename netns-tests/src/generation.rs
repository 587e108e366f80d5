//! The number of transactions that the kernel's tables have seen.

use socket2::{Domain, Protocol, Socket, Type};

use crate::ns::Namespace;

/// `AF_NETLINK` (linux/socket.h).
const NETLINK: i32 = 16;
/// `NETLINK_NETFILTER` (linux/netlink.h).
const NETFILTER: i32 = 12;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN` (`linux/netfilter/nf_tables.h`).
const GET_GENERATION: u16 = 10 << 8 | 16;
/// `NLM_F_REQUEST` (linux/netlink.h).
const REQUEST: u16 = 1;
/// The header of a message, that of netfilter, and the header of the first attribute, which is the generation.
const BEFORE: usize = 16 + 4 + 4;

/// Returns the generation of a namespace's ruleset: each transaction that changes anything adds one.
pub fn generation(namespace: &Namespace) -> u32 {
    namespace.run(|| {
        let socket = Socket::new(
            Domain::from(NETLINK),
            Type::RAW,
            Some(Protocol::from(NETFILTER)),
        )
        .expect("open a netlink socket");
        let mut request = 20_u32.to_ne_bytes().to_vec();
        request.extend(GET_GENERATION.to_ne_bytes());
        request.extend(REQUEST.to_ne_bytes());
        // The sequence number, the port, and the header of netfilter.
        request.extend([0; 12]);
        socket.send(&request).expect("ask for the generation");
        let mut answer = [0; 256];
        let length = std::io::Read::read(&mut &socket, &mut answer).expect("hear the generation");
        assert!(length >= BEFORE + 4, "an answer of {length} bytes");
        let number = answer[BEFORE..BEFORE + 4].try_into();
        u32::from_be_bytes(number.expect("four bytes"))
    })
}
