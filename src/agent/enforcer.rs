//! What is wanted, what is in the kernel, and the next transactions between them.

use crate::calc::{Calc, LinkUpdate, Settings as CalcSettings};
use crate::model::{Place, PolicyKind, Problem, Severity, Update};
use crate::nft::{Catalog, CatalogDelta, Extent, PlanError, Plans, plan};
use crate::render::{Renderer, Settings as RenderSettings};

/// What the loop is to do next.
#[derive(Debug)]
pub enum Step {
    /// Nothing differs.
    Nothing,
    /// The kernel's state must be read before anything can be planned.
    Observe,
    /// These transactions are to be committed.
    Commit(Plans),
}

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
/// At most one change, of one or two transactions, is in flight: between [`Enforcer::next_step`] returning
/// [`Step::Commit`] and a call of [`Enforcer::committed`] or [`Enforcer::doubt`], updates may be folded in but
/// `next_step` must not be called.
#[derive(Debug)]
pub struct Enforcer {
    calc: Calc,
    renderer: Renderer,
    knowledge: Knowledge,
    in_flight: Option<CatalogDelta>,
    adopt: bool,
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
    }

    /// Takes in what the kernel was seen to hold; `adopt` where the table is there or is to be made, and is not
    /// this process's yet.
    pub fn observed(&mut self, catalog: Catalog, adopt: bool) {
        self.knowledge = Knowledge::Observed(catalog);
        self.adopt = adopt;
    }

    /// Returns a problem for each policy in use that this version does not enforce, or not everywhere.
    pub fn unenforced(&self) -> impl Iterator<Item = Problem> + '_ {
        self.renderer.unenforced().map(|(id, kind)| Problem {
            place: Place::Calculated,
            object: Some(id.key.clone()),
            field: String::new(),
            reason: match kind {
                PolicyKind::Normal | PolicyKind::ApplyOnForward => {
                    "this version does not apply policy to forwarded traffic: it holds for traffic \
                     that ends or begins on this host"
                }
                PolicyKind::Untracked => "this version does not enforce doNotTrack policy",
                PolicyKind::PreDnat => "this version does not enforce preDNAT policy",
            }
            .to_owned(),
            severity: Severity::Warning,
        })
    }

    /// Returns the next step towards what is wanted.
    ///
    /// # Errors
    /// Fails where the desired state cannot be planned; the kernel then keeps what it has, and the next call
    /// begins from what the kernel is seen to hold.
    pub fn next_step(&mut self) -> Result<Step, PlanError> {
        let (planned, catalog) = match std::mem::replace(&mut self.knowledge, Knowledge::None) {
            Knowledge::None => return Ok(Step::Observe),
            Knowledge::Observed(catalog) => {
                let changes = self.calc.take_whole();
                let settings = self.renderer.settings().clone();
                self.renderer = Renderer::resume(settings, &catalog.sets);
                let objects = self.renderer.render(&changes, &self.calc);
                (plan(&catalog, &objects, Extent::Whole)?, catalog)
            }
            Knowledge::Followed(catalog) => {
                let changes = self.calc.take_changes();
                if changes.is_empty() {
                    self.knowledge = Knowledge::Followed(catalog);
                    return Ok(Step::Nothing);
                }
                let objects = self.renderer.render(&changes, &self.calc);
                (plan(&catalog, &objects, Extent::Part)?, catalog)
            }
        };
        let (mut plans, delta) = planned;
        self.knowledge = Knowledge::Followed(catalog);
        if std::mem::take(&mut self.adopt) {
            plans.adopt();
        }
        if plans.is_empty() {
            self.follow(delta);
            return Ok(Step::Nothing);
        }
        self.in_flight = Some(delta);
        Ok(Step::Commit(plans))
    }

    /// Takes in that all transactions in flight are in force.
    pub fn committed(&mut self) {
        if let Some(delta) = self.in_flight.take() {
            self.follow(delta);
        }
    }

    /// Takes in that a transaction in flight was refused, or that its fate is unknown: the kernel is read
    /// again before the next one, also for what an earlier transaction prepared.
    pub fn doubt(&mut self) {
        self.in_flight = None;
        self.knowledge = Knowledge::None;
    }

    /// Brings the picture of the kernel up to date.
    fn follow(&mut self, delta: CatalogDelta) {
        if let Knowledge::Followed(catalog) = &mut self.knowledge {
            catalog.apply(delta);
        }
    }
}
