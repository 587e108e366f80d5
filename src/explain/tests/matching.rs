//! What meets a rule: scenarios 80 to 90.

use super::{WORKLOADS, allowed, denied, host, policy, v3};
use crate::explain::Host;

/// A host that lets in to `w0` what one rule allows.
fn with(rule: &str) -> Host {
    with_sets(rule, "")
}

fn with_sets(rule: &str, sets: &str) -> Host {
    let spec =
        format!("selector: name == 'w0'\ntypes: [Ingress]\ningress: [{{action: Allow, {rule}}}]");
    host(&[WORKLOADS, &policy("a", &spec), sets])
}

fn set(name: &str, nets: &str) -> String {
    v3("GlobalNetworkSet", name, &format!("nets: [{nets}]"))
}

const W1: &str = "cali1>cali0 w1 w0 tcp 80";
const W2: &str = "cali2>cali0 w2 w0 tcp 80";
const EXT: &str = "eth0>cali0 ext w0 tcp 80";

#[test]
fn long_lists_of_ports_open_what_they_list() {
    let ports =
        "1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, '100:199', '300:300'";
    let found = with(&format!("protocol: TCP, destination: {{ports: [{ports}]}}"));
    let probe = |port: u16| format!("eth0>cali0 ext w0 tcp {port}");
    let listed = [1, 53, 100, 150, 199, 300].map(probe);
    let others = [4, 54, 99, 200, 299, 301, 65535].map(probe);
    for port in &listed {
        allowed(&found, &[port]);
    }
    for port in &others {
        denied(&found, &[port]);
    }
    denied(
        &found,
        &["eth0>cali0 ext w0 udp 53", "eth0>cali0 ext w0 tcp 1:4"],
    );
    let inverse = with(&format!(
        "protocol: TCP, destination: {{notPorts: [{ports}]}}"
    ));
    for port in &listed {
        denied(&inverse, &[port]);
    }
    for port in &others {
        allowed(&inverse, &[port]);
    }
    let source = with("protocol: UDP, source: {ports: [68]}, destination: {ports: [67]}");
    allowed(&source, &["eth0>cali0 ext w0 udp 68:67"]);
    denied(
        &source,
        &["eth0>cali0 ext w0 udp 67:68", "eth0>cali0 ext w0 udp 67"],
    );
}

/// A host on which one rule says what `w0` may send.
fn sending(rule: &str) -> Host {
    let spec =
        format!("selector: name == 'w0'\ntypes: [Egress]\negress: [{{action: Allow, {rule}}}]");
    host(&[WORKLOADS, &policy("a", &spec)])
}

const W1_3000: &str = "cali0>cali1 w0 w1 tcp 3000";
const W2_4000: &str = "cali0>cali2 w0 w2 tcp 4000";
const W1_4000: &str = "cali0>cali1 w0 w1 tcp 4000";
const W2_3000: &str = "cali0>cali2 w0 w2 tcp 3000";

#[test]
fn a_named_port_is_what_each_endpoint_says() {
    let named = sending("protocol: TCP, destination: {ports: [web]}");
    allowed(&named, &[W1_3000, W2_4000]);
    denied(
        &named,
        &[
            W1_4000,
            W2_3000,
            "cali0>eth0 w0 ext tcp 3000",
            "cali0>cali1 w0 w1 udp 3000",
        ],
    );
    let union = sending("protocol: TCP, destination: {ports: [web, 4000]}");
    allowed(
        &union,
        &[W1_3000, W2_4000, W1_4000, "cali0>eth0 w0 ext tcp 4000"],
    );
    denied(&union, &[W2_3000]);
    let negated = sending("protocol: TCP, destination: {notPorts: [web]}");
    denied(&negated, &[W1_3000, W2_4000]);
    allowed(&negated, &[W1_4000, W2_3000, "cali0>eth0 w0 ext tcp 3000"]);
}

