//! Workloads of the host: namespaces of their own behind `cali0`, `cali1` and `cali2`.
//!
//! They are wired as Calico wires them. Inside, the default route leads to the link-local gateway 169.254.1.1, for
//! which the host answers by proxy ARP, and to the link-local address of the host's end in IPv6. At the host, only
//! the interface is made: routes and settings are the daemon's to make, or [`World::wire_workloads`]'s in a test
//! without a daemon.

use std::time::Instant;

use crate::agent::WORK_DEADLINE;
use crate::ns::Namespace;
use crate::patience::patient;
use crate::topology::{EXT, Place, Site, WL0, WL1, WL2, World};

/// The hardware address of every host end, as Calico sets it.
pub(crate) const HOST_END: &str = "ee:ee:ee:ee:ee:ee";
/// The link-local address that comes of it.
pub(crate) const GATEWAY6: &str = "fe80::ecee:eeff:feee:eeee";
/// The gateway that no interface has.
pub(crate) const GATEWAY4: &str = "169.254.1.1";

/// The places of the workloads, by number.
pub const WORKLOADS: [Place; 3] = [WL0, WL1, WL2];

/// Returns the host's end of a workload: `cali0`, `cali1` or `cali2`.
///
/// # Panics
/// If the place is not in a workload.
pub fn interface(place: Place) -> String {
    format!("cali{}", number(place))
}

/// Returns the hardware address of a workload's own end.
///
/// # Panics
/// If the place is not in a workload.
pub fn hardware_address(place: Place) -> String {
    format!("02:00:00:00:00:0{}", number(place))
}

fn number(place: Place) -> u8 {
    match place.site {
        Site::Workload(number) => number,
        Site::Host | Site::Ext | Site::Ext2 => panic!("{} is not a workload", place.name),
    }
}

/// Says whether the host has a route to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// It has, in both families.
    Yes,
    /// It has not, in either.
    No,
}

