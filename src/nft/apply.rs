//! A table in memory that takes plans as the kernel does, and refuses what the kernel refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::check::lookup_fault;
use super::elements::{fault, overlap};
use super::place::{is_bound, misplaced};
use super::{
    BaseChain, Catalog, Chain, ChainName, CounterName, Element, ElementKey, Expr, Object,
    ObjectKey, Operation, Plan, Rule, Ruleset, SetName, SetSpec, Verdict,
};

/// The most chains that may follow one another, the base chain included: `NFT_JUMP_STACK_SIZE` of
/// `net/netfilter/nf_tables.h`.
const STACK: usize = 16;

/// The error numbers with which the kernel refuses a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errno {
    /// `ENOENT`: something named is not there.
    NoEntry,
    /// `EEXIST`: it is there already, with another content, or overlaps.
    Exists,
    /// `EBUSY`: something refers to it.
    Busy,
    /// `EINVAL`: the step makes no sense.
    Invalid,
    /// `EMLINK`: a loop, or too many chains follow one another.
    TooManyLinks,
    /// `ENFILE`: more elements than the set has room for.
    TooManyElements,
    /// `EOPNOTSUPP`: a jump to a base chain, or an expression that has no place below one.
    NotSupported,
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEntry => "no such file or directory (ENOENT)",
            Self::Exists => "file exists (EEXIST)",
            Self::Busy => "device or resource busy (EBUSY)",
            Self::Invalid => "invalid argument (EINVAL)",
            Self::TooManyLinks => "too many links (EMLINK)",
            Self::TooManyElements => "too many open files in system (ENFILE)",
            Self::NotSupported => "operation not supported (EOPNOTSUPP)",
        })
    }
}

/// A step was refused, and with it the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {errno}")]
pub struct ApplyError {
    /// The place of the step in the plan.
    pub index: usize,
    /// The step.
    pub operation: Box<Operation>,
    /// Why it was refused.
    pub errno: Errno,
}

/// A table in memory that takes plans as the kernel does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    state: State,
}

impl Applied {
    /// Executes a plan as one transaction.
    ///
    /// # Errors
    /// Fails as the kernel would; nothing has changed then.
    pub fn commit(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        let refuse = |index: usize, operation: &Operation, errno| ApplyError {
            index,
            operation: Box::new(operation.clone()),
            errno,
        };
        let mut state = self.state.clone();
        let mut last = None;
        for (index, operation) in plan.operations.iter().enumerate() {
            state
                .step(operation)
                .map_err(|errno| refuse(index, operation, errno))?;
            if is_validated(operation) {
                last = Some((index, operation));
            }
        }
        if let Some((index, operation)) = last {
            state
                .validate()
                .map_err(|errno| refuse(index, operation, errno))?;
        }
        self.state = state;
        Ok(())
    }

    /// Tells whether the table is there.
    pub fn table(&self) -> bool {
        self.state.table
    }

    /// Returns how many rules and elements there are.
    pub fn content(&self) -> usize {
        let rules = self.state.chains.values().map(|chain| chain.rules.len());
        let elements = self.state.sets.values().map(|set| set.elements.len());
        rules.chain(elements).sum()
    }

    /// Returns what reading the table back gives.
    pub fn catalog(&self) -> Catalog {
        let mut catalog = self.ruleset().catalog();
        catalog.table = self.state.table;
        catalog
    }

    /// Returns the objects of the table.
    pub fn ruleset(&self) -> Ruleset {
        let chains = self.state.chains.iter().map(|(name, body)| {
            Object::Chain(Arc::new(Chain {
                name: name.clone(),
                base: body.base,
                rules: body.rules.clone(),
            }))
        });
        let sets = self.state.sets.values().map(|body| {
            let element = |(key, verdict): (&ElementKey, &Option<Verdict>)| Element {
                key: key.clone(),
                verdict: verdict.clone(),
            };
            let elements = body.elements.iter().map(element).collect();
            Object::Set(body.spec.clone(), Arc::new(elements))
        });
        let counters = self.state.counters.iter().cloned().map(Object::Counter);
        Ruleset::of(chains.chain(sets).chain(counters))
    }
}

