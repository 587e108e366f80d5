//! Random states and packets, drawn from a small world so that they meet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use tortie::calc::{
    ActivePolicy, ActiveProfile, EndpointId, EndpointPolicies, Member, PolicyId, PolicyLists,
    SetId, TierPolicies,
};
use tortie::model::{
    Action, Direction, EndOfTier, EntityMatch, HostInterface, IcmpMatch, Kind, Order, Policy,
    PolicyKind, PolicyTypes, PortMatch, PortName, Profile, ProfileId, Resource, ResourceKey, Rule,
    TierName,
};
use tortie::net::{Family, PortRange, Protocol, host_net};
use tortie::nft::ct_state;
use tortie::render::{
    AllowAction, ChainPosition, DenyAction, Encapsulation, Marks, NatExclusions, NatOutgoing,
    NeighborDiscovery, PolicyCounters, Refused, Settings, ToHostAction,
};
use tortie::selector::Selector;

use crate::interpreter::Packet;
use crate::oracle::World;

/// Policies of one endpoint, and on which interface it is.
#[derive(Clone)]
pub struct State {
    pub world: Arc<World>,
    pub endpoint: Option<EndpointPolicies>,
    pub interface: HostInterface,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("policies", &self.world.policies)
            .field("profiles", &self.world.profiles)
            .field("sets", &self.world.sets)
            .field("endpoint", &self.endpoint)
            .field("interface", &self.interface)
            .finish()
    }
}

impl State {
    pub fn empty() -> Self {
        let world = World {
            policies: BTreeMap::new(),
            profiles: BTreeMap::new(),
            sets: BTreeMap::new(),
        };
        Self {
            world: Arc::new(world),
            endpoint: None,
            interface: HostInterface::Any,
        }
    }
}

pub fn endpoint_id() -> EndpointId {
    ResourceKey::v3(Kind::HostEndpoint, "", "host")
}

/// An endpoint without policy or profile.
pub fn denying_endpoint() -> EndpointPolicies {
    EndpointPolicies {
        normal: PolicyLists::default(),
        forward: PolicyLists::default(),
        untracked: PolicyLists::default(),
        pre_dnat: PolicyLists::default(),
        profiles: Vec::new(),
    }
}

/// Settings without failsafe ports and exemptions, so that policy alone decides.
pub fn settings(deny: DenyAction) -> Settings {
    Settings {
        ipv6: true,
        workload_prefixes: vec!["cali".parse().unwrap()],
        deny,
        drop_invalid: true,
        neighbor_discovery: NeighborDiscovery::Policy,
        // A counter must not change what a rule decides.
        counters: PolicyCounters::Enabled,
        failsafe_inbound: Vec::new(),
        failsafe_outbound: Vec::new(),
        log_prefix: "calico-packet".to_owned(),
        log_limit: None,
        marks: Marks::from_mask(0xffff_0000).unwrap(),
        position: ChainPosition::Insert,
        allow: AllowAction::Accept,
        to_host: ToHostAction::Drop,
        openstack: None,
        encapsulation: Encapsulation {
            refused_vxlan: Some(4789),
            ipip: Refused::Yes,
        },
        nat: NatOutgoing {
            ports: None,
            address: None,
            exclusions: NatExclusions::Pools,
            interface: None,
        },
    }
}

/// Addresses of the small world.
fn address() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 0_u8..8).prop_map(|(v4, last)| {
        if v4 {
            IpAddr::from([10, 0, 0, last])
        } else {
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)])
        }
    })
}

fn net() -> impl Strategy<Value = IpNet> {
    (
        address(),
        prop_oneof![3 => Just(0_u8), 2 => 1_u8..3, 1 => Just(255_u8)],
    )
        .prop_map(|(address, shorter)| {
            let bits = Family::of_address(address).bits();
            let length = if shorter == 255 { 0 } else { bits - shorter };
            IpNet::new(address, length).unwrap().trunc()
        })
}

/// Prefixes of which none holds another, as calc hands them over.
fn nets(most: usize) -> impl Strategy<Value = Vec<IpNet>> {
    vec(net(), 0..=most).prop_map(|mut nets| {
        nets.sort_unstable();
        nets.dedup();
        let all = nets.clone();
        nets.retain(|net| !all.iter().any(|other| other != net && other.contains(net)));
        nets
    })
}

