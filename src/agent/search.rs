//! The search for those at fault among many, by what the kernel says to all but some of them.

use std::collections::BTreeMap;

/// The most trials of one search; twenty find one culprit among half a million.
const TRIALS: usize = 48;

/// A search for the fewest candidates that have to be left out for the others to be taken.
///
/// Where leaving some out is enough, leaving more out is taken to be enough, too. The candidates stand in a row. The
/// shortest beginning of it that is enough ends with one that is at fault; what stands behind it is not. The search
/// halves its way to that one, and then goes on with those before it until those that were found are enough by
/// themselves. Each costs the logarithm of the number of candidates.
#[derive(Debug)]
pub(super) struct Search<T> {
    /// Those at fault, and the word of the kernel that shows it.
    found: BTreeMap<T, String>,
    /// Those that may be, and what was last said of them.
    candidates: Vec<(T, String)>,
    /// How many of the first candidates it is not enough to leave out, and what the kernel said to that.
    low: Option<(usize, String)>,
    /// How many it is enough to leave out.
    high: Option<usize>,
    /// How many of the first candidates are more suspect than the others.
    suspects: usize,
    /// How many are being left out.
    trying: usize,
    trials: usize,
}

/// What a search does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// It has to know whether leaving these out is enough.
    Try(Vec<T>),
    /// Leaving these out is enough, and nothing less is.
    Found(BTreeMap<T, String>),
    /// Leaving everything out is not enough.
    Nobody,
}

impl<T: Ord + Clone> Search<T> {
    /// Begins where leaving nobody out was refused once; suspects stand for themselves and not among the others.
    pub(super) fn begin(reason: &str, suspects: Vec<T>, others: Vec<T>) -> Self {
        let count = suspects.len();
        let candidates = suspects.into_iter().chain(others);
        Self {
            found: BTreeMap::new(),
            candidates: candidates.map(|one| (one, reason.to_owned())).collect(),
            // It may have been due to something that has passed.
            low: None,
            high: None,
            suspects: count,
            trying: 0,
            trials: 0,
        }
    }

    /// Begins where all are left out, and that is enough.
    pub(super) fn again(candidates: BTreeMap<T, String>) -> Self {
        Self {
            found: BTreeMap::new(),
            low: None,
            high: Some(candidates.len()),
            candidates: candidates.into_iter().collect(),
            suspects: 0,
            trying: 0,
            trials: 0,
        }
    }

    /// Returns what to do next.
    pub(super) fn next(&mut self) -> Next<T> {
        loop {
            let low = self.low.as_ref().map(|(low, _)| *low);
            let count = match (low, self.high) {
                (_, Some(0)) => return Next::Found(self.found.clone()),
                (_, Some(high)) if self.trials >= TRIALS => {
                    let rest = self.candidates.iter().take(high).cloned();
                    return Next::Found(self.found.clone().into_iter().chain(rest).collect());
                }
                (None, _) => 0,
                (Some(low), Some(high)) if high - low > 1 => low + (high - low) / 2,
                (Some(low), Some(_)) => {
                    self.convict(low);
                    continue;
                }
                (Some(low), None) if low == self.candidates.len() => return Next::Nobody,
                (Some(0), None) if self.suspects > 0 => self.suspects,
                (Some(_), None) => self.candidates.len(),
            };
            self.trying = count;
            let tried = self.candidates.iter().take(count).map(|(one, _)| one);
            let found = self.found.keys();
            return Next::Try(found.chain(tried).cloned().collect());
        }
    }

    /// Takes in that leaving those out was enough.
    pub(super) fn passed(&mut self) {
        self.trials += 1;
        self.high = Some(self.trying);
    }

    /// Takes in that it was not, and what the kernel said.
    pub(super) fn refused(&mut self, reason: String) {
        self.trials += 1;
        self.low = Some((self.trying, reason));
    }

