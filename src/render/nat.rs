//! Translation of addresses: floating addresses, the metadata service, and what leaves the pools.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::floating::Floating;
use super::layout::NatBase;
use super::settings::{NatExclusions, Settings};
use crate::calc::NatPools;
use crate::net::{Family, PortRange, Protocol, host_net};
use crate::nft::{Comparison, Expr, InterfaceSide, Key, Rule, SetName, Side};

/// Where `OpenStack`'s metadata service is asked for.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The port that it is asked at.
const METADATA_PORT: u16 = 80;

/// Makes the rules of a base chain of translation. `nets` gives a set of nets of one family its name.
pub(super) fn rules(
    base: NatBase,
    pools: &NatPools,
    floating: &Floating,
    settings: &Settings,
    nets: &mut dyn FnMut(Family, Vec<IpNet>) -> SetName,
) -> Vec<Rule> {
    match base {
        NatBase::Prerouting => {
            let mut rules = floating.rules_to();
            rules.extend(metadata(settings));
            rules
        }
        NatBase::Output => floating.rules_to(),
        NatBase::Postrouting => {
            let mut rules = floating.rules_of_own();
            rules.extend(outgoing(pools, settings, nets));
            rules
        }
    }
}

fn is_address(side: Side, address: IpAddr) -> Expr {
    Expr::Address(side, Comparison::Is, host_net(address))
}

/// Makes the rule that leads to the metadata service.
fn metadata(settings: &Settings) -> Option<Rule> {
    let (address, port) = settings.openstack?.metadata?;
    let exprs = vec![
        Expr::NetworkFamily(Family::V4),
        is_address(Side::Destination, METADATA.into()),
        Expr::Protocol(Comparison::Is, Protocol::TCP),
        Expr::Port(
            Side::Destination,
            Comparison::Is,
            PortRange::single(METADATA_PORT),
        ),
        Expr::Dnat {
            address: address.into(),
            port: Some(port),
        },
    ];
    Some(Rule::new("OpenStack metadata", exprs))
}

/// Makes the rules that translate the source of what leaves the pools.
fn outgoing(
    pools: &NatPools,
    settings: &Settings,
    nets: &mut dyn FnMut(Family, Vec<IpNet>) -> SetName,
) -> Vec<Rule> {
    let nat = &settings.nat;
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let of_family = |net: &&IpNet| Family::of_net(net) == family;
        let masqueraded: Vec<IpNet> = pools
            .masqueraded
            .iter()
            .filter(of_family)
            .copied()
            .collect();
        if masqueraded.is_empty() || (family == Family::V6 && !settings.ipv6) {
            continue;
        }
        let mut excluded: Vec<IpNet> = pools.all.iter().filter(of_family).copied().collect();
        match nat.exclusions {
            NatExclusions::Pools => {}
            NatExclusions::PoolsAndHosts => {
                let hosts = pools.hosts.iter().map(|host| host_net(*host));
                excluded.extend(hosts.filter(|net| Family::of_net(net) == family));
            }
        }
        let (source, destination) = (nets(family, masqueraded), nets(family, excluded));
        let key = |side| vec![Key::Address(family, side)];
        let mut matched = vec![
            Expr::NetworkFamily(family),
            Expr::in_set(key(Side::Source), Comparison::Is, source),
            Expr::in_set(key(Side::Destination), Comparison::IsNot, destination),
        ];
        if let Some(interface) = &nat.interface {
            let output = InterfaceSide::Output;
            matched.push(Expr::interface(output, Comparison::Is, interface.clone()));
        }
        let address = nat.address.filter(|_| family == Family::V4);
        let translate = |ports| match address {
            Some(address) => Expr::Snat {
                address: address.into(),
                ports,
            },
            None => Expr::Masquerade { ports },
        };
        let comment = "traffic that leaves the pools";
        if let Some(ports) = nat.ports {
            for protocol in [Protocol::TCP, Protocol::UDP] {
                let mut exprs = matched.clone();
                exprs.push(Expr::Protocol(Comparison::Is, protocol));
                exprs.push(translate(Some(ports)));
                rules.push(Rule::new(comment, exprs));
            }
        }
        matched.push(translate(None));
        rules.push(Rule::new(comment, matched));
    }
    rules
}
