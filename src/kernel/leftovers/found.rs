//! What was found of Felix, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::policed::Unpoliced;
use crate::kernel::host_chains::{Advice, HostFamily};

/// A table of Felix's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FelixTable {
    /// `ip calico`.
    Ip,
    /// `ip6 calico`.
    Ip6,
    /// `arp calico`.
    Arp,
}

impl fmt::Display for FelixTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip calico",
            Self::Ip6 => "ip6 calico",
            Self::Arp => "arp calico",
        })
    }
}

/// A rule of Felix's in a base chain of `iptables-nft`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FelixRule {
    /// The chain.
    pub chain: String,
    /// The number by which the kernel knows the rule.
    pub handle: u64,
    /// Its hash, from the comment. A rule without one, and that leads to no chain of Felix's, is one of Felix 1.4.
    pub comment: Option<String>,
    /// The chain of Felix's that it leads to.
    pub target: Option<String>,
}

/// What becomes of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainFate {
    /// It goes.
    Removed,
    /// It loses its rules and stays, since what is not Felix's leads to it.
    Emptied,
    /// It stays for the same reason, and is empty already.
    Kept,
}

/// A chain of Felix's in a table of `iptables-nft`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FelixChain {
    /// The name.
    pub name: String,
    /// What becomes of it.
    pub fate: ChainFate,
}

/// What Felix has in a table of `iptables-nft`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedTable {
    /// The family, `ip` or `ip6`.
    pub family: HostFamily,
    /// The table.
    pub name: &'static str,
    /// Felix's rules in base chains.
    pub rules: Vec<FelixRule>,
    /// Felix's chains.
    pub chains: Vec<FelixChain>,
}

/// Why nothing of Felix's is removed from the tables of a family: a chain would then drop what policy accepts, since no
/// rule but Felix's lets that pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The family.
    pub family: HostFamily,
    /// The chain, and what lets it accept what policy accepts.
    pub advice: Advice,
}

/// What Felix has left in nftables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Its own tables.
    pub tables: Vec<FelixTable>,
    /// What it has in the tables of `iptables-nft`.
    pub shared: Vec<SharedTable>,
    /// What keeps it from being removed there.
    pub held: Vec<Held>,
    /// What would be without policy if it were removed, and in which families, which keeps all of it.
    pub unpoliced: BTreeMap<Unpoliced, BTreeSet<HostFamily>>,
    /// Whether our rules accept all of IPv6 before policy is asked.
    pub ip6_unasked: bool,
}

/// What a removal does not heed that would hold it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Despite {
    /// Interfaces that Felix's rules police and ours do not.
    pub unpoliced: bool,
    /// Chains that drop what policy accepts, once Felix's rules are gone.
    pub dropped: bool,
}

impl Leftovers {
    /// Tells whether nothing is there, save empty chains that others lead to.
    pub fn is_empty(&self) -> bool {
        let shared = |table: &SharedTable| table.has_work();
        self.tables.is_empty() && !self.shared.iter().any(shared)
    }

    /// Says what would be without policy; `None` where nothing would be.
    pub fn unpoliced_line(&self) -> Option<String> {
        /// How many are named.
        const NAMED: usize = 5;
        let name = |(unpoliced, families): (&Unpoliced, &BTreeSet<HostFamily>)| {
            let name = match unpoliced {
                Unpoliced::Interface(name) => format!("`{}`", name.escape_debug()),
                Unpoliced::Others => "every interface without an endpoint of its own".to_owned(),
            };
            format!("{name}{}", suffix(families))
        };
        let count = self.unpoliced.len();
        let named: Vec<String> = self.unpoliced.iter().take(NAMED).map(name).collect();
        let more = match count.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let explained = |family: &HostFamily| self.ip6_unasked && *family == HostFamily::Ip6;
        let mut families = self.unpoliced.values().flatten();
        let is_explained = families.clone().any(explained);
        let endpoint = families
            .any(|family| !explained(family))
            .then_some("no endpoint of this host is for it");
        let ip6 = is_explained.then_some("ours accept all of IPv6 (`Ipv6Support`)");
        let reasons: Vec<&str> = endpoint.into_iter().chain(ip6).collect();
        (count > 0).then(|| {
            format!(
                "Felix's rules police what ours do not: {}{more}. It would be without policy: {}",
                named.join(", "),
                reasons.join(", or ")
            )
        })
    }

