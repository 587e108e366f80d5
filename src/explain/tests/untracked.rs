//! Policy that bypasses connection tracking: scenarios 73 to 79 and 109.

use super::endpoints::failsafes;
use super::{
    WORKLOADS, allowed, connection, connects, decided, denied, endpoint, fails, host, host_with,
    policy,
};
use crate::explain::Host;

const IN: &str = "eth0>host ext host0 tcp 999";
const OPEN: &str = "interfaceName: eth0\nprofiles: [projectcalico-default-allow]";

fn untracked(spec: &str) -> String {
    policy(
        "u",
        &format!("selector: name == 'uplink'\ndoNotTrack: true\napplyOnForward: true\n{spec}"),
    )
}

/// Serves port 999 without connection tracking.
fn server() -> String {
    untracked(
        "types: [Ingress, Egress]\n\
         ingress: [{action: Allow, protocol: TCP, destination: {ports: [999]}}]\n\
         egress: [{action: Allow, protocol: TCP, source: {ports: [999]}}]",
    )
}

fn guarded(files: &[&str]) -> Host {
    host_with(files, failsafes)
}

#[test]
fn both_directions_together_make_a_connection_without_an_entry() {
    let host = guarded(&[&endpoint("uplink", "interfaceName: eth0"), &server()]);
    connection(&host, IN, (true, true, false));
    for journey in super::journeys(&host, IN) {
        assert!(journey.untracked);
        assert!(
            journey
                .to_string()
                .ends_with("allowed, without connection tracking\n")
        );
    }
    denied(
        &host,
        &["eth0>host ext host0 tcp 998", "eth0>host ext host0 udp 999"],
    );
    // It decides before connection tracking has its say.
    allowed(&host, &["eth0>host ext host0 tcp 999 invalid"]);
    decided(
        &host,
        IN,
        "input: allow: untracked or pre-DNAT policy has allowed it",
    );
}

#[test]
fn one_direction_alone_makes_no_connection() {
    let ingress = untracked("types: [Ingress]\ningress: [{action: Allow, protocol: TCP}]");
    let egress = untracked("types: [Egress]\negress: [{action: Allow, protocol: TCP}]");
    for endpoint in [
        endpoint("uplink", "interfaceName: eth0"),
        endpoint("uplink", OPEN),
    ] {
        let found = host(&[&endpoint, &ingress]);
        connection(&found, IN, (true, false, false));
        // The answer belongs to nothing that connection tracking has seen.
        for found in super::connections(&found, IN) {
            let reply = found.reply.unwrap();
            let last = reply.denied_by().unwrap();
            assert_eq!(
                last.reason.to_string(),
                "connection tracking calls it invalid"
            );
        }
        let found = host(&[&endpoint, &egress]);
        connection(&found, "host>eth0 host0 ext tcp 999", (true, false, false));
    }
    let found = host(&[&endpoint("uplink", OPEN), &egress]);
    // This answer is let out, and never looked for in an entry.
    connection(&found, IN, (true, true, true));
}

#[test]
fn without_order_in_a_protocol_an_answer_is_a_beginning() {
    let ingress = untracked("types: [Ingress]\ningress: [{action: Allow}]");
    let closed = host(&[&endpoint("uplink", "interfaceName: eth0"), &ingress]);
    connection(&closed, "eth0>host ext host0 udp 999", (true, false, false));
    let open = host(&[&endpoint("uplink", OPEN), &ingress]);
    connection(&open, "eth0>host ext host0 udp 999", (true, true, false));
    connection(&open, "eth0>host ext host0 253", (true, true, false));
    connection(&open, "eth0>host ext host0 ping", (true, false, false));
    connection(&open, IN, (true, false, false));
}

#[test]
fn a_denial_is_final_save_for_failsafe_ports() {
    let deny =
        untracked("types: [Ingress, Egress]\ningress: [{action: Deny}]\negress: [{action: Allow}]");
    let host = guarded(&[&endpoint("uplink", OPEN), &deny]);
    denied(
        &host,
        &[
            IN,
            "eth0>host ext host0 tcp 22:999",
            "eth0>host ext host0 tcp 80 established",
        ],
    );
    // Both ways, and with an entry: what goes to the port, and what comes from one.
    connection(&host, "eth0>host ext host0 tcp 22", (true, true, true));
    connection(&host, "host>eth0 host0 ext tcp 2379", (true, true, true));
    connection(&host, "host>eth0 host0 ext udp 53", (true, true, true));
    allowed(&host, &["eth0>host ext host0 tcp 2379:999 established"]);
    denied(&host, &["eth0>host ext host0 udp 2379:999"]);
    decided(
        &host,
        IN,
        "raw prerouting: deny: tier default, GlobalNetworkPolicy(u), ingress rule 1",
    );
}

#[test]
fn what_untracked_policy_does_not_decide_is_decided_later() {
    let open = host(&[&endpoint("uplink", OPEN), &server()]);
    connection(&open, "eth0>host ext host0 tcp 80", (true, true, true));
    let pass = untracked("types: [Ingress]\ningress: [{action: Pass}, {action: Deny}]");
    connection(
        &host(&[&endpoint("uplink", OPEN), &pass]),
        IN,
        (true, true, true),
    );
    let closed = host(&[&endpoint("uplink", "interfaceName: eth0"), &pass]);
    denied(&closed, &[IN]);
}

