//! What can go wrong while interfaces are wired.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::net::InterfaceName;

/// Why the kernel could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The thread or its runtime could not be started.
    #[error("start the thread that wires interfaces")]
    Start(#[source] io::Error),
    /// A netlink socket could not be made.
    #[error("open a netlink socket for {what}")]
    Open {
        /// What it is for.
        what: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A listing could not be asked for.
    #[error("ask the kernel for its {what}")]
    Request {
        /// What was asked for, in the plural.
        what: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The kernel refused or broke off a listing.
    #[error("read the {what} of the kernel")]
    Dump {
        /// What was asked for, in the plural.
        what: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A socket is broken.
    #[error("receive from the netlink socket for {what}")]
    Receive {
        /// What it is for.
        what: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The kernel had more to say than the receive buffer holds: some of it is lost.
    #[error("changes were lost because the receive buffer was full")]
    Overrun,
    /// A route could not be written.
    #[error("write the route to {destination}")]
    WriteRoute {
        /// Its destination.
        destination: IpNet,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A route could not be removed.
    #[error("remove the route to {destination}")]
    RemoveRoute {
        /// Its destination.
        destination: IpNet,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A neighbour could not be written.
    #[error("write the neighbour {address}")]
    WriteNeighbour {
        /// Its address.
        address: IpAddr,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A neighbour could not be removed.
    #[error("remove the neighbour {address}")]
    RemoveNeighbour {
        /// Its address.
        address: IpAddr,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Connections could not be deleted.
    #[error("delete tracked connections")]
    DeleteConnections(#[source] io::Error),
    /// A setting below `/proc/sys` could not be written.
    #[error("set {setting} to {value}")]
    Sysctl {
        /// Its path below `/proc/sys`.
        setting: String,
        /// The value.
        value: &'static str,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The settings of an interface cannot be told from those of all.
    #[error("the interface `{interface}` has the name of what is set for all interfaces")]
    Name {
        /// The interface.
        interface: InterfaceName,
    },
}

impl RouteError {
    /// Returns the error and its cause as one text, for reports.
    pub(super) fn with_cause(&self) -> String {
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}
