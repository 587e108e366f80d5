//! Requests and replies, and what is not policed at all.

use super::{WORKLOADS, allowed, connection, connections, endpoint, host, host_with, policy};
use crate::explain::{Hook, Outcome, Reason};

#[test]
fn a_reply_is_the_request_turned_round() {
    let host = host(&[WORKLOADS]);
    connection(&host, "cali0>cali1 w0 w1 tcp 80", (true, true, true));
    connection(&host, "eth0>cali0 ext w0 ping", (true, true, true));
    for found in connections(&host, "eth0>cali0 ext host0 tcp 8080 dnat=w0/80") {
        assert!(found.reply_seen && found.tracked);
        let reply = found.reply.unwrap();
        let hooks: Vec<(Hook, &str)> = reply
            .steps
            .iter()
            .map(|step| (step.hook, step.interface.as_str()))
            .collect();
        assert_eq!(
            hooks,
            [
                (Hook::RawPrerouting, "cali0"),
                (Hook::PreDnat, "cali0"),
                (Hook::ForwardHostIn, "cali0"),
                (Hook::ForwardWorkloadFrom, "cali0"),
                (Hook::ForwardHostOut, "eth0"),
            ]
        );
        assert_eq!(reply.steps[3].reason, Reason::Known);
    }
}

#[test]
fn what_is_denied_leaves_no_entry_and_no_reply() {
    let deny = policy("a", "selector: name == 'w0'\ntypes: [Ingress]");
    let host = host(&[WORKLOADS, &deny]);
    connection(&host, "cali1>cali0 w1 w0 tcp 80", (false, false, false));
    for found in connections(&host, "cali1>cali0 w1 w0 tcp 80") {
        assert_eq!(found.reply, None);
    }
}

#[test]
fn messages_that_ask_nothing_begin_no_connection() {
    let host = host(&[&endpoint(
        "a",
        "interfaceName: eth0\nprofiles: [projectcalico-default-allow]",
    )]);
    connection(
        &host,
        "eth0>host 203.0.113.9 192.0.2.1 icmp 0/0",
        (false, false, false),
    );
    connection(
        &host,
        "eth0>host 2001:db8:9::9 2001:db8:1::1 icmpv6 129/0",
        (false, false, false),
    );
    connection(
        &host,
        "eth0>host 203.0.113.9 192.0.2.1 icmp 13/0",
        (true, true, true),
    );
    // Neighbour discovery is answered and never tracked.
    connection(
        &host,
        "eth0>host 2001:db8:9::9 2001:db8:1::1 icmpv6 135/0",
        (true, true, false),
    );
    let unguarded = super::host(&[]);
    connection(
        &unguarded,
        "eth0>host 203.0.113.9 192.0.2.1 icmp 0/0",
        (true, false, false),
    );
}

#[test]
fn without_ipv6_support_ipv6_passes_unseen() {
    let closed = endpoint("all", "interfaceName: '*'");
    let host = host_with(&[WORKLOADS, &closed], |settings| settings.ipv6 = false);
    let probe = "cali9>host 2001:db8::77 2001:db8:1::1 tcp 80";
    allowed(
        &host,
        &[probe, "host>eth0 2001:db8:1::1 2001:db8:9::9 tcp 80"],
    );
    super::decided(&host, probe, "raw prerouting: allow: IPv6 is not policed");
    super::denied(&host, &["eth0>host 203.0.113.9 192.0.2.1 tcp 80"]);
}

#[test]
fn the_questions_come_in_the_order_of_the_hooks() {
    let host = host(&[WORKLOADS, &endpoint("a", "interfaceName: eth0")]);
    for (probe, expected) in [
        (
            "eth0>host ext host0 tcp 80 established",
            "raw prerouting/pre-DNAT/input",
        ),
        (
            "cali0>host w0 host0 tcp 80 established",
            "raw prerouting/pre-DNAT/input/workload to host",
        ),
        (
            "cali0>cali1 w0 w1 tcp 80",
            "raw prerouting/pre-DNAT/forward, host endpoint in/forward, from workload/\
             forward, to workload/forward, host endpoint out",
        ),
        ("host>eth1 host0 ext tcp 80", "raw output/output"),
        (
            "host>eth1 host0 ext tcp 80 dnat=inside",
            "raw output/output/output after DNAT",
        ),
        (
            "host>lo loop loop tcp 80",
            "raw output/output/raw prerouting/pre-DNAT/input",
        ),
    ] {
        for journey in super::journeys(&host, probe) {
            let hooks: Vec<String> = journey.steps.iter().map(|s| s.hook.to_string()).collect();
            assert_eq!(hooks.join("/"), expected, "{journey}");
            assert!(
                journey
                    .steps
                    .iter()
                    .all(|step| step.outcome != Outcome::Deny)
            );
            assert_eq!(journey.denied_by(), None);
        }
    }
}
