//! Random worlds and packets, drawn from few values so that they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tortie::explain::{ConntrackState, Content, Packet, ToHostAction};
use tortie::model::{
    Action, EndOfTier, EndpointPort, EntityMatch, Form, HostEndpoint, HostInterface, IcmpMatch,
    Kind, LabelMap, NetworkSet, NodeName, Order, Policy, PolicyKind, PolicyTypes, PortMatch,
    PortName, Profile, ProfileId, Resource, ResourceKey, Rule, Tier, TierName, WorkloadEndpoint,
};
use tortie::net::{Family, InterfaceName, PortRange, Protocol, parse_net};
use tortie::selector::Selector;

use crate::world::{NODE, Settings, World};

/// Numbers that follow from a seed: the generator `SplitMix64` (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    /// Is true once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn some<T: Clone>(&mut self, from: &[T], one_in: usize) -> Vec<T> {
        from.iter()
            .filter(|_| self.once_in(one_in))
            .cloned()
            .collect()
    }
}

const LABELS: [&str; 6] = ["a", "b", "c", "a b", "b c", ""];
const SELECTORS: [&str; 9] = [
    "all()",
    "has(a)",
    "has(b)",
    "has(c)",
    "!has(a)",
    "has(a) || has(c)",
    "has(b) && has(c)",
    "has(missing)",
    "!has(missing)",
];
const PORTS: [u16; 6] = [22, 53, 80, 443, 4789, 8775];
const V4: [&str; 9] = [
    "192.0.2.1",
    "192.0.2.9",
    "198.51.100.1",
    "198.51.100.9",
    "10.65.0.1",
    "10.65.0.2",
    "10.65.1.1",
    "10.65.0.99",
    "203.0.113.5",
];
const V6: [&str; 9] = [
    "2001:db8::1",
    "2001:db8::9",
    "2001:db8:1::1",
    "2001:db8:1::9",
    "fd65::1",
    "fd65::2",
    "fd65:1::1",
    "fd65::99",
    "2001:db8:9::5",
];
const NETS: [&str; 10] = [
    "192.0.2.0/24",
    "198.51.100.9",
    "10.65.0.0/24",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "2001:db8::/48",
    "fd65::/64",
    "fd65::1",
    "2001:db8:1::/64",
    "203.0.113.0/24",
];
const CLAIMS: [Option<&str>; 6] = [
    Some("eth0"),
    Some("eth1"),
    Some("*"),
    None,
    Some("eth9"),
    Some("*"),
];
const NAMES: [&str; 2] = ["web", "dns"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

fn labels(text: &str) -> LabelMap {
    text.split_whitespace()
        .map(|label| (label.to_owned(), "yes".to_owned()))
        .collect()
}

fn profiles(random: &mut Random) -> Vec<ProfileId> {
    let mut named = random.some(&["p1", "p2"], 2);
    if random.once_in(8) {
        named.push("missing");
    }
    if random.once_in(3) {
        named.push("projectcalico-default-allow");
    }
    named.into_iter().map(ProfileId::new).collect()
}

fn ports(random: &mut Random) -> Vec<EndpointPort> {
    let mut made = Vec::new();
    for name in random.some(&NAMES, 2) {
        made.push(EndpointPort {
            name: PortName::new(name),
            protocol: random.pick(&[Protocol::TCP, Protocol::UDP]),
            port: random.pick(&PORTS),
        });
    }
    made
}

fn host_endpoint(random: &mut Random, form: Form) -> Resource {
    let claim = loop {
        let claim = random.pick(&CLAIMS);
        if form == Form::V3 || claim != Some("*") {
            break claim;
        }
    };
    let expected = random.some(&["192.0.2.1", "198.51.100.1", "2001:db8:1::1"], 3);
    Resource::HostEndpoint(HostEndpoint {
        node: NodeName::new(if random.once_in(10) { "there" } else { NODE }),
        interface: claim.map(|name| match name {
            "*" => HostInterface::Any,
            name => HostInterface::Name(interface(name)),
        }),
        expected_ips: expected.into_iter().map(address).collect(),
        profiles: profiles(random),
        labels: labels(random.of(&LABELS)),
        ports: ports(random),
    })
}

fn workload_endpoint(random: &mut Random, number: usize, form: Form) -> Resource {
    let name = random.pick(&["cali0", "cali1", ["cali0", "cali1"][number % 2], "tap0"]);
    let (v4, v6) = [("10.65.0.1", "fd65::1"), ("10.65.0.2", "fd65::2")][number % 2];
    let mut nets = vec![parse_net(v4).unwrap()];
    if !random.once_in(4) {
        nets.push(parse_net(v6).unwrap());
    }
    let spoofed = if random.once_in(6) {
        vec!["10.65.0.99"]
    } else {
        Vec::new()
    };
    Resource::WorkloadEndpoint(WorkloadEndpoint {
        node: NodeName::new(if random.once_in(6) { "there" } else { NODE }),
        orchestrator: "k8s".to_owned(),
        workload: format!("ns/w{number}"),
        endpoint: "eth0".to_owned(),
        interface: interface(name),
        active: form == Form::V3 || !random.once_in(4),
        mac: None,
        nets,
        nat: Vec::new(),
        profiles: profiles(random),
        labels: labels(random.of(&LABELS)),
        ports: ports(random),
        allow_spoofed_sources: spoofed.into_iter().filter_map(parse_net).collect(),
    })
}

fn entity(random: &mut Random, may_number: bool) -> EntityMatch {
    let mut entity = EntityMatch::default();
    if random.once_in(4) {
        entity.selector = Some(Selector::parse(random.of(&SELECTORS)).unwrap());
    }
    if random.once_in(8) {
        entity.not_selector = Some(Selector::parse(random.of(&SELECTORS)).unwrap());
    }
    if random.once_in(5) {
        entity.nets = random
            .some(&NETS, 3)
            .into_iter()
            .filter_map(parse_net)
            .collect();
    }
    if random.once_in(8) {
        let narrow = random.some(&NETS, 4).into_iter().filter_map(parse_net);
        entity.not_nets = narrow.filter(|net| net.prefix_len() > 0).collect();
    }
    for (list, times) in [(&mut entity.ports, 3), (&mut entity.not_ports, 8)] {
        if !random.once_in(times) {
            continue;
        }
        let mut wanted = Vec::new();
        if random.once_in(4) {
            wanted.push(PortMatch::Named(PortName::new(random.of(&NAMES))));
        }
        if may_number {
            for port in random.some(&PORTS, 2) {
                let last = if random.once_in(4) { port + 30 } else { port };
                wanted.push(PortMatch::Range(PortRange::new(port, last).unwrap()));
            }
        }
        *list = wanted.into();
    }
    entity
}

fn rule(random: &mut Random) -> Rule {
    let action = random.pick(&[
        Action::Allow,
        Action::Allow,
        Action::Allow,
        Action::Deny,
        Action::Deny,
        Action::Pass,
        Action::Log,
    ]);
    let mut rule = Rule::any(action);
    let protocols = [
        Protocol::TCP,
        Protocol::UDP,
        Protocol::ICMP,
        Protocol::ICMPV6,
        Protocol::SCTP,
    ];
    if random.once_in(2) {
        rule.protocol = Some(random.pick(&protocols));
    }
    if random.once_in(8) {
        rule.not_protocol = Some(random.pick(&protocols));
    }
    if random.once_in(8) {
        rule.ip_version = Some(random.pick(&[Family::V4, Family::V6]));
    }
    let of_icmp = matches!(rule.protocol, Some(Protocol::ICMP | Protocol::ICMPV6));
    let kind = |random: &mut Random| IcmpMatch {
        kind: random.pick(&[8, 128, 3, 0]),
        code: random.pick(&[None, Some(0), Some(1)]),
    };
    if of_icmp && random.once_in(2) {
        rule.icmp = Some(kind(random));
    }
    if of_icmp && random.once_in(4) {
        rule.not_icmp = Some(kind(random));
    }
    let may_number = rule.protocol.is_some_and(Protocol::has_ports);
    let of_source = may_number && random.once_in(3);
    rule.source = entity(random, of_source);
    rule.destination = entity(random, may_number);
    rule
}

fn rules(random: &mut Random) -> Vec<Rule> {
    (0..random.below(4)).map(|_| rule(random)).collect()
}

fn policy(random: &mut Random, form: Form) -> Resource {
    let kinds = match form {
        Form::V3 => vec![
            PolicyKind::Normal,
            PolicyKind::Normal,
            PolicyKind::ApplyOnForward,
            PolicyKind::ApplyOnForward,
            PolicyKind::Untracked,
            PolicyKind::PreDnat,
        ],
        Form::V1 => vec![
            PolicyKind::Normal,
            PolicyKind::Untracked,
            PolicyKind::PreDnat,
        ],
    };
    let tier = match form {
        Form::V3 => random.pick(&["default", "t1", "t2", "missing"]),
        Form::V1 => "default",
    };
    let kind = random.pick(&kinds);
    let (ingress, egress) = match kind {
        PolicyKind::PreDnat => (true, false),
        PolicyKind::Normal | PolicyKind::ApplyOnForward | PolicyKind::Untracked => {
            random.pick(&[(true, true), (true, false), (false, true)])
        }
    };
    Resource::Policy(Policy {
        tier: TierName::new(tier),
        order: random.pick(&[
            Order::LAST,
            Order::new(1.0).unwrap(),
            Order::new(2.0).unwrap(),
        ]),
        selector: Selector::parse(random.of(&SELECTORS)).unwrap(),
        types: PolicyTypes { ingress, egress },
        kind,
        ingress: rules(random),
        egress: rules(random),
    })
}

/// The places for resources; each is empty or holds one of many.
const SLOTS: usize = 25;

fn slot(random: &mut Random, number: usize) -> (ResourceKey, Resource) {
    let form = |v1: bool| if v1 { Form::V1 } else { Form::V3 };
    match number {
        0..5 => {
            let form = form(number == 4 || number == 1);
            let key = match form {
                Form::V3 => ResourceKey::v3(Kind::HostEndpoint, "", &format!("h{number}")),
                Form::V1 => ResourceKey::v1(Kind::HostEndpoint, NODE, &format!("h{number}")),
            };
            (key, host_endpoint(random, form))
        }
        5..9 => {
            let form = form(number == 7);
            let key = match form {
                Form::V3 => ResourceKey::v3(Kind::WorkloadEndpoint, "ns", &format!("w{number}")),
                Form::V1 => {
                    ResourceKey::v1(Kind::WorkloadEndpoint, NODE, &format!("k8s/w{number}/eth0"))
                }
            };
            (key, workload_endpoint(random, number - 5, form))
        }
        9..18 => {
            let form = form(number.is_multiple_of(4));
            let name = format!("g{number}");
            let key = match form {
                Form::V3 => ResourceKey::v3(Kind::GlobalNetworkPolicy, "", &name),
                Form::V1 => ResourceKey::v1(Kind::GlobalNetworkPolicy, "", &name),
            };
            (key, policy(random, form))
        }
        18..20 => {
            let key = ResourceKey::v3(Kind::Profile, "", ["p1", "p2"][number - 18]);
            let tags: BTreeSet<String> = random
                .some(&["c"], 3)
                .into_iter()
                .map(str::to_owned)
                .collect();
            let made = Profile {
                labels: labels(random.of(&LABELS)),
                tags,
                ingress: rules(random),
                egress: rules(random),
            };
            (key, Resource::Profile(made))
        }
        20..22 => {
            let key = ResourceKey::v3(Kind::Tier, "", ["t1", "t2"][number - 20]);
            let made = Tier {
                order: random.pick(&[Order::LAST, Order::new(5.0).unwrap()]),
                default_action: random.pick(&[EndOfTier::Deny, EndOfTier::Pass]),
            };
            (key, Resource::Tier(made))
        }
        _ => {
            let key = ResourceKey::v3(Kind::GlobalNetworkSet, "", &format!("n{number}"));
            let made = NetworkSet {
                labels: labels(random.of(&LABELS)),
                nets: random
                    .some(&NETS, 3)
                    .into_iter()
                    .filter_map(parse_net)
                    .collect(),
                profile: None,
            };
            (key, Resource::NetworkSet(made))
        }
    }
}

fn settings(random: &mut Random) -> Settings {
    Settings {
        reject: random.once_in(3),
        drop_invalid: !random.once_in(4),
        to_host: random.pick(&[
            ToHostAction::Drop,
            ToHostAction::Accept,
            ToHostAction::Return,
        ]),
        openstack: random.once_in(4),
        failsafe: random.once_in(2),
        neighbor_discovery: random.once_in(2),
        counters: random.once_in(2),
        encapsulation: random.once_in(3),
        spoofing: random.once_in(2),
        accepted_mark: random.once_in(2),
    }
}

fn links(random: &mut Random) -> BTreeMap<InterfaceName, BTreeSet<IpAddr>> {
    let mut links = BTreeMap::new();
    let mut add = |name: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|text| address(text)).collect();
        links.insert(interface(name), addresses);
    };
    add("lo", &["127.0.0.1", "::1"]);
    if random.once_in(5) {
        add("eth0", &["192.0.2.1"]);
        add("eth1", &["198.51.100.1", "2001:db8:1::1", "2001:db8::1"]);
    } else {
        add("eth0", &["192.0.2.1", "2001:db8::1"]);
        add("eth1", &["198.51.100.1", "2001:db8:1::1"]);
    }
    add("cali0", &[]);
    add("cali1", &[]);
    add("cali9", &[]);
    links
}

