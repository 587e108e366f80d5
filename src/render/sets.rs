//! Sets that rules refer to: which exist, in what form, and who uses them.
//!
//! The form of a selector's set (see `forms`) is part of the names of its tables, so that a change of form is
//! another table, and every rule that refers to it is written anew by the ordinary comparison.
//!
//! The kernel looks elements up in the state of that moment, but takes a packet's rules from the state in
//! which the packet entered the base chain. So where rules change, changed tables are not changed in place,
//! which would show new members to old rules: they are replaced by tables of another name, which only the new
//! rules know. Two names take turns. So it is where a packet that is looked up in several tables of a set could
//! miss a member that moves between them. Form and turn alone depend on history; a start takes over the names
//! that it finds on equal content, and on any content where it turns out that no rule changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::forms::{Form, Part, Splitting, Storage, Table, Turn, may_miss, parse, suffix};
use super::names;
use crate::calc::{Changes, Member, SetChange, SetId, SetMembers};
use crate::net::{Family, PortRange, host_net};
use crate::nft::{
    Catalog, ChainName, Committed, Element, ElementKey, KeyType, ObjectChange, ObjectChanges,
    ObjectKey, SetName, SetRecord, SetSpec,
};

/// A set that a rule refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetRef {
    /// The members of one family that calc keeps.
    Members(Members),
    /// Values that stand in rules.
    Listed(Listed),
}

/// The members of one family that calc keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Members {
    pub(super) id: SetId,
    pub(super) family: Family,
}

/// Values that stand in rules; the set never changes, so that it needs no room to grow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listed {
    /// Prefixes.
    Nets(Family, Arc<[IpNet]>),
    /// Ports.
    Ports(Arc<[PortRange]>),
}

/// Elements of one table that came, and that went.
type Delta = (Vec<Element>, Vec<Element>);

/// How a set changes.
struct News {
    form: Form,
    /// The tables whose content changes.
    changed: BTreeSet<Part>,
    /// The elements that change, where each table keeps its name.
    deltas: BTreeMap<Part, Delta>,
    /// Whether the tables whose content changes must get other names.
    replace: bool,
}

/// Which of the sets that were found keep their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Those that hold what they are to hold. It shows no packet what its rules do not know.
    #[default]
    Equal,
    /// Those, too, that hold something else, and are changed in place. That must not be where any rule changes.
    Any,
}

/// Which sets exist, and which chains refer to them.
#[derive(Debug, Default)]
pub(super) struct SetBook {
    splitting: Splitting,
    keep: Keep,
    /// Whether a set that was found is kept though it holds something else.
    changes_found: bool,
    found: BTreeMap<SetName, SetRecord>,
    /// What those that were found held before another program had a hand in them.
    untouched: Arc<Committed>,
    listed: BTreeSet<Listed>,
    present: BTreeMap<Members, Form>,
    chosen: BTreeMap<Members, Form>,
    deltas: BTreeMap<Members, BTreeMap<Part, Delta>>,
    touched: BTreeSet<SetRef>,
    users: BTreeMap<SetRef, BTreeSet<ChainName>>,
    references: BTreeMap<ChainName, BTreeSet<SetRef>>,
}

impl SetBook {
    /// Sets when lengths of prefixes get hash tables of their own.
    pub(super) fn split(&mut self, splitting: Splitting) {
        self.splitting = splitting;
    }

    /// Remembers the sets that a start has found, until the first rendering.
    pub(super) fn take_over(&mut self, found: &Catalog, keep: Keep) {
        self.keep = keep;
        self.found.clone_from(&found.sets);
        self.untouched = Arc::clone(&found.untouched);
    }

    /// Tells whether a set that was found is kept though it holds something else.
    pub(super) fn changes_found(&self) -> bool {
        self.changes_found
    }

