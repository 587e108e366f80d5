use proptest::prelude::*;

use super::super::observed::{Fact, Link, Placed};
use super::super::settings::{BOOT, Ipv6, SpoofedSources};
use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const KERNEL: u8 = 2;
const STATIC: u8 = 4;

/// A host in memory, which does what plans say.
struct World {
    settings: Settings,
    wanted: BTreeMap<InterfaceName, Wiring>,
    knowledge: Knowledge,
    observed: Observed,
    ours: Ours,
    flushing: BTreeSet<IpAddr>,
    inherited: BTreeSet<IpAddr>,
    in_grace: BTreeSet<u32>,
}

impl World {
    /// Returns one with links of these indices and names, which are up.
    fn new(links: &[(u32, &str)]) -> Self {
        let mut world = Self {
            settings: Settings::default(),
            wanted: BTreeMap::new(),
            knowledge: Knowledge::Whole,
            observed: Observed::default(),
            ours: Ours::default(),
            flushing: BTreeSet::new(),
            inherited: BTreeSet::new(),
            in_grace: BTreeSet::new(),
        };
        for (index, name) in links {
            world.link(*index, name, LinkState::Up);
        }
        world
    }

    fn apply(&mut self, fact: Fact) {
        self.observed.apply(fact, &self.settings);
    }

    fn link(&mut self, index: u32, name: &str, state: LinkState) {
        let name = Some(interface(name));
        self.apply(Fact::Link(index, Link { name, state }));
    }

    fn want(&mut self, name: &str, addresses: &[&str]) {
        let wiring = Wiring {
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            mac: Some(MAC),
            spoofing: SpoofedSources::Refused,
        };
        self.wanted.insert(interface(name), wiring);
    }

    fn unwant(&mut self, name: &str) {
        self.wanted.remove(&interface(name));
    }

    /// Lets another program make a route.
    fn route(&mut self, destination: &str, index: u32, priority: u32, protocol: u8) -> RouteKey {
        let (key, path) = foreign(destination, index, priority, protocol);
        self.apply(Fact::Route(key, path, Placed::Added));
        key
    }

    fn plan(&mut self) -> Plan {
        self.ours.look(&self.observed, &self.settings);
        plan(&View {
            settings: &self.settings,
            wanted: &self.wanted,
            knowledge: self.knowledge,
            observed: &self.observed,
            ours: &self.ours,
            flushing: &self.flushing,
            inherited: &self.inherited,
            in_grace: &self.in_grace,
        })
    }

    /// Carries out the plan and returns it as text, one operation a word.
    fn step(&mut self) -> Vec<String> {
        let plan = self.plan();
        for operation in plan.operations.iter().chain(&plan.standing) {
            self.ours.carried_out(operation);
        }
        for operation in &plan.operations {
            let fact = match operation {
                Operation::AddRoute(key, path) | Operation::ReplaceRoute(key, path) => {
                    Fact::Route(*key, *path, Placed::Added)
                }
                Operation::RemoveRoute(key, _) => Fact::RouteGone(*key),
                Operation::SetNeighbour {
                    index,
                    address,
                    mac,
                } => Fact::Neighbour(*index, *address, *mac),
                Operation::RemoveNeighbour { index, address } => {
                    Fact::NeighbourGone(*index, *address)
                }
            };
            self.apply(fact);
        }
        self.flushing.extend(&plan.flush);
        let flush = plan.flush.iter().map(|address| format!("flush {address}"));
        plan.operations.iter().map(shown).chain(flush).collect()
    }

    /// Lets the deletion of connections end.
    fn flushed(&mut self) {
        for address in std::mem::take(&mut self.flushing) {
            self.ours.released(address);
        }
    }

    /// Carries out plans until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.step();
            self.flushed();
        }
        assert_eq!(self.step(), [""; 0], "it does not settle");
    }
}

