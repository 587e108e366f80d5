//! Prefixes with overlaps, of which only the maximal ones count.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// An address as a number, of one family.
pub(super) trait Address: Copy + Ord {
    /// The number of bits.
    const BITS: u8;
    /// The highest address.
    const MAX: Self;

    /// Clears every bit behind the first `length`.
    fn network(self, length: u8) -> Self;

    /// Sets every bit behind the first `length`.
    fn broadcast(self, length: u8) -> Self;

    /// Returns the next address; wraps at the highest.
    fn next(self) -> Self;
}

macro_rules! address {
    ($type:ty, $bits:literal) => {
        impl Address for $type {
            const BITS: u8 = $bits;
            const MAX: Self = Self::MAX;

            fn network(self, length: u8) -> Self {
                // A shift by the full width, for length zero, would overflow.
                self & Self::MAX
                    .checked_shl(u32::from($bits - length.min($bits)))
                    .unwrap_or(0)
            }

            fn broadcast(self, length: u8) -> Self {
                self | Self::MAX.checked_shr(u32::from(length)).unwrap_or(0)
            }

            fn next(self) -> Self {
                self.wrapping_add(1)
            }
        }
    };
}

address!(u32, 32);
address!(u128, 128);

/// A prefix: its first address and its length.
pub(super) type Prefix<A> = (A, u8);

/// How the maximal prefixes changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A prefix became maximal.
    Came,
    /// A prefix is gone or covered.
    Went,
}

/// Counted prefixes of one family, which may overlap.
///
/// The order of the map puts a prefix straight before all that it covers. Which lengths occur is
/// counted, so that looking for a cover takes one look for each shorter length in use, most often none.
#[derive(Debug)]
pub(super) struct Prefixes<A> {
    counts: BTreeMap<Prefix<A>, u32>,
    /// How many different prefixes there are of each length that occurs.
    lengths: BTreeMap<u8, usize>,
    /// How many prefixes of each length are maximal.
    maximal: BTreeMap<u8, usize>,
}

impl<A: Address> Prefixes<A> {
    /// Makes an empty collection.
    pub(super) fn new() -> Self {
        Self {
            counts: BTreeMap::new(),
            lengths: BTreeMap::new(),
            maximal: BTreeMap::new(),
        }
    }

    /// Returns how many prefixes of each length are maximal.
    pub(super) fn maximal(&self) -> &BTreeMap<u8, usize> {
        &self.maximal
    }

    /// Counts a prefix once more and reports how the maximal ones change.
    pub(super) fn add(&mut self, prefix: Prefix<A>, mut report: impl FnMut(Change, Prefix<A>)) {
        let count = self.counts.entry(prefix).or_insert(0);
        *count += 1;
        if *count > 1 {
            return;
        }
        count_up(&mut self.lengths, prefix.1);
        if self.is_covered(prefix) {
            return;
        }
        for inner in self.maximal_inside(prefix) {
            self.note(Change::Went, inner, &mut report);
        }
        self.note(Change::Came, prefix, &mut report);
    }

    /// Counts a prefix once less and reports how the maximal ones change.
    pub(super) fn remove(&mut self, prefix: Prefix<A>, mut report: impl FnMut(Change, Prefix<A>)) {
        let Some(count) = self.counts.get_mut(&prefix) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.counts.remove(&prefix);
        count_down(&mut self.lengths, prefix.1);
        if self.is_covered(prefix) {
            return;
        }
        self.note(Change::Went, prefix, &mut report);
        for inner in self.maximal_inside(prefix) {
            self.note(Change::Came, inner, &mut report);
        }
    }

    /// Returns the maximal prefixes in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Prefix<A>> + '_ {
        let mut covered_to: Option<A> = None;
        self.counts.keys().copied().filter(move |(start, length)| {
            let maximal = covered_to.is_none_or(|end| *start > end);
            if maximal {
                covered_to = Some(start.broadcast(*length));
            }
            maximal
        })
    }

    fn note(
        &mut self,
        change: Change,
        prefix: Prefix<A>,
        report: &mut impl FnMut(Change, Prefix<A>),
    ) {
        match change {
            Change::Came => count_up(&mut self.maximal, prefix.1),
            Change::Went => count_down(&mut self.maximal, prefix.1),
        }
        report(change, prefix);
    }

    fn is_covered(&self, (start, length): Prefix<A>) -> bool {
        self.lengths.range(..length).any(|(shorter, _)| {
            self.counts
                .contains_key(&(start.network(*shorter), *shorter))
        })
    }

    /// Finds the largest prefixes that a prefix covers, skipping over what lies inside them.
    fn maximal_inside(&self, (start, length): Prefix<A>) -> Vec<Prefix<A>> {
        let mut found = Vec::new();
        if self.lengths.range(length + 1..).next().is_none() {
            return found;
        }
        let last = (start.broadcast(length), A::BITS);
        let mut from = (start, length + 1);
        while let Some((inner, _)) = self.counts.range(from..=last).next() {
            found.push(*inner);
            let end = inner.0.broadcast(inner.1);
            if end >= last.0 || end == A::MAX {
                break;
            }
            from = (end.next(), 0);
        }
        found
    }
}

