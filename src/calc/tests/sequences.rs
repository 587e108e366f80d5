//! Any sequence of facts ends where a start from scratch with the last of them ends.
//!
//! After Felix's `testExpanders`: every sequence also runs reversed, shuffled, with nothing in between,
//! split into single updates and squashed into fewer takes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::make::{
    addresses, from, hep, hep_key, interface, keyed, labels, netset, policy, policy_key, port,
    profile, profiles, settings, tier, v3, wep,
};
use super::state::{State, Told};
use crate::calc::{Calc, FloatingIps, LinkUpdate, Member, SetId, Settings, SpoofedSources};
use crate::model::{
    Action, EndOfTier, Form, HostInterface, IpPool, Kind, LabelMap, NatMapping, Node, NodeName,
    Order, PolicyKind, PolicyTypes, PortMatch, PortName, ProfileId, Resource, ResourceKey, Rule,
    TierName, Update, WorkloadEndpoint,
};
use crate::net::{InterfaceName, InterfacePattern, PortRange, Protocol, host_net, parse_net};
use crate::selector::Selector;

const ADDRESSES: [&str; 4] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "10.1.2.3"];
const NETS: [&str; 8] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "0.0.0.0/0",
    "192.0.2.0/24",
    "::/0",
    "2001:db8::/32",
    "10.1.2.0/31",
];
const SELECTORS: [&str; 9] = [
    "all()",
    "role == 'a'",
    "role == 'b'",
    "role in {'a', 'b'}",
    "has(env)",
    "!has(env)",
    "role == 'a' && env == 'x'",
    "role != 'a'",
    "has(tagged)",
];
const LABELS: [&str; 5] = ["", "role=a", "role=b", "role=a env=x", "env=y"];
const INTERFACES: [&str; 6] = ["", "*", "eth0", "eth1", "cali1", "kube-ipvs0"];
const PROFILES: [&[&str]; 6] = [
    &[],
    &["p1"],
    &["p2"],
    &["p1", "p2"],
    &["p2", "p1"],
    &["projectcalico-default-allow", "p1"],
];

/// Takes choices out of one number.
struct Choices(u64);

impl Choices {
    fn below(&mut self, count: u64) -> usize {
        let choice = self.0 % count;
        self.0 /= count;
        usize::try_from(choice).unwrap()
    }

    fn of<T: Clone, const N: usize>(&mut self, from: &[T; N]) -> T {
        from[self.below(N as u64)].clone()
    }

    fn some<'a, const N: usize>(&mut self, from: &[&'a str; N]) -> Vec<&'a str> {
        let mask = self.below(1 << N);
        let chosen = from
            .iter()
            .enumerate()
            .filter(|(at, _)| mask & (1 << at) != 0);
        chosen.map(|(_, text)| *text).collect()
    }
}

/// The resources that a world may hold; each is one of many by its choices.
const SLOTS: usize = 27;

