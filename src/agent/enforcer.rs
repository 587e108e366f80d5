//! What is wanted, what is in the kernel, and the next transactions between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::denials::touches;
use super::draft::{Draft, Unplanned, draft};
use super::inquest::{Denied, Inquest, Occasion};
use crate::calc::{
    Calc, Changes, EndpointId, LinkUpdate, LocalChanges, Settings as CalcSettings,
    WorkloadInterface,
};
use crate::model::{Problem, Update};
use crate::net::InterfaceName;
use crate::nft::{
    Catalog, CatalogDelta, Committed, Distrust, Extent, Plan, PlanError, Plans, plan,
};
use crate::render::{CounterNews, Keep, Renderer, Settings as RenderSettings, Unit};

/// How many inquests in a row are given up for a repair.
const INTERRUPTIONS: usize = 2;

/// What the loop is to do next.
#[derive(Debug)]
pub enum Step {
    /// Nothing differs.
    Nothing,
    /// The kernel's state must be read before anything can be planned.
    Observe,
    /// The kernel is to be asked what it would say to this transaction.
    Check(Plan),
    /// These transactions are to be committed.
    Commit(Plans),
}

/// Why there is no next step.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The desired state cannot be planned.
    #[error(transparent)]
    Unplanned(PlanError),
    /// The kernel refuses it, and nothing that could be denied is the cause.
    #[error("{0}; no single object is at fault")]
    Refused(String),
}

/// Interfaces of workloads that differ from what was said of them before; `None` for one that is gone.
pub type WorkloadChanges = BTreeMap<InterfaceName, Option<Arc<WorkloadInterface>>>;

/// How much the enforcer trusts its picture of the kernel.
#[derive(Debug)]
enum Knowledge {
    /// The kernel must be read, and then everything compared.
    None,
    /// The kernel has been read; everything is to be compared with it.
    Observed(Catalog),
    /// Every change since has been committed by us.
    Followed(Catalog),
}

/// Holds the desired state, follows the kernel's, and plans transactions.
///
/// At most one change, of up to three transactions, is in flight: between [`Enforcer::next_step`] returning
/// [`Step::Commit`] and a call of [`Enforcer::committed`], [`Enforcer::refused`] or [`Enforcer::doubt`], updates may
/// be folded in but `next_step` must not be called. The same holds between [`Step::Check`] and
/// [`Enforcer::answered`].
///
/// Where a transaction is refused, an inquest finds the fewest objects that have to be denied for the rest to be
/// taken. What is denied stays so until it changes, or until [`Enforcer::reconsider`] asks for another attempt, and
/// the kernel then says that it would take it.
#[derive(Debug)]
pub struct Enforcer {
    pub(super) calc: Calc,
    pub(super) renderer: Renderer,
    knowledge: Knowledge,
    pub(super) in_flight: Option<InFlight>,
    adopt: bool,
    /// What is not believed of what is read from the kernel, until a transaction has put it right.
    distrust: Distrust,
    /// What sets held before another program had a hand in the table.
    untouched: Arc<Committed>,
    /// The interfaces of workloads whose policy is in the kernel.
    guarded: BTreeMap<InterfaceName, Arc<WorkloadInterface>>,
    /// How they changed since that was last asked.
    newly_guarded: WorkloadChanges,
    /// What the last transactions, or those in flight, were about.
    weighed: Weighed,
    /// What is denied in the kernel.
    pub(super) denied: Denied,
    /// What was said to be denied.
    pub(super) told_denied: BTreeSet<Unit>,
    /// Why an inquest is to be held once the kernel has been read.
    pub(super) occasion: Option<Occasion>,
    pub(super) inquest: Option<Inquest>,
    /// Whether the last inquest's outcome has not been taken yet: a refusal of it opens no other one.
    pub(super) judged: bool,
    /// What the last inquest would have denied, where the kernel refused that as well: it is tried before anything else
    /// after the pause. The kernel may have had no memory only because it gives back that of a refused transaction later.
    pub(super) verdict: Option<Denied>,
    /// The policies and profiles that differ from those that the kernel took last; nothing is known of them before it
    /// has taken any.
    pub(super) unproven: Option<BTreeSet<Unit>>,
    /// Whether another program has changed the table since it was last right, and it may be put right before those at
    /// fault are found.
    pub(super) tampered: bool,
    /// How many inquests were given up for a repair since all was last in force.
    given_up: usize,
}

