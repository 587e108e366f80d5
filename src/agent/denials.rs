//! What the enforcer does about what the kernel refuses.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::enforcer::{Enforcer, Purpose, Step, Stuck};
use super::inquest::{Denied, Inquest, Occasion, Turn};
use crate::calc::{Changes, EndpointId};
use crate::kernel::CommitError;
use crate::nft::Catalog;
use crate::render::Unit;
use crate::telemetry::ErrorChain;

/// What follows from a transaction that was refused, or from what the kernel said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// Who is at fault is being looked into: the next step follows at once.
    Inquest,
    /// Nothing is to be done before a pause.
    Pause,
}

/// What is newly denied, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DenialNews {
    /// What is, and what the kernel said.
    pub begun: BTreeMap<Unit, String>,
    /// What is not.
    pub over: BTreeSet<Unit>,
}

/// Tells whether anything differs of what is denied: then it may be taken now.
pub(super) fn touches(changes: &Changes, denied: &Denied) -> bool {
    denied.keys().any(|unit| match unit {
        Unit::Policy(id) => changes.policies.contains_key(id),
        Unit::Profile(id) => changes.profiles.contains_key(id),
        Unit::Endpoint(id) => changes.endpoints.contains_key(id),
    })
}

/// Tells whether a unit is among what holds.
fn is_there(whole: &Changes, unit: &Unit) -> bool {
    match unit {
        Unit::Policy(id) => matches!(whole.policies.get(id), Some(Some(_))),
        Unit::Profile(id) => matches!(whole.profiles.get(id), Some(Some(_))),
        Unit::Endpoint(id) => matches!(whole.endpoints.get(id), Some(Some(_))),
    }
}

impl Enforcer {
    /// Takes note of what the kernel has not taken yet.
    ///
    /// Endpoints are not among it, since with one policy those of all its endpoints differ.
    pub(super) fn note_unproven(&mut self, changes: &Changes) {
        let Some(unproven) = &mut self.unproven else {
            return;
        };
        let policies = changes.policies.iter();
        let policies = policies.map(|(id, new)| (Unit::Policy(id.clone()), new.is_some()));
        let profiles = changes.profiles.iter();
        let profiles = profiles.map(|(id, new)| (Unit::Profile(id.clone()), new.is_some()));
        for (unit, is_there) in policies.chain(profiles) {
            if is_there {
                unproven.insert(unit);
            } else {
                unproven.remove(&unit);
            }
        }
    }

    /// Looks into a refusal: at once, unless another program has changed the table meanwhile.
    pub(super) fn look_into(
        &mut self,
        occasion: Occasion,
        catalog: Catalog,
        changes: Changes,
    ) -> Result<Step, Stuck> {
        let held = self
            .tampered
            .then(|| self.hold(&occasion, &catalog, &changes));
        match held.flatten() {
            Some((draft, denied)) => {
                Ok(self.send_draft(catalog, changes, draft, denied, Purpose::Hold))
            }
            None => self.open_inquest(occasion, catalog, changes),
        }
    }

    /// Makes the transactions that put the table right while it is not known who is at fault: all who may be are denied
    /// until then. Returns nothing where it is not known who that is, or where there is no plan for it.
    fn hold(
        &self,
        occasion: &Occasion,
        catalog: &Catalog,
        changes: &Changes,
    ) -> Option<(Draft, Denied)> {
        let mut denied = self.denied.clone();
        match occasion {
            Occasion::Again => {}
            Occasion::Refused { reason, named } => {
                let units = self.renderer.units();
                // What is named may be innocent: what ran out was used up by others.
                let named = named.iter().filter_map(|key| units.get(key)).flatten();
                let suspects = named.chain(self.unproven.iter().flatten());
                let suspects = suspects.filter(|unit| is_there(changes, unit));
                let before = denied.len();
                for unit in suspects {
                    denied.entry(unit.clone()).or_insert(reason.clone());
                }
                if denied.len() == before {
                    return None;
                }
            }
        }
        let draft = self.draft(catalog, changes, &denied).ok()?;
        (!draft.plans.is_empty()).then_some((draft, denied))
    }

