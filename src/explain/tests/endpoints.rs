//! Host endpoints: binding, and traffic that begins or ends here; scenarios 41 to 59.

use super::{
    WORKLOADS, allowed, connects, decided, denied, endpoint, fails, host, host_with, policy, v1, v3,
};
use crate::explain::{Failsafe, Host, NeighborDiscovery, Settings};
use crate::net::{InterfacePattern, Protocol};

/// The ports that are failsafe by default, and one that is so for a net alone.
pub(super) fn failsafes(settings: &mut Settings) {
    let entry = |protocol, port| Failsafe {
        protocol,
        net: None,
        port,
    };
    settings.failsafe_inbound = vec![entry(Protocol::TCP, 22), entry(Protocol::UDP, 68)];
    settings.failsafe_outbound = vec![entry(Protocol::UDP, 53), entry(Protocol::TCP, 2379)];
}

fn guarded(files: &[&str]) -> Host {
    host_with(files, failsafes)
}

fn eth0() -> String {
    endpoint("uplink", "interfaceName: eth0")
}

const IN: &str = "eth0>host ext host0 tcp 8055";
const OUT: &str = "host>eth0 host0 ext tcp 8055";

#[test]
fn without_an_endpoint_nothing_is_policed() {
    let host = guarded(&[WORKLOADS]);
    connects(
        &host,
        &[
            IN,
            OUT,
            "eth0>eth1 ext inside tcp 80",
            "eth0>host ext host0 ping",
        ],
    );
    decided_nothing(&host, IN);
}

/// Asserts that no step of a probe decides anything.
fn decided_nothing(host: &Host, probe: &str) {
    for journey in super::journeys(host, probe) {
        for step in &journey.steps {
            assert_eq!(step.reason, crate::explain::Reason::NoEndpoint, "{journey}");
        }
    }
}

#[test]
fn an_endpoint_without_policy_leaves_failsafe_ports_open() {
    let host = guarded(&[&eth0()]);
    connects(
        &host,
        &[
            "eth0>host ext host0 tcp 22",
            "eth0>host ext host0 udp 68",
            "host>eth0 host0 ext tcp 2379",
            "host>eth0 host0 ext udp 53",
            // Another interface is left alone.
            "eth1>host inside host1 tcp 8055",
            "host>eth1 host1 inside tcp 8055",
        ],
    );
    denied(
        &host,
        &[
            IN,
            OUT,
            "eth0>host ext host0 udp 22",
            "eth0>host ext host0 tcp 22:2379",
            "host>eth0 host0 ext tcp 22",
            "eth0>host ext host0 ping",
            "eth0>host ext host0 tcp 22 invalid",
        ],
    );
    allowed(
        &host,
        &[
            "eth0>host ext host0 tcp 8055 established",
            "host>eth0 host0 ext ping related",
        ],
    );
    decided(
        &host,
        "eth0>host ext host0 tcp 22",
        "input: allow: inbound failsafe port tcp:22",
    );
    decided(
        &host,
        IN,
        "input: deny: no policy decides and no profile allows",
    );
}

#[test]
fn failsafe_ports_may_be_for_a_net_or_for_none() {
    let net = |settings: &mut Settings| {
        settings.failsafe_inbound = vec![Failsafe {
            protocol: Protocol::TCP,
            net: Some("203.0.113.0/24".parse().unwrap()),
            port: 22,
        }];
        settings.failsafe_outbound = vec![Failsafe {
            protocol: Protocol::TCP,
            net: Some("2001:db8:9::/64".parse().unwrap()),
            port: 22,
        }];
    };
    let host = host_with(&[&eth0()], net);
    allowed(
        &host,
        &[
            "eth0>host 203.0.113.9 192.0.2.1 tcp 22",
            "host>eth0 2001:db8:1::1 2001:db8:9::9 tcp 22",
        ],
    );
    denied(
        &host,
        &[
            "eth0>host 203.0.114.9 192.0.2.1 tcp 22",
            "eth0>host 2001:db8:9::9 2001:db8:1::1 tcp 22",
            "host>eth0 192.0.2.1 203.0.113.9 tcp 22",
        ],
    );
    let none = super::host(&[&eth0()]);
    denied(
        &none,
        &["eth0>host ext host0 tcp 22", "host>eth0 host0 ext udp 53"],
    );
}

#[test]
fn a_profile_opens_an_endpoint() {
    let open = endpoint(
        "uplink",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    );
    connects(
        &host(&[&open]),
        &[
            IN,
            OUT,
            "eth0>host ext host0 ping",
            "host>eth0 host0 ext 253",
        ],
    );
    let gone = endpoint(
        "uplink",
        "interfaceName: eth0\nprofiles: [gone, projectcalico-default-allow]",
    );
    denied(&host(&[&gone]), &[IN, OUT]);
}