    /// Returns the tables of `iptables-nft` from which something goes.
    pub fn removable(&self) -> impl Iterator<Item = &SharedTable> {
        let shared = self.shared.iter();
        shared.filter(|table| table.has_work() && !self.is_held(table.family))
    }

    /// Tells whether there is anything that a removal could take away, if no interface were then without policy.
    pub fn has_removable(&self) -> bool {
        !self.tables.is_empty() || self.removable().next().is_some()
    }

    /// Tells whether something keeps the tables of a family as they are.
    pub fn is_held(&self, family: HostFamily) -> bool {
        self.held.iter().any(|held| held.family == family)
    }

    /// Says in short what a removal takes away; empty where there is nothing to do.
    pub fn summary(&self) -> String {
        let own = self.tables.iter().map(|table| format!("table `{table}`"));
        let shared = self.removable().map(|table| {
            let removed = table.count(ChainFate::Removed);
            let emptied = table.count(ChainFate::Emptied);
            let kept = match emptied {
                0 => String::new(),
                count => format!(", and the rules of {count} that others lead to"),
            };
            format!(
                "{} and {} of table `{} {}`{kept}",
                counted(table.rules.len(), "rule"),
                counted(removed, "chain"),
                table.family,
                table.name
            )
        });
        own.chain(shared).collect::<Vec<_>>().join("; ")
    }

    /// Names every single thing and what becomes of it, in the imperative.
    pub fn lines(&self) -> Vec<String> {
        let own = self
            .tables
            .iter()
            .map(|table| format!("remove table `{table}` with all it holds"));
        let shared = self.shared.iter();
        let shared = shared.filter(|table| !self.is_held(table.family));
        let shared = shared.flat_map(SharedTable::lines);
        let held = self.held.iter().map(ToString::to_string);
        own.chain(shared).chain(held).collect()
    }
}

impl SharedTable {
    fn has_work(&self) -> bool {
        !self.rules.is_empty()
            || self
                .chains
                .iter()
                .any(|chain| chain.fate != ChainFate::Kept)
    }

    fn count(&self, fate: ChainFate) -> usize {
        self.chains
            .iter()
            .filter(|chain| chain.fate == fate)
            .count()
    }

    fn lines(&self) -> Vec<String> {
        let Self { family, name, .. } = self;
        let rules = self.rules.iter().map(|rule| {
            let chain = rule.chain.escape_debug();
            let comment = rule
                .comment
                .as_ref()
                .map(|text| format!(" `{}`", text.escape_debug()))
                .unwrap_or_default();
            let target = rule
                .target
                .as_ref()
                .map(|target| format!(" that leads to `{}`", target.escape_debug()))
                .unwrap_or_default();
            let age = match (&rule.comment, &rule.target) {
                (None, None) => " of Felix 1.4",
                (Some(_) | None, _) => "",
            };
            format!("remove rule{comment}{age} of chain `{family} {name} {chain}`{target}")
        });
        let chains = self.chains.iter().map(|chain| {
            let place = format!("chain `{family} {name} {}`", chain.name.escape_debug());
            match chain.fate {
                ChainFate::Removed => format!("remove {place}"),
                ChainFate::Emptied => {
                    format!("empty {place}, which rules that are not Felix's lead to")
                }
                ChainFate::Kept => {
                    format!("keep {place}, which is empty: rules that are not Felix's lead to it")
                }
            }
        });
        rules.chain(chains).collect()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "keep all that Felix has in the tables of iptables, family {}, for now: without it {}",
            self.family, self.advice
        )
    }
}