    /// Takes in how members changed, and returns the chains that must be written anew because a table that
    /// they refer to is replaced; `rules_change` where rules change besides.
    pub(super) fn note(
        &mut self,
        changes: &Changes,
        rules_change: bool,
        members: &dyn SetMembers,
    ) -> BTreeSet<ChainName> {
        let mut replace = rules_change;
        let mut news: Vec<(Members, News)> = Vec::new();
        for (id, change) in &changes.sets {
            for family in Family::BOTH {
                let id = id.clone();
                let set = Members { id, family };
                if let Some(changed) = self.news(&set, change, members) {
                    replace |= changed.replace;
                    news.push((set, changed));
                }
            }
        }
        let mut dirty = BTreeSet::new();
        for (set, mut news) in news {
            let user = SetRef::Members(set.clone());
            if replace {
                let present = self.present.get(&set);
                for part in news.changed {
                    let old = present.and_then(|form| form.get(&part));
                    if let Some(table) = news.form.get_mut(&part)
                        && old == Some(table)
                    {
                        table.turn = table.turn.other();
                    }
                }
                self.chosen.insert(set, news.form);
                dirty.extend(self.users.get(&user).into_iter().flatten().cloned());
            } else {
                self.deltas.insert(set, news.deltas);
            }
            self.touched.insert(user);
        }
        dirty
    }

    /// Works out how a set that is there changes, where it does.
    fn news(&self, set: &Members, change: &SetChange, members: &dyn SetMembers) -> Option<News> {
        let present = self.present.get(set)?;
        let none = (Vec::new(), Vec::new());
        let (added, removed) = match change {
            SetChange::Gone => return None,
            SetChange::Whole => none,
            SetChange::Members { added, removed } => {
                let (added, removed) =
                    (of_family(added, set.family), of_family(removed, set.family));
                if added.is_empty() && removed.is_empty() {
                    return None;
                }
                (added, removed)
            }
        };
        let size = members.size(&set.id, set.family);
        let storages = self.splitting.choose(Some(present), &size, set.family);
        let table = |(part, storage)| {
            let turn = present.get(&part).map_or(Turn::First, |table| table.turn);
            (part, Table { storage, turn })
        };
        let form: Form = storages.into_iter().map(table).collect();
        let mut deltas: BTreeMap<Part, Delta> = BTreeMap::new();
        for member in &added {
            let part = Part::of(&form, member, set.family);
            deltas
                .entry(part)
                .or_default()
                .0
                .push(element(part, member));
        }
        for member in &removed {
            let part = Part::of(&form, member, set.family);
            deltas
                .entry(part)
                .or_default()
                .1
                .push(element(part, member));
        }
        let whole = *change == SetChange::Whole;
        let mut changed: BTreeSet<Part> = if whole {
            form.keys().copied().collect()
        } else {
            deltas.keys().copied().collect()
        };
        if form.keys().ne(present.keys()) {
            changed.insert(Part::Rest);
        }
        let replace = whole || form != *present || may_miss(&form, set.family, &added, &removed);
        Some(News {
            form,
            changed,
            deltas,
            replace,
        })
    }

    /// Returns the names of the tables of a set that a rule is about to refer to.
    pub(super) fn tables(
        &mut self,
        set: &Members,
        members: &dyn SetMembers,
    ) -> Vec<(Part, SetName)> {
        let form = match (self.chosen.get(set), self.present.get(set)) {
            (Some(form), _) | (None, Some(form)) => form.clone(),
            (None, None) => {
                let form = self.first_form(set, members);
                self.chosen.insert(set.clone(), form.clone());
                form
            }
        };
        let tables = form.into_iter();
        tables
            .map(|(part, table)| (part, set.name(part, table)))
            .collect()
    }

    /// Records what a chain refers to now.
    pub(super) fn refer(&mut self, chain: &ChainName, sets: BTreeSet<SetRef>) {
        let before = self.references.remove(chain).unwrap_or_default();
        for set in before.difference(&sets) {
            if let Some(users) = self.users.get_mut(set) {
                users.remove(chain);
                if users.is_empty() {
                    self.users.remove(set);
                }
            }
            self.touched.insert(set.clone());
        }
        for set in sets.difference(&before) {
            self.users
                .entry(set.clone())
                .or_default()
                .insert(chain.clone());
            self.touched.insert(set.clone());
        }
        if !sets.is_empty() {
            self.references.insert(chain.clone(), sets);
        }
    }

    /// Returns every set as it was written last, with the chains that refer to it.
    pub(super) fn users(&self) -> impl Iterator<Item = (SetName, &BTreeSet<ChainName>)> {
        self.users.iter().flat_map(|(set, users)| {
            let names: Vec<SetName> = match set {
                SetRef::Listed(listed) => vec![listed.name()],
                SetRef::Members(set) => {
                    let tables = self.present.get(set).into_iter().flatten();
                    tables
                        .map(|(part, table)| set.name(*part, *table))
                        .collect()
                }
            };
            names.into_iter().map(move |name| (name, users))
        })
    }

