//! The network of the comparison: a host, two outside networks and two local workloads.
//!
//! ```text
//!   ext  eth0 ──── eth0  host  eth1 ──── eth0  ext2
//!                  cali0      cali1
//!                    │          │
//!                 eth0 w0    eth0 w1
//! ```
//!
//! Every neighbour is known for ever, and every route stands from the beginning save those to workloads, which
//! are the daemon's: what becomes of a packet depends on the daemon alone. A table of the test's own translates
//! destinations.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use netns_tests::{Family, Namespace};

/// Names a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Site {
    /// The host under test.
    Host,
    /// What is behind `eth0`.
    Ext,
    /// What is behind `eth1`.
    Ext2,
    /// The workload behind `cali0`.
    Work0,
    /// The workload behind `cali1`.
    Work1,
}

impl Site {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Host, Self::Ext, Self::Ext2, Self::Work0, Self::Work1];

    /// Returns the host's interface that leads there; `lo` for the host itself.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Host => "lo",
            Self::Ext => "eth0",
            Self::Ext2 => "eth1",
            Self::Work0 => "cali0",
            Self::Work1 => "cali1",
        }
    }

    fn role(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Ext => "ext",
            Self::Ext2 => "ext2",
            Self::Work0 => "w0",
            Self::Work1 => "w1",
        }
    }

    /// The hardware addresses of the host's end and of the other end of the link.
    pub(crate) fn hardware(self) -> [&'static str; 2] {
        match self {
            Self::Host => ["", ""],
            Self::Ext => ["02:00:00:00:00:01", "02:00:00:00:00:02"],
            Self::Ext2 => ["02:00:00:00:01:01", "02:00:00:00:01:02"],
            Self::Work0 => ["ee:ee:ee:ee:ee:ee", "02:00:00:00:02:02"],
            Self::Work1 => ["ee:ee:ee:ee:ee:ee", "02:00:00:00:03:02"],
        }
    }
}

/// Is an address of each family, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The name in messages.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) site: Site,
    /// The host's interface that has it or leads to it.
    pub(crate) interface: &'static str,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Place {
    /// Says whether no interface has it, so that nothing arrives without translation.
    pub(crate) fn is_virtual(&self) -> bool {
        [SERVICE, FLOATING, METADATA].contains(self)
    }

    /// Says whether it is a local workload's.
    pub(crate) fn is_workload(&self) -> bool {
        match self.site {
            Site::Work0 | Site::Work1 => true,
            Site::Host | Site::Ext | Site::Ext2 => false,
        }
    }

    /// Returns the address of `family`.
    pub(crate) fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

macro_rules! places {
    ($($constant:ident $name:literal $site:ident $interface:literal [$($v4:literal),*] [$($v6:literal),*];)*) => {
        $(pub(crate) const $constant: Place = Place {
            name: $name,
            site: Site::$site,
            interface: $interface,
            v4: Ipv4Addr::new($($v4),*),
            v6: Ipv6Addr::new($($v6),*),
        };)*
        /// Every address of the network.
        pub(crate) const PLACES: &[Place] = &[$($constant),*];
    };
}

places! {
    HOST0 "host/eth0" Host "eth0" [192, 0, 2, 1] [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1];
    HOST0B "host/eth0-b" Host "eth0" [203, 0, 113, 1] [0x2001, 0xdb8, 3, 0, 0, 0, 0, 1];
    HOST1 "host/eth1" Host "eth1" [198, 51, 100, 1] [0x2001, 0xdb8, 2, 0, 0, 0, 0, 1];
    EXT "ext" Ext "eth0" [192, 0, 2, 2] [0x2001, 0xdb8, 1, 0, 0, 0, 0, 2];
    EXTB "ext-b" Ext "eth0" [203, 0, 113, 2] [0x2001, 0xdb8, 3, 0, 0, 0, 0, 2];
    REMOTE1 "r1" Ext "eth0" [10, 65, 0, 1] [0xfd65, 0, 0, 0, 0, 0, 0, 1];
    REMOTE2 "r2" Ext "eth0" [10, 65, 0, 2] [0xfd65, 0, 0, 0, 0, 0, 0, 2];
    OUTSIDE "outside" Ext "eth0" [172, 16, 0, 2] [0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 2];
    EXT2 "ext2" Ext2 "eth1" [198, 51, 100, 2] [0x2001, 0xdb8, 2, 0, 0, 0, 0, 2];
    REMOTE3 "r3" Ext2 "eth1" [10, 66, 0, 1] [0xfd66, 0, 0, 0, 0, 0, 0, 1];
    WORK0 "w0" Work0 "cali0" [10, 65, 1, 2] [0xfd65, 0, 0, 1, 0, 0, 0, 2];
    WORK0B "w0-b" Work0 "cali0" [10, 65, 1, 3] [0xfd65, 0, 0, 1, 0, 0, 0, 3];
    WORK1 "w1" Work1 "cali1" [10, 65, 1, 4] [0xfd65, 0, 0, 1, 0, 0, 0, 4];
}

