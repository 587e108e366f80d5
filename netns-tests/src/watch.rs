//! What arrived where: a table of the harness's own in each namespace that notes every delivered packet.
//!
//! Its one chain stands at the very end of the hook `input`, so that it sees what the host's rules let
//! through and the kernel is about to deliver. A probe that is not answered was dropped on its way there or on
//! its way back; the notes tell which.

use std::net::IpAddr;

use serde_json::Value;

use crate::ns::Namespace;
use crate::witness;

/// The table of the harness.
pub const TABLE: &str = "watch";

/// TCP and UDP by their ports; everything else by the two bytes that an echo's identifier and the token of a
/// raw request both have.
///
/// The rule with `ct state` is there for its side effect: the kernel tracks connections in a namespace only
/// where a rule asks for it, and whether a flow is tracked must not depend on the rules under test.
const TEXT: &str = "
table inet watch {
    set ports4 {
        type ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service
        size 65535; flags dynamic;
    }
    set ports6 {
        type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service
        size 65535; flags dynamic;
    }
    set names4 {
        typeof ip saddr . ip daddr . meta l4proto . @th,32,16
        size 65535; flags dynamic;
    }
    set names6 {
        typeof ip6 saddr . ip6 daddr . meta l4proto . @th,32,16
        size 65535; flags dynamic;
    }
    chain input {
        type filter hook input priority 1000; policy accept;
        meta l4proto { tcp, udp } update @ports4 { ip saddr . ip daddr . meta l4proto . th sport . th dport }
        meta l4proto { tcp, udp } update @ports6 { ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport }
        meta l4proto != { tcp, udp } update @names4 { ip saddr . ip daddr . meta l4proto . @th,32,16 }
        meta l4proto != { tcp, udp } update @names6 { ip6 saddr . ip6 daddr . meta l4proto . @th,32,16 }
        ct state new
    }
}
";

/// Is a packet that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The source address as the receiver saw it.
    pub from: IpAddr,
    /// The destination address as the receiver saw it.
    pub to: IpAddr,
    /// The IP protocol.
    pub protocol: u8,
    /// The source port, or the identifier of an echo, or the token of a raw request.
    pub source: u16,
    /// The destination port, if there are ports.
    pub port: Option<u16>,
}

/// Begins to take notes in a namespace.
pub fn install(namespace: &Namespace) {
    namespace.nft(TEXT);
}

/// Forgets the notes of a namespace.
pub fn forget(namespace: &Namespace) {
    namespace.nft(
        "flush set inet watch ports4\nflush set inet watch ports6\n\
         flush set inet watch names4\nflush set inet watch names6\n",
    );
}

/// Returns every packet that was delivered in a namespace since the last [`forget`].
pub fn sightings(namespace: &Namespace) -> Vec<Sighting> {
    let arguments = ["-j", "-n", "list", "table", "inet", TABLE];
    witness::objects(&namespace.exec("nft", &arguments, ""))
        .iter()
        .filter_map(|object| object["set"]["elem"].as_array())
        .flatten()
        .map(|element| {
            sighting(element).unwrap_or_else(|| panic!("a note of the watch: {element}"))
        })
        .collect()
}

fn sighting(element: &Value) -> Option<Sighting> {
    let parts = element["concat"].as_array()?;
    let address = |part: &Value| part.as_str()?.parse().ok();
    let number = |part: &Value| u16::try_from(part.as_u64()?).ok();
    Some(Sighting {
        from: address(parts.first()?)?,
        to: address(parts.get(1)?)?,
        protocol: protocol(parts.get(2)?)?,
        source: number(parts.get(3)?)?,
        port: match parts.get(4) {
            Some(part) => Some(number(part)?),
            None => None,
        },
    })
}

/// Reads a protocol, which `nft` prints as a number, as a number in quotes, or by a name that it knows.
fn protocol(part: &Value) -> Option<u8> {
    if let Some(number) = part.as_u64() {
        return u8::try_from(number).ok();
    }
    let text = part.as_str()?;
    let known = [
        ("tcp", 6),
        ("udp", 17),
        ("icmp", 1),
        ("icmpv6", 58),
        ("ipv6-icmp", 58),
    ];
    let named = known.iter().find(|(name, _)| *name == text);
    named.map_or_else(|| text.parse().ok(), |(_, number)| Some(*number))
}
