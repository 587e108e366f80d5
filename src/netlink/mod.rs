//! The `netlink` room: the socket by which others follow what rtnetlink and `nf_tables` announce.
//!
//! In: multicast groups and requests. Out: datagrams of the kernel, as bytes. May touch: rtnetlink's socket and packet
//! crates, tokio. Absent: what the datagrams say, and errors of its own: each user names what it was about.

mod socket;

pub use socket::{ChangeSocket, DATAGRAM, enlarge, is_overrun, serialize};
