//! The one thread that writes to the kernel.
//!
//! A netlink exchange blocks, and a table belongs to the socket that made it: so one thread holds the socket
//! for the life of the process.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as channel;

use super::takeover::{Look, Wish, look};
use crate::kernel::{
    CommitError, Committed, FelixLeftovers, HostChain, HostFirewall, Kernel, KernelError, Observed,
    Report, Wanted,
};
use crate::nft::{Plan, Plans};

/// What the writer is asked to do.
enum Request {
    /// Read what the kernel holds.
    Observe,
    /// Commit transactions, up to the first that fails.
    Commit(Plans),
    /// Ask what the kernel would say to a transaction.
    Check(Plan),
    /// Make our rule in the host's own firewall be as wanted, and look at its chains.
    Firewall(FirewallRequest),
    /// Look for what Felix has left, and remove it where that is wanted.
    Takeover(Wish),
}

/// What is wanted of the host's own firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirewallRequest {
    /// Whether our rule is to be there.
    pub(super) wanted: Wanted,
    /// The bit of the packet mark that its chains should accept.
    pub(super) mark: u32,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// What the kernel holds.
    Observed(Result<Observed, KernelError>),
    /// Whether the transactions are in force, what was sent, how many operations they had, and how long they took.
    Committed {
        /// The outcome.
        outcome: Result<Committed, CommitError>,
        /// The number of operations.
        operations: usize,
        /// The time in the kernel.
        elapsed: Duration,
    },
    /// What the kernel would say to a transaction.
    Checked(Result<(), CommitError>),
    /// What was changed in the host's own firewall, and its chains.
    Firewall(Result<(Report, Vec<HostChain>), KernelError>),
    /// What Felix has left, and what became of it.
    Takeover(Result<Look, KernelError>),
}

/// The loop's end of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
    replies: channel::UnboundedReceiver<Reply>,
    busy: Option<Instant>,
}

/// The writer's thread has ended, which it does only by a fault.
#[derive(Debug, thiserror::Error)]
#[error("the thread that writes to the kernel has ended")]
pub(super) struct WriterGone;

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails where the system gives no thread.
    pub(super) fn start(
        mut kernel: Box<dyn Kernel>,
        mut firewall: Box<dyn HostFirewall>,
        mut felix: FelixLeftovers,
    ) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        // At most one request is under way, so the channel never holds more than one reply.
        let (outbox, replies) = channel::unbounded_channel();
        thread::Builder::new()
            .name("nft-writer".to_owned())
            .spawn(move || {
                while let Ok(request) = inbox.recv() {
                    let reply = serve(kernel.as_mut(), firewall.as_mut(), &mut felix, request);
                    if outbox.send(reply).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            requests,
            replies,
            busy: None,
        })
    }

    /// Tells whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Returns since when a request is under way, if one is.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        self.busy
    }

    /// Asks for what the kernel holds.
    pub(super) fn observe(&mut self) -> Result<(), WriterGone> {
        self.request(Request::Observe)
    }

    /// Asks for transactions.
    pub(super) fn commit(&mut self, plans: Plans) -> Result<(), WriterGone> {
        self.request(Request::Commit(plans))
    }

    /// Asks what the kernel would say to a transaction.
    pub(super) fn check(&mut self, plan: Plan) -> Result<(), WriterGone> {
        self.request(Request::Check(plan))
    }

    /// Asks for our rule in the host's own firewall, and for its chains.
    pub(super) fn firewall(&mut self, request: FirewallRequest) -> Result<(), WriterGone> {
        self.request(Request::Firewall(request))
    }

    /// Asks for what Felix has left.
    pub(super) fn takeover(&mut self, wish: Wish) -> Result<(), WriterGone> {
        self.request(Request::Takeover(wish))
    }

    fn request(&mut self, request: Request) -> Result<(), WriterGone> {
        self.requests.send(request).map_err(|_| WriterGone)?;
        self.busy = Some(Instant::now());
        Ok(())
    }

    /// Waits for the reply to the request under way.
    pub(super) async fn reply(&mut self) -> Result<Reply, WriterGone> {
        let reply = self.replies.recv().await.ok_or(WriterGone)?;
        self.busy = None;
        Ok(reply)
    }
}

/// Serves one request.
fn serve(
    kernel: &mut dyn Kernel,
    firewall: &mut dyn HostFirewall,
    felix: &mut FelixLeftovers,
    request: Request,
) -> Reply {
    match request {
        Request::Observe => Reply::Observed(kernel.observe()),
        Request::Commit(plans) => {
            let begun = Instant::now();
            let mut transactions = plans.transactions();
            let outcome = transactions.try_fold(Committed::default(), |sent, plan| {
                kernel.commit(plan).map(|more| sent + more)
            });
            Reply::Committed {
                outcome,
                operations: plans.operations().count(),
                elapsed: begun.elapsed(),
            }
        }
        Request::Check(plan) => Reply::Checked(kernel.check(&plan)),
        Request::Firewall(FirewallRequest { wanted, mark }) => {
            let report = firewall.ensure(wanted);
            Reply::Firewall(report.and_then(|report| Ok((report, firewall.survey(mark)?))))
        }
        Request::Takeover(wish) => Reply::Takeover(look(felix, wish)),
    }
}