fn interface(name: &str) -> InterfaceName {
    name.parse().expect("an interface name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn foreign(destination: &str, index: u32, priority: u32, protocol: u8) -> (RouteKey, Path) {
    let key = RouteKey {
        destination: crate::net::parse_net(destination).expect("a prefix"),
        priority,
        tos: 0,
        index,
    };
    let path = Path {
        protocol,
        scope: SCOPE_LINK,
        source: None,
        hop: Hop::Direct,
    };
    (key, path)
}

fn shown(operation: &Operation) -> String {
    let route = |verb: &str, key: &RouteKey| {
        let address = key.destination.addr();
        format!("{verb} {address} via {} at {}", key.index, key.priority)
    };
    match operation {
        Operation::AddRoute(key, _) => route("add", key),
        Operation::ReplaceRoute(key, _) => route("replace", key),
        Operation::RemoveRoute(key, _) => route("remove", key),
        Operation::SetNeighbour { index, address, .. } => format!("meet {address} at {index}"),
        Operation::RemoveNeighbour { index, address } => format!("leave {address} at {index}"),
    }
}

#[test]
fn neighbours_come_before_routes_and_go_after_them() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1", "fd00::1"]);
    let (key, path) = route(&world.settings, ip("fd00::1"), 5);
    assert_eq!((path.scope, path.protocol), (0, BOOT), "IPv6 has no scope");
    let last = Some(Operation::AddRoute(key, path));
    assert_eq!(world.plan().operations.pop(), last);
    assert_eq!(
        world.step(),
        [
            "meet 10.0.0.1 at 5",
            "add 10.0.0.1 via 5 at 1024",
            "add fd00::1 via 5 at 1024"
        ]
    );
    assert_eq!(world.step(), [""; 0]);
    world.unwant("cali0");
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.1 via 5 at 1024",
            "remove fd00::1 via 5 at 1024",
            "leave 10.0.0.1 at 5",
            "flush 10.0.0.1",
            "flush fd00::1"
        ]
    );
    assert_eq!(world.step(), [""; 0], "connections are not deleted twice");
    world.flushed();
    assert_eq!(world.step(), [""; 0]);
}

#[test]
fn a_moved_address_has_no_route_until_its_connections_are_forgotten() {
    let mut world = World::new(&[(5, "cali0"), (6, "cali1")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.unwant("cali0");
    world.want("cali1", &["10.0.0.1"]);
    let plan = world.plan();
    assert_eq!(plan.waiting, BTreeSet::from([6]));
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.1 via 5 at 1024",
            "leave 10.0.0.1 at 5",
            "flush 10.0.0.1"
        ]
    );
    assert_eq!(world.step(), [""; 0], "it waits");
    world.flushed();
    assert_eq!(
        world.step(),
        ["meet 10.0.0.1 at 6", "add 10.0.0.1 via 6 at 1024"]
    );
    world.settle();
}

#[test]
fn a_flap_forgets_no_connections_but_the_end_of_a_link_does() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.link(5, "cali0", LinkState::Dormant);
    assert_eq!(
        world.step(),
        ["remove 10.0.0.1 via 5 at 1024", "leave 10.0.0.1 at 5"]
    );
    world.link(5, "cali0", LinkState::Up);
    world.settle();
    world.link(5, "cali0", LinkState::Down);
    assert_eq!(world.step(), [""; 0], "the kernel has removed everything");
    world.link(5, "cali0", LinkState::Up);
    assert_eq!(
        world.step(),
        ["meet 10.0.0.1 at 5", "add 10.0.0.1 via 5 at 1024"]
    );
    world.apply(Fact::LinkGone(5));
    assert_eq!(world.step(), ["flush 10.0.0.1"]);
    world.link(7, "cali0", LinkState::Up);
    world.flushed();
    world.settle();
}

#[test]
fn a_link_that_is_down_and_no_longer_wanted_forgets_its_connections() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.link(5, "cali0", LinkState::Down);
    assert_eq!(world.step(), [""; 0]);
    world.unwant("cali0");
    assert_eq!(world.step(), ["flush 10.0.0.1"]);
}

#[test]
fn the_newest_of_several_links_has_an_address_while_it_is_up() {
    let mut world = World::new(&[(5, "cali9"), (6, "cali1"), (7, "cali5")]);
    for name in ["cali9", "cali1", "cali5"] {
        world.want(name, &["10.0.0.1"]);
    }
    assert_eq!(world.plan().contested, BTreeSet::from([ip("10.0.0.1")]));
    assert!(
        world
            .step()
            .contains(&"add 10.0.0.1 via 7 at 1024".to_owned())
    );
    world.link(7, "cali5", LinkState::Down);
    assert_eq!(world.step(), ["flush 10.0.0.1"]);
    world.flushed();
    assert_eq!(
        world.step(),
        ["meet 10.0.0.1 at 6", "add 10.0.0.1 via 6 at 1024"]
    );
    world.link(7, "cali5", LinkState::Up);
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.1 via 6 at 1024",
            "leave 10.0.0.1 at 6",
            "flush 10.0.0.1"
        ]
    );
    world.flushed();
    world.settle();
}

