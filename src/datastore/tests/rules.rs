//! Rules in both forms.

use super::{bad, good, problems};
use crate::datastore::{Origin, decode_file};
use crate::model::{Action, IcmpMatch, PortMatch, PortName, Resource, Rule};
use crate::net::{Family, PortRange, Protocol};

/// A policy with one ingress rule, which stands on line 5.
fn v3(rule: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p}}\nspec: {{ingress: [\n{rule}\n]}}\n"
    )
}

fn namespaced(rule: &str) -> String {
    v3(rule)
        .replace("GlobalNetworkPolicy", "NetworkPolicy")
        .replace("{name: p}", "{name: p, namespace: prod}")
}

fn v1(rule: &str) -> String {
    format!(
        "apiVersion: v1\nkind: policy\nmetadata: {{name: p}}\nspec: {{ingress: [\n{rule}\n]}}\n"
    )
}

fn rule(text: &str) -> Rule {
    let Resource::Policy(policy) = good(text) else {
        panic!("{text}")
    };
    policy.ingress[0].clone()
}

fn selectors(text: &str) -> [String; 2] {
    let source = rule(text).source;
    [source.selector, source.not_selector].map(|s| s.map(|s| s.to_string()).unwrap_or_default())
}

#[test]
fn every_criterion_is_read() {
    let text = v3(
        "{action: Deny, ipVersion: 4, protocol: TCP, notProtocol: 17, source: {nets: [10.1.2.3/8, 192.0.2.1], \
         notNets: [10.9.0.0/16], ports: [80, \"8000:8099\", \"443\", http], selector: a == 'b'}, \
         destination: {notPorts: [22], notSelector: has(x)}, metadata: {annotations: {a: b}}}",
    );
    let rule = rule(&text);
    assert_eq!(
        (rule.action, rule.ip_version),
        (Action::Deny, Some(Family::V4))
    );
    assert_eq!(
        (rule.protocol, rule.not_protocol),
        (Some(Protocol::TCP), Some(Protocol::UDP))
    );
    let nets: Vec<String> = rule.source.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(rule.source.not_nets[0].to_string(), "10.9.0.0/16");
    assert_eq!(
        *rule.source.ports,
        [
            PortMatch::Range(PortRange::single(80)),
            PortMatch::Range(PortRange::new(8000, 8099).unwrap()),
            PortMatch::Range(PortRange::single(443)),
            PortMatch::Named(PortName::new("http")),
        ]
    );
    assert_eq!(rule.source.selector.unwrap().to_string(), "a == \"b\"");
    assert_eq!(
        *rule.destination.not_ports,
        [PortMatch::Range(PortRange::single(22))]
    );
    assert_eq!(rule.destination.not_selector.unwrap().to_string(), "has(x)");
}

#[test]
fn icmp_is_read_and_the_family_follows_the_protocols_name() {
    let icmp = |text| rule(&v3(text));
    let echo =
        icmp("{action: Allow, protocol: ICMP, icmp: {type: 8, code: 0}, notICMP: {type: 3}}");
    assert_eq!(
        echo.icmp,
        Some(IcmpMatch {
            kind: 8,
            code: Some(0)
        })
    );
    assert_eq!(
        echo.not_icmp,
        Some(IcmpMatch {
            kind: 3,
            code: None
        })
    );
    assert_eq!(echo.ip_version, Some(Family::V4));
    assert_eq!(
        icmp("{action: Allow, protocol: icmpv6}").ip_version,
        Some(Family::V6)
    );
    assert_eq!(icmp("{action: Allow, protocol: 1}").ip_version, None);
    assert_eq!(
        icmp("{action: Allow, protocol: 1, icmp: {type: 0}}")
            .icmp
            .unwrap()
            .kind,
        0
    );
    assert_eq!(icmp("{action: Allow, notProtocol: ICMP}").ip_version, None);
}

