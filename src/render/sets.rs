//! Sets that rules refer to: which exist, in what form, and who uses them.
//!
//! A set of members is a hash table of a declared size, or an interval set where any member is a prefix. Its
//! form is part of its name, so that a change of form is a new set, and every rule that refers to it is
//! written anew by the ordinary comparison. A hash table is given room for twice its members, grows when it
//! is full, and shrinks when it is nearly empty.
//!
//! The kernel looks elements up in the state of that moment, but takes a packet's rules from the state in
//! which the packet entered the base chain. So where rules change, changed sets are not changed in place,
//! which would show new members to old rules: they are replaced by sets of another name, which only the new
//! rules know. Two names take turns. Size and turn alone depend on history; a start takes over the names
//! that it finds on equal content.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::names;
use crate::calc::{Changes, Member, SetChange, SetId, SetMembers, SetSize};
use crate::net::{Family, PortRange};
use crate::nft::{
    ChainName, Element, ElementKey, KeyType, ObjectChange, ObjectChanges, ObjectKey, SetName,
    SetRecord, SetSpec,
};

/// The room of the smallest hash table.
const SMALLEST: u32 = 32;
/// A hash table shrinks when its members fill less than one part in so many.
const SPARSE: u32 = 16;

/// A set that a rule refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetRef {
    /// The members of one family that calc keeps.
    Members(SetId, Family),
    /// Prefixes that stand in rules.
    Nets(Family, Arc<[IpNet]>),
    /// Ports that stand in rules.
    Ports(Arc<[PortRange]>),
}

/// What a set is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// An interval set.
    Intervals,
    /// A hash table with room for so many.
    Hash(u32),
}

impl Storage {
    /// Chooses the storage for a number of members, keeping the present one while it serves.
    fn choose(present: Option<Self>, size: SetSize) -> Self {
        if size.prefixes > 0 {
            return Self::Intervals;
        }
        let members = u32::try_from(size.members).unwrap_or(u32::MAX / 2);
        if let Some(Self::Hash(room)) = present {
            let sparse = room > SMALLEST && members < room / SPARSE;
            if members <= room && !sparse {
                return Self::Hash(room);
            }
        }
        let room = members.saturating_mul(2).max(SMALLEST);
        Self::Hash(room.checked_next_power_of_two().unwrap_or(u32::MAX))
    }
}

/// Which of its two names a set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Second,
}

impl Turn {
    /// Returns the other one.
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The form of a set, which is part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    storage: Storage,
    turn: Turn,
}

/// What the second name of a set ends with.
const SECOND: &str = "-b";

impl Form {
    /// Returns the part of a name that tells this form from others.
    fn suffix(self) -> String {
        let storage = match self.storage {
            Storage::Intervals => "nets".to_owned(),
            Storage::Hash(room) => room.to_string(),
        };
        match self.turn {
            Turn::First => storage,
            Turn::Second => storage + SECOND,
        }
    }

    /// Reads the part of a name that [`Form::suffix`] wrote.
    fn parse(suffix: &str) -> Option<Self> {
        let (storage, turn) = match suffix.strip_suffix(SECOND) {
            Some(storage) => (storage, Turn::Second),
            None => (suffix, Turn::First),
        };
        let storage = match storage {
            "nets" => Storage::Intervals,
            room => Storage::Hash(room.parse().ok()?),
        };
        Some(Self { storage, turn })
    }
}

/// Which sets exist, and which chains refer to them.
#[derive(Debug, Default)]
pub(super) struct SetBook {
    found: BTreeMap<SetName, SetRecord>,
    present: BTreeMap<SetRef, Form>,
    chosen: BTreeMap<SetRef, Form>,
    deltas: BTreeMap<SetRef, (Vec<Element>, Vec<Element>)>,
    touched: BTreeSet<SetRef>,
    users: BTreeMap<SetRef, BTreeSet<ChainName>>,
    references: BTreeMap<ChainName, BTreeSet<SetRef>>,
}

impl SetBook {
    /// Remembers the sets that a start has found, until the first rendering.
    pub(super) fn take_over(&mut self, found: &BTreeMap<SetName, SetRecord>) {
        self.found.clone_from(found);
    }

