//! Address families and prefixes.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// An IP address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, in the order in which everything is rendered.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Returns the family of an address.
    pub fn of_address(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// Returns the family of a prefix.
    pub fn of_net(net: &IpNet) -> Self {
        Self::of_address(net.addr())
    }

    /// Returns the length in bits of an address of this family.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Returns the version number, 4 or 6.
    pub fn version(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4 => f.write_str("IPv4"),
            Self::V6 => f.write_str("IPv6"),
        }
    }
}

/// Returns the full-length prefix that holds just `address`.
pub fn host_net(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::from(v4)),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::from(v6)),
    }
}

/// Parses a prefix or a bare address (its full-length prefix) and clears the host bits.
///
/// Returns `None` where the text is neither.
pub fn parse_net(text: &str) -> Option<IpNet> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net.trunc());
    }
    text.parse::<IpAddr>().ok().map(host_net)
}

/// Leaves out prefixes that another one covers, and repetitions; the rest ascends. Host bits are clear.
pub fn maximal(mut nets: Vec<IpNet>) -> Vec<IpNet> {
    // A prefix sorts directly before what it covers.
    nets.sort_unstable();
    nets.dedup_by(|net, wider| wider.contains(&*net));
    nets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nets_lose_their_host_bits_and_addresses_gain_a_length() {
        let shown = |text: &str| parse_net(text).map(|net| net.to_string());
        assert_eq!(shown("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(shown("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(shown("2001:db8::1").as_deref(), Some("2001:db8::1/128"));
        assert_eq!(shown("0.0.0.0/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(shown("10.0.0.0/33"), None);
        assert_eq!(shown("10.0.0"), None);
        assert_eq!(shown(""), None);
    }
}
