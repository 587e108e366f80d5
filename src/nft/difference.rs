//! The difference between what is wanted and what is there, as plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::{Content, Known, SetDelta};
use super::elements::{self, Difference, Digest, Verdicts};
use super::graph::{Presence, targets_of};
use super::{
    BaseChain, Catalog, CatalogDelta, Chain, ChainName, ChainRecord, CounterName, Element,
    ElementKey, Extent, Fingerprint, ObjectChange, ObjectChanges, ObjectKey, Operation, PlanError,
    Plans, SetName, SetSpec, Verdict, check, prepare,
};

/// Makes the plans that lead from what the kernel holds to what is wanted, and what the catalogue has to take
/// over once both are committed.
///
/// The plans are checked: what they lead to has no missing reference, no loop, and no path too deep. The cost
/// depends on the changes, not on the size of the catalogue, as long as the extent is [`Extent::Part`].
///
/// # Errors
/// Fails where the kernel would refuse the outcome, and where the catalogue does not know enough.
pub fn plan(
    catalog: &Catalog,
    changes: &ObjectChanges,
    extent: Extent,
) -> Result<(Plans, CatalogDelta), PlanError> {
    let nothing = Catalog::default();
    let current = match (catalog.undecodable, extent) {
        (true, Extent::Part) => return Err(PlanError::Undecodable),
        (true, Extent::Whole) => &nothing,
        (false, Extent::Part) if !catalog.references_known() => {
            return Err(PlanError::ReferencesUnknown);
        }
        (false, Extent::Part | Extent::Whole) => catalog,
    };
    let mut draft = Draft::new(current);
    for (key, change) in changes {
        draft.change(key, change)?;
    }
    if extent == Extent::Whole {
        for key in current.keys() {
            if !changes.contains_key(&key) {
                draft.remove(&key);
            }
        }
    }
    draft.make_room(changes)?;
    check::outcome(current, changes, &mut draft.delta)?;
    Ok(draft.finish(catalog.undecodable))
}

/// What is to happen, by kind of step.
struct Draft<'a> {
    current: &'a Catalog,
    delta: CatalogDelta,
    new_counters: Vec<CounterName>,
    new_sets: Vec<Arc<SetSpec>>,
    replaced_sets: BTreeMap<SetName, Arc<SetSpec>>,
    new_chains: BTreeMap<ChainName, Option<BaseChain>>,
    replaced_chains: BTreeMap<ChainName, Option<BaseChain>>,
    emptied_sets: Vec<SetName>,
    removed_elements: Vec<(Arc<SetSpec>, Vec<Element>)>,
    emptied_chains: BTreeSet<ChainName>,
    /// Chains that get rules, and the place of the first that they get.
    written: BTreeMap<ChainName, (Arc<Chain>, usize)>,
    added_elements: Vec<(Arc<SetSpec>, Arc<Vec<Element>>)>,
    removed_chains: Vec<ChainName>,
    removed_sets: Vec<SetName>,
    removed_counters: Vec<CounterName>,
}

impl<'a> Draft<'a> {
    fn new(current: &'a Catalog) -> Self {
        Self {
            current,
            delta: CatalogDelta::default(),
            new_counters: Vec::new(),
            new_sets: Vec::new(),
            replaced_sets: BTreeMap::new(),
            new_chains: BTreeMap::new(),
            replaced_chains: BTreeMap::new(),
            emptied_sets: Vec::new(),
            removed_elements: Vec::new(),
            emptied_chains: BTreeSet::new(),
            written: BTreeMap::new(),
            added_elements: Vec::new(),
            removed_chains: Vec::new(),
            removed_sets: Vec::new(),
            removed_counters: Vec::new(),
        }
    }

