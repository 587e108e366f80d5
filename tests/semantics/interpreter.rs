//! Runs a packet through a ruleset as the kernel would.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use tortie::net::{Family, InterfaceName, PortRange, Protocol};
use tortie::nft::{
    BaseChain, Chain, ChainName, Comparison, ElementKey, Expr, Hook, InterfaceMatch, InterfaceSide,
    Key, LookUp, Object, ObjectKey, Ruleset, Side, Verdict,
};

/// A packet, and what the kernel knows of it at a hook.
#[derive(Debug, Clone)]
pub struct Packet {
    pub input: Option<InterfaceName>,
    pub output: Option<InterfaceName>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// Ports; of an ICMP packet type and code, which stand where others have their source port.
    pub source_port: u16,
    pub destination_port: u16,
    pub ct_state: u32,
    pub ct_status: u32,
    pub mark: u32,
    /// Whether the way back to the sender leads out of the interface the packet came in by.
    pub way_back: bool,
    /// Whether a rule has let it bypass connection tracking.
    pub untracked: bool,
}

impl Packet {
    pub fn family(&self) -> Family {
        Family::of_address(self.source)
    }

    pub fn address(&self, side: Side) -> IpAddr {
        match side {
            Side::Source => self.source,
            Side::Destination => self.destination,
        }
    }

    pub fn port(&self, side: Side) -> u16 {
        match side {
            Side::Source => self.source_port,
            Side::Destination => self.destination_port,
        }
    }

    fn interface(&self, side: InterfaceSide) -> Option<&InterfaceName> {
        match side {
            InterfaceSide::Input => self.input.as_ref(),
            InterfaceSide::Output => self.output.as_ref(),
        }
    }
}

/// What became of a packet at a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Accepted,
    Dropped,
    Rejected,
}

/// What became of a packet in a chain.
enum Left {
    Decided(Fate),
    Returned,
}

/// Lets a packet pass the base chains of a hook that have one of these priorities.
pub fn pass(
    ruleset: &Ruleset,
    hook: Hook,
    priorities: RangeInclusive<i32>,
    packet: &mut Packet,
    logged: &mut usize,
) -> Fate {
    let mut bases: Vec<(&BaseChain, &Chain)> = ruleset
        .objects
        .values()
        .filter_map(|object| match object {
            Object::Chain(chain) => chain.base.as_ref().map(|base| (base, chain.as_ref())),
            Object::Set(..) | Object::Counter(_) => None,
        })
        .filter(|(base, _)| base.hook == hook && priorities.contains(&base.priority))
        .collect();
    bases.sort_by_key(|(base, _)| base.priority);
    for (_, chain) in bases {
        match walk(ruleset, chain, packet, logged, 0) {
            Left::Decided(Fate::Accepted) | Left::Returned => {}
            Left::Decided(fate) => return fate,
        }
    }
    Fate::Accepted
}

fn chain<'a>(ruleset: &'a Ruleset, name: &ChainName) -> &'a Chain {
    match ruleset.objects.get(&ObjectKey::Chain(name.clone())) {
        Some(Object::Chain(chain)) => chain,
        Some(Object::Set(..) | Object::Counter(_)) | None => panic!("no chain {name}"),
    }
}

fn walk(
    ruleset: &Ruleset,
    chain_now: &Chain,
    packet: &mut Packet,
    logged: &mut usize,
    depth: usize,
) -> Left {
    assert!(depth < 16, "chains follow one another without end");
    'rules: for rule in &chain_now.rules {
        for expr in &rule.exprs {
            let verdict = match expr {
                Expr::Verdict(verdict) => verdict.clone(),
                Expr::Reject(_) => return Left::Decided(Fate::Rejected),
                Expr::SetMark { mask, value } => {
                    packet.mark = packet.mark & !mask | value;
                    continue;
                }
                Expr::NoTrack => {
                    packet.untracked = true;
                    continue;
                }
                Expr::Counter | Expr::CountIn(_) | Expr::Limit(_) => continue,
                // A connection that is translated goes on; where to is not asked here.
                Expr::Dnat { .. } | Expr::Snat { .. } | Expr::Masquerade { .. } => Verdict::Accept,
                Expr::Log { .. } => {
                    *logged += 1;
                    continue;
                }
                Expr::VerdictMap(asked) => match look_up(ruleset, asked, packet) {
                    Some(Found(Some(verdict))) => verdict,
                    Some(Found(None)) => panic!("an element of {} has no verdict", asked.set),
                    None => continue 'rules,
                },
                other => {
                    if holds(ruleset, other, packet) {
                        continue;
                    }
                    continue 'rules;
                }
            };
            match verdict {
                Verdict::Accept => return Left::Decided(Fate::Accepted),
                Verdict::Drop => return Left::Decided(Fate::Dropped),
                Verdict::Return => return Left::Returned,
                Verdict::Goto(name) => {
                    return walk(ruleset, chain(ruleset, &name), packet, logged, depth + 1);
                }
                Verdict::Jump(name) => {
                    match walk(ruleset, chain(ruleset, &name), packet, logged, depth + 1) {
                        Left::Decided(fate) => return Left::Decided(fate),
                        Left::Returned => {}
                    }
                }
            }
        }
    }
    Left::Returned
}

