//! Which counter in the kernel counts whose packets, and what they have counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kernel::{Count, CounterReader};
use crate::model::{Direction, Form};
use crate::monitor::{Counters, Owner, Tally};
use crate::nft::CounterName;
use crate::render::{Counted, CounterNews, Decision, table_name};
use crate::telemetry::ErrorChain;

/// How long the kernel may be silent when it is asked for counters.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many counters are looked up at a time, so that the loop never waits long to note news.
const CHUNK: usize = 256;

/// Whose packets each counter counts: written by the loop, read by whoever collects metrics.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<CounterName, Counted>>);

impl Ledger {
    /// Takes in which counters there are.
    pub(super) fn note(&self, news: CounterNews) {
        match news {
            CounterNews::Whole(counted) => {
                // What was known is dropped when the lock is released.
                let _before = std::mem::replace(&mut *self.lock(), counted);
            }
            CounterNews::Part(changed) => {
                let mut known = self.lock();
                for (name, counted) in changed {
                    match counted {
                        Some(counted) => known.insert(name, counted),
                        None => known.remove(&name),
                    };
                }
            }
        }
    }

    /// Says whose packets were counted; counters that nobody owns any more are left out.
    fn tallies(&self, counts: &BTreeMap<CounterName, Count>) -> Vec<Tally> {
        let counts: Vec<(&CounterName, &Count)> = counts.iter().collect();
        let mut tallies = Vec::with_capacity(counts.len());
        for chunk in counts.chunks(CHUNK) {
            let known = self.lock();
            let owned = chunk.iter().map(|(name, _)| known.get(*name).cloned());
            let owned: Vec<Option<Counted>> = owned.collect();
            drop(known);
            for (counted, (_, count)) in owned.into_iter().zip(chunk) {
                tallies.extend(counted.map(|counted| Tally {
                    owner: owner(&counted),
                    packets: count.packets,
                    bytes: count.bytes,
                }));
            }
        }
        tallies
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CounterName, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts an owner into the words of labels.
fn owner(counted: &Counted) -> Owner {
    let direction = |direction: &Direction| match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let action = |decision: &Decision| match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::Pass => "pass",
    };
    match counted {
        Counted::Policy(id, way, decision) => {
            let name = &id.key.name;
            let (namespace, policy) = match id.key.form {
                Form::V3 => (id.key.scope.to_string(), name.to_string()),
                // No name of the v3 form has a slash.
                Form::V1 => (String::new(), format!("v1/{name}")),
            };
            Owner::Policy {
                tier: id.tier.to_string(),
                namespace,
                policy,
                direction: direction(way),
                action: action(decision),
            }
        }
        Counted::Profile(id, way, decision) => Owner::Profile {
            profile: id.to_string(),
            direction: direction(way),
            action: action(decision),
        },
        Counted::EndOfTier(tier, way) => Owner::Default {
            tier: tier.to_string(),
            direction: direction(way),
        },
        Counted::EndOfProfiles(way) => Owner::Default {
            tier: String::new(),
            direction: direction(way),
        },
    }
}

/// The counters of the kernel's table, by their owners.
#[derive(Debug)]
pub(super) struct KernelCounters {
    ledger: Arc<Ledger>,
    reader: Option<CounterReader>,
}

impl KernelCounters {
    /// Makes one that opens its socket when it is first asked.
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            reader: None,
        }
    }

    fn counts(&mut self) -> Result<BTreeMap<CounterName, Count>, crate::kernel::KernelError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => CounterReader::open(table_name(), PATIENCE)?,
        };
        let counts = reader.read()?;
        // After a failure a new socket is opened, on which nothing is left of what went wrong.
        self.reader = Some(reader);
        Ok(counts)
    }
}

impl Counters for KernelCounters {
    fn read(&mut self) -> Result<Vec<Tally>, String> {
        let counts = self
            .counts()
            .map_err(|cause| ErrorChain(&cause).to_string())?;
        Ok(self.ledger.tallies(&counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calc::PolicyId;
    use crate::model::{Kind, ResourceKey, TierName};

    fn name(text: &str) -> CounterName {
        text.parse().unwrap()
    }

    fn policy(key: ResourceKey) -> Counted {
        let tier = TierName::new("default");
        Counted::Policy(PolicyId { tier, key }, Direction::Ingress, Decision::Allow)
    }

    #[test]
    fn a_counter_counts_for_whom_the_news_say_and_for_nobody_else() {
        let ledger = Ledger::default();
        let end = |tier: &str| Counted::EndOfTier(TierName::new(tier), Direction::Egress);
        let whole = ["a", "b"].map(|tier| (name(tier), end(tier)));
        ledger.note(CounterNews::Whole(BTreeMap::from(whole)));
        let part = [(name("a"), None), (name("c"), Some(end("c")))];
        ledger.note(CounterNews::Part(BTreeMap::from(part)));
        let count = Count {
            packets: 1,
            bytes: 2,
        };
        // Many more than are looked up at a time, of which most are nobody's.
        let strangers = (0..1000).map(|number| name(&format!("a{number}")));
        let counts = strangers
            .chain(["a", "b", "c"].map(name))
            .map(|name| (name, count));
        let tallies = ledger.tallies(&counts.collect());
        let owners: Vec<Owner> = tallies.into_iter().map(|tally| tally.owner).collect();
        assert_eq!(owners, [owner(&end("b")), owner(&end("c"))]);
        ledger.note(CounterNews::Whole(BTreeMap::new()));
        let counts = BTreeMap::from([(name("b"), count)]);
        assert_eq!(ledger.tallies(&counts), []);
    }

    #[test]
    fn policies_of_one_name_have_labels_of_their_own() {
        let kind = Kind::GlobalNetworkPolicy;
        let owners = [
            ResourceKey::v3(kind, "", "web"),
            ResourceKey::v1(kind, "", "web"),
            ResourceKey::v3(Kind::NetworkPolicy, "prod", "web"),
        ]
        .map(|key| match owner(&policy(key)) {
            Owner::Policy {
                namespace, policy, ..
            } => format!("{namespace}:{policy}"),
            Owner::Profile { .. } | Owner::Default { .. } => panic!(),
        });
        assert_eq!(owners, [":web", ":v1/web", "prod:web"]);
    }
}
