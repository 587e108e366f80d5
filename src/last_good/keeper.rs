//! The thread that keeps the file up to date.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::file::{self, Host, Resources};
use crate::model::{Resource, ResourceKey};
use crate::telemetry::ErrorChain;

/// How long after a change the file is written: what follows it closely goes with it.
const SETTLING: Duration = Duration::from_secs(2);
/// How many times as long as a write took there is none: so much of a processor at most is spent on writing.
const SPARING: u32 = 50;
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the end waits for the last write.
const PATIENCE: Duration = Duration::from_secs(3);

/// Changes of what is in force; `None` for a resource that is gone.
type Changes = BTreeMap<ResourceKey, Option<Arc<Resource>>>;

/// The loop's end of the thread. When it is dropped, what has not been written yet is.
#[derive(Debug)]
pub struct Keeper {
    changes: Option<Sender<Changes>>,
    ended: Receiver<()>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails where the system gives no thread.
    pub fn start(path: PathBuf, host: Host) -> io::Result<Self> {
        let (changes, inbox) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        let mut book = Book {
            path,
            host,
            resources: Resources::new(),
            time: SystemTime::UNIX_EPOCH,
            due: None,
            spared_until: Instant::now(),
            failed: None,
        };
        thread::Builder::new()
            .name("last-good".to_owned())
            .spawn(move || {
                book.keep(&inbox);
                // Whoever waits for the end sees that this has gone.
                drop(ending);
            })?;
        Ok(Self {
            changes: Some(changes),
            ended,
        })
    }

    /// Tells what has come into force since the last call; waits for nothing.
    pub fn in_force(&self, changes: Changes) {
        if let Some(sender) = self.changes.as_ref().filter(|_| !changes.is_empty()) {
            // A thread that has ended has nothing to keep.
            let _ = sender.send(changes);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.changes = None;
        // A disk that hangs must not keep the process from ending.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

/// What the thread holds.
struct Book {
    path: PathBuf,
    host: Host,
    resources: Resources,
    /// When they came into force.
    time: SystemTime,
    /// When they are to be written, where the file differs.
    due: Option<Instant>,
    /// Before this, nothing is written.
    spared_until: Instant,
    /// Why the last write failed, where it did.
    failed: Option<String>,
}

impl Book {
    /// Follows what is in force until nobody tells any more.
    fn keep(&mut self, inbox: &Receiver<Changes>) {
        loop {
            let received = match self.due {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match received {
                Ok(changes) => self.take(changes),
                Err(RecvTimeoutError::Timeout) => self.write(),
                Err(RecvTimeoutError::Disconnected) => {
                    if self.due.is_some() {
                        self.write();
                    }
                    return;
                }
            }
        }
    }

    fn take(&mut self, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => self.resources.insert(key, value),
                None => self.resources.remove(&key),
            };
        }
        self.time = SystemTime::now();
        // A stream of changes does not postpone it.
        let due = (Instant::now() + SETTLING).max(self.spared_until);
        self.due.get_or_insert(due);
    }

    fn write(&mut self) {
        let begun = Instant::now();
        let written = file::write(&self.path, &self.host, self.time, &self.resources);
        let path = self.path.display();
        match written {
            Ok(()) => {
                self.due = None;
                self.spared_until = Instant::now() + begun.elapsed() * SPARING;
                if self.failed.take().is_some() {
                    info!("{path}: the last good state is kept again");
                }
            }
            Err(cause) => {
                let reason = ErrorChain(&cause).to_string();
                if self.failed.as_ref() != Some(&reason) {
                    warn!(
                        "{path}: the last good state is not kept: {reason}; policy is enforced as ever"
                    );
                    self.failed = Some(reason);
                }
                self.due = Some(Instant::now() + AGAIN);
            }
        }
    }
}
