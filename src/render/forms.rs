//! The form of a selector's set: into which tables the kernel has its members, and what each is.
//!
//! Members that are all addresses stand in one hash table. A few prefixes make it one interval set. The kernel
//! builds an interval set anew at each commit that changes it, so where it would hold many members, the lengths
//! that have most of them get hash tables of their own, in which the first addresses of prefixes stand, and
//! a packet's address is looked up without its last bits. No two members overlap, so that at most one of the
//! tables has a packet's address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::calc::{Member, SetSize};
use crate::net::Family;

/// The room of the smallest hash table.
const SMALLEST: u32 = 32;
/// A hash table shrinks when its members fill less than one part in so many.
const SPARSE: u32 = 16;
/// What the second name of a table ends with.
const SECOND: &str = "-b";

/// When lengths of prefixes get hash tables of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splitting {
    /// The most members that an interval set has while another length can have a hash table.
    pub above: usize,
    /// How many members a hash table has at least to be kept when it need not be there.
    pub keep: usize,
    /// The most hash tables of one set; a rule that asks for the set becomes one rule more.
    pub tables: usize,
}

impl Default for Splitting {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Splitting {
    /// What pays: by `docs/adr/0018-a-hash-table-for-each-length-of-a-large-set.md`.
    pub const DEFAULT: Self = Self {
        above: 4_096,
        keep: 1_024,
        tables: 7,
    };

    /// Chooses the tables for the members of a set, keeping those that there are while they serve.
    pub(super) fn choose(
        self,
        present: Option<&Form>,
        size: &SetSize,
        family: Family,
    ) -> BTreeMap<Part, Storage> {
        let shorter = size.lengths.keys().any(|length| *length < family.bits());
        let hashed = if shorter {
            self.hashed(present, size)
        } else {
            BTreeSet::from([family.bits()])
        };
        let table = |length: u8| {
            let part = Part::Length(length);
            let present = present.and_then(|form| form.get(&part));
            let members = size.lengths.get(&length).copied().unwrap_or(0);
            (
                part,
                Storage::hash(present.map(|table| table.storage), members),
            )
        };
        // The rest stays when nothing is left for it, so that a length that comes and goes changes no rule.
        let rest = shorter.then_some((Part::Rest, Storage::Intervals));
        hashed.into_iter().map(table).chain(rest).collect()
    }

    /// Chooses the lengths with hash tables of their own: the largest, until few enough members are left.
    fn hashed(self, present: Option<&Form>, size: &SetSize) -> BTreeSet<u8> {
        let kept = |length: u8, members: usize| {
            let is_there = present.is_some_and(|form| form.contains_key(&Part::Length(length)));
            is_there && members >= self.keep
        };
        let mut lengths: Vec<(u8, usize)> = size
            .lengths
            .iter()
            .map(|(length, members)| (*length, *members))
            .collect();
        // Another length takes the place of one that is there only where it has twice as many.
        lengths.sort_by_key(|(length, members)| {
            let weight = if kept(*length, *members) {
                members * 2
            } else {
                *members
            };
            Reverse((weight, *length))
        });
        let mut left = size.members();
        let mut hashed = BTreeSet::new();
        for (length, members) in lengths {
            if hashed.len() < self.tables && (left > self.above || kept(length, members)) {
                hashed.insert(length);
                left -= members;
            }
        }
        hashed
    }
}

/// The members of a set that stand in one table; rules ask for them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Those of one length.
    Length(u8),
    /// All that have no table of their length.
    Rest,
}

impl Part {
    /// Returns the part in which a member stands.
    pub(super) fn of(form: &Form, member: &Member, family: Family) -> Self {
        let own = Self::Length(length(member, family));
        if form.contains_key(&own) {
            own
        } else {
            Self::Rest
        }
    }