/// Bad rules and how what is said of them begins.
const BAD_RULES: [(&str, &str); 29] = [
    (
        "{protocol: TCP}",
        "5 spec.ingress[0].action: must be present",
    ),
    (
        "{action: allow}",
        "5 spec.ingress[0].action: \"allow\" is none of Allow, Deny, Log, Pass",
    ),
    (
        "{action: Allow, protocol: gre}",
        "5 spec.ingress[0].protocol: \"gre\" is no protocol",
    ),
    (
        "{action: Allow, protocol: 0}",
        "5 spec.ingress[0].protocol: \"0\" is no protocol",
    ),
    (
        "{action: Allow, protocol: 256}",
        "5 spec.ingress[0].protocol: \"256\" is no protocol",
    ),
    (
        "{action: Allow, ipVersion: 5}",
        "5 spec.ingress[0].ipVersion: must be 4 or 6, not 5",
    ),
    (
        "{action: Allow, ipVersion: \"4\"}",
        "5 spec.ingress[0].ipVersion: expected a whole number, found \"4\"",
    ),
    (
        "{action: Allow, source: {nets: [10.0.0.0/33]}}",
        "5 spec.ingress[0].source.nets[0]: \"10.0.0.0/33\" is not a CIDR or IP address",
    ),
    (
        "{action: Allow, source:\n {nets: [10.0.0.0/8,\n bad]}}",
        "7 spec.ingress[0].source.nets[1]: \"bad\" is not",
    ),
    (
        "{action: Allow, source: {nets: 10.0.0.0/8}}",
        "5 spec.ingress[0].source.nets: expected a list, found \"10.0.0.0/8\"",
    ),
    (
        "{action: Allow, source: {notNets: [0.0.0.0/0]}}",
        "5 spec.ingress[0].source.notNets[0]: a negated net that is the whole",
    ),
    (
        "{action: Allow, source: {nets: [10.0.0.0/8]}, destination: {nets: [\"::1\"]}}",
        "5 spec.ingress[0]: its IPv4 and IPv6 nets together leave no packet",
    ),
    (
        "{action: Allow, protocol: TCP, source: {ports: [0]}}",
        "5 spec.ingress[0].source.ports[0]: \"0\" is no port: ports are from 1 to 65535",
    ),
    (
        "{action: Allow, protocol: TCP, source: {ports: [65536]}}",
        "5 spec.ingress[0].source.ports[0]: \"65536\" is no port",
    ),
    (
        "{action: Allow, protocol: TCP, source: {ports: [-1]}}",
        "5 spec.ingress[0].source.ports[0]: \"-1\" is no port",
    ),
    (
        "{action: Allow, protocol: TCP, source: {ports: [\"9:8\"]}}",
        "5 spec.ingress[0].source.ports[0]: the port range 9:8 ends before it begins",
    ),
    (
        "{action: Allow, protocol: TCP, source: {ports: [\"1:b\"]}}",
        "5 spec.ingress[0].source.ports[0]: \"1:b\" is no port range",
    ),
    (
        "{action: Allow, protocol: TCP, source: {ports: [\"a b\"]}}",
        "5 spec.ingress[0].source.ports[0]: \"a b\" must be",
    ),
    (
        "{action: Allow, source: {ports: [80]}}",
        "5 spec.ingress[0].source.ports: a port needs the rule's protocol",
    ),
    (
        "{action: Allow, protocol: ICMP, source: {notPorts: [http]}}",
        "5 spec.ingress[0].source.notPorts: a port needs",
    ),
    (
        "{action: Allow, protocol: ICMP, icmp: {code: 1}}",
        "5 spec.ingress[0].icmp: an ICMP code needs an ICMP type",
    ),
    (
        "{action: Allow, protocol: ICMP, icmp: {type: 255}}",
        "5 spec.ingress[0].icmp.type: must be from 0 to 254, not 255",
    ),
    (
        "{action: Allow, protocol: ICMP, notICMP: {type: 1, code: 256}}",
        "5 spec.ingress[0].notICMP.code: must be from 0 to 255",
    ),
    (
        "{action: Allow, protocol: TCP, icmp: {type: 8}}",
        "5 spec.ingress[0].icmp: an ICMP match needs the protocol",
    ),
    (
        "{action: Allow, source: {selector: \"a ==\"}}",
        "5 spec.ingress[0].source.selector: bad selector: ",
    ),
    (
        "{action: Allow, source: {selector: \"global()\"}}",
        "5 spec.ingress[0].source.selector: global() may only stand alone",
    ),
    (
        "{action: Allow, source: {namespaceSelector: \"global() && has(a)\"}}",
        "5 spec.ingress[0].source.namespaceSelector: global() may only",
    ),
    (
        "{action: Allow, source: {serviceAccounts: {names: [A_b]}}}",
        "5 spec.ingress[0].source.serviceAccounts.names[0]: \"A_b\" must be",
    ),
    ("[]", "5 spec.ingress[0]: expected a map, found a list"),
];