    /// Opens an inquest and takes its first turn.
    fn open_inquest(
        &mut self,
        occasion: Occasion,
        catalog: Catalog,
        changes: Changes,
    ) -> Result<Step, Stuck> {
        let settings = self.renderer.settings().clone();
        let denied = self.denied.clone();
        let inquest = Inquest::open(occasion, settings, catalog, changes, denied, &self.calc);
        self.judged = true;
        self.inquest = Some(inquest);
        self.inquire()
    }

    /// Takes the next turn of the inquest.
    pub(super) fn inquire(&mut self) -> Result<Step, Stuck> {
        let Some(mut inquest) = self.inquest.take() else {
            return Ok(Step::Observe);
        };
        match inquest.next(&self.calc) {
            Turn::Ask(plan) => {
                self.inquest = Some(inquest);
                Ok(Step::Check(plan))
            }
            Turn::Verdict(denied, draft) => {
                let (catalog, changes) = inquest.into_parts();
                Ok(self.send_draft(catalog, changes, *draft, denied, Purpose::Enforce))
            }
            Turn::Nobody(reason) => Err(Stuck::Refused(reason)),
        }
    }

    /// Takes in that a transaction in flight was not committed, as far as is known.
    pub fn refused(&mut self, cause: &CommitError) -> Aftermath {
        let in_flight = self.in_flight.take();
        let judged = self.judged;
        self.doubt();
        if !cause.is_refusal() {
            return Aftermath::Pause;
        }
        if let Some(in_flight) = in_flight {
            match in_flight.purpose {
                Purpose::Hold => self.tampered = false,
                Purpose::Enforce if judged => {
                    let adds = |unit: &Unit| !self.denied.contains_key(unit);
                    let verdict = Some(in_flight.denied);
                    self.verdict = verdict.filter(|denied| denied.keys().any(adds));
                }
                Purpose::Enforce => {}
            }
        }
        // What was judged is not judged again before a pause.
        if judged {
            return Aftermath::Pause;
        }
        let reason = ErrorChain(cause).to_string();
        let named = cause.objects();
        self.occasion = Some(Occasion::Refused { reason, named });
        Aftermath::Inquest
    }

    /// Takes in what the kernel said to the transaction that it was asked about.
    pub fn answered(&mut self, answer: &Result<(), CommitError>) -> Aftermath {
        if let Err(cause) = answer
            && !cause.is_refusal()
        {
            self.doubt();
            return Aftermath::Pause;
        }
        // There is none where the settings have changed since.
        if let Some(inquest) = &mut self.inquest {
            let said = answer
                .as_ref()
                .map_err(|cause| ErrorChain(cause).to_string());
            inquest.answered(said.copied());
        }
        Aftermath::Inquest
    }

    /// Has what is denied tried again with the next step.
    pub fn reconsider(&mut self) {
        if !self.denied.is_empty() {
            self.occasion.get_or_insert(Occasion::Again);
            self.forget_kernel();
        }
    }

    /// Returns how much is denied in the kernel.
    pub fn denied(&self) -> usize {
        self.denied.len()
    }

    /// Returns the endpoints that do not get what they are to have, because it is denied.
    pub fn concerned(&self) -> BTreeSet<EndpointId> {
        self.renderer.concerned()
    }

    /// Returns what is denied in the kernel, or no longer is, since this was last asked.
    pub fn take_denial_news(&mut self) -> DenialNews {
        let begun = self.denied.iter();
        let begun = begun.filter(|(unit, _)| !self.told_denied.contains(*unit));
        let over = self.told_denied.iter();
        let over = over.filter(|unit| !self.denied.contains_key(*unit));
        let news = DenialNews {
            begun: begun
                .map(|(unit, why)| (unit.clone(), why.clone()))
                .collect(),
            over: over.cloned().collect(),
        };
        self.told_denied = self.denied.keys().cloned().collect();
        news
    }
}