/// What was weighed of the endpoints of this host since it was last asked.
#[derive(Debug, Default)]
pub struct Weighed {
    /// Those that differ.
    pub endpoints: LocalChanges,
    /// Those whose policies differ.
    pub policies: BTreeSet<EndpointId>,
}

impl Weighed {
    fn add(&mut self, changes: &mut Changes) {
        self.endpoints.append(&mut changes.locals);
        self.policies.extend(changes.endpoints.keys().cloned());
    }
}

/// What a commit will have changed.
#[derive(Debug)]
pub(super) struct InFlight {
    catalog: CatalogDelta,
    workloads: WorkloadChanges,
    pub(super) denied: Denied,
    pub(super) purpose: Purpose,
}

/// What transactions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To have in force what is wanted.
    Enforce,
    /// To have the table right, with all denied that may be at fault until an inquest finds who is.
    Hold,
}

impl Enforcer {
    /// Makes an enforcer that knows nothing of the kernel.
    pub fn new(calc: CalcSettings, render: RenderSettings) -> Self {
        Self {
            calc: Calc::new(calc),
            renderer: Renderer::new(render),
            knowledge: Knowledge::None,
            in_flight: None,
            adopt: false,
            distrust: Distrust::default(),
            untouched: Arc::default(),
            guarded: BTreeMap::new(),
            newly_guarded: WorkloadChanges::new(),
            weighed: Weighed::default(),
            denied: Denied::new(),
            told_denied: BTreeSet::new(),
            occasion: None,
            inquest: None,
            judged: false,
            verdict: None,
            unproven: None,
            tampered: false,
            given_up: 0,
        }
    }

    /// Returns what is wanted.
    pub fn calc(&self) -> &Calc {
        &self.calc
    }

    /// Returns how it is rendered.
    pub fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// Returns what the kernel holds, where that is known.
    pub fn catalog(&self) -> Option<&Catalog> {
        match &self.knowledge {
            Knowledge::Followed(catalog) => Some(catalog),
            Knowledge::None | Knowledge::Observed(_) => None,
        }
    }

    /// Folds in a change of the datastore.
    pub fn update(&mut self, update: Update) {
        self.calc.apply(update);
    }

    /// Folds in a change of an interface.
    pub fn link(&mut self, update: LinkUpdate) {
        self.calc.apply_link(update);
    }

    /// Takes new settings; everything is rendered and compared anew.
    pub fn reconfigure(&mut self, calc: CalcSettings, render: RenderSettings) {
        self.calc.set_settings(calc);
        self.renderer = Renderer::new(render);
        self.knowledge = Knowledge::None;
        self.inquest = None;
        self.judged = false;
        self.verdict = None;
        self.reconsider();
    }

    /// Takes in what the kernel was seen to hold; `adopt` where the table is there or is to be made, and is not
    /// this process's yet.
    pub fn observed(&mut self, mut catalog: Catalog, adopt: bool) {
        catalog.distrust(&self.distrust);
        catalog.untouched = Arc::clone(&self.untouched);
        self.knowledge = Knowledge::Observed(catalog);
        self.adopt = adopt;
    }