fn resource(slot: usize, seed: u64) -> (ResourceKey, Resource) {
    let mut choices = Choices(seed);
    match slot {
        0..6 => {
            let key = hep_key(["a", "b", "v1:b", "c", "d", "e"][slot]);
            let mut made = hep(choices.of(&INTERFACES), &choices.some(&ADDRESSES));
            made.labels = labels(choices.of(&LABELS));
            made.profiles = profiles(choices.of(&PROFILES));
            made.ports = choices
                .some(&["http tcp 80", "http udp 80"])
                .into_iter()
                .map(port)
                .collect();
            if choices.below(5) == 0 {
                made.node = NodeName::new("there");
            }
            (key, Resource::HostEndpoint(made))
        }
        6..9 => {
            let key = ResourceKey::v3(Kind::WorkloadEndpoint, "ns", ["x", "y", "z"][slot - 6]);
            (key, Resource::WorkloadEndpoint(workload(&mut choices)))
        }
        9..12 => {
            let key = v3(Kind::GlobalNetworkSet, ["n1", "n2", "n3"][slot - 9]);
            let mut made = netset(&choices.some(&NETS), choices.of(&LABELS));
            made.profile = choices.of(&[None, Some(ProfileId::new("p1"))]);
            (key, Resource::NetworkSet(made))
        }
        12..17 => {
            let key = policy_key(["g1", "g2", "v1:g2", "ns/g2", "g3"][slot - 12]);
            let mut made = policy(choices.of(&SELECTORS));
            made.tier = TierName::new(choices.of(&["default", "t1", "missing"]));
            made.order = choices.of(&[
                Order::LAST,
                Order::new(1.0).unwrap(),
                Order::new(2.0).unwrap(),
            ]);
            made.kind = choices.of(&[
                PolicyKind::Normal,
                PolicyKind::ApplyOnForward,
                PolicyKind::Untracked,
                PolicyKind::PreDnat,
            ]);
            let (ingress, egress) = choices.of(&[(true, true), (true, false), (false, true)]);
            made.types = PolicyTypes { ingress, egress };
            made.ingress = rules(&mut choices);
            made.egress = rules(&mut choices);
            (key, Resource::Policy(made))
        }
        17..20 => {
            let (name, form) = [("p1", Form::V3), ("p2", Form::V3), ("p2", Form::V1)][slot - 17];
            let mut made = profile(choices.of(&LABELS), &choices.some(&["tagged", "role"]));
            made.ingress = rules(&mut choices);
            (keyed(Kind::Profile, name, form), Resource::Profile(made))
        }
        22..25 => {
            let pool = IpPool {
                cidr: parse_net(choices.of(&NETS)).unwrap(),
                nat_outgoing: choices.below(2) == 0,
                disabled: false,
            };
            (
                v3(Kind::IpPool, ["i1", "i2", "i3"][slot - 22]),
                Resource::IpPool(pool),
            )
        }
        25..27 => {
            let node = Node {
                labels: labels(choices.of(&LABELS)),
                addresses: addresses(&choices.some(&ADDRESSES)),
            };
            (
                v3(Kind::Node, ["m1", "m2"][slot - 25]),
                Resource::Node(node),
            )
        }
        _ => {
            let form = [Form::V3, Form::V1][slot - 20];
            let end = choices.of(&[EndOfTier::Deny, EndOfTier::Pass]);
            (
                keyed(Kind::Tier, "t1", form),
                tier(choices.of(&[None, Some(1.0)]), end),
            )
        }
    }
}

fn workload(choices: &mut Choices) -> WorkloadEndpoint {
    let mut made = wep(&choices.some(&ADDRESSES), choices.of(&LABELS));
    made.profiles = profiles(choices.of(&PROFILES));
    made.ports = choices
        .some(&["http tcp 80", "http tcp 81"])
        .into_iter()
        .map(port)
        .collect();
    made.node = NodeName::new(choices.of(&["here", "here", "there"]));
    made.interface = interface(choices.of(&["cali1", "cali2", "tap1"]));
    made.orchestrator = choices.of(&["k8s", "openstack"]).to_owned();
    made.active = choices.below(4) != 0;
    if choices.below(3) == 0 {
        made.allow_spoofed_sources = made.nets.clone();
    }
    made.nat = made
        .nets
        .iter()
        .map(|net| NatMapping {
            internal: net.addr(),
            external: net.addr(),
        })
        .collect();
    made
}

fn rules(choices: &mut Choices) -> Vec<Rule> {
    (0..choices.below(3))
        .map(|_| {
            let mut rule = from(choices.of(&SELECTORS));
            let side = &mut rule.source;
            match choices.below(5) {
                0 => side.selector = None,
                1 => side.not_selector = Some(Selector::parse(choices.of(&SELECTORS)).unwrap()),
                2 => side.ports = [PortMatch::Named(PortName::new("http"))].into(),
                3 => {
                    side.ports = [
                        PortMatch::Named(PortName::new("http")),
                        PortMatch::Range(PortRange::single(22)),
                    ]
                    .into();
                }
                _ => {
                    side.nets = choices
                        .some(&NETS)
                        .into_iter()
                        .filter_map(parse_net)
                        .collect();
                }
            }
            rule.protocol = choices.of(&[None, Some(Protocol::TCP)]);
            rule.action = choices.of(&[Action::Allow, Action::Deny]);
            rule
        })
        .collect()
}

