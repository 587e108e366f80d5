//! What is wanted, what is in the kernel, and the next transactions between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::draft::{Draft, draft};
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
    in_flight: Option<InFlight>,
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
    /// The policies and profiles that differ from those that the kernel took last; nothing is known of them before it
    /// has taken any.
    pub(super) unproven: Option<BTreeSet<Unit>>,
    /// Whether another program has changed the table since it was last right, and nothing has been tried yet to have
    /// it right before those at fault are found.
    pub(super) tampered: bool,
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
struct InFlight {
    catalog: CatalogDelta,
    workloads: WorkloadChanges,
    denied: Denied,
    /// Whether some of what is denied is denied until it is known who is at fault.
    provisional: bool,
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
            unproven: None,
            tampered: false,
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
                self.calc.add_whole(&mut changes);
                self.weighed.add(&mut changes);
                // While the table is not ours, it is the table that is refused.
                let ours = !(self.adopt && catalog.table);
                match self.occasion.take().filter(|_| ours) {
                    Some(occasion) => self.look_into(occasion, catalog, changes),
                    None => self.whole(catalog, changes),
                }
            }
            Knowledge::Followed(catalog) => {
                let mut changes = self.calc.take_changes();
                self.note_unproven(&changes);
                self.weighed.add(&mut changes);
                if self.touches_denied(&changes) {
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
                        let denied = self.denied.clone();
                        Ok(self.send(catalog, plans, delta, workloads, denied))
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
        let settings = self.renderer.settings().clone();
        let denied = self.denied.keys().cloned().collect();
        match draft(&settings, &catalog, &changes, denied, &self.calc, Keep::Any) {
            Ok(draft) => {
                let denied = self.denied.clone();
                Ok(self.send_draft(catalog, changes, draft, denied))
            }
            Err(unplanned) if self.judged || (self.adopt && catalog.table) => {
                self.judged = false;
                Err(Stuck::Unplanned(unplanned.error))
            }
            Err(unplanned) => {
                let occasion = Occasion::Refused {
                    reason: unplanned.error.to_string(),
                    named: Vec::new(),
                };
                self.look_into(occasion, catalog, changes)
            }
        }
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
    ) -> Step {
        let workloads = self.workload_changes(changes.workloads, Extent::Whole);
        self.renderer = draft.renderer;
        self.send(catalog, draft.plans, draft.delta, workloads, denied)
    }

    /// Puts transactions in flight, if there are any.
    fn send(
        &mut self,
        catalog: Catalog,
        mut plans: Plans,
        delta: CatalogDelta,
        workloads: WorkloadChanges,
        denied: Denied,
    ) -> Step {
        // Where there is no table, whoever makes it owns it.
        let adopts = std::mem::take(&mut self.adopt) && catalog.table;
        self.knowledge = Knowledge::Followed(catalog);
        if adopts {
            plans.adopt();
        }
        let in_flight = InFlight {
            catalog: delta,
            workloads,
            denied,
            provisional: false,
        };
        if plans.is_empty() {
            self.follow(in_flight);
            return Step::Nothing;
        }
        self.in_flight = Some(in_flight);
        Step::Commit(plans)
    }

    /// Has some of what is denied by the transactions in flight denied until it is known who is at fault.
    pub(super) fn set_provisional(&mut self) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.provisional = true;
        }
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
        self.knowledge = Knowledge::None;
    }

    /// Takes in that another program had a hand in the table: it is read and compared before anything else.
    ///
    /// Not to be called while a transaction is in flight.
    pub fn distrust(&mut self, distrust: Distrust) {
        self.distrust.merge(distrust);
        if let Knowledge::Followed(catalog) =
            std::mem::replace(&mut self.knowledge, Knowledge::None)
        {
            self.distrust.compare_with(&catalog);
            self.untouched = Arc::new(catalog.committed);
        }
    }

    /// Takes in that the table is not what this process has made of it: it is to be right before anybody is looked for
    /// who is at fault.
    pub fn tampered(&mut self) {
        self.tampered = true;
        if let Some(inquest) = self.inquest.take() {
            self.occasion = Some(inquest.into_occasion());
            self.judged = false;
        }
    }

    /// Tells whether an inquest is under way.
    pub fn is_inquiring(&self) -> bool {
        self.inquest.is_some()
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
        self.tampered = false;
        self.unproven = Some(BTreeSet::new());
        if done.provisional {
            self.reconsider();
        }
        for (name, now) in done.workloads {
            match &now {
                Some(workload) => self.guarded.insert(name.clone(), Arc::clone(workload)),
                None => self.guarded.remove(&name),
            };
            self.newly_guarded.insert(name, now);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use nix::errno::Errno;

    use super::*;
    use crate::agent::{calc_settings, render_settings};
    use crate::config::Config;
    use crate::datastore::read_directory;
    use crate::kernel::Kernel as _;
    use crate::kernel::fake::{Fake, Fault};
    use crate::nft::Operation;
    use crate::render::table_name;
    use crate::status::{Carrier, Facts, Status, Wiring};

    /// The host that the examples are for.
    const HOSTNAME: &str = "my-host";

    pub(in crate::agent) fn examples() -> Vec<Update> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let objects = read_directory(&path).unwrap().objects;
        let update = |(key, value)| Update {
            key,
            value: Some(value),
        };
        objects.into_iter().map(update).collect()
    }

    fn settings(change: impl Fn(&mut Config)) -> (CalcSettings, RenderSettings) {
        let mut config = Config::default_for(HOSTNAME);
        change(&mut config);
        (calc_settings(&config), render_settings(&config).unwrap())
    }

    pub(in crate::agent) fn enforcer(change: impl Fn(&mut Config)) -> Enforcer {
        let (calc, render) = settings(change);
        Enforcer::new(calc, render)
    }

    /// Takes steps until nothing is left; at most so many transactions may fail.
    fn settle(enforcer: &mut Enforcer, kernel: &mut Fake, mut failures: usize) {
        for _ in 0..200 {
            match enforcer.next_step().unwrap() {
                Step::Nothing => return,
                Step::Observe => {
                    let observed = kernel.observe().unwrap();
                    enforcer.observed(observed.catalog, observed.needs_adoption);
                }
                Step::Check(plan) => {
                    enforcer.answered(&kernel.check(&plan));
                }
                Step::Commit(plans) => commit(enforcer, kernel, &plans, &mut failures),
            }
        }
        panic!("does not settle");
    }

    fn commit(enforcer: &mut Enforcer, kernel: &mut Fake, plans: &Plans, failures: &mut usize) {
        let outcome = plans
            .transactions()
            .try_for_each(|plan| kernel.commit(plan).map(|_| ()));
        match outcome {
            Ok(()) => enforcer.committed(),
            Err(error) => {
                assert!(*failures > 0, "{error}");
                *failures -= 1;
                enforcer.refused(&error);
            }
        }
    }

    /// Returns what the table holds where a start finds nothing.
    pub(in crate::agent) fn from_scratch(
        updates: &[Update],
        change: impl Fn(&mut Config),
    ) -> crate::nft::Catalog {
        let mut kernel = Fake::new(table_name(), true);
        let mut enforcer = enforcer(change);
        updates
            .iter()
            .cloned()
            .for_each(|update| enforcer.update(update));
        settle(&mut enforcer, &mut kernel, 0);
        kernel.observe().unwrap().catalog
    }

    fn reject(config: &mut Config) {
        config.policy.filter_deny_action = crate::config::DenyAction::Reject;
    }

    #[test]
    fn a_transaction_that_fails_in_any_way_is_made_up_for() {
        let updates = examples();
        let (first, second) = updates.split_at(updates.len() / 2);
        let wanted = from_scratch(&updates, |_| {});
        let refusal = Fault::Refuse {
            operation: 0,
            errno: Errno::ENOMEM,
        };
        for fault in [refusal, Fault::Lost, Fault::AnswerLost] {
            for number in 0..4 {
                let mut kernel = Fake::new(table_name(), true);
                kernel.fail_commit(number, fault.clone());
                let mut enforcer = enforcer(|_| {});
                for half in [first, second] {
                    half.iter()
                        .cloned()
                        .for_each(|update| enforcer.update(update));
                    settle(&mut enforcer, &mut kernel, 1);
                }
                let held = kernel.observe().unwrap().catalog;
                assert_eq!(held, wanted, "{fault:?} at {number}");
            }
        }
    }

    #[test]
    fn what_changes_while_a_transaction_is_in_flight_is_not_lost() {
        let updates = examples();
        for (index, change) in [(0, false), (1, false), (0, true), (1, true)] {
            let (first, second) = updates.split_at(updates.len() / 2);
            let mut kernel = Fake::new(table_name(), true);
            let mut enforcer = enforcer(|_| {});
            first
                .iter()
                .cloned()
                .for_each(|update| enforcer.update(update));
            assert!(matches!(enforcer.next_step(), Ok(Step::Observe)));
            let happen = |enforcer: &mut Enforcer| {
                second
                    .iter()
                    .cloned()
                    .for_each(|update| enforcer.update(update));
                if change {
                    let (calc, render) = settings(reject);
                    enforcer.reconfigure(calc, render);
                }
            };
            if index == 0 {
                happen(&mut enforcer);
            }
            let observed = kernel.observe().unwrap();
            enforcer.observed(observed.catalog, observed.needs_adoption);
            let Ok(Step::Commit(plans)) = enforcer.next_step() else {
                panic!("nothing to commit");
            };
            if index == 1 {
                happen(&mut enforcer);
            }
            commit(&mut enforcer, &mut kernel, &plans, &mut 0);
            settle(&mut enforcer, &mut kernel, 0);
            let wanted = if change {
                from_scratch(&updates, reject)
            } else {
                from_scratch(&updates, |_| {})
            };
            assert_eq!(
                kernel.observe().unwrap().catalog,
                wanted,
                "{index} {change}"
            );
        }
    }

    #[test]
    fn a_start_with_other_base_chains_adopts_the_table_first() {
        let updates = examples();
        let mut kernel = Fake::new(table_name(), true);
        let append = |config: &mut Config| {
            config.policy.chain_insert_mode = crate::config::ChainInsertMode::Append;
        };
        for second in [false, true] {
            kernel.release();
            let mut enforcer = if second {
                enforcer(append)
            } else {
                enforcer(|_| {})
            };
            updates
                .iter()
                .cloned()
                .for_each(|update| enforcer.update(update));
            settle(&mut enforcer, &mut kernel, 0);
        }
        let held = kernel.observe().unwrap().catalog;
        assert_eq!(held, from_scratch(&updates, append));
    }

    #[test]
    fn an_unchanged_start_adopts_the_table_and_writes_nothing_else() {
        let updates = examples();
        let mut kernel = Fake::new(table_name(), true);
        for _ in 0..2 {
            kernel.release();
            let mut enforcer = enforcer(|_| {});
            updates
                .iter()
                .cloned()
                .for_each(|update| enforcer.update(update));
            settle(&mut enforcer, &mut kernel, 0);
        }
        let plans = kernel.plans();
        let adoption = plans.last().unwrap();
        assert_eq!(adoption.operations, [Operation::AddTable]);
    }

    #[test]
    fn counters_are_kept_by_a_start_and_go_with_the_switch() {
        let counted = |config: &mut Config| {
            config.policy.counters = crate::config::PolicyCounters::Enabled;
        };
        let updates = examples();
        let mut kernel = Fake::new(table_name(), true);
        let start = |kernel: &mut Fake, change: &dyn Fn(&mut Config)| {
            kernel.release();
            let mut enforcer = enforcer(change);
            updates
                .iter()
                .cloned()
                .for_each(|update| enforcer.update(update));
            settle(&mut enforcer, kernel, 0);
            enforcer
        };
        for _ in 0..2 {
            let mut enforcer = start(&mut kernel, &counted);
            let counters = kernel.observe().unwrap().catalog.counters;
            let Some(CounterNews::Whole(news)) = enforcer.take_counter_news() else {
                panic!("no news of the whole");
            };
            assert!(!counters.is_empty() && counters.iter().eq(news.keys()));
            assert_eq!(enforcer.take_counter_news(), None);
        }
        let plans = kernel.plans();
        assert_eq!(plans.last().unwrap().operations, [Operation::AddTable]);
        start(&mut kernel, &|_| {});
        let held = kernel.observe().unwrap().catalog;
        assert_eq!(held, from_scratch(&updates, |_| {}));
    }

    /// A workload endpoint of this host, or its end.
    pub(in crate::agent) fn workload(there: bool) -> Update {
        let text = format!(
            "{{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, \
             metadata: {{name: {}-k8s-pod-eth0, namespace: ns}}, \
             spec: {{interfaceName: cali0, ipNetworks: [10.65.0.1]}}}}",
            HOSTNAME.replace('-', "--"),
        );
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("workload.yaml"), text).unwrap();
        let (key, value) = read_directory(directory.path()).unwrap().objects.remove(0);
        Update {
            key,
            value: Some(value).filter(|_| there),
        }
    }

    #[test]
    fn an_endpoint_is_up_only_once_the_kernel_has_taken_its_policy() {
        let mut kernel = Fake::new(table_name(), true);
        let mut enforcer = enforcer(|_| {});
        let mut facts = Facts::default();
        let interface: InterfaceName = "cali0".parse().unwrap();
        facts.link(interface.clone(), Some(Carrier::Up));
        facts.wired(&interface, Wiring::Done);
        settle(&mut enforcer, &mut kernel, 0);
        facts.committed(enforcer.take_weighed().endpoints);
        assert!(facts.statuses().is_empty());
        let refusal = Fault::Refuse {
            operation: 0,
            errno: Errno::ENOMEM,
        };
        kernel.fail_commit(kernel.plans().len(), refusal);
        enforcer.update(workload(true));
        let mut heard: Vec<Vec<Status>> = Vec::new();
        loop {
            match enforcer.next_step().unwrap() {
                Step::Nothing => break,
                Step::Observe => {
                    let observed = kernel.observe().unwrap();
                    enforcer.observed(observed.catalog, observed.needs_adoption);
                }
                Step::Check(plan) => {
                    enforcer.answered(&kernel.check(&plan));
                }
                Step::Commit(plans) => {
                    let mut failures = 1;
                    commit(&mut enforcer, &mut kernel, &plans, &mut failures);
                    let weighed = enforcer.take_weighed();
                    if failures == 0 {
                        facts.refused(weighed.endpoints, weighed.policies);
                    } else {
                        facts.committed(weighed.endpoints);
                    }
                    heard.push(facts.statuses().into_values().collect());
                }
            }
        }
        assert_eq!(heard, [[Status::Down], [Status::Up]]);
        // That it is gone is not lost with a plan that came to nothing.
        enforcer.update(workload(false));
        assert!(matches!(enforcer.next_step(), Ok(Step::Commit(_))));
        enforcer.doubt();
        settle(&mut enforcer, &mut kernel, 0);
        facts.committed(enforcer.take_weighed().endpoints);
        assert!(facts.statuses().is_empty());
    }

    #[test]
    fn a_workload_is_guarded_once_its_policy_is_in_the_kernel() {
        let mut kernel = Fake::new(table_name(), true);
        let mut enforcer = enforcer(|_| {});
        settle(&mut enforcer, &mut kernel, 0);
        enforcer.update(workload(true));
        let Ok(Step::Commit(plans)) = enforcer.next_step() else {
            panic!("nothing to commit");
        };
        assert!(enforcer.take_guarded().is_empty(), "not yet");
        commit(&mut enforcer, &mut kernel, &plans, &mut 0);
        let told = |changes: WorkloadChanges| -> Vec<(String, bool)> {
            let told = changes.into_iter();
            told.map(|(name, now)| (name.to_string(), now.is_some()))
                .collect()
        };
        assert_eq!(told(enforcer.take_guarded()), [("cali0".to_owned(), true)]);
        let (calc, render) = settings(reject);
        enforcer.reconfigure(calc, render);
        settle(&mut enforcer, &mut kernel, 0);
        assert!(enforcer.take_guarded().is_empty(), "nothing new of it");
        // That it is gone is not lost with the transaction that says so.
        kernel.fail_commit(kernel.plans().len(), Fault::AnswerLost);
        enforcer.update(workload(false));
        settle(&mut enforcer, &mut kernel, 1);
        assert_eq!(told(enforcer.take_guarded()), [("cali0".to_owned(), false)]);
    }
}