#[test]
fn a_named_port_is_confined_by_selector_and_protocol() {
    let selected = sending("protocol: TCP, destination: {selector: name == 'w2', ports: [web]}");
    allowed(&selected, &[W2_4000]);
    denied(&selected, &[W1_3000]);
    let mixed = sending("protocol: TCP, destination: {selector: name == 'w2', ports: [web, 3000]}");
    allowed(&mixed, &[W2_4000, W2_3000]);
    denied(&mixed, &[W1_3000]);
    let any = sending("destination: {ports: [web, echo]}");
    allowed(&any, &[W1_3000, W2_4000, "cali0>cali1 w0 w1 udp 7"]);
    denied(
        &any,
        &[
            "cali0>cali1 w0 w1 tcp 7",
            "cali0>cali1 w0 w1 udp 3000",
            "cali0>cali1 w0 w1 ping",
        ],
    );
    let udp = sending("protocol: UDP, destination: {ports: [web, echo]}");
    allowed(&udp, &["cali0>cali1 w0 w1 udp 7"]);
    denied(&udp, &[W1_3000, "cali0>cali1 w0 w1 udp 3000"]);
    let without = sending("destination: {selector: name == 'w1', notPorts: [web]}");
    denied(&without, &[W1_3000, W2_4000]);
    allowed(
        &without,
        &[
            W1_4000,
            "cali0>cali1 w0 w1 udp 3000",
            "cali0>cali1 w0 w1 ping",
        ],
    );
}

#[test]
fn all_criteria_of_a_side_must_hold() {
    let both =
        with("source: {selector: \"name in {'w1', 'w2'}\", nets: [10.65.0.3/32, 'fd65::3/128']}");
    allowed(&both, &[W1]);
    denied(&both, &[W2, EXT]);
    let nets = with("source: {nets: [10.65.0.3/32, 203.0.113.0/24, 'fd65::3', '2001:db8:9::/48']}");
    allowed(&nets, &[W1, EXT]);
    denied(&nets, &[W2]);
    let without = with("source: {selector: has(name), notNets: [10.65.0.4/32, 'fd65::4']}");
    allowed(&without, &[W1]);
    denied(&without, &[W2, EXT]);
    let other = with("source: {notNets: [10.65.0.4/32, 'fd65::4']}");
    allowed(&other, &[W1, EXT]);
    denied(&other, &[W2]);
    let destination =
        with("destination: {nets: [10.65.0.2/32, 'fd65::2'], notNets: [10.65.0.3, 'fd65::3']}");
    allowed(&destination, &[W1, EXT]);
}

#[test]
fn what_selects_nothing_matches_nothing_and_excludes_nothing() {
    let none = with("source: {selector: name == 'nobody'}");
    denied(&none, &[W1, W2, EXT]);
    let not = with("source: {notSelector: name == 'nobody'}");
    allowed(&not, &[W1, W2, EXT]);
    let not_w1 = with("source: {notSelector: name == 'w1'}");
    allowed(&not_w1, &[W2, EXT]);
    denied(&not_w1, &[W1]);
    // With another selector, only what that selects is left.
    let rest = with("source: {selector: has(name), notSelector: name == 'w1'}");
    allowed(&rest, &[W2]);
    denied(&rest, &[W1, EXT]);
}

#[test]
fn two_selectors_of_one_side_are_one_question() {
    // Of the two sets that hold the address, one is meant.
    let sets = [
        set("wide", "203.0.113.0/24, '2001:db8:9::/48'"),
        set("narrow", "203.0.113.9, '2001:db8:9::9'"),
    ];
    let sets = sets.concat();
    let found = with_sets(
        "source: {selector: has(name), notSelector: name == 'narrow'}",
        &sets,
    );
    allowed(&found, &[EXT]);
    let found = with_sets("source: {notSelector: name == 'narrow'}", &sets);
    denied(&found, &[EXT]);
}