#[test]
fn one_direction_alone_needs_the_other_hosts_leave() {
    let egress = policy(
        "out",
        "selector: name == 'uplink'\ntypes: [Egress]\negress: [{action: Allow}]",
    );
    let sender = host(&[&eth0(), &egress]);
    connects(&sender, &[OUT]);
    denied(&sender, &[IN]);
    let ingress = policy(
        "in",
        "selector: name == 'uplink'\ntypes: [Ingress]\ningress: [{action: Allow, protocol: TCP}]",
    );
    let receiver = host(&[&eth0(), &ingress]);
    connects(&receiver, &[IN]);
    denied(&receiver, &[OUT, "eth0>host ext host0 udp 8055"]);
}

#[test]
fn protocols_are_allowed_by_number() {
    let rule = policy(
        "raw",
        "selector: name == 'uplink'\ningress: [{action: Allow, protocol: 253}]\n\
         egress: [{action: Allow, protocol: 253}]",
    );
    let found = host(&[&eth0(), &rule]);
    connects(
        &found,
        &["eth0>host ext host0 253", "host>eth0 host0 ext 253"],
    );
    denied(
        &found,
        &["eth0>host ext host0 254", "host>eth0 host0 ext 254"],
    );
    denied(
        &host(&[&eth0()]),
        &["eth0>host ext host0 253", "host>eth0 host0 ext 254"],
    );
}

#[test]
fn an_endpoint_without_a_name_follows_its_addresses() {
    let by_address = endpoint("a", "expectedIPs: [192.0.2.1, '2001:db8:2::1']");
    let host = host(&[&by_address]);
    // It owns both interfaces, whatever the family of the packet.
    denied(&host, &[IN, "eth1>host inside host1 tcp 8055"]);
    let elsewhere = endpoint("a", "expectedIPs: [192.0.2.2]");
    allowed(&super::host(&[&elsewhere]), &[IN]);
}

#[test]
fn a_name_is_no_stronger_than_an_address_and_the_first_endpoint_counts() {
    let by_name = endpoint("m", "interfaceName: eth0");
    let by_address = endpoint(
        "z",
        "expectedIPs: [192.0.2.1]\nprofiles: [projectcalico-default-allow]",
    );
    denied(&host(&[&by_name, &by_address]), &[IN]);
    allowed(&host(&[&by_address]), &[IN]);
    let by_address = by_address.replace("name: z", "name: a");
    allowed(&host(&[&by_name, &by_address]), &[IN]);
    // A name that does not fit is not made good by an address.
    let named = endpoint("a", "interfaceName: eth0\nexpectedIPs: [198.51.100.1]");
    allowed(&host(&[&named]), &["eth1>host inside host1 tcp 8055"]);
    let foreign = v3("HostEndpoint", "a", "node: another\ninterfaceName: eth0");
    allowed(&host(&[&foreign]), &[IN]);
}

#[test]
fn workloads_interfaces_and_excluded_ones_are_bound_by_no_host_endpoint() {
    let odd = endpoint("odd", "interfaceName: cali0");
    allowed(
        &host(&[WORKLOADS, &odd]),
        &["cali0>cali1 w0 w1 tcp 80", "host>cali0 host0 w0 tcp 80"],
    );
    let exclude =
        |settings: &mut Settings| settings.interface_exclude = vec![InterfacePattern::name("eth0")];
    allowed(&host_with(&[&eth0()], exclude), &[IN]);
    let all = endpoint("all", "interfaceName: '*'");
    denied(&host_with(&[&eth0(), &all], exclude), &[IN]);
}

#[test]
fn the_endpoint_for_all_interfaces_closes_the_host_and_no_workload() {
    let all = endpoint("all", "interfaceName: '*'");
    let host = guarded(&[WORKLOADS, &all]);
    connects(
        &host,
        &[
            "eth0>host ext host0 tcp 22",
            "eth1>host inside host1 tcp 22",
            "cali0>cali1 w0 w1 tcp 80",
            "host>cali0 host0 w0 tcp 80",
            // Forwarded: it has no policy for that.
            "cali0>eth0 w0 ext tcp 80",
            "eth0>eth1 ext inside tcp 80",
        ],
    );
    denied(
        &host,
        &[
            IN,
            OUT,
            "eth1>host inside host1 tcp 80",
            "host>eth1 host0 far tcp 80",
            "wlan0>host ext host0 tcp 80",
            "host>lo loop loop tcp 80",
        ],
    );
}

#[test]
fn an_endpoint_of_its_own_takes_an_interface_from_the_endpoint_for_all() {
    let all = endpoint("all", "interfaceName: '*'");
    let open = endpoint(
        "z",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    );
    let found = host(&[&all, &open]);
    connects(&found, &[IN, OUT]);
    denied(&found, &["eth1>host inside host1 tcp 80"]);
    let another = endpoint(
        "a",
        "interfaceName: '*'\nprofiles: [projectcalico-default-allow]",
    );
    connects(&host(&[&all, &another]), &["eth1>host inside host1 tcp 80"]);
}

