//! Which selector selects which labelled item, kept as both change.
//!
//! A change re-evaluates only selectors that mention a label that changed, and a new selector asks only the
//! items that have what it requires, where it requires something that is indexed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::labels::{Effective, changed_labels_of_profile, handed_down_by, labelled};
use super::lookup::{ByLabel, ByText};
use super::required::Required;
use super::slab::Slab;
use crate::model::{Profile, ProfileId, Resource, ResourceKey};
use crate::selector::{Requirement, Selector};

/// The number of a labelled item.
pub(super) type ItemId = u32;

/// The number of a selector.
pub(super) type SelectorId = u32;

/// A selector began or ceased to select an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// The selector.
    pub(super) selector: SelectorId,
    /// The item.
    pub(super) item: ItemId,
    /// Which of the two.
    pub(super) change: MatchChange,
}

/// Whether a match began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchChange {
    /// The selector selects the item from now on.
    Began,
    /// The selector selects the item no more.
    Ended,
}

#[derive(Debug)]
struct Item {
    key: ResourceKey,
    resource: Arc<Resource>,
    /// The selectors that select it, in ascending order.
    matched: Vec<SelectorId>,
}

#[derive(Debug)]
struct Entry {
    selector: Selector,
    requirement: Option<Requirement>,
    users: usize,
    matched: BTreeSet<ItemId>,
}

#[derive(Debug)]
struct Parent {
    id: ProfileId,
    /// The profile, where it exists.
    resource: Option<Arc<Resource>>,
    children: BTreeSet<ItemId>,
}

impl Parent {
    fn profile(&self) -> Option<&Profile> {
        self.resource.as_deref().and_then(Resource::as_profile)
    }
}

/// Which labels of an item may have changed.
enum Changed<'a> {
    All,
    Labels(BTreeSet<&'a str>),
}

/// Selectors and labelled items, and which selects which.
#[derive(Debug)]
pub(super) struct LabelIndex {
    items: Slab<Item>,
    item_ids: HashMap<ResourceKey, ItemId>,
    /// Items by the labels they have of their own.
    items_by_label: ByLabel,
    parents: Slab<Parent>,
    parent_ids: HashMap<ProfileId, u32>,
    /// Profiles by the labels that they hand down.
    parents_by_label: ByLabel,
    selectors: Slab<Entry>,
    selector_ids: HashMap<Selector, SelectorId>,
    /// Selectors by the requirement that promised to be met most rarely when they came.
    required: Required,
    /// Selectors by each label that they mention.
    mentioning: ByText,
}

impl LabelIndex {
    /// Makes an empty index.
    pub(super) fn new() -> Self {
        Self {
            items: Slab::new(),
            item_ids: HashMap::new(),
            items_by_label: ByLabel::default(),
            parents: Slab::new(),
            parent_ids: HashMap::new(),
            parents_by_label: ByLabel::default(),
            selectors: Slab::new(),
            selector_ids: HashMap::new(),
            required: Required::default(),
            mentioning: ByText::default(),
        }
    }

    /// Returns the number of an item.
    pub(super) fn item_id(&self, key: &ResourceKey) -> Option<ItemId> {
        self.item_ids.get(key).copied()
    }

    /// Returns the key of an item.
    pub(super) fn key(&self, item: ItemId) -> Option<&ResourceKey> {
        self.items.get(item).map(|item| &item.key)
    }

    /// Returns what an item is.
    pub(super) fn resource(&self, item: ItemId) -> Option<&Arc<Resource>> {
        self.items.get(item).map(|item| &item.resource)
    }