#[test]
fn network_sets_overlap_and_may_hold_everything() {
    let rule = "source: {selector: \"name in {'a', 'b'}\"}";
    let wide = set("a", "203.0.0.0/8, '2001:db8::/32'");
    let narrow = set("b", "203.0.113.0/24, '2001:db8:9::/48'");
    for sets in [[wide.clone(), narrow.clone()].concat(), wide, narrow] {
        let found = with_sets(rule, &sets);
        allowed(&found, &[EXT]);
        denied(&found, &[W1]);
    }
    let all = with_sets(rule, &set("a", "0.0.0.0/0, '::/0'"));
    allowed(&all, &[EXT, W1, W2]);
    denied(&with(rule), &[EXT]);
    let namespaced = "---\napiVersion: projectcalico.org/v3\nkind: NetworkSet\n\
                      metadata: {name: n, namespace: other, labels: {name: n}}\n\
                      spec: {nets: [203.0.113.9, '2001:db8:9::9']}\n---\n\
                      apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: kns.other}\n\
                      spec: {labelsToApply: {pcns.team: red}}\n";
    let found = with_sets("source: {namespaceSelector: team == 'red'}", namespaced);
    allowed(&found, &[EXT]);
    denied(&found, &[W1]);
}

#[test]
fn icmp_is_met_by_type_and_code() {
    let both = |icmp: &str, not: &str| {
        let spec = format!(
            "selector: name == 'w0'\ntypes: [Ingress]\ningress:\n\
             - {{action: Allow, protocol: ICMP, {icmp}: {{{not}}}}}\n\
             - {{action: Allow, protocol: ICMPv6, {icmp}: {{{not}}}}}"
        );
        host(&[WORKLOADS, &policy("a", &spec)])
    };
    let probe = |kind: &u8, code: &u8| {
        [
            format!("eth0>cali0 203.0.113.9 10.65.0.2 icmp {kind}/{code}"),
            format!("eth0>cali0 2001:db8:9::9 fd65::2 icmpv6 {kind}/{code}"),
        ]
    };
    let check = |host: &Host, open: &[(u8, u8)], closed: &[(u8, u8)]| {
        for (kind, code) in open {
            for probe in probe(kind, code) {
                allowed(host, &[&probe]);
            }
        }
        for (kind, code) in closed {
            for probe in probe(kind, code) {
                denied(host, &[&probe]);
            }
        }
    };
    let kind = both("icmp", "type: 8");
    check(&kind, &[(8, 0), (8, 1)], &[(0, 0), (9, 0)]);
    denied(&kind, &[W1, "eth0>cali0 ext w0 udp 8"]);
    let pair = both("icmp", "type: 8, code: 0");
    check(&pair, &[(8, 0)], &[(8, 1), (0, 0)]);
    let not_pair = both("notICMP", "type: 8, code: 0");
    check(&not_pair, &[(8, 1), (0, 0), (3, 0)], &[(8, 0)]);
    let not_kind = both("notICMP", "type: 8");
    check(&not_kind, &[(0, 0)], &[(8, 0), (8, 1)]);
    denied(&not_kind, &[W1]);
}

#[test]
fn icmp_by_name_is_of_one_family_and_by_number_of_none() {
    let four = with("protocol: ICMP");
    allowed(&four, &["eth0>cali0 203.0.113.9 10.65.0.2 icmp"]);
    denied(
        &four,
        &[
            "eth0>cali0 2001:db8:9::9 fd65::2 icmpv6",
            "eth0>cali0 2001:db8:9::9 fd65::2 icmp",
        ],
    );
    let number = with("protocol: 1");
    allowed(
        &number,
        &[
            "eth0>cali0 203.0.113.9 10.65.0.2 icmp",
            "eth0>cali0 2001:db8:9::9 fd65::2 icmp",
        ],
    );
    denied(&number, &["eth0>cali0 2001:db8:9::9 fd65::2 icmpv6"]);
    let typed = with("protocol: 1, icmp: {type: 8}");
    allowed(&typed, &["eth0>cali0 203.0.113.9 10.65.0.2 icmp 8/0"]);
    denied(&typed, &["eth0>cali0 2001:db8:9::9 fd65::2 icmp 8/0"]);
}

