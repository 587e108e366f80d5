//! What workloads may send, whatever their policy says: scenarios 25 to 37.

use std::net::Ipv4Addr;

use super::{WORKLOADS, allowed, connects, decided, denied, host, host_with, policy};
use crate::explain::{
    FloatingAddresses, FromWorkloads, OpenStack, Settings, SourceSpoofing, ToHostAction,
};

const SILENT: &str = "selector: name == 'w0'\ntypes: [Egress]\negress: [{action: Deny}]";

fn openstack(settings: &mut Settings) {
    let metadata = Some((Ipv4Addr::LOCALHOST, 8775));
    settings.openstack = Some(OpenStack { metadata });
}

#[test]
fn a_workload_sends_from_its_own_addresses() {
    let host = host(&[WORKLOADS]);
    allowed(&host, &["cali0>eth0 w0 ext tcp 80"]);
    denied(
        &host,
        &[
            "cali0>eth0 w2 ext tcp 80",
            "cali0>cali1 w2 w1 tcp 80",
            "cali0>host ext host0 tcp 80",
            "cali0>cali1 host0 w1 tcp 80 established",
            "cali0>eth0 127.0.0.1 203.0.113.9 tcp 80",
        ],
    );
    decided(
        &host,
        "cali0>eth0 10.65.0.4 203.0.113.9 tcp 80",
        "raw prerouting: deny: 10.65.0.4 is no address of the workload that sends it",
    );
}

#[test]
fn prefixes_that_may_be_spoofed_reach_policy() {
    let spoofing = WORKLOADS.replacen(
        "profiles: [open]",
        "profiles: [open]\n    allowSpoofedSourcePrefixes: [192.168.7.0/24, 'fd07::/64']",
        1,
    );
    let any = |settings: &mut Settings| settings.source_spoofing = SourceSpoofing::Any;
    let found = host_with(&[&spoofing], any);
    allowed(
        &found,
        &[
            "cali0>eth0 192.168.7.9 203.0.113.9 tcp 80",
            "cali0>eth0 fd07::9 2001:db8:9::9 tcp 80",
            "cali0>eth0 w0 ext tcp 80",
        ],
    );
    denied(
        &found,
        &[
            "cali0>eth0 192.168.8.9 203.0.113.9 tcp 80",
            "cali0>eth0 w1 ext tcp 80",
        ],
    );
    let silent = policy("a", SILENT);
    decided(
        &host_with(&[&spoofing, &silent], any),
        "cali0>eth0 192.168.7.9 203.0.113.9 tcp 80",
        "forward, from workload: deny: tier default, GlobalNetworkPolicy(a), egress rule 1",
    );
    // Where it may not be asked for, an endpoint that does is absent.
    denied(
        &host(&[&spoofing]),
        &["cali0>eth0 w0 ext tcp 80", "eth0>cali0 ext w0 tcp 80"],
    );
}

#[test]
fn outside_addresses_that_lead_to_a_workload_are_its_own() {
    let floating = WORKLOADS.replacen(
        "profiles: [open]",
        "profiles: [open]\n    ipNATs: [{internalIP: 10.65.0.2, externalIP: 203.0.113.77}]",
        1,
    );
    let probe = ["cali0>eth0 203.0.113.77 203.0.113.9 tcp 80"];
    denied(&host(&[&floating]), &probe);
    let all = |settings: &mut Settings| settings.floating_addresses = FloatingAddresses::All;
    allowed(&host_with(&[&floating], all), &probe);
    let openstack = floating.replace("host-k8s-w0-eth0", "host-openstack-w0-eth0");
    allowed(&host(&[&openstack]), &probe);
}

#[test]
fn neighbour_discovery_reaches_the_host_from_every_workload_interface() {
    let host = host(&[WORKLOADS, &policy("a", SILENT)]);
    for interface in ["cali0", "cali9"] {
        for kind in [130, 131, 132, 133, 135, 136] {
            let probe = format!("{interface}>host fe80::9 ff02::1 icmpv6 {kind}/0 untracked");
            allowed(&host, &[&probe]);
            let unspecified = format!("{interface}>host :: ff02::1 icmpv6 {kind}/0 untracked");
            allowed(&host, &[&unspecified]);
        }
        denied(
            &host,
            &[
                &format!("{interface}>host fe80::9 ff02::1 icmpv6 134/0 untracked"),
                &format!("{interface}>host fe80::9 fe80::1 icmpv6 128/0"),
            ],
        );
    }
    // Not on the way through.
    denied(
        &host,
        &["cali0>cali1 fd65::2 fd65::3 icmpv6 135/0 untracked"],
    );
    decided(
        &host,
        "cali9>host fe80::9 ff02::1 icmpv6 135/0 untracked",
        "workload to host: allow: neighbour discovery is open to every workload",
    );
}