    /// Takes in how members changed, and returns the chains that must be written anew because a set that
    /// they refer to is replaced; `rules_change` where rules change besides.
    pub(super) fn note(
        &mut self,
        changes: &Changes,
        rules_change: bool,
        members: &dyn SetMembers,
    ) -> BTreeSet<ChainName> {
        let mut replace = rules_change;
        for (id, change) in &changes.sets {
            for family in Family::BOTH {
                let set = SetRef::Members(id.clone(), family);
                let Some(present) = self.present.get(&set).copied() else {
                    continue;
                };
                match change {
                    SetChange::Gone => continue,
                    SetChange::Whole => replace = true,
                    SetChange::Members { added, removed } => {
                        let delta = (elements(added, family), elements(removed, family));
                        if delta.0.is_empty() && delta.1.is_empty() {
                            continue;
                        }
                        self.deltas.insert(set.clone(), delta);
                    }
                }
                let storage = Storage::choose(Some(present.storage), members.size(id, family));
                replace |= storage != present.storage;
                self.chosen.insert(set.clone(), Form { storage, ..present });
                self.touched.insert(set);
            }
        }
        if !replace {
            self.chosen.clear();
            return BTreeSet::new();
        }
        let mut dirty = BTreeSet::new();
        for (set, form) in &mut self.chosen {
            let present = self.present.get(set);
            if present.is_some_and(|present| present.storage == form.storage) {
                form.turn = form.turn.other();
            }
            dirty.extend(self.users.get(set).into_iter().flatten().cloned());
        }
        dirty
    }

    /// Returns the name of a set that a rule is about to refer to.
    pub(super) fn name(&mut self, set: &SetRef, members: &dyn SetMembers) -> SetName {
        let form = match (self.chosen.get(set), self.present.get(set)) {
            (Some(form), _) | (None, Some(form)) => *form,
            (None, None) => {
                let form = self.first_form(set, members);
                self.chosen.insert(set.clone(), form);
                form
            }
        };
        name_of(set, form)
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
        self.users.iter().filter_map(|(set, users)| {
            let form = self.present.get(set)?;
            Some((name_of(set, *form), users))
        })
    }

    /// Writes the changes of all sets touched since the last time.
    pub(super) fn write(&mut self, members: &dyn SetMembers, out: &mut ObjectChanges) {
        for set in std::mem::take(&mut self.touched) {
            let used = self.users.contains_key(&set);
            let present = self.present.get(&set).copied();
            match (present, used) {
                (None, false) => {}
                (Some(form), false) => {
                    out.insert(ObjectKey::Set(name_of(&set, form)), ObjectChange::Absent);
                    self.present.remove(&set);
                }
                (None, true) => {
                    let form = self
                        .chosen
                        .get(&set)
                        .copied()
                        .unwrap_or_else(|| self.first_form(&set, members));
                    write_whole(&set, form, members, out);
                    self.present.insert(set, form);
                }
                (Some(old), true) => {
                    let form = self.chosen.get(&set).copied().unwrap_or(old);
                    if form != old {
                        out.insert(ObjectKey::Set(name_of(&set, old)), ObjectChange::Absent);
                        write_whole(&set, form, members, out);
                        self.present.insert(set, form);
                    } else if let Some((added, removed)) = self.deltas.remove(&set)
                        && !(added.is_empty() && removed.is_empty())
                    {
                        let change = ObjectChange::Elements { added, removed };
                        out.insert(ObjectKey::Set(name_of(&set, form)), change);
                    }
                }
            }
        }
        self.chosen.clear();
        self.deltas.clear();
        self.found.clear();
    }

    /// Chooses the form of a set that does not exist yet: that of one that was found with this content, else
    /// one that was not found.
    fn first_form(&self, set: &SetRef, members: &dyn SetMembers) -> Form {
        let SetRef::Members(id, family) = set else {
            return Form {
                storage: fixed_storage(set),
                turn: Turn::First,
            };
        };
        let size = members.size(id, *family);
        let stem = names::members_stem(id, *family);
        let found: Vec<(Form, &SetRecord)> = self
            .found
            .range(names::set(&stem)..)
            .take_while(|(name, _)| name.as_str().starts_with(&stem))
            .filter_map(|(name, record)| Some((Form::parse(&name.as_str()[stem.len()..])?, record)))
            .collect();
        if !found.is_empty() {
            let content = elements(&members.members(id, *family), *family);
            for (form, record) in &found {
                let serves = Storage::choose(Some(form.storage), size) == form.storage;
                if serves && record.elements.as_deref() == Some(&content) {
                    return *form;
                }
            }
        }
        let storage = Storage::choose(None, size);
        let first = Form {
            storage,
            turn: Turn::First,
        };
        let is_taken = found.iter().any(|(form, _)| *form == first);
        Form {
            storage,
            turn: if is_taken { Turn::Second } else { Turn::First },
        }
    }
}