#[test]
fn protocols_by_number_and_negated() {
    let six = with("protocol: 6, destination: {ports: [80]}");
    allowed(&six, &[W1]);
    denied(
        &six,
        &["cali1>cali0 w1 w0 tcp 81", "cali1>cali0 w1 w0 udp 80"],
    );
    let not = with("notProtocol: TCP");
    denied(&not, &[W1]);
    allowed(
        &not,
        &[
            "cali1>cali0 w1 w0 udp 80",
            "cali1>cali0 w1 w0 ping",
            "cali1>cali0 w1 w0 253",
        ],
    );
    let sctp = with("protocol: SCTP, destination: {ports: [80]}");
    allowed(&sctp, &["cali1>cali0 w1 w0 sctp 80"]);
    denied(&sctp, &[W1]);
}

#[test]
fn families_are_confined_by_version_and_nets() {
    let four = "eth0>cali0 203.0.113.9 10.65.0.2 tcp 80";
    let six = "eth0>cali0 2001:db8:9::9 fd65::2 tcp 80";
    let check = |rule: &str, open: &[&str], closed: &[&str]| {
        let host = with(rule);
        allowed(&host, open);
        denied(&host, closed);
    };
    check("ipVersion: 4", &[four], &[six]);
    check("ipVersion: 6", &[six], &[four]);
    check(
        "source: {nets: [203.0.113.0/24, '2001:db8:9::/48']}",
        &[four, six],
        &[],
    );
    check("source: {nets: [0.0.0.0/0]}", &[four], &[six]);
    check("destination: {nets: ['::/0']}", &[six], &[four]);
    // Negated nets of one family leave nothing of the other, as Felix has it.
    check("source: {notNets: [10.0.0.0/8]}", &[four], &[six]);
    check("source: {notNets: ['fd00::/8']}", &[six], &[four]);
    check(
        "source: {notNets: [10.0.0.0/8, 'fd00::/8']}",
        &[four, six],
        &[],
    );
}

#[test]
fn fragments_meet_no_port() {
    let host = with("protocol: TCP, destination: {notPorts: [80]}");
    denied(&host, &["eth0>cali0 ext w0 tcp"]);
    let host = with("protocol: TCP");
    allowed(&host, &["eth0>cali0 ext w0 tcp"]);
}

#[test]
fn the_first_rule_that_decides_is_final() {
    let spec = "selector: name == 'w0'\ntypes: [Ingress]\ningress:\n\
                - {action: Deny, source: {selector: name == 'w1'}}\n\
                - {action: Log}\n\
                - {action: Allow, source: {selector: has(name)}}\n\
                - {action: Deny, source: {selector: name == 'w2'}}";
    let host = host(&[WORKLOADS, &policy("a", spec)]);
    allowed(&host, &[W2]);
    denied(&host, &[W1, EXT]);
}

#[test]
fn host_endpoints_are_found_by_the_addresses_they_are_expected_to_have() {
    let spec = "selector: name == 'w0'\ntypes: [Ingress]\n\
                ingress: [{action: Allow, source: {selector: name == 'peer', ports: [ssh]}}]";
    let peer = v3(
        "HostEndpoint",
        "peer",
        "node: another\ninterfaceName: eth0\nexpectedIPs: [203.0.113.9, '2001:db8:9::9']\n\
         ports: [{name: ssh, protocol: TCP, port: 22}]",
    );
    let host = host(&[WORKLOADS, &policy("a", spec), &peer]);
    allowed(&host, &["eth0>cali0 ext w0 tcp 22:80"]);
    denied(
        &host,
        &[
            EXT,
            "eth0>cali0 ext2 w0 tcp 22:80",
            "eth0>cali0 ext w0 udp 22:80",
        ],
    );
}
