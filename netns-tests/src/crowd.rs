//! A hundred workloads of the host at little cost: their ends all live in one namespace.
//!
//! Each has an interface pair and an address of each family of its own. What it sends leaves by its own interface,
//! also to another one of the crowd, since its address and not the destination chooses the routing table.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ns::Namespace;
use crate::topology::{EXT, Family, World};
use crate::workloads::{GATEWAY4, GATEWAY6, HOST_END, prepare};

/// Where the table numbers of their routes begin.
const TABLES: u16 = 1000;

/// Is a number of workloads of the host, joined to it by `cali100` and so on.
#[derive(Debug)]
pub struct Crowd {
    namespace: Namespace,
    count: u16,
}

impl Crowd {
    /// Joins so many workloads to a host; their routes there are the daemon's to make.
    pub fn join(world: &World, count: u16) -> Self {
        let namespace = Namespace::new("crowd");
        prepare(&namespace);
        // One of them has packets for another from outside, whose address is also local.
        namespace.sysctl("net/ipv4/conf/all/accept_local", "1");
        let crowd = Self { namespace, count };
        let (mut links, mut inside, mut v4, mut v6) = Default::default();
        for number in 0..count {
            crowd.describe(number, &mut links, &mut inside, &mut v4, &mut v6);
        }
        world.host.ip(&links);
        crowd.namespace.ip(&inside);
        // What the namespace makes itself is routed by its sender first, and only then by what is local.
        for (family, rules) in [("-4", &v4), ("-6", &v6)] {
            let rules =
                format!("{rules}rule add pref 200 lookup local\nrule delete pref 0 lookup local\n");
            crowd.namespace.exec("ip", &[family, "-batch", "-"], &rules);
        }
        world
            .host
            .ip(&format!("route replace default via {}\n", EXT.v4));
        world.route_through_host();
        crowd
    }

    fn describe(
        &self,
        number: u16,
        links: &mut String,
        inside: &mut String,
        v4: &mut String,
        v6: &mut String,
    ) {
        let (interface, table) = (interface(number), TABLES + number);
        let (address4, address6) = (address(number, Family::V4), address(number, Family::V6));
        let _ = write!(
            links,
            "link add {interface} address {HOST_END} type veth peer name {interface} address {} netns {}\n\
             link set {interface} up\n",
            hardware_address(number),
            self.namespace.name(),
        );
        let _ = write!(
            inside,
            "link set {interface} up\n\
             address add {address4}/32 dev {interface}\n\
             address add {address6}/128 dev {interface} nodad\n\
             neighbour replace {GATEWAY4} lladdr {HOST_END} dev {interface} nud permanent\n\
             neighbour replace {GATEWAY6} lladdr {HOST_END} dev {interface} nud permanent\n\
             route add {GATEWAY4} dev {interface} scope link table {table}\n\
             route add default via {GATEWAY4} dev {interface} table {table} onlink\n\
             route add default via {GATEWAY6} dev {interface} table {table}\n"
        );
        let _ = writeln!(
            v4,
            "rule add pref 100 iif lo from {address4} lookup {table}"
        );
        let _ = writeln!(
            v6,
            "rule add pref 100 iif lo from {address6} lookup {table}"
        );
    }

    /// Returns the namespace of their ends.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns their numbers.
    pub fn numbers(&self) -> std::ops::Range<u16> {
        0..self.count
    }
}

/// Returns the address of a workload of the crowd, in 10.66.0.0/16 or `fd66::/112`.
pub fn address(number: u16, family: Family) -> IpAddr {
    match family {
        Family::V4 => {
            let [high, low] = (number + 1).to_be_bytes();
            Ipv4Addr::new(10, 66, high, low).into()
        }
        Family::V6 => Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, number + 1).into(),
    }
}

/// Returns the interface of a workload of the crowd, of the same name at both ends.
pub fn interface(number: u16) -> String {
    format!("cali{}", 100 + number)
}

fn hardware_address(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("02:00:00:01:{high:02x}:{low:02x}")
}

/// Returns the resource of a workload of the crowd on `host1`, with the label `role: crowd` and these beside it.
pub fn endpoint(number: u16, labels: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\n\
         kind: WorkloadEndpoint\n\
         metadata: {{name: host1-k8s-crowd{number}-eth0, namespace: default, labels: {{role: crowd, {labels}}}}}\n\
         spec: {{node: host1, orchestrator: k8s, pod: crowd{number}, endpoint: eth0, interfaceName: {}, mac: \"{}\", \
         ipNetworks: [\"{}/32\", \"{}/128\"]}}\n",
        interface(number),
        hardware_address(number),
        address(number, Family::V4),
        address(number, Family::V6),
    )
}
