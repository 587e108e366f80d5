//! Which object refers to which, and how deep that goes.
//!
//! The graph belongs to the catalogue and is large; an [`Overlay`] holds what a plan changes in it and costs
//! no more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Expr, ObjectKey, PlanError, Rule, Verdict};

/// The most references that may follow one another from a chain to a chain. The kernel refuses the
/// seventeenth chain of a path: `NFT_JUMP_STACK_SIZE` of `net/netfilter/nf_tables.h`, where a base chain
/// counts as the first and goto and verdict maps count as jumps do. The layout of our own chains stays
/// below half of it.
pub(super) const DEEPEST: u8 = 15;

/// What is known of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    targets: BTreeSet<ObjectKey>,
    users: BTreeSet<ObjectKey>,
    /// At least the number of references that follow one another from here. It is never less, but may be
    /// more after something was removed.
    height: u8,
}

/// The references between all objects of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<ObjectKey, Node>,
}

impl Graph {
    /// Tells whether the references of an object are known.
    pub(super) fn knows(&self, key: &ObjectKey) -> bool {
        self.nodes.contains_key(key)
    }

    /// Returns the number of objects known.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns what an object refers to.
    pub(super) fn targets(&self, key: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.nodes
            .get(key)
            .into_iter()
            .flat_map(|node| &node.targets)
    }

    /// Returns what refers to an object.
    pub(super) fn users(&self, key: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.nodes.get(key).into_iter().flat_map(|node| &node.users)
    }

    /// Returns what each object refers to and what refers to it.
    #[cfg(test)]
    pub(super) fn edges(&self) -> Vec<(&ObjectKey, &BTreeSet<ObjectKey>, &BTreeSet<ObjectKey>)> {
        self.nodes
            .iter()
            .map(|(key, node)| (key, &node.targets, &node.users))
            .collect()
    }

    fn height(&self, key: &ObjectKey) -> u8 {
        self.nodes.get(key).map_or(0, |node| node.height)
    }

    /// Takes over what a plan changed.
    pub(super) fn apply(&mut self, overlay: Overlay) {
        for (key, presence) in &overlay.objects {
            match presence {
                Presence::Present => {
                    self.nodes.entry(key.clone()).or_default();
                }
                Presence::Absent => {
                    self.nodes.remove(key);
                }
            }
        }
        for (key, edges) in overlay.targets {
            if let Some(node) = self.nodes.get_mut(&key) {
                edges.apply(&mut node.targets);
            }
        }
        for (key, edges) in overlay.users {
            if let Some(node) = self.nodes.get_mut(&key) {
                edges.apply(&mut node.users);
            }
        }
        for (key, height) in overlay.heights {
            if let Some(node) = self.nodes.get_mut(&key) {
                node.height = height;
            }
        }
    }
}

/// References that come and go at one end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Edges {
    added: BTreeSet<ObjectKey>,
    removed: BTreeSet<ObjectKey>,
}

impl Edges {
    fn apply(self, keys: &mut BTreeSet<ObjectKey>) {
        for key in &self.removed {
            keys.remove(key);
        }
        keys.extend(self.added);
    }
}

/// Whether an object is there after a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is there.
    Present,
    /// It is not.
    Absent,
}

/// What a plan changes in the graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Overlay {
    objects: BTreeMap<ObjectKey, Presence>,
    targets: BTreeMap<ObjectKey, Edges>,
    users: BTreeMap<ObjectKey, Edges>,
    heights: BTreeMap<ObjectKey, u8>,
}

impl Overlay {
    /// Says that an object is there and refers to `targets` alone.
    pub(super) fn set_targets(
        &mut self,
        graph: &Graph,
        user: &ObjectKey,
        targets: &BTreeSet<ObjectKey>,
    ) {
        self.objects.insert(user.clone(), Presence::Present);
        for target in graph.targets(user) {
            if !targets.contains(target) {
                self.remove_edge(user, target);
            }
        }
        let known: BTreeSet<&ObjectKey> = graph.targets(user).collect();
        for target in targets {
            if !known.contains(target) {
                self.add_edge(user, target);
            }
        }
    }

    /// Says that an object is not there and refers to nothing.
    pub(super) fn remove(&mut self, graph: &Graph, user: &ObjectKey) {
        self.set_targets(graph, user, &BTreeSet::new());
        self.objects.insert(user.clone(), Presence::Absent);
    }