    /// Returns the next step towards what is wanted.
    ///
    /// # Errors
    /// Fails where the desired state cannot be planned, or the kernel refuses it whatever is denied; the kernel then
    /// keeps what it has, and the next call begins from what the kernel is seen to hold.
    pub fn next_step(&mut self) -> Result<Step, Stuck> {
        if self.inquest.is_some() {
            return self.inquire();
        }
        match std::mem::replace(&mut self.knowledge, Knowledge::None) {
            Knowledge::None => Ok(Step::Observe),
            Knowledge::Observed(catalog) => {
                let mut changes = self.calc.take_changes();
                self.note_unproven(&changes);
                let verdict = self.verdict.take();
                self.verdict = verdict.filter(|denied| !touches(&changes, denied));
                self.calc.add_whole(&mut changes);
                self.weighed.add(&mut changes);
                // While the table is not ours, it is the table that is refused.
                let ours = !(self.adopt && catalog.table);
                let occasion = self.occasion.take().filter(|_| ours);
                match occasion {
                    Some(occasion) => self.look_into(occasion, catalog, changes),
                    None => self.whole(catalog, changes),
                }
            }
            Knowledge::Followed(catalog) => {
                let mut changes = self.calc.take_changes();
                self.note_unproven(&changes);
                self.weighed.add(&mut changes);
                if touches(&changes, &self.denied) {
                    self.reconsider();
                    return Ok(Step::Observe);
                }
                if changes.is_empty() {
                    self.knowledge = Knowledge::Followed(catalog);
                    return Ok(Step::Nothing);
                }
                let objects = self.renderer.render(&changes, &self.calc);
                match plan(&catalog, &objects, Extent::Part) {
                    Ok((plans, delta)) => {
                        let workloads = self.workload_changes(changes.workloads, Extent::Part);
                        let in_flight = InFlight {
                            catalog: delta,
                            workloads,
                            denied: self.denied.clone(),
                            purpose: Purpose::Enforce,
                        };
                        Ok(self.send(catalog, plans, in_flight))
                    }
                    Err(error) => {
                        self.occasion = Some(Occasion::Refused {
                            reason: error.to_string(),
                            named: Vec::new(),
                        });
                        Ok(Step::Observe)
                    }
                }
            }
        }
    }

    /// Plans the whole desired state.
    fn whole(&mut self, catalog: Catalog, changes: Changes) -> Result<Step, Stuck> {
        let denied = self.verdict.take().unwrap_or_else(|| self.denied.clone());
        match self.draft(&catalog, &changes, &denied) {
            Ok(draft) => Ok(self.send_draft(catalog, changes, draft, denied, Purpose::Enforce)),
            Err(unplanned) if self.adopt && catalog.table => Err(Stuck::Unplanned(unplanned.error)),
            Err(unplanned) => {
                let occasion = Occasion::Refused {
                    reason: unplanned.error.to_string(),
                    named: Vec::new(),
                };
                self.look_into(occasion, catalog, changes)
            }
        }
    }

    /// Makes the transactions that lead to the whole desired state with this denied.
    pub(super) fn draft(
        &self,
        catalog: &Catalog,
        changes: &Changes,
        denied: &Denied,
    ) -> Result<Draft, Box<Unplanned>> {
        let settings = self.renderer.settings();
        let units = denied.keys().cloned().collect();
        draft(settings, catalog, changes, units, &self.calc, Keep::Any)
    }

    /// Has the kernel read before the next plan.
    pub(super) fn forget_kernel(&mut self) {
        self.knowledge = Knowledge::None;
    }

    /// Puts what leads to the whole desired state in flight.
    pub(super) fn send_draft(
        &mut self,
        catalog: Catalog,
        changes: Changes,
        draft: Draft,
        denied: Denied,
        purpose: Purpose,
    ) -> Step {
        let workloads = self.workload_changes(changes.workloads, Extent::Whole);
        self.renderer = draft.renderer;
        let in_flight = InFlight {
            catalog: draft.delta,
            workloads,
            denied,
            purpose,
        };
        self.send(catalog, draft.plans, in_flight)
    }

    /// Puts transactions in flight, if there are any.
    fn send(&mut self, catalog: Catalog, mut plans: Plans, in_flight: InFlight) -> Step {
        // Where there is no table, whoever makes it owns it.
        let adopts = std::mem::take(&mut self.adopt) && catalog.table;
        self.knowledge = Knowledge::Followed(catalog);
        if adopts {
            plans.adopt();
        }
        if plans.is_empty() {
            self.follow(in_flight);
            return Step::Nothing;
        }
        self.in_flight = Some(in_flight);
        Step::Commit(plans)
    }

    /// Takes in that all transactions in flight are in force.
    pub fn committed(&mut self) {
        if let Some(delta) = self.in_flight.take() {
            self.follow(delta);
        }
    }

    /// Takes in that the fate of a transaction in flight is unknown, or that nothing can be planned: the kernel is
    /// read again before the next one, also for what an earlier transaction prepared.
    pub fn doubt(&mut self) {
        self.in_flight = None;
        self.inquest = None;
        self.judged = false;
        self.knowledge = Knowledge::None;
    }

