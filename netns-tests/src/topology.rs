//! The small network that every test runs in: a host between two peers.
//!
//! ```text
//!   ext  eth0 ───────── eth0  host  eth1 ───────── eth0  ext2
//!                       cali0 │ cali1 │ cali2
//!                             └ eth0 wl0, wl1, wl2
//! ```
//!
//! `ext` also holds the addresses of remote workloads (`W1`..`W4`) and of nets (`A1`..`A3`). The host's own
//! workloads (`WL0`..`WL2`) are there where a test asks for them: see [`crate::workloads`]. Every place
//! has an IPv4 and an IPv6 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ns::Namespace;
use crate::patience::patient;
use crate::probe::{self, Observation, Row};
use crate::server::{Server, Services};
use crate::watch::{self, Sighting};
use crate::workloads::prepare;
use crate::{track, workloads};

/// Names a namespace of the [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// The host under test.
    Host,
    /// The peer on the host's `eth0`.
    Ext,
    /// The peer on the host's `eth1`.
    Ext2,
    /// A workload of the host, by number.
    Workload(u8),
}

/// Names an IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Is an address of each family in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The name in messages.
    pub name: &'static str,
    /// The namespace that holds the addresses.
    pub site: Site,
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Place {
    /// Returns the address of `family`.
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

const fn place(name: &'static str, site: Site, v4: [u8; 4], v6: [u16; 8]) -> Place {
    let [a, b, c, d] = v4;
    Place {
        name,
        site,
        v4: Ipv4Addr::new(a, b, c, d),
        v6: Ipv6Addr::new(v6[0], v6[1], v6[2], v6[3], v6[4], v6[5], v6[6], v6[7]),
    }
}

/// The host's first address on `eth0`: 192.0.2.1, `2001:db8:1::1`.
pub const HOST0: Place = place(
    "host/eth0",
    Site::Host,
    [192, 0, 2, 1],
    [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1],
);
/// The host's second address on `eth0`: 203.0.113.1, `2001:db8:3::1`.
pub const HOST0B: Place = place(
    "host/eth0-b",
    Site::Host,
    [203, 0, 113, 1],
    [0x2001, 0xdb8, 3, 0, 0, 0, 0, 1],
);
/// The host's address on `eth1`: 198.51.100.1, `2001:db8:2::1`.
pub const HOST1: Place = place(
    "host/eth1",
    Site::Host,
    [198, 51, 100, 1],
    [0x2001, 0xdb8, 2, 0, 0, 0, 0, 1],
);
/// The first peer: 192.0.2.2, `2001:db8:1::2`.
pub const EXT: Place = place(
    "ext",
    Site::Ext,
    [192, 0, 2, 2],
    [0x2001, 0xdb8, 1, 0, 0, 0, 0, 2],
);
/// The first peer in the second net of `eth0`: 203.0.113.2, `2001:db8:3::2`.
pub const EXTB: Place = place(
    "ext-b",
    Site::Ext,
    [203, 0, 113, 2],
    [0x2001, 0xdb8, 3, 0, 0, 0, 0, 2],
);
/// The second peer: 198.51.100.2, `2001:db8:2::2`.
pub const EXT2: Place = place(
    "ext2",
    Site::Ext2,
    [198, 51, 100, 2],
    [0x2001, 0xdb8, 2, 0, 0, 0, 0, 2],
);
/// A remote workload behind `eth0`: 10.65.0.1, `fd65::1`.
pub const W1: Place = place(
    "w1",
    Site::Ext,
    [10, 65, 0, 1],
    [0xfd65, 0, 0, 0, 0, 0, 0, 1],
);
/// A remote workload behind `eth0`: 10.65.0.2, `fd65::2`.
pub const W2: Place = place(
    "w2",
    Site::Ext,
    [10, 65, 0, 2],
    [0xfd65, 0, 0, 0, 0, 0, 0, 2],
);
/// A remote workload behind `eth0`: 10.65.0.3, `fd65::3`.
pub const W3: Place = place(
    "w3",
    Site::Ext,
    [10, 65, 0, 3],
    [0xfd65, 0, 0, 0, 0, 0, 0, 3],
);
/// A remote workload behind `eth0`: 10.65.0.4, `fd65::4`.
pub const W4: Place = place(
    "w4",
    Site::Ext,
    [10, 65, 0, 4],
    [0xfd65, 0, 0, 0, 0, 0, 0, 4],
);
/// A machine in 10.1.0.0/16 and `fd01::/16`: 10.1.0.2, `fd01::2`.
pub const A1: Place = place(
    "a1",
    Site::Ext,
    [10, 1, 0, 2],
    [0xfd01, 0, 0, 0, 0, 0, 0, 2],
);
/// A machine in 10.2.0.0/16 and `fd02::/16`: 10.2.0.2, `fd02::2`.
pub const A2: Place = place(
    "a2",
    Site::Ext,
    [10, 2, 0, 2],
    [0xfd02, 0, 0, 0, 0, 0, 0, 2],
);
/// A machine outside 10.0.0.0/8 and `fd00::/8`: 172.16.0.2, `2001:db8:99::2`.
pub const A3: Place = place(
    "a3",
    Site::Ext,
    [172, 16, 0, 2],
    [0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 2],
);

/// The host's workload on `cali0`: 10.65.1.10, `fd65:1::10`.
pub const WL0: Place = place(
    "wl0",
    Site::Workload(0),
    [10, 65, 1, 10],
    [0xfd65, 1, 0, 0, 0, 0, 0, 0x10],
);
/// The host's workload on `cali1`: 10.65.1.11, `fd65:1::11`.
pub const WL1: Place = place(
    "wl1",
    Site::Workload(1),
    [10, 65, 1, 11],
    [0xfd65, 1, 0, 0, 0, 0, 0, 0x11],
);
/// The host's workload on `cali2`: 10.65.1.12, `fd65:1::12`.
pub const WL2: Place = place(
    "wl2",
    Site::Workload(2),
    [10, 65, 1, 12],
    [0xfd65, 1, 0, 0, 0, 0, 0, 0x12],
);

const ON_HOST: [Place; 3] = [HOST0, HOST0B, HOST1];
const ON_EXT: [Place; 9] = [EXT, EXTB, W1, W2, W3, W4, A1, A2, A3];
const ON_EXT2: [Place; 1] = [EXT2];

/// Is the host and its two peers, with echo servers on the ports a test asks for.
#[derive(Debug)]
pub struct World {
    servers: Vec<Server>,
    pub(crate) services: Option<Services>,
    watched: bool,
    pub(crate) workloads: Vec<Namespace>,
    /// The host under test.
    pub host: Namespace,
    /// The peer on the host's `eth0`.
    pub ext: Namespace,
    /// The peer on the host's `eth1`.
    pub ext2: Namespace,
}

impl World {
    /// Builds the network without any server.
    pub fn new() -> Self {
        Self::around(Namespace::new("host"))
    }

    /// Builds the network around a namespace that is to be the host.
    pub fn around(host: Namespace) -> Self {
        let world = Self {
            servers: Vec::new(),
            services: None,
            watched: false,
            workloads: Vec::new(),
            host,
            ext: Namespace::new("ext"),
            ext2: Namespace::new("ext2"),
        };
        for namespace in [&world.host, &world.ext, &world.ext2] {
            prepare(namespace);
        }
        world.host.ip(&format!(
            "link add eth0 type veth peer name eth0 netns {ext}\n\
             link add eth1 type veth peer name eth0 netns {ext2}\n",
            ext = world.ext.name(),
            ext2 = world.ext2.name(),
        ));
        world.host.ip("link set eth0 up\nlink set eth1 up\n");
        world.ext.ip("link set eth0 up\n");
        world.ext2.ip("link set eth0 up\n");
        for (namespace, interface) in [
            (&world.host, "eth0"),
            (&world.host, "eth1"),
            (&world.ext, "eth0"),
            (&world.ext2, "eth0"),
        ] {
            workloads::ask_on(namespace, interface);
        }
        world.host.ip(&addresses(&[HOST0, HOST0B], "eth0"));
        world.host.ip(&addresses(&[HOST1], "eth1"));
        world.ext.ip(&addresses(&ON_EXT, "eth0"));
        world.ext2.ip(&addresses(&ON_EXT2, "eth0"));
        world.host.ip("route add 10.0.0.0/8 dev eth0\n\
             route add 172.16.0.0/16 dev eth0\n\
             route add fd00::/8 dev eth0\n\
             route add 2001:db8:99::/64 dev eth0\n");
        world
    }

    /// Builds the network with the same echo servers at every site.
    pub fn serving(services: Services) -> Self {
        Self::new().with_servers(services)
    }

    /// Starts the same echo servers at every site.
    #[must_use]
    pub fn with_servers(self, services: Services) -> Self {
        let mut world = self;
        world.services = Some(services);
        for site in [Site::Host, Site::Ext, Site::Ext2] {
            world.serve(site, services);
        }
        world
    }

    /// Starts echo servers at a site; they answer when this returns.
    pub fn serve(&mut self, site: Site, services: Services) {
        let addresses: &[Place] = match site {
            Site::Host => &ON_HOST,
            Site::Ext => &ON_EXT,
            Site::Ext2 => &ON_EXT2,
            Site::Workload(number) => &workloads::WORKLOADS[usize::from(number)..][..1],
        };
        let server = Server::start(self.site(site), addresses, services);
        self.servers.push(server);
    }

    /// Lets the host forward packets between its interfaces and gives the peers a route through it.
    pub fn forwarding(&self) {
        self.host.sysctl("net/ipv4/ip_forward", "1");
        self.host.sysctl("net/ipv6/conf/all/forwarding", "1");
        self.route_through_host();
    }

    /// Gives the peers a route through the host.
    pub(crate) fn route_through_host(&self) {
        for (namespace, gateway) in [(&self.ext, HOST0), (&self.ext2, HOST1)] {
            namespace.ip(&format!(
                "route replace default via {}\nroute replace default via {}\n",
                gateway.v4, gateway.v6
            ));
        }
    }

    /// Returns the namespace of a site.
    pub fn site(&self, site: Site) -> &Namespace {
        match site {
            Site::Host => &self.host,
            Site::Ext => &self.ext,
            Site::Ext2 => &self.ext2,
            Site::Workload(number) => &self.workloads[usize::from(number)],
        }
    }

    fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        [&self.host, &self.ext, &self.ext2]
            .into_iter()
            .chain(&self.workloads)
    }

    /// Takes notes of what is delivered where, for rows that ask for more than an answer.
    ///
    /// Comes after [`World::with_workloads`].
    #[must_use]
    pub fn watching(mut self) -> Self {
        for namespace in self.namespaces() {
            watch::install(namespace);
        }
        self.watched = true;
        self
    }

    /// Says whether the world takes notes.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }

    /// Returns what was delivered at a site since [`World::forget_flows`] or the beginning.
    pub fn sightings(&self, site: Site) -> Vec<Sighting> {
        watch::sightings(self.site(site))
    }

    /// Forgets all tracked connections of the host, and the notes of every site.
    ///
    /// Connections of raw protocols have nothing that tells one from the next, so that an earlier one can make
    /// a later one established.
    pub fn forget_flows(&self) {
        track::forget(&self.host);
        if self.watched {
            for namespace in self.namespaces() {
                watch::forget(namespace);
            }
        }
    }

    /// Returns a setting below `/proc/sys` of the host.
    ///
    /// # Panics
    /// If there is none.
    pub fn setting(&self, path: &str) -> String {
        let file = std::path::Path::new("/proc/sys").join(path);
        self.host
            .run(|| std::fs::read_to_string(&file))
            .unwrap_or_else(|error| panic!("read {path}: {error}"))
            .trim_end()
            .to_owned()
    }

    /// Forgets every neighbour at every site, so that the next packet needs discovery.
    pub fn forget_neighbours(&self) {
        for namespace in self.namespaces() {
            for family in ["-4", "-6"] {
                namespace.exec("ip", &[family, "neigh", "flush", "all"], "");
            }
        }
    }

    /// Sends every probe of the table at once and demands the outcome of each.
    ///
    /// # Panics
    /// If an outcome differs; the message lists every row that did.
    #[track_caller]
    pub fn expect(&self, what: &str, rows: impl IntoIterator<Item = Row>) {
        let rows: Vec<Row> = rows.into_iter().collect();
        let wrong = probe::run_table(self, &rows);
        assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
    }

    /// Sends every probe of the table at once and returns what became of each, in the order of the rows and
    /// IPv4 first.
    ///
    /// What a row expects says how long to wait for an answer, and nothing else.
    ///
    /// # Panics
    /// If the world is not [`World::watching`].
    pub fn observe(&self, rows: &[Row]) -> Vec<Observation> {
        probe::observe(self, rows)
    }

    /// Sends the table again and again until it holds.
    ///
    /// Only for what nothing announces, such as a link that changed its name: a table whose old truth
    /// is the same as its new one would prove nothing.
    ///
    /// # Panics
    /// If it does not hold within the deadline.
    #[track_caller]
    pub fn eventually(&self, what: &str, rows: impl IntoIterator<Item = Row>) {
        let rows: Vec<Row> = rows.into_iter().collect();
        let deadline = std::time::Instant::now() + patient(crate::agent::WORK_DEADLINE);
        loop {
            let wrong = probe::run_table_briefly(self, &rows);
            if wrong.is_empty() {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{what}, at the deadline:\n{}",
                wrong.join("\n")
            );
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the `ip -batch` lines that give `device` the addresses of `places`.
pub fn addresses(places: &[Place], device: &str) -> String {
    let lines: Vec<String> = places
        .iter()
        .map(|place| {
            let (v4, v6) = (place.v4, place.v6);
            format!("address add {v4}/24 dev {device}\naddress add {v6}/64 dev {device} nodad\n")
        })
        .collect();
    lines.concat()
}