    /// Writes the changes of all sets touched since the last time.
    pub(super) fn write(&mut self, members: &dyn SetMembers, out: &mut ObjectChanges) {
        for set in std::mem::take(&mut self.touched) {
            let used = self.users.contains_key(&set);
            match set {
                SetRef::Listed(listed) => self.write_listed(listed, used, out),
                SetRef::Members(set) => self.write_members(set, used, members, out),
            }
        }
        self.chosen.clear();
        self.deltas.clear();
        self.found.clear();
        self.untouched = Arc::default();
    }

    fn write_listed(&mut self, listed: Listed, used: bool, out: &mut ObjectChanges) {
        if !used {
            if self.listed.remove(&listed) {
                out.insert(ObjectKey::Set(listed.name()), ObjectChange::Absent);
            }
        } else if !self.listed.contains(&listed) {
            listed.write(out);
            self.listed.insert(listed);
        }
    }

    fn write_members(
        &mut self,
        set: Members,
        used: bool,
        members: &dyn SetMembers,
        out: &mut ObjectChanges,
    ) {
        let old = self.present.remove(&set).unwrap_or_default();
        let form = if !used {
            Form::new()
        } else if let Some(form) = self.chosen.remove(&set) {
            form
        } else if old.is_empty() {
            self.first_form(&set, members)
        } else {
            old.clone()
        };
        for (part, table) in &old {
            if form.get(part) != Some(table) {
                out.insert(
                    ObjectKey::Set(set.name(*part, *table)),
                    ObjectChange::Absent,
                );
            }
        }
        Self::write_tables(&set, &form, &old, members, out);
        for (part, (added, removed)) in self.deltas.remove(&set).unwrap_or_default() {
            if let Some(table) = form.get(&part) {
                let change = ObjectChange::Elements { added, removed };
                out.insert(ObjectKey::Set(set.name(part, *table)), change);
            }
        }
        if !form.is_empty() {
            self.present.insert(set, form);
        }
    }

    /// Writes the tables of a form that are not there yet, with all their elements.
    fn write_tables(
        set: &Members,
        form: &Form,
        old: &Form,
        members: &dyn SetMembers,
        out: &mut ObjectChanges,
    ) {
        let is_new = |(part, table): &(&Part, &Table)| old.get(part) != Some(table);
        let mut contents: BTreeMap<Part, Vec<Element>> = form
            .iter()
            .filter(is_new)
            .map(|(part, _)| (*part, Vec::new()))
            .collect();
        if contents.is_empty() {
            return;
        }
        let size = members.size(&set.id, set.family);
        for (part, elements) in &mut contents {
            elements.reserve_exact(part.count(form, &size));
        }
        for member in members.members(&set.id, set.family) {
            let part = Part::of(form, &member, set.family);
            if let Some(elements) = contents.get_mut(&part) {
                elements.push(element(part, &member));
            }
        }
        for (part, elements) in contents {
            if let Some(table) = form.get(&part) {
                write_whole(set.spec(part, *table), elements, out);
            }
        }
    }

    /// Chooses the form of a set that does not exist yet: of tables that were found those that serve, with this
    /// content or as [`Keep`] says, else ones that were not found.
    fn first_form(&mut self, set: &Members, members: &dyn SetMembers) -> Form {
        let stem = names::members_stem(&set.id, set.family);
        let found: Vec<(Part, Table, &SetRecord)> = self
            .found
            .range(names::set(&stem)..)
            .take_while(|(name, _)| name.as_str().starts_with(&stem))
            .filter_map(|(name, record)| {
                let (part, table) = parse(&name.as_str()[stem.len()..], set.family)?;
                Some((part, table, record))
            })
            .collect();
        let before: Form = found
            .iter()
            .map(|(part, table, _)| (*part, *table))
            .collect();
        let before = (!before.is_empty()).then_some(&before);
        let size = members.size(&set.id, set.family);
        let storages = self.splitting.choose(before, &size, set.family);
        let first = |(part, storage): (&Part, &Storage)| {
            let turn = Turn::First;
            (
                *part,
                Table {
                    storage: *storage,
                    turn,
                },
            )
        };
        let mut form: Form = storages.iter().map(first).collect();
        // A packet that is looked up in several tables could miss a member that moves between them.
        let any = self.keep == Keep::Any && form.len() == 1;
        let mut changes_found = false;
        for (part, storage) in &storages {
            let content = || {
                let members = members.members(&set.id, set.family);
                let in_part = members.filter(|member| Part::of(&form, member, set.family) == *part);
                in_part.map(|member| element(*part, &member))
            };
            let named = found
                .iter()
                .filter(|(of, table, _)| of == part && table.storage == *storage);
            let same = named.clone().find(|(_, _, record)| {
                let elements = record.elements.as_deref();
                elements.is_some_and(|elements| elements.iter().cloned().eq(content()))
                    || self.untouched.holds(&record.spec.name, content())
            });
            let mut other = named.clone().filter(|_| any);
            let turn = match same.or_else(|| {
                let other = other.find(|(_, _, record)| record.elements.is_some());
                changes_found |= other.is_some();
                other
            }) {
                Some((_, table, _)) => table.turn,
                None if named.clone().any(|(_, table, _)| table.turn == Turn::First) => {
                    Turn::Second
                }
                None => Turn::First,
            };
            form.insert(
                *part,
                Table {
                    storage: *storage,
                    turn,
                },
            );
        }
        self.changes_found |= changes_found;
        form
    }
}