#[test]
fn only_what_differs_of_a_route_is_replaced_in_one_step() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1", "fd00::1"]);
    world.settle();
    world.settings.protocol = 80;
    world.settings.source_v4 = Some([192, 0, 2, 1].into());
    assert_eq!(
        world.step(),
        [
            "replace 10.0.0.1 via 5 at 1024",
            "replace fd00::1 via 5 at 1024"
        ]
    );
    world.settings.priority = 512;
    assert_eq!(
        world.step(),
        [
            "add 10.0.0.1 via 5 at 512",
            "add fd00::1 via 5 at 512",
            "remove 10.0.0.1 via 5 at 1024",
            "remove fd00::1 via 5 at 1024"
        ],
        "the new one stands before the old one goes"
    );
}

#[test]
fn the_route_that_another_program_made_for_a_workload_goes_after_ours_has_come() {
    let mut world = World::new(&[(5, "cali0")]);
    world.route("10.0.0.1", 5, 0, BOOT);
    world.want("cali0", &["10.0.0.1"]);
    assert_eq!(
        world.step(),
        [
            "meet 10.0.0.1 at 5",
            "add 10.0.0.1 via 5 at 1024",
            "remove 10.0.0.1 via 5 at 0"
        ]
    );
}

#[test]
fn what_nobody_wants_stays_until_all_is_told_and_while_its_link_is_new() {
    let mut world = World::new(&[(5, "cali0"), (6, "cali1")]);
    world.knowledge = Knowledge::Partial;
    world.in_grace = BTreeSet::from([5, 6]);
    world.route("10.0.0.1", 5, 1024, BOOT);
    world.route("10.0.0.9", 6, 0, STATIC);
    assert_eq!(world.step(), [""; 0], "more may be wanted");
    world.knowledge = Knowledge::Whole;
    assert_eq!(world.plan().spared, BTreeSet::from([5, 6]));
    assert_eq!(world.step(), [""; 0], "it is too early to say");
    world.want("cali1", &["10.0.0.2"]);
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.9 via 6 at 0",
            "meet 10.0.0.2 at 6",
            "add 10.0.0.2 via 6 at 1024",
            "flush 10.0.0.9"
        ],
        "who is wanted is known of this link"
    );
    world.in_grace.clear();
    assert_eq!(
        world.step(),
        ["remove 10.0.0.1 via 5 at 1024", "flush 10.0.0.1"]
    );
}

#[test]
fn a_route_from_before_that_is_right_is_ours_at_once() {
    let mut world = World::new(&[(5, "cali0")]);
    world.in_grace = BTreeSet::from([5]);
    world.route("10.0.0.1", 5, 1024, BOOT);
    world.apply(Fact::Neighbour(5, [10, 0, 0, 1].into(), MAC));
    world.want("cali0", &["10.0.0.1"]);
    assert_eq!(world.step(), [""; 0]);
    world.unwant("cali0");
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.1 via 5 at 1024",
            "leave 10.0.0.1 at 5",
            "flush 10.0.0.1"
        ]
    );
}

#[test]
fn an_address_moves_even_before_all_is_told() {
    let mut world = World::new(&[(5, "cali0"), (6, "cali1")]);
    world.knowledge = Knowledge::Partial;
    world.route("10.0.0.1", 5, 1024, BOOT);
    world.want("cali1", &["10.0.0.1"]);
    assert_eq!(
        world.step(),
        ["remove 10.0.0.1 via 5 at 1024", "flush 10.0.0.1"]
    );
}

#[test]
fn routes_of_others_and_of_the_kernel_are_no_concern_of_ours() {
    let mut world = World::new(&[(5, "cali0"), (6, "eth0")]);
    world.route("10.0.0.0/24", 5, 0, KERNEL);
    world.route("fe80::/64", 5, 256, KERNEL);
    world.route("fe80::/64", 5, 1024, BOOT);
    world.route("ff00::/8", 5, 256, STATIC);
    world.route("10.0.0.1", 6, 1024, BOOT);
    world.route("10.0.0.2", 6, 0, 80);
    world.apply(Fact::Neighbour(6, [10, 0, 0, 1].into(), MAC));
    assert_eq!(world.step(), [""; 0]);
    world.settings.external = ExternalRoutes::Kept;
    world.route("10.0.0.3", 5, 0, STATIC);
    world.apply(Fact::Neighbour(5, [10, 0, 0, 3].into(), MAC));
    assert_eq!(world.step(), [""; 0]);
    world.route("10.0.0.4", 5, 0, BOOT);
    world.route("10.0.0.5", 5, 0, 80);
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.4 via 5 at 0",
            "remove 10.0.0.5 via 5 at 0",
            "flush 10.0.0.4",
            "flush 10.0.0.5"
        ]
    );
}

