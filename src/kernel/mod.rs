//! The `kernel` room: the one place that knows netlink bytes of `nf_tables`.
//!
//! In: plans. Out: a transaction that was committed, or an error that names our object; what the kernel holds,
//! as a catalogue; what its counters have counted; and what others change of it. May touch: `nft`, `net`, `netlink`,
//! the netfilter socket, the lock file and its socket, `/proc`, `/sys/module`. Absent: Calico's resources, the choice of what to change.

mod claim;
mod comments;
mod counters;
mod decode;
mod encode;
mod error;
/// A kernel in memory; public for tests outside of this crate.
#[doc(hidden)]
pub mod fake;
/// Answers of a kernel that a fuzzer makes up.
#[cfg(fuzzing)]
pub mod fuzzing;
mod host_chains;
mod leftovers;
mod lock;
mod netfilter;
mod observe;
mod observe_sets;
mod owner;
#[cfg(not(fuzzing))]
mod port;
mod probe;
mod socket;
mod subject;
mod touched;
mod watch;

#[cfg(fuzzing)]
use fuzzing as port;

pub use counters::{Count, CounterReader};
pub use encode::{Batch, EncodeError, Target};
pub use error::{CommitError, KernelError, Refusal, Refusals, UnknownReason};
pub use host_chains::{
    Accepted, Advice, Change, Drops, HostChain, HostChains, HostFamily, HostFirewall, HostPolicy,
    Place, Remedy, Report, Wanted, advice,
};
pub use leftovers::{
    ChainFate, Despite, Elsewhere, FelixChain, FelixLeftovers, FelixRule, FelixSeen, FelixTable,
    Held, Leftovers, SharedTable, Unpoliced, elsewhere, live_felix,
};
pub use lock::{LOCK_DIRECTORY, LockError, LockHolder, LockPlace, NamespaceLock};
pub use netfilter::{Committed, Kernel, Netfilter, Settings};
pub use observe::{Observed, Ownership, TableState};
pub use owner::{ForeignOwner, Process, TableOwner};
pub use probe::Capabilities;
pub use subject::Subject;
pub use touched::{Author, Touched};
pub use watch::{Heard, RulesetWatch, Unheard};
