//! A kernel in memory, for tests of what stands above this room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::error::{CommitError, KernelError, Refusal, Refusals, UnknownReason};
use super::netfilter::{Committed, Kernel};
use super::observe::{Observed, Ownership, TableState};
use super::owner::ForeignOwner;
use super::probe::OWNED;
use super::subject::Subject;
use crate::nft::{self, Applied, Operation, Plan, TableName};

/// What goes wrong at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The kernel refuses an operation of the plan, by its place.
    Refuse {
        /// The place; beyond the end it is the transaction as a whole.
        operation: usize,
        /// Why.
        errno: Errno,
    },
    /// The transaction is not committed, but that is not known.
    Lost,
    /// The transaction is committed, but that is not known.
    AnswerLost,
}

/// What the kernel refuses again and again, until it relents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lasting {
    /// Every transaction that holds this very operation.
    Operation(Operation),
    /// The same, without saying which operation is at fault.
    Unnamed(Operation),
    /// Every transaction after which there would be more rules and elements than these.
    Fuller(usize),
}

/// A kernel in memory. Clones share one state, so that a test can look at what it gave away.
#[derive(Debug, Clone)]
pub struct Fake {
    table: TableName,
    owned: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    applied: Applied,
    adopted: bool,
    foreign_owner: Option<u32>,
    generation: u32,
    faults: BTreeMap<usize, Fault>,
    check_faults: BTreeMap<usize, Fault>,
    lasting: Vec<(Lasting, Errno)>,
    checks: usize,
    observe_timeouts: usize,
    plans: Vec<Plan>,
}

impl Fake {
    /// Makes an empty kernel in which the table is to be owned or not.
    pub fn new(table: TableName, owned: bool) -> Self {
        Self {
            table,
            owned,
            state: Arc::default(),
        }
    }

    /// Lets a commit go wrong, counted from the first of all, which is zero.
    pub fn fail_commit(&self, number: usize, fault: Fault) {
        self.state().faults.insert(number, fault);
    }

    /// Lets a check go wrong, counted from the first of all, which is zero.
    pub fn fail_check(&self, number: usize, fault: Fault) {
        self.state().check_faults.insert(number, fault);
    }

    /// Refuses something until [`Fake::relent`].
    pub fn refuse(&self, what: Lasting, errno: Errno) {
        self.state().lasting.push((what, errno));
    }

    /// Takes again what was refused.
    pub fn relent(&self) {
        self.state().lasting.clear();
    }

    /// Returns how many transactions were checked.
    pub fn checks(&self) -> usize {
        self.state().checks
    }

    /// Lets the next so many reads run into the time allowed.
    pub fn fail_observations(&self, count: usize) {
        self.state().observe_timeouts = count;
    }

    /// Gives the table to the socket with a port, or takes it back.
    pub fn set_foreign_owner(&self, port: Option<u32>) {
        self.state().foreign_owner = port;
    }

    /// Ends the process that owns the table: an owned table becomes an orphan.
    pub fn release(&self) {
        self.state().adopted = false;
    }

    /// Changes the ruleset by another's hand.
    ///
    /// # Errors
    /// Fails as the kernel would.
    pub fn tamper(&self, plan: &Plan) -> Result<(), nft::ApplyError> {
        let mut state = self.state();
        state.generation += 1;
        state.applied.commit(plan)
    }

    /// Returns what the table holds.
    pub fn applied(&self) -> Applied {
        self.state().applied.clone()
    }

    /// Returns every plan that was to be committed, those that failed included.
    pub fn plans(&self) -> Vec<Plan> {
        self.state().plans.clone()
    }