    fn change(&mut self, key: &ObjectKey, change: &ObjectChange) -> Result<(), PlanError> {
        match (key, change) {
            (ObjectKey::Chain(name), ObjectChange::Chain(chain)) if *name == chain.name => {
                self.chain(key, chain);
                Ok(())
            }
            (ObjectKey::Set(name), ObjectChange::Set { spec, elements }) if *name == spec.name => {
                self.whole_set(key, spec, elements)
            }
            (ObjectKey::Set(name), ObjectChange::Elements { added, removed }) => {
                self.elements(key, name, added, removed)
            }
            (ObjectKey::Counter(name), ObjectChange::Counter) => {
                self.counter(key, name);
                Ok(())
            }
            (
                ObjectKey::Chain(_) | ObjectKey::Set(_) | ObjectKey::Counter(_),
                ObjectChange::Absent,
            ) => {
                self.remove(key);
                Ok(())
            }
            (
                ObjectKey::Chain(_) | ObjectKey::Set(_) | ObjectKey::Counter(_),
                ObjectChange::Chain(_)
                | ObjectChange::Set { .. }
                | ObjectChange::Elements { .. }
                | ObjectChange::Counter,
            ) => Err(PlanError::Misfiled { key: key.clone() }),
        }
    }

    fn chain(&mut self, key: &ObjectKey, chain: &Arc<Chain>) {
        let name = &chain.name;
        let rules: Vec<_> = chain
            .rules
            .iter()
            .map(|rule| Some(Fingerprint::of(rule)))
            .collect();
        let targets = targets_of(&chain.rules);
        let overlay = &mut self.delta.overlay;
        overlay.set_targets(&self.current.committed.graph, key, &targets);
        let first = match self.current.chains.get(name) {
            None => {
                self.new_chains.insert(name.clone(), chain.base);
                0
            }
            Some(record) if record.alien || record.base != chain.base => {
                self.replaced_chains.insert(name.clone(), chain.base);
                0
            }
            Some(record) if record.rules == rules => return,
            Some(record) if rules.starts_with(&record.rules) => record.rules.len(),
            Some(_) => {
                self.emptied_chains.insert(name.clone());
                0
            }
        };
        self.written.insert(name.clone(), (chain.clone(), first));
        let base = chain.base;
        let alien = false;
        let record = Some(ChainRecord { base, alien, rules });
        self.delta.chains.insert(name.clone(), record);
    }

    /// Makes a counter where there is none; one that is there keeps what it has counted.
    fn counter(&mut self, key: &ObjectKey, name: &CounterName) {
        let graph = &self.current.committed.graph;
        self.delta.overlay.set_targets(graph, key, &BTreeSet::new());
        if !self.current.counters.contains(name) {
            self.new_counters.push(name.clone());
            let counters = &mut self.delta.counters;
            counters.insert(name.clone(), Presence::Present);
        }
    }

    fn whole_set(
        &mut self,
        key: &ObjectKey,
        spec: &Arc<SetSpec>,
        elements: &Arc<Vec<Element>>,
    ) -> Result<(), PlanError> {
        elements::check_all(spec, elements)?;
        let name = &spec.name;
        let known = if spec.verdicts {
            Known::Verdicts(Verdicts::of(elements))
        } else {
            Known::Digest(Digest::of(elements))
        };
        let current = self.current;
        let mut added = elements.clone();
        match current.sets.get(name) {
            None => self.new_sets.push(spec.clone()),
            Some(record) if record.spec != *spec => {
                self.replaced_sets.insert(name.clone(), spec.clone());
            }
            Some(_) => {
                let found = match current.content(name) {
                    Content::Committed(same) if *same == known => Some(Difference::default()),
                    Content::Committed(Known::Verdicts(verdicts)) => {
                        Some(elements::difference(&verdicts.elements(), elements))
                    }
                    Content::Read(read) => Some(elements::difference(read, elements)),
                    Content::Committed(Known::Digest(_)) | Content::Unknown => None,
                };
                if let Some(difference) = found {
                    self.remove_elements(spec, difference.removed);
                    added = Arc::new(difference.added);
                } else {
                    self.emptied_sets.push(name.clone());
                }
            }
        }
        if !added.is_empty() {
            self.added_elements.push((spec.clone(), added));
        }
        let targets = match &known {
            Known::Digest(_) => BTreeSet::new(),
            Known::Verdicts(verdicts) => {
                verdicts.targets().cloned().map(ObjectKey::Chain).collect()
            }
        };
        let overlay = &mut self.delta.overlay;
        overlay.set_targets(&current.committed.graph, key, &targets);
        let spec = spec.clone();
        let change = SetDelta::Whole { spec, known };
        self.delta.sets.insert(name.clone(), change);
        Ok(())
    }