    /// Says that an object that did not refer to `target` does so.
    pub(super) fn add_edge(&mut self, user: &ObjectKey, target: &ObjectKey) {
        let targets = self.targets.entry(user.clone()).or_default();
        targets.added.insert(target.clone());
        let users = self.users.entry(target.clone()).or_default();
        users.added.insert(user.clone());
    }

    /// Says that an object that referred to `target` does so no more.
    pub(super) fn remove_edge(&mut self, user: &ObjectKey, target: &ObjectKey) {
        let targets = self.targets.entry(user.clone()).or_default();
        targets.removed.insert(target.clone());
        let users = self.users.entry(target.clone()).or_default();
        users.removed.insert(user.clone());
    }

    /// Returns the references that are new, as user and target.
    pub(super) fn added(&self) -> impl Iterator<Item = (&ObjectKey, &ObjectKey)> {
        self.targets
            .iter()
            .flat_map(|(user, edges)| edges.added.iter().map(move |target| (user, target)))
    }

    /// Returns the objects that go.
    pub(super) fn absent(&self) -> impl Iterator<Item = &ObjectKey> {
        self.objects
            .iter()
            .filter(|(_, presence)| **presence == Presence::Absent)
            .map(|(key, _)| key)
    }

    /// Tells whether an object goes.
    pub(super) fn is_absent(&self, key: &ObjectKey) -> bool {
        self.objects.get(key) == Some(&Presence::Absent)
    }

    /// Returns what refers to an object after the plan.
    pub(super) fn users<'a>(
        &'a self,
        graph: &'a Graph,
        key: &'a ObjectKey,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        merged(graph.users(key), self.users.get(key))
    }

    /// Returns what an object refers to after the plan.
    pub(super) fn targets<'a>(
        &'a self,
        graph: &'a Graph,
        key: &'a ObjectKey,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        merged(graph.targets(key), self.targets.get(key))
    }

    fn height(&self, graph: &Graph, key: &ObjectKey) -> u8 {
        match (self.heights.get(key), self.objects.get(key)) {
            (Some(height), _) => *height,
            (None, Some(Presence::Absent)) => 0,
            (None, Some(Presence::Present) | None) => graph.height(key),
        }
    }

    /// Checks that there is no loop and no path too deep after the plan.
    ///
    /// It raises the heights of what new references make higher, and of their users as far as that reaches.
    /// Only where a height passes the limit, which a loop always does, is the whole graph looked at.
    pub(super) fn check_depth(&mut self, graph: &Graph) -> Result<(), PlanError> {
        let mut raised: Vec<ObjectKey> = Vec::new();
        let edges: Vec<(ObjectKey, ObjectKey)> = self
            .added()
            .map(|(user, target)| (user.clone(), target.clone()))
            .collect();
        for (user, target) in &edges {
            let height = self.height(graph, target) + weight(target);
            if height > self.height(graph, user) {
                self.heights.insert(user.clone(), height);
                raised.push(user.clone());
            }
        }
        while let Some(key) = raised.pop() {
            let height = self.height(graph, &key);
            if height > DEEPEST {
                return self.check_whole(graph);
            }
            let height = height + weight(&key);
            let users: Vec<ObjectKey> = self.users(graph, &key).cloned().collect();
            for user in users {
                if height > self.height(graph, &user) {
                    self.heights.insert(user.clone(), height);
                    raised.push(user);
                }
            }
        }
        Ok(())
    }

    /// Computes every height anew.
    fn check_whole(&mut self, graph: &Graph) -> Result<(), PlanError> {
        let all: BTreeSet<ObjectKey> = graph
            .nodes
            .keys()
            .chain(self.objects.keys())
            .filter(|key| !self.is_absent(key))
            .cloned()
            .collect();
        let heights = heights(&all, |key| self.targets(graph, key).cloned().collect())?;
        self.heights = heights;
        Ok(())
    }
}

fn merged<'a>(
    known: impl Iterator<Item = &'a ObjectKey>,
    edges: Option<&'a Edges>,
) -> impl Iterator<Item = &'a ObjectKey> {
    known
        .filter(move |key| edges.is_none_or(|edges| !edges.removed.contains(*key)))
        .chain(edges.into_iter().flat_map(|edges| &edges.added))
}

