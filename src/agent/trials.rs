//! The search for those at fault by transactions, where the kernel refuses what it had said that it would take.
//!
//! It does so where only the commit has no memory: what packets walk through is made there, and a question does not get
//! that far. All that may be at fault is denied first. Then transactions deny less and less of it: each that is taken
//! stays, and one that is refused changes nothing, so that nobody is denied for the sake of a trial.

use super::enforcer::{Enforcer, Purpose, Step, Stuck};
use super::search::{Next, Search};
use crate::calc::Changes;
use crate::nft::Catalog;

impl Enforcer {
    /// Takes the next step of the search.
    pub(super) fn take_trial(&mut self, catalog: Catalog, changes: Changes) -> Result<Step, Stuck> {
        let Some(mut trials) = self.trials.take() else {
            return self.brace(catalog, changes);
        };
        loop {
            let Next::Try(units) = trials.next() else {
                // What is in force is what the last trial found to be enough.
                self.broken_word = None;
                return self.whole(catalog, changes);
            };
            let mut denied = self.denied.clone();
            denied.retain(|unit, _| units.contains(unit));
            match self.draft(&catalog, &changes, &denied) {
                Ok(draft) => {
                    self.trials = Some(trials);
                    return Ok(self.send_draft(catalog, changes, draft, denied, Purpose::Trial));
                }
                Err(unplanned) => trials.refused(unplanned.error.to_string()),
            }
        }
    }

    /// Denies all that may be at fault, where that is known.
    fn brace(&mut self, catalog: Catalog, changes: Changes) -> Result<Step, Stuck> {
        let mut denied = self.denied.clone();
        let reason = self.broken_word.clone().unwrap_or_default();
        for unit in self.unproven.iter().flatten() {
            denied.entry(unit.clone()).or_insert(reason.clone());
        }
        match self.draft(&catalog, &changes, &denied) {
            Ok(draft) if !denied.is_empty() => {
                Ok(self.send_draft(catalog, changes, draft, denied, Purpose::Brace))
            }
            Ok(_) | Err(_) => {
                self.broken_word = None;
                self.whole(catalog, changes)
            }
        }
    }

    /// Goes on from transactions that are in force.
    pub(super) fn follow_up(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::None | Purpose::Verdict => {}
            Purpose::Hold => self.reconsider(),
            Purpose::Brace => {
                self.trials = Some(Search::again(self.denied.clone()));
                self.forget_kernel();
            }
            Purpose::Trial => {
                if let Some(trials) = &mut self.trials {
                    trials.passed();
                }
                self.forget_kernel();
            }
        }
    }
}