#[test]
fn untracked_policy_skips_the_endpoints_other_lists_and_no_workloads() {
    let allow = untracked(
        "types: [Ingress, Egress]\ningress: [{action: Allow}]\negress: [{action: Allow}]",
    );
    let lists = [
        policy(
            "pre",
            "selector: name == 'uplink'\npreDNAT: true\napplyOnForward: true\ningress: [{action: Deny}]",
        ),
        policy(
            "forward",
            "selector: name == 'uplink'\napplyOnForward: true\ntypes: [Ingress]\ningress: [{action: Deny}]",
        ),
        policy("w", "selector: name == 'w0'\ningress: [{action: Deny}]"),
    ]
    .concat();
    let found = host(&[
        WORKLOADS,
        &endpoint("uplink", "interfaceName: eth0"),
        &allow,
        &lists,
    ]);
    allowed(
        &found,
        &[
            IN,
            "eth0>eth1 ext inside tcp 80",
            "eth0>cali1 ext w1 tcp 80",
        ],
    );
    denied(&found, &["eth0>cali0 ext w0 tcp 80"]);
    // What leaves is asked all the same.
    let leaving = policy(
        "forward",
        "selector: name == 'uplink'\napplyOnForward: true\ntypes: [Egress]\negress: [{action: Deny}]",
    );
    let both = endpoint("uplink", "interfaceName: '*'");
    denied(
        &host(&[&both, &allow, &leaving]),
        &["eth0>eth1 ext inside tcp 80"],
    );
}

#[test]
fn workloads_are_not_reached_without_an_entry_unless_their_policy_says_so_both_ways() {
    let allow = untracked("types: [Ingress]\ningress: [{action: Allow}]");
    let host = host(&[
        WORKLOADS,
        &endpoint("uplink", "interfaceName: eth0"),
        &allow,
    ]);
    // The request has no entry, and so the workload's answer is invalid.
    connection(&host, "eth0>cali0 ext w0 tcp 80", (true, false, false));
    connection(&host, "eth0>cali0 ext w0 udp 80", (true, true, false));
}

#[test]
fn what_is_untracked_is_not_translated() {
    let allow = untracked("types: [Ingress]\ningress: [{action: Allow}]");
    let w0 = policy(
        "w",
        "selector: name == 'w0'\ningress: [{action: Allow, destination: {selector: name == 'w0'}}]",
    );
    let probe = "eth0>cali0 ext host0 tcp 80 dnat=w0";
    connects(&host(&[WORKLOADS, &w0]), &[probe]);
    let found = host(&[
        WORKLOADS,
        &w0,
        &endpoint("uplink", "interfaceName: eth0"),
        &allow,
    ]);
    denied(&found, &[probe]);
}

#[test]
fn untracked_policy_of_the_endpoint_for_all_is_in_force() {
    let all = endpoint("uplink", "interfaceName: '*'");
    let host = host(&[WORKLOADS, &all, &server()]);
    connection(&host, IN, (true, true, false));
    connection(&host, "eth1>host inside host1 tcp 999", (true, true, false));
    // Interfaces of workloads are none of its.
    let deny =
        untracked("types: [Ingress, Egress]\ningress: [{action: Deny}]\negress: [{action: Deny}]");
    let host = super::host(&[WORKLOADS, &all, &deny]);
    connects(
        &host,
        &["cali0>cali1 w0 w1 tcp 999", "host>cali0 host0 w0 tcp 999"],
    );
    denied(&host, &[IN, "host>lo loop loop tcp 999"]);
    // An endpoint of its own keeps it away.
    let own = endpoint("own", OPEN);
    let host = super::host(&[WORKLOADS, &all, &own, &deny]);
    connects(&host, &[IN]);
    fails(&host, &["eth1>host inside host1 tcp 999"]);
}

#[test]
fn over_the_loopback_interface_an_entry_that_is_there_stays() {
    let all = endpoint(
        "uplink",
        "interfaceName: '*'\nprofiles: [projectcalico-default-allow]",
    );
    let ingress = untracked("types: [Ingress]\ningress: [{action: Allow}]");
    connection(
        &host(&[&all, &ingress]),
        "host>lo loop loop tcp 80",
        (true, true, true),
    );
    let egress = untracked("types: [Egress]\negress: [{action: Allow}]");
    connection(
        &host(&[&all, &egress]),
        "host>lo loop loop tcp 80",
        (true, true, false),
    );
}

#[test]
fn an_answer_over_the_loopback_interface_comes_from_where_it_was_asked() {
    let all = endpoint(
        "uplink",
        "interfaceName: '*'\nprofiles: [projectcalico-default-allow]",
    );
    let deny = |nets: &str| {
        untracked(&format!(
            "types: [Ingress]\ningress: [{{action: Deny, source: {{nets: {nets}}}}}]"
        ))
    };
    let probe = "host>lo loop host0 tcp 8080 dnat=host1/80";
    let translated = deny("[198.51.100.1, '2001:db8:2::1']");
    connection(&host(&[&all, &translated]), probe, (true, true, true));
    let asked = deny("[192.0.2.1, '2001:db8:1::1']");
    connection(&host(&[&all, &asked]), probe, (true, false, true));
}

#[test]
fn policy_for_workloads_does_not_bypass_connection_tracking() {
    let deny = policy(
        "u",
        "selector: all()\ndoNotTrack: true\napplyOnForward: true\ntypes: [Ingress, Egress]\n\
         ingress: [{action: Deny}]\negress: [{action: Deny}]",
    );
    let host = host(&[WORKLOADS, &deny]);
    connects(
        &host,
        &["cali0>cali1 w0 w1 tcp 80", "cali0>eth0 w0 ext tcp 80"],
    );
}