/// An address that no interface has: only the translation of destinations leads somewhere from it.
pub(crate) const SERVICE: Place = Place {
    name: "service",
    site: Site::Ext,
    interface: "eth0",
    v4: Ipv4Addr::new(10, 96, 0, 1),
    v6: Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 1),
};

/// The address outside of the first workload, while an endpoint says so.
pub(crate) const FLOATING: Place = Place {
    name: "w0 outside",
    site: Site::Work0,
    interface: "cali0",
    v4: Ipv4Addr::new(10, 97, 0, 1),
    v6: Ipv6Addr::new(0xfd97, 0, 0, 0, 0, 0, 0, 1),
};

/// The metadata service of `OpenStack`, as workloads know it; there is none of IPv6.
pub(crate) const METADATA: Place = Place {
    name: "metadata",
    site: Site::Host,
    interface: "eth0",
    v4: Ipv4Addr::new(169, 254, 169, 254),
    v6: Ipv6Addr::UNSPECIFIED,
};

/// Where the metadata service really is, and its port.
pub(crate) const METADATA_SERVER: (Place, u16) = (HOST0, 8775);

/// The addresses that a probe can be sent to for translation.
pub(crate) const TRANSLATED: [Place; 3] = [HOST0, HOST1, SERVICE];

/// Ports of [`TRANSLATED`] and whose port 80 each leads to.
const TRANSLATIONS: [(u16, Place); 5] = [
    (8080, WORK0),
    (8081, WORK1),
    (8082, EXT),
    (8083, EXT2),
    (8084, HOST1),
];

/// The port that translated destinations get.
const TRANSLATED_PORT: u16 = 80;

/// Returns where TCP and UDP to a port of an address are led, if they are.
pub(crate) fn translation(to: IpAddr, port: u16) -> Option<(Place, u16)> {
    let family = family_of(to);
    TRANSLATED
        .iter()
        .any(|place| place.address(family) == to)
        .then(|| TRANSLATIONS.iter().find(|(from, _)| *from == port))
        .flatten()
        .map(|(_, place)| (*place, TRANSLATED_PORT))
}

/// Returns the family of an address.
pub(crate) fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    }
}

/// The address that comes to an interface of the host and goes again.
pub(crate) const WANDERER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

/// Where the [`WANDERER`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanderer {
    /// Nowhere.
    Away,
    /// On `eth0`.
    Eth0,
    /// On `eth1`.
    Eth1,
}

impl Wanderer {
    /// Every place of it.
    pub(crate) const ALL: [Self; 3] = [Self::Away, Self::Eth0, Self::Eth1];

    /// Returns the interface that has it.
    pub(crate) fn interface(self) -> Option<&'static str> {
        match self {
            Self::Away => None,
            Self::Eth0 => Some("eth0"),
            Self::Eth1 => Some("eth1"),
        }
    }
}

/// A step of the wandering address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Away from an interface.
    Away,
    /// To an interface.
    Here,
}

impl Step {
    /// Returns the steps from one place to another, each with its interface.
    pub(crate) fn between(from: Wanderer, to: Wanderer) -> Vec<(Self, &'static str)> {
        let away = from.interface().map(|it| (Self::Away, it));
        let here = to.interface().map(|it| (Self::Here, it));
        [away, here]
            .into_iter()
            .flatten()
            .filter(|_| from != to)
            .collect()
    }
}

/// Is the network, which ends when dropped.
#[derive(Debug)]
pub(crate) struct Network(Vec<(Site, Namespace)>);

impl Network {
    /// Builds it.
    pub(crate) fn new() -> Self {
        Self::around(Namespace::new(Site::Host.role()))
    }

    /// Builds it with a host that belongs to a user namespace of its own, where the kernel refuses what is too long.
    pub(crate) fn contained() -> Self {
        Self::around(Namespace::of_user(Site::Host.role()))
    }

