//! Chains that several endpoints share: what stays open whatever policy says, and what workloads may always do.

use std::sync::Arc;

use super::layout::Shared;
use super::marks;
use super::rule::deny;
use super::settings::{AllowAction, Failsafe, NeighborDiscovery, Settings};
use crate::net::{Family, PortRange, Protocol, host_net};
use crate::nft::{Chain, Comparison, Expr, Rule, Side, Verdict};

/// The `ICMPv6` types that IPv6 cannot do without on a link: multicast listener query, report and done, router
/// and neighbour solicitation and advertisement (130 to 136; RFC 2710, RFC 4861; redirects, 137, are not
/// among them), and version 2 listener reports (143; RFC 3810).
const NEIGHBOR_DISCOVERY: (u8, u8) = (130, 136);
/// Version 2 multicast listener report.
const MLD2_REPORT: u8 = 143;
/// Of these, what a workload sends to its host: listener query, report and done, router solicitation, and
/// neighbour solicitation and advertisement.
const FROM_WORKLOADS: [(u8, u8); 2] = [(130, 133), (135, 136)];

/// The port of DNS.
const DNS: u16 = 53;
/// The ports of DHCP's clients and servers, in each family.
const DHCP: [(Family, u16, u16); 2] = [(Family::V4, 68, 67), (Family::V6, 546, 547)];

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

fn protocol(protocol: Protocol) -> Expr {
    Expr::Protocol(Comparison::Is, protocol)
}

fn port(side: Side, port: u16) -> Expr {
    Expr::Port(side, Comparison::Is, PortRange::single(port))
}

/// Makes the chains that depend on the settings alone.
pub(super) fn of_settings(settings: &Settings) -> Vec<Arc<Chain>> {
    let (inbound, outbound) = (&settings.failsafe_inbound, &settings.failsafe_outbound);
    let ports = |failsafes: &[Failsafe], peer: Side, named: Side| -> Vec<Rule> {
        failsafes
            .iter()
            .map(|open| failsafe(open, peer, named))
            .collect()
    };
    let (source, destination) = (Side::Source, Side::Destination);
    // Before connection tracking a reply is a packet like any other: it is known by its source port.
    let raw_in = [
        ports(inbound, source, destination),
        ports(outbound, source, source),
    ];
    let raw_out = [
        ports(outbound, destination, destination),
        ports(inbound, destination, source),
    ];
    let mut chains = vec![
        Shared::FailsafeIn.chain(ports(inbound, source, destination)),
        Shared::FailsafeOut.chain(ports(outbound, destination, destination)),
        Shared::FailsafeRawIn.chain(raw_in.concat()),
        Shared::FailsafeRawOut.chain(raw_out.concat()),
        Shared::WorkloadEssentials.chain(essentials(settings)),
        Shared::WorkloadDown.chain(vec![Rule::new(
            "the workload endpoint is down",
            vec![deny(settings.deny)],
        )]),
    ];
    if discovers_neighbors(settings) {
        chains.push(Shared::NeighborDiscovery.chain(neighbor_discovery().into()));
    }
    chains
}

/// Tells whether IPv6 neighbour discovery passes host endpoints whatever policy says.
pub(super) fn discovers_neighbors(settings: &Settings) -> bool {
    settings.ipv6 && settings.neighbor_discovery == NeighborDiscovery::Allow
}

/// Makes the rule for one failsafe port; `peer` is where the other end of the traffic stands, and `named` the
/// end whose port it is.
fn failsafe(failsafe: &Failsafe, peer: Side, named: Side) -> Rule {
    let mut exprs = Vec::new();
    if let Some(net) = failsafe.net {
        exprs.push(Expr::NetworkFamily(Family::of_net(&net)));
        if net.prefix_len() > 0 {
            exprs.push(Expr::Address(peer, Comparison::Is, net));
        }
    }
    exprs.push(protocol(failsafe.protocol));
    exprs.push(port(named, failsafe.port));
    exprs.push(accept());
    let net = failsafe
        .net
        .map(|net| format!("{net}:"))
        .unwrap_or_default();
    let reply = match named {
        Side::Source => " replies",
        Side::Destination => "",
    };
    let comment = format!(
        "failsafe {}:{net}{}{reply}",
        failsafe.protocol, failsafe.port
    );
    Rule {
        exprs,
        comment: Some(comment.into()),
    }
}

/// Makes the rules that keep IPv6 working on a link.
fn neighbor_discovery() -> [Rule; 2] {
    let (first, last) = NEIGHBOR_DISCOVERY;
    let kinds = [
        Expr::IcmpTypeRange(Family::V6, Comparison::Is, first, last),
        Expr::IcmpType(Family::V6, Comparison::Is, MLD2_REPORT),
    ];
    kinds.map(|kind| icmpv6("IPv6 neighbour discovery and multicast listeners", kind))
}

fn icmpv6(comment: &str, kind: Expr) -> Rule {
    let exprs = vec![
        Expr::NetworkFamily(Family::V6),
        protocol(Protocol::ICMPV6),
        kind,
        accept(),
    ];
    Rule::new(comment, exprs)
}

/// Makes the rules for what a workload may always ask of this host, known to policy or not.
fn essentials(settings: &Settings) -> Vec<Rule> {
    let mut rules = accepted(settings);
    if settings.ipv6 {
        let kind = |(first, last)| Expr::IcmpTypeRange(Family::V6, Comparison::Is, first, last);
        let comment = "IPv6 neighbour discovery and multicast listeners";
        rules.extend(FROM_WORKLOADS.map(|types| icmpv6(comment, kind(types))));
    }
    let Some(openstack) = settings.openstack else {
        return rules;
    };
    if let Some((address, number)) = openstack.metadata {
        let exprs = vec![
            Expr::NetworkFamily(Family::V4),
            Expr::Address(Side::Destination, Comparison::Is, host_net(address.into())),
            protocol(Protocol::TCP),
            port(Side::Destination, number),
            accept(),
        ];
        rules.push(Rule::new("OpenStack metadata", exprs));
    }
    for (family, client, server) in DHCP {
        if family == Family::V6 && !settings.ipv6 {
            continue;
        }
        let exprs = vec![
            Expr::NetworkFamily(family),
            protocol(Protocol::UDP),
            port(Side::Source, client),
            port(Side::Destination, server),
            accept(),
        ];
        rules.push(Rule::new("OpenStack DHCP", exprs));
    }
    let exprs = vec![
        protocol(Protocol::UDP),
        port(Side::Destination, DNS),
        accept(),
    ];
    rules.push(Rule::new("OpenStack DNS", exprs));
    rules
}

/// Makes the rule that lets a client ask for its first address, before it has one that could be checked.
pub(super) fn first_dhcp_request() -> Rule {
    let (family, client, server) = DHCP[0];
    let nobody = host_net(std::net::Ipv4Addr::UNSPECIFIED.into());
    let exprs = vec![
        Expr::NetworkFamily(family),
        Expr::Address(Side::Source, Comparison::Is, nobody),
        protocol(Protocol::UDP),
        port(Side::Source, client),
        port(Side::Destination, server),
        accept(),
    ];
    Rule::new("OpenStack DHCP", exprs)
}

/// Makes the rule that tells other tables that what gets past the rules behind it is accepted: whatever they
/// refuse ends there.
pub(super) fn accepted(settings: &Settings) -> Vec<Rule> {
    match settings.allow {
        AllowAction::Accept => {
            let exprs = vec![marks::set(settings.marks.accepted())];
            vec![Rule::new(
                "what policy accepts is marked for other tables",
                exprs,
            )]
        }
        AllowAction::Return => Vec::new(),
    }
}