    /// Returns every item.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&ResourceKey, &Arc<Resource>)> {
        self.items
            .iter()
            .map(|(_, item)| (&item.key, &item.resource))
    }

    /// Returns the selectors that select an item, in ascending order.
    pub(super) fn selectors_of(&self, item: ItemId) -> &[SelectorId] {
        self.items.get(item).map_or(&[], |item| &item.matched)
    }

    /// Returns the items that a selector selects.
    pub(super) fn items_of(&self, selector: SelectorId) -> impl Iterator<Item = ItemId> + '_ {
        self.selectors
            .get(selector)
            .into_iter()
            .flat_map(|entry| entry.matched.iter().copied())
    }

    /// Counts one more user of a selector; a new one is matched against the items.
    pub(super) fn acquire(&mut self, selector: &Selector) -> SelectorId {
        if let Some(id) = self.selector_ids.get(selector) {
            if let Some(entry) = self.selectors.get_mut(*id) {
                entry.users += 1;
            }
            return *id;
        }
        // Where nothing is known of the items yet, a requirement of few other selectors tells them apart.
        let requirement = selector
            .requirements()
            .into_iter()
            .min_by_key(|found| (self.count_candidates(found), self.required.count(found)));
        let matched: BTreeSet<ItemId> = self
            .candidates(requirement.as_ref())
            .into_iter()
            .filter(|item| self.evaluate(selector, *item))
            .collect();
        let id = self.selectors.insert(Entry {
            selector: selector.clone(),
            requirement: None,
            users: 1,
            matched: BTreeSet::new(),
        });
        self.selector_ids.insert(selector.clone(), id);
        for item in &matched {
            if let Some(item) = self.items.get_mut(*item)
                && let Err(at) = item.matched.binary_search(&id)
            {
                item.matched.insert(at, id);
            }
        }
        for label in selector.labels() {
            self.mentioning.insert(label, id);
        }
        self.required.insert(requirement.as_ref(), id);
        if let Some(entry) = self.selectors.get_mut(id) {
            entry.matched = matched;
            entry.requirement = requirement;
        }
        id
    }

    /// Counts one user of a selector less; one without users is forgotten.
    pub(super) fn release(&mut self, id: SelectorId) {
        let Some(entry) = self.selectors.get_mut(id) else {
            return;
        };
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let Some(entry) = self.selectors.remove(id) else {
            return;
        };
        self.selector_ids.remove(&entry.selector);
        for item in &entry.matched {
            if let Some(item) = self.items.get_mut(*item)
                && let Ok(at) = item.matched.binary_search(&id)
            {
                item.matched.remove(at);
            }
        }
        self.required.remove(entry.requirement.as_ref(), id);
        for label in entry.selector.labels() {
            self.mentioning.remove(label, id);
        }
    }

    /// Stores what a profile hands down, `None` where it does not exist, and returns how matches changed.
    pub(super) fn set_profile(
        &mut self,
        id: &ProfileId,
        resource: Option<&Arc<Resource>>,
    ) -> Vec<Match> {
        let mut matches = Vec::new();
        let number = self.parent_number(id);
        let Some(parent) = self.parents.get_mut(number) else {
            return matches;
        };
        let children: Vec<ItemId> = parent.children.iter().copied().collect();
        let old_resource = std::mem::replace(&mut parent.resource, resource.cloned());
        let old = old_resource.as_deref().and_then(Resource::as_profile);
        let new = resource.and_then(|resource| resource.as_profile());
        for (label, value) in old.into_iter().flat_map(handed_down_by) {
            self.parents_by_label.remove(label, value, number);
        }
        for (label, value) in new.into_iter().flat_map(handed_down_by) {
            self.parents_by_label.insert(label, value, number);
        }
        let changed = changed_labels_of_profile(old, new);
        if !changed.is_empty() {
            let changed = Changed::Labels(changed);
            for child in children {
                self.re_evaluate(child, &changed, &mut matches);
            }
        }
        self.forget_empty_parent(number);
        matches
    }

    /// Stores an item, new or changed, and returns how matches changed.
    ///
    /// A resource that carries no labels at all, by its kind, is not an item and is not stored.
    pub(super) fn set_item(&mut self, key: &ResourceKey, resource: &Arc<Resource>) -> Vec<Match> {
        let mut matches = Vec::new();
        let Some((labels, profiles)) = labelled(resource) else {
            return matches;
        };
        let Some(id) = self.item_id(key) else {
            let id = self.items.insert(Item {
                key: key.clone(),
                resource: Arc::clone(resource),
                matched: Vec::new(),
            });
            self.item_ids.insert(key.clone(), id);
            for (label, value) in labels {
                self.items_by_label.insert(label, value, id);
            }
            self.adopt(id, profiles);
            self.re_evaluate(id, &Changed::All, &mut matches);
            return matches;
        };
        let Some(item) = self.items.get_mut(id) else {
            return matches;
        };
        let old = std::mem::replace(&mut item.resource, Arc::clone(resource));
        let Some((old_labels, old_profiles)) = labelled(&old) else {
            return matches;
        };
        let mut changed = BTreeSet::new();
        for (label, value) in old_labels {
            if labels.get(label) != Some(value) {
                self.items_by_label.remove(label, value, id);
                changed.insert(label.as_str());
            }
        }
        for (label, value) in labels {
            if old_labels.get(label) != Some(value) {
                self.items_by_label.insert(label, value, id);
                changed.insert(label.as_str());
            }
        }
        let mut handed_down = Vec::new();
        if old_profiles != profiles {
            for profile in old_profiles.iter().chain(profiles) {
                handed_down.extend(
                    self.parent(profile)
                        .and_then(|parent| parent.resource.clone()),
                );
            }
            self.disown(id, old_profiles);
            self.adopt(id, profiles);
        }
        for profile in handed_down
            .iter()
            .filter_map(|resource| resource.as_profile())
        {
            changed.extend(handed_down_by(profile).map(|(label, _)| label));
        }
        if !changed.is_empty() {
            self.re_evaluate(id, &Changed::Labels(changed), &mut matches);
        }
        matches
    }

    /// Forgets an item and returns the selectors that selected it, and what it was.
    pub(super) fn remove_item(
        &mut self,
        key: &ResourceKey,
    ) -> Option<(Vec<SelectorId>, Arc<Resource>)> {
        let id = self.item_ids.remove(key)?;
        let item = self.items.remove(id)?;
        for selector in &item.matched {
            if let Some(entry) = self.selectors.get_mut(*selector) {
                entry.matched.remove(&id);
            }
        }
        if let Some((labels, profiles)) = labelled(&item.resource) {
            for (label, value) in labels {
                self.items_by_label.remove(label, value, id);
            }
            self.disown(id, profiles);
        }
        Some((item.matched, item.resource))
    }

    fn parent(&self, id: &ProfileId) -> Option<&Parent> {
        self.parents.get(*self.parent_ids.get(id)?)
    }

    fn parent_number(&mut self, id: &ProfileId) -> u32 {
        if let Some(number) = self.parent_ids.get(id) {
            return *number;
        }
        let number = self.parents.insert(Parent {
            id: id.clone(),
            resource: None,
            children: BTreeSet::new(),
        });
        self.parent_ids.insert(id.clone(), number);
        number
    }

    fn adopt(&mut self, item: ItemId, profiles: &[ProfileId]) {
        for profile in profiles {
            let number = self.parent_number(profile);
            if let Some(parent) = self.parents.get_mut(number) {
                parent.children.insert(item);
            }
        }
    }

    fn disown(&mut self, item: ItemId, profiles: &[ProfileId]) {
        for profile in profiles {
            let Some(number) = self.parent_ids.get(profile).copied() else {
                continue;
            };
            if let Some(parent) = self.parents.get_mut(number) {
                parent.children.remove(&item);
            }
            self.forget_empty_parent(number);
        }
    }

    fn forget_empty_parent(&mut self, number: u32) {
        let empty = |parent: &&Parent| parent.resource.is_none() && parent.children.is_empty();
        if let Some(parent) = self.parents.get(number).filter(empty) {
            self.parent_ids.remove(&parent.id);
            self.parents.remove(number);
        }
    }

    fn effective(&self, item: ItemId) -> Option<Effective<'_>> {
        let (own, profiles) = labelled(&self.items.get(item)?.resource)?;
        let parents = profiles
            .iter()
            .filter_map(|id| self.parent(id)?.profile())
            .collect();
        Some(Effective { own, parents })
    }

    fn evaluate(&self, selector: &Selector, item: ItemId) -> bool {
        self.effective(item)
            .is_some_and(|labels| selector.matches(&labels))
    }

    /// Returns the items that may meet a requirement.
    fn candidates(&self, requirement: Option<&Requirement>) -> BTreeSet<ItemId> {
        let mut found = BTreeSet::new();
        match requirement {
            Some(Requirement::Equals { label, value }) => {
                self.collect_with_value(label, value, &mut found);
            }
            Some(Requirement::OneOf { label, values }) => {
                for value in values {
                    self.collect_with_value(label, value, &mut found);
                }
            }
            Some(Requirement::Has { label }) => {
                found.extend(self.items_by_label.with_label(label));
                for parent in self.parents_by_label.with_label(label) {
                    self.collect_children(parent, &mut found);
                }
            }
            None => found.extend(self.items.iter().map(|(id, _)| id)),
        }
        found
    }

    /// Returns how many items may meet a requirement; one that inherits may count several times.
    fn count_candidates(&self, requirement: &Requirement) -> usize {
        let children = |parent| {
            let parent = self.parents.get(parent);
            parent.map_or(0, |parent| parent.children.len())
        };
        let with_value = |label: &str, value: &str| {
            let parents = self
                .parents_by_label
                .get(label, value)
                .into_iter()
                .flatten();
            let own = self
                .items_by_label
                .get(label, value)
                .map_or(0, BTreeSet::len);
            own + parents.copied().map(children).sum::<usize>()
        };
        match requirement {
            Requirement::Equals { label, value } => with_value(label, value),
            Requirement::OneOf { label, values } => {
                values.iter().map(|value| with_value(label, value)).sum()
            }
            Requirement::Has { label } => {
                let inherited = self.parents_by_label.with_label(label).map(children);
                self.items_by_label.with_label(label).count() + inherited.sum::<usize>()
            }
        }
    }

    fn collect_with_value(&self, label: &str, value: &str, found: &mut BTreeSet<ItemId>) {
        found.extend(self.items_by_label.get(label, value).into_iter().flatten());
        let parents = self.parents_by_label.get(label, value);
        for parent in parents.into_iter().flatten() {
            self.collect_children(*parent, found);
        }
    }

    fn collect_children(&self, parent: u32, found: &mut BTreeSet<ItemId>) {
        if let Some(parent) = self.parents.get(parent) {
            found.extend(&parent.children);
        }
    }

    /// Evaluates the selectors that a change of labels may concern.
    fn re_evaluate(&mut self, item: ItemId, changed: &Changed<'_>, found: &mut Vec<Match>) {
        let Some(labels) = self.effective(item) else {
            return;
        };
        let matched = self.selectors_of(item);
        let mut now = Vec::new();
        let mut asked: BTreeSet<SelectorId> = BTreeSet::new();
        match changed {
            Changed::All => asked.extend(self.satisfied(&labels).flatten()),
            Changed::Labels(changed) => {
                let mentioning = || {
                    changed
                        .iter()
                        .filter_map(|label| self.mentioning.get(label))
                };
                let many = mentioning().map(BTreeSet::len).sum::<usize>();
                let few = self.satisfied(&labels).map(BTreeSet::len).sum::<usize>() + matched.len();
                if many <= few {
                    asked.extend(mentioning().flatten());
                } else {
                    let concerned = |id: &SelectorId| mentioning().any(|ids| ids.contains(id));
                    asked.extend(self.satisfied(&labels).flatten().copied().filter(concerned));
                    asked.extend(matched.iter().copied().filter(concerned));
                }
            }
        }
        for id in asked {
            let Some(entry) = self.selectors.get(id) else {
                continue;
            };
            let was = matched.binary_search(&id).is_ok();
            let change = match (was, entry.selector.matches(&labels)) {
                (false, true) => MatchChange::Began,
                (true, false) => MatchChange::Ended,
                (false, false) | (true, true) => continue,
            };
            now.push(Match {
                selector: id,
                item,
                change,
            });
        }
        for change in &now {
            self.note(*change);
        }
        found.append(&mut now);
    }

    /// Returns the selectors whose requirement some label of an item meets, in several sets.
    fn satisfied<'a>(
        &'a self,
        labels: &'a Effective<'a>,
    ) -> impl Iterator<Item = &'a BTreeSet<SelectorId>> {
        let own = labels.own.iter();
        let own = own.map(|(label, value)| (label.as_str(), value.as_str()));
        let parents = labels.parents.iter();
        let inherited = parents.flat_map(|parent| handed_down_by(parent));
        self.required.met_by(own.chain(inherited))
    }

    fn note(&mut self, found: Match) {
        if let Some(entry) = self.selectors.get_mut(found.selector) {
            match found.change {
                MatchChange::Began => entry.matched.insert(found.item),
                MatchChange::Ended => entry.matched.remove(&found.item),
            };
        }
        if let Some(item) = self.items.get_mut(found.item) {
            match (item.matched.binary_search(&found.selector), found.change) {
                (Err(at), MatchChange::Began) => item.matched.insert(at, found.selector),
                (Ok(at), MatchChange::Ended) => {
                    item.matched.remove(at);
                }
                (Ok(_), MatchChange::Began) | (Err(_), MatchChange::Ended) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, NetworkSet};

    fn item(name: &str, labels: &[(&str, &str)]) -> (ResourceKey, Arc<Resource>) {
        let labels = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        let set = NetworkSet {
            labels: labels.collect(),
            nets: Vec::new(),
            profile: None,
        };
        let key = ResourceKey::v3(Kind::GlobalNetworkSet, "", name);
        (key, Arc::new(Resource::NetworkSet(set)))
    }

    /// Without this, ten thousand selectors with `env == 'prod'` in them would each ask every item.
    #[test]
    fn a_selector_stands_under_the_requirement_that_fewest_meet() {
        let mut index = LabelIndex::new();
        for name in ["a", "b", "c"] {
            let (key, resource) = item(name, &[("env", "prod"), ("role", name)]);
            index.set_item(&key, &resource);
        }
        index.acquire(&Selector::parse("env == 'prod' && role == 'a'").unwrap());
        let rare = Requirement::Equals {
            label: "role".into(),
            value: "a".into(),
        };
        assert_eq!(index.required.count(&rare), 1);
    }

    #[test]
    fn without_items_a_selector_stands_where_few_others_do() {
        let mut index = LabelIndex::new();
        for role in ["a", "b", "c"] {
            index.acquire(&Selector::parse(&format!("env == 'prod' && role == '{role}'")).unwrap());
        }
        let common = Requirement::Equals {
            label: "env".into(),
            value: "prod".into(),
        };
        assert_eq!(index.required.count(&common), 1);
    }
}
