//! The end that the agent holds.

use std::future::Future;
use std::io;
use std::thread;

use tokio::sync::watch;

use super::facts::Facts;
use super::files;
use super::reporter::Reporter;
use super::settings::Settings;
use crate::datastore::{EtcdSettings, EtcdWriter};

/// The end that tells what there is to report. Telling waits for nobody, and only the latest is kept.
#[derive(Debug)]
pub struct Handle {
    settings: watch::Sender<Settings>,
    facts: watch::Sender<Facts>,
}

impl Handle {
    /// Starts to report, to etcd if there is one; nothing is until it is told what.
    ///
    /// # Errors
    /// Fails where the system gives no threads.
    pub fn start(etcd: Option<EtcdSettings>) -> io::Result<Self> {
        let (settings, told) = watch::channel(Settings::default());
        let (facts, known) = watch::channel(Facts::default());
        if let Some(etcd) = etcd {
            let writer = EtcdWriter::new(etcd);
            let reporter = Reporter::new(told.clone(), known.clone(), writer);
            spawn("status", || reporter.run())?;
        }
        spawn("status-files", || files::keep(told, known))?;
        Ok(Self { settings, facts })
    }

    /// Changes what is reported.
    pub fn configure(&self, settings: Settings) {
        self.settings.send_if_modified(|now| {
            let differs = *now != settings;
            *now = settings;
            differs
        });
    }

    /// Takes in something that may be new, and tells whether it is.
    pub fn note(&self, change: impl FnOnce(&mut Facts) -> bool) {
        self.facts.send_if_modified(change);
    }
}

/// Runs a task on a thread of its own.
fn spawn<Task: Future<Output = ()>>(
    name: &str,
    task: impl FnOnce() -> Task + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(task()))
        .map(drop)
}
