//! The loop: hears what is wanted and what the kernel says, and brings the one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::conntrack::Forgetter;
use super::error::RouteError;
use super::follow::Follow;
use super::handle::{Inbox, Shared, Wish};
use super::observed::{Fact, LinkState, Placed};
use super::ours::{Ours, is_workload};
use super::pace::Pace;
use super::plan::{Knowledge, Operation, Plan, View, plan};
use super::request::Requests;
use super::settings::{Outcome, Settings, Wiring};
use super::sysctl;
use crate::net::InterfaceName;

/// How long what nobody wants stays on a link that is new: who made it may know the workload before us.
const GRACE: Duration = Duration::from_secs(10);
/// When repairs have become so rare that somebody should know why.
const CONTENTION: Duration = Duration::from_millis(1500);

/// Everything that the loop knows.
pub(super) struct Worker {
    shared: Arc<Shared>,
    settings: Settings,
    requests: Requests,
    forgetter: Forgetter,
    follow: Follow,
    wanted: BTreeMap<InterfaceName, Wiring>,
    knowledge: Knowledge,
    ours: Ours,
    /// Addresses whose connections are being deleted.
    flushing: BTreeSet<IpAddr>,
    /// Those of them that keep the link that a route leads them to.
    doubted: BTreeSet<IpAddr>,
    /// Addresses that were wanted at the start and have not been routed or flushed since.
    inherited: BTreeSet<IpAddr>,
    /// Links of which a route waits for that.
    waiting: BTreeSet<u32>,
    cares: BTreeMap<u32, Care>,
    contested: BTreeSet<IpAddr>,
    said: BTreeMap<InterfaceName, Said>,
    /// When there is something to do that nothing will announce.
    wake: Option<Instant>,
    /// Why the host may not forward.
    unforwarded: Option<String>,
    /// Whether somebody has changed the settings of the whole host.
    host_set: bool,
    host_pace: Pace,
}

/// What was said last of what is wanted of an interface.
struct Said {
    wish: Wish,
    outcome: Option<Outcome>,
}

/// What is known of a link beside what the kernel says.
struct Care {
    /// When it was first seen, or became a workload's.
    seen: Instant,
    /// Whether something new is to be done for it, rather than the same again.
    fresh: bool,
    /// Whether its settings below `/proc/sys` are to be written.
    unset: bool,
    pace: Pace,
    /// How often in a row something failed, and why it did first.
    failures: u32,
    reason: Option<String>,
}

impl Care {
    /// Notes that nothing fails any more.
    fn succeeded(&mut self, interface: &str) {
        self.failures = 0;
        if self.reason.take().is_some() {
            info!(interface, "what had failed has been done");
        }
    }
}

/// What came of one round.
#[derive(Default)]
struct Round {
    acted: BTreeSet<u32>,
    held: BTreeSet<u32>,
    failed: BTreeMap<u32, String>,
    /// Addresses that a route still leads to which should have gone.
    stuck: BTreeSet<IpAddr>,
    /// Destinations that no route of ours leads to through a link which should.
    unmade: BTreeSet<(IpNet, u32)>,
}