#[test]
fn a_protocol_number_of_our_own_marks_our_routes_everywhere() {
    let mut world = World::new(&[(5, "cali0"), (6, "eth0")]);
    world.settings.protocol = 77;
    world.route("10.0.0.1", 6, 1024, 77);
    world.route("10.0.0.2", 6, 0, 77);
    world.route("10.0.0.0/24", 6, 1024, 77);
    let (key, mut path) = foreign("10.0.0.3", 6, 1024, 77);
    path.hop = Hop::Gateway;
    world.apply(Fact::Route(key, path, Placed::Added));
    assert_eq!(
        world.step(),
        ["remove 10.0.0.1 via 6 at 1024"],
        "but only those that look as ours do"
    );
}

#[test]
fn a_renamed_link_loses_what_its_old_name_had() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.link(5, "foo0", LinkState::Up);
    assert_eq!(
        world.step(),
        [
            "remove 10.0.0.1 via 5 at 1024",
            "leave 10.0.0.1 at 5",
            "flush 10.0.0.1"
        ]
    );
}

#[test]
fn a_neighbour_goes_with_the_hardware_address() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    if let Some(wiring) = world.wanted.get_mut(&interface("cali0")) {
        wiring.mac = None;
    }
    assert_eq!(world.step(), ["leave 10.0.0.1 at 5"]);
}

#[test]
fn ipv6_can_be_left_out() {
    let mut world = World::new(&[(5, "cali0")]);
    world.settings.ipv6 = Ipv6::Disabled;
    world.route("fd00::9", 5, 1024, BOOT);
    world.want("cali0", &["10.0.0.1", "fd00::1"]);
    assert_eq!(
        world.step(),
        ["meet 10.0.0.1 at 5", "add 10.0.0.1 via 5 at 1024"]
    );
}

#[test]
fn ipv6_can_be_turned_off_later() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["fd00::1"]);
    world.settle();
    world.settings.ipv6 = Ipv6::Disabled;
    assert_eq!(world.step(), ["remove fd00::1 via 5 at 1024"]);
    world.settle();
}

#[test]
fn a_source_that_goes_takes_its_routes_along() {
    let mut world = World::new(&[(5, "cali0")]);
    world.settings.source_v4 = Some([192, 0, 2, 1].into());
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.apply(Fact::AddressGone([192, 0, 2, 1].into()));
    assert_eq!(world.step(), ["add 10.0.0.1 via 5 at 1024"]);
}

/// One thing that happens to a host.
#[derive(Debug, Clone)]
enum Happening {
    Link(u32, usize, LinkState),
    Gone(u32),
    Want(usize, Vec<usize>),
    Unwant(usize),
    Foreign(usize, u32, u32),
    Lost(usize, u32),
    Step,
    Flushed,
}

const NAMES: [&str; 3] = ["cali0", "cali1", "eth0"];
const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "fd00::1"];

fn happening() -> impl Strategy<Value = Happening> {
    let state = prop_oneof![
        3 => Just(LinkState::Up),
        1 => Just(LinkState::Dormant),
        1 => Just(LinkState::Down)
    ];
    let (index, name, address) = (1..5_u32, 0..NAMES.len(), 0..ADDRESSES.len());
    // Only an interface of a workload is ever wanted.
    let workload = 0..NAMES.len() - 1;
    prop_oneof![
        (index.clone(), name.clone(), state).prop_map(|(i, n, s)| Happening::Link(i, n, s)),
        index.clone().prop_map(Happening::Gone),
        (
            workload.clone(),
            prop::collection::vec(address.clone(), 0..3)
        )
            .prop_map(|(n, a)| Happening::Want(n, a)),
        workload.prop_map(Happening::Unwant),
        (
            address.clone(),
            index.clone(),
            prop_oneof![Just(0), Just(1024)]
        )
            .prop_map(|(a, i, p)| Happening::Foreign(a, i, p)),
        (address, index).prop_map(|(a, i)| Happening::Lost(a, i)),
        Just(Happening::Step),
        Just(Happening::Flushed),
    ]
}