/// Counts one more of a length.
fn count_up(counts: &mut BTreeMap<u8, usize>, length: u8) {
    *counts.entry(length).or_insert(0) += 1;
}

/// Counts one of a length less.
fn count_down(counts: &mut BTreeMap<u8, usize>, length: u8) {
    if let Entry::Occupied(mut count) = counts.entry(length) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn naive(all: &[Prefix<u32>]) -> BTreeSet<Prefix<u32>> {
        let covers = |a: Prefix<u32>, b: Prefix<u32>| a.1 < b.1 && b.0.network(a.1) == a.0;
        all.iter()
            .filter(|prefix| !all.iter().any(|other| covers(*other, **prefix)))
            .copied()
            .collect()
    }

    /// Addresses from both ends of the space and the middle, so that prefixes nest and edges are met.
    fn prefix() -> impl Strategy<Value = Prefix<u32>> {
        let base = prop_oneof![
            Just(0_u32),
            Just(u32::MAX),
            Just(0x7fff_ffff),
            Just(0x8000_0000)
        ];
        (
            base,
            0_u32..16,
            prop_oneof![Just(0_u8), Just(1), 26_u8..=32],
        )
            .prop_map(|(base, low, length)| ((base ^ low).network(length), length))
    }

    proptest! {
        #[test]
        fn what_is_reported_adds_up_to_the_maximal_prefixes(
            steps in prop::collection::vec((any::<bool>(), prefix()), 0..80)
        ) {
            let mut prefixes = Prefixes::new();
            let mut present: Vec<Prefix<u32>> = Vec::new();
            let mut reported = BTreeSet::new();
            for (add, prefix) in steps {
                let mut report = |change, prefix| match change {
                    Change::Came => assert!(reported.insert(prefix), "came twice"),
                    Change::Went => assert!(reported.remove(&prefix), "went twice"),
                };
                if add {
                    present.push(prefix);
                    prefixes.add(prefix, &mut report);
                } else {
                    if let Some(at) = present.iter().position(|known| *known == prefix) {
                        present.swap_remove(at);
                    }
                    prefixes.remove(prefix, &mut report);
                }
                let expected = naive(&present);
                prop_assert_eq!(&reported, &expected);
                prop_assert_eq!(prefixes.iter().collect::<BTreeSet<_>>(), expected.clone());
                let mut lengths = BTreeMap::new();
                for (_, length) in expected {
                    *lengths.entry(length).or_insert(0) += 1;
                }
                prop_assert_eq!(prefixes.maximal(), &lengths);
            }
        }
    }

    #[test]
    fn a_covered_prefix_comes_back_when_its_cover_goes() {
        let mut prefixes = Prefixes::new();
        let mut log = Vec::new();
        prefixes.add((0x0a01_0000_u32, 16), |_, _| {});
        prefixes.add((0x0a00_0000, 8), |change, prefix| {
            log.push((change, prefix));
        });
        prefixes.remove((0x0a00_0000, 8), |change, prefix| {
            log.push((change, prefix));
        });
        assert_eq!(
            log,
            [
                (Change::Went, (0x0a01_0000, 16)),
                (Change::Came, (0x0a00_0000, 8)),
                (Change::Went, (0x0a00_0000, 8)),
                (Change::Came, (0x0a01_0000, 16)),
            ]
        );
    }

    #[test]
    fn the_whole_of_ipv6_covers_all() {
        let mut prefixes = Prefixes::new();
        prefixes.add((u128::MAX, 128), |_, _| {});
        prefixes.add((0_u128, 0), |_, _| {});
        prefixes.add((1_u128 << 127, 1), |_, _| {});
        assert_eq!(prefixes.iter().collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(prefixes.maximal(), &BTreeMap::from([(0, 1)]));
    }
}
