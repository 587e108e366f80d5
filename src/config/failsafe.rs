//! Failsafe ports: what stays reachable on a host endpoint whatever its policy says.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Transport protocol of a failsafe port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailsafeProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for FailsafeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One port that no policy closes, for all peers or for those of one net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FailsafePort {
    /// Transport protocol.
    pub protocol: FailsafeProtocol,
    /// Peers that it is open to, host bits cleared; all of both families if absent.
    pub net: Option<IpNet>,
    /// Destination port.
    pub port: u16,
}

impl fmt::Display for FailsafePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.net {
            None => write!(f, "{}:{}", self.protocol, self.port),
            Some(net @ IpNet::V4(_)) => write!(f, "{}:{net}:{}", self.protocol, self.port),
            Some(net @ IpNet::V6(_)) => write!(f, "{}:[{net}]:{}", self.protocol, self.port),
        }
    }
}

/// Parses a comma separated list; empty items and spaces around an item mean nothing.
pub(super) fn parse_list(text: &str) -> Result<Vec<FailsafePort>, String> {
    let mut ports = Vec::new();
    for item in text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let port = parse_item(item).map_err(|reason| {
            if item == text {
                reason
            } else {
                format!("`{item}`: {reason}")
            }
        })?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    Ok(ports)
}

/// Returns the items of a list that are good by themselves, in their canonical form.
pub(super) fn good_items(text: &str) -> Vec<String> {
    let items = text
        .split(',')
        .filter_map(|item| parse_item(item.trim()).ok());
    items.map(|port| port.to_string()).collect()
}

const SYNTAX: &str = "expected PORT, PROTOCOL:PORT or PROTOCOL:NET:PORT, an IPv6 net in brackets";

fn parse_item(item: &str) -> Result<FailsafePort, String> {
    let (protocol, net, port) = match item.split_once('[') {
        Some((before, rest)) => {
            let (net, port) = rest.split_once("]:").ok_or(SYNTAX)?;
            let protocol = match before {
                "" => None,
                _ => Some(before.strip_suffix(':').ok_or(SYNTAX)?),
            };
            (protocol, Some(net), port)
        }
        None => match item.split(':').collect::<Vec<_>>()[..] {
            [port] => (None, None, port),
            [protocol, port] => (Some(protocol), None, port),
            [protocol, net, port] => (Some(protocol), Some(net), port),
            _ => return Err(SYNTAX.to_owned()),
        },
    };
    let protocol = match protocol.map(str::to_ascii_lowercase).as_deref() {
        None | Some("tcp") => FailsafeProtocol::Tcp,
        Some("udp") => FailsafeProtocol::Udp,
        // Calico lets it into a FelixConfiguration, and Felix then does not start.
        Some("sctp") => FailsafeProtocol::Sctp,
        Some(other) => {
            return Err(format!(
                "unknown protocol `{other}`, only tcp, udp and sctp are known"
            ));
        }
    };
    let net = net.map(|net| parse_net(net).ok_or_else(|| format!("bad net `{net}`")));
    let port = port
        .parse()
        .map_err(|_| format!("`{port}` is not a port, an integer from 0 to 65535"))?;
    Ok(FailsafePort {
        protocol,
        net: net.transpose()?,
        port,
    })
}

/// Parses a net, or an address as the net of one, and clears the host bits.
pub(super) fn parse_net(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Result<String, String> {
        parse_list(text).map(|ports| {
            ports
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        })
    }

    #[test]
    fn accepts_every_syntax() {
        for (text, expected) in [
            ("22", "tcp:22"),
            ("22,80", "tcp:22 tcp:80"),
            (" 22 , ,udp:68,", "tcp:22 udp:68"),
            ("tcp:22", "tcp:22"),
            ("TCP:22,Udp:53", "tcp:22 udp:53"),
            ("tcp:0,tcp:65535", "tcp:0 tcp:65535"),
            ("tcp:22,22", "tcp:22"),
            ("tcp:10.0.0.0/8:22", "tcp:10.0.0.0/8:22"),
            ("tcp:10.1.2.3/8:22", "tcp:10.0.0.0/8:22"),
            ("udp:10.1.2.3:53", "udp:10.1.2.3/32:53"),
            ("tcp:[2001:db8::/32]:22", "tcp:[2001:db8::/32]:22"),
            ("tcp:[2001:db8::1/32]:22", "tcp:[2001:db8::/32]:22"),
            ("udp:[::1]:53", "udp:[::1/128]:53"),
            ("[::1]:22", "tcp:[::1/128]:22"),
            ("tcp:[10.0.0.0/8]:22", "tcp:10.0.0.0/8:22"),
            ("sctp:3868,SCTP:[::1]:1", "sctp:3868 sctp:[::1/128]:1"),
            (",", ""),
        ] {
            assert_eq!(listed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_ambiguous_or_wrong() {
        for text in [
            "ssh",
            "tcp",
            "tcp:",
            ":22",
            "tcp:65536",
            "tcp:-1",
            "icmp:8",
            "tcp:10.0.0.0/33:22",
            "tcp:nonsense:22",
            "tcp:2001:db8::/32:22",
            "tcp:[2001:db8::/32]22",
            "tcp:[2001:db8::/32",
            "tcp[2001:db8::/32]:22",
            "tcp:1:2:3",
            "tcp:22-24",
            "22 80",
        ] {
            assert!(listed(text).is_err(), "{text} is {:?}", listed(text));
        }
    }

    #[test]
    fn printed_ports_parse_back() {
        for text in ["tcp:22", "udp:10.0.0.0/8:53", "tcp:[2001:db8::/32]:22"] {
            assert_eq!(listed(text).as_deref(), Ok(text));
        }
    }
}