/// All that is so at one time.
#[derive(Debug, Clone, PartialEq)]
struct Facts {
    resources: BTreeMap<ResourceKey, Arc<Resource>>,
    links: BTreeMap<InterfaceName, BTreeSet<IpAddr>>,
    settings: Settings,
}

impl Facts {
    fn none() -> Self {
        Self {
            resources: BTreeMap::new(),
            links: BTreeMap::new(),
            settings: settings(),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Resource(Update),
    Link(LinkUpdate),
    Settings(Settings),
}

fn facts() -> impl Strategy<Value = Facts> {
    let resources = prop::collection::btree_map(0..SLOTS, any::<u64>(), 0..SLOTS);
    let links = prop::collection::btree_map(0_usize..4, 0_u64..16, 0..4);
    (resources, links, 0_u64..12).prop_map(|(slots, links, setting)| {
        let resources = slots.into_iter().map(|(slot, seed)| {
            let (key, resource) = resource(slot, seed);
            (key, Arc::new(resource))
        });
        let links = links.into_iter().map(|(name, seed)| {
            let ips = addresses(&Choices(seed).some(&ADDRESSES));
            (interface(INTERFACES[name + 2]), ips.into_iter().collect())
        });
        let mut settings = settings();
        match setting {
            0 => settings.node = NodeName::new("there"),
            1 => settings.interface_prefixes.push("eth1".to_owned()),
            2 => settings.interface_exclude = vec![InterfacePattern::name("eth0")],
            3 | 4 => settings.spoofed_sources = SpoofedSources::Allowed,
            5 => settings.interface_prefixes = vec!["tap".to_owned()],
            6 => settings.floating_ips = FloatingIps::All,
            _ => {}
        }
        Facts {
            resources: resources.collect(),
            links: links.collect(),
            settings,
        }
    })
}

/// Returns the steps from one time to another.
fn steps(from: &Facts, to: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    let keys: BTreeSet<_> = from.resources.keys().chain(to.resources.keys()).collect();
    for key in keys {
        let value = to.resources.get(key);
        if from.resources.get(key) != value {
            steps.push(Step::Resource(Update {
                key: key.clone(),
                value: value.cloned(),
            }));
        }
    }
    let names: BTreeSet<_> = from.links.keys().chain(to.links.keys()).collect();
    for name in names {
        let addresses = to.links.get(name);
        if from.links.get(name) != addresses {
            steps.push(Step::Link(LinkUpdate {
                name: name.clone(),
                addresses: addresses.cloned(),
            }));
        }
    }
    if from.settings != to.settings {
        steps.push(Step::Settings(to.settings.clone()));
    }
    steps
}

fn apply(calc: &mut Calc, step: Step) {
    match step {
        Step::Resource(update) => calc.apply(update),
        Step::Link(update) => calc.apply_link(update),
        Step::Settings(settings) => calc.set_settings(settings),
    }
}

/// How often changes are taken on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    AfterEveryStep,
    AfterEveryTime,
    AtTheEnd,
}

/// Runs through times and checks what is heard against a start from scratch.
fn run(times: &[Facts], takes: Takes, turn: usize) {
    let mut calc = Calc::new(settings());
    let mut state = State::default();
    let mut before = Facts::none();
    let mut problems = Vec::new();
    let mut hear_of_problems = |calc: &mut Calc| {
        problems = calc
            .take_problems()
            .unwrap_or(std::mem::take(&mut problems));
        assert_eq!(problems, calc.problems(), "none is missed");
    };
    for now in times {
        let mut steps = steps(&before, now);
        if !steps.is_empty() {
            let turn = turn % steps.len();
            steps.rotate_left(turn);
        }
        for step in steps {
            apply(&mut calc, step);
            if takes == Takes::AfterEveryStep {
                state.fold(&calc.take_changes(), &calc, Told::Differences);
                hear_of_problems(&mut calc);
            }
        }
        if takes != Takes::AtTheEnd {
            state.fold(&calc.take_changes(), &calc, Told::Differences);
            hear_of_problems(&mut calc);
            assert_eq!(state, from_scratch(now));
        }
        before = now.clone();
    }
    state.fold(&calc.take_changes(), &calc, Told::Differences);
    hear_of_problems(&mut calc);
    assert_eq!(state, from_scratch(&before));
    assert!(calc.take_changes().is_empty(), "nothing new, nothing told");
    let mut anew = State::default();
    anew.fold(&calc.take_whole(), &calc, Told::Everything);
    assert_eq!(state, anew);
    for step in steps(&Facts::none(), &before) {
        apply(&mut calc, step);
    }
    let changes = calc.take_changes();
    assert!(changes.is_empty(), "the same again, nothing told");
    assert!(changes.locals.is_empty(), "the same again, nothing told");
}

fn from_scratch(facts: &Facts) -> State {
    let mut calc = Calc::new(facts.settings.clone());
    for step in steps(&Facts::none(), facts) {
        apply(&mut calc, step);
    }
    let mut state = State::default();
    state.fold(&calc.take_whole(), &calc, Told::Everything);
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn incremental_is_as_from_scratch(
        times in prop::collection::vec(facts(), 1..5),
        shuffled in any::<prop::sample::Index>(),
        turn in 0_usize..32,
    ) {
        let mut orders = vec![times.clone()];
        orders.push(times.iter().rev().cloned().collect());
        let mut other = times.clone();
        let middle = shuffled.index(other.len());
        other.rotate_left(middle);
        orders.push(other);
        let between = times.iter().flat_map(|now| [now.clone(), Facts::none()]);
        orders.push(between.collect());
        for order in orders {
            for takes in [Takes::AfterEveryStep, Takes::AfterEveryTime, Takes::AtTheEnd] {
                run(&order, takes, turn);
            }
        }
    }

    #[test]
    fn owners_and_members_are_what_the_contract_says(facts in facts()) {
        let state = from_scratch(&facts);
        prop_assert_eq!(&state.interfaces, &owners(&facts));
        let owned: BTreeMap<InterfaceName, ResourceKey> = state
            .workloads
            .iter()
            .map(|(name, workload)| (name.clone(), workload.endpoint.clone()))
            .collect();
        prop_assert_eq!(owned, workload_owners(&facts));
        for (id, held) in &state.sets {
            prop_assert_eq!(held, &members(&facts, id), "{:?}", id);
        }
    }
}

/// Finds the owner of every interface by asking every endpoint.
fn owners(facts: &Facts) -> BTreeMap<HostInterface, ResourceKey> {
    let local: Vec<_> = facts
        .resources
        .iter()
        .filter_map(|(key, resource)| {
            let Resource::HostEndpoint(found) = &**resource else {
                return None;
            };
            (found.node == facts.settings.node).then_some((key, found))
        })
        .collect();
    let mut owners = BTreeMap::new();
    let smallest = |wins: &dyn Fn(&crate::model::HostEndpoint) -> bool| {
        let winners = local.iter().filter(|(_, found)| wins(found));
        winners
            .map(|(key, _)| *key)
            .min_by_key(|key| (key.name.clone(), key.form))
            .cloned()
    };
    if let Some(any) = smallest(&|found| found.interface == Some(HostInterface::Any)) {
        owners.insert(HostInterface::Any, any);
    }
    for name in ["eth0", "eth1", "cali1", "kube-ipvs0"] {
        let workload = facts
            .settings
            .interface_prefixes
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let excluded = facts
            .settings
            .interface_exclude
            .contains(&InterfacePattern::name(name));
        let named = HostInterface::Name(interface(name));
        let link = facts.links.get(&interface(name));
        let winner = smallest(&|found| match &found.interface {
            None => link.is_some_and(|ips| {
                found
                    .expected_ips
                    .iter()
                    .any(|address| ips.contains(address))
            }),
            other => *other == Some(named.clone()),
        });
        if let Some(winner) = winner.filter(|_| !workload && !excluded) {
            owners.insert(named, winner);
        }
    }
    owners
}

/// Tells whether the settings let a workload endpoint be.
fn is_allowed(facts: &Facts, endpoint: &WorkloadEndpoint) -> bool {
    facts.settings.spoofed_sources == SpoofedSources::Allowed
        || endpoint.allow_spoofed_sources.is_empty()
}

/// Finds the owner of every workload interface by asking every endpoint.
fn workload_owners(facts: &Facts) -> BTreeMap<InterfaceName, ResourceKey> {
    let mut owners: BTreeMap<InterfaceName, (String, String, String, ResourceKey)> =
        BTreeMap::new();
    for (key, resource) in &facts.resources {
        let Resource::WorkloadEndpoint(found) = &**resource else {
            continue;
        };
        let mut prefixes = facts.settings.interface_prefixes.iter();
        if found.node != facts.settings.node
            || !is_allowed(facts, found)
            || !prefixes.any(|prefix| found.interface.as_str().starts_with(prefix))
        {
            continue;
        }
        let rank = (
            found.orchestrator.clone(),
            found.workload.clone(),
            found.endpoint.clone(),
            key.clone(),
        );
        let known = owners
            .entry(found.interface.clone())
            .or_insert(rank.clone());
        *known = known.clone().min(rank);
    }
    let named = |(name, (_, _, _, key))| (name, key);
    owners.into_iter().map(named).collect()
}

/// Finds the members of a set by asking everything.
fn members(facts: &Facts, id: &SetId) -> BTreeSet<Member> {
    let (selector, named) = match id {
        SetId::Addresses(selector) => (selector, None),
        SetId::NamedPort {
            selector,
            name,
            protocol,
        } => (selector, Some((name, protocol))),
    };
    let mut nets: BTreeSet<IpNet> = BTreeSet::new();
    let mut found = BTreeSet::new();
    for resource in facts.resources.values() {
        let (own, named_profiles, has, ports) = match &**resource {
            Resource::HostEndpoint(made) => {
                let has: Vec<IpNet> = made.expected_ips.iter().map(|ip| host_net(*ip)).collect();
                (&made.labels, made.profiles.clone(), has, made.ports.clone())
            }
            Resource::WorkloadEndpoint(made) if !is_allowed(facts, made) => continue,
            Resource::WorkloadEndpoint(made) => (
                &made.labels,
                made.profiles.clone(),
                made.nets.clone(),
                made.ports.clone(),
            ),
            Resource::NetworkSet(made) => {
                let named = made.profile.iter().cloned().collect();
                (&made.labels, named, made.nets.clone(), Vec::new())
            }
            Resource::Policy(_)
            | Resource::StagedPolicy
            | Resource::Tier(_)
            | Resource::Profile(_)
            | Resource::Node(_)
            | Resource::IpPool(_)
            | Resource::FelixConfiguration(_)
            | Resource::ClusterInformation(_) => continue,
        };
        if !selector.matches(&effective(facts, own, &named_profiles)) {
            continue;
        }
        let Some((name, protocol)) = named else {
            nets.extend(has);
            continue;
        };
        for port in ports.iter().filter(|port| port.name == *name) {
            if protocol.is_none_or(|protocol| protocol == port.protocol) {
                let members = has
                    .iter()
                    .map(|net| Member::Port(net.addr(), port.protocol, port.port));
                found.extend(members);
            }
        }
    }
    let covered = |net: &&IpNet| {
        nets.iter()
            .any(|other| other != *net && other.contains(*net))
    };
    let maximal = nets
        .iter()
        .filter(|net| !covered(net))
        .map(|net| Member::Net(*net));
    found.extend(maximal);
    found
}

fn effective(facts: &Facts, own: &LabelMap, named: &[ProfileId]) -> LabelMap {
    let found = |name: &ProfileId| {
        let form = |form| {
            facts
                .resources
                .get(&keyed(Kind::Profile, name.as_str(), form))
        };
        match form(Form::V3)
            .or_else(|| form(Form::V1))
            .map(|found| &**found)
        {
            Some(Resource::Profile(profile)) => Some(profile),
            _ => None,
        }
    };
    let profiles: Vec<_> = named.iter().filter_map(found).collect();
    let mut all = LabelMap::new();
    for profile in &profiles {
        all.extend(profile.tags.iter().map(|tag| (tag.clone(), String::new())));
    }
    for profile in profiles.iter().rev() {
        all.extend(profile.labels.clone());
    }
    all.extend(own.clone());
    all
}
