//! The inquest into a refused transaction: which objects have to be denied for the rest to be taken.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, draft};
use super::search::{Next, Search};
use crate::calc::{Calc, Changes};
use crate::nft::{Catalog, ObjectKey, Operation, Plan, PlanError};
use crate::render::{Keep, Settings, Unit};

/// All drafts of an inquest make their sets in the same way, whatever is left out: otherwise what the kernel refuses of a
/// change in place would be laid at the door of whoever's absence has the set made anew.
const KEEP: Keep = Keep::Equal;

/// What is denied, each with what the kernel said.
pub(super) type Denied = BTreeMap<Unit, String>;

/// Why an inquest is to be held.
#[derive(Debug)]
pub(super) enum Occasion {
    /// Something was refused.
    Refused {
        /// What was said.
        reason: String,
        /// What was named as the cause.
        named: Vec<ObjectKey>,
    },
    /// What is denied is to be tried again.
    Again,
}

/// An inquest under way. What is wanted stands still meanwhile, and so must calc.
#[derive(Debug)]
pub(super) struct Inquest {
    settings: Settings,
    catalog: Catalog,
    changes: Changes,
    /// What stays denied whatever comes out.
    settled: Denied,
    /// What was said, `None` where what is denied is tried again.
    reason: Option<String>,
    search: Search<Unit>,
}

/// What an inquest does next.
#[derive(Debug)]
pub(super) enum Turn {
    /// It asks the kernel what it would say to a transaction.
    Ask(Plan),
    /// These are to be denied, and the rest is to be committed.
    Verdict(Denied, Box<Draft>),
    /// Nobody is at fault, or nobody that can be denied; what the kernel said.
    Nobody(String),
}

impl Inquest {
    /// Opens an inquest about the whole desired state and what the kernel was seen to hold.
    pub(super) fn open(
        occasion: Occasion,
        settings: Settings,
        catalog: Catalog,
        changes: Changes,
        denied: Denied,
        calc: &Calc,
    ) -> Self {
        let (reason, named) = match occasion {
            Occasion::Again => {
                return Self {
                    settings,
                    catalog,
                    changes,
                    settled: Denied::new(),
                    reason: None,
                    search: Search::again(denied),
                };
            }
            Occasion::Refused { reason, named } => (reason, named),
        };
        let left_out = denied.keys().cloned().collect();
        let drafted = draft(&settings, &catalog, &changes, left_out, calc, KEEP);
        let (units, touched) = match drafted {
            Ok(Draft {
                renderer, plans, ..
            }) => {
                let touched = plans.operations().filter_map(Operation::object);
                (renderer.units(), Some(touched.collect::<Vec<_>>()))
            }
            // No plan tells what would change: it may be anything.
            Err(unplanned) => (unplanned.renderer.units(), None),
        };
        let of = |keys: &[ObjectKey]| -> BTreeSet<Unit> {
            let units = keys.iter().filter_map(|key| units.get(key)).flatten();
            let units = units.filter(|unit| !denied.contains_key(*unit));
            units.cloned().collect()
        };
        let suspects = of(&named);
        let differing = match touched {
            Some(touched) => of(&touched),
            None => of(&units.keys().cloned().collect::<Vec<_>>()),
        };
        let others = differing.difference(&suspects).cloned().collect();
        let search = Search::begin(&reason, suspects.into_iter().collect(), others);
        Self {
            settings,
            catalog,
            changes,
            settled: denied,
            reason: Some(reason),
            search,
        }
    }

    /// Returns the catalogue and the desired state that it is about.
    pub(super) fn into_parts(self) -> (Catalog, Changes) {
        (self.catalog, self.changes)
    }

    /// Gives it up, and returns why another is to be held, and what the kernel was seen to hold.
    pub(super) fn give_up(self) -> (Occasion, Catalog) {
        let occasion = match self.reason {
            None => Occasion::Again,
            Some(reason) => Occasion::Refused {
                reason,
                named: Vec::new(),
            },
        };
        (occasion, self.catalog)
    }

    /// Takes the next turn.
    pub(super) fn next(&mut self, calc: &Calc) -> Turn {
        loop {
            match self.search.next() {
                Next::Try(units) => match self.draft(units, calc) {
                    Err(error) => self.search.refused(error.to_string()),
                    Ok(draft) if draft.plans.is_empty() => self.search.passed(),
                    Ok(draft) => return Turn::Ask(draft.plans.as_one()),
                },
                Next::Found(found) => {
                    let mut denied = self.settled.clone();
                    denied.extend(found);
                    match self.draft(denied.keys().cloned(), calc) {
                        Ok(draft) => return Turn::Verdict(denied, Box::new(draft)),
                        Err(error) => return Turn::Nobody(error.to_string()),
                    }
                }
                Next::Nobody => return Turn::Nobody(self.reason.clone().unwrap_or_default()),
            }
        }
    }

    /// Takes in what the kernel said to the transaction that it was asked about.
    pub(super) fn answered(&mut self, answer: Result<(), String>) {
        match answer {
            Ok(()) => self.search.passed(),
            Err(reason) => self.search.refused(reason),
        }
    }

    /// Makes the transactions that deny some units besides those that stay denied.
    fn draft(
        &self,
        units: impl IntoIterator<Item = Unit>,
        calc: &Calc,
    ) -> Result<Draft, PlanError> {
        let settled = self.settled.keys().cloned();
        let denied = settled.chain(units).collect();
        draft(
            &self.settings,
            &self.catalog,
            &self.changes,
            denied,
            calc,
            KEEP,
        )
        .map_err(|unplanned| unplanned.error)
    }
}
