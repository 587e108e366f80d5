//! The way from what a start finds in the kernel to the whole desired state.

use std::collections::BTreeSet;

use crate::calc::{Calc, Changes};
use crate::nft::{Catalog, CatalogDelta, Extent, Operation, PlanError, Plans, plan};
use crate::render::{Keep, Renderer, Settings, Unit};

/// The transactions that lead to what is wanted, and what is known once they are committed.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) renderer: Renderer,
    pub(super) plans: Plans,
    pub(super) delta: CatalogDelta,
}

/// What was rendered and cannot be planned.
#[derive(Debug)]
pub(super) struct Unplanned {
    pub(super) renderer: Renderer,
    pub(super) error: PlanError,
}

/// Makes the transactions that lead from a catalogue to the whole desired state with some units denied; without
/// a plan there is still what was rendered.
///
/// Other sets take the place of those whose members differ, as in any round, so that no packet sees new members by old
/// rules; with [`Keep::Any`] they are changed in place where nothing else differs.
pub(super) fn draft(
    settings: &Settings,
    catalog: &Catalog,
    whole: &Changes,
    denied: BTreeSet<Unit>,
    calc: &Calc,
    keep: Keep,
) -> Result<Draft, Box<Unplanned>> {
    let attempt = |denied, keep| {
        let mut renderer = Renderer::resume(settings.clone(), catalog, keep).denying(denied);
        let objects = renderer.render(whole, calc);
        match plan(catalog, &objects, Extent::Whole) {
            Ok((plans, delta)) => Ok(Draft {
                renderer,
                plans,
                delta,
            }),
            Err(error) => Err(Box::new(Unplanned { renderer, error })),
        }
    };
    match keep {
        Keep::Equal => return attempt(denied, keep),
        Keep::Any => {}
    }
    let first = attempt(denied.clone(), keep);
    let is_in_place = match &first {
        Ok(draft) => !draft.renderer.changes_found_sets() || is_of_members(&draft.plans),
        Err(unplanned) => !unplanned.renderer.changes_found_sets(),
    };
    if is_in_place {
        return first;
    }
    // Two drafts at once would be twice the memory.
    drop(first);
    attempt(denied, Keep::Equal)
}

/// Returns the transactions of a start that finds this in the kernel.
///
/// # Errors
/// Fails where what is rendered is not consistent.
pub fn plans_of_a_start(
    settings: &Settings,
    found: &Catalog,
    whole: &Changes,
    calc: &Calc,
) -> Result<Plans, PlanError> {
    draft(settings, found, whole, BTreeSet::new(), calc, Keep::Any)
        .map(|draft| draft.plans)
        .map_err(|unplanned| unplanned.error)
}

/// Tells whether nothing but members of sets differs.
fn is_of_members(plans: &Plans) -> bool {
    plans.operations().all(|step| match step {
        Operation::AddTable => true,
        Operation::AddElements { set, .. } | Operation::DeleteElements { set, .. } => !set.verdicts,
        Operation::DeleteTable
        | Operation::AddCounter(_)
        | Operation::AddSet(_)
        | Operation::AddChain { .. }
        | Operation::FlushSet(_)
        | Operation::FlushChain(_)
        | Operation::AddRule { .. }
        | Operation::DeleteChain(_)
        | Operation::DeleteSet(_)
        | Operation::DeleteCounter(_) => false,
    })
}
