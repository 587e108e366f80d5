//! The loop.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, sleep_until};
use tracing::{debug, error, info, warn};

use super::configuration::Configuration;
use super::enforcer::{Enforcer, Step};
use super::firewall::Firewall;
use super::observer::{Observer, Reading, Turn};
use super::retry::Retry;
use super::statuses::{Gate, Statuses};
use super::takeover::Takeover;
use super::writer::{Reply, Writer};
use super::{
    calc_settings, etcd_settings, log_settings, render_settings, routes_settings, wiring,
    writer_settings,
};
use crate::calc::LinkUpdate;
use crate::config::{Config, ConfigProblem, DatastoreKind, Room, Severity};
use crate::datastore::{DirectorySource, EtcdSource, Event as SourceEvent, Source};
use crate::kernel::{
    CommitError, FelixLeftovers, HostChains, LOCK_DIRECTORY, LockError, NamespaceLock, Netfilter,
    Observed, Ownership,
};
use crate::links::{LinkChange, LinkEvent, LinkWatch};
use crate::model::Problem;
use crate::monitor::{Datastore, Enforced, Failure, Resync, Round};
use crate::routes::{self, Event as RouteEvent, Events as RouteEvents, Outcome};
use crate::telemetry::{ErrorChain, LogHandle};

/// How long a start waits for another process to let go of the namespace or the table.
const HANDOVER: Duration = Duration::from_secs(10);
/// How often it asks meanwhile.
const HANDOVER_POLL: Duration = Duration::from_millis(100);
/// How often the log says that the agent is waiting.
const WAITING: Duration = Duration::from_secs(5);

/// Why the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to.
    Stopped,
    /// Its configuration cannot be used.
    Configuration,
    /// Another process polices this namespace.
    Occupied,
    /// Something that it cannot do without failed.
    Failed,
}

impl ExitReason {
    /// Returns the exit code: `EX_CONFIG` and `EX_TEMPFAIL` of `sysexits.h` where they say it best.
    pub fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Configuration => 78,
            Self::Occupied => 75,
            Self::Failed => 1,
        }
    }
}

/// Why there may be something to apply, and since when.
#[derive(Debug, Default)]
struct Cause {
    triggers: BTreeSet<&'static str>,
    since: Option<Instant>,
}

impl Cause {
    fn new(trigger: &'static str) -> Self {
        Self {
            triggers: BTreeSet::from([trigger]),
            since: Some(Instant::now()),
        }
    }

    fn add(&mut self, trigger: &'static str) {
        self.triggers.insert(trigger);
        self.since.get_or_insert_with(Instant::now);
    }

    fn is_none(&self) -> bool {
        self.triggers.is_empty()
    }
}

/// What the loop holds.
struct Agent {
    configuration: Configuration,
    logs: LogHandle,
    enforcer: Enforcer,
    writer: Writer,
    routes: routes::Handle,
    statuses: Statuses,
    /// What is to be told with the next wirings.
    routes_settings: Option<routes::Settings>,
    firewall: Firewall,
    observer: Observer,
    takeover: Takeover,
    datastore_in_sync: bool,
    links_in_sync: bool,
    announced: bool,
    cause: Cause,
    committing: Cause,
    started: Instant,
    retry: Retry,
    sequence: u64,
    known_problems: BTreeSet<Problem>,
}

/// Enforces policy until a signal ends it; the configuration has been read and logging is on.
pub async fn run(configuration: Configuration, logs: LogHandle) -> ExitReason {
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
    let _lock = match occupy(&mut signals).await {
        Ok(lock) => lock,
        Err(reason) => return reason,
    };
    let render = match render_settings(config) {
        Ok(render) => render,
        Err(cause) => {
            error!("{}", ErrorChain(&cause));
            return ExitReason::Configuration;
        }
    };
    let enforcer = Enforcer::new(calc_settings(config), render);
    let opened = open_writer(config);
    let source = open_source(config);
    let links = LinkWatch::open().map_err(|e| ErrorChain(&e).to_string());
    let routes = routes::start(routes_settings(config)).map_err(|e| ErrorChain(&e).to_string());
    let statuses = Statuses::start(config).map_err(|e| ErrorChain(&e).to_string());
    let parts = (|| Ok::<_, String>((opened?, source?, links?, routes?, statuses?)))();
    let (writer, source, links, (routes, route_events), statuses) = match parts {
        Ok(parts) => parts,
        Err(reason) => {
            error!("{reason}");
            return ExitReason::Failed;
        }
    };
    let agent = Agent {
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
        datastore_in_sync: false,
        links_in_sync: false,
        announced: false,
        cause: Cause::new("start"),
        committing: Cause::default(),
        started: Instant::now(),
        retry: Retry::new(),
        sequence: 0,
        known_problems: BTreeSet::new(),
    };
    agent.serve(source, links, route_events, signals).await
}

