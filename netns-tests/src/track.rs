//! The connections that a namespace tracks, as the program `conntrack` lists them.

use std::net::IpAddr;

use crate::ns::Namespace;
use crate::witness;

/// Is one direction of a tracked connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// The source address.
    pub from: IpAddr,
    /// The destination address.
    pub to: IpAddr,
    /// The source port, or the identifier of an echo; nothing for other protocols.
    pub source: Option<u16>,
    /// The destination port, if there are ports.
    pub port: Option<u16>,
}

/// Is a tracked connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// The IP protocol.
    pub protocol: u8,
    /// How its first packet was addressed.
    pub original: Tuple,
    /// How answers are addressed, which shows what was translated.
    pub reply: Tuple,
}

/// Returns every connection that the namespace tracks, of both families.
pub fn connections(namespace: &Namespace) -> Vec<Connection> {
    witness::connections(namespace)
        .iter()
        .map(|line| parse(line).unwrap_or_else(|| panic!("a line of conntrack: {line}")))
        .collect()
}

/// Forgets every connection of a namespace.
pub fn forget(namespace: &Namespace) {
    namespace.exec("conntrack", &["-F"], "");
}

/// Reads one line, such as
/// `tcp 6 119 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [UNREPLIED] src=10.0.0.2 ...`.
fn parse(line: &str) -> Option<Connection> {
    let protocol = line.split_whitespace().nth(1)?.parse().ok()?;
    let mut tuples: Vec<Tuple> = Vec::new();
    let mut from = None;
    for word in line.split_whitespace() {
        let Some((key, value)) = word.split_once('=') else {
            continue;
        };
        match key {
            "src" => from = value.parse().ok(),
            "dst" => tuples.push(Tuple {
                from: from.take()?,
                to: value.parse().ok()?,
                source: None,
                port: None,
            }),
            "sport" | "id" => tuples.last_mut()?.source = Some(value.parse().ok()?),
            "dport" => tuples.last_mut()?.port = Some(value.parse().ok()?),
            _ => {}
        }
    }
    let [original, reply] = tuples.try_into().ok()?;
    Some(Connection {
        protocol,
        original,
        reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind_are_read() {
        let tcp = parse(
            "tcp      6 431999 ESTABLISHED src=10.65.1.10 dst=192.0.2.2 sport=4000 dport=80 src=192.0.2.2 \
             dst=192.0.2.1 sport=80 dport=30001 [ASSURED] mark=0 use=1",
        )
        .unwrap();
        assert_eq!(tcp.protocol, 6);
        assert_eq!(
            (tcp.original.source, tcp.original.port),
            (Some(4000), Some(80))
        );
        assert_eq!(
            (tcp.reply.to.to_string().as_str(), tcp.reply.port),
            ("192.0.2.1", Some(30001))
        );
        let icmp = parse(
            "icmpv6   58 29 src=fd65::1 dst=fd65::2 type=128 code=0 id=7 src=fd65::2 dst=fd65::1 type=129 code=0 \
             id=7 mark=0 use=1",
        )
        .unwrap();
        assert_eq!(
            (icmp.protocol, icmp.original.source, icmp.original.port),
            (58, Some(7), None)
        );
        let raw = parse(
            "unknown  253 599 src=192.0.2.2 dst=192.0.2.1 [UNREPLIED] src=192.0.2.1 dst=192.0.2.2 mark=0 use=1",
        )
        .unwrap();
        assert_eq!((raw.protocol, raw.original.source), (253, None));
    }
}
