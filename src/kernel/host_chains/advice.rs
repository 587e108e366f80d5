//! What an operator would type to let a chain accept what policy accepted.

use std::fmt;

use super::chain::{HostChain, HostFamily};

/// How packets that policy accepted are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The bit of the packet mark.
    pub mark: u32,
    /// The priority of the last of our chains that sets it at the input, forward and output hooks.
    pub priority: i32,
}

/// Advice for one chain that drops what policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The chain.
    pub chain: HostChain,
    /// How it drops.
    pub drops: Drops,
    /// What to do.
    pub remedy: Remedy,
}

/// How a chain drops what policy accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drops {
    /// Whatever none of its rules decides.
    ByDefault,
    /// By a rule, of its own or of a chain that it leads to.
    ByRule,
}

/// What lets a chain accept the mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// This command, as root.
    Command(String),
    /// None: the chain is asked before policy is, so that no packet carries the mark yet.
    AskedTooEarly,
    /// None that can be typed: a name has characters that the language of `nft` does not take.
    NameCannotBeTyped,
    /// None: nothing that policy accepts is marked.
    NothingMarked,
}

/// Says for each chain that drops by default, and does not accept the mark yet, how it would accept what policy
/// accepted.
///
/// A chain whose policy is accept can drop by its last rule; its rules are not read, so nothing is said of it.
pub fn advice(found: &[HostChain], accepted: Accepted) -> Vec<Advice> {
    found
        .iter()
        .filter(|chain| chain.drops_by_default() && !chain.accepts_mark)
        .map(|chain| Advice::new(chain.clone(), Drops::ByDefault, Some(accepted)))
        .collect()
}

impl Advice {
    /// Says how a chain would accept what policy accepted.
    pub(in crate::kernel) fn new(
        chain: HostChain,
        drops: Drops,
        accepted: Option<Accepted>,
    ) -> Self {
        let remedy = accepted.map_or(Remedy::NothingMarked, |accepted| remedy(&chain, accepted));
        Self {
            chain,
            drops,
            remedy,
        }
    }
}

fn remedy(chain: &HostChain, accepted: Accepted) -> Remedy {
    let Accepted { mark, priority } = accepted;
    let HostChain {
        family,
        table,
        name,
        ..
    } = chain;
    if chain.priority <= priority {
        return Remedy::AskedTooEarly;
    }
    if chain.is_of_iptables() {
        let program = match family {
            HostFamily::Ip6 => "ip6tables",
            HostFamily::Ip | HostFamily::Inet => "iptables",
        };
        return Remedy::Command(format!(
            "{program} -I {name} -m mark --mark {mark:#x}/{mark:#x} -j ACCEPT"
        ));
    }
    if !(is_word(table) && is_word(name)) {
        return Remedy::NameCannotBeTyped;
    }
    Remedy::Command(format!(
        "nft insert rule {family} {table} {name} meta mark and {mark:#x} == {mark:#x} accept"
    ))
}

/// Tells whether a name is a word to `nft`, and so to a shell too.
fn is_word(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'));
    let later = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    first && bytes.all(later)
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = &self.chain;
        let drops = match self.drops {
            Drops::ByDefault => "drops by default",
            Drops::ByRule => "drops by a rule",
        };
        write!(f, "the chain `{chain}` {drops}, also what policy accepts: ")?;
        match &self.remedy {
            Remedy::Command(command) => write!(f, "`{command}` lets it pass"),
            Remedy::AskedTooEarly => write!(
                f,
                "its priority {} comes before policy is asked, so no rule there can tell",
                chain.priority
            ),
            Remedy::NameCannotBeTyped => {
                f.write_str("`nft` cannot be given its name, so no command can be named")
            }
            Remedy::NothingMarked => {
                let why = match chain.family {
                    HostFamily::Ip6 => "NftablesFilterAllowAction is RETURN, or Ipv6Support is off",
                    HostFamily::Ip | HostFamily::Inet => "NftablesFilterAllowAction is RETURN",
                };
                write!(
                    f,
                    "our rules mark nothing ({why}), so no rule there can tell"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::host_chains::HostPolicy;
    use crate::nft::Hook;

    const ACCEPTED: Accepted = Accepted {
        mark: 0x10000,
        priority: -7,
    };

    fn chain(family: HostFamily, table: &str, name: &str, hook: Hook) -> HostChain {
        HostChain {
            family,
            table: table.to_owned(),
            name: name.to_owned(),
            hook,
            priority: 0,
            policy: HostPolicy::Drop,
            accepts_mark: false,
        }
    }

    fn only(chain: HostChain) -> Remedy {
        let [advice] = advice(&[chain], ACCEPTED).try_into().unwrap();
        advice.remedy
    }

    #[test]
    fn the_command_is_that_of_whoever_made_the_chain() {
        for (chain, command) in [
            (
                chain(HostFamily::Ip, "filter", "INPUT", Hook::Input),
                "iptables -I INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT",
            ),
            (
                chain(HostFamily::Ip6, "filter", "FORWARD", Hook::Forward),
                "ip6tables -I FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT",
            ),
            (
                chain(HostFamily::Inet, "filter", "input", Hook::Input),
                "nft insert rule inet filter input meta mark and 0x10000 == 0x10000 accept",
            ),
            (
                chain(HostFamily::Inet, "filter", "INPUT", Hook::Input),
                "nft insert rule inet filter INPUT meta mark and 0x10000 == 0x10000 accept",
            ),
            (
                chain(HostFamily::Ip, "filter", "FORWARD", Hook::Input),
                "nft insert rule ip filter FORWARD meta mark and 0x10000 == 0x10000 accept",
            ),
        ] {
            assert_eq!(only(chain), Remedy::Command(command.to_owned()));
        }
    }

    #[test]
    fn a_chain_that_passes_by_default_or_accepts_the_mark_needs_no_advice() {
        let passing = HostChain {
            policy: HostPolicy::Accept,
            ..chain(HostFamily::Ip, "filter", "INPUT", Hook::Input)
        };
        let doubtful = HostChain {
            policy: HostPolicy::Unknown,
            ..passing.clone()
        };
        let told = HostChain {
            accepts_mark: true,
            ..doubtful.clone()
        };
        assert_eq!(advice(&[passing, told], ACCEPTED), []);
        assert_eq!(advice(&[doubtful], ACCEPTED).len(), 1);
    }

    #[test]
    fn a_chain_before_ours_has_no_remedy() {
        for (priority, early) in [(-300, true), (-7, true), (-6, false)] {
            let chain = HostChain {
                priority,
                ..chain(HostFamily::Inet, "filter", "input", Hook::Input)
            };
            assert_eq!(only(chain) == Remedy::AskedTooEarly, early, "{priority}");
        }
    }

    #[test]
    fn no_command_holds_what_a_shell_would_run() {
        for name in ["x; reboot", "$(reboot)", "a\nb", "", "1a", "-f", "a b", "ä"] {
            let table = chain(HostFamily::Inet, name, "input", Hook::Input);
            assert_eq!(only(table), Remedy::NameCannotBeTyped, "{name}");
            let chain = chain(HostFamily::Inet, "filter", name, Hook::Input);
            assert_eq!(only(chain), Remedy::NameCannotBeTyped, "{name}");
        }
        let odd = chain(HostFamily::Inet, "a\nb", "\u{1b}[31m", Hook::Input);
        let [advice] = advice(&[odd], ACCEPTED).try_into().unwrap();
        assert_eq!(
            advice.to_string(),
            "the chain `inet a\\nb \\u{1b}[31m` drops by default, also what policy accepts: `nft` cannot be \
             given its name, so no command can be named"
        );
    }
}