/// Opens what the kernel's writer needs, and starts it.
fn open_writer(config: &Config) -> Result<Writer, String> {
    let settings = writer_settings(config);
    let firewall = HostChains::open(&settings).map_err(|e| ErrorChain(&e).to_string())?;
    let felix = FelixLeftovers::open(&settings, None).map_err(|e| ErrorChain(&e).to_string())?;
    let kernel = Netfilter::open(settings).map_err(|e| ErrorChain(&e).to_string())?;
    Writer::start(Box::new(kernel), Box::new(firewall), felix)
        .map_err(|e| ErrorChain(&e).to_string())
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

/// The signals that the daemon heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: [Signal; 2],
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
    /// What the Go runtime of Felix writes.
    Profile(&'static str),
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }

    async fn next(&mut self) -> Asked {
        let [first, second] = &mut self.user;
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = first.recv() => Asked::Profile("SIGUSR1"),
            _ = second.recv() => Asked::Profile("SIGUSR2"),
        }
    }

    /// Waits until the end is asked for; what else is asked meanwhile is heard later.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Agent {
    /// Runs the loop.
    async fn serve(
        mut self,
        mut source: Source,
        mut links: LinkWatch,
        mut route_events: RouteEvents,
        mut signals: Signals,
    ) -> ExitReason {
        let mut waiting = tokio::time::interval(WAITING);
        // What was missed while all was in sync is not made up for.
        waiting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = tokio::time::interval(self.observer.pace());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let in_sync = self.is_in_sync();
            let retry_at = self.retry.at();
            let due = self.firewall.due().into_iter().chain(self.takeover.due());
            let others_at = due
                .min()
                .filter(|_| self.announced && !self.writer.is_busy());
            let ended = tokio::select! {
                biased;
                asked = signals.next() => self.heed(asked, &source),
                reply = self.writer.reply(), if self.writer.is_busy() => match reply {
                    Ok(reply) => self.settle(reply),
                    Err(cause) => {
                        error!("{}", ErrorChain(&cause));
                        Some(ExitReason::Failed)
                    }
                },
                event = source.next() => { self.take_resources(event, source.name()); None }
                event = links.next() => { self.take_links(event); None }
                event = route_events.next() => self.take_wiring(event.as_ref()),
                () = sleep_until(retry_at.unwrap_or_else(TokioInstant::now)), if retry_at.is_some() => {
                    self.retry.over();
                    self.cause.add("retry");
                    None
                }
                () = sleep_until(others_at.unwrap_or_else(TokioInstant::now)), if others_at.is_some() => None,
                _ = waiting.tick(), if !in_sync => { self.say_waiting(); None }
                _ = beat.tick() => None,
            };
            if let Some(reason) = ended {
                return reason;
            }
            if let Err(reason) = self.advance() {
                return reason;
            }
            let turn = Turn {
                datastore: self.datastore(),
                links_read: self.links_in_sync,
                writing_since: self.writer.busy_since(),
            };
            self.observer.turned(turn, &self.enforcer, &self.logs);
            self.open_statuses();
        }
    }

    /// Tells whether everything that decides has been heard once.
    fn is_in_sync(&self) -> bool {
        self.links_in_sync && self.datastore() == Datastore::Usable
    }

    /// Tells whether what the datastore says may be enforced.
    fn datastore(&self) -> Datastore {
        match (
            self.datastore_in_sync,
            self.configuration.datastore_refuses(),
        ) {
            (false, _) => Datastore::Unread,
            (true, true) => Datastore::NotReady,
            (true, false) => Datastore::Usable,
        }
    }

    /// Tells how far the datastore has been read, where it is not lost.
    fn resync(&self) -> Resync {
        match self.datastore() {
            Datastore::Unread => Resync::Reading,
            Datastore::NotReady => Resync::Waiting,
            Datastore::Usable => Resync::InSync,
        }
    }

    /// Has statuses reported as the configuration says, once it is known whole and something is in force.
    fn open_statuses(&self) {
        let gate = if self.announced && !self.configuration.datastore_refuses() {
            Gate::Open
        } else {
            Gate::Closed
        };
        self.statuses.configure(self.configuration.config(), gate);
    }

    /// Logs what the agent is waiting for.
    fn say_waiting(&mut self) {
        let what = match self.datastore() {
            Datastore::Unread | Datastore::NotReady => {
                "wait-for-ready: the datastore is not ready; what is in the kernel stays"
            }
            Datastore::Usable => "resync: waiting for the list of interfaces",
        };
        info!("{what}");
        self.observer.waiting(what);
    }

    /// Does what a signal asks.
    fn heed(&mut self, asked: Asked, source: &Source) -> Option<ExitReason> {
        match asked {
            Asked::Stop => {
                info!("stopping; what is in the kernel stays");
                self.observer.stopping();
                Some(ExitReason::Stopped)
            }
            Asked::Profile(signal) => {
                info!(
                    signal,
                    "there is no Go runtime to profile; the signal is ignored"
                );
                None
            }
            Asked::Reload => {
                info!("reading the configuration again");
                source.reload();
                self.observer.reloading();
                match self.configuration.reload() {
                    Ok(problems) => {
                        problems.iter().for_each(say);
                        self.reconfigure();
                    }
                    Err(problems) => {
                        for problem in problems {
                            error!("{problem}; the configuration stays as it is");
                        }
                    }
                }
                self.observer.reloaded();
                None
            }
        }
    }

    /// Takes in an event of the datastore.
    fn take_resources(&mut self, event: SourceEvent, source: &'static str) {
        match event {
            SourceEvent::Batch(batch) => {
                let mut configures = false;
                for update in batch.updates {
                    self.observer.updated(&update);
                    configures |= self.configuration.update(&update);
                    self.enforcer.update(update);
                }
                // What a datastore says that is not ready is not heeded either until it is.
                if configures && !self.configuration.datastore_refuses() {
                    self.reconfigure();
                }
                if batch.in_sync && !self.datastore_in_sync {
                    info!("resync: the datastore has been read");
                    self.datastore_in_sync = true;
                }
                self.observer.resync(self.resync());
                self.news(source);
            }
            SourceEvent::Lost { reason } => {
                warn!(reason, "the datastore is lost; what is in the kernel stays");
                self.observer.resync(Resync::Waiting);
            }
            SourceEvent::Recovered => {
                info!("the datastore is back");
                if self.datastore_in_sync {
                    self.observer.resync(self.resync());
                }
            }
        }
    }

    /// Takes in what came of the wiring of a workload's interface.
    fn take_wiring(&mut self, event: Option<&RouteEvent>) -> Option<ExitReason> {
        if let Some(event) = event {
            self.statuses.wired(event);
        }
        say_wired(event)
    }

    /// Takes in changes of interfaces and addresses.
    fn take_links(&mut self, event: LinkEvent) {
        self.observer.links_changed(event.changes.len());
        self.statuses.links(&event.changes);
        for change in event.changes {
            self.enforcer.link(match change {
                LinkChange::Changed(link) => LinkUpdate {
                    name: link.name,
                    addresses: Some(link.addresses),
                },
                LinkChange::Removed(name) => LinkUpdate {
                    name,
                    addresses: None,
                },
            });
        }
        self.links_in_sync |= event.in_sync;
        self.news("links");
    }

    /// Works out the configuration anew and applies what changed.
    fn reconfigure(&mut self) {
        let (changed, problems) = self.configuration.renew();
        problems.iter().for_each(say);
        if changed.is_empty() {
            return;
        }
        let config = self.configuration.config();
        if changed.changed.contains(&Room::Log)
            && let Err(cause) = self.logs.reload(&log_settings(config))
        {
            error!("{}", ErrorChain(&cause));
        }
        if !changed.restart.is_empty() {
            warn!(parts = ?changed.restart, "some of these options take effect at the next start");
        }
        self.observer.configure(config);
        // With the next wirings: settings, too, must not be ahead of the rules.
        self.routes_settings = Some(routes_settings(config));
        self.firewall.hasten(TokioInstant::now());
        self.takeover.hasten(TokioInstant::now());
        match render_settings(config) {
            Ok(render) => {
                let settings = calc_settings(config);
                let of_rules = [Room::Policy, Room::Workload, Room::Nat, Room::Cluster];
                let mut of_rules = of_rules.into_iter();
                if of_rules.any(|room| changed.changed.contains(&room)) {
                    self.enforcer.reconfigure(settings, render);
                }
                self.observer.settings_usable();
                self.news("config");
            }
            Err(cause) => {
                error!("{}; the rules stay as they are", ErrorChain(&cause));
                self.observer.failed(Failure::Settings);
            }
        }
    }

    /// Asks the kernel's writer for the next step, if it is free and there may be one.
    fn advance(&mut self) -> Result<(), ExitReason> {
        self.advance_policy()?;
        // What policy says comes first.
        if self.writer.is_busy() || !self.announced {
            return Ok(());
        }
        let (config, now) = (self.configuration.config(), TokioInstant::now());
        // A rule that replaces one of Felix's is there before that goes.
        let asked = if let Some(request) = self.firewall.request(config, now) {
            self.writer.firewall(request)
        } else if let Some(wish) = self.takeover.request(config, now) {
            self.writer.takeover(wish)
        } else {
            Ok(())
        };
        asked.map_err(|cause| {
            error!("{}", ErrorChain(&cause));
            ExitReason::Failed
        })
    }

    /// Asks for the next step towards what policy says.
    fn advance_policy(&mut self) -> Result<(), ExitReason> {
        let waits = self.writer.is_busy() || self.retry.at().is_some();
        if waits || self.cause.is_none() || !self.is_in_sync() {
            return Ok(());
        }
        let config = self.configuration.config();
        if let Some(request) = self.firewall.ahead(config) {
            return self.writer.firewall(request).map_err(|cause| {
                error!("{}", ErrorChain(&cause));
                ExitReason::Failed
            });
        }
        let begun = Instant::now();
        let step = self.enforcer.next_step();
        self.observer.calculated(begun);
        if let Some(news) = self.enforcer.take_counter_news() {
            self.observer.counters(news);
        }
        let asked = match step {
            Ok(Step::Nothing) => {
                self.firewall.committing(config);
                self.firewall.committed(TokioInstant::now());
                self.retry.succeeded();
                self.wire();
                self.statuses.committed(self.enforcer.take_weighed());
                let cause = std::mem::take(&mut self.cause);
                self.report("no change", &cause, 0, Duration::ZERO);
                Ok(())
            }
            Ok(Step::Observe) => self.writer.observe(),
            Ok(Step::Commit(plans)) => {
                self.firewall.committing(config);
                self.committing = std::mem::take(&mut self.cause);
                self.writer.commit(plans)
            }
            Err(cause) => {
                error!("{}; what is in the kernel stays", ErrorChain(&cause));
                self.enforcer.doubt();
                self.observer.failed(Failure::Unplanned);
                self.statuses.refused(self.enforcer.take_weighed());
                self.retry_later();
                Ok(())
            }
        };
        asked.map_err(|cause| {
            error!("{}", ErrorChain(&cause));
            ExitReason::Failed
        })
    }

    /// Takes in a reply of the kernel's writer.
    fn settle(&mut self, reply: Reply) -> Option<ExitReason> {
        match reply {
            Reply::Observed(Ok(observed)) => {
                self.observer.observed(Reading::Done);
                self.settle_observed(observed)
            }
            Reply::Firewall(outcome) => {
                let config = self.configuration.config();
                self.firewall.report(outcome, config);
                None
            }
            Reply::Takeover(outcome) => {
                self.takeover.report(outcome, TokioInstant::now());
                None
            }
            Reply::Observed(Err(cause)) => {
                self.observer.observed(Reading::Failed);
                error!("{}; what is in the kernel stays", ErrorChain(&cause));
                self.retry_later();
                None
            }
            Reply::Committed {
                outcome: Ok(()),
                operations,
                elapsed,
            } => {
                self.enforcer.committed();
                self.firewall.committed(TokioInstant::now());
                self.retry.succeeded();
                self.wire();
                self.statuses.committed(self.enforcer.take_weighed());
                let cause = std::mem::take(&mut self.committing);
                self.report("applied", &cause, operations, elapsed);
                None
            }
            Reply::Committed {
                outcome: Err(cause),
                ..
            } => {
                self.settle_refused(&cause);
                None
            }
        }
    }

    /// Has the interfaces of workloads wired whose policy is in the kernel.
    fn wire(&mut self) {
        if let Some(settings) = self.routes_settings.take() {
            self.routes.configure(settings);
        }
        for (interface, workload) in self.enforcer.take_guarded() {
            let wiring = workload.as_deref().map(wiring);
            self.statuses.wanted(&interface, wiring.as_ref());
            self.routes.want(interface, wiring);
        }
        if !self.announced {
            self.routes.in_sync();
        }
    }

    /// Takes in what the kernel holds.
    fn settle_observed(&mut self, observed: Observed) -> Option<ExitReason> {
        let fits = observed
            .table
            .as_ref()
            .is_none_or(|table| table.matches_wanted);
        let owner = match observed.table.map(|table| table.ownership) {
            Some(Ownership::Foreign(owner)) => owner,
            Some(Ownership::None | Ownership::Ours | Ownership::Orphan) | None => {
                let mut catalog = observed.catalog;
                // Only making the table anew changes its flags.
                catalog.undecodable |= !fits;
                self.enforcer.observed(catalog, observed.needs_adoption);
                return None;
            }
        };
        if self.started.elapsed() >= HANDOVER {
            error!(%owner, "the table belongs to another process");
            return Some(ExitReason::Occupied);
        }
        self.retry.wait(TokioInstant::now() + HANDOVER_POLL);
        None
    }

    /// Takes in that a transaction was refused, or that its fate is unknown.
    fn settle_refused(&mut self, cause: &CommitError) {
        self.enforcer.doubt();
        self.observer.failed(Failure::Refused);
        let committing = std::mem::take(&mut self.committing);
        self.cause.triggers.extend(committing.triggers);
        self.cause.since = committing.since.or(self.cause.since);
        match cause {
            CommitError::Unknown { .. } => {
                warn!("{}; reading back", ErrorChain(cause));
                self.retry.doubted(TokioInstant::now());
                self.cause.add("retry");
            }
            CommitError::Encode(_)
            | CommitError::Send(_)
            | CommitError::Refused { .. }
            | CommitError::ForeignOwner { .. } => {
                error!("{}; what is in the kernel stays", ErrorChain(cause));
                self.statuses.refused(self.enforcer.take_weighed());
                self.retry_later();
            }
        }
    }

    /// Pauses before the next attempt, longer each time.
    fn retry_later(&mut self) {
        self.retry.failed(TokioInstant::now());
        self.cause.add("retry");
    }

    /// Notes that there is something new to apply.
    fn news(&mut self, trigger: &'static str) {
        self.retry.hasten(TokioInstant::now());
        self.cause.add(trigger);
    }

    /// Logs the end of one round, and what is newly wrong with the resources taken together.
    fn report(&mut self, message: &str, cause: &Cause, operations: usize, kernel: Duration) {
        self.sequence += 1;
        let counts = self.enforcer.calc().counts();
        let latency = cause.since.map_or(Duration::ZERO, |since| since.elapsed());
        let trigger = cause.triggers.iter().copied().collect::<Vec<_>>().join(",");
        info!(
            seq = self.sequence,
            trigger,
            operations,
            endpoints = counts.endpoints,
            policies = counts.policies,
            sets = counts.sets,
            members = counts.members,
            kernel_us = micros(kernel),
            elapsed_us = micros(latency),
            "{message}"
        );
        if !self.announced {
            self.announced = true;
            info!("in-sync");
        }
        self.observer.in_force(Round {
            operations,
            kernel,
            latency,
            enforced: Enforced {
                endpoints: counts.endpoints,
                interfaces: counts.interfaces,
                policies: counts.policies,
                sets: counts.sets,
                members: counts.members,
            },
        });
        let problems: BTreeSet<Problem> = self.enforcer.calc().problems().into_iter().collect();
        for problem in problems.difference(&self.known_problems) {
            warn!("{problem}");
        }
        self.known_problems = problems;
    }
}

/// Logs what came of the wiring of a workload's interface; nothing can come of it any more where its thread has
/// ended.
fn say_wired(event: Option<&RouteEvent>) -> Option<ExitReason> {
    let Some(event) = event else {
        error!("the thread that wires the interfaces of workloads has ended");
        return Some(ExitReason::Failed);
    };
    let interface = &event.interface;
    match &event.outcome {
        Outcome::Wired => debug!(%interface, "the workload's interface is wired"),
        Outcome::Down => debug!(%interface, "the workload's interface is down"),
        Outcome::Absent => debug!(%interface, "the workload's interface does not exist"),
        Outcome::Failed { reason } => {
            warn!(%interface, reason, "the workload's interface is not wired; trying again");
        }
    }
    None
}

/// Logs what is wrong with the configuration, at its level.
fn say(problem: &ConfigProblem) {
    match problem.severity {
        Severity::Note => info!("{problem}"),
        Severity::Warning => warn!("{problem}"),
        Severity::Error | Severity::Fatal => error!("{problem}"),
    }
}

/// Returns whole microseconds.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
