//! Rules and what they consist of.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::net::{Family, InterfaceName, PortRange, Protocol};
use crate::nft::{
    Comparison, Element, ElementKey, Expr, InterfaceMatch, InterfaceSide, Key, Limit, LimitUnit,
    LookUp, RejectWith, Rule, Side, Verdict, ct_state, ct_status,
};

/// The longest comment in bytes: `NFTNL_UDATA_COMMENT_MAXLEN` of `libnftnl/udata.h`.
const COMMENT: usize = 128;

/// The longest prefix of a log line in bytes: `NF_LOG_PREFIXLEN` of `linux/netfilter/nf_log.h` less the final
/// NUL.
const LOG_PREFIX: usize = 127;

/// The burst of a limit that names none.
const DEFAULT_BURST: u32 = 5;

/// The bits of the connection state in the order in which `nft` names them.
const STATES: [(u32, &str); 5] = [
    (ct_state::INVALID, "invalid"),
    (ct_state::ESTABLISHED, "established"),
    (ct_state::RELATED, "related"),
    (ct_state::NEW, "new"),
    (ct_state::UNTRACKED, "untracked"),
];

/// The bits of the connection status that have a use here.
const STATUSES: [(u32, &str); 1] = [(ct_status::DNAT, "dnat")];

/// What a rule has asked so far, which decides how later matches are written.
#[derive(Clone, Copy)]
enum Asked {
    /// The expression stands alone, and whatever it depends on is taken as asked.
    Anything,
    /// The last family and protocol that a rule has asked for.
    Only(Option<Family>, Option<Protocol>),
}

impl Asked {
    fn family(self, family: Family) -> bool {
        match self {
            Self::Anything => true,
            Self::Only(asked, _) => asked == Some(family),
        }
    }

    fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Anything => None,
            Self::Only(_, protocol) => protocol,
        }
    }

    fn icmp(self, family: Family) -> bool {
        match self {
            Self::Anything => true,
            Self::Only(_, asked) => asked == Some(icmp_protocol(family)),
        }
    }
}

impl fmt::Display for Rule {
    /// Shows the rule as `nft list` does: a match on the family or protocol is left out where a later match
    /// says as much. A match on addresses, ports or ICMP that lacks the one it depends on is shown as the
    /// raw bytes that it compares.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut family, mut protocol) = (None, None);
        let mut first = true;
        for (index, expr) in self.exprs.iter().enumerate() {
            if let Expr::NetworkFamily(asked) = expr {
                family = Some(*asked);
            }
            if let Expr::Protocol(Comparison::Is, asked) = expr {
                protocol = Some(*asked);
            }
            let later = self.exprs.get(index + 1..).unwrap_or_default();
            if implied(expr, later) {
                continue;
            }
            if !first {
                f.write_str(" ")?;
            }
            first = false;
            write_expr(f, expr, Asked::Only(family, protocol))?;
        }
        if let Some(comment) = &self.comment {
            let space = if first { "" } else { " " };
            write!(f, "{space}comment {}", quoted(comment, COMMENT))?;
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_expr(f, self, Asked::Anything)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl fmt::Display for ElementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => write_net(f, net),
            Self::AddressPort(address, protocol, port) => {
                let protocol = protocol_name(*protocol);
                write!(f, "{address} . {protocol} . {port}")
            }
            Self::Ports(range) => write!(f, "{range}"),
            Self::Interface(name) => f.write_str(&interface(name)),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            None => write!(f, "{}", self.key),
            Some(verdict) => write!(f, "{} : {verdict}", self.key),
        }
    }
}

/// Tells whether `expr` need not be written because one of the matches right after it implies it.
fn implied(expr: &Expr, later: &[Expr]) -> bool {
    let matches = later.iter().take_while(|expr| is_match(expr));
    match expr {
        Expr::NetworkFamily(family) => matches.clone().any(|expr| needs_family(expr, *family)),
        Expr::Protocol(Comparison::Is, protocol) => matches
            .take_while(|expr| !matches!(expr, Expr::Protocol(Comparison::Is, _)))
            .any(|expr| needs_protocol(expr, *protocol)),
        Expr::Protocol(Comparison::IsNot, _)
        | Expr::Interface(..)
        | Expr::HasInputInterface
        | Expr::NoReversePath
        | Expr::Address(..)
        | Expr::Port(..)
        | Expr::IcmpType(..)
        | Expr::IcmpCode(..)
        | Expr::IcmpTypeRange(..)
        | Expr::CtState(_)
        | Expr::CtStatus(_)
        | Expr::MarkBits(..)
        | Expr::InSet(..)
        | Expr::VerdictMap(..)
        | Expr::SetMark { .. }
        | Expr::Counter
        | Expr::CountIn(_)
        | Expr::Limit(_)
        | Expr::Log { .. }
        | Expr::NoTrack
        | Expr::Dnat { .. }
        | Expr::Snat { .. }
        | Expr::Masquerade { .. }
        | Expr::Reject(_)
        | Expr::Verdict(_) => false,
    }
}

