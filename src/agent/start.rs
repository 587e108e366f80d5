//! The start: everything is opened, and the loop begun.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;
use tracing::{error, info, warn};

use super::cause::Cause;
use super::configuration::Configuration;
use super::drift::Drift;
use super::enforcer::Enforcer;
use super::exit::ExitReason;
use super::firewall::Firewall;
use super::guard::{self, Scene};
use super::last_good::{Basis, Record, recall};
use super::observer::Observer;
use super::retry::Retry;
use super::run::{Agent, say};
use super::signals::Signals;
use super::statuses::Statuses;
use super::takeover::Takeover;
use super::writer::Writer;
use super::{calc_settings, etcd_settings, render_settings, routes_settings, writer_settings};
use crate::config::{Config, DatastoreKind};
use crate::datastore::{DirectorySource, EtcdSource, Source};
use crate::kernel::{
    FelixLeftovers, HostChains, LOCK_DIRECTORY, LockError, NamespaceLock, Netfilter,
};
use crate::links::LinkWatch;
use crate::render::Settings as RenderSettings;
use crate::routes;
use crate::telemetry::{ErrorChain, LogHandle};

/// How long a start waits for another process to let go of the namespace or the table.
pub(super) const HANDOVER: Duration = Duration::from_secs(10);
/// How often it asks meanwhile.
pub(super) const HANDOVER_POLL: Duration = Duration::from_millis(100);

/// Enforces policy until a signal ends it; the configuration has been read and logging is on. What is in force is kept
/// in the file `last_good`, where one is named.
pub async fn run(
    configuration: Configuration,
    logs: LogHandle,
    last_good: Option<&Path>,
) -> ExitReason {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(cause) => {
            error!("heed signals: {}", ErrorChain(&cause));
            return ExitReason::Failed;
        }
    };
    info!(version = crate::VERSION, "starting");
    info!("{}", configuration.resolution().hostname_line());
    configuration.resolution().problems.iter().for_each(say);
    let config = configuration.config();
    let observer = Observer::new(configuration.config());
    let mut lock = match occupy(&mut signals).await {
        Ok(lock) => lock,
        Err(reason) => return reason,
    };
    if let Err(reason) = lock.answer() {
        warn!("a daemon with another {LOCK_DIRECTORY} could start beside this one: {reason}");
    }
    let render = match render_settings(config) {
        Ok(render) => render,
        Err(cause) => {
            error!("{}", ErrorChain(&cause));
            return ExitReason::Configuration;
        }
    };
    let enforcer = Enforcer::new(calc_settings(config), render.clone());
    let opened = open_writer(config, render);
    let source = open_source(config);
    let links = LinkWatch::open().map_err(|e| ErrorChain(&e).to_string());
    let routes = routes::start(routes_settings(config)).map_err(|e| ErrorChain(&e).to_string());
    let statuses = Statuses::start(config).map_err(|e| ErrorChain(&e).to_string());
    let record = Record::start(last_good, config).map_err(|e| ErrorChain(&e).to_string());
    let parts = (|| Ok::<_, String>((opened?, source?, links?, routes?, statuses?, record?)))();
    let ((writer, scene, drift), source, links, (routes, route_events), statuses, record) =
        match parts {
            Ok(parts) => parts,
            Err(reason) => {
                error!("{reason}");
                return ExitReason::Failed;
            }
        };
    let kept = recall(last_good, scene, config);
    let mut agent = Agent {
        configuration,
        logs,
        enforcer,
        writer,
        routes,
        statuses,
        routes_settings: None,
        firewall: Firewall::new(TokioInstant::now()),
        observer,
        takeover: Takeover::new(TokioInstant::now()),
        drift,
        provisional: None,
        basis: Basis::Datastore,
        record,
        datastore_in_sync: false,
        links_in_sync: false,
        announced: false,
        cause: Cause::new("start"),
        committing: Cause::default(),
        started: Instant::now(),
        retry: Retry::new(),
        denied_retry: Retry::of_denied(),
        sequence: 0,
        known_problems: BTreeSet::new(),
    };
    if let Some(kept) = kept {
        agent.take_last_good(kept);
    }
    // Of a size that belongs on the heap, once.
    Box::pin(agent.serve(source, links, route_events, signals)).await
}

/// Opens what the kernel's writer needs, sees to it that something guards the host, and starts the writer.
fn open_writer(config: &Config, render: RenderSettings) -> Result<(Writer, Scene, Drift), String> {
    let settings = writer_settings(config);
    let (table, timeout) = (settings.table.clone(), settings.timeout);
    let firewall = HostChains::open(&settings).map_err(|e| ErrorChain(&e).to_string())?;
    let mut felix =
        FelixLeftovers::open(&settings, None).map_err(|e| ErrorChain(&e).to_string())?;
    let mut kernel = Netfilter::open(settings).map_err(|e| ErrorChain(&e).to_string())?;
    let scene = guard::raise(&mut kernel, &mut felix, calc_settings(config), render);
    let drift = if kernel.owned() {
        Drift::none()
    } else {
        Drift::watch(table, timeout).map_err(|e| ErrorChain(&e).to_string())?
    };
    let writer = Writer::start(Box::new(kernel), Box::new(firewall), felix)
        .map_err(|e| ErrorChain(&e).to_string())?;
    Ok((writer, scene, drift))
}

/// Opens the datastore that the configuration names.
fn open_source(config: &Config) -> Result<Source, String> {
    match config.datastore.kind {
        DatastoreKind::Directory => {
            let source = DirectorySource::open(&config.datastore.path);
            Ok(Source::Directory(Box::new(source)))
        }
        DatastoreKind::Etcd => EtcdSource::open(etcd_settings(config))
            .map(Source::Etcd)
            .map_err(|e| format!("start the thread that follows etcd: {}", ErrorChain(&e))),
        DatastoreKind::Kubernetes => Err("the Kubernetes datastore is not supported".to_owned()),
    }
}

/// Takes the namespace's lock, waiting a while for another process to end.
async fn occupy(signals: &mut Signals) -> Result<NamespaceLock, ExitReason> {
    let begun = Instant::now();
    loop {
        match NamespaceLock::acquire(Path::new(LOCK_DIRECTORY)) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { .. }) if begun.elapsed() < HANDOVER => {
                tokio::select! {
                    () = signals.stop() => {
                        info!("stopping; what is in the kernel stays");
                        return Err(ExitReason::Stopped);
                    }
                    () = tokio::time::sleep(HANDOVER_POLL) => {}
                }
            }
            Err(cause) => {
                error!("{}", ErrorChain(&cause));
                return Err(match cause {
                    LockError::Held { .. } => ExitReason::Occupied,
                    LockError::Namespace { .. }
                    | LockError::Directory { .. }
                    | LockError::File { .. } => ExitReason::Failed,
                });
            }
        }
    }
}
