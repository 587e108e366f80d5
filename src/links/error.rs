//! What can go wrong while asking the kernel for its links.

use std::io;

/// Why the links of the kernel could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket could not be made.
    #[error("open a route netlink socket")]
    Open(#[source] io::Error),
    /// The socket could not join the groups of link and address changes.
    #[error("subscribe to link and address changes")]
    Subscribe(#[source] io::Error),
    /// A dump could not be asked for.
    #[error("ask the kernel for its {what}")]
    Request {
        /// What was asked for, in the plural.
        what: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The kernel refused or broke off a dump.
    #[error("read the {what} of the kernel")]
    Dump {
        /// What was asked for, in the plural.
        what: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The socket is broken.
    #[error("receive from the route netlink socket")]
    Receive(#[source] io::Error),
    /// The kernel had more to say than the receive buffer holds: some of it is lost.
    #[error("link changes were lost because the receive buffer was full")]
    Overrun,
}