/// Returns by how much a reference to `target` makes a path longer.
fn weight(target: &ObjectKey) -> u8 {
    match target {
        ObjectKey::Chain(_) => 1,
        ObjectKey::Set(_) | ObjectKey::Counter(_) => 0,
    }
}

/// One step of a walk that goes deep first: an object and those of its targets still to be walked.
struct Step {
    key: ObjectKey,
    targets: Vec<ObjectKey>,
}

/// Computes the heights of objects exactly.
fn heights(
    all: &BTreeSet<ObjectKey>,
    targets: impl Fn(&ObjectKey) -> Vec<ObjectKey>,
) -> Result<BTreeMap<ObjectKey, u8>, PlanError> {
    let mut done: BTreeMap<ObjectKey, u8> = BTreeMap::new();
    for start in all {
        if done.contains_key(start) {
            continue;
        }
        let mut open: BTreeSet<ObjectKey> = BTreeSet::from([start.clone()]);
        let mut walk = vec![Step {
            key: start.clone(),
            targets: targets(start),
        }];
        while let Some(step) = walk.last_mut() {
            let Some(next) = step.targets.pop() else {
                let height = targets(&step.key)
                    .iter()
                    .map(|target| done.get(target).copied().unwrap_or(0) + weight(target))
                    .max()
                    .unwrap_or(0);
                let key = step.key.clone();
                done.insert(key.clone(), height);
                if height > DEEPEST {
                    let path = deepest(&key, &done, &targets);
                    return Err(PlanError::TooDeep { path });
                }
                open.remove(&key);
                walk.pop();
                continue;
            };
            if open.contains(&next) {
                let round = walk.iter().skip_while(|step| step.key != next);
                let mut path: Vec<ObjectKey> = round.map(|step| step.key.clone()).collect();
                path.push(next);
                return Err(PlanError::Loop { path });
            }
            if !done.contains_key(&next) {
                open.insert(next.clone());
                walk.push(Step {
                    targets: targets(&next),
                    key: next,
                });
            }
        }
    }
    Ok(done)
}

/// Follows the highest target of each object, from `start` down.
fn deepest(
    start: &ObjectKey,
    heights: &BTreeMap<ObjectKey, u8>,
    targets: impl Fn(&ObjectKey) -> Vec<ObjectKey>,
) -> Vec<ObjectKey> {
    let height = |key: &ObjectKey| heights.get(key).copied().unwrap_or(0) + weight(key);
    let mut path = vec![start.clone()];
    let mut next = targets(start).into_iter().max_by_key(height);
    while let Some(key) = next {
        next = targets(&key).into_iter().max_by_key(height);
        path.push(key);
    }
    path
}

impl Verdict {
    /// Returns the chain that the verdict leads to.
    pub fn chain(&self) -> Option<&super::ChainName> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }
}

impl Expr {
    /// Returns the object that the expression refers to.
    pub fn target(&self) -> Option<ObjectKey> {
        match self {
            Self::InSet(_, look_up) | Self::VerdictMap(look_up) => {
                Some(ObjectKey::Set(look_up.set.clone()))
            }
            Self::Verdict(verdict) => verdict.chain().cloned().map(ObjectKey::Chain),
            Self::CountIn(counter) => Some(ObjectKey::Counter(counter.clone())),
            Self::NetworkFamily(_)
            | Self::Protocol(..)
            | Self::Interface(..)
            | Self::HasInputInterface
            | Self::NoReversePath
            | Self::Address(..)
            | Self::Port(..)
            | Self::IcmpType(..)
            | Self::IcmpCode(..)
            | Self::IcmpTypeRange(..)
            | Self::CtState(_)
            | Self::CtStatus(_)
            | Self::MarkBits(..)
            | Self::SetMark { .. }
            | Self::Counter
            | Self::Limit(_)
            | Self::Log { .. }
            | Self::NoTrack
            | Self::Dnat { .. }
            | Self::Snat { .. }
            | Self::Masquerade { .. }
            | Self::Reject(_) => None,
        }
    }
}

/// Returns the objects that rules refer to.
pub(super) fn targets_of(rules: &[Arc<Rule>]) -> BTreeSet<ObjectKey> {
    rules
        .iter()
        .flat_map(|rule| &rule.exprs)
        .filter_map(Expr::target)
        .collect()
}