    /// Returns the generation, which every transaction with a plan raises.
    pub fn generation(&self) -> u32 {
        self.state().generation
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the base chain that the kernel refuses because the transaction changes the owner of the table.
    fn refused_by_adoption(&self, state: &State, plan: &Plan) -> Option<usize> {
        let position =
            |wanted: &dyn Fn(&Operation) -> bool| plan.operations.iter().position(wanted);
        let changes_owner = self.owned && !state.adopted && state.applied.table();
        if !changes_owner || position(&|step| *step == Operation::DeleteTable).is_some() {
            return None;
        }
        position(&|step| *step == Operation::AddTable)?;
        position(&|step| matches!(step, Operation::AddChain { base: Some(_), .. }))
    }

    /// Returns what the table holds after a plan.
    fn outcome(
        &self,
        state: &State,
        plan: &Plan,
        fault: Option<&Fault>,
    ) -> Result<Applied, CommitError> {
        if let Some(port) = state.foreign_owner {
            return Err(CommitError::ForeignOwner {
                table: self.table.clone(),
                owner: ForeignOwner {
                    port,
                    inode: None,
                    process: None,
                },
            });
        }
        if let Some(operation) = self.refused_by_adoption(state, plan) {
            return Err(self.refused(plan, operation, Errno::EINVAL));
        }
        match fault {
            Some(Fault::Refuse { operation, errno }) => {
                return Err(self.refused(plan, *operation, *errno));
            }
            Some(Fault::Lost) => return Err(unknown()),
            Some(Fault::AnswerLost) | None => {}
        }
        let mut applied = state.applied.clone();
        applied
            .commit(plan)
            .map_err(|error| self.refused(plan, error.index, errno(error.errno)))?;
        for (lasting, errno) in &state.lasting {
            let holds = |operation: &Operation| plan.operations.contains(operation);
            let refused = match lasting {
                Lasting::Operation(operation) => {
                    plan.operations.iter().position(|other| other == operation)
                }
                Lasting::Unnamed(operation) => holds(operation).then_some(plan.operations.len()),
                Lasting::Fuller(most) => {
                    (applied.content() > *most).then(|| plan.operations.len() - 1)
                }
            };
            if let Some(operation) = refused {
                return Err(self.refused(plan, operation, *errno));
            }
        }
        Ok(applied)
    }

    fn refused(&self, plan: &Plan, operation: usize, errno: Errno) -> CommitError {
        let subject = Subject::of_operation(plan, &self.table, operation, None);
        CommitError::Refused {
            refusals: Refusals {
                first: Refusal {
                    operation: (operation < plan.operations.len()).then_some(operation),
                    subject,
                    errno,
                    offset: None,
                    text: None,
                },
                others: Vec::new(),
            },
        }
    }
}

impl Kernel for Fake {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        let mut state = self.state();
        if let Some(fewer) = state.observe_timeouts.checked_sub(1) {
            state.observe_timeouts = fewer;
            return Err(KernelError::Timeout { milliseconds: 0 });
        }
        let ownership = match state.foreign_owner {
            Some(port) => Ownership::Foreign(ForeignOwner {
                port,
                inode: None,
                process: None,
            }),
            None if !self.owned => Ownership::None,
            None if state.adopted => Ownership::Ours,
            None => Ownership::Orphan,
        };
        let table = state.applied.table().then_some(TableState {
            flags: match ownership {
                Ownership::None => 0,
                Ownership::Orphan => super::encode::consts::value::TABLE_PERSIST,
                Ownership::Ours | Ownership::Foreign(_) => OWNED,
            },
            matches_wanted: !matches!(ownership, Ownership::Foreign(_)),
            ownership,
        });
        Ok(Observed {
            catalog: state.applied.catalog(),
            table,
            needs_adoption: self.owned && !(state.adopted && state.applied.table()),
            generation: state.generation,
        })
    }

    fn commit(&mut self, plan: &Plan) -> Result<Committed, CommitError> {
        if plan.is_empty() {
            return Ok(Committed::default());
        }
        let mut state = self.state();
        let number = state.plans.len();
        state.plans.push(plan.clone());
        let fault = state.faults.remove(&number);
        state.applied = self.outcome(&state, plan, fault.as_ref())?;
        state.generation += 1;
        let adopts = |operation: &Operation| matches!(operation, Operation::AddTable);
        state.adopted |= plan.operations.iter().any(adopts);
        match fault {
            Some(_) => Err(unknown()),
            None => Ok(Committed {
                messages: plan.operations.len(),
                bytes: 0,
            }),
        }
    }

