//! The kernel as the agent sees it.

use std::ops::Add;
use std::time::Duration;

use nix::errno::Errno;

use super::decode::Messages;
use super::encode::{Batch, Target};
use super::error::{CommitError, KernelError, Refusal, Refusals, UnknownReason};
use super::observe::{self, Observed, Ownership};
use super::owner::TableOwner;
use super::probe::{self, Capabilities};
use super::socket::{Received, Socket, Wait};
use crate::nft::{Plan, TableName};

/// The most refusals of one transaction that are kept.
const REFUSALS_MAX: usize = 64;

/// What holds the ruleset: the kernel, or a stand-in for it.
pub trait Kernel: Send {
    /// Reads our table back.
    ///
    /// # Errors
    /// Fails where the kernel does not answer or keeps changing.
    fn observe(&mut self) -> Result<Observed, KernelError>;

    /// Makes one transaction of a plan.
    ///
    /// # Errors
    /// Fails where nothing has changed, or with [`CommitError::Unknown`] where that must be read back.
    fn commit(&mut self, plan: &Plan) -> Result<Committed, CommitError>;

    /// Asks what the kernel would say to a transaction of a plan; nothing changes, whatever it says.
    ///
    /// # Errors
    /// Fails as [`Kernel::commit`] would, and with [`CommitError::Unknown`] where no answer came.
    fn check(&mut self, plan: &Plan) -> Result<(), CommitError>;
}

/// What becomes of what a batch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// It stays.
    Commit,
    /// It is taken back.
    Check,
}

/// What is told of a transaction that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// How many messages it had, the ends of the batch not counted.
    pub messages: usize,
    /// How many bytes it had.
    pub bytes: usize,
}

impl Add for Committed {
    type Output = Self;

    /// Returns what is told of two transactions together.
    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What the socket is opened for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The table, of family `inet`.
    pub table: TableName,
    /// Whether it is to belong to this process.
    pub ownership: TableOwner,
    /// How long to wait for an answer (`NetlinkTimeout`).
    pub timeout: Duration,
}

/// The `nf_tables` of the network namespace in which the socket was opened.
#[derive(Debug)]
pub struct Netfilter {
    socket: Socket,
    table: TableName,
    owned: bool,
    capabilities: Capabilities,
}

impl Netfilter {
    /// Opens the socket in the network namespace of the calling thread and asks the kernel what it can do.
    ///
    /// The socket must be kept: where the table is owned, it is the owner.
    ///
    /// # Errors
    /// Fails without a socket, without an answer, or where ownership is demanded that this kernel does not have.
    pub fn open(settings: Settings) -> Result<Self, KernelError> {
        let mut socket = Socket::open(settings.timeout)?;
        let capabilities = match settings.ownership {
            TableOwner::Auto | TableOwner::Enabled => probe::probe(&mut socket, &settings.table)?,
            TableOwner::Disabled => Capabilities {
                persistent_owner: false,
                end_acknowledged: None,
            },
        };
        let owned = match settings.ownership {
            TableOwner::Auto => capabilities.persistent_owner,
            TableOwner::Enabled if !capabilities.persistent_owner => {
                return Err(KernelError::OwnerUnsupported);
            }
            TableOwner::Enabled => true,
            TableOwner::Disabled => false,
        };
        Ok(Self {
            socket,
            table: settings.table,
            owned,
            capabilities,
        })
    }

    /// Tells whether the table is to belong to this process.
    pub fn owned(&self) -> bool {
        self.owned
    }

    /// Returns what was found out about the kernel.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Returns the generation of the ruleset of the network namespace, which each commit of anybody raises.
    ///
    /// # Errors
    /// Fails where the kernel does not answer.
    pub fn generation(&mut self) -> Result<u32, KernelError> {
        observe::generation(&mut self.socket)
    }

    /// Returns how many objects our table has, whoever made it; `None` where it is not there.
    ///
    /// # Errors
    /// Fails where the kernel does not answer.
    pub fn object_count(&mut self) -> Result<Option<usize>, KernelError> {
        observe::object_count(&mut self.socket, &self.table)
    }

    /// Receives everything that the kernel says to a batch.
    ///
    /// The kernel handles a batch while it is being sent, so that all answers are there when sending returns.
    /// An acknowledgement alone is no proof: it is also given to the last message of a batch that fails.
    fn outcome(&mut self, batch: &Batch) -> Outcome {
        let mut outcome = Outcome::default();
        let mut wait = Wait::No;
        loop {
            match self.socket.receive(wait) {
                Ok(Received::Datagram(bytes)) => {
                    outcome.read(bytes, batch);
                    wait = Wait::No;
                }
                Ok(Received::Overrun) => outcome.doubt = Some(UnknownReason::Overrun),
                Ok(Received::Nothing) if outcome.is_settled() => break,
                Ok(Received::Nothing) if wait == Wait::No => wait = Wait::Timeout,
                Ok(Received::Nothing) => {
                    outcome.doubt = Some(UnknownReason::Timeout);
                    break;
                }
                Err(errno) => {
                    outcome.doubt = Some(UnknownReason::Receive(errno));
                    break;
                }
            }
        }
        outcome
    }

