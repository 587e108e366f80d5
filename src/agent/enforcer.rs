//! What is wanted, what is in the kernel, and the next transaction between them.

use std::time::Duration;

use crate::calc::{Calc, LinkUpdate, Settings as CalcSettings};
use crate::model::Update;
use crate::nft::{Catalog, CatalogDelta, Extent, Plan, PlanError, plan};
use crate::render::{Renderer, Settings as RenderSettings};

/// What the loop is to do next.
#[derive(Debug)]
pub enum Step {
    /// Nothing differs.
    Nothing,
    /// The kernel's state must be read before anything can be planned.
    Observe,
    /// This transaction is to be committed.
    Commit(Plan),
}

/// How one transaction, or the finding that none was needed, came about.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    /// How many operations the transaction had.
    pub operations: usize,
    /// How long the kernel took.
    pub kernel: Duration,
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
/// At most one transaction is in flight: between [`Enforcer::next`] returning [`Step::Commit`] and a call of
/// [`Enforcer::committed`] or [`Enforcer::doubt`], updates may be folded in but `next` must not be called.
#[derive(Debug)]
pub struct Enforcer {
    calc: Calc,
    renderer: Renderer,
    knowledge: Knowledge,
    in_flight: Option<CatalogDelta>,
}

impl Enforcer {
    /// Makes an enforcer that knows nothing of the kernel.
    pub fn new(calc: CalcSettings, render: RenderSettings) -> Self {
        Self {
            calc: Calc::new(calc),
            renderer: Renderer::new(render),
            knowledge: Knowledge::None,
            in_flight: None,
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

    /// Takes in what the kernel was seen to hold.
    pub fn observed(&mut self, catalog: Catalog) {
        self.knowledge = Knowledge::Observed(catalog);
    }

    /// Returns the next step towards what is wanted.
    ///
    /// # Errors
    /// Fails where the desired state cannot be planned; the kernel then keeps what it has, and the next call
    /// begins from what the kernel is seen to hold.
    pub fn next(&mut self) -> Result<Step, PlanError> {
        let (planned, catalog) = match std::mem::replace(&mut self.knowledge, Knowledge::None) {
            Knowledge::None => return Ok(Step::Observe),
            Knowledge::Observed(catalog) => {
                let changes = self.calc.take_whole();
                self.renderer = Renderer::new(self.renderer.settings().clone());
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
        let (plan, delta) = planned;
        self.knowledge = Knowledge::Followed(catalog);
        if plan.is_empty() {
            self.follow(delta);
            return Ok(Step::Nothing);
        }
        self.in_flight = Some(delta);
        Ok(Step::Commit(plan))
    }

    /// Takes in that the transaction in flight is in force.
    pub fn committed(&mut self) {
        if let Some(delta) = self.in_flight.take() {
            self.follow(delta);
        }
    }

    /// Takes in that the transaction in flight was refused, or that its fate is unknown: the kernel is read
    /// again before the next one.
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