#[test]
fn bad_rules_are_rejected_with_line_field_and_reason() {
    for (rule, expected) in BAD_RULES {
        let text = v3(rule);
        let found = problems(&text);
        assert!(
            found[0].starts_with(expected),
            "{rule}\n{}\ninstead of\n{expected}",
            found[0]
        );
        assert!(super::decode(&text).objects.is_empty(), "{rule}");
    }
    let long = format!(
        "{{action: Allow, source: {{selector: \"has({})\"}}}}",
        "a".repeat(1024)
    );
    bad(
        &v3(&long),
        "5 spec.ingress[0].source.selector: a selector has at most 1024 bytes",
    );
}

#[test]
fn a_bad_selector_is_shown_with_a_caret() {
    let found = problems(&v3("{action: Allow, source: {selector: \"a == \"}}"));
    assert!(found[0].contains("\na == \n     ^"), "{}", found[0]);
}

#[test]
fn services_never_resolve_and_http_is_not_enforced() {
    let text = v3("{action: Allow, source: {services: {name: web, namespace: prod}}}");
    assert_eq!(
        problems(&text),
        [
            "~5 spec.ingress[0].source.services: services are not known to this datastore: the rule never matches",
        ]
    );
    let Resource::Policy(policy) = (*super::decode(&text).objects[0].value).clone() else {
        panic!()
    };
    assert_eq!(
        policy.ingress[0]
            .source
            .selector
            .as_ref()
            .unwrap()
            .to_string(),
        "!all()"
    );
    let text = v3("{action: Allow, source: {services: {name: web}, nets: [10.0.0.0/8]}}");
    assert!(problems(&text)[0].contains("source.nets: cannot be combined with services"));
    let text = v3("{action: Allow, protocol: TCP, http: {methods: [GET]}}");
    assert_eq!(
        problems(&text),
        ["~5 spec.ingress[0].http: not enforced: the rule matches as if this were absent",]
    );
}

#[test]
fn entities_of_rules_are_confined_as_calico_does() {
    let global = |source: &str| selectors(&v3(&format!("{{action: Allow, source: {{{source}}}}}")));
    let local = |source: &str| {
        selectors(&namespaced(&format!(
            "{{action: Allow, source: {{{source}}}}}"
        )))
    };
    let here = "projectcalico.org/namespace == \"prod\"";
    assert_eq!(global("selector: has(a)"), ["has(a)", ""]);
    assert_eq!(global("notSelector: has(a)"), ["", "has(a)"]);
    assert_eq!(
        local("selector: has(a)"),
        [format!("({here} && has(a))"), String::new()]
    );
    assert_eq!(local("notSelector: has(a)"), [here, "has(a)"]);
    assert_eq!(local("nets: [10.0.0.0/8]"), ["", ""]);
    assert_eq!(local("namespaceSelector: has(a)"), ["has(pcns.a)", ""]);
    assert_eq!(
        local("namespaceSelector: all()"),
        ["has(projectcalico.org/namespace)", ""]
    );
    assert_eq!(
        local("namespaceSelector: global()"),
        ["!has(projectcalico.org/namespace)", ""]
    );
    assert_eq!(
        global("serviceAccounts: {names: [a, b]}"),
        ["projectcalico.org/serviceaccount in {\"a\", \"b\"}", "",]
    );
    assert_eq!(
        local("serviceAccounts: {selector: has(a)}"),
        [format!("({here} && has(pcsa.a))"), String::new()]
    );
}