    /// Counts the members that stand in the part.
    pub(super) fn count(self, form: &Form, size: &SetSize) -> usize {
        let counted = |length: u8| size.lengths.get(&length).copied().unwrap_or(0);
        match self {
            Self::Length(length) => counted(length),
            Self::Rest => {
                let lengths = size.lengths.keys();
                let own = |length: &&u8| !form.contains_key(&Self::Length(**length));
                lengths.filter(own).map(|length| counted(*length)).sum()
            }
        }
    }
}

/// Returns how many leading bits of an address a member gives.
fn length(member: &Member, family: Family) -> u8 {
    match member {
        Member::Net(net) => net.prefix_len(),
        Member::Port(..) => family.bits(),
    }
}

/// What a table is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// An interval set.
    Intervals,
    /// A hash table with room for so many.
    Hash(u32),
}

impl Storage {
    /// Chooses a hash table for a number of members, keeping the present one while it serves.
    fn hash(present: Option<Self>, members: usize) -> Self {
        let members = u32::try_from(members).unwrap_or(u32::MAX / 2);
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

/// Which of its two names a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    Second,
}

impl Turn {
    /// Returns the other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A table of a set, as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) storage: Storage,
    pub(super) turn: Turn,
}

/// The tables of a set; there is always one.
pub(super) type Form = BTreeMap<Part, Table>;

/// Returns the part of a table's name that tells it from other tables and forms of its set.
pub(super) fn suffix(part: Part, table: Table, family: Family) -> String {
    let form = match (part, table.storage) {
        (Part::Rest, _) | (Part::Length(_), Storage::Intervals) => "nets".to_owned(),
        (Part::Length(length), Storage::Hash(room)) if length == family.bits() => room.to_string(),
        (Part::Length(length), Storage::Hash(room)) => format!("{length}-{room}"),
    };
    match table.turn {
        Turn::First => form,
        Turn::Second => form + SECOND,
    }
}

/// Reads the part of a name that [`suffix`] wrote.
pub(super) fn parse(suffix: &str, family: Family) -> Option<(Part, Table)> {
    let (form, turn) = match suffix.strip_suffix(SECOND) {
        Some(form) => (form, Turn::Second),
        None => (suffix, Turn::First),
    };
    let hash = |length, room: &str| Some((Part::Length(length), Storage::Hash(room.parse().ok()?)));
    let (part, storage) = match form.split_once('-') {
        None if form == "nets" => (Part::Rest, Storage::Intervals),
        None => hash(family.bits(), form)?,
        Some((length, room)) => {
            let length = length.parse().ok().filter(|length| *length < family.bits());
            hash(length?, room)?
        }
    };
    Some((part, Table { storage, turn }))
}

/// Tells whether a packet that is looked up in one table after the other, while members change between the two,
/// could be found in none although it was a member before and is one after.
///
/// Tables are asked in order, so that one which loses a member before another gets it is safe. Into the interval
/// set nothing moves safely: the kernel shows its new content a little later than that of hash tables. Both lists
/// are in ascending order.
pub(super) fn may_miss(form: &Form, family: Family, added: &[Member], removed: &[Member]) -> bool {
    if form.len() < 2 {
        return false;
    }
    let mut first = 0;
    added.iter().any(|new| {
        let to = Part::of(form, new, family);
        let (start, end) = bounds(new);
        first += removed
            .iter()
            .skip(first)
            .take_while(|old| bounds(old).1 < start)
            .count();
        let met = removed
            .iter()
            .skip(first)
            .take_while(|old| bounds(old).0 <= end);
        met.map(|old| Part::of(form, old, family))
            .any(|from| from != to && (to < from || to == Part::Rest))
    })
}

/// Returns the first and the last address of a member.
fn bounds(member: &Member) -> (std::net::IpAddr, std::net::IpAddr) {
    match member {
        Member::Net(net) => (net.network(), net.broadcast()),
        Member::Port(address, _, _) => (*address, *address),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: Family = Family::V4;

    fn size(lengths: &[(u8, usize)]) -> SetSize {
        SetSize {
            lengths: lengths.iter().copied().collect(),
        }
    }

    fn form(storages: &BTreeMap<Part, Storage>) -> Form {
        let turn = Turn::First;
        let table = |(part, storage): (&Part, &Storage)| {
            let storage = *storage;
            (*part, Table { storage, turn })
        };
        storages.iter().map(table).collect()
    }

    fn chosen(present: Option<&Form>, lengths: &[(u8, usize)]) -> Form {
        form(&Splitting::DEFAULT.choose(present, &size(lengths), V4))
    }

    /// Says of a form what its tables' names say.
    fn shown(form: &Form) -> Vec<String> {
        form.iter()
            .map(|(part, table)| suffix(*part, *table, V4))
            .collect()
    }

    fn members(nets: &[&str]) -> Vec<Member> {
        nets.iter()
            .map(|net| Member::Net(net.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_hash_table_is_kept_while_it_serves() {
        let kept = |room, members| Storage::hash(Some(Storage::Hash(room)), members);
        assert_eq!(Storage::hash(None, 0), Storage::Hash(32));
        assert_eq!(Storage::hash(None, 100), Storage::Hash(256));
        assert_eq!(kept(256, 256), Storage::Hash(256));
        assert_eq!(kept(256, 257), Storage::Hash(1024));
        assert_eq!(kept(256, 16), Storage::Hash(256));
        assert_eq!(kept(256, 15), Storage::Hash(32));
        assert_eq!(kept(32, 0), Storage::Hash(32));
    }

    #[test]
    fn a_table_is_read_back_from_a_name() {
        for family in Family::BOTH {
            for turn in [Turn::First, Turn::Second] {
                let hash = |length| (Part::Length(length), Storage::Hash(1024));
                let tables = [
                    hash(0),
                    hash(24),
                    hash(family.bits()),
                    (Part::Rest, Storage::Intervals),
                ];
                for (part, storage) in tables {
                    let table = Table { storage, turn };
                    assert_eq!(
                        parse(&suffix(part, table, family), family),
                        Some((part, table))
                    );
                }
            }
        }
        for other in [
            "other", "", "-b", "32-64", "33-64", "24-", "-64", "24-64-c", "nets-b-b",
        ] {
            assert_eq!(parse(other, V4), None, "{other}");
        }
    }

    #[test]
    fn addresses_have_a_hash_table_and_a_few_prefixes_an_interval_set() {
        assert_eq!(shown(&chosen(None, &[])), ["32"]);
        assert_eq!(shown(&chosen(None, &[(32, 100_000)])), ["262144"]);
        assert_eq!(shown(&chosen(None, &[(32, 10), (24, 1)])), ["nets"]);
        assert_eq!(shown(&chosen(None, &[(24, 4_096)])), ["nets"]);
        let intervals = chosen(None, &[(24, 1)]);
        assert_eq!(shown(&chosen(Some(&intervals), &[(32, 10)])), ["32"]);
    }

    #[test]
    fn lengths_with_many_members_have_hash_tables() {
        assert_eq!(shown(&chosen(None, &[(24, 4_097)])), ["24-16384", "nets"]);
        let many = [(12, 3), (16, 900), (20, 40_000), (24, 60_000), (32, 9_000)];
        assert_eq!(
            shown(&chosen(None, &many)),
            ["20-131072", "24-131072", "32768", "nets"]
        );
        let prefix_among_addresses = [(8, 1), (32, 50_000)];
        assert_eq!(
            shown(&chosen(None, &prefix_among_addresses)),
            ["131072", "nets"]
        );
        let every: Vec<(u8, usize)> = (8..=32).map(|length| (length, 10_000)).collect();
        let tables = chosen(None, &every);
        assert_eq!(tables.len(), 8, "{:?}", shown(&tables));
    }

    #[test]
    fn a_split_set_is_kept_split() {
        let split = chosen(None, &[(24, 5_000), (32, 3_000)]);
        assert_eq!(shown(&split), ["24-16384", "nets"]);
        assert_eq!(chosen(Some(&split), &[(24, 1_024), (32, 1)]), split);
        assert_eq!(
            chosen(Some(&split), &[(24, 3_000)]),
            split,
            "an empty rest stays"
        );
        assert_eq!(shown(&chosen(Some(&split), &[(24, 1_023)])), ["nets"]);
        // Another length does not take a place by a few members more.
        let every: Vec<(u8, usize)> = (8..=32).map(|length| (length, 10_000)).collect();
        let before = chosen(None, &every);
        let others: Vec<(u8, usize)> = (8..=32).map(|length| (length, 19_999)).collect();
        assert!(chosen(Some(&before), &others).keys().eq(before.keys()));
        let more = |length| if length == 8 { 20_001 } else { 10_000 };
        let others: Vec<(u8, usize)> = (8..=32).map(|length| (length, more(length))).collect();
        assert!(chosen(Some(&before), &others).contains_key(&Part::Length(8)));
    }

    #[test]
    fn members_move_safely_only_to_a_hash_table_that_is_asked_later() {
        let form = chosen(None, &[(16, 5_000), (24, 5_000), (32, 9_000)]);
        assert_eq!(form.len(), 4);
        let may_miss = |added: &[&str], removed: &[&str]| {
            may_miss(&form, V4, &members(added), &members(removed))
        };
        assert!(!may_miss(&["10.0.0.0/24", "10.0.9.0/24"], &["10.0.0.0/16"]));
        assert!(may_miss(&["10.0.0.0/16"], &["10.0.0.0/24", "10.0.9.0/24"]));
        assert!(
            may_miss(&["10.0.0.0/17"], &["10.0.0.0/24"]),
            "into the rest"
        );
        assert!(
            may_miss(&["10.0.0.0/24"], &["10.0.0.0/17"]),
            "out of the rest"
        );
        assert!(
            !may_miss(&["10.0.0.0/17"], &["10.0.0.0/18"]),
            "within the rest"
        );
        assert!(!may_miss(&["10.1.0.0/16"], &["10.0.0.0/24", "10.2.0.0/24"]));
        assert!(may_miss(
            &["9.0.0.0/24", "10.0.0.0/16", "11.0.0.0/32"],
            &["8.0.0.0/24", "10.0.255.0/24", "12.0.0.0/24"]
        ));
        let one = chosen(None, &[(24, 1)]);
        assert!(!super::may_miss(
            &one,
            V4,
            &members(&["10.0.0.0/16"]),
            &members(&["10.0.0.0/24"])
        ));
    }

    proptest! {
        #[test]
        fn every_form_has_each_length_in_one_table_and_few_members_outside_of_hash_tables(
            sizes in proptest::collection::vec(
                proptest::collection::btree_map(1_u8..=32, 1_usize..9_000, 0..12),
                1..6,
            )
        ) {
            let mut present: Option<Form> = None;
            for lengths in sizes {
                let size = SetSize { lengths };
                let storages = Splitting::DEFAULT.choose(present.as_ref(), &size, V4);
                let form = form(&storages);
                prop_assert!(!form.is_empty());
                prop_assert!(form.len() <= Splitting::DEFAULT.tables + 1);
                let counts = form.keys().map(|part| part.count(&form, &size));
                prop_assert_eq!(counts.sum::<usize>(), size.members());
                for (part, storage) in &storages {
                    if let Storage::Hash(room) = storage {
                        prop_assert!(part.count(&form, &size) <= usize::try_from(*room).unwrap());
                    }
                }
                let rest = Part::Rest.count(&form, &size);
                prop_assert!(rest == 0 || form.contains_key(&Part::Rest));
                prop_assert!(
                    rest <= Splitting::DEFAULT.above || form.len() == Splitting::DEFAULT.tables + 1
                );
                prop_assert_eq!(
                    &Splitting::DEFAULT.choose(Some(&form), &size, V4),
                    &storages,
                    "the same members change nothing"
                );
                present = Some(form);
            }
        }
    }
}