    /// Finds the candidate at a place at fault: with it the first are enough, without it they are not.
    fn convict(&mut self, place: usize) {
        let reason = self.low.take().map(|(_, reason)| reason);
        if let Some((one, said)) = self.candidates.drain(place..).next() {
            self.found.insert(one, reason.unwrap_or(said));
        }
        self.high = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Lets a search find who is at fault, and returns that and the number of trials.
    fn find(mut search: Search<usize>, guilty: &BTreeSet<usize>) -> (Next<usize>, usize) {
        for trials in 0.. {
            match search.next() {
                Next::Try(left_out) => {
                    let missed = guilty.iter().find(|one| !left_out.contains(one));
                    match missed {
                        None => search.passed(),
                        Some(one) => search.refused(format!("refused {one}")),
                    }
                }
                end @ (Next::Found(_) | Next::Nobody) => return (end, trials),
            }
        }
        unreachable!("a search ends")
    }

    fn convicted(guilty: &BTreeSet<usize>) -> Next<usize> {
        let said = |one: &usize| (*one, format!("refused {one}"));
        Next::Found(guilty.iter().map(said).collect())
    }

    #[test]
    fn one_among_many_costs_a_logarithm() {
        let others: Vec<usize> = (0..1000).collect();
        for one in [0, 1, 499, 998, 999] {
            let guilty = BTreeSet::from([one]);
            let search = Search::begin("", Vec::new(), others.clone());
            let (found, trials) = find(search, &guilty);
            assert_eq!(found, convicted(&guilty));
            assert!(trials <= 13, "{trials}");
        }
    }

    #[test]
    fn a_suspect_costs_one_trial_more_than_nobody() {
        let others: Vec<usize> = (0..1000).filter(|one| *one != 7).collect();
        let guilty = BTreeSet::from([7]);
        let search = Search::begin("", vec![7], others);
        assert_eq!(find(search, &guilty), (convicted(&guilty), 2));
        let search = Search::begin("", vec![7], vec![8, 9]);
        let nobody = BTreeSet::new();
        assert_eq!(find(search, &nobody), (convicted(&nobody), 1));
    }

    #[test]
    fn nobody_is_at_fault_where_leaving_all_out_is_not_enough() {
        let search = Search::begin("", vec![1], vec![2, 3]);
        assert_eq!(find(search, &BTreeSet::from([9])), (Next::Nobody, 3));
        let search = Search::<usize>::begin("", Vec::new(), Vec::new());
        assert_eq!(find(search, &BTreeSet::from([9])), (Next::Nobody, 1));
    }

    #[test]
    fn a_search_that_takes_too_long_ends_with_what_is_enough() {
        let others: Vec<usize> = (0..1000).collect();
        let guilty: BTreeSet<usize> = (0..1000).step_by(10).collect();
        let search = Search::begin("", Vec::new(), others);
        let (Next::Found(found), trials) = find(search, &guilty) else {
            panic!("somebody is at fault");
        };
        assert_eq!(trials, TRIALS);
        assert!(guilty.iter().all(|one| found.contains_key(one)));
        assert!(found.len() < 1000, "who is known not to be is let go");
    }

    proptest! {
        #[test]
        fn those_at_fault_are_found_and_nobody_else(
            guilty in prop::collection::btree_set(0_usize..60, 1..4),
            suspects in prop::collection::btree_set(0_usize..60, 0..4),
        ) {
            let others = (0..60).filter(|one| !suspects.contains(one)).collect();
            let search = Search::begin("", suspects.into_iter().collect(), others);
            let (Next::Found(found), _) = find(search, &guilty) else {
                panic!("somebody is at fault");
            };
            prop_assert!(found.keys().eq(&guilty));
        }

        #[test]
        fn those_that_are_tried_again_are_let_go_unless_they_are_at_fault(
            held in prop::collection::btree_set(0_usize..60, 0..20),
            still in prop::collection::btree_set(0_usize..60, 0..4),
        ) {
            let guilty: BTreeSet<usize> = held.intersection(&still).copied().collect();
            let candidates = held.into_iter().map(|one| (one, String::new())).collect();
            let (found, _) = find(Search::again(candidates), &guilty);
            let Next::Found(found) = found else {
                panic!("all of them are enough");
            };
            prop_assert!(found.keys().eq(&guilty));
        }
    }
}