impl World {
    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Link(index, name, state) => {
                let taken = self.observed.named(&interface(NAMES[*name]));
                if taken.is_none_or(|(owner, _)| owner == *index) {
                    self.link(*index, NAMES[*name], *state);
                }
            }
            Happening::Gone(index) => self.apply(Fact::LinkGone(*index)),
            Happening::Want(name, addresses) => {
                let addresses: Vec<&str> = addresses.iter().map(|a| ADDRESSES[*a]).collect();
                self.want(NAMES[*name], &addresses);
            }
            Happening::Unwant(name) => self.unwant(NAMES[*name]),
            Happening::Foreign(address, index, priority) => {
                if self.observed.link(*index).is_some() {
                    self.route(ADDRESSES[*address], *index, *priority, STATIC);
                }
            }
            Happening::Lost(address, index) => {
                let (key, _) = foreign(ADDRESSES[*address], *index, 1024, BOOT);
                self.apply(Fact::RouteGone(key));
            }
            Happening::Step => {
                self.check_order();
                self.step();
            }
            Happening::Flushed => self.flushed(),
        }
    }

    /// Checks that no address is routed to one link while its connections are those of another.
    fn check_order(&mut self) {
        for operation in self.plan().operations {
            if let Operation::AddRoute(key, _) | Operation::ReplaceRoute(key, _) = operation {
                let address = key.destination.addr();
                let holder = self.ours.holders().get(&address);
                assert!(holder.is_none_or(|holder| *holder == key.index));
                assert!(!self.flushing.contains(&address));
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_connections_go_first_and_each_address_has_one_route(
        happenings in prop::collection::vec(happening(), 0..60)
    ) {
        let mut world = World::new(&[]);
        for happening in &happenings {
            world.happen(happening);
        }
        for _ in 0..4 {
            world.check_order();
            world.step();
            world.flushed();
        }
        prop_assert_eq!(world.step(), [""; 0], "it does not settle");
        for text in ADDRESSES {
            let address = ip(text);
            let wants = |(name, wiring): (&InterfaceName, &Wiring)| {
                let (index, link) = world.observed.named(name)?;
                let wanted = wiring.addresses.contains(&address);
                (wanted && link.state == LinkState::Up).then_some(index)
            };
            let newest = world.wanted.iter().filter_map(wants).max();
            let ours: Vec<u32> = world
                .observed
                .routes()
                .iter()
                .filter(|(key, _)| key.destination == host_net(address))
                .filter(|(key, path)| {
                    world.ours.owns(key, **path, &world.observed, &world.settings)
                })
                .map(|(key, _)| key.index)
                .collect();
            prop_assert_eq!(ours, Vec::from_iter(newest));
        }
    }
}

#[test]
fn what_was_wanted_at_the_start_inherits_no_connection() {
    let mut world = World::new(&[(1, "cali1"), (2, "cali2")]);
    world.want("cali1", &["10.65.0.1"]);
    world.want("cali2", &["10.65.0.2"]);
    world.inherited = BTreeSet::from([ip("10.65.0.1"), ip("10.65.0.2")]);
    // One is routed as it should be: whoever stopped before has left it so.
    let (key, path) = route(&world.settings, ip("10.65.0.1"), 1);
    world.apply(Fact::Route(key, path, Placed::Added));
    world.inherited = BTreeSet::from([ip("10.65.0.1"), ip("10.65.0.2")]);
    let plan = world.plan();
    assert_eq!(plan.flush, BTreeSet::from([ip("10.65.0.2")]));
    assert_eq!(plan.known, world.inherited);
    assert_eq!(plan.waiting, BTreeSet::from([2]));
    world.inherited.clear();
    world.step();
    world.flushed();
    world.settle();
}

#[test]
fn a_route_of_others_leads_to_an_unknown_address_until_ours_does() {
    let mut world = World::new(&[(5, "cali0")]);
    world.route("10.0.0.1", 5, 0, BOOT);
    world.want("cali0", &["10.0.0.1"]);
    world.inherited = BTreeSet::from([ip("10.0.0.1")]);
    assert_eq!(world.step(), ["flush 10.0.0.1"]);
    assert_eq!(world.step(), [""; 0]);
    world.inherited.clear();
    world.flushed();
    assert_eq!(
        world.step(),
        [
            "meet 10.0.0.1 at 5",
            "add 10.0.0.1 via 5 at 1024",
            "remove 10.0.0.1 via 5 at 0"
        ]
    );
    world.settle();
}

#[test]
fn what_an_agent_with_other_settings_has_wired_keeps_its_connections() {
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.ours = Ours::default();
    world.inherited = BTreeSet::from([ip("10.0.0.1")]);
    world.settings.priority = 512;
    assert_eq!(
        world.step(),
        ["add 10.0.0.1 via 5 at 512", "remove 10.0.0.1 via 5 at 1024"]
    );
    world.settings.protocol = 80;
    assert_eq!(world.step(), ["replace 10.0.0.1 via 5 at 512"]);
}