/// Tells whether a step can make the kernel walk all paths from the base chains.
fn is_validated(operation: &Operation) -> bool {
    match operation {
        Operation::AddRule { rule, .. } => rule
            .exprs
            .iter()
            .any(|expr| expr.target().is_some() || is_bound(expr)),
        Operation::AddElements { set, .. } => set.verdicts,
        Operation::DeleteTable
        | Operation::AddTable
        | Operation::AddCounter(_)
        | Operation::AddSet(_)
        | Operation::AddChain { .. }
        | Operation::DeleteElements { .. }
        | Operation::FlushSet(_)
        | Operation::FlushChain(_)
        | Operation::DeleteChain(_)
        | Operation::DeleteSet(_)
        | Operation::DeleteCounter(_) => false,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ChainBody {
    base: Option<BaseChain>,
    rules: Vec<Arc<Rule>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SetBody {
    spec: Arc<SetSpec>,
    elements: BTreeMap<ElementKey, Option<Verdict>>,
}

/// The content of the table; what is large is shared between copies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct State {
    table: bool,
    chains: BTreeMap<ChainName, Arc<ChainBody>>,
    sets: BTreeMap<SetName, Arc<SetBody>>,
    counters: BTreeSet<CounterName>,
    /// How many rules and elements refer to each object.
    uses: BTreeMap<ObjectKey, usize>,
}

impl State {
    fn step(&mut self, operation: &Operation) -> Result<(), Errno> {
        match operation {
            Operation::AddTable => {
                self.table = true;
                return Ok(());
            }
            Operation::DeleteTable
            | Operation::AddCounter(_)
            | Operation::AddSet(_)
            | Operation::AddChain { .. }
            | Operation::DeleteElements { .. }
            | Operation::FlushSet(_)
            | Operation::FlushChain(_)
            | Operation::AddRule { .. }
            | Operation::AddElements { .. }
            | Operation::DeleteChain(_)
            | Operation::DeleteSet(_)
            | Operation::DeleteCounter(_) => {}
        }
        if !self.table {
            return Err(Errno::NoEntry);
        }
        match operation {
            Operation::AddTable => {}
            Operation::DeleteTable => *self = Self::default(),
            Operation::AddCounter(name) => {
                if !self.counters.insert(name.clone()) {
                    return Err(Errno::Exists);
                }
            }
            Operation::AddSet(spec) => self.add_set(spec)?,
            Operation::AddChain { name, base } => self.add_chain(name, *base)?,
            Operation::DeleteElements { set, elements } => {
                self.delete_elements(&set.name, elements)?;
            }
            Operation::FlushSet(name) => self.flush_set(name)?,
            Operation::FlushChain(name) => self.flush_chain(name)?,
            Operation::AddRule { chain, rule, .. } => self.add_rule(chain, rule)?,
            Operation::AddElements { set, elements } => self.add_elements(set, elements)?,
            Operation::DeleteChain(name) => {
                self.flush_chain(name)?;
                self.unused(&ObjectKey::Chain(name.clone()))?;
                self.chains.remove(name);
            }
            Operation::DeleteSet(name) => {
                self.unused(&ObjectKey::Set(name.clone()))?;
                self.flush_set(name)?;
                self.sets.remove(name);
            }
            Operation::DeleteCounter(name) => {
                self.unused(&ObjectKey::Counter(name.clone()))?;
                if !self.counters.remove(name) {
                    return Err(Errno::NoEntry);
                }
            }
        }
        Ok(())
    }

    fn add_set(&mut self, spec: &Arc<SetSpec>) -> Result<(), Errno> {
        if self.sets.contains_key(&spec.name) {
            return Err(Errno::Exists);
        }
        if spec.key.is_empty() || (spec.interval && spec.key.len() > 1) {
            return Err(Errno::Invalid);
        }
        let body = SetBody {
            spec: spec.clone(),
            elements: BTreeMap::new(),
        };
        self.sets.insert(spec.name.clone(), Arc::new(body));
        Ok(())
    }

    fn add_chain(&mut self, name: &ChainName, base: Option<BaseChain>) -> Result<(), Errno> {
        if self.chains.contains_key(name) {
            return Err(Errno::Exists);
        }
        let rules = Vec::new();
        let body = ChainBody { base, rules };
        self.chains.insert(name.clone(), Arc::new(body));
        Ok(())
    }

    fn unused(&self, key: &ObjectKey) -> Result<(), Errno> {
        if self.uses.contains_key(key) {
            Err(Errno::Busy)
        } else {
            Ok(())
        }
    }

    fn used(&mut self, target: Option<ObjectKey>) {
        if let Some(key) = target {
            *self.uses.entry(key).or_default() += 1;
        }
    }

    fn released(&mut self, target: Option<ObjectKey>) {
        if let Some(key) = target
            && let Some(count) = self.uses.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                self.uses.remove(&key);
            }
        }
    }

    fn flush_chain(&mut self, name: &ChainName) -> Result<(), Errno> {
        let body = self.chains.get_mut(name).ok_or(Errno::NoEntry)?;
        let rules = std::mem::take(&mut Arc::make_mut(body).rules);
        for expr in rules.iter().flat_map(|rule| &rule.exprs) {
            self.released(expr.target());
        }
        Ok(())
    }

    fn flush_set(&mut self, name: &SetName) -> Result<(), Errno> {
        let body = self.sets.get_mut(name).ok_or(Errno::NoEntry)?;
        let elements = std::mem::take(&mut Arc::make_mut(body).elements);
        for verdict in elements.into_values() {
            self.released(target(verdict.as_ref()));
        }
        Ok(())
    }

    fn delete_elements(&mut self, name: &SetName, elements: &[Element]) -> Result<(), Errno> {
        for element in elements {
            let body = self.sets.get_mut(name).ok_or(Errno::NoEntry)?;
            let old = Arc::make_mut(body).elements.remove(&element.key);
            let verdict = old.ok_or(Errno::NoEntry)?;
            self.released(target(verdict.as_ref()));
        }
        Ok(())
    }

    /// Checks that a jump can lead to a chain.
    fn jump(&self, verdict: Option<&Verdict>) -> Result<(), Errno> {
        let Some(name) = verdict.and_then(Verdict::chain) else {
            return Ok(());
        };
        let chain = self.chains.get(name).ok_or(Errno::NoEntry)?;
        if chain.base.is_some() {
            return Err(Errno::NotSupported);
        }
        Ok(())
    }

    fn add_rule(&mut self, name: &ChainName, rule: &Arc<Rule>) -> Result<(), Errno> {
        if !self.chains.contains_key(name) {
            return Err(Errno::NoEntry);
        }
        for expr in &rule.exprs {
            if let Expr::Verdict(verdict) = expr {
                self.jump(Some(verdict))?;
            }
            if let Expr::CountIn(counter) = expr
                && !self.counters.contains(counter)
            {
                return Err(Errno::NoEntry);
            }
            if let Some(ObjectKey::Set(set)) = expr.target() {
                let body = self.sets.get(&set).ok_or(Errno::NoEntry)?;
                if lookup_fault(expr, &body.spec).is_some() {
                    return Err(Errno::Invalid);
                }
            }
        }
        for expr in &rule.exprs {
            self.used(expr.target());
        }
        let body = self.chains.get_mut(name).ok_or(Errno::NoEntry)?;
        Arc::make_mut(body).rules.push(rule.clone());
        Ok(())
    }

    fn add_elements(&mut self, spec: &SetSpec, elements: &[Element]) -> Result<(), Errno> {
        let name = &spec.name;
        if !self.sets.contains_key(name) {
            return Err(Errno::NoEntry);
        }
        for element in elements {
            self.jump(element.verdict.as_ref())?;
            let body = self.sets.get_mut(name).ok_or(Errno::NoEntry)?;
            if *body.spec != *spec || fault(spec, element).is_some() {
                return Err(Errno::Invalid);
            }
            let body = Arc::make_mut(body);
            if let Some(there) = body.elements.get(&element.key) {
                if *there == element.verdict {
                    continue;
                }
                return Err(Errno::Exists);
            }
            // Where nothing overlaps yet, only the neighbours can.
            let before = body.elements.range(..&element.key).next_back();
            let after = body.elements.range(&element.key..).next();
            let mut near = before.into_iter().chain(after);
            if spec.interval && near.any(|(key, _)| overlap(key, &element.key)) {
                return Err(Errno::Exists);
            }
            let room = spec.size.and_then(|size| usize::try_from(size).ok());
            if room.is_some_and(|room| body.elements.len() >= room) {
                return Err(Errno::TooManyElements);
            }
            body.elements
                .insert(element.key.clone(), element.verdict.clone());
            self.used(target(element.verdict.as_ref()));
        }
        Ok(())
    }

    /// Walks from each base chain as far as its packets can come.
    fn validate(&self) -> Result<(), Errno> {
        let mut seen = BTreeMap::new();
        self.chains
            .iter()
            .filter(|(_, body)| body.base.is_some())
            .try_for_each(|(name, _)| self.walk(name, 0, &mut seen))?;
        let bound: Vec<(&ChainName, &ChainBody)> = self
            .chains
            .iter()
            .filter(|(_, body)| body.rules.iter().flat_map(|rule| &rule.exprs).any(is_bound))
            .map(|(name, body)| (name, &**body))
            .collect();
        if bound.is_empty() {
            return Ok(());
        }
        for (name, body) in &self.chains {
            let Some(base) = body.base else { continue };
            let reached = self.reached(name);
            let out_of_place = |(name, body): &(&ChainName, &ChainBody)| {
                reached.contains(name) && misplaced(&body.rules, base).is_some()
            };
            if bound.iter().any(out_of_place) {
                return Err(Errno::NotSupported);
            }
        }
        Ok(())
    }

    /// Returns a chain and all those that its packets can come to.
    fn reached<'a>(&'a self, from: &'a ChainName) -> BTreeSet<&'a ChainName> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            if reached.insert(name)
                && let Some(body) = self.chains.get(name)
            {
                open.extend(self.next(body));
            }
        }
        reached
    }

    /// Returns the chains that rules and the maps they ask lead to.
    fn next<'a>(&'a self, body: &'a ChainBody) -> Vec<&'a ChainName> {
        let mut next = Vec::new();
        for expr in body.rules.iter().flat_map(|rule| &rule.exprs) {
            if let Expr::Verdict(verdict) = expr {
                next.extend(verdict.chain());
            }
            if let Expr::VerdictMap(look_up) = expr
                && let Some(body) = self.sets.get(&look_up.set)
            {
                next.extend(body.elements.values().flatten().filter_map(Verdict::chain));
            }
        }
        next
    }

    /// Walks a chain that is reached through `level` others; no deeper than the kernel's limit.
    fn walk<'a>(
        &'a self,
        name: &'a ChainName,
        level: usize,
        seen: &mut BTreeMap<&'a ChainName, usize>,
    ) -> Result<(), Errno> {
        if level == STACK {
            return Err(Errno::TooManyLinks);
        }
        if seen.get(name).is_some_and(|deepest| *deepest >= level) {
            return Ok(());
        }
        seen.insert(name, level);
        let Some(body) = self.chains.get(name) else {
            return Ok(());
        };
        self.next(body)
            .into_iter()
            .try_for_each(|next| self.walk(next, level + 1, seen))
    }
}

fn target(verdict: Option<&Verdict>) -> Option<ObjectKey> {
    verdict
        .and_then(Verdict::chain)
        .cloned()
        .map(ObjectKey::Chain)
}