    fn remove_elements(&mut self, spec: &Arc<SetSpec>, removed: Vec<Element>) {
        if !removed.is_empty() {
            self.removed_elements.push((spec.clone(), removed));
        }
    }

    fn elements(
        &mut self,
        key: &ObjectKey,
        name: &SetName,
        added: &[Element],
        removed: &[Element],
    ) -> Result<(), PlanError> {
        let current = self.current;
        let Some(record) = current.sets.get(name) else {
            return Err(PlanError::NoSet { set: name.clone() });
        };
        let spec = &record.spec;
        elements::check_each(spec, added)?;
        elements::check_each(spec, removed)?;
        match current.content(name) {
            Content::Committed(Known::Verdicts(verdicts)) => {
                self.verdicts(key, spec, verdicts, added, removed);
                return Ok(());
            }
            Content::Read(read) => {
                let mut whole: BTreeMap<&ElementKey, &Element> =
                    read.iter().map(|element| (&element.key, element)).collect();
                for element in removed {
                    whole.remove(&element.key);
                }
                whole.extend(added.iter().map(|element| (&element.key, element)));
                let whole = whole.into_values().cloned().collect();
                return self.whole_set(key, spec, &Arc::new(whole));
            }
            Content::Unknown if spec.verdicts => {
                let map = name.clone();
                return Err(PlanError::ElementsUnknown { map });
            }
            Content::Unknown => {
                self.delta.sets.insert(name.clone(), SetDelta::Unknown);
            }
            Content::Committed(Known::Digest(digest)) => {
                let mut digest = *digest;
                for element in removed {
                    digest.remove(element);
                }
                for element in added {
                    digest.add(element);
                }
                let change = SetDelta::Digest(digest);
                self.delta.sets.insert(name.clone(), change);
            }
        }
        let graph = &current.committed.graph;
        self.delta.overlay.set_targets(graph, key, &BTreeSet::new());
        self.remove_elements(spec, removed.to_vec());
        if !added.is_empty() {
            self.added_elements
                .push((spec.clone(), Arc::new(added.to_vec())));
        }
        Ok(())
    }

    /// Changes some elements of a map whose elements are known.
    fn verdicts(
        &mut self,
        key: &ObjectKey,
        spec: &Arc<SetSpec>,
        verdicts: &Verdicts,
        added: &[Element],
        removed: &[Element],
    ) {
        let mut changes: BTreeMap<ElementKey, Option<Verdict>> = BTreeMap::new();
        changes.extend(removed.iter().map(|element| (element.key.clone(), None)));
        changes.extend(
            added
                .iter()
                .map(|element| (element.key.clone(), element.verdict.clone())),
        );
        let mut difference = Difference::default();
        // How many more elements, and how many fewer, lead to each chain.
        let mut counts: BTreeMap<&ChainName, (usize, usize)> = BTreeMap::new();
        for (element, verdict) in &changes {
            let old = verdicts.get(element);
            if old == verdict.as_ref() {
                continue;
            }
            let with = |verdict: &Verdict| Element {
                key: element.clone(),
                verdict: Some(verdict.clone()),
            };
            difference.removed.extend(old.map(with));
            difference.added.extend(verdict.as_ref().map(with));
            if let Some(chain) = verdict.as_ref().and_then(Verdict::chain) {
                counts.entry(chain).or_default().0 += 1;
            }
            if let Some(chain) = old.and_then(Verdict::chain) {
                counts.entry(chain).or_default().1 += 1;
            }
        }
        for (chain, (more, fewer)) in counts {
            let before = verdicts.count(chain);
            let after = (before + more).saturating_sub(fewer);
            let target = ObjectKey::Chain(chain.clone());
            if before == 0 && after > 0 {
                self.delta.overlay.add_edge(key, &target);
            } else if before > 0 && after == 0 {
                self.delta.overlay.remove_edge(key, &target);
            }
        }
        self.remove_elements(spec, difference.removed);
        if !difference.added.is_empty() {
            self.added_elements
                .push((spec.clone(), Arc::new(difference.added)));
        }
        let change = SetDelta::Verdicts(changes);
        self.delta.sets.insert(spec.name.clone(), change);
    }