impl Worker {
    /// Makes one that knows nothing yet.
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        requests: Requests,
        forgetter: Forgetter,
    ) -> Self {
        Self {
            shared,
            settings,
            requests,
            forgetter,
            follow: Follow::new(),
            wanted: BTreeMap::new(),
            knowledge: Knowledge::Partial,
            ours: Ours::default(),
            flushing: BTreeSet::new(),
            doubted: BTreeSet::new(),
            inherited: BTreeSet::new(),
            waiting: BTreeSet::new(),
            cares: BTreeMap::new(),
            contested: BTreeSet::new(),
            said: BTreeMap::new(),
            wake: None,
            unforwarded: None,
            host_set: false,
            host_pace: Pace::default(),
        }
    }

    /// Works until nobody tells anything any more.
    pub(super) async fn run(mut self) {
        loop {
            let wake = self.wake;
            let woken = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.told() => {
                    let inbox = self.shared.take();
                    if inbox.closed {
                        return;
                    }
                    self.hear(inbox);
                }
                () = self.follow.next(&self.settings) => {}
                addresses = self.forgetter.done() => {
                    let Some(addresses) = addresses else {
                        error!("the thread that deletes connections has ended");
                        return;
                    };
                    self.forgotten(&addresses);
                }
                () = woken => {}
            }
            self.round(Instant::now());
        }
    }

    fn hear(&mut self, inbox: Inbox) {
        for (interface, wish) in inbox.wants {
            if let Some((index, _)) = self.follow.observed().named(&interface) {
                self.refresh_care(index);
            }
            if let Some((wish, wiring)) = wish {
                match self.knowledge {
                    Knowledge::Partial => self.inherited.extend(&wiring.addresses),
                    Knowledge::Whole => {}
                }
                let outcome = None;
                self.said.insert(interface.clone(), Said { wish, outcome });
                self.wanted.insert(interface, wiring);
            } else {
                self.said.remove(&interface);
                self.wanted.remove(&interface);
            }
        }
        let all_differs = match inbox.settings {
            Some(settings) if settings != self.settings => {
                self.renew_grace(&settings, Instant::now());
                self.settings = settings;
                self.follow.read_again();
                true
            }
            Some(_) | None => false,
        };
        if inbox.in_sync {
            self.knowledge = Knowledge::Whole;
        }
        // A host must not forward before its policy is in force.
        if inbox.in_sync || inbox.in_force || (all_differs && self.knowledge == Knowledge::Whole) {
            self.forward();
            sysctl::configure_host();
        }
        if all_differs || inbox.in_sync {
            for care in self.cares.values_mut() {
                care.fresh = true;
                care.unset |= all_differs;
            }
        }
    }

    /// Takes the links for new that are workloads' from now on, by what their names begin with.
    ///
    /// Whose they are may not be told yet.
    fn renew_grace(&mut self, settings: &Settings, now: Instant) {
        let observed = self.follow.observed();
        for (index, care) in &mut self.cares {
            if is_workload(*index, observed, settings)
                && !is_workload(*index, observed, &self.settings)
            {
                care.seen = now;
            }
        }
    }

    /// Has the host forward; a failure is logged once in a row.
    fn forward(&mut self) -> sysctl::Written {
        let written = sysctl::forward(&self.settings);
        let reason = written.failure.as_ref().map(RouteError::with_cause);
        if let Some(reason) = reason.as_ref().filter(|_| reason != self.unforwarded) {
            warn!(reason, "this host may not forward");
        }
        self.unforwarded = reason;
        written
    }

    /// Has the host forward where somebody has turned that off.
    fn forward_again(&mut self, now: Instant) {
        self.host_set |= self.follow.observed_mut().take_host_set();
        let may = self.knowledge == Knowledge::Whole && self.host_pace.held_until(now).is_none();
        if !self.host_set || !may {
            return;
        }
        self.host_set = false;
        let settings = self.forward().changed.join(", ");
        if !settings.is_empty() {
            self.host_pace.acted(now);
            info!(settings, "put right what another program had changed");
        }
    }

    fn forgotten(&mut self, addresses: &BTreeSet<IpAddr>) {
        for address in addresses {
            self.flushing.remove(address);
            if !self.doubted.remove(address) {
                self.ours.released(*address);
            }
        }
        for index in &self.waiting {
            if let Some(care) = self.cares.get_mut(index) {
                care.fresh = true;
            }
        }
    }

    /// Does what is to be done now, if the kernel's state is known.
    fn round(&mut self, now: Instant) {
        let Some(mut read) = self.follow.in_step_since() else {
            self.wake = None;
            return;
        };
        if let Some(interval) = self.settings.refresh
            && read + interval <= now
        {
            debug!("reading routes and neighbours again, as from time to time");
            match self.knowledge {
                Knowledge::Partial => {}
                // The start of a host may have set it back after us, and so may any program.
                Knowledge::Whole => {
                    self.forward();
                }
            }
            // Not every change of a setting is announced.
            for care in self.cares.values_mut() {
                care.unset = true;
            }
            self.follow.read_again();
            self.wake = None;
            return;
        }
        self.meet_links(now);
        self.forward_again(now);
        self.ours.look(self.follow.observed(), &self.settings);
        let plan = self.plan(now);
        let mut round = Round::default();
        self.carry_out(&plan, now, &mut round);
        // After the routes: with proxy ARP and no route yet, the host would claim a workload's own address, and the
        // workload would take it for a duplicate.
        self.write_settings(now, &mut round);
        let flush: BTreeSet<IpAddr> = plan.flush.difference(&round.stuck).copied().collect();
        self.doubted.extend(plan.doubted.intersection(&flush));
        self.inherited
            .extend(plan.doubted.intersection(&round.stuck));
        self.flushing.extend(&flush);
        self.forgetter.forget(flush);
        if self.judge(now, &round) == Judgement::Doubtful {
            self.follow.read_again();
            read = now;
        }
        self.report(&plan, &round);
        self.wake = self.next_wake(&plan, &round, read);
        self.waiting = plan.waiting;
    }

    /// Takes note of the links that came, went, or differ.
    fn meet_links(&mut self, now: Instant) {
        for index in self.follow.observed_mut().take_changed() {
            if self.follow.observed().link(index).is_none() {
                self.cares.remove(&index);
                continue;
            }
            self.cares.entry(index).or_insert_with(|| Care {
                seen: now,
                fresh: true,
                unset: true,
                pace: Pace::default(),
                failures: 0,
                reason: None,
            });
            self.refresh_care(index);
        }
        for index in self.follow.observed_mut().take_set() {
            if let Some(care) = self.cares.get_mut(&index) {
                care.unset = true;
            }
        }
    }

    fn refresh_care(&mut self, index: u32) {
        if let Some(care) = self.cares.get_mut(&index) {
            care.fresh = true;
            care.unset = true;
        }
    }

    fn plan(&mut self, now: Instant) -> Plan {
        let in_grace = self
            .cares
            .iter()
            .filter(|(_, care)| now < care.seen + GRACE)
            .map(|(index, _)| *index)
            .collect();
        let plan = plan(&View {
            settings: &self.settings,
            wanted: &self.wanted,
            knowledge: self.knowledge,
            observed: self.follow.observed(),
            ours: &self.ours,
            flushing: &self.flushing,
            inherited: &self.inherited,
            in_grace: &in_grace,
        });
        self.inherited
            .retain(|address| !plan.known.contains(address));
        for operation in &plan.standing {
            self.ours.carried_out(operation);
        }
        for (address, index) in &plan.led {
            self.ours.led(*address, *index);
        }
        for address in plan.contested.difference(&self.contested) {
            warn!(%address, "several interfaces want this address, the newest has it");
        }
        self.contested.clone_from(&plan.contested);
        plan
    }

    /// Writes the settings of interfaces that are up and wanted.
    fn write_settings(&mut self, now: Instant, round: &mut Round) {
        for (interface, wiring) in &self.wanted {
            let Some((index, link)) = self.follow.observed().named(interface) else {
                continue;
            };
            let Some(care) = self.cares.get_mut(&index) else {
                continue;
            };
            if link.state != LinkState::Up || !care.unset {
                continue;
            }
            if !care.fresh && care.pace.held_until(now).is_some() {
                round.held.insert(index);
                continue;
            }
            let written = sysctl::configure_interface(interface, wiring, self.settings.ipv6);
            if !written.changed.is_empty() {
                round.acted.insert(index);
                if !care.fresh {
                    let settings = written.changed.join(", ");
                    info!(%interface, settings, "put right what another program had changed");
                }
            }
            match written.failure {
                None => care.unset = false,
                Some(error) => round.fail(index, &error),
            }
        }
    }

    fn carry_out(&mut self, plan: &Plan, now: Instant, round: &mut Round) {
        for operation in &plan.operations {
            let index = operation.index();
            // Another's route to the right place is better than none.
            if let Operation::RemoveRoute(key, _) = operation
                && round.unmade.contains(&(key.destination, key.index))
            {
                continue;
            }
            let care = self.cares.get(&index);
            let held = care.is_some_and(|care| !care.fresh && care.pace.held_until(now).is_some());
            let outcome = if held {
                round.held.insert(index);
                Err(())
            } else {
                round.acted.insert(index);
                self.requests
                    .carry_out(operation)
                    .map_err(|error| round.fail(index, &error))
            };
            match outcome {
                Ok(()) => {
                    if self.cares.get(&index).is_some_and(|care| !care.fresh) {
                        let link = self.follow.observed().link(index);
                        let interface = link.and_then(|link| link.name.as_ref());
                        let interface = interface.map_or("", InterfaceName::as_str);
                        info!(interface, %operation, "put right what another program had changed");
                    } else {
                        debug!(?operation, "changed the kernel's routes");
                    }
                    self.ours.carried_out(operation);
                    self.follow
                        .observed_mut()
                        .apply(fact(operation), &self.settings);
                }
                Err(()) => match operation {
                    Operation::AddRoute(key, _) | Operation::ReplaceRoute(key, _) => {
                        round.unmade.insert((key.destination, key.index));
                    }
                    Operation::RemoveRoute(key, _) => {
                        round.stuck.insert(key.destination.addr());
                    }
                    Operation::SetNeighbour { .. } | Operation::RemoveNeighbour { .. } => {}
                },
            }
        }
    }

    /// Takes note of what failed and of what had to be done again.
    fn judge(&mut self, now: Instant, round: &Round) -> Judgement {
        let mut judgement = Judgement::Sound;
        let observed = self.follow.observed();
        for (index, care) in &mut self.cares {
            let fresh = std::mem::take(&mut care.fresh);
            let name = observed.link(*index).and_then(|link| link.name.as_ref());
            let interface = name.map_or("without a name", InterfaceName::as_str);
            if let Some(reason) = round.failed.get(index) {
                care.failures = care.failures.saturating_add(1);
                if care.failures == 1 {
                    debug!(
                        interface,
                        reason, "a change failed, looking whether it was right"
                    );
                    judgement = Judgement::Doubtful;
                    continue;
                }
                if care.reason.as_ref() != Some(reason) {
                    warn!(interface, reason, "an interface is not wired, will retry");
                    care.reason = Some(reason.clone());
                }
                care.pace.acted(now);
            } else if round.acted.contains(index) {
                care.succeeded(interface);
                if !fresh {
                    let pause = care.pace.acted(now);
                    if (CONTENTION..2 * CONTENTION).contains(&pause) {
                        warn!(interface, "another program keeps changing our routes");
                    }
                }
            } else if !round.held.contains(index) {
                care.succeeded(interface);
            }
        }
        judgement
    }

    fn report(&mut self, plan: &Plan, round: &Round) {
        for interface in self.wanted.keys() {
            let Some(outcome) = self.outcome(interface, plan, round) else {
                continue;
            };
            if let Some(said) = self.said.get_mut(interface)
                && said.outcome.as_ref() != Some(&outcome)
            {
                said.outcome = Some(outcome.clone());
                self.shared.say(interface.clone(), said.wish, outcome);
            }
        }
    }

    /// Returns what came of an interface, `None` while that is open.
    fn outcome(&self, interface: &InterfaceName, plan: &Plan, round: &Round) -> Option<Outcome> {
        let Some((index, link)) = self.follow.observed().named(interface) else {
            return Some(Outcome::Absent);
        };
        match link.state {
            LinkState::Up => {}
            LinkState::Dormant | LinkState::Down => return Some(Outcome::Down),
        }
        let care = self.cares.get(&index)?;
        if let Some(reason) = &care.reason {
            let reason = reason.clone();
            return Some(Outcome::Failed { reason });
        }
        let open =
            care.failures > 0 || round.held.contains(&index) || plan.waiting.contains(&index);
        (!open).then_some(Outcome::Wired)
    }

    fn next_wake(&self, plan: &Plan, round: &Round, read: Instant) -> Option<Instant> {
        let spared = plan.spared.iter().filter_map(|index| {
            let care = self.cares.get(index)?;
            Some(care.seen + GRACE)
        });
        let now = Instant::now();
        let retried = round.held.iter().chain(round.failed.keys());
        let paused = retried.filter_map(|index| {
            let care = self.cares.get(index)?;
            Some(care.pace.held_until(now).unwrap_or(now))
        });
        let refresh = self.settings.refresh.map(|interval| read + interval);
        let host = self.host_set.then(|| self.host_pace.held_until(now));
        spared
            .chain(paused)
            .chain(refresh)
            .chain(host.flatten())
            .min()
    }
}

/// Whether what is known of the kernel can be relied on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Sound,
    /// Something failed for the first time, perhaps because the kernel is ahead of what we have heard.
    Doubtful,
}

impl Round {
    fn fail(&mut self, index: u32, error: &RouteError) {
        self.acted.insert(index);
        self.failed
            .entry(index)
            .or_insert_with(|| error.with_cause());
    }
}

/// Returns what the kernel will say of an operation that was carried out.
fn fact(operation: &Operation) -> Fact {
    match operation {
        Operation::AddRoute(key, path) | Operation::ReplaceRoute(key, path) => {
            Fact::Route(*key, *path, Placed::Added)
        }
        Operation::RemoveRoute(key, _) => Fact::RouteGone(*key),
        Operation::SetNeighbour {
            index,
            address,
            mac,
        } => Fact::Neighbour(*index, *address, *mac),
        Operation::RemoveNeighbour { index, address } => Fact::NeighbourGone(*index, *address),
    }
}