#[test]
fn v1_rules_have_tags_single_nets_and_lower_case_actions() {
    let text = v1(
        "{action: pass, source: {net: 10.1.0.0/8, tag: mgmt, selector: has(a)}, destination: {notTag: t, notNet: 10.2.0.0/16}}",
    );
    let rule = rule(&text);
    assert_eq!(rule.action, Action::Pass);
    assert_eq!(rule.source.nets[0].to_string(), "10.0.0.0/8");
    assert_eq!(
        rule.source.selector.unwrap().to_string(),
        "(has(a) && has(mgmt))"
    );
    assert_eq!(rule.destination.not_selector.unwrap().to_string(), "has(t)");
    assert_eq!(rule.destination.not_nets[0].to_string(), "10.2.0.0/16");
    let either = selectors(&v1(
        "{action: deny, source: {notTag: t, notSelector: has(a)}}",
    ));
    assert_eq!(either[1], "!(!has(a) && !has(t))");
    bad(
        &v1("{action: Allow}"),
        "5 spec.ingress[0].action: \"Allow\" is none of allow, deny, log, pass, next-tier",
    );
    bad(
        &v1("{action: allow, source: {tag: \"a b\"}}"),
        "5 spec.ingress[0].source.tag: \"a b\" must be",
    );
}

#[test]
fn an_unknown_criterion_spoils_a_rule_of_a_file() {
    bad(
        &v3("{action: Allow, source: {net: 10.0.0.0/8}}"),
        "5 spec.ingress[0].source.net: unknown field",
    );
    bad(
        &v3("{action: Allow, soruce: {}}"),
        "5 spec.ingress[0].soruce: unknown field",
    );
    bad(
        &v1("{action: allow, source: {namespaceSelector: all()}}"),
        "5 spec.ingress[0].source.namespaceSelector: unknown",
    );
    let stored = decode_file(
        "f",
        v3("{action: allow, new: 1}").as_bytes(),
        Origin::Datastore,
    )
    .unwrap();
    assert_eq!(stored.objects.len(), 1);
    assert_eq!(
        super::shown(&stored.problems[0]),
        "~5 spec.ingress[0].new: unknown field, ignored"
    );
}

#[test]
fn a_name_that_looks_like_a_range_is_doubted() {
    assert_eq!(
        problems(&v3(
            "{action: Deny, protocol: TCP, source: {ports: [\"80-90\"]}}"
        )),
        [
            "~5 spec.ingress[0].source.ports[0]: \"80-90\" is taken for a port's name; a range is written 80:90",
        ]
    );
}

#[test]
fn named_ports_are_no_more_than_the_kernel_can_hold() {
    let names = |prefix: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
        names.join(", ")
    };
    let (source, destination) = (names("s", 32), names("d", 32));
    good(&v3(&format!(
        "{{action: Allow, source: {{ports: [{source}]}}, destination: {{ports: [{destination}]}}}}"
    )));
    bad(
        &v3(&format!(
            "{{action: Allow, source: {{ports: [{source}]}}, destination: {{ports: [{destination}, d]}}}}"
        )),
        "5 spec.ingress[0]: its named ports make 1056 pairs",
    );
    for (action, field) in [("Deny", "notPorts"), ("Log", "ports"), ("Log", "notPorts")] {
        let rule = |count| {
            let names = names("n", count);
            v3(&format!(
                "{{action: {action}, protocol: TCP, destination: {{{field}: [{names}]}}}}"
            ))
        };
        good(&rule(12));
        bad(&rule(13), "5 spec.ingress[0]: has 13 ");
    }
}