fn is_match(expr: &Expr) -> bool {
    match expr {
        Expr::NetworkFamily(_)
        | Expr::Protocol(..)
        | Expr::Interface(..)
        | Expr::HasInputInterface
        | Expr::NoReversePath
        | Expr::Address(..)
        | Expr::Port(..)
        | Expr::IcmpType(..)
        | Expr::IcmpCode(..)
        | Expr::IcmpTypeRange(..)
        | Expr::CtState(_)
        | Expr::CtStatus(_)
        | Expr::MarkBits(..)
        | Expr::InSet(..) => true,
        Expr::VerdictMap(..)
        | Expr::SetMark { .. }
        | Expr::Counter
        | Expr::CountIn(_)
        | Expr::Limit(_)
        | Expr::Log { .. }
        | Expr::NoTrack
        | Expr::Dnat { .. }
        | Expr::Snat { .. }
        | Expr::Masquerade { .. }
        | Expr::Reject(_)
        | Expr::Verdict(_) => false,
    }
}

/// Tells whether `nft` asks for the family of its own accord before this match.
fn needs_family(expr: &Expr, family: Family) -> bool {
    if let Expr::InSet(_, look_up) = expr {
        let address = |key: &Key| matches!(key, Key::Address(of, _) | Key::Network(of, _, _) if *of == family);
        return look_up.keys.iter().any(address);
    }
    matches!(expr, Expr::Address(_, _, net) if Family::of_net(net) == family)
}

/// Tells whether `nft` asks for the protocol of its own accord before this match.
fn needs_protocol(expr: &Expr, protocol: Protocol) -> bool {
    if let Expr::IcmpType(family, ..)
    | Expr::IcmpCode(family, ..)
    | Expr::IcmpTypeRange(family, ..) = expr
    {
        return protocol == icmp_protocol(*family);
    }
    let port = matches!(expr, Expr::Port(..)) || looks_up_port(expr);
    port && ports_of(protocol).is_some()
}

fn looks_up_port(expr: &Expr) -> bool {
    matches!(expr, Expr::InSet(_, asked) if asked.keys.iter().any(|key| matches!(key, Key::Port(_))))
}

fn icmp_protocol(family: Family) -> Protocol {
    match family {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    }
}

/// Returns the word before `sport` and `dport` for a protocol that has ports.
fn ports_of(protocol: Protocol) -> Option<&'static str> {
    [
        (Protocol::TCP, "tcp"),
        (Protocol::UDP, "udp"),
        (Protocol::SCTP, "sctp"),
        (Protocol::UDPLITE, "udplite"),
    ]
    .into_iter()
    .find(|(known, _)| *known == protocol)
    .map(|(_, word)| word)
}

/// Names a protocol as `nft` does.
fn protocol_name(protocol: Protocol) -> String {
    if protocol == Protocol::ICMPV6 {
        "ipv6-icmp".to_owned()
    } else {
        protocol.to_string()
    }
}

