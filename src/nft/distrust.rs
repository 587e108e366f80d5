//! What of the kernel's table is not believed, because another program has had a hand in it.

use std::collections::BTreeSet;

use super::{Catalog, ChainName};

/// Chains whose rules may not be what their fingerprints say.
///
/// A rule carries its fingerprint with it, so that whoever copies a rule and edits the copy copies the fingerprint
/// too; and a rule names the chain that it leads to by the chain itself, so that a new name of the chain is a new
/// meaning of the rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distrust {
    /// Chains in which a rule came or went.
    rules: BTreeSet<ChainName>,
    /// Chains that were made or changed: made, given a policy, or given this name.
    chains: BTreeSet<ChainName>,
    /// The chains that were there when we last looked, but for base chains, which nothing leads to.
    before: BTreeSet<ChainName>,
    /// Whether more was done than is remembered.
    everything: bool,
}

impl Distrust {
    /// Takes in that a rule of a chain came or went.
    pub fn rule(&mut self, chain: ChainName) {
        self.rules.insert(chain);
    }

    /// Takes in that a chain was made, changed, or named so.
    pub fn chain(&mut self, chain: ChainName) {
        self.chains.insert(chain);
    }

    /// Takes in that nothing is to be believed.
    pub fn everything(&mut self) {
        self.everything = true;
    }

    /// Takes in which chains were there before.
    pub fn compare_with(&mut self, before: &Catalog) {
        let chains = before.chains.iter();
        let led_to = chains.filter(|(_, record)| record.base.is_none());
        self.before.extend(led_to.map(|(name, _)| name.clone()));
    }

    /// Takes in what another one says.
    pub fn merge(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.chains.extend(other.chains);
        self.before.extend(other.before);
        self.everything |= other.everything;
    }

    /// Tells whether everything is believed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.chains.is_empty() && !self.everything
    }

    /// Tells whether a chain may have another name than before, so that any rule may lead elsewhere than it says.
    fn renamed(&self, now: &Catalog) -> bool {
        let known = |name: &ChainName| self.before.contains(name);
        let given = self.chains.iter().any(known);
        given
            || (!self.chains.is_empty()
                && self
                    .before
                    .iter()
                    .any(|name| !now.chains.contains_key(name)))
    }
}

impl Catalog {
    /// Forgets the fingerprints that are not believed, so that a plan writes these rules anew.
    pub fn distrust(&mut self, distrust: &Distrust) {
        let all = distrust.everything || distrust.renamed(self);
        for (name, record) in &mut self.chains {
            if all || distrust.rules.contains(name) {
                record.rules.fill(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{ChainRecord, Fingerprint};

    fn name(name: &str) -> ChainName {
        name.parse().unwrap()
    }

    fn catalog(names: &[&str]) -> Catalog {
        let record = ChainRecord {
            base: None,
            alien: false,
            rules: vec![Some(Fingerprint([1; 8]))],
        };
        let chains = names.iter().map(|it| (name(it), record.clone())).collect();
        Catalog {
            table: true,
            chains,
            ..Catalog::default()
        }
    }

    /// Returns the chains that are not believed.
    fn doubted(distrust: &Distrust, mut now: Catalog) -> Vec<String> {
        now.distrust(distrust);
        let chains = now.chains.iter();
        chains
            .filter(|(_, record)| record.rules == [None])
            .map(|(name, _)| name.to_string())
            .collect()
    }

    #[test]
    fn rules_of_a_chain_with_a_foreign_rule_are_not_believed() {
        let mut distrust = Distrust::default();
        assert!(distrust.is_empty());
        distrust.compare_with(&catalog(&["a", "b"]));
        assert!(doubted(&distrust, catalog(&["a", "b"])).is_empty());
        distrust.rule(name("b"));
        distrust.rule(name("gone"));
        assert_eq!(doubted(&distrust, catalog(&["a", "b"])), ["b"]);
        distrust.everything();
        assert_eq!(doubted(&distrust, catalog(&["a", "b"])), ["a", "b"]);
    }

    #[test]
    fn no_rule_is_believed_where_a_chain_may_have_another_name() {
        let before = catalog(&["a", "b"]);
        let named = |names: &[&str]| {
            let mut distrust = Distrust::default();
            distrust.compare_with(&before);
            for it in names {
                distrust.chain(name(it));
            }
            distrust
        };
        // A chain of somebody else beside ours.
        assert!(doubted(&named(&["c"]), catalog(&["a", "b", "c"])).is_empty());
        // One of ours has its name now, and then: two of ours have each other's.
        assert_eq!(doubted(&named(&["c"]), catalog(&["a", "c"])), ["a", "c"]);
        assert_eq!(
            doubted(&named(&["a", "b"]), catalog(&["a", "b"])),
            ["a", "b"]
        );
        // One of ours went with its users.
        assert!(doubted(&named(&[]), catalog(&["a"])).is_empty());
    }

    #[test]
    fn what_two_say_is_what_each_says() {
        let (mut first, mut second) = (Distrust::default(), Distrust::default());
        first.compare_with(&catalog(&["a", "b"]));
        second.chain(name("c"));
        first.merge(second);
        assert_eq!(doubted(&first, catalog(&["b", "c"])), ["b", "c"]);
    }
}
