//! Ports that stay open whatever policy says, ahead of any policy.

use std::sync::Arc;

use super::layout::failsafe_chain;
use super::settings::{Failsafe, NeighborDiscovery, Settings};
use crate::model::Direction;
use crate::net::{Family, PortRange, Protocol};
use crate::nft::{Chain, Comparison, Expr, Rule, Side, Verdict};

/// The `ICMPv6` types that IPv6 cannot do without on a link: multicast listener query, report and done, router
/// and neighbour solicitation and advertisement (130 to 136; RFC 2710, RFC 4861; redirects, 137, are not
/// among them), and version 2 listener reports (143; RFC 3810).
const NEIGHBOR_DISCOVERY: (u8, u8) = (130, 136);
/// Version 2 multicast listener report.
const MLD2_REPORT: u8 = 143;

/// Makes the failsafe chain of a direction.
pub(super) fn chain(direction: Direction, settings: &Settings) -> Arc<Chain> {
    let (failsafes, side) = match direction {
        Direction::Ingress => (&settings.failsafe_inbound, Side::Source),
        Direction::Egress => (&settings.failsafe_outbound, Side::Destination),
    };
    let mut rules: Vec<Rule> = failsafes
        .iter()
        .map(|failsafe| rule(failsafe, side))
        .collect();
    if settings.ipv6 && settings.neighbor_discovery == NeighborDiscovery::Allow {
        rules.extend(neighbor_discovery());
    }
    Arc::new(Chain::new(failsafe_chain(direction), None, rules))
}

/// Makes the rule for one failsafe port; `side` is where the other end of the traffic stands.
fn rule(failsafe: &Failsafe, side: Side) -> Rule {
    let mut exprs = Vec::new();
    if let Some(net) = failsafe.net {
        exprs.push(Expr::NetworkFamily(Family::of_net(&net)));
        if net.prefix_len() > 0 {
            exprs.push(Expr::Address(side, Comparison::Is, net));
        }
    }
    exprs.push(Expr::Protocol(Comparison::Is, failsafe.protocol));
    let port = PortRange::single(failsafe.port);
    exprs.push(Expr::Port(Side::Destination, Comparison::Is, port));
    exprs.push(Expr::Verdict(Verdict::Accept));
    let net = failsafe
        .net
        .map(|net| format!("{net}:"))
        .unwrap_or_default();
    let comment = format!("failsafe {}:{net}{}", failsafe.protocol, failsafe.port);
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
    kinds.map(|kind| Rule {
        exprs: vec![
            Expr::NetworkFamily(Family::V6),
            Expr::Protocol(Comparison::Is, Protocol::ICMPV6),
            kind,
            Expr::Verdict(Verdict::Accept),
        ],
        comment: Some("IPv6 neighbour discovery and multicast listeners".into()),
    })
}