/// Makes a world from nothing.
pub fn world(random: &mut Random) -> World {
    let mut world = World {
        resources: BTreeMap::new(),
        links: links(random),
        settings: settings(random),
    };
    for number in 0..SLOTS {
        if !random.once_in(3) {
            let (key, resource) = slot(random, number);
            world.resources.insert(key, Arc::new(resource));
        }
    }
    world
}

/// Makes the world that follows another one.
pub fn change(random: &mut Random, before: &World) -> World {
    let mut now = before.clone();
    for _ in 0..=random.below(5) {
        let number = random.below(SLOTS);
        let (key, resource) = slot(random, number);
        if random.once_in(3) {
            now.resources.remove(&key);
        } else {
            now.resources.insert(key, Arc::new(resource));
        }
    }
    if random.once_in(4) {
        now.links = links(random);
    }
    if random.once_in(6) {
        now.settings = settings(random);
    }
    now
}

/// Makes a packet that meets the host.
pub fn packet(random: &mut Random) -> Packet {
    let addresses: Vec<IpAddr> = if random.once_in(2) { V4 } else { V6 }
        .map(address)
        .to_vec();
    let interfaces = ["eth0", "eth1", "cali0", "cali1", "cali0", "cali1", "cali9"];
    let any = |random: &mut Random| Some(interface(random.of(&interfaces)));
    let (input, output) = match random.below(3) {
        0 => (any(random), None),
        1 if random.once_in(6) => (None, None),
        1 => (None, any(random)),
        _ => (any(random), any(random)),
    };
    let number = |name: &str| match name {
        "eth0" => 1,
        "eth1" => 3,
        "cali0" => 4,
        "cali1" => 5,
        _ => 8,
    };
    // Mostly an address that belongs behind the interface, so that sources are right.
    let behind = |random: &mut Random, interface: Option<&InterfaceName>, own: usize| {
        if random.once_in(6) {
            return random.pick(&addresses);
        }
        let number = interface.map_or(own, |interface| number(interface.as_str()));
        addresses[number]
    };
    let own = random.pick(&[0, 2]);
    let source = behind(random, input.as_ref(), own);
    let destination = behind(random, output.as_ref(), own);
    let family = Family::of_address(source);
    let icmp = match family {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    };
    let protocol = random.pick(&[
        Protocol::TCP,
        Protocol::TCP,
        Protocol::UDP,
        Protocol::UDP,
        icmp,
        Protocol::SCTP,
        Protocol::IPIP,
    ]);
    let content = if protocol == icmp {
        Content::Icmp {
            kind: random.pick(&[8, 128, 3, 0, 131, 134, 135, 143]),
            code: random.pick(&[0, 1]),
        }
    } else if protocol.has_ports() {
        let client = random.pick(&[40_000, 22, 80, 53, 68]);
        let server = random.pick(&[22, 53, 80, 443, 4789, 8775, 67, 81, 9_999]);
        Content::Ports {
            source: client,
            destination: server,
        }
    } else {
        Content::Other
    };
    let mut packet = Packet::new(protocol, source, destination, content);
    packet.state = random.pick(&[
        ConntrackState::New,
        ConntrackState::New,
        ConntrackState::New,
        ConntrackState::New,
        ConntrackState::Established,
        ConntrackState::Related,
        ConntrackState::Invalid,
    ]);
    // What has no entry is not translated.
    if packet.state != ConntrackState::Invalid && random.once_in(4) {
        let port = protocol.has_ports().then(|| random.pick(&PORTS));
        packet.dnat = Some((random.pick(&addresses), port));
        if input.is_none() && random.once_in(2) {
            packet.first_output = any(random);
        }
    }
    (packet.input, packet.output) = (input, output);
    packet
}