const PORTS: std::ops::Range<u16> = 79..90;

fn ports(most: usize) -> impl Strategy<Value = Vec<PortRange>> {
    vec((PORTS, 0_u16..3), 0..=most).prop_map(|ranges| {
        let ranges: Vec<PortRange> = ranges
            .into_iter()
            .map(|(first, more)| PortRange::new(first, first + more).unwrap())
            .collect();
        PortRange::merged(&ranges)
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        4 => Just(Protocol::TCP),
        3 => Just(Protocol::UDP),
        1 => Just(Protocol::SCTP),
        2 => Just(Protocol::ICMP),
        2 => Just(Protocol::ICMPV6),
        1 => Just(Protocol::new(253).unwrap()),
    ]
}

fn icmp() -> impl Strategy<Value = IcmpMatch> {
    (0_u8..3, option::of(0_u8..2)).prop_map(|(kind, code)| IcmpMatch { kind, code })
}

fn selector(index: u8) -> Selector {
    Selector::equals("set", &index.to_string())
}

fn port_name(index: u8) -> PortName {
    PortName::new(&format!("port{index}"))
}

/// How many selectors and names of ports there are.
const FEW: u8 = 3;

/// Everything that the selectors of one end of a rule can come to.
fn selectors() -> Vec<Selector> {
    let plain = || (0..FEW).map(selector);
    let but = plain().flat_map(|one| plain().map(move |other| one.and_not(&other)));
    plain().chain(but).chain([Selector::all()]).collect()
}

/// Every protocol that the rules name, and none.
fn protocols() -> Vec<Option<Protocol>> {
    let numbered = Protocol::new(253).ok();
    let named = [
        Protocol::TCP,
        Protocol::UDP,
        Protocol::SCTP,
        Protocol::ICMP,
        Protocol::ICMPV6,
    ];
    let named = named.into_iter().map(Some);
    named.chain([numbered, None]).collect()
}

/// Ports by number and by name; numbered ones only where the protocol has them, as validation sees to.
fn wanted_ports(numbered: usize) -> impl Strategy<Value = Vec<PortMatch>> {
    let named = prop_oneof![5 => Just(None), 1 => (0..FEW).prop_map(Some)];
    (ports(numbered), named).prop_map(|(ports, named)| {
        let numbered = ports.into_iter().map(PortMatch::Range);
        let named = named.map(|index| PortMatch::Named(port_name(index)));
        numbered.chain(named).collect()
    })
}

/// One end of a rule.
fn side(with_ports: bool) -> impl Strategy<Value = EntityMatch> {
    let numbered = move |most: usize| wanted_ports(if with_ports { most } else { 0 });
    (
        prop_oneof![3 => nets(0), 2 => nets(2), 1 => nets(6)],
        prop_oneof![4 => nets(0), 1 => nets(2), 1 => nets(5)],
        prop_oneof![3 => Just(None), 1 => (0..FEW).prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => (0..FEW).prop_map(Some)],
        prop_oneof![2 => numbered(0), 2 => numbered(2), 1 => numbered(6)],
        prop_oneof![5 => numbered(0), 1 => numbered(2), 1 => numbered(6)],
    )
        .prop_map(
            |(nets, not_nets, selected, not_selected, ports, not_ports)| EntityMatch {
                nets: nets.into(),
                not_nets: not_nets.into(),
                selector: selected.map(selector),
                not_selector: not_selected.map(selector),
                ports: ports.into(),
                not_ports: not_ports.into(),
            },
        )
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Allow),
        2 => Just(Action::Deny),
        2 => Just(Action::Pass),
        2 => Just(Action::Log),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let criteria = (
        action(),
        prop_oneof![4 => Just(None), 1 => Just(Some(Family::V4)), 1 => Just(Some(Family::V6))],
        option::of(protocol()),
        prop_oneof![4 => Just(None), 1 => protocol().prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => icmp().prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => icmp().prop_map(Some)],
    );
    criteria.prop_flat_map(
        |(action, ip_version, protocol, not_protocol, icmp, not_icmp)| {
            let with_ports = protocol.is_some_and(Protocol::has_ports);
            let ends = prop_oneof![
                1 => Just((EntityMatch::default(), EntityMatch::default())),
                2 => side(with_ports).prop_map(|source| (source, EntityMatch::default())),
                2 => side(with_ports).prop_map(|destination| (EntityMatch::default(), destination)),
                2 => (side(with_ports), side(with_ports)),
            ];
            ends.prop_map(move |(source, destination)| Rule {
                action,
                ip_version,
                protocol,
                not_protocol,
                icmp,
                not_icmp,
                source,
                destination,
            })
        },
    )
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(rule(), 0..4)
}