fn compare(comparison: Comparison, equal: bool) -> bool {
    match comparison {
        Comparison::Is => equal,
        Comparison::IsNot => !equal,
    }
}

fn within(range: PortRange, port: u16) -> bool {
    (range.first()..=range.last()).contains(&port)
}

fn holds(ruleset: &Ruleset, expr: &Expr, packet: &Packet) -> bool {
    let icmp = || {
        let [kind, code] = packet.source_port.to_be_bytes();
        (kind, code)
    };
    match expr {
        Expr::NetworkFamily(family) => packet.family() == *family,
        Expr::Protocol(comparison, protocol) => {
            compare(*comparison, packet.protocol == protocol.number())
        }
        Expr::Interface(side, comparison, matched) => packet.interface(*side).is_some_and(|name| {
            let equal = match &**matched {
                InterfaceMatch::Name(wanted) => name == wanted,
                InterfaceMatch::Prefix(prefix) => name.as_str().starts_with(prefix.as_str()),
            };
            compare(*comparison, equal)
        }),
        Expr::HasInputInterface => packet.input.is_some(),
        Expr::NoReversePath => !packet.way_back,
        Expr::Address(side, comparison, net) => {
            assert_eq!(
                Family::of_net(net),
                packet.family(),
                "a match of the other family"
            );
            compare(*comparison, net.contains(&packet.address(*side)))
        }
        Expr::Port(side, comparison, range) => {
            compare(*comparison, within(*range, packet.port(*side)))
        }
        Expr::IcmpType(_, comparison, kind) => compare(*comparison, icmp().0 == *kind),
        Expr::IcmpCode(_, comparison, code) => compare(*comparison, icmp().1 == *code),
        Expr::IcmpTypeRange(_, comparison, first, last) => {
            compare(*comparison, (*first..=*last).contains(&icmp().0))
        }
        Expr::CtState(bits) => packet.ct_state & bits != 0,
        Expr::CtStatus(bits) => packet.ct_status & bits != 0,
        Expr::MarkBits(comparison, bits) => compare(*comparison, packet.mark & bits != 0),
        Expr::InSet(comparison, asked) => {
            compare(*comparison, look_up(ruleset, asked, packet).is_some())
        }
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
        | Expr::Verdict(_) => unreachable!("handled by the walk"),
    }
}

/// An element that was found: its verdict, in a map.
struct Found(Option<Verdict>);

/// Looks a packet up.
fn look_up(ruleset: &Ruleset, asked: &LookUp, packet: &Packet) -> Option<Found> {
    let (name, keys) = (&asked.set, asked.keys.as_slice());
    let Some(Object::Set(_, elements)) = ruleset.objects.get(&ObjectKey::Set(name.clone())) else {
        panic!("no set {name}")
    };
    elements
        .iter()
        .find(|element| match (&element.key, keys) {
            (ElementKey::Net(net), [Key::Address(family, side)]) => {
                assert_eq!(*family, packet.family(), "a look-up of the other family");
                net.contains(&packet.address(*side))
            }
            (ElementKey::Net(net), [Key::Network(family, side, length)]) => {
                assert_eq!(*family, packet.family(), "a look-up of the other family");
                let network = IpNet::new(packet.address(*side), *length)
                    .unwrap()
                    .network();
                net.contains(&network)
            }
            (
                ElementKey::AddressPort(address, protocol, port),
                [Key::Address(_, side), Key::Protocol, Key::Port(port_side)],
            ) => {
                *address == packet.address(*side)
                    && *protocol == Protocol::new(packet.protocol).unwrap()
                    && *port == packet.port(*port_side)
            }
            (ElementKey::Ports(range), [Key::Port(side)]) => within(*range, packet.port(*side)),
            (ElementKey::Interface(interface), [Key::Interface(side)]) => {
                packet.interface(*side) == Some(interface)
            }
            (key, keys) => panic!("{key:?} in a set that is looked up by {keys:?}"),
        })
        .map(|element| Found(element.verdict.clone()))
}