impl World {
    /// Adds the first `count` workloads, with the servers of the world.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn with_workloads(mut self, count: usize) -> Self {
        for place in &WORKLOADS[..count] {
            let namespace = Namespace::new(place.name);
            prepare(&namespace);
            // Who asks for the gateway asks in its own name, also where the packet has a borrowed address.
            namespace.sysctl("net/ipv4/conf/all/arp_announce", "2");
            self.workloads.push(namespace);
            self.join(*place);
            if let Some(services) = self.services {
                self.serve(place.site, services);
            }
        }
        // Proxy ARP answers only for what has a route, and the gateway is in no net.
        self.host
            .ip(&format!("route replace default via {}\n", EXT.v4));
        self.route_through_host();
        self
    }

    /// Joins a workload to the host by a new pair of interfaces.
    ///
    /// # Panics
    /// If it is joined already.
    pub fn join(&self, place: Place) {
        let namespace = self.site(place.site);
        self.host.ip(&format!(
            "link add {interface} address {HOST_END} type veth peer name eth0 address {address} netns {peer}\n\
             link set {interface} up\n",
            interface = interface(place),
            address = hardware_address(place),
            peer = namespace.name(),
        ));
        ask_on(&self.host, &interface(place));
        ask_on(namespace, "eth0");
        namespace.ip(&format!(
            "link set eth0 up\n\
             address add {v4}/32 dev eth0\n\
             address add {v6}/128 dev eth0 nodad\n\
             route add {GATEWAY4} dev eth0 scope link\n\
             route add default via {GATEWAY4} dev eth0\n\
             route add default via {GATEWAY6} dev eth0\n",
            v4 = place.v4,
            v6 = place.v6,
        ));
    }

    /// Makes the routes and the settings that the daemon would make, for tests with rules of `nft` alone.
    pub fn wire_workloads(&self) {
        self.host.sysctl("net/ipv4/ip_forward", "1");
        self.host.sysctl("net/ipv6/conf/all/forwarding", "1");
        for place in &WORKLOADS[..self.workloads.len()] {
            let interface = interface(*place);
            self.host
                .sysctl(&format!("net/ipv4/conf/{interface}/proxy_arp"), "1");
            self.host
                .sysctl(&format!("net/ipv4/neigh/{interface}/proxy_delay"), "0");
            self.host.ip(&format!(
                "route replace {}/32 dev {interface} scope link proto static\n\
                 route replace {}/128 dev {interface} proto static\n",
                place.v4, place.v6
            ));
        }
    }

    /// Gives a site the addresses of another place too, so that it can send in that place's name.
    ///
    /// They are on the loopback, where the site's own neighbours do not learn of them.
    #[must_use]
    pub fn lend(&self, site: Site, place: Place) -> Place {
        self.site(site).ip(&format!(
            "address add {}/32 dev lo\naddress add {}/128 dev lo nodad\n",
            place.v4, place.v6
        ));
        Place { site, ..place }
    }

    /// Waits until the host has routes to these places by their workload's interface, or none.
    ///
    /// # Panics
    /// If it is not so within the deadline.
    #[track_caller]
    pub fn routed(&self, places: &[Place], wanted: Routed) {
        let deadline = Instant::now() + patient(WORK_DEADLINE);
        loop {
            let routes = self.routes();
            let unlike: Vec<&str> = places
                .iter()
                .filter(|place| {
                    let found = [place.v4.to_string(), place.v6.to_string()].map(|address| {
                        routes
                            .lines()
                            .any(|route| is_route_to(route, &address, &interface(**place)))
                    });
                    match wanted {
                        Routed::Yes => found != [true, true],
                        Routed::No => found != [false, false],
                    }
                })
                .map(|place| place.name)
                .collect();
            if unlike.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "routed {wanted:?} does not hold for {unlike:?}:\n{routes}"
            );
        }
    }

    /// Returns the host's main routing tables of both families, one route a line.
    pub fn routes(&self) -> String {
        let of = |family| {
            let arguments = ["-d", family, "route", "show", "table", "main"];
            self.host.exec("ip", &arguments, "")
        };
        of("-4") + &of("-6")
    }
}

/// Says whether a line of `ip -d route` is the unicast route to an address by an interface.
fn is_route_to(line: &str, address: &str, interface: &str) -> bool {
    let line = line.strip_prefix("unicast ").unwrap_or(line);
    let mut words = line.split_whitespace();
    words.next() == Some(address)
        && words
            .collect::<Vec<_>>()
            .windows(2)
            .any(|pair| pair == ["dev", interface])
}

/// Makes the settings that every namespace of a world needs.
pub(crate) fn prepare(namespace: &Namespace) {
    // Duplicate address detection would hold back every address for a second.
    namespace.sysctl("net/ipv6/conf/all/accept_dad", "0");
    namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
    for scope in ["all", "default"] {
        namespace.sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0");
    }
    // What is sent back the way it came would teach the peers another way.
    for scope in ["all", "default"] {
        namespace.sysctl(&format!("net/ipv4/conf/{scope}/send_redirects"), "0");
        for family in ["ipv4", "ipv6"] {
            namespace.sysctl(&format!("net/{family}/conf/{scope}/accept_redirects"), "0");
        }
    }
    namespace.ip("link set lo up\n");
    // A rejected probe must be answered each time, not once a second.
    namespace.sysctl("net/ipv4/icmp_ratelimit", "0");
    namespace.sysctl("net/ipv6/icmp/ratelimit", "0");
}

/// Lets an interface ask for a neighbour for a minute.
///
/// By default it would give up on a silent one after three seconds, and say that it cannot be reached; a probe that is
/// slower than that would take it for a rejection.
pub(crate) fn ask_on(namespace: &Namespace, interface: &str) {
    for family in ["ipv4", "ipv6"] {
        namespace.sysctl(
            &format!("net/{family}/neigh/{interface}/mcast_solicit"),
            "60",
        );
    }
}