/// Chooses the storage of a set that stands in rules; it never changes, so it needs no room to grow.
fn fixed_storage(set: &SetRef) -> Storage {
    let (members, ranges) = match set {
        SetRef::Members(..) => return Storage::Intervals,
        SetRef::Nets(family, nets) => (
            nets.len(),
            nets.iter().any(|net| net.prefix_len() < family.bits()),
        ),
        SetRef::Ports(ports) => (ports.len(), ports.iter().any(|range| !range.is_single())),
    };
    if ranges {
        Storage::Intervals
    } else {
        Storage::Hash(u32::try_from(members).unwrap_or(u32::MAX))
    }
}

/// Names a set in a form.
fn name_of(set: &SetRef, form: Form) -> SetName {
    match set {
        SetRef::Members(id, family) => {
            names::set(&(names::members_stem(id, *family) + &form.suffix()))
        }
        SetRef::Nets(family, nets) => names::nets(*family, &joined(nets)),
        SetRef::Ports(ports) => names::ports(&joined(ports)),
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

/// Turns the members of one family into elements.
fn elements(members: &[Member], family: Family) -> Vec<Element> {
    let mut elements: Vec<Element> = members
        .iter()
        .filter(|member| member.family() == family)
        .map(|member| {
            let key = match *member {
                Member::Net(net) => ElementKey::Net(net),
                Member::Port(address, protocol, port) => {
                    ElementKey::AddressPort(address, protocol, port)
                }
            };
            Element { key, verdict: None }
        })
        .collect();
    elements.sort_unstable();
    elements
}

/// Writes a set with all its elements.
fn write_whole(set: &SetRef, form: Form, members: &dyn SetMembers, out: &mut ObjectChanges) {
    let (key, elements) = match set {
        SetRef::Members(id, family) => {
            let key = match id {
                SetId::Addresses(_) => vec![KeyType::Address(*family)],
                SetId::NamedPort { .. } => {
                    vec![KeyType::Address(*family), KeyType::Protocol, KeyType::Port]
                }
            };
            (key, elements(&members.members(id, *family), *family))
        }
        SetRef::Nets(family, nets) => {
            let mut elements: Vec<Element> = nets
                .iter()
                .map(|net| Element {
                    key: ElementKey::Net(*net),
                    verdict: None,
                })
                .collect();
            elements.sort_unstable();
            (vec![KeyType::Address(*family)], elements)
        }
        SetRef::Ports(ports) => {
            let mut elements: Vec<Element> = ports
                .iter()
                .map(|range| Element {
                    key: ElementKey::Ports(*range),
                    verdict: None,
                })
                .collect();
            elements.sort_unstable();
            (vec![KeyType::Port], elements)
        }
    };
    let (interval, size) = match form.storage {
        Storage::Intervals => (true, None),
        Storage::Hash(room) => (false, Some(room)),
    };
    let name = name_of(set, form);
    let spec = SetSpec {
        name: name.clone(),
        key,
        interval,
        verdicts: false,
        size,
    };
    let change = ObjectChange::Set {
        spec: Arc::new(spec),
        elements: Arc::new(elements),
    };
    out.insert(ObjectKey::Set(name), change);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_is_kept_while_it_serves() {
        let of = |members, prefixes| SetSize { members, prefixes };
        let kept = |room, size| Storage::choose(Some(Storage::Hash(room)), size);
        assert_eq!(Storage::choose(None, of(0, 0)), Storage::Hash(32));
        assert_eq!(Storage::choose(None, of(100, 0)), Storage::Hash(256));
        assert_eq!(kept(256, of(256, 0)), Storage::Hash(256));
        assert_eq!(kept(256, of(257, 0)), Storage::Hash(1024));
        assert_eq!(kept(256, of(16, 0)), Storage::Hash(256));
        assert_eq!(kept(256, of(15, 0)), Storage::Hash(32));
        assert_eq!(kept(32, of(0, 0)), Storage::Hash(32));
        assert_eq!(kept(256, of(10, 1)), Storage::Intervals);
        assert_eq!(
            Storage::choose(Some(Storage::Intervals), of(10, 0)),
            Storage::Hash(32)
        );
    }

    #[test]
    fn a_form_is_read_back_from_a_name() {
        for storage in [Storage::Intervals, Storage::Hash(32), Storage::Hash(1024)] {
            for turn in [Turn::First, Turn::Second] {
                let form = Form { storage, turn };
                assert_eq!(Form::parse(&form.suffix()), Some(form));
            }
        }
        assert_eq!(Form::parse("other"), None);
        assert_eq!(Form::parse(""), None);
    }
}