    fn around(host: Namespace) -> Self {
        let others = Site::ALL.into_iter().filter(|site| *site != Site::Host);
        let others = others.map(|site| (site, Namespace::new(site.role())));
        let network = Self([(Site::Host, host)].into_iter().chain(others).collect());
        for (_, namespace) in &network.0 {
            for (setting, value) in [
                ("net/ipv6/conf/all/accept_dad", "0"),
                ("net/ipv6/conf/default/accept_dad", "0"),
                ("net/ipv4/conf/all/rp_filter", "0"),
                ("net/ipv4/conf/default/rp_filter", "0"),
                ("net/ipv4/conf/all/send_redirects", "0"),
                ("net/ipv4/conf/default/send_redirects", "0"),
                ("net/ipv4/icmp_ratelimit", "0"),
                ("net/ipv6/icmp/ratelimit", "0"),
                // A connection that is never completed must not be heard of again.
                ("net/ipv4/tcp_synack_retries", "0"),
                ("net/ipv4/tcp_max_syn_backlog", "16384"),
            ] {
                namespace.sysctl(setting, value);
            }
            // Linux 6.1 does not show it in a namespace that belongs to a user namespace.
            if namespace.has_sysctl("net/core/somaxconn") {
                namespace.sysctl("net/core/somaxconn", "16384");
            }
            namespace.ip("link set lo up\n");
        }
        let host = network.at(Site::Host);
        for (site, namespace) in &network.0 {
            if *site == Site::Host {
                continue;
            }
            let interface = site.interface();
            let [ours, theirs] = site.hardware();
            host.ip(&format!(
                "link add {interface} address {ours} type veth peer name eth0 address {theirs} netns {peer}\n\
                 link set {interface} up\n",
                peer = namespace.name()
            ));
            namespace.ip("link set eth0 up\n");
            namespace.ip(&peer_lines(*site));
        }
        host.ip(&host_lines());
        host.sysctl("net/ipv4/ip_forward", "1");
        host.sysctl("net/ipv6/conf/all/forwarding", "1");
        host.nft(&translation_table());
        network
    }

    /// Returns the namespace of a site.
    pub(crate) fn at(&self, site: Site) -> &Namespace {
        let found = self.0.iter().find(|(it, _)| *it == site);
        &found.expect("every site has a namespace").1
    }

    /// Lists the routes to workloads that the host's kernel has.
    pub(crate) fn routes(&self) -> BTreeSet<IpAddr> {
        let [v4, v6] = self.at(Site::Host).run(|| {
            ["route", "ipv6_route"].map(|file| {
                std::fs::read_to_string(Path::new("/proc/thread-self/net").join(file))
                    .expect("read the routes")
            })
        });
        let known = |place: &&Place, family: Family| match place.address(family) {
            IpAddr::V4(address) => {
                // Interface and destination, as the number that the address is in memory.
                let number = u32::from_ne_bytes(address.octets());
                let wanted = format!("{}\t{number:08X}\t", place.interface);
                v4.lines().any(|line| line.starts_with(&wanted))
            }
            IpAddr::V6(address) => {
                let wanted = format!("{:032x} 80 ", address.to_bits());
                let on = format!(" {}", place.interface);
                v6.lines()
                    .any(|line| line.starts_with(&wanted) && line.trim_end().ends_with(&on))
            }
        };
        [Family::V4, Family::V6]
            .into_iter()
            .flat_map(|family| {
                workload_places()
                    .filter(move |place| known(place, family))
                    .map(move |place| place.address(family))
            })
            .collect()
    }

    /// Undoes what a daemon for which the interfaces of workloads had other names has left on them.
    pub(crate) fn tidy(&self) {
        let host = self.at(Site::Host);
        for site in [Site::Work0, Site::Work1] {
            let interface = site.interface();
            for family in ["-4", "-6"] {
                let arguments = [family, "route", "flush", "dev", interface, "proto", "boot"];
                host.exec("ip", &arguments, "");
            }
            self.trust(site);
        }
    }

    /// Makes the kernel accept any source from a site.
    pub(crate) fn trust(&self, site: Site) {
        let interface = site.interface();
        let setting = format!("net/ipv4/conf/{interface}/rp_filter");
        self.at(Site::Host).sysctl(&setting, "0");
    }

    /// Takes the host's end of a workload's link down and up again.
    ///
    /// The neighbours of IPv6 go with it, and are the test's to bring back.
    pub(crate) fn flap(&self, site: Site) {
        let (interface, [_, theirs]) = (site.interface(), site.hardware());
        let neighbours: String = places_at(site)
            .flat_map(|place| {
                let to = place.v6.to_string();
                [
                    "neighbour replace ",
                    &to,
                    " lladdr ",
                    theirs,
                    " nud permanent dev ",
                    interface,
                    "\n",
                ]
                .map(str::to_owned)
            })
            .collect();
        self.at(Site::Host).ip(&format!(
            "link set {interface} down\nlink set {interface} up\n{neighbours}"
        ));
    }

