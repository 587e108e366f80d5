//! Random endpoints and network sets.

use serde_json::{Map, Value, json};

use super::words::{NAMESPACES, NODE, Nets, declared_ports, families, labels, nets, profiles, put};
use netns_tests::Family;

use crate::network::{FLOATING, PLACES, Place, Site, WANDERER, WORK0};
use netns_tests::random::Random;

/// The node of endpoints that are elsewhere.
const OTHER_NODE: &str = "node2";

fn v4(place: &Place) -> String {
    place.address(netns_tests::Family::V4).to_string()
}

fn v6(place: &Place) -> String {
    place.address(netns_tests::Family::V6).to_string()
}

/// Chooses addresses of places, one family or both of each.
fn addresses(random: &mut Random, places: &[&Place], least: usize, most: usize) -> Vec<String> {
    let mut addresses = Vec::new();
    for place in random.some(places, least, most) {
        let which = random.below(4);
        if which != 1 {
            addresses.push(v4(place));
        }
        if which != 0 {
            addresses.push(v6(place));
        }
    }
    addresses
}

fn places(wanted: impl Fn(&Place) -> bool) -> Vec<&'static Place> {
    PLACES.iter().filter(|place| wanted(place)).collect()
}

/// How a host endpoint finds its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// By this name.
    Name(&'static str),
    /// By addresses of the host.
    Addresses,
    /// In an odd way.
    Odd,
}

fn host_spec(random: &mut Random, binding: Binding) -> Map<String, Value> {
    let mut spec = Map::new();
    let own = places(|place| place.site == Site::Host);
    match binding {
        Binding::Name(name) => {
            put(&mut spec, "interfaceName", name);
            if random.chance(40) {
                put(&mut spec, "expectedIPs", addresses(random, &own, 1, 2));
            }
        }
        Binding::Addresses => {
            let mut chosen = addresses(random, &own, 1, 2);
            if random.chance(40) {
                chosen.push(WANDERER.to_string());
            }
            put(&mut spec, "expectedIPs", chosen);
        }
        Binding::Odd => match random.below(6) {
            0 => put(&mut spec, "interfaceName", "lo"),
            1 => put(&mut spec, "interfaceName", "cali0"),
            2 => put(&mut spec, "expectedIPs", json!([WANDERER.to_string()])),
            3 => put(&mut spec, "expectedIPs", json!(["127.0.0.1"])),
            4 => put(&mut spec, "interfaceName", "*"),
            _ => put(&mut spec, "interfaceName", "absent0"),
        },
    }
    put(&mut spec, "profiles", profiles(random));
    spec
}

/// Makes a host endpoint of the v3 form.
pub(crate) fn host(random: &mut Random, name: &str, binding: Binding) -> Value {
    let mut spec = host_spec(random, binding);
    put(&mut spec, "node", NODE);
    if random.chance(40) {
        put(&mut spec, "ports", declared_ports(random));
    }
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": name, "labels": labels(random, "host")},
        "spec": spec,
    })
}

/// Makes a host endpoint of the v1 form.
pub(crate) fn old_host(random: &mut Random, name: &str, binding: Binding) -> Value {
    let spec = host_spec(random, binding);
    json!({
        "apiVersion": "v1",
        "kind": "hostEndpoint",
        "metadata": {"name": name, "node": NODE, "labels": labels(random, "host")},
        "spec": spec,
    })
}

/// Makes a host endpoint of another node.
pub(crate) fn other_host(random: &mut Random, name: &str) -> Value {
    let outside = places(|place| matches!(place.site, Site::Ext | Site::Ext2));
    let mut spec = Map::new();
    put(&mut spec, "node", OTHER_NODE);
    put(&mut spec, "interfaceName", "eth0");
    put(&mut spec, "expectedIPs", addresses(random, &outside, 1, 2));
    put(&mut spec, "profiles", profiles(random));
    put(&mut spec, "ports", declared_ports(random));
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": name, "labels": labels(random, "edge")},
        "spec": spec,
    })
}

/// The addresses of a site, in many cases all of them.
fn networks(random: &mut Random, site: Site) -> Vec<String> {
    let mut networks: Vec<String> = places(|place| place.site == site)
        .into_iter()
        .flat_map(|place| [format!("{}/32", v4(place)), format!("{}/128", v6(place))])
        .collect();
    if random.chance(25) {
        networks.swap_remove(random.below(networks.len()));
    }
    networks
}

/// Fills in the addresses of a local workload, and for the first one perhaps those outside.
fn put_addresses(random: &mut Random, spec: &mut Map<String, Value>, site: Site) {
    let networks = networks(random, site);
    if site == Site::Work0 && random.chance(40) {
        let outside: Vec<Value> = [Family::V4, Family::V6]
            .into_iter()
            .map(|family| (WORK0.address(family), FLOATING.address(family)))
            .filter(|(inside, _)| {
                let is = |network: &String| network.split('/').next() == Some(&inside.to_string());
                networks.iter().any(is)
            })
            .map(|(inside, outside)| {
                json!({"internalIP": inside.to_string(), "externalIP": outside.to_string()})
            })
            .collect();
        put(spec, "ipNATs", outside);
    }
    put(spec, "ipNetworks", networks);
    if random.chance(30) {
        put(spec, "mac", site.hardware()[1]);
    }
}