    fn refusal(&self, batch: &Batch, plan: &Plan, raw: RawRefusal) -> Refusal {
        let (operation, subject) = batch.subject(plan, &self.table, raw.sequence, raw.offset);
        Refusal {
            operation,
            subject,
            errno: raw.errno,
            offset: raw.offset,
            text: raw.text,
        }
    }

    /// Tells whose the table is, where a refusal may come of that.
    fn foreign_owner(&mut self) -> Option<CommitError> {
        let observed = observe::table_ownership(&mut self.socket, &self.table);
        match observed {
            Ok(Some(Ownership::Foreign(owner))) => Some(CommitError::ForeignOwner {
                table: self.table.clone(),
                owner,
            }),
            Ok(Some(Ownership::None | Ownership::Ours | Ownership::Orphan) | None) | Err(_) => None,
        }
    }

    /// Sends a plan as one batch and takes what the kernel says to it.
    fn transact(&mut self, plan: &Plan, intent: Intent) -> Result<Committed, CommitError> {
        if plan.is_empty() {
            return Ok(Committed::default());
        }
        let target = Target {
            table: &self.table,
            flags: if self.owned { probe::OWNED } else { 0 },
        };
        let first = self.socket.take_sequences(0);
        let batch = Batch::encode(plan, &target, first).map_err(CommitError::Encode)?;
        let sequences = batch.sequences();
        self.socket.take_sequences(sequences.end - sequences.start);
        let bytes = match intent {
            Intent::Commit => batch.bytes(),
            Intent::Check => batch.trial_bytes(),
        };
        self.socket.send(bytes).map_err(CommitError::Send)?;
        let outcome = self.outcome(&batch);
        let mut refused = outcome.refused.into_iter();
        let Some(first) = refused.next() else {
            return match outcome.doubt {
                None => Ok(Committed {
                    messages: batch.message_count(),
                    bytes: bytes.len(),
                }),
                Some(reason) => Err(CommitError::Unknown { reason }),
            };
        };
        if first.errno == Errno::EPERM
            && let Some(error) = self.foreign_owner()
        {
            return Err(error);
        }
        if first.errno == Errno::EMLINK {
            // What matters is the refusal; where this fails too, the next transaction is slow and no worse.
            let _ = probe::settle(&mut self.socket, &self.table);
        }
        Err(CommitError::Refused {
            refusals: Refusals {
                first: self.refusal(&batch, plan, first),
                others: refused.map(|raw| self.refusal(&batch, plan, raw)).collect(),
            },
        })
    }
}

impl Kernel for Netfilter {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        observe::observe(&mut self.socket, &self.table, self.owned)
    }

    fn commit(&mut self, plan: &Plan) -> Result<Committed, CommitError> {
        self.transact(plan, Intent::Commit)
    }

    fn check(&mut self, plan: &Plan) -> Result<(), CommitError> {
        self.transact(plan, Intent::Check).map(|_| ())
    }
}

/// What the kernel said to a batch.
#[derive(Debug, Default)]
struct Outcome {
    acknowledged: bool,
    refused: Vec<RawRefusal>,
    doubt: Option<UnknownReason>,
}

/// A refusal by the number of its message.
#[derive(Debug)]
struct RawRefusal {
    sequence: u32,
    errno: Errno,
    offset: Option<usize>,
    text: Option<String>,
}

impl Outcome {
    fn read(&mut self, bytes: &[u8], batch: &Batch) {
        let sequences = batch.sequences();
        for message in Messages(bytes).filter(|m| sequences.contains(&m.sequence)) {
            let Some(reply) = message.reply() else {
                continue;
            };
            if reply.errno == 0 {
                self.acknowledged |= message.sequence == batch.last_sequence()
                    || message.sequence == batch.end_sequence();
            } else if self.refused.len() < REFUSALS_MAX {
                self.refused.push(RawRefusal {
                    sequence: message.sequence,
                    errno: Errno::from_raw(reply.errno),
                    offset: reply.offset,
                    text: reply.text.map(str::to_owned),
                });
            }
        }
    }

    /// Tells whether no further answer is awaited.
    fn is_settled(&self) -> bool {
        self.acknowledged || !self.refused.is_empty() || self.doubt.is_some()
    }
}