#[test]
fn openstack_lets_workloads_boot() {
    let probes = [
        "cali0>host 0.0.0.0 255.255.255.255 udp 68:67",
        "cali0>host 10.65.0.2 255.255.255.255 udp 68:67",
        "cali0>host fd65::2 ff02::1:2 udp 546:547",
        "cali0>host w0 host0 udp 53",
        "cali0>host 10.65.0.2 127.0.0.1 tcp 8775",
        "cali0>host 10.65.0.2 169.254.169.254 tcp 80 dnat=127.0.0.1/8775",
    ];
    let silent = policy("a", SILENT);
    allowed(&host_with(&[WORKLOADS, &silent], openstack), &probes);
    denied(&host(&[WORKLOADS, &silent]), &probes);
    denied(
        &host_with(&[WORKLOADS, &silent], openstack),
        &[
            "cali0>host w0 host0 tcp 53",
            "cali0>host 10.65.0.2 169.254.169.254 tcp 80",
            "cali0>host fd65::2 2001:db8:1::1 tcp 8775",
            "cali0>host fd65::2 ff02::1:2 udp 68:67",
        ],
    );
}

#[test]
fn who_has_no_address_yet_may_ask_for_one() {
    // What is sent from nowhere to all needs no way back, with or without OpenStack; policy judges it then.
    let host = host_with(&[WORKLOADS], |settings| {
        settings.to_host = ToHostAction::Accept;
    });
    allowed(
        &host,
        &[
            "cali0>host 0.0.0.0 255.255.255.255 udp 68:67",
            "cali0>host 0.0.0.0 224.0.0.22 2",
            "cali0>host :: ff02::16 icmpv6 143/0 untracked",
        ],
    );
    denied(
        &host,
        &[
            "cali0>host 0.0.0.0 192.0.2.1 udp 68:67",
            "cali0>host :: 2001:db8:1::1 udp 7",
        ],
    );
}

#[test]
fn workloads_may_not_encapsulate_of_their_own_accord() {
    let probes = [
        "cali0>eth0 w0 ext udp 4789",
        "cali0>eth0 w0 ext 4",
        "cali0>cali1 w0 w1 udp 4789",
    ];
    denied(&host(&[WORKLOADS]), &probes);
    decided(
        &host(&[WORKLOADS]),
        probes[0],
        "forward, from workload: deny: workloads may not send VXLAN packets",
    );
    let both = |settings: &mut Settings| {
        settings.vxlan_from_workloads = FromWorkloads::Judged;
        settings.ipip_from_workloads = FromWorkloads::Judged;
    };
    allowed(&host_with(&[WORKLOADS], both), &probes);
    let vxlan = |settings: &mut Settings| settings.vxlan_from_workloads = FromWorkloads::Judged;
    allowed(&host_with(&[WORKLOADS], vxlan), &[probes[0], probes[2]]);
    denied(&host_with(&[WORKLOADS], vxlan), &[probes[1]]);
    let ipip = |settings: &mut Settings| settings.ipip_from_workloads = FromWorkloads::Judged;
    denied(&host_with(&[WORKLOADS], ipip), &[probes[0], probes[2]]);
    allowed(&host_with(&[WORKLOADS], ipip), &[probes[1]]);
    // Towards a workload, and from a known connection, it is like anything else.
    allowed(
        &host(&[WORKLOADS]),
        &[
            "eth0>cali0 ext w0 udp 4789",
            "eth0>cali0 ext w0 4",
            "cali0>eth0 w0 ext 4 established",
        ],
    );
    connects(&host(&[WORKLOADS]), &["cali0>eth0 w0 ext udp 4790"]);
}