/// Makes a pool of addresses; one of the v1 form has its net in its metadata.
///
/// Each number has nets of its own, as no two pools can be of one net.
pub(crate) fn pool(random: &mut Random, number: usize) -> Value {
    let nets: &[&str] = match number {
        0 => &["10.65.0.0/16", "10.66.0.0/16", "172.16.0.0/12"],
        1 => &["fd65::/16", "fd65:0:0:1::/64"],
        _ => &["10.65.1.0/24", "fd65::/48"],
    };
    let net = *random.pick(nets);
    let masks = random.chance(60);
    if number == 2 {
        json!({
            "apiVersion": "v1",
            "kind": "ipPool",
            "metadata": {"cidr": net},
            "spec": {"nat-outgoing": masks},
        })
    } else {
        json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "IPPool",
            "metadata": {"name": format!("pool{number}")},
            "spec": {"cidr": net, "natOutgoing": masks},
        })
    }
}

/// Makes an endpoint of a local workload, of the v3 form.
pub(crate) fn workload(random: &mut Random, name: &str, interface: &str, site: Site) -> Value {
    let namespace = *random.weighted(&[(3, NAMESPACES[0]), (1, NAMESPACES[1])]);
    let mut spec = Map::new();
    put(&mut spec, "node", NODE);
    put(&mut spec, "orchestrator", "k8s");
    put(&mut spec, "pod", name);
    put(&mut spec, "endpoint", "eth0");
    put(&mut spec, "interfaceName", interface);
    put_addresses(random, &mut spec, site);
    put(&mut spec, "profiles", profiles(random));
    put(&mut spec, "ports", declared_ports(random));
    if random.chance(6) {
        let prefixes = ["10.66.0.0/16", "fd66::/16", "172.16.0.0/12", "10.65.1.0/24"];
        put(
            &mut spec,
            "allowSpoofedSourcePrefixes",
            random.some(&prefixes, 1, 2),
        );
    }
    if random.chance(30) {
        put(
            &mut spec,
            "serviceAccountName",
            *random.pick(&["acct", "third"]),
        );
    }
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {
            "name": format!("{NODE}-k8s-{name}-eth0"),
            "namespace": namespace,
            "labels": labels(random, "work"),
        },
        "spec": spec,
    })
}

/// Makes an endpoint of a local workload, of the v1 form.
pub(crate) fn old_workload(random: &mut Random, name: &str, interface: &str, site: Site) -> Value {
    let mut spec = Map::new();
    put(&mut spec, "interfaceName", interface);
    put_addresses(random, &mut spec, site);
    put(&mut spec, "profiles", profiles(random));
    json!({
        "apiVersion": "v1",
        "kind": "workloadEndpoint",
        "metadata": {
            "name": "eth0",
            "node": NODE,
            "orchestrator": random.pick(&["k8s", "docker", "openstack"]),
            "workload": name,
            "labels": labels(random, "work"),
        },
        "spec": spec,
    })
}

/// Makes an endpoint of a workload of another node.
pub(crate) fn other_workload(random: &mut Random, name: &str) -> Value {
    let namespace = *random.pick(NAMESPACES);
    let outside = places(|place| matches!(place.name, "r1" | "r2" | "r3" | "w0-b"));
    let chosen: Vec<String> = addresses(random, &outside, 1, 2)
        .into_iter()
        .map(|address| {
            let length = if address.contains(':') { 128 } else { 32 };
            format!("{address}/{length}")
        })
        .collect();
    let mut spec = Map::new();
    put(&mut spec, "node", OTHER_NODE);
    put(&mut spec, "orchestrator", "k8s");
    put(&mut spec, "pod", name);
    put(&mut spec, "endpoint", "eth0");
    put(&mut spec, "interfaceName", "cali9");
    put(&mut spec, "ipNetworks", chosen);
    put(&mut spec, "profiles", profiles(random));
    put(&mut spec, "ports", declared_ports(random));
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {
            "name": format!("{OTHER_NODE}-k8s-{name}-eth0"),
            "namespace": namespace,
            "labels": labels(random, "edge"),
        },
        "spec": spec,
    })
}

/// Makes a set of nets for every namespace, or for one.
pub(crate) fn network_set(random: &mut Random, namespace: Option<&str>, name: &str) -> Value {
    let families = if random.chance(60) {
        Nets::Both
    } else {
        families(random)
    };
    let most = if random.chance(20) { 9 } else { 3 };
    let nets = nets(random, families, false, most);
    let mut metadata = Map::new();
    put(&mut metadata, "name", name);
    put(&mut metadata, "labels", labels(random, "edge"));
    let kind = match namespace {
        Some(namespace) => {
            put(&mut metadata, "namespace", namespace);
            "NetworkSet"
        }
        None => "GlobalNetworkSet",
    };
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": metadata,
        "spec": {"nets": nets},
    })
}