    fn check(&mut self, plan: &Plan) -> Result<(), CommitError> {
        let mut state = self.state();
        let number = state.checks;
        state.checks += 1;
        let fault = state.check_faults.remove(&number);
        self.outcome(&state, plan, fault.as_ref())?;
        match fault {
            Some(_) => Err(unknown()),
            None => Ok(()),
        }
    }
}

fn unknown() -> CommitError {
    CommitError::Unknown {
        reason: UnknownReason::Overrun,
    }
}

fn errno(errno: nft::Errno) -> Errno {
    match errno {
        nft::Errno::NoEntry => Errno::ENOENT,
        nft::Errno::Exists => Errno::EEXIST,
        nft::Errno::Busy => Errno::EBUSY,
        nft::Errno::Invalid => Errno::EINVAL,
        nft::Errno::TooManyLinks => Errno::EMLINK,
        nft::Errno::TooManyElements => Errno::ENFILE,
        nft::Errno::NotSupported => Errno::EOPNOTSUPP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(operations: Vec<Operation>) -> Plan {
        Plan { operations }
    }

    fn chain(name: &str) -> Operation {
        Operation::AddChain {
            name: name.parse().unwrap(),
            base: None,
        }
    }

    #[test]
    fn faults_come_where_they_were_put_and_leave_what_they_say() {
        let fake = Fake::new("tortie".parse().unwrap(), true);
        let mut kernel = fake.clone();
        fake.fail_commit(1, Fault::Lost);
        fake.fail_commit(2, Fault::AnswerLost);
        fake.fail_commit(
            3,
            Fault::Refuse {
                operation: 0,
                errno: Errno::ENOMEM,
            },
        );
        assert!(kernel.observe().unwrap().needs_adoption);
        kernel.commit(&plan(vec![Operation::AddTable])).unwrap();
        assert!(!kernel.observe().unwrap().needs_adoption);

        let mut chains = |name: &str| {
            let result = kernel.commit(&plan(vec![chain(name)]));
            (result, kernel.observe().unwrap().catalog.chains.len())
        };
        assert!(matches!(chains("a"), (Err(CommitError::Unknown { .. }), 0)));
        assert!(matches!(chains("a"), (Err(CommitError::Unknown { .. }), 1)));
        let (refused, count) = chains("b");
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the kernel refused the transaction: chain `b`: out of memory (ENOMEM)"
        );
        assert_eq!(count, 1);
        assert!(matches!(chains("b"), (Ok(_), 2)));
        assert_eq!(fake.plans().len(), 5);
    }

    #[test]
    fn the_model_refuses_as_the_kernel_does() {
        let mut kernel = Fake::new("tortie".parse().unwrap(), false);
        let nowhere = Operation::FlushChain("nowhere".parse().unwrap());
        let error = kernel
            .commit(&plan(vec![Operation::AddTable, nowhere]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel refused the transaction: chain `nowhere`: no such file or directory (ENOENT)"
        );
        assert!(!kernel.applied().table());
    }

    #[test]
    fn an_owner_that_ends_leaves_an_orphan() {
        let fake = Fake::new("tortie".parse().unwrap(), true);
        let mut kernel = fake.clone();
        kernel.commit(&plan(vec![Operation::AddTable])).unwrap();
        fake.release();
        let observed = kernel.observe().unwrap();
        assert!(observed.needs_adoption);
        assert_eq!(observed.table.unwrap().ownership, Ownership::Orphan);
        fake.set_foreign_owner(Some(7));
        let error = kernel.commit(&plan(vec![Operation::AddTable])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "table `inet tortie` belongs to another socket, netlink port 7"
        );
    }
}