    /// Takes the wandering address from an interface, or gives it one.
    pub(crate) fn step(&self, step: Step, interface: &str) {
        let word = match step {
            Step::Away => "delete",
            Step::Here => "add",
        };
        let host = self.at(Site::Host);
        host.ip(&format!("address {word} {WANDERER}/32 dev {interface}\n"));
    }
}

/// Returns the places that the routes to workloads are about.
pub(crate) fn workload_places() -> impl Iterator<Item = &'static Place> {
    let own = PLACES.iter().filter(|place| place.is_workload());
    own.chain([&FLOATING])
}

fn places_at(site: Site) -> impl Iterator<Item = &'static Place> {
    PLACES.iter().filter(move |place| place.site == site)
}

/// Says whether a place lies in the net that its link shares.
fn on_link(place: &Place) -> bool {
    [HOST0, HOST0B, HOST1, EXT, EXTB, EXT2].contains(place)
}

/// Addresses, routes and neighbours of a namespace that is not the host's.
fn peer_lines(site: Site) -> String {
    let [ours, _] = site.hardware();
    let mut lines: Vec<String> = Vec::new();
    for place in places_at(site) {
        let (v4, v6) = (place.v4, place.v6);
        let [long, longer] = if on_link(place) { [24, 64] } else { [32, 128] };
        lines.push(format!(
            "address add {v4}/{long} dev eth0\naddress add {v6}/{longer} dev eth0 nodad\n"
        ));
    }
    let gateways: &[Place] = match site {
        Site::Ext => &[HOST0, HOST0B],
        Site::Ext2 => &[HOST1],
        Site::Host | Site::Work0 | Site::Work1 => &[],
    };
    let (v4, v6) = match gateways.first() {
        Some(first) => (first.v4, first.v6),
        None => (
            Ipv4Addr::new(169, 254, 1, 1),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        ),
    };
    for gateway in gateways.iter().map(|it| (it.v4, it.v6)).chain([(v4, v6)]) {
        lines.push(format!(
            "neighbour replace {} lladdr {ours} nud permanent dev eth0\n\
             neighbour replace {} lladdr {ours} nud permanent dev eth0\n",
            gateway.0, gateway.1
        ));
    }
    lines.push(format!(
        "route add default via {v4} dev eth0 onlink\nroute add default via {v6} dev eth0 onlink\n"
    ));
    lines.concat()
}

/// Addresses, routes and neighbours of the host.
fn host_lines() -> String {
    let mut lines: Vec<String> = Vec::new();
    for place in places_at(Site::Host) {
        let (v4, v6, interface) = (place.v4, place.v6, place.interface);
        lines.push(format!(
            "address add {v4}/24 dev {interface}\naddress add {v6}/64 dev {interface} nodad\n"
        ));
    }
    let others = PLACES.iter().filter(|place| place.site != Site::Host);
    for place in others.chain([&SERVICE]) {
        let (v4, v6, interface) = (place.v4, place.v6, place.interface);
        let [_, theirs] = place.site.hardware();
        lines.push(format!(
            "neighbour replace {v6} lladdr {theirs} nud permanent dev {interface}\n"
        ));
        // The IPv4 neighbours of workloads and the routes to them are the daemon's matter.
        if place.is_workload() {
            continue;
        }
        lines.push(format!(
            "neighbour replace {v4} lladdr {theirs} nud permanent dev {interface}\n"
        ));
        if !on_link(place) {
            lines.push(format!(
                "route add {v4}/32 dev {interface}\nroute add {v6}/128 dev {interface}\n"
            ));
        }
    }
    lines.concat()
}

/// The table that translates destinations, as another program would have it.
fn translation_table() -> String {
    let mut rules: Vec<String> = Vec::new();
    for place in TRANSLATED {
        for (port, target) in TRANSLATIONS {
            for protocol in ["tcp", "udp"] {
                rules.push(format!(
                    "ip daddr {from4} {protocol} dport {port} dnat ip to {to4}:{TRANSLATED_PORT}\n\
                     ip6 daddr {from6} {protocol} dport {port} dnat ip6 to [{to6}]:{TRANSLATED_PORT}\n",
                    from4 = place.v4,
                    from6 = place.v6,
                    to4 = target.v4,
                    to6 = target.v6,
                ));
            }
        }
    }
    let rules = rules.concat();
    let chain =
        |hook: &str| format!("chain {hook} {{\ntype nat hook {hook} priority -100;\n{rules}}}\n");
    format!(
        "table inet elsewhere {{\n{}{}}}\n",
        chain("prerouting"),
        chain("output")
    )
}