    fn remove(&mut self, key: &ObjectKey) {
        let current = self.current;
        match key {
            ObjectKey::Chain(name) => {
                if !current.chains.contains_key(name) {
                    return;
                }
                self.removed_chains.push(name.clone());
                self.delta.chains.insert(name.clone(), None);
            }
            ObjectKey::Set(name) => {
                let Some(record) = current.sets.get(name) else {
                    return;
                };
                // A chain cannot go while an element leads to it, not even one of a map that goes.
                if record.spec.verdicts {
                    self.emptied_sets.push(name.clone());
                }
                self.removed_sets.push(name.clone());
                self.delta.sets.insert(name.clone(), SetDelta::Absent);
            }
            ObjectKey::Counter(name) => {
                if !current.counters.contains(name) {
                    return;
                }
                self.removed_counters.push(name.clone());
                let counters = &mut self.delta.counters;
                counters.insert(name.clone(), Presence::Absent);
            }
        }
        let graph = &current.committed.graph;
        self.delta.overlay.remove(graph, key);
    }

    /// Returns the objects that go and are made anew.
    fn replaced(&self) -> BTreeSet<ObjectKey> {
        let sets = self.replaced_sets.keys().cloned().map(ObjectKey::Set);
        let chains = self.replaced_chains.keys().cloned().map(ObjectKey::Chain);
        sets.chain(chains).collect()
    }

    /// Returns the chains to which elements of maps that are there lead, where a packet that met the chain without its
    /// rules would not be treated as it was before.
    fn entries(&self) -> BTreeSet<ObjectKey> {
        let is_there = |set: &SetSpec| {
            self.current.sets.contains_key(&set.name) && !self.replaced_sets.contains_key(&set.name)
        };
        let mut entries = BTreeSet::new();
        for (set, elements) in &self.added_elements {
            if !set.verdicts || !is_there(set) {
                continue;
            }
            let emptied = self.emptied_sets.contains(&set.name);
            let removed: BTreeSet<&ElementKey> = self
                .removed_elements
                .iter()
                .filter(|(of, _)| of.name == set.name)
                .flat_map(|(_, elements)| elements.iter().map(|element| &element.key))
                .collect();
            for element in elements.iter() {
                let chain = match &element.verdict {
                    // From an empty chain the packet comes back as if the key had not been found, which it was not.
                    Some(Verdict::Jump(_)) if !emptied && !removed.contains(&element.key) => None,
                    Some(verdict) => verdict.chain(),
                    None => None,
                };
                entries.extend(chain.cloned().map(ObjectKey::Chain));
            }
        }
        entries
    }

    /// Returns the new interval sets, where there may be packets that would miss their elements.
    fn intervals(&self) -> BTreeSet<ObjectKey> {
        if !self.current.table {
            return BTreeSet::new();
        }
        let filled = self.added_elements.iter().map(|(set, _)| set);
        filled
            .filter(|set| set.interval && !self.current.sets.contains_key(&set.name))
            .map(|set| ObjectKey::Set(set.name.clone()))
            .collect()
    }