impl Members {
    /// Names one table.
    fn name(&self, part: Part, table: Table) -> SetName {
        let stem = names::members_stem(&self.id, self.family);
        names::set(&(stem + &suffix(part, table, self.family)))
    }

    /// Describes one table.
    fn spec(&self, part: Part, table: Table) -> SetSpec {
        let mut key = vec![KeyType::Address(self.family)];
        match &self.id {
            SetId::Addresses(_) => {}
            SetId::NamedPort { .. } => key.extend([KeyType::Protocol, KeyType::Port]),
        }
        let (interval, size) = match table.storage {
            Storage::Intervals => (true, None),
            Storage::Hash(room) => (false, Some(room)),
        };
        SetSpec {
            name: self.name(part, table),
            key,
            interval,
            verdicts: false,
            size,
        }
    }
}

impl Listed {
    /// Names the set.
    pub(super) fn name(&self) -> SetName {
        match self {
            Self::Nets(family, nets) => names::nets(*family, &joined(nets)),
            Self::Ports(ports) => names::ports(&joined(ports)),
        }
    }

    /// Writes the set with its elements.
    fn write(&self, out: &mut ObjectChanges) {
        let (key, interval, mut elements): (KeyType, bool, Vec<Element>) = match self {
            Self::Nets(family, nets) => (
                KeyType::Address(*family),
                nets.iter().any(|net| net.prefix_len() < family.bits()),
                nets.iter()
                    .copied()
                    .map(ElementKey::Net)
                    .map(plain)
                    .collect(),
            ),
            Self::Ports(ports) => (
                KeyType::Port,
                ports.iter().any(|range| !range.is_single()),
                ports
                    .iter()
                    .copied()
                    .map(ElementKey::Ports)
                    .map(plain)
                    .collect(),
            ),
        };
        elements.sort_unstable();
        let room = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        let spec = SetSpec {
            name: self.name(),
            key: vec![key],
            interval,
            verdicts: false,
            size: (!interval).then_some(room),
        };
        write_whole(spec, elements, out);
    }
}

/// Joins values to one text, for hashing.
fn joined<T: ToString>(values: &[T]) -> String {
    values
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

/// Returns the members of a family, in their order.
fn of_family(members: &[Member], family: Family) -> Vec<Member> {
    let of_family = members.iter().filter(|member| member.family() == family);
    of_family.copied().collect()
}

/// Makes the element of a member in one of the tables.
fn element(within: Part, member: &Member) -> Element {
    plain(match (*member, within) {
        (Member::Net(net), Part::Rest) => ElementKey::Net(net),
        (Member::Net(net), Part::Length(_)) => ElementKey::Net(host_net(net.network())),
        (Member::Port(address, protocol, port), _) => {
            ElementKey::AddressPort(address, protocol, port)
        }
    })
}

/// Makes an element without a verdict.
fn plain(key: ElementKey) -> Element {
    Element { key, verdict: None }
}

/// Writes a table with all its elements.
fn write_whole(spec: SetSpec, elements: Vec<Element>, out: &mut ObjectChanges) {
    let name = spec.name.clone();
    let change = ObjectChange::Set {
        spec: Arc::new(spec),
        elements: Arc::new(elements),
    };
    out.insert(ObjectKey::Set(name), change);
}