fn write_expr(f: &mut fmt::Formatter<'_>, expr: &Expr, asked: Asked) -> fmt::Result {
    match expr {
        Expr::NetworkFamily(family) => write!(f, "meta nfproto ipv{}", family.version()),
        Expr::Protocol(comparison, protocol) => {
            let not = not(*comparison);
            write!(f, "meta l4proto {not}{}", protocol_name(*protocol))
        }
        Expr::Interface(side, comparison, name) => {
            let name = match &**name {
                InterfaceMatch::Name(name) => interface(name),
                InterfaceMatch::Prefix(name) => format!("\"{}*\"", escaped(name)),
            };
            write!(f, "{} {}{name}", interface_word(*side), not(*comparison))
        }
        Expr::HasInputInterface => f.write_str("iif != 0"),
        Expr::NoReversePath => f.write_str("fib saddr . mark . iif oif missing"),
        Expr::Address(side, comparison, net) => {
            if asked.family(Family::of_net(net)) {
                let word = address_word(Family::of_net(net), *side);
                write!(f, "{word} {}", not(*comparison))?;
                write_net(f, net)
            } else {
                write_raw_net(f, *side, *comparison, net)
            }
        }
        Expr::Port(side, comparison, range) => {
            write!(f, "{} {}{range}", port_word(*side, asked), not(*comparison))
        }
        Expr::IcmpType(family, comparison, value) => {
            write_icmp(f, *family, asked, "type", *comparison, value)
        }
        Expr::IcmpCode(family, comparison, value) => {
            write_icmp(f, *family, asked, "code", *comparison, value)
        }
        Expr::IcmpTypeRange(family, comparison, first, last) => {
            let range = format!("{first}-{last}");
            write_icmp(f, *family, asked, "type", *comparison, &range)
        }
        Expr::CtState(bits) => write!(f, "ct state {}", bit_names(*bits, &STATES)),
        Expr::CtStatus(bits) => write!(f, "ct status {}", bit_names(*bits, &STATUSES)),
        Expr::MarkBits(comparison, bits) => {
            let sign = match comparison {
                Comparison::Is => "!=",
                Comparison::IsNot => "==",
            };
            write!(f, "meta mark & 0x{bits:08x} {sign} 0x00000000")
        }
        Expr::InSet(comparison, look_up) => {
            let LookUp { keys, set } = &**look_up;
            write_keys(f, keys, asked)?;
            let masked = keys.iter().any(|key| matches!(key, Key::Network(..)));
            // As `nft` does it: between a mask and a set it names the comparison that it leaves out elsewhere.
            let is = if masked { "== " } else { "" };
            let sign = match comparison {
                Comparison::Is => is,
                Comparison::IsNot => "!= ",
            };
            write!(f, " {sign}@{set}")
        }
        Expr::VerdictMap(look_up) => {
            write_keys(f, &look_up.keys, asked)?;
            write!(f, " vmap @{}", look_up.set)
        }
        Expr::SetMark { mask, value } => write_set_mark(f, *mask, *value),
        Expr::Counter => f.write_str("counter"),
        Expr::CountIn(counter) => write!(f, "counter name \"{counter}\""),
        Expr::Limit(limit) => write_limit(f, limit),
        Expr::Log { prefix } => write!(f, "log prefix {}", quoted(prefix, LOG_PREFIX)),
        Expr::NoTrack => f.write_str("notrack"),
        Expr::Dnat { address, port } => {
            write_translation(f, "dnat", *address, port.map(PortRange::single))
        }
        Expr::Snat { address, ports } => write_translation(f, "snat", *address, *ports),
        Expr::Masquerade { ports: None } => f.write_str("masquerade"),
        Expr::Masquerade { ports: Some(ports) } => write!(f, "masquerade to :{ports}"),
        Expr::Reject(RejectWith::PortUnreachable) => f.write_str("reject"),
        Expr::Reject(RejectWith::TcpReset) => f.write_str("reject with tcp reset"),
        Expr::Verdict(verdict) => write!(f, "{verdict}"),
    }
}

fn not(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Is => "",
        Comparison::IsNot => "!= ",
    }
}

fn address_word(family: Family, side: Side) -> &'static str {
    match (family, side) {
        (Family::V4, Side::Source) => "ip saddr",
        (Family::V4, Side::Destination) => "ip daddr",
        (Family::V6, Side::Source) => "ip6 saddr",
        (Family::V6, Side::Destination) => "ip6 daddr",
    }
}

/// Returns the place of an address in the network header: its offset and length in bits.
fn address_place(family: Family, side: Side) -> &'static str {
    match (family, side) {
        (Family::V4, Side::Source) => "@nh,96,32",
        (Family::V4, Side::Destination) => "@nh,128,32",
        (Family::V6, Side::Source) => "@nh,64,128",
        (Family::V6, Side::Destination) => "@nh,192,128",
    }
}

fn interface_word(side: InterfaceSide) -> &'static str {
    match side {
        InterfaceSide::Input => "iifname",
        InterfaceSide::Output => "oifname",
    }
}

fn port_word(side: Side, asked: Asked) -> String {
    let header = asked.protocol().and_then(ports_of).unwrap_or("th");
    match side {
        Side::Source => format!("{header} sport"),
        Side::Destination => format!("{header} dport"),
    }
}

fn write_net(f: &mut fmt::Formatter<'_>, net: &IpNet) -> fmt::Result {
    if net.prefix_len() == net.max_prefix_len() {
        write!(f, "{}", net.addr())
    } else {
        write!(f, "{net}")
    }
}

fn write_raw_net(
    f: &mut fmt::Formatter<'_>,
    side: Side,
    comparison: Comparison,
    net: &IpNet,
) -> fmt::Result {
    let place = address_place(Family::of_net(net), side);
    let sign = match comparison {
        Comparison::Is => "==",
        Comparison::IsNot => "!=",
    };
    let (mask, value) = (number(net.netmask()), number(net.network()));
    write!(f, "{place} & {mask} {sign} {value}")
}

/// Returns the mask that leaves the first so many bits of an address.
fn netmask(family: Family, length: u8) -> IpAddr {
    match family {
        Family::V4 => {
            let zeros = u32::from(32_u8.saturating_sub(length));
            IpAddr::V4(u32::MAX.checked_shl(zeros).unwrap_or(0).into())
        }
        Family::V6 => {
            let zeros = u32::from(128_u8.saturating_sub(length));
            IpAddr::V6(u128::MAX.checked_shl(zeros).unwrap_or(0).into())
        }
    }
}

