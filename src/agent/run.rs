//! The loop: what it holds, and what it is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, MissedTickBehavior, sleep_until};
use tracing::{debug, error, info, warn};

use super::cause::Cause;
use super::configuration::Configuration;
use super::drift::Drift;
use super::enforcer::Enforcer;
use super::exit::ExitReason;
use super::firewall::Firewall;
use super::last_good::{Basis, Provisional, Record};
use super::observer::{Observer, Turn};
use super::retry::Retry;
use super::signals::{Asked, Signals};
use super::statuses::{Gate, Statuses};
use super::takeover::Takeover;
use super::writer::Writer;
use super::{calc_settings, log_settings, render_settings, routes_settings};
use crate::calc::LinkUpdate;
use crate::config::{ConfigProblem, Room, Severity};
use crate::datastore::{Event as SourceEvent, Source};
use crate::links::{LinkChange, LinkEvent, LinkWatch};
use crate::model::{Problem, Update};
use crate::monitor::{Datastore, Failure, Resync};
use crate::routes::{self, Event as RouteEvent, Events as RouteEvents, Outcome};
use crate::telemetry::{ErrorChain, LogHandle};

/// How often the log says that the agent is waiting.
const WAITING: Duration = Duration::from_secs(5);

/// What the loop holds.
pub(super) struct Agent {
    pub(super) configuration: Configuration,
    pub(super) logs: LogHandle,
    pub(super) enforcer: Enforcer,
    pub(super) writer: Writer,
    pub(super) routes: routes::Handle,
    pub(super) statuses: Statuses,
    /// What is to be told with the next wirings.
    pub(super) routes_settings: Option<routes::Settings>,
    pub(super) firewall: Firewall,
    pub(super) observer: Observer,
    pub(super) takeover: Takeover,
    pub(super) drift: Drift,
    /// The last good state, while it stands for the datastore.
    pub(super) provisional: Option<Provisional>,
    /// What the round under way enforces, or the last one.
    pub(super) basis: Basis,
    pub(super) record: Record,
    pub(super) datastore_in_sync: bool,
    pub(super) links_in_sync: bool,
    pub(super) announced: bool,
    pub(super) cause: Cause,
    pub(super) committing: Cause,
    pub(super) started: Instant,
    pub(super) retry: Retry,
    /// When what is denied is tried again.
    pub(super) denied_retry: Retry,
    pub(super) sequence: u64,
    pub(super) known_problems: BTreeSet<Problem>,
}

impl Agent {
    /// Runs the loop.
    pub(super) async fn serve(
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
            let denied_at = self.denied_retry.at().filter(|_| !self.writer.is_busy());
            let due = self.firewall.due().into_iter().chain(self.takeover.due());
            let others_at = due
                .chain(self.drift.due(TokioInstant::now()))
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
                () = self.drift.heard() => None,
                event = source.next() => { self.take_resources(event, source.name()); None }
                event = links.next() => { self.take_links(event); None }
                event = route_events.next() => self.take_wiring(event.as_ref()),
                () = sleep_until(retry_at.unwrap_or_else(TokioInstant::now)), if retry_at.is_some() => {
                    self.retry.over();
                    self.cause.add("retry");
                    None
                }
                () = sleep_until(denied_at.unwrap_or_else(TokioInstant::now)), if denied_at.is_some() => {
                    self.denied_retry.over();
                    self.enforcer.reconsider();
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
    pub(super) fn is_in_sync(&self) -> bool {
        self.links_in_sync && self.datastore() == Datastore::Usable
    }

    /// Tells whether a round may begin.
    pub(super) fn may_enforce(&self) -> bool {
        match self.basis() {
            Basis::Datastore => self.is_in_sync(),
            Basis::LastGood => self.links_in_sync,
        }
    }

    /// Tells whether what the datastore says may be enforced.
    fn datastore(&self) -> Datastore {
        match (self.datastore_in_sync, self.datastore_refuses()) {
            (false, _) => Datastore::Unread,
            (true, true) => Datastore::NotReady,
            (true, false) => Datastore::Usable,
        }
    }

    /// Tells how far the datastore has been read, where it is not lost.
    pub(super) fn resync(&self) -> Resync {
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
        let what = match (self.datastore(), &self.provisional) {
            (Datastore::Unread | Datastore::NotReady, Some(provisional)) => {
                let since = provisional.since();
                format!(
                    "wait-for-ready: the datastore is not ready; what was in force at {since} is enforced"
                )
            }
            (Datastore::Unread | Datastore::NotReady, None) => {
                "wait-for-ready: the datastore is not ready; what is in the kernel stays".to_owned()
            }
            (Datastore::Usable, _) => "resync: waiting for the list of interfaces".to_owned(),
        };
        info!("{what}");
        self.observer.waiting(&what);
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
                if batch.in_sync && !self.datastore_in_sync {
                    info!("resync: the datastore has been read");
                    self.datastore_in_sync = true;
                }
                let updates = self.weigh(batch.updates);
                self.take_updates(updates);
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

    /// Takes in resources that count.
    pub(super) fn take_updates(&mut self, updates: Vec<Update>) {
        let mut configures = false;
        for update in updates {
            self.observer.updated(&update);
            configures |= self.configuration.update(&update);
            self.record.update(&update);
            self.enforcer.update(update);
        }
        // What a datastore says that is not ready is not heeded either until it is.
        if configures && !self.configuration.datastore_refuses() {
            self.reconfigure();
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
pub(super) fn say(problem: &ConfigProblem) {
    match problem.severity {
        Severity::Note => info!("{problem}"),
        Severity::Warning => warn!("{problem}"),
        Severity::Error | Severity::Fatal => error!("{problem}"),
    }
}
