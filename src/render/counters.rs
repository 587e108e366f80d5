//! Counters of what policies, profiles and the ends of tiers do with packets.

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::settings::PolicyCounters;
use crate::calc::PolicyId;
use crate::model::{Direction, ProfileId, TierName};
use crate::nft::{ChainName, CounterName, Expr, ObjectChange, ObjectChanges, ObjectKey};

/// What a rule decides that ends the walk through a policy or profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// The packet is allowed.
    Allow,
    /// The packet is refused.
    Deny,
    /// The packet is passed on: to the next tier or, by a profile, to the next profile.
    Pass,
}

impl Decision {
    /// Every decision.
    pub(super) const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Pass];
}

/// Whose decisions a counter counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// A policy's.
    Policy(PolicyId, Direction, Decision),
    /// A profile's.
    Profile(ProfileId, Direction, Decision),
    /// Refusals at the end of a tier of which no policy has decided.
    EndOfTier(TierName, Direction),
    /// Refusals where no policy and no profile has decided.
    EndOfProfiles(Direction),
}

/// What the rules of one chain count.
#[derive(Debug)]
pub(super) struct Tally {
    switch: PolicyCounters,
    counted: BTreeMap<CounterName, Counted>,
}

impl Tally {
    /// Makes the tally of a chain that counts nothing yet.
    pub(super) fn new(switch: PolicyCounters) -> Self {
        Self {
            switch,
            counted: BTreeMap::new(),
        }
    }

    /// Returns the statement that counts a packet; none where nothing is counted.
    pub(super) fn count(&mut self, what: Counted) -> Option<Expr> {
        match self.switch {
            PolicyCounters::Disabled => None,
            PolicyCounters::Enabled => {
                let name = names::counter(&what);
                self.counted.insert(name.clone(), what);
                Some(Expr::CountIn(name))
            }
        }
    }
}

/// News of which counters there are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CounterNews {
    /// These and no others.
    Whole(BTreeMap<CounterName, Counted>),
    /// These besides those that were there, or no more.
    Part(BTreeMap<CounterName, Option<Counted>>),
}

impl CounterNews {
    /// Returns what is known after later changes.
    pub(super) fn followed_by(
        news: Option<Self>,
        changed: BTreeMap<CounterName, Option<Counted>>,
    ) -> Self {
        match news {
            None => Self::Part(changed),
            Some(Self::Part(mut known)) => {
                known.extend(changed);
                Self::Part(known)
            }
            Some(Self::Whole(mut known)) => {
                for (name, counted) in changed {
                    match counted {
                        Some(counted) => known.insert(name, counted),
                        None => known.remove(&name),
                    };
                }
                Self::Whole(known)
            }
        }
    }
}

/// The counters that chains need: each is there as long as one of them does.
#[derive(Debug, Default)]
pub(super) struct CounterBook {
    chains: BTreeMap<ChainName, BTreeSet<CounterName>>,
    users: BTreeMap<CounterName, usize>,
    /// Counters that came or may go since they were written last.
    changed: BTreeMap<CounterName, Option<Counted>>,
}

impl CounterBook {
    /// Notes what a chain needs from now on.
    pub(super) fn refer(&mut self, chain: &ChainName, tally: Tally) {
        let names: BTreeSet<CounterName> = tally.counted.keys().cloned().collect();
        for (name, counted) in tally.counted {
            let users = self.users.entry(name.clone()).or_default();
            *users += 1;
            if *users == 1 {
                self.changed.insert(name, Some(counted));
            }
        }
        let before = if names.is_empty() {
            self.chains.remove(chain)
        } else {
            self.chains.insert(chain.clone(), names)
        };
        for name in before.into_iter().flatten() {
            let Some(users) = self.users.get_mut(&name) else {
                continue;
            };
            *users -= 1;
            if *users == 0 {
                self.users.remove(&name);
                self.changed.insert(name, None);
            }
        }
    }

    /// Notes that a chain goes.
    pub(super) fn forget(&mut self, chain: &ChainName) {
        self.refer(chain, Tally::new(PolicyCounters::Disabled));
    }

    /// Returns what each chain needs.
    pub(super) fn users(&self) -> impl Iterator<Item = (&ChainName, &BTreeSet<CounterName>)> {
        self.chains.iter()
    }

    /// Writes the counters that differ, and returns them.
    pub(super) fn write(
        &mut self,
        out: &mut ObjectChanges,
    ) -> BTreeMap<CounterName, Option<Counted>> {
        let changed = std::mem::take(&mut self.changed);
        for (name, counted) in &changed {
            let change = match counted {
                Some(_) => ObjectChange::Counter,
                None => ObjectChange::Absent,
            };
            out.insert(ObjectKey::Counter(name.clone()), change);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(tiers: &[&str]) -> Tally {
        let mut tally = Tally::new(PolicyCounters::Enabled);
        for tier in tiers {
            let what = Counted::EndOfTier(TierName::new(tier), Direction::Ingress);
            assert!(tally.count(what).is_some());
        }
        tally
    }

    fn written(book: &mut CounterBook) -> Vec<String> {
        let mut out = ObjectChanges::new();
        book.write(&mut out);
        let sign = |change: &ObjectChange| {
            if *change == ObjectChange::Counter {
                '+'
            } else {
                '-'
            }
        };
        out.iter()
            .map(|(key, change)| format!("{}{}", sign(change), key.name()))
            .collect()
    }

    #[test]
    fn a_counter_is_there_as_long_as_a_chain_needs_it() {
        let mut book = CounterBook::default();
        let chain = |name: &str| name.parse::<ChainName>().unwrap();
        book.refer(&chain("a"), tally(&["x", "y"]));
        book.refer(&chain("b"), tally(&["y"]));
        assert_eq!(written(&mut book), ["+end-in-x", "+end-in-y"]);
        // The same again changes nothing.
        book.refer(&chain("a"), tally(&["x", "y"]));
        assert_eq!(written(&mut book), [""; 0]);
        book.refer(&chain("a"), tally(&["z"]));
        assert_eq!(written(&mut book), ["-end-in-x", "+end-in-z"]);
        book.forget(&chain("b"));
        book.forget(&chain("a"));
        book.refer(&chain("c"), tally(&["z"]));
        assert_eq!(written(&mut book), ["-end-in-y", "+end-in-z"]);
        book.forget(&chain("c"));
        book.forget(&chain("never"));
        assert_eq!(written(&mut book), ["-end-in-z"]);
    }

    #[test]
    fn nothing_is_counted_where_that_is_not_wanted() {
        let mut tally = Tally::new(PolicyCounters::Disabled);
        assert_eq!(tally.count(Counted::EndOfProfiles(Direction::Egress)), None);
        let mut book = CounterBook::default();
        book.refer(&"a".parse().unwrap(), tally);
        assert_eq!(written(&mut book), [""; 0]);
    }
}
