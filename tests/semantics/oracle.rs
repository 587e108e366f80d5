//! What policy means, said without nftables.

use std::collections::BTreeMap;

use tortie::calc::{
    ActivePolicy, ActiveProfile, EndpointPolicies, MatchRule, Member, PolicyId, SetId, SideMatch,
};
use tortie::model::{Action, Direction, EndOfTier, IcmpMatch, ProfileId};
use tortie::net::{Family, Protocol};
use tortie::nft::{Side, ct_state};

use crate::interpreter::{Fate, Packet};

/// Everything that decides.
pub struct World {
    pub policies: BTreeMap<PolicyId, ActivePolicy>,
    pub profiles: BTreeMap<ProfileId, ActiveProfile>,
    pub sets: BTreeMap<SetId, Vec<Member>>,
}

/// Returns what an endpoint does with a packet that no failsafe port lets in, and how often it is logged.
pub fn decide(
    world: &World,
    endpoint: &EndpointPolicies,
    direction: Direction,
    packet: &Packet,
) -> (Fate, usize) {
    let mut logged = 0;
    if packet.ct_state & (ct_state::ESTABLISHED | ct_state::RELATED) != 0 {
        return (Fate::Accepted, logged);
    }
    if packet.ct_state & ct_state::INVALID != 0 {
        return (Fate::Dropped, logged);
    }
    for tier in endpoint.normal.direction(direction).iter() {
        let mut passed = false;
        for id in &tier.policies {
            let rules = world.policies[id]
                .rules(direction)
                .expect("a listed policy governs");
            match first(world, &rules, packet, &mut logged) {
                Some(Action::Allow) => return (Fate::Accepted, logged),
                Some(Action::Deny) => return (Fate::Dropped, logged),
                Some(Action::Pass) => {
                    passed = true;
                    break;
                }
                Some(Action::Log) | None => {}
            }
        }
        if !passed && tier.end == EndOfTier::Deny {
            return (Fate::Dropped, logged);
        }
    }
    for id in &endpoint.profiles {
        match first(
            world,
            &world.profiles[id].rules(direction),
            packet,
            &mut logged,
        ) {
            Some(Action::Allow) => return (Fate::Accepted, logged),
            Some(Action::Deny) => return (Fate::Dropped, logged),
            Some(Action::Pass | Action::Log) | None => {}
        }
    }
    (Fate::Dropped, logged)
}

/// Returns the action of the first rule that decides.
fn first(
    world: &World,
    rules: &[MatchRule],
    packet: &Packet,
    logged: &mut usize,
) -> Option<Action> {
    for rule in rules {
        if !meets(world, rule, packet) {
            continue;
        }
        if rule.action == Action::Log {
            *logged += 1;
        } else {
            return Some(rule.action);
        }
    }
    None
}

fn meets(world: &World, rule: &MatchRule, packet: &Packet) -> bool {
    let family = packet.family();
    let icmp = match family {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    };
    let is_icmp = packet.protocol == icmp.number();
    let [kind, code] = packet.source_port.to_be_bytes();
    let same = |m: IcmpMatch| m.kind == kind && m.code.is_none_or(|wanted| wanted == code);
    rule.ip_version.is_none_or(|version| version == family)
        && rule
            .protocol
            .is_none_or(|protocol| protocol.number() == packet.protocol)
        && rule
            .not_protocol
            .is_none_or(|protocol| protocol.number() != packet.protocol)
        && rule.icmp.is_none_or(|wanted| is_icmp && same(wanted))
        && rule
            .not_icmp
            .is_none_or(|unwanted| is_icmp && !same(unwanted))
        && side_meets(world, &rule.source, Side::Source, packet)
        && side_meets(world, &rule.destination, Side::Destination, packet)
}

fn side_meets(world: &World, asked: &SideMatch, side: Side, packet: &Packet) -> bool {
    let family = packet.family();
    let address = packet.address(side);
    let port = packet.port(side);
    let protocol = Protocol::new(packet.protocol).unwrap();
    let foreign = |nets: &[ipnet::IpNet]| {
        !nets.is_empty() && !nets.iter().any(|net| Family::of_net(net) == family)
    };
    let holds = |id: &SetId| {
        world.sets[id].iter().any(|member| match member {
            Member::Net(net) => net.contains(&address),
            Member::Port(owner, of, number) => {
                *owner == address && *of == protocol && *number == port
            }
        })
    };
    let numbered = |ranges: &[tortie::net::PortRange]| {
        protocol.has_ports()
            && ranges
                .iter()
                .any(|range| (range.first()..=range.last()).contains(&port))
    };
    let any_port = asked.ports.is_empty() && asked.named_ports.is_empty();
    !foreign(&asked.nets)
        && !foreign(&asked.not_nets)
        && (asked.nets.is_empty() || asked.nets.iter().any(|net| net.contains(&address)))
        && !asked.not_nets.iter().any(|net| net.contains(&address))
        && asked.sets.iter().all(holds)
        && !asked.not_sets.iter().any(holds)
        && (any_port || numbered(&asked.ports) || asked.named_ports.iter().any(holds))
        && !numbered(&asked.not_ports)
        && !asked.not_named_ports.iter().any(holds)
}
