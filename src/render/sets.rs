//! Sets that rules refer to: which exist, in what form, and who uses them.
//!
//! A set of members is a hash table of a declared size, or an interval set where any member is a prefix. Its
//! form is part of its name, so that a change of form is a new set, and every rule that refers to it is
//! written anew by the ordinary comparison. A hash table is given room for twice its members, grows when it
//! is full, and shrinks when it is nearly empty: only this depends on history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::names;
use crate::calc::{Changes, Member, SetChange, SetId, SetMembers, SetSize};
use crate::net::{Family, PortRange};
use crate::nft::{
    ChainName, Element, ElementKey, KeyType, ObjectChange, ObjectChanges, ObjectKey, SetName,
    SetSpec,
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

/// The form of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// An interval set.
    Intervals,
    /// A hash table with room for so many.
    Hash(u32),
}

impl Form {
    /// Chooses the form for a number of members, keeping the present one while it serves.
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
        Self::Hash(
            members
                .saturating_mul(2)
                .max(SMALLEST)
                .checked_next_power_of_two()
                .unwrap_or(u32::MAX),
        )
    }

    /// Returns the part of a name that tells this form from others.
    fn suffix(self) -> String {
        match self {
            Self::Intervals => "nets".to_owned(),
            Self::Hash(room) => room.to_string(),
        }
    }
}

/// Which sets exist, and which chains refer to them.
#[derive(Debug, Default)]
pub(super) struct SetBook {
    present: BTreeMap<SetRef, Form>,
    chosen: BTreeMap<SetRef, Form>,
    deltas: BTreeMap<SetRef, (Vec<Element>, Vec<Element>)>,
    rewritten: BTreeSet<SetRef>,
    touched: BTreeSet<SetRef>,
    users: BTreeMap<SetRef, BTreeSet<ChainName>>,
    references: BTreeMap<ChainName, BTreeSet<SetRef>>,
}

impl SetBook {
    /// Takes in how members changed, and returns the chains that must be written anew because a set that
    /// they refer to changes its form.
    pub(super) fn note(
        &mut self,
        changes: &Changes,
        members: &dyn SetMembers,
    ) -> BTreeSet<ChainName> {
        let mut dirty = BTreeSet::new();
        for (id, change) in &changes.sets {
            for family in Family::BOTH {
                let set = SetRef::Members(id.clone(), family);
                let Some(present) = self.present.get(&set).copied() else {
                    continue;
                };
                let form = Form::choose(Some(present), members.size(id, family));
                if form != present && *change != SetChange::Gone {
                    dirty.extend(self.users.get(&set).into_iter().flatten().cloned());
                    self.chosen.insert(set.clone(), form);
                }
                match change {
                    SetChange::Whole => {
                        self.rewritten.insert(set.clone());
                    }
                    SetChange::Members { added, removed } => {
                        let delta = (elements(added, family), elements(removed, family));
                        self.deltas.insert(set.clone(), delta);
                    }
                    SetChange::Gone => {}
                }
                self.touched.insert(set);
            }
        }
        dirty
    }

    /// Returns the name of a set that a rule is about to refer to.
    pub(super) fn name(&mut self, set: &SetRef, members: &dyn SetMembers) -> SetName {
        let form = match (self.chosen.get(set), self.present.get(set)) {
            (Some(form), _) | (None, Some(form)) => *form,
            (None, None) => {
                let form = first_form(set, members);
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
                        .unwrap_or_else(|| first_form(&set, members));
                    write_whole(&set, form, members, out);
                    self.present.insert(set, form);
                }
                (Some(old), true) => {
                    let form = self.chosen.get(&set).copied().unwrap_or(old);
                    if form != old {
                        out.insert(ObjectKey::Set(name_of(&set, old)), ObjectChange::Absent);
                        write_whole(&set, form, members, out);
                        self.present.insert(set, form);
                    } else if self.rewritten.contains(&set) {
                        write_whole(&set, form, members, out);
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
        self.rewritten.clear();
    }
}

/// Chooses the form of a set that does not exist yet.
fn first_form(set: &SetRef, members: &dyn SetMembers) -> Form {
    let size = match set {
        SetRef::Members(id, family) => return Form::choose(None, members.size(id, *family)),
        SetRef::Nets(family, nets) => SetSize {
            members: nets.len(),
            prefixes: nets
                .iter()
                .filter(|net| net.prefix_len() < family.bits())
                .count(),
        },
        SetRef::Ports(ports) => SetSize {
            members: ports.len(),
            prefixes: ports.iter().filter(|range| !range.is_single()).count(),
        },
    };
    if size.prefixes > 0 {
        Form::Intervals
    } else {
        // A set of this kind never changes, so it needs no room to grow.
        Form::Hash(u32::try_from(size.members).unwrap_or(u32::MAX))
    }
}

/// Names a set in a form.
fn name_of(set: &SetRef, form: Form) -> SetName {
    match set {
        SetRef::Members(id, family) => names::members(id, *family, &form.suffix()),
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
    let (interval, size) = match form {
        Form::Intervals => (true, None),
        Form::Hash(room) => (false, Some(room)),
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
    fn a_form_is_kept_while_it_serves() {
        let of = |members, prefixes| SetSize { members, prefixes };
        assert_eq!(Form::choose(None, of(0, 0)), Form::Hash(32));
        assert_eq!(Form::choose(None, of(100, 0)), Form::Hash(256));
        assert_eq!(
            Form::choose(Some(Form::Hash(256)), of(256, 0)),
            Form::Hash(256)
        );
        assert_eq!(
            Form::choose(Some(Form::Hash(256)), of(257, 0)),
            Form::Hash(1024)
        );
        assert_eq!(
            Form::choose(Some(Form::Hash(256)), of(16, 0)),
            Form::Hash(256)
        );
        assert_eq!(
            Form::choose(Some(Form::Hash(256)), of(15, 0)),
            Form::Hash(32)
        );
        assert_eq!(Form::choose(Some(Form::Hash(32)), of(0, 0)), Form::Hash(32));
        assert_eq!(
            Form::choose(Some(Form::Hash(256)), of(10, 1)),
            Form::Intervals
        );
        assert_eq!(
            Form::choose(Some(Form::Intervals), of(10, 0)),
            Form::Hash(32)
        );
    }
}
