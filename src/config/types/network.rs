//! Addresses, nets, ports and URLs.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::OptionType;
use crate::config::failsafe::{self, FailsafePort};
use crate::config::schema::PortSpan;

pub(in crate::config) struct FailsafePorts;

impl OptionType for FailsafePorts {
    type Value = Vec<FailsafePort>;

    fn parse(text: &str) -> Result<Vec<FailsafePort>, String> {
        failsafe::parse_list(text)
    }

    fn zero() -> Vec<FailsafePort> {
        Vec::new()
    }

    fn describe() -> String {
        "list of failsafe ports".to_owned()
    }
}

pub(in crate::config) struct CidrList;

impl OptionType for CidrList {
    type Value = Vec<IpNet>;

    fn parse(text: &str) -> Result<Vec<IpNet>, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| match failsafe::parse_net(item) {
                Some(net @ IpNet::V4(_)) => Ok(net),
                Some(IpNet::V6(_)) => Err(format!("`{item}` is not IPv4")),
                None => Err(format!("`{item}` is neither a net nor an address")),
            })
            .collect()
    }

    fn zero() -> Vec<IpNet> {
        Vec::new()
    }

    fn describe() -> String {
        "list of IPv4 nets".to_owned()
    }
}

pub(in crate::config) struct Ipv4;

impl OptionType for Ipv4 {
    type Value = Option<Ipv4Addr>;

    fn parse(text: &str) -> Result<Option<Ipv4Addr>, String> {
        text.parse()
            .map(Some)
            .map_err(|_| "not an IPv4 address".to_owned())
    }

    fn zero() -> Option<Ipv4Addr> {
        None
    }

    fn describe() -> String {
        "IPv4 address".to_owned()
    }
}

pub(in crate::config) struct Ipv6;

impl OptionType for Ipv6 {
    type Value = Option<Ipv6Addr>;

    fn parse(text: &str) -> Result<Option<Ipv6Addr>, String> {
        text.parse()
            .map(Some)
            .map_err(|_| "not an IPv6 address".to_owned())
    }

    fn zero() -> Option<Ipv6Addr> {
        None
    }

    fn describe() -> String {
        "IPv6 address".to_owned()
    }
}

pub(in crate::config) struct PortRange;

impl OptionType for PortRange {
    type Value = Option<PortSpan>;

    fn parse(text: &str) -> Result<Option<PortSpan>, String> {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Some(PortSpan { first, last })),
            _ => Err("expected PORT or FIRST:LAST".to_owned()),
        }
    }

    fn zero() -> Option<PortSpan> {
        None
    }

    fn describe() -> String {
        "port or first:last".to_owned()
    }
}

pub(in crate::config) struct EndpointList;

impl OptionType for EndpointList {
    type Value = Vec<String>;

    fn parse(text: &str) -> Result<Vec<String>, String> {
        let mut endpoints: Vec<String> = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (scheme, rest) = item
                .split_once("://")
                .ok_or_else(|| format!("`{item}` is not a URL"))?;
            let scheme = scheme.to_ascii_lowercase();
            if scheme != "http" && scheme != "https" {
                return Err(format!("`{item}` is neither http nor https"));
            }
            let host = rest.strip_suffix('/').unwrap_or(rest);
            if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
                return Err(format!("`{item}` is not of the form http(s)://HOST:PORT"));
            }
            if endpoints
                .first()
                .is_some_and(|first| !first.starts_with(&format!("{scheme}:")))
            {
                return Err("the endpoints differ in their scheme".to_owned());
            }
            endpoints.push(format!("{scheme}://{host}"));
        }
        Ok(endpoints)
    }

    fn zero() -> Vec<String> {
        Vec::new()
    }

    fn describe() -> String {
        "list of URLs".to_owned()
    }
}
