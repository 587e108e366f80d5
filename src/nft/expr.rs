//! Matches and statements, each at the level at which `nft` writes them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{ChainName, CounterName, SetName};
use crate::net::{Family, InterfaceName, PortRange, Protocol};

/// Bits of the connection state, as `NF_CT_STATE_*_BIT` of `linux/netfilter/nf_conntrack_common.h`.
pub mod ct_state {
    /// The packet belongs to no connection and can begin none.
    pub const INVALID: u32 = 1;
    /// The packet belongs to a connection that has seen packets both ways.
    pub const ESTABLISHED: u32 = 2;
    /// The packet begins, or belongs to, a connection that another one announced.
    pub const RELATED: u32 = 4;
    /// The packet begins a connection.
    pub const NEW: u32 = 8;
    /// The packet bypasses connection tracking.
    pub const UNTRACKED: u32 = 64;
}

/// Bits of the connection status, as `IPS_*` of `linux/netfilter/nf_conntrack_common.h`.
pub mod ct_status {
    /// The destination of the connection has been translated.
    pub const DNAT: u32 = 32;
}

/// Whether a match asks for sameness or for difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// The value is equal, inside the range, or in the set.
    Is,
    /// The value differs, is outside the range, or not in the set.
    IsNot,
}

/// Which end of the packet a match looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The sender's.
    Source,
    /// The receiver's.
    Destination,
}

/// Which of the packet's two interfaces a match looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceSide {
    /// The interface the packet came in by (`iifname`).
    Input,
    /// The interface the packet goes out by (`oifname`).
    Output,
}

/// What an interface name is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InterfaceMatch {
    /// The whole name.
    Name(InterfaceName),
    /// The beginning of the name, such as `cali` for `cali*`.
    Prefix(InterfaceName),
}

/// One field of a key that is looked up in a set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An address of the given family; the rule has asked for that family before.
    Address(Family, Side),
    /// The first so many bits of an address, and zeros for the others: the first address of the prefix that
    /// holds it. The family as with [`Key::Address`].
    Network(Family, Side, u8),
    /// The transport protocol.
    Protocol,
    /// A transport port.
    Port(Side),
    /// An interface name.
    Interface(InterfaceSide),
}

/// What a set or map is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookUp {
    /// The fields of the key.
    pub keys: Vec<Key>,
    /// The set or map.
    pub set: SetName,
}

/// The unit of time of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitUnit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
}

impl LimitUnit {
    /// Returns the length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// A limit on how often the rest of a rule is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// How often in each unit of time.
    pub rate: u64,
    /// The unit of time.
    pub unit: LimitUnit,
    /// How many more may come at once.
    pub burst: u32,
}

/// How a packet is refused where silence is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectWith {
    /// With ICMP or `ICMPv6` "port unreachable", by the packet's family.
    PortUnreachable,
    /// With a TCP reset.
    TcpReset,
}

/// Where a packet goes next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The packet passes this base chain.
    Accept,
    /// The packet is discarded.
    Drop,
    /// The chain that jumped here goes on.
    Return,
    /// The named chain is asked, then this one goes on.
    Jump(ChainName),
    /// The named chain is asked in place of the rest of this one.
    Goto(ChainName),
}

/// A match or a statement; a rule is a list of them.
///
/// Matches on addresses and translations to an address imply no check of the family, and matches on ports or
/// ICMP and translations to ports none of the protocol: a rule asks for these itself, by
/// [`Expr::NetworkFamily`] and [`Expr::Protocol`], before.
///
/// A start holds those of all rules at once, five of them in a rule: what is large and rare is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expr {
    /// `meta nfproto ipv4`.
    NetworkFamily(Family),
    /// `meta l4proto tcp`.
    Protocol(Comparison, Protocol),
    /// `iifname "eth0"`.
    Interface(InterfaceSide, Comparison, Box<InterfaceMatch>),
    /// `iif != 0`: the packet came in by an interface, so it is not of this host's making.
    HasInputInterface,
    /// `fib saddr . mark . iif oif missing`: the route back to the sender does not lead out of the interface
    /// that the packet came in by.
    NoReversePath,
    /// `ip saddr 10.0.0.0/8`.
    Address(Side, Comparison, IpNet),
    /// `th dport 8000-8099`.
    Port(Side, Comparison, PortRange),
    /// `icmp type 8`.
    IcmpType(Family, Comparison, u8),
    /// `icmp code 0`.
    IcmpCode(Family, Comparison, u8),
    /// `icmpv6 type 130-136`, an inclusive range.
    IcmpTypeRange(Family, Comparison, u8, u8),
    /// `ct state established,related`: one of the bits of [`ct_state`] is set.
    CtState(u32),
    /// `ct status dnat`: one of the bits of [`ct_status`] is set.
    CtStatus(u32),
    /// `meta mark & 0x20000 != 0` where it is (any of the bits is set), `== 0` where it is not (none is).
    MarkBits(Comparison, u32),
    /// `ip saddr @set`, with several fields `ip daddr . meta l4proto . th dport @set`, and of a part of the address
    /// `ip saddr & 255.255.255.0 == @set`.
    InSet(Comparison, Box<LookUp>),
    /// `iifname vmap @map`.
    VerdictMap(Box<LookUp>),
    /// `meta mark set meta mark & ~mask | value`.
    SetMark {
        /// The bits that change.
        mask: u32,
        /// What they become.
        value: u32,
    },
    /// `counter`.
    Counter,
    /// `counter name "pol-in-allow-default.web"`: the packet is counted in an object of its own, which outlives
    /// the rule.
    CountIn(CounterName),
    /// `limit rate 5/minute burst 5 packets`.
    Limit(Limit),
    /// `log prefix "..."`.
    Log {
        /// What stands before the packet's description; at most 127 bytes reach the log.
        prefix: Box<str>,
    },
    /// `notrack`.
    NoTrack,
    /// `dnat ip to 10.0.0.1:8775`: the connection goes to another destination.
    Dnat {
        /// The new address.
        address: IpAddr,
        /// The new port; without it the port stays.
        port: Option<u16>,
    },
    /// `snat ip to 192.0.2.1:1024-2048`: the connection comes from another source.
    Snat {
        /// The new address.
        address: IpAddr,
        /// The ports of which the kernel picks one; without them it keeps the port where it can.
        ports: Option<PortRange>,
    },
    /// `masquerade to :1024-2048`: the connection comes from an address of the interface it goes out by.
    Masquerade {
        /// The ports of which the kernel picks one; without them it keeps the port where it can.
        ports: Option<PortRange>,
    },
    /// `reject`.
    Reject(RejectWith),
    /// The end of the rule.
    Verdict(Verdict),
}

impl Expr {
    /// Makes a comparison with an interface name.
    pub fn interface(side: InterfaceSide, comparison: Comparison, name: InterfaceMatch) -> Self {
        Self::Interface(side, comparison, Box::new(name))
    }

    /// Makes a look-up in a set.
    pub fn in_set(keys: Vec<Key>, comparison: Comparison, set: SetName) -> Self {
        Self::InSet(comparison, Box::new(LookUp { keys, set }))
    }

    /// Makes a look-up in a verdict map.
    pub fn verdict_map(keys: Vec<Key>, map: SetName) -> Self {
        Self::VerdictMap(Box::new(LookUp { keys, set: map }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_no_larger_than_a_verdict_and_its_kind() {
        assert!(size_of::<Expr>() <= 8 + size_of::<Verdict>());
    }
}