/// Writes an address as `nft` writes bytes that it does not take for one.
fn number(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("0x{:x}", v4.to_bits()),
        IpAddr::V6(v6) => format!("0x{:x}", v6.to_bits()),
    }
}

fn write_icmp(
    f: &mut fmt::Formatter<'_>,
    family: Family,
    asked: Asked,
    field: &str,
    comparison: Comparison,
    value: &dyn fmt::Display,
) -> fmt::Result {
    let header = match (asked.icmp(family), family, field) {
        (true, Family::V4, field) => format!("icmp {field}"),
        (true, Family::V6, field) => format!("icmpv6 {field}"),
        (false, _, "type") => "@th,0,8".to_owned(),
        (false, _, _) => "@th,8,8".to_owned(),
    };
    write!(f, "{header} {}{value}", not(comparison))
}

fn bit_names(bits: u32, names: &[(u32, &str)]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = bits;
    for (bit, name) in names {
        if bits & bit != 0 {
            words.push((*name).to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(format!("0x{rest:x}"));
    }
    words.join(",")
}

fn write_keys(f: &mut fmt::Formatter<'_>, keys: &[Key], asked: Asked) -> fmt::Result {
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            f.write_str(" . ")?;
        }
        match key {
            Key::Address(family, side) if asked.family(*family) => {
                f.write_str(address_word(*family, *side))?;
            }
            Key::Address(family, side) => f.write_str(address_place(*family, *side))?,
            Key::Network(family, side, length) if asked.family(*family) => {
                let mask = netmask(*family, *length);
                write!(f, "{} & {mask}", address_word(*family, *side))?;
            }
            Key::Network(family, side, length) => {
                let mask = number(netmask(*family, *length));
                write!(f, "{} & {mask}", address_place(*family, *side))?;
            }
            Key::Protocol => f.write_str("meta l4proto")?,
            Key::Port(side) => f.write_str(&port_word(*side, asked))?,
            Key::Interface(side) => f.write_str(interface_word(*side))?,
        }
    }
    Ok(())
}

fn write_set_mark(f: &mut fmt::Formatter<'_>, mask: u32, value: u32) -> fmt::Result {
    let value = value & mask;
    let kept = !mask;
    f.write_str("meta mark set ")?;
    if mask == u32::MAX {
        write!(f, "0x{value:08x}")
    } else if value == 0 {
        write!(f, "meta mark & 0x{kept:08x}")
    } else if value == mask {
        write!(f, "meta mark | 0x{value:08x}")
    } else {
        // A bit that is set afterwards need not be cleared before.
        write!(f, "meta mark & 0x{:08x} | 0x{value:08x}", kept | value)
    }
}

fn write_translation(
    f: &mut fmt::Formatter<'_>,
    statement: &str,
    address: IpAddr,
    ports: Option<PortRange>,
) -> fmt::Result {
    match (address, ports) {
        (IpAddr::V4(address), None) => write!(f, "{statement} ip to {address}"),
        (IpAddr::V4(address), Some(ports)) => write!(f, "{statement} ip to {address}:{ports}"),
        (IpAddr::V6(address), None) => write!(f, "{statement} ip6 to {address}"),
        (IpAddr::V6(address), Some(ports)) => write!(f, "{statement} ip6 to [{address}]:{ports}"),
    }
}

fn write_limit(f: &mut fmt::Formatter<'_>, limit: &Limit) -> fmt::Result {
    let unit = match limit.unit {
        LimitUnit::Second => "second",
        LimitUnit::Minute => "minute",
        LimitUnit::Hour => "hour",
        LimitUnit::Day => "day",
    };
    write!(f, "limit rate {}/{unit}", limit.rate)?;
    if limit.burst != DEFAULT_BURST {
        write!(f, " burst {} packets", limit.burst)?;
    }
    Ok(())
}

/// Quotes an interface name; a final `*` would otherwise make it a prefix.
fn interface(name: &InterfaceName) -> String {
    let name = escaped(name);
    match name.strip_suffix('*') {
        Some(begin) => format!("\"{begin}\\*\""),
        None => format!("\"{name}\""),
    }
}

fn escaped(name: &InterfaceName) -> String {
    name.as_str().replace('\\', "\\\\")
}

/// Quotes a text, cut to `limit` bytes. The language has no escapes, so what cannot stand in quotes is
/// replaced.
fn quoted(text: &str, limit: usize) -> String {
    let mut result = String::from("\"");
    for c in text.chars() {
        if result.len() - 1 + c.len_utf8() > limit {
            break;
        }
        result.push(match c {
            '"' => '\'',
            c if c.is_control() => '?',
            c => c,
        });
    }
    result.push('"');
    result
}
