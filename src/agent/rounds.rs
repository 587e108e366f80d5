//! The rounds: what is asked of the kernel next, and what its answers mean.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;
use tracing::{debug, error, info, warn};

use super::cause::Cause;
use super::denials::Aftermath;
use super::drift::{Due, Meddled};
use super::enforcer::{Step, Stuck};
use super::exit::ExitReason;
use super::last_good::Basis;
use super::observer::Reading;
use super::retry::Retry;
use super::run::Agent;
use super::start::{HANDOVER, HANDOVER_POLL};
use super::wiring;
use super::writer::Reply;
use crate::kernel::{CommitError, Committed, Observed, Ownership};
use crate::model::Problem;
use crate::monitor::{Enforced, Failure, Round};
use crate::telemetry::ErrorChain;

/// What a round had the kernel do.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    operations: usize,
    sent: Committed,
    kernel: Duration,
}

impl Agent {
    /// Asks the kernel's writer for the next step, if it is free and there may be one.
    pub(super) fn advance(&mut self) -> Result<(), ExitReason> {
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

    /// Has the table read and compared where another program has changed it, and tells whether anything may go on.
    fn advance_repair(&mut self) -> Due {
        // What was heard since the table was read may be in what was read: that is put in force first.
        if self.enforcer.is_comparing() {
            return Due::Nothing;
        }
        let now = TokioInstant::now();
        if self.enforcer.is_inquiring() {
            // The answers of an inquest come so fast that nobody else gets a hearing.
            self.drift.listen_now();
            if !self.drift.interrupts(now) || !self.enforcer.may_be_interrupted() {
                return Due::Nothing;
            }
        }
        let refresh = self.configuration.config().kernel.refresh_interval;
        let due = self.drift.next(now, refresh);
        if let Due::Repair {
            distrust,
            changes,
            urgent,
        } = &due
        {
            self.observer.drifted(*changes);
            self.enforcer.distrust(distrust.clone());
            if *urgent {
                self.enforcer.repair_first();
            }
            // What has failed may have failed for this.
            self.retry.over();
            self.cause.add("drift");
        }
        due
    }

    /// Asks for the next step towards what policy says.
    fn advance_policy(&mut self) -> Result<(), ExitReason> {
        if self.writer.is_busy() || !self.may_enforce() || self.advance_repair() == Due::Held {
            return Ok(());
        }
        if self.retry.at().is_some() || self.cause.is_none() {
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
        self.basis = self.basis();
        self.record.planning();
        let step = self.enforcer.next_step();
        self.observer.calculated(begun);
        if let Some(news) = self.enforcer.take_counter_news() {
            self.observer.counters(news);
        }
        let asked = match step {
            Ok(Step::Nothing) => {
                self.drift.settled();
                self.firewall.committing(config);
                self.firewall.committed(TokioInstant::now());
                self.retry.succeeded();
                self.wire();
                self.tell_denials();
                self.note_in_force();
                let cause = std::mem::take(&mut self.cause);
                self.report("no change", &cause, Work::default());
                Ok(())
            }
            Ok(Step::Observe) => self.writer.observe(),
            Ok(Step::Check(plan)) => self.writer.check(plan),
            Ok(Step::Commit(plans)) => {
                self.firewall.committing(config);
                self.committing = std::mem::take(&mut self.cause);
                self.drift.committing(&plans);
                self.writer.commit(plans)
            }
            Err(cause) => {
                self.drift.settled();
                error!("{}; what is in the kernel stays", ErrorChain(&cause));
                self.enforcer.doubt();
                self.observer.failed(match cause {
                    Stuck::Unplanned(_) => Failure::Unplanned,
                    Stuck::Refused(_) => Failure::Refused,
                });
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
    pub(super) fn settle(&mut self, reply: Reply) -> Option<ExitReason> {
        match reply {
            Reply::Observed(Ok(observed)) => {
                self.observer.observed(Reading::Done);
                self.settle_observed(observed)
            }
            Reply::Checked(outcome) => {
                self.settle_checked(outcome);
                None
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
                outcome: Ok(sent),
                operations,
                elapsed,
            } => {
                self.enforcer.committed();
                if self.drift.committed() {
                    self.observer.repaired();
                }
                self.firewall.committed(TokioInstant::now());
                self.retry.succeeded();
                self.wire();
                self.tell_denials();
                self.note_in_force();
                let cause = std::mem::take(&mut self.committing);
                let work = Work {
                    operations,
                    sent,
                    kernel: elapsed,
                };
                self.report("applied", &cause, work);
                if self.enforcer.is_to_inquire() {
                    self.cause.add("retry");
                }
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
        match self.basis {
            Basis::LastGood => self.routes.in_force(),
            Basis::Datastore if !self.announced => self.routes.in_sync(),
            Basis::Datastore => {}
        }
    }

    /// Tells who keeps or reports what the datastore says that it is in force.
    fn note_in_force(&mut self) {
        match self.basis {
            Basis::Datastore => {
                self.statuses.committed(self.enforcer.take_weighed());
                self.record.in_force();
            }
            // Nobody is told of an old state; what was weighed is told with the next one.
            Basis::LastGood => {}
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
                self.drift.observed(observed.generation);
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
        self.observer.failed(Failure::Refused);
        let committing = std::mem::take(&mut self.committing);
        self.cause.triggers.extend(committing.triggers);
        self.cause.since = committing.since.or(self.cause.since);
        match self.drift.refused(cause) {
            Meddled::No => {}
            Meddled::Yes(distrust) => {
                warn!(
                    "{}; another program may have changed the table, reading back",
                    ErrorChain(cause)
                );
                self.enforcer.doubt();
                if !distrust.is_empty() {
                    self.enforcer.repair_first();
                }
                self.enforcer.distrust(distrust);
                self.cause.add("drift");
                return;
            }
        }
        match self.enforcer.refused(cause) {
            Aftermath::Inquest => {
                warn!(
                    "{}; what is in the kernel stays while the object at fault is looked for",
                    ErrorChain(cause)
                );
                self.cause.add("retry");
            }
            Aftermath::Pause => self.pause(cause),
        }
    }

    /// Takes in what the kernel would say to a transaction.
    fn settle_checked(&mut self, outcome: Result<(), CommitError>) {
        if let Err(cause) = &outcome {
            debug!("asked, not changed: {}", ErrorChain(cause));
        }
        match self.enforcer.answered(&outcome) {
            Aftermath::Inquest => {}
            Aftermath::Pause => {
                self.observer.failed(Failure::Refused);
                if let Err(cause) = outcome {
                    self.pause(&cause);
                }
            }
        }
    }

    /// Pauses after a transaction that was not committed.
    fn pause(&mut self, cause: &CommitError) {
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

    /// Says what is newly denied, or no longer, and sees to it that what is denied is tried again.
    fn tell_denials(&mut self) {
        let news = self.enforcer.take_denial_news();
        for (unit, reason) in &news.begun {
            error!("{unit} is denied whole until the kernel takes it: {reason}");
        }
        for unit in &news.over {
            info!("{unit} is no longer denied");
        }
        let count = self.enforcer.denied();
        self.observer.denied(count);
        self.statuses.denied(self.enforcer.concerned());
        // What is newly denied is not to wait as long as what has been for an hour.
        if count == 0 || !news.begun.is_empty() {
            self.denied_retry = Retry::of_denied();
        }
        if count > 0 && self.denied_retry.at().is_none() {
            self.denied_retry.failed(TokioInstant::now());
        }
    }

    /// Pauses before the next attempt, longer each time.
    fn retry_later(&mut self) {
        self.retry.failed(TokioInstant::now());
        self.cause.add("retry");
    }

    /// Notes that there is something new to apply.
    pub(super) fn news(&mut self, trigger: &'static str) {
        self.retry.hasten(TokioInstant::now());
        self.cause.add(trigger);
    }

    /// Logs the end of one round, and what is newly wrong with the resources taken together.
    fn report(&mut self, message: &str, cause: &Cause, work: Work) {
        let Work {
            operations,
            sent: Committed { messages, bytes },
            kernel,
        } = work;
        self.sequence += 1;
        let counts = self.enforcer.calc().counts();
        let latency = cause.since.map_or(Duration::ZERO, |since| since.elapsed());
        let trigger = cause.triggers.iter().copied().collect::<Vec<_>>().join(",");
        info!(
            seq = self.sequence,
            trigger,
            operations,
            messages,
            bytes,
            endpoints = counts.endpoints,
            policies = counts.policies,
            sets = counts.sets,
            members = counts.members,
            kernel_us = micros(kernel),
            elapsed_us = micros(latency),
            "{message}"
        );
        if self.basis == Basis::Datastore && !self.announced {
            self.announced = true;
            info!("in-sync");
        }
        let round = Round {
            operations,
            messages,
            bytes,
            kernel,
            latency,
            enforced: Enforced {
                endpoints: counts.endpoints,
                interfaces: counts.interfaces,
                policies: counts.policies,
                sets: counts.sets,
                members: counts.members,
            },
        };
        self.observer.in_force(round, self.basis);
        if let Some(problems) = self.enforcer.take_problems() {
            let problems: BTreeSet<Problem> = problems.into_iter().collect();
            for problem in problems.difference(&self.known_problems) {
                warn!("{problem}");
            }
            self.known_problems = problems;
        }
    }
}

/// Returns whole microseconds.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