/// Returns a world with other members.
pub fn with_sets(world: &World, sets: BTreeMap<SetId, Vec<Member>>) -> World {
    World {
        policies: world.policies.clone(),
        profiles: world.profiles.clone(),
        sets,
    }
}

/// Members of the sets: some with prefixes, some empty.
pub fn members() -> impl Strategy<Value = BTreeMap<SetId, Vec<Member>>> {
    let addresses = || prop_oneof![2 => nets(6), 1 => addresses_only()];
    let named = || {
        btree_set(
            (
                address(),
                prop_oneof![Just(Protocol::TCP), Just(Protocol::UDP)],
                PORTS,
            ),
            0..6,
        )
    };
    let selectors = selectors();
    (
        vec(addresses(), selectors.len()),
        vec(named(), usize::from(FEW)),
    )
        .prop_map(move |(addresses, named)| {
            let mut sets = BTreeMap::new();
            for (selector, nets) in selectors.iter().zip(addresses) {
                let mut members: Vec<Member> = nets.into_iter().map(Member::Net).collect();
                members.sort_unstable();
                sets.insert(SetId::Addresses(selector.clone()), members);
                for (index, ports) in (0..FEW).zip(&named) {
                    let member =
                        |(address, protocol, port): &_| Member::Port(*address, *protocol, *port);
                    let members: Vec<Member> = ports.iter().map(member).collect();
                    for protocol in protocols() {
                        let id = SetId::NamedPort {
                            selector: selector.clone(),
                            name: port_name(index),
                            protocol,
                        };
                        sets.insert(id, members.clone());
                    }
                }
            }
            sets
        })
}

fn addresses_only() -> impl Strategy<Value = Vec<IpNet>> {
    btree_set(address(), 0..6).prop_map(|addresses| addresses.into_iter().map(host_net).collect())
}

fn policy_id(tier: usize, index: usize) -> PolicyId {
    PolicyId {
        tier: TierName::new(&format!("tier{tier}")),
        key: ResourceKey::v3(Kind::GlobalNetworkPolicy, "", &format!("policy{index}")),
    }
}

/// The policies of one tier: for each, its rules by direction, and what ends the tier.
type TierPlan = (Vec<(Option<Vec<Rule>>, Option<Vec<Rule>>)>, bool);

fn tier() -> impl Strategy<Value = TierPlan> {
    (
        vec((option::of(rules()), option::of(rules())), 0..4),
        any::<bool>(),
    )
}

