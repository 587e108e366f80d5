//! The `net` room: words of networking that carry no Calico meaning.
//!
//! In: text and numbers. Out: values that are valid by construction. May touch: `std`, `ipnet`, `regex-lite`.
//! Absent: policy, nftables, I/O. Every other room may use it, which is why it is not part of `model`.

mod address;
mod interface;
mod pattern;
mod port;
mod protocol;

pub use address::{Family, host_net, maximal, parse_net};
pub use interface::{InterfaceName, InterfaceNameError};
pub use pattern::InterfacePattern;
pub use port::{PortRange, PortRangeError};
pub use protocol::{Protocol, ProtocolError};
