//! A base chain of another table.

use std::fmt;

use crate::kernel::encode::consts::nfnetlink;
use crate::nft::Hook;

/// The table that `iptables-nft` filters in.
pub(super) const FILTER_TABLE: &str = "filter";

/// The family of a table that sees packets of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostFamily {
    /// `ip`.
    Ip,
    /// `ip6`.
    Ip6,
    /// `inet`.
    Inet,
}

impl HostFamily {
    /// Returns the family of a number, `NFPROTO_*`.
    pub(super) fn of_number(number: u8) -> Option<Self> {
        match number {
            nfnetlink::NFPROTO_IPV4 => Some(Self::Ip),
            nfnetlink::NFPROTO_IPV6 => Some(Self::Ip6),
            nfnetlink::NFPROTO_INET => Some(Self::Inet),
            _ => None,
        }
    }

    /// Returns the number, `NFPROTO_*`.
    pub(in crate::kernel) fn number(self) -> u8 {
        match self {
            Self::Ip => nfnetlink::NFPROTO_IPV4,
            Self::Ip6 => nfnetlink::NFPROTO_IPV6,
            Self::Inet => nfnetlink::NFPROTO_INET,
        }
    }
}

impl fmt::Display for HostFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
        })
    }
}

/// What a base chain does with packets that none of its rules decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPolicy {
    /// They pass.
    Accept,
    /// They are dropped.
    Drop,
    /// The kernel says something else.
    Unknown,
}

/// A base chain of another table that filters packets to, through or from this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostChain {
    /// The family of its table.
    pub family: HostFamily,
    /// The table; bytes that are no UTF-8 are replaced.
    pub table: String,
    /// The chain's name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// The hook: input, forward or output.
    pub hook: Hook,
    /// The priority; smaller is asked earlier.
    pub priority: i32,
    /// What becomes of packets that no rule decides.
    pub policy: HostPolicy,
    /// Whether one of its own rules accepts whatever carries the mark; only looked for where the policy is not
    /// to accept.
    pub accepts_mark: bool,
}

impl HostChain {
    /// Tells whether packets that no rule decides do not pass, or that is in doubt.
    pub fn drops_by_default(&self) -> bool {
        match self.policy {
            HostPolicy::Drop | HostPolicy::Unknown => true,
            HostPolicy::Accept => false,
        }
    }

    /// Tells whether the chain is one that `iptables-nft` makes and lists.
    pub fn is_of_iptables(&self) -> bool {
        let name = match self.hook {
            Hook::Input => "INPUT",
            Hook::Forward => "FORWARD",
            Hook::Output => "OUTPUT",
            Hook::Prerouting | Hook::Postrouting => return false,
        };
        let family = match self.family {
            HostFamily::Ip | HostFamily::Ip6 => true,
            HostFamily::Inet => false,
        };
        family && self.table == FILTER_TABLE && self.name == name && self.priority == 0
    }
}

impl fmt::Display for HostChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, name) = (self.table.escape_debug(), self.name.escape_debug());
        write!(f, "{} {table} {name}", self.family)
    }
}
