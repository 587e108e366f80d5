use super::super::observed::{Fact, Link, Placed};
use super::super::settings::{BOOT, Ipv6, SpoofedSources};
use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const KERNEL: u8 = 2;
const STATIC: u8 = 4;

#[path = "plan_properties.rs"]
mod properties;

/// A host in memory, which does what plans say.
struct World {
    settings: Settings,
    wanted: BTreeMap<InterfaceName, Wiring>,
    knowledge: Knowledge,
    observed: Observed,
    ours: Ours,
    flushing: BTreeSet<IpAddr>,
    doubted: BTreeSet<IpAddr>,
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
            doubted: BTreeSet::new(),
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
        for (address, index) in &plan.led {
            self.ours.led(*address, *index);
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
        self.doubted.extend(&plan.doubted);
        self.inherited
            .retain(|address| !plan.known.contains(address));
        let flush = plan.flush.iter().map(|address| format!("flush {address}"));
        plan.operations.iter().map(shown).chain(flush).collect()
    }

    /// Lets another process begin with what the kernel holds, and want these addresses from the start.
    fn restart(&mut self, inherited: &[&str]) {
        self.ours = Ours::default();
        self.inherited = inherited.iter().map(|text| ip(text)).collect();
    }

    /// Lets the deletion of connections end.
    fn flushed(&mut self) {
        for address in std::mem::take(&mut self.flushing) {
            if !self.doubted.remove(&address) {
                self.ours.released(address);
            }
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
    world.settings.priority_v4 = 512;
    world.settings.priority_v6 = 512;
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
    world.apply(Fact::AddressGone(9, [192, 0, 2, 1].into()));
    assert_eq!(world.step(), ["add 10.0.0.1 via 5 at 1024"]);
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
    world.want("cali0", &["10.0.0.1", "fd00::1"]);
    world.settle();
    world.restart(&["10.0.0.1", "fd00::1"]);
    world.settings.priority_v4 = 512;
    world.settings.priority_v6 = 512;
    assert_eq!(
        world.step(),
        [
            "add 10.0.0.1 via 5 at 512",
            "add fd00::1 via 5 at 512",
            "remove 10.0.0.1 via 5 at 1024",
            "remove fd00::1 via 5 at 1024"
        ]
    );
    world.restart(&["10.0.0.1", "fd00::1"]);
    world.settings.protocol = 80;
    assert_eq!(
        world.step(),
        [
            "replace 10.0.0.1 via 5 at 512",
            "replace fd00::1 via 5 at 512"
        ]
    );
}

#[test]
fn a_neighbour_says_who_was_wired_only_by_its_hardware_address_and_beside_a_route() {
    let neighbour = |mac| Fact::Neighbour(5, [10, 0, 0, 1].into(), mac);
    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.route("10.0.0.1", 5, 0, BOOT);
    world.apply(neighbour(OTHER_MAC));
    world.restart(&["10.0.0.1"]);
    assert_eq!(world.step(), ["flush 10.0.0.1"]);

    let mut world = World::new(&[(5, "cali0")]);
    world.want("cali0", &["10.0.0.1"]);
    world.apply(neighbour(MAC));
    world.restart(&["10.0.0.1"]);
    assert_eq!(world.step(), ["flush 10.0.0.1"]);
}

#[test]
fn an_ipv6_route_as_any_program_makes_it_says_nothing_where_a_neighbour_could() {
    let mut world = World::new(&[(5, "cali0"), (6, "cali1")]);
    for (name, addresses) in [
        ("cali0", &["10.0.0.1", "fd00::1"][..]),
        ("cali1", &["fd00::2"]),
    ] {
        world.want(name, addresses);
    }
    world.settle();
    world.restart(&["10.0.0.1", "fd00::1", "fd00::2"]);
    assert_eq!(world.step(), [""; 0], "all are as this program left them");

    world.apply(Fact::NeighbourGone(5, [10, 0, 0, 1].into()));
    world.apply(Fact::RouteGone(foreign("10.0.0.1", 5, 1024, BOOT).0));
    world.restart(&["10.0.0.1", "fd00::1", "fd00::2"]);
    assert_eq!(world.step(), ["flush 10.0.0.1", "flush fd00::1"]);
    world.flushed();
    world.settle();
}

#[test]
fn a_route_that_is_left_to_others_keeps_connections_and_gives_them_up_with_the_address() {
    let mut world = World::new(&[(5, "cali0")]);
    world.settings.external = ExternalRoutes::Kept;
    world.settings.protocol = 80;
    world.route("fd00::1", 5, 1024, BOOT);
    world.want("cali0", &["10.0.0.1", "fd00::1"]);
    assert_eq!(
        world.step(),
        ["meet 10.0.0.1 at 5", "add 10.0.0.1 via 5 at 1024"]
    );
    world.restart(&["10.0.0.1", "fd00::1"]);
    assert_eq!(world.step(), [""; 0]);
    world.unwant("cali0");
    let last = world.step();
    assert!(last.contains(&"flush fd00::1".to_owned()), "{last:?}");
    assert_eq!(last.iter().filter(|it| it.contains("fd00::1")).count(), 1);

    // Without the neighbour it says nothing.
    world.flushed();
    world.want("cali0", &["fd00::1", "10.0.0.1"]);
    world.restart(&["fd00::1"]);
    assert_eq!(world.plan().flush, BTreeSet::from([ip("fd00::1")]));
}

#[test]
fn who_has_an_address_while_its_connections_are_deleted_is_not_forgotten() {
    let mut world = World::new(&[(5, "cali0"), (6, "cali1")]);
    world.route("10.0.0.1", 5, 0, BOOT);
    world.want("cali0", &["10.0.0.1"]);
    world.restart(&["10.0.0.1"]);
    assert_eq!(world.step(), ["flush 10.0.0.1"]);
    world.unwant("cali0");
    world.apply(Fact::LinkGone(5));
    world.want("cali1", &["10.0.0.1"]);
    world.flushed();
    assert_eq!(world.step(), ["flush 10.0.0.1"], "of who had it meanwhile");
    world.flushed();
    world.settle();
}

#[test]
fn a_route_of_others_to_the_new_link_of_an_address_goes_with_the_old_link() {
    let mut world = World::new(&[(5, "cali0"), (6, "cali1")]);
    world.want("cali0", &["10.0.0.1"]);
    world.settle();
    world.unwant("cali0");
    world.apply(Fact::LinkGone(5));
    world.route("10.0.0.1", 6, 0, BOOT);
    world.want("cali1", &["10.0.0.1"]);
    assert_eq!(
        world.step(),
        ["remove 10.0.0.1 via 6 at 0", "flush 10.0.0.1"]
    );
    world.flushed();
    world.settle();
}
