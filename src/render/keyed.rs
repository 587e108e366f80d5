//! A verdict map with a chain of its own for each key: a packet finds its rules at once, and a change costs what it
//! touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::nft::{
    Chain, Element, ElementKey, ObjectChange, ObjectChanges, ObjectKey, SetName, SetSpec, Verdict,
};

/// The map and its chains. Both are there only while there is a key. What follows the lookup is asked where a chain
/// decides nothing, as it is where there is no key.
#[derive(Debug)]
pub(super) struct KeyedChains {
    spec: Arc<SetSpec>,
    chains: BTreeMap<ElementKey, Arc<Chain>>,
    /// What the keys that changed led to when the changes were written last.
    before: BTreeMap<ElementKey, Option<Arc<Chain>>>,
    /// Whether the map was there then.
    there: bool,
}

impl KeyedChains {
    /// Makes an empty one.
    pub(super) fn new(spec: SetSpec) -> Self {
        Self {
            spec: Arc::new(spec),
            chains: BTreeMap::new(),
            before: BTreeMap::new(),
            there: false,
        }
    }

    /// Returns the map's name.
    pub(super) fn name(&self) -> &SetName {
        &self.spec.name
    }

    /// Tells whether there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// Stores the chain of a key, or that it has none. Chains of different keys have different names.
    pub(super) fn set(&mut self, key: ElementKey, chain: Option<Arc<Chain>>) {
        let before = match chain {
            Some(chain) => self.chains.insert(key.clone(), chain),
            None => self.chains.remove(&key),
        };
        self.before.entry(key).or_insert(before);
    }

    /// Writes what changed since it was last written.
    pub(super) fn write(&mut self, out: &mut ObjectChanges) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (key, before) in std::mem::take(&mut self.before) {
            let now = self.chains.get(&key);
            if before.as_ref() == now {
                continue;
            }
            let names =
                [before.as_deref(), now.map(Arc::as_ref)].map(|chain| chain.map(|c| &c.name));
            if let (Some(chain), true) = (&before, names[0] != names[1]) {
                removed.push(element(&key, chain));
                out.insert(ObjectKey::Chain(chain.name.clone()), ObjectChange::Absent);
            }
            if let Some(chain) = now {
                if names[0] != names[1] {
                    added.push(element(&key, chain));
                }
                let change = ObjectChange::Chain(Arc::clone(chain));
                out.insert(ObjectKey::Chain(chain.name.clone()), change);
            }
        }
        let change = match (self.there, self.chains.is_empty()) {
            (false, true) => None,
            (true, true) => Some(ObjectChange::Absent),
            (false, false) => Some(ObjectChange::Set {
                spec: Arc::clone(&self.spec),
                elements: Arc::new(self.elements().collect()),
            }),
            (true, false) if added.is_empty() && removed.is_empty() => None,
            (true, false) => Some(ObjectChange::Elements { added, removed }),
        };
        self.there = !self.chains.is_empty();
        if let Some(change) = change {
            out.insert(ObjectKey::Set(self.spec.name.clone()), change);
        }
    }

    fn elements(&self) -> impl Iterator<Item = Element> {
        let chains = self.chains.iter();
        chains.map(|(key, chain)| element(key, chain))
    }
}

fn element(key: &ElementKey, chain: &Chain) -> Element {
    Element {
        key: key.clone(),
        verdict: Some(Verdict::Jump(chain.name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::InterfaceName;
    use crate::nft::{Expr, Extent, KeyType, Rule, Ruleset};
    use crate::render::names;

    fn keyed() -> KeyedChains {
        let spec = SetSpec {
            name: names::set("map"),
            key: vec![KeyType::Interface],
            interval: false,
            verdicts: true,
            size: None,
        };
        KeyedChains::new(spec)
    }

    fn key(name: &str) -> ElementKey {
        ElementKey::Interface(name.parse::<InterfaceName>().unwrap())
    }

    fn chain(name: &str, verdict: Verdict) -> Arc<Chain> {
        let rule = Rule::new("", vec![Expr::Verdict(verdict)]);
        Arc::new(Chain::new(names::chain(name), None, vec![rule]))
    }

    fn written(keyed: &mut KeyedChains, ruleset: &mut Ruleset) -> usize {
        let mut out = ObjectChanges::new();
        keyed.write(&mut out);
        ruleset.apply(&out, Extent::Part).unwrap();
        out.len()
    }

    #[test]
    fn changes_lead_to_what_a_start_from_scratch_makes_and_touch_no_more() {
        let (mut all, mut held) = (keyed(), Ruleset::default());
        assert_eq!(written(&mut all, &mut held), 0);
        all.set(key("a"), Some(chain("c-a", Verdict::Accept)));
        all.set(key("b"), Some(chain("c-b", Verdict::Accept)));
        assert_eq!(written(&mut all, &mut held), 3, "the map and both chains");
        all.set(key("a"), Some(chain("c-a", Verdict::Drop)));
        assert_eq!(written(&mut all, &mut held), 1, "a chain");
        all.set(key("b"), None);
        all.set(key("b"), Some(chain("c-b", Verdict::Accept)));
        assert_eq!(written(&mut all, &mut held), 0, "as it was");
        all.set(key("c"), Some(chain("c-c", Verdict::Accept)));
        all.set(key("b"), None);
        assert_eq!(written(&mut all, &mut held), 3, "elements and two chains");
        let (mut anew, mut fresh) = (keyed(), Ruleset::default());
        anew.set(key("a"), Some(chain("c-a", Verdict::Drop)));
        anew.set(key("c"), Some(chain("c-c", Verdict::Accept)));
        written(&mut anew, &mut fresh);
        assert_eq!(held, fresh);
        for name in ["a", "c"] {
            all.set(key(name), None);
        }
        written(&mut all, &mut held);
        assert!(all.is_empty());
        assert_eq!(held, Ruleset::default());
    }
}