#[test]
fn a_host_speaks_to_itself_out_and_in() {
    let all = endpoint("all", "interfaceName: '*'");
    let rule = |egress: &str, ingress: &str| {
        let spec = format!(
            "selector: name == 'all'\negress: [{{action: {egress}}}]\ningress: [{{action: {ingress}}}]"
        );
        policy("p", &spec)
    };
    let probe = "host>lo loop loop tcp 80";
    for (egress, ingress, open) in [
        ("Allow", "Allow", true),
        ("Deny", "Allow", false),
        ("Allow", "Deny", false),
    ] {
        let found = host(&[&all, &rule(egress, ingress)]);
        for probe in [
            probe,
            "host>host loop loop tcp 80",
            "host>lo host0 host0 tcp 80",
        ] {
            super::connection(&found, probe, (open, open, open));
        }
    }
    let found = host(&[&all, &rule("Allow", "Deny")]);
    decided(
        &found,
        probe,
        "input: deny: tier default, GlobalNetworkPolicy(p), ingress rule 1",
    );
    // Other interfaces' endpoints have no part in it.
    let only = endpoint("only", "interfaceName: eth0");
    connects(&host(&[&only]), &["host>lo host0 host0 tcp 80"]);
}

#[test]
fn neighbour_discovery_passes_host_endpoints_unless_policy_is_to_judge_it() {
    let probes = [
        "eth0>host fe80::9 ff02::1 icmpv6 134/0 untracked",
        "eth0>host fe80::9 ff02::1 icmpv6 135/0 untracked",
        "host>eth0 fe80::1 ff02::1 icmpv6 143/0 untracked",
    ];
    let found = host(&[&eth0()]);
    allowed(&found, &probes);
    denied(&found, &["eth0>host fe80::9 fe80::1 icmpv6 137/0"]);
    let judged = |settings: &mut Settings| settings.neighbor_discovery = NeighborDiscovery::Policy;
    denied(&host_with(&[&eth0()], judged), &probes);
}

#[test]
fn output_is_judged_once_by_the_translated_destination() {
    let allow = policy(
        "out",
        "selector: name == 'uplink'\ntypes: [Egress]\negress:\n\
         - {action: Allow, protocol: TCP, destination: {nets: [203.0.113.9, '2001:db8:9::9'], ports: [80]}}",
    );
    let host = host(&[WORKLOADS, &eth0(), &allow]);
    connects(&host, &["host>eth0 host0 service tcp 8080 dnat=ext/80"]);
    fails(
        &host,
        &[
            "host>eth0 host0 service tcp 80",
            "host>eth0 host0 ext tcp 80 dnat=ext2/80",
            "host>eth0 host0 ext tcp 80 dnat=ext/81",
        ],
    );
    // Its own workload, by a service; and one interface that is left alone.
    connects(
        &host,
        &[
            "host>cali0 host0 service tcp 80 dnat=w0/3000",
            "host>eth1 host0 service tcp 80 dnat=inside/3000",
        ],
    );
    decided(
        &host,
        "host>eth0 host0 ext tcp 80 dnat=ext/81",
        "output after DNAT: deny: end of tier default: no rule decides",
    );
}

#[test]
fn a_service_of_another_hosts_workload_is_judged_by_the_endpoint() {
    let all = endpoint("all", "interfaceName: '*'");
    let host = host(&[WORKLOADS, &all]);
    connects(&host, &["host>cali0 host0 service tcp 80 dnat=w0/3000"]);
    fails(&host, &["host>eth0 host0 service tcp 80 dnat=far/3000"]);
}

#[test]
fn traffic_of_workloads_passes_a_host_endpoint_that_is_closed() {
    let deny = policy(
        "deny",
        "selector: name == 'uplink'\ntypes: [Ingress, Egress]\ningress: [{action: Deny}]\n\
         egress: [{action: Deny}]",
    );
    let host = host(&[WORKLOADS, &eth0(), &deny]);
    connects(
        &host,
        &["cali0>eth0 w0 ext tcp 80", "eth0>cali0 ext w0 tcp 80"],
    );
    denied(&host, &[IN, OUT]);
}

#[test]
fn the_v1_form_is_bound_and_judged_alike() {
    let old = v1(
        "hostEndpoint",
        "name: uplink, node: host, labels: {name: uplink}",
        "interfaceName: eth0",
    );
    let allow = v1(
        "policy",
        "name: in",
        "selector: name == 'uplink'\ningress: [{action: allow, protocol: tcp, destination: {ports: [8055]}}]",
    );
    let found = host(&[&old, &allow]);
    connects(&found, &[IN]);
    // Without types it governs both directions, and so egress is denied.
    decided(
        &found,
        OUT,
        "output: deny: end of tier default: no rule decides",
    );
    // Of two with one name the v3 form is the first.
    let new = endpoint(
        "uplink",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    );
    let both = host(&[&old, &new]);
    connects(&both, &[IN, OUT]);
}