/// Says in which families, where it is not in both.
fn suffix(families: &BTreeSet<HostFamily>) -> &'static str {
    let is_in = |family| families.contains(&family);
    match (is_in(HostFamily::Ip), is_in(HostFamily::Ip6)) {
        (true, false) => " in IPv4",
        (false, true) => " in IPv6",
        (true, true) | (false, false) => "",
    }
}

fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(name: &str, fate: ChainFate) -> FelixChain {
        FelixChain {
            name: name.to_owned(),
            fate,
        }
    }

    fn shared(rules: Vec<FelixRule>, chains: Vec<FelixChain>) -> Leftovers {
        Leftovers {
            shared: vec![SharedTable {
                family: HostFamily::Ip,
                name: "filter",
                rules,
                chains,
            }],
            ..Leftovers::default()
        }
    }

    #[test]
    fn empty_chains_that_others_lead_to_are_no_work() {
        assert!(Leftovers::default().is_empty());
        let kept = shared(vec![], vec![chain("cali-x", ChainFate::Kept)]);
        assert!(kept.is_empty() && !kept.has_removable());
        assert_eq!(kept.summary(), "");
        let emptied = shared(vec![], vec![chain("cali-x", ChainFate::Emptied)]);
        assert!(!emptied.is_empty() && emptied.has_removable());
    }

    #[test]
    fn what_would_be_without_policy_is_named_with_its_family_and_the_reason() {
        let eth0 = || Unpoliced::Interface("eth0".to_owned());
        let both = [HostFamily::Ip, HostFamily::Ip6];
        let line = |unpoliced: Vec<(Unpoliced, &[HostFamily])>, ip6_unasked| {
            let unpoliced = unpoliced
                .into_iter()
                .map(|(unpoliced, families)| (unpoliced, families.iter().copied().collect()));
            let found = Leftovers {
                unpoliced: unpoliced.collect(),
                ip6_unasked,
                ..Leftovers::default()
            };
            found.unpoliced_line().unwrap_or_default()
        };
        assert_eq!(line(vec![], true), "");
        assert_eq!(
            line(vec![(eth0(), &both)], false),
            "Felix's rules police what ours do not: `eth0`. It would be without policy: no endpoint of this host is \
             for it"
        );
        assert_eq!(
            line(vec![(eth0(), &[HostFamily::Ip6])], true),
            "Felix's rules police what ours do not: `eth0` in IPv6. It would be without policy: ours accept all of \
             IPv6 (`Ipv6Support`)"
        );
        assert_eq!(
            line(
                vec![(eth0(), &[HostFamily::Ip6]), (Unpoliced::Others, &both)],
                true
            ),
            "Felix's rules police what ours do not: `eth0` in IPv6, every interface without an endpoint of its own. It \
             would be without policy: no endpoint of this host is for it, or ours accept all of IPv6 (`Ipv6Support`)"
        );
        let ip = line(vec![(eth0(), &[HostFamily::Ip])], true);
        assert!(
            ip.contains("`eth0` in IPv4. ") && !ip.contains("Ipv6Support"),
            "{ip}"
        );
    }

    #[test]
    fn what_others_wrote_is_shown_without_control_characters() {
        let rule = FelixRule {
            chain: "IN\u{1b}[31m".to_owned(),
            handle: 1,
            comment: Some("cali:\n".to_owned()),
            target: None,
        };
        let found = shared(vec![rule], vec![chain("cali-\r", ChainFate::Removed)]);
        assert_eq!(
            found.lines(),
            [
                "remove rule `cali:\\n` of chain `ip filter IN\\u{1b}[31m`",
                "remove chain `ip filter cali-\\r`",
            ]
        );
        assert_eq!(found.summary(), "1 rule and 1 chain of table `ip filter`");
    }
}
