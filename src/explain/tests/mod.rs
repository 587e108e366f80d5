//! Tests of the room: what Calico's descriptions promise, as files and packets.
//!
//! The host `host` has the interfaces `eth0` (to `ext`), `eth1` (to `inside`) and `lo`, and the workloads `w0`, `w1`
//! and `w2` on `cali0`, `cali1` and `cali2`; `far` is a workload of another host. Every probe is made in both
//! families unless it names addresses itself.

mod connections;
mod endpoints;
mod forwarding;
mod matching;
mod spoofing;
mod untracked;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Connection, ConntrackState, Content, Host, Journey, Packet, Settings};
use crate::datastore::{Origin, decode_file};
use crate::model::Severity;
use crate::net::{InterfaceName, Protocol};

/// What the names in probes stand for.
const ADDRESSES: [(&str, &str, &str); 11] = [
    ("host0", "192.0.2.1", "2001:db8:1::1"),
    ("host1", "198.51.100.1", "2001:db8:2::1"),
    ("loop", "127.0.0.1", "::1"),
    ("ext", "203.0.113.9", "2001:db8:9::9"),
    ("ext2", "203.0.113.10", "2001:db8:9::10"),
    ("inside", "198.51.100.9", "2001:db8:2::9"),
    ("w0", "10.65.0.2", "fd65::2"),
    ("w1", "10.65.0.3", "fd65::3"),
    ("w2", "10.65.0.4", "fd65::4"),
    ("far", "10.66.0.2", "fd66::2"),
    ("service", "10.96.0.1", "fd96::1"),
];

/// The workloads, with a profile that allows everything, and that profile.
const WORKLOADS: &str = "
- apiVersion: projectcalico.org/v3
  kind: Profile
  metadata: {name: open}
  spec: {ingress: [{action: Allow}], egress: [{action: Allow}], labelsToApply: {inherited: yes}}
- apiVersion: projectcalico.org/v3
  kind: WorkloadEndpoint
  metadata: {name: host-k8s-w0-eth0, namespace: default, labels: {name: w0}}
  spec:
    interfaceName: cali0
    ipNetworks: [10.65.0.2/32, fd65::2/128]
    profiles: [open]
    ports: [{name: web, protocol: TCP, port: 3000}]
- apiVersion: projectcalico.org/v3
  kind: WorkloadEndpoint
  metadata: {name: host-k8s-w1-eth0, namespace: default, labels: {name: w1}}
  spec:
    interfaceName: cali1
    ipNetworks: [10.65.0.3/32, fd65::3/128]
    profiles: [open]
    ports: [{name: web, protocol: TCP, port: 3000}, {name: echo, protocol: UDP, port: 7}]
- apiVersion: projectcalico.org/v3
  kind: WorkloadEndpoint
  metadata: {name: host-k8s-w2-eth0, namespace: other, labels: {name: w2}}
  spec:
    interfaceName: cali2
    ipNetworks: [10.65.0.4/32, fd65::4/128]
    profiles: [open]
    ports: [{name: web, protocol: TCP, port: 4000}]
- apiVersion: projectcalico.org/v3
  kind: WorkloadEndpoint
  metadata: {name: another-k8s-far-eth0, namespace: default, labels: {name: far}}
  spec:
    interfaceName: cali0
    ipNetworks: [10.66.0.2/32, fd66::2/128]
    profiles: [open]
";

/// Writes a v3 resource without a namespace.
fn v3(kind: &str, name: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}, \
         labels: {{name: {name}}}}}\nspec:\n  {spec}\n"
    )
}

fn policy(name: &str, spec: &str) -> String {
    v3("GlobalNetworkPolicy", name, spec)
}

fn tier(name: &str, spec: &str) -> String {
    v3("Tier", name, spec)
}

/// Writes a host endpoint of this host.
fn endpoint(name: &str, spec: &str) -> String {
    v3("HostEndpoint", name, &format!("node: host\n{spec}"))
}

/// Writes a v1 resource.
fn v1(kind: &str, metadata: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec:\n  {spec}\n")
}

/// Makes the host from files, with settings changed from those of a host on which nothing is set.
fn host_with(files: &[&str], change: impl FnOnce(&mut Settings)) -> Host {
    let mut resources = BTreeMap::new();
    for file in files {
        let decoded = decode_file("file", file.as_bytes(), Origin::File).unwrap();
        let rejected: Vec<String> = decoded
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Rejected)
            .map(ToString::to_string)
            .collect();
        assert_eq!(rejected, [""; 0], "{file}");
        resources.extend(decoded.objects.into_iter().map(|o| (o.key, o.value)));
    }
    let mut links: BTreeMap<InterfaceName, BTreeSet<IpAddr>> = BTreeMap::new();
    for (link, name) in [("eth0", "host0"), ("eth1", "host1"), ("lo", "loop")] {
        let addresses = [address(name, false), address(name, true)].into();
        links.insert(link.parse().unwrap(), addresses);
    }
    let mut settings = Settings::new("host");
    change(&mut settings);
    Host::new(settings, resources, links)
}

fn host(files: &[&str]) -> Host {
    host_with(files, |_| {})
}

