//! What can go wrong between us and the kernel.

use std::fmt;
use std::io;

use nix::errno::Errno;

use super::encode::EncodeError;
use super::host_chains::Place;
use super::owner::ForeignOwner;
use super::subject::Subject;
use crate::nft::{ObjectKey, TableName};

/// The kernel cannot be asked, or its answer not be understood.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No socket.
    #[error("open a netlink socket for netfilter")]
    Open {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The group of those who hear of changes of the ruleset.
    #[error("hear of changes of the ruleset")]
    Watch {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A socket option that is needed.
    #[error("set {option} on the netlink socket")]
    SocketOption {
        /// The option.
        option: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A request that could not be sent.
    #[error("send {bytes} bytes over netlink")]
    Send {
        /// How many.
        bytes: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An answer that could not be received.
    #[error("receive from netlink")]
    Receive {
        /// Why.
        #[source]
        source: Errno,
    },
    /// A request that the kernel refused.
    #[error("read {what}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Errno,
    },
    /// No answer in time.
    #[error("no answer from the kernel within {milliseconds} ms (NetlinkTimeout)")]
    Timeout {
        /// The time allowed.
        milliseconds: u128,
    },
    /// An answer that is no netlink message.
    #[error("read {what}: the kernel's answer cannot be understood")]
    Malformed {
        /// What was asked for.
        what: &'static str,
    },
    /// The ruleset changed each time it was read.
    #[error("read table `inet {table}`: the ruleset changed during each of {attempts} attempts")]
    Unsettled {
        /// The table.
        table: TableName,
        /// How often it was tried.
        attempts: u32,
    },
    /// A chain of the host's own firewall that was not to be changed.
    #[error("change our rule in the chain `{chain}`")]
    HostRule {
        /// The chain.
        chain: Place,
        /// Why.
        #[source]
        source: Errno,
    },
    /// Others changed the ruleset each time a chain of the host's own firewall was to be read or changed.
    #[error(
        "read or change our rule in the chain `{chain}`: the ruleset changed during each of {attempts} attempts"
    )]
    HostRuleUnsettled {
        /// The chain.
        chain: Place,
        /// How often it was tried.
        attempts: u32,
    },
    /// Something of Felix's that was not to be removed; nothing has changed.
    #[error("remove what Felix has left: {object}")]
    Leftover {
        /// What could not be removed.
        object: String,
        /// Why.
        #[source]
        source: Errno,
    },
    /// Others changed the ruleset each time that what Felix has left was to be read or removed.
    #[error(
        "read or remove what Felix has left: the ruleset changed during each of {attempts} attempts"
    )]
    LeftoversUnsettled {
        /// How often it was tried.
        attempts: u32,
    },
    /// More chains or rules than any Felix makes.
    #[error("read what Felix has left: there are more than {most} chains or rules")]
    TooManyLeftovers {
        /// How many are taken.
        most: usize,
    },
    /// A listing of the kernel's that cannot be read.
    #[error("read {path}")]
    Listing {
        /// The file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Ownership was demanded of a kernel without it.
    #[error(
        "TableOwner=Enabled: this kernel cannot keep an owned table when its owner ends (needs 6.9)"
    )]
    OwnerUnsupported,
}

/// A transaction was not committed, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was sent: the plan has no form in the kernel's protocol.
    #[error("the plan cannot be encoded")]
    Encode(#[source] EncodeError),
    /// Nothing was sent, or nothing arrived.
    #[error("the transaction could not be sent")]
    Send(#[source] KernelError),
    /// The kernel refused the transaction; nothing has changed.
    #[error("the kernel refused the transaction: {refusals}")]
    Refused {
        /// What was refused.
        refusals: Refusals,
    },
    /// The table belongs to another process; nothing has changed.
    #[error("table `inet {table}` belongs to {owner}")]
    ForeignOwner {
        /// The table.
        table: TableName,
        /// Whose it is.
        owner: ForeignOwner,
    },
    /// It is not known whether the transaction was committed: what the kernel holds must be read back.
    #[error("it is not known whether the transaction was committed: {reason}")]
    Unknown {
        /// Why it is not known.
        reason: UnknownReason,
    },
}

impl CommitError {
    /// Tells whether something was to go that something else still refers to.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Refused { refusals } => refusals.iter().any(|it| it.errno == Errno::EBUSY),
            Self::Encode(_) | Self::Send(_) | Self::ForeignOwner { .. } | Self::Unknown { .. } => {
                false
            }
        }
    }

    /// Returns the objects of the table that are named as the cause, the first of them first.
    pub fn objects(&self) -> Vec<ObjectKey> {
        match self {
            Self::Encode(error) => error.subject().object().into_iter().collect(),
            Self::Refused { refusals } => {
                let named = refusals.iter().map(|refusal| refusal.subject.object());
                named.flatten().collect()
            }
            Self::Send(_) | Self::ForeignOwner { .. } | Self::Unknown { .. } => Vec::new(),
        }
    }

    /// Tells whether it is the transaction itself that cannot be, so that another one might.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Encode(_) | Self::Send(_) | Self::Refused { .. } => true,
            Self::ForeignOwner { .. } | Self::Unknown { .. } => false,
        }
    }
}

/// Why it is not known whether a transaction was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownReason {
    /// Answers were lost because there were too many.
    #[error("answers of the kernel were lost (ENOBUFS)")]
    Overrun,
    /// No answer came in time.
    #[error("no answer within the time allowed (NetlinkTimeout)")]
    Timeout,
    /// Receiving failed.
    #[error("receiving the answer failed ({0})")]
    Receive(Errno),
}

/// Everything that the kernel refused of one transaction, the first cause first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    pub(super) first: Refusal,
    pub(super) others: Vec<Refusal>,
}

impl Refusals {
    /// Returns the first refusal.
    pub fn first(&self) -> &Refusal {
        &self.first
    }

    /// Returns every refusal.
    pub fn iter(&self) -> impl Iterator<Item = &Refusal> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        match self.others.len() {
            0 => Ok(()),
            count => write!(f, ", and {count} more"),
        }
    }
}

/// One message of a transaction that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The operation of the plan; none where the transaction as a whole was refused.
    pub operation: Option<usize>,
    /// What it is about. Where a graph of chains is at fault it is the rule or element that completes a path.
    pub subject: Subject,
    /// Why.
    pub errno: Errno,
    /// The attribute that the kernel complains of, in bytes from the start of its message.
    pub offset: Option<usize>,
    /// What the kernel says in words, which is rare.
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = self.errno.desc().to_ascii_lowercase();
        write!(f, "{}: {description} ({:?})", self.subject, self.errno)?;
        if let Some(offset) = self.offset {
            write!(f, " at attribute offset {offset}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}