    /// Takes in that another program had a hand in the table: it is read and compared before anything else. An inquest
    /// under way begins anew after that.
    ///
    /// Not to be called while a transaction is in flight.
    pub fn distrust(&mut self, distrust: Distrust) {
        let (followed, seen) = match std::mem::replace(&mut self.knowledge, Knowledge::None) {
            Knowledge::Followed(catalog) => (Some(catalog), None),
            Knowledge::None | Knowledge::Observed(_) => (None, self.give_up_inquest()),
        };
        if followed.is_none() && seen.is_none() && !distrust.is_empty() {
            // Nobody knows which chains were there before, and have another one's name now.
            self.distrust.everything();
        }
        self.distrust.merge(distrust);
        if let Some(catalog) = seen {
            self.distrust.compare_with(&catalog);
        }
        if let Some(catalog) = followed {
            self.distrust.compare_with(&catalog);
            self.untouched = Arc::new(catalog.committed);
        }
    }

    /// Gives up the inquest under way, if there is one, until the table has been read anew; returns what it was seen to
    /// hold.
    fn give_up_inquest(&mut self) -> Option<Catalog> {
        let (occasion, catalog) = self.inquest.take()?.give_up();
        self.judged = false;
        self.given_up += 1;
        self.occasion = Some(occasion);
        Some(catalog)
    }

    /// Has the table put right before anybody is looked for who is at fault.
    pub fn repair_first(&mut self) {
        self.tampered = true;
    }

    /// Tells whether an inquest is under way.
    pub fn is_inquiring(&self) -> bool {
        self.inquest.is_some()
    }

    /// Tells whether an inquest may be given up for a repair: it has to come to its end some time.
    pub fn may_be_interrupted(&self) -> bool {
        self.given_up < INTERRUPTIONS
    }

    /// Tells whether those at fault are still to be looked for, or what is denied to be tried again.
    pub fn is_to_inquire(&self) -> bool {
        self.occasion.is_some()
    }

    /// Tells whether the kernel was read and is to be compared next.
    pub fn is_comparing(&self) -> bool {
        match self.knowledge {
            Knowledge::Observed(_) => true,
            Knowledge::None | Knowledge::Followed(_) => false,
        }
    }

    /// Returns how the interfaces of workloads changed whose policy is in the kernel, since this was last
    /// asked.
    pub fn take_guarded(&mut self) -> WorkloadChanges {
        std::mem::take(&mut self.newly_guarded)
    }

    /// Returns what is wrong with the resources taken together, where it may differ from what was last taken.
    pub fn take_problems(&mut self) -> Option<Vec<Problem>> {
        self.calc.take_problems()
    }

    /// Returns what was weighed of the endpoints since this was last asked; to be asked once it is in force, or
    /// known not to be.
    pub fn take_weighed(&mut self) -> Weighed {
        std::mem::take(&mut self.weighed)
    }

    /// Returns which counters the kernel's table is to have, where that is news since it was last asked. It may
    /// be ahead of the kernel.
    pub fn take_counter_news(&mut self) -> Option<CounterNews> {
        self.renderer.take_counter_news()
    }

    /// Returns which of the changes are news for whoever looks after the interfaces of workloads.
    fn workload_changes(&self, mut workloads: WorkloadChanges, extent: Extent) -> WorkloadChanges {
        match extent {
            Extent::Part => {}
            Extent::Whole => {
                for name in self.guarded.keys() {
                    workloads.entry(name.clone()).or_insert(None);
                }
            }
        }
        workloads.retain(|name, now| self.guarded.get(name) != now.as_ref());
        workloads
    }

    /// Brings the picture of the kernel up to date.
    fn follow(&mut self, done: InFlight) {
        self.distrust = Distrust::default();
        self.untouched = Arc::default();
        if let Knowledge::Followed(catalog) = &mut self.knowledge {
            catalog.apply(done.catalog);
        }
        self.denied = done.denied;
        self.judged = false;
        self.verdict = None;
        self.tampered = false;
        self.unproven = Some(BTreeSet::new());
        for (name, now) in done.workloads {
            match &now {
                Some(workload) => self.guarded.insert(name.clone(), Arc::clone(workload)),
                None => self.guarded.remove(&name),
            };
            self.newly_guarded.insert(name, now);
        }
        match done.purpose {
            Purpose::Enforce => self.given_up = 0,
            Purpose::Hold => self.reconsider(),
        }
    }
}

#[cfg(test)]
#[path = "tests/enforcer.rs"]
pub(super) mod tests;