/// Finds an address by name, or reads it.
fn address(name: &str, v6: bool) -> IpAddr {
    let named = ADDRESSES.iter().find(|(n, ..)| *n == name);
    let text = named.map_or(name, |(_, four, six)| if v6 { six } else { four });
    text.parse().unwrap_or_else(|_| panic!("address `{name}`"))
}

/// Reads a probe in one family: `IN>OUT FROM TO PROTOCOL [DETAIL] [STATE] [dnat=ADDRESS[/PORT]]`.
///
/// The host itself is `host`. A detail is `PORT`, `FROM:TO`, or `TYPE/CODE`.
fn packet(probe: &str, v6: bool) -> Packet {
    let mut words = probe.split_whitespace();
    let mut word = || words.next().unwrap();
    let (input, output) = word().split_once('>').unwrap();
    let interface = |name: &str| (name != "host").then(|| name.parse().unwrap());
    let (source, destination) = (address(word(), v6), address(word(), v6));
    let protocol: Protocol = match word() {
        "ping" if v6 => Protocol::ICMPV6,
        "ping" => Protocol::ICMP,
        name => name.parse().unwrap(),
    };
    let mut packet = Packet::new(protocol, source, destination, Content::Other);
    if protocol == Protocol::ICMP || protocol == Protocol::ICMPV6 {
        let kind = if v6 { 128 } else { 8 };
        packet.content = Content::Icmp { kind, code: 0 };
    }
    (packet.input, packet.output) = (interface(input), interface(output));
    for word in words {
        if let Some(dnat) = word.strip_prefix("dnat=") {
            let (to, port) = dnat.split_once('/').unwrap_or((dnat, ""));
            packet.dnat = Some((address(to, v6), port.parse().ok()));
        } else if let Some((kind, code)) = word.split_once('/') {
            let (kind, code) = (kind.parse().unwrap(), code.parse().unwrap());
            packet.content = Content::Icmp { kind, code };
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            let (source, destination) = word.split_once(':').unwrap_or(("40000", word));
            packet.content = Content::Ports {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
            };
        } else {
            packet.state = match word {
                "established" => ConntrackState::Established,
                "related" => ConntrackState::Related,
                "invalid" => ConntrackState::Invalid,
                "untracked" => ConntrackState::Untracked,
                other => panic!("`{other}`"),
            };
        }
    }
    packet
}

/// Reads a probe in every family that it can be made in.
fn packets(probe: &str) -> Vec<Packet> {
    let words: Vec<&str> = probe.split_whitespace().collect();
    let literal = words[1..3]
        .iter()
        .find_map(|word| word.parse::<IpAddr>().ok());
    match literal {
        Some(address) => vec![packet(probe, address.is_ipv6())],
        None => vec![packet(probe, false), packet(probe, true)],
    }
}

fn journeys(host: &Host, probe: &str) -> Vec<Journey> {
    packets(probe)
        .iter()
        .map(|packet| host.packet(packet))
        .collect()
}

#[track_caller]
fn allowed(host: &Host, probes: &[&str]) {
    for probe in probes {
        for journey in journeys(host, probe) {
            assert!(journey.is_allowed(), "{probe}\n{journey}");
        }
    }
}

#[track_caller]
fn denied(host: &Host, probes: &[&str]) {
    for probe in probes {
        for journey in journeys(host, probe) {
            assert!(!journey.is_allowed(), "{probe}\n{journey}");
        }
    }
}

/// Asserts what the step that denies a probe says, or the last one of those that decide something.
#[track_caller]
fn decided(host: &Host, probe: &str, expected: &str) {
    for journey in journeys(host, probe) {
        let deciding = journey.steps.iter().rev().find(|step| {
            let found = step.outcome != super::Outcome::Continue;
            found && step.reason != super::Reason::SourceIsRight
        });
        let found =
            deciding.map(|step| format!("{}: {}: {}", step.hook, step.outcome, step.reason));
        assert_eq!(found.as_deref(), Some(expected), "{probe}\n{journey}");
    }
}

fn connections(host: &Host, probe: &str) -> Vec<Connection> {
    packets(probe)
        .iter()
        .map(|packet| host.connection(packet))
        .collect()
}

/// Asserts whether request and reply are seen, and whether there is an entry.
#[track_caller]
fn connection(host: &Host, probe: &str, expected: (bool, bool, bool)) {
    for found in connections(host, probe) {
        let seen = (found.request_seen, found.reply_seen, found.tracked);
        assert_eq!(seen, expected, "{probe}\n{found:#?}");
    }
}

/// Asserts that a connection comes about.
#[track_caller]
fn connects(host: &Host, probes: &[&str]) {
    for probe in probes {
        for found in connections(host, probe) {
            assert!(found.reply_seen, "{probe}\n{found:#?}");
        }
    }
}

/// Asserts that a connection does not come about.
#[track_caller]
fn fails(host: &Host, probes: &[&str]) {
    for probe in probes {
        for found in connections(host, probe) {
            assert!(!found.reply_seen, "{probe}\n{found:#?}");
        }
    }
}