pub fn state() -> impl Strategy<Value = State> {
    (
        vec(tier(), 0..3),
        vec((rules(), rules()), 0..3),
        members(),
        prop_oneof![5 => Just(true), 1 => Just(false)],
        prop_oneof![
            3 => Just(HostInterface::Name("eth0".parse().unwrap())),
            1 => Just(HostInterface::Any)
        ],
    )
        .prop_map(|(tiers, profiles, sets, present, interface)| {
            let mut policies = BTreeMap::new();
            let mut lists = [Vec::new(), Vec::new()];
            for (tier, (plans, denies)) in tiers.into_iter().enumerate() {
                let mut listed = [Vec::new(), Vec::new()];
                for (index, (ingress, egress)) in plans.into_iter().enumerate() {
                    let id = policy_id(tier, index);
                    let policy = Policy {
                        tier: id.tier.clone(),
                        order: Order::LAST,
                        selector: Selector::all(),
                        types: PolicyTypes {
                            ingress: ingress.is_some(),
                            egress: egress.is_some(),
                        },
                        kind: PolicyKind::Normal,
                        ingress: ingress.unwrap_or_default(),
                        egress: egress.unwrap_or_default(),
                    };
                    let policy = Arc::new(Resource::Policy(policy));
                    let policy = ActivePolicy::of(policy).expect("it is a policy");
                    for (list, direction) in listed.iter_mut().zip(Direction::BOTH) {
                        if policy.written(direction).is_some() {
                            list.push(id.clone());
                        }
                    }
                    policies.insert(id, policy);
                }
                for (list, policies) in lists.iter_mut().zip(listed) {
                    if !policies.is_empty() {
                        let end = if denies {
                            EndOfTier::Deny
                        } else {
                            EndOfTier::Pass
                        };
                        let tier = TierName::new(&format!("tier{tier}"));
                        list.push(TierPolicies {
                            tier,
                            policies,
                            end,
                        });
                    }
                }
            }
            let profiles: BTreeMap<ProfileId, ActiveProfile> = profiles
                .into_iter()
                .enumerate()
                .map(|(index, (ingress, egress))| {
                    let profile = Arc::new(Resource::Profile(Profile {
                        ingress,
                        egress,
                        ..Profile::deny()
                    }));
                    (
                        ProfileId::new(&format!("profile{index}")),
                        ActiveProfile::of(profile).expect("it is a profile"),
                    )
                })
                .collect();
            let [ingress, egress] = lists.map(Arc::new);
            let endpoint = EndpointPolicies {
                normal: PolicyLists { ingress, egress },
                profiles: profiles.keys().cloned().collect(),
                ..denying_endpoint()
            };
            if !present {
                return State::empty();
            }
            let world = Arc::new(World {
                policies,
                profiles,
                sets,
            });
            State {
                world,
                endpoint: Some(endpoint),
                interface,
            }
        })
}

/// A packet that is not yet on its way.
#[derive(Debug, Clone)]
pub struct Plain(Packet);

impl Plain {
    /// Puts the packet on an interface.
    pub fn on(&self, direction: Direction, interface: &str) -> Packet {
        let name = Some(interface.parse().unwrap());
        let mut packet = self.0.clone();
        match direction {
            Direction::Ingress => packet.input = name,
            Direction::Egress => packet.output = name,
        }
        packet
    }
}

pub fn plain_packet() -> Packet {
    Packet {
        input: None,
        output: None,
        source: IpAddr::from([10, 0, 0, 1]),
        destination: IpAddr::from([10, 0, 0, 2]),
        protocol: Protocol::TCP.number(),
        source_port: 40_000,
        destination_port: 80,
        ct_state: ct_state::NEW,
        ct_status: 0,
        mark: 0,
        way_back: true,
        untracked: false,
    }
}

pub fn packet() -> impl Strategy<Value = Plain> {
    let state = prop_oneof![
        8 => Just(ct_state::NEW),
        1 => Just(ct_state::ESTABLISHED),
        1 => Just(ct_state::RELATED),
        1 => Just(ct_state::INVALID),
        1 => Just(ct_state::UNTRACKED),
    ];
    (
        any::<bool>(),
        0_u8..8,
        0_u8..8,
        protocol(),
        (PORTS, PORTS),
        (0_u8..3, 0_u8..2),
        state,
        any::<u32>(),
    )
        .prop_map(
            |(v4, source, destination, protocol, ports, (kind, code), ct_state, mark)| {
                let address = |last: u8| -> IpAddr {
                    if v4 {
                        IpAddr::from([10, 0, 0, last])
                    } else {
                        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)])
                    }
                };
                let is_icmp = protocol == Protocol::ICMP || protocol == Protocol::ICMPV6;
                Plain(Packet {
                    source: address(source),
                    destination: address(destination),
                    protocol: protocol.number(),
                    source_port: if is_icmp {
                        u16::from_be_bytes([kind, code])
                    } else {
                        ports.0
                    },
                    destination_port: ports.1,
                    ct_state,
                    mark,
                    ..plain_packet()
                })
            },
        )
}