    /// Empties the chains whose rules stand in the way of what goes or is made anew.
    fn make_room(&mut self, changes: &ObjectChanges) -> Result<(), PlanError> {
        let replaced = self.replaced();
        let graph = &self.current.committed.graph;
        for name in &self.removed_chains {
            let key = ObjectKey::Chain(name.clone());
            let gone = |target: &ObjectKey| match target {
                ObjectKey::Chain(chain) => self.delta.chains.get(chain) == Some(&None),
                ObjectKey::Set(_) | ObjectKey::Counter(_) => false,
            };
            let mut targets = graph.targets(&key);
            if !graph.knows(&key) || targets.any(|key| gone(key) || replaced.contains(key)) {
                self.emptied_chains.insert(name.clone());
            }
        }
        if replaced.is_empty() {
            return Ok(());
        }
        let named =
            |user: &ObjectKey| changes.contains_key(user) || self.delta.overlay.is_absent(user);
        for object in &replaced {
            if let Some(user) = graph.users(object).find(|user| !named(user)) {
                let (object, user) = (object.clone(), user.clone());
                return Err(PlanError::Held { object, user });
            }
        }
        for change in changes.values() {
            let ObjectChange::Chain(chain) = change else {
                continue;
            };
            let name = &chain.name;
            let Some(record) = self.current.chains.get(name) else {
                continue;
            };
            // A chain that is not written as a whole still has rules that it keeps, and these are the
            // only rules of the kernel that are known where its references are not.
            let kept = match self.written.get(name) {
                Some((_, first)) => *first,
                None => record.rules.len(),
            };
            let rewritten = self.emptied_chains.contains(name);
            let holds = || {
                let rules = chain.rules.get(..kept).unwrap_or_default();
                targets_of(rules).iter().any(|key| replaced.contains(key))
            };
            if self.replaced_chains.contains_key(name) || (!rewritten && holds()) {
                self.emptied_chains.insert(name.clone());
                self.written.insert(name.clone(), (chain.clone(), 0));
            }
        }
        Ok(())
    }

    /// Puts the steps in order: what is used is made before its users and goes after them.
    fn finish(self, anew: bool) -> (Plans, CatalogDelta) {
        let overlay = &self.delta.overlay;
        let mut early = self.entries();
        early.extend(self.intervals());
        let prepared = prepare::objects(self.current, overlay, early, &self.replaced());
        let mut steps: Vec<Operation> = Vec::new();
        let new_counters = self.new_counters.into_iter();
        steps.extend(new_counters.map(Operation::AddCounter));
        steps.extend(self.new_sets.into_iter().map(Operation::AddSet));
        let add_chain = |(name, base)| Operation::AddChain { name, base };
        steps.extend(self.new_chains.into_iter().map(add_chain));
        steps.extend(self.emptied_sets.into_iter().map(Operation::FlushSet));
        for (set, elements) in self.removed_elements {
            let elements = Arc::new(elements);
            steps.push(Operation::DeleteElements { set, elements });
        }
        steps.extend(self.emptied_chains.into_iter().map(Operation::FlushChain));
        let replaced_sets = self.replaced_sets;
        steps.extend(replaced_sets.keys().cloned().map(Operation::DeleteSet));
        let replaced_chains = self.replaced_chains;
        steps.extend(replaced_chains.keys().cloned().map(Operation::DeleteChain));
        steps.extend(replaced_sets.into_values().map(Operation::AddSet));
        steps.extend(replaced_chains.into_iter().map(add_chain));
        for (name, (chain, first)) in self.written {
            // A chain that stays as it is and is only written anew to make room has none.
            let record = self.delta.chains.get(&name).and_then(Option::as_ref);
            let known = |place: usize| record?.rules.get(place).copied().flatten();
            for (place, rule) in chain.rules.iter().enumerate().skip(first) {
                steps.push(Operation::AddRule {
                    chain: name.clone(),
                    rule: rule.clone(),
                    fingerprint: known(place).unwrap_or_else(|| Fingerprint::of(rule)),
                });
            }
        }
        for (set, elements) in self.added_elements {
            steps.push(Operation::AddElements { set, elements });
        }
        let removed_chains = self.removed_chains.into_iter();
        steps.extend(removed_chains.map(Operation::DeleteChain));
        steps.extend(self.removed_sets.into_iter().map(Operation::DeleteSet));
        let removed_counters = self.removed_counters.into_iter();
        steps.extend(removed_counters.map(Operation::DeleteCounter));

        let (first, second): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| {
            !prepared.is_empty() && step.object().is_some_and(|key| prepared.contains(&key))
        });
        let mut plans = Plans::default();
        if !first.is_empty() {
            plans.prepare.operations.push(Operation::AddTable);
            plans.prepare.operations.extend(first);
        }
        if anew {
            plans.enforce.operations.push(Operation::DeleteTable);
        }
        if anew || !second.is_empty() {
            plans.enforce.operations.push(Operation::AddTable);
        }
        plans.enforce.operations.extend(second);
        let mut delta = self.delta;
        delta.anew = anew;
        delta.table = !plans.is_empty();
        (plans, delta)
    }
}
