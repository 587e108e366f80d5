//! Every kind of resource, good and bad.

use super::{bad, decode, good, problems, shown};
use crate::datastore::{Origin, decode_file};
use crate::model::{
    Direction, EndOfTier, HostInterface, Order, Policy, PolicyKind, PolicyTypes, Resource,
};

/// A v3 resource named `n` whose spec stands on line 4.
fn v3(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: n}}\nspec: {{{spec}}}\n"
    )
}

/// A v1 resource whose metadata stands on line 3 and spec on line 4.
fn v1(kind: &str, metadata: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n")
}

fn key(text: &str) -> String {
    decode(text).objects[0].key.to_string()
}

fn policy(text: &str) -> Policy {
    let Resource::Policy(policy) = good(text) else {
        panic!("{text}")
    };
    policy
}

#[test]
fn the_guides_resources_are_understood() {
    let decoded = decode(include_str!("guide.yaml"));
    assert_eq!(
        decoded.problems.iter().map(shown).collect::<Vec<_>>(),
        [""; 0]
    );
    let keys: Vec<String> = decoded
        .objects
        .iter()
        .map(|object| object.key.to_string())
        .collect();
    assert_eq!(
        keys,
        [
            "v1 Node(my-host)",
            "v1 GlobalNetworkPolicy(failsafe)",
            "v1 HostEndpoint(my-host/eth0)",
            "v1 GlobalNetworkPolicy(webserver)",
        ]
    );
    let Resource::Policy(failsafe) = &*decoded.objects[1].value else {
        panic!()
    };
    assert_eq!((failsafe.ingress.len(), failsafe.egress.len()), (2, 2));
    assert_eq!(failsafe.types, PolicyTypes::BOTH);
    assert_eq!(Some(failsafe.order), Order::new(0.0));
    let Resource::HostEndpoint(endpoint) = &*decoded.objects[2].value else {
        panic!()
    };
    assert_eq!(endpoint.node.as_str(), "my-host");
    assert_eq!(
        endpoint.interface,
        Some(HostInterface::Name("eth0".parse().unwrap()))
    );
    assert_eq!(endpoint.expected_ips[0].to_string(), "10.0.0.1");
    assert_eq!(endpoint.labels["role"], "webserver");
}

#[test]
fn a_host_endpoint_without_name_and_address_says_what_is_missing() {
    let text = v1("hostEndpoint", "name: n, node: h", "profiles: [prof1]");
    bad(
        &text,
        "4 spec: 'interfaceName' or 'expectedIPs' must be present",
    );
    bad(
        &v3("HostEndpoint", "node: h"),
        "4 spec: 'interfaceName' or 'expectedIPs' must be present",
    );
}

#[test]
fn host_endpoints_are_read() {
    let text = v3(
        "HostEndpoint",
        "node: Gw1, interfaceName: \"*\", expectedIPs: [192.0.2.1, \"2001:db8::1\"], profiles: [a, kns.b], \
         ports: [{name: metrics, protocol: TCP, port: 9100}]",
    );
    let Resource::HostEndpoint(endpoint) = good(&text) else {
        panic!()
    };
    assert_eq!(endpoint.interface, Some(HostInterface::Any));
    assert_eq!(endpoint.expected_ips.len(), 2);
    assert_eq!(endpoint.profiles[1].as_str(), "kns.b");
    assert_eq!(endpoint.ports[0].port, 9100);
    assert_eq!(key(&text), "HostEndpoint(n)");
}

#[test]
fn bad_endpoints_are_rejected() {
    let hep = |spec: &str| v3("HostEndpoint", spec);
    bad(&hep("interfaceName: eth0"), "4 spec.node: must be present");
    bad(
        &hep("node: h, interfaceName: eth0/1"),
        "4 spec.interfaceName: \"eth0/1\" must be 1 to 15",
    );
    bad(
        &hep("node: h, interfaceName: sixteen-bytes-xx"),
        "4 spec.interfaceName: \"sixteen-bytes-xx\" must",
    );
    bad(
        &hep("node: h, interfaceName: e, expectedIPs: [10.0.0.1/32]"),
        "4 spec.expectedIPs[0]: \"10.0.0.1/32\" is not an IP",
    );
    bad(
        &hep("node: h, interfaceName: e, profiles: [\"a b\"]"),
        "4 spec.profiles[0]: \"a b\" must be",
    );
    bad(
        &hep("node: h, interfaceName: e, ports: [{protocol: TCP, port: 1}]"),
        "4 spec.ports[0].name: must be present",
    );
    bad(
        &hep("node: h, interfaceName: e, ports: [{name: a, port: 1}]"),
        "4 spec.ports[0].protocol: must be present",
    );
    bad(
        &hep("node: h, interfaceName: e, ports: [{name: a, protocol: ICMP, port: 1}]"),
        "4 spec.ports[0].protocol: icmp has no ports",
    );
    bad(
        &hep("node: h, interfaceName: e, ports: [{name: a, protocol: TCP, port: 0}]"),
        "4 spec.ports[0].port: a port is",
    );
    bad(
        &hep("node: h, interfaceName: e, ports: [{name: a, protocol: TCP}]"),
        "4 spec.ports[0].port: must be present",
    );
    bad(
        &v1("hostEndpoint", "name: n", "interfaceName: e"),
        "3 metadata.node: must be present",
    );
    bad(
        &v1("hostEndpoint", "name: n, node: h", "interfaceName: \"*\""),
        "4 spec.interfaceName: \"*\" must be",
    );
    bad(
        &v1(
            "hostEndpoint",
            "name: n, node: h, labels: {\"a b\": c}",
            "interfaceName: e",
        ),
        "3 metadata.labels.a b: bad label \"a b\"",
    );
}

#[test]
fn a_datastores_endpoint_with_a_bad_address_keeps_the_good_ones() {
    let text = v3("HostEndpoint", "node: h, expectedIPs: [bad, 10.0.0.1]");
    let decoded = decode_file("f", text.as_bytes(), Origin::Datastore).unwrap();
    let Resource::HostEndpoint(endpoint) = &*decoded.objects[0].value else {
        panic!()
    };
    assert_eq!(endpoint.expected_ips.len(), 1);
    assert_eq!(
        shown(&decoded.problems[0]),
        "~4 spec.expectedIPs[0]: \"bad\" is not an IP address, left out"
    );
}

#[test]
fn metadata_is_checked() {
    let text = v3("HostEndpoint", "node: h, interfaceName: e");
    bad(
        &text.replace("name: n", "name: N"),
        "3 metadata.name: \"N\" must be a DNS-1123 name",
    );
    bad(
        &text.replace("name: n", ""),
        "3 metadata.name: must be present",
    );
    bad(
        &text.replace("name: n", "name: n, namespace: x"),
        "3 metadata.namespace: a HostEndpoint has no namespace",
    );
    bad(
        &text.replace("name: n", "name: n, labels: {a: \"b c\"}"),
        "3 metadata.labels.a: bad label \"a\": the value must",
    );
    bad(
        &text.replace("name: n", "name: n, labels: {a/b/c: d}"),
        "3 metadata.labels.a/b/c: bad label",
    );
    let set = v3("NetworkSet", "nets: []");
    bad(
        &set.replace("name: n", "name: n, namespace: A"),
        "3 metadata.namespace: \"A\" must be a DNS-1123 label",
    );
    assert_eq!(key(&set), "NetworkSet(default/n)");
    assert_eq!(
        key(&text.replace("name: n", "name: 1234")),
        "HostEndpoint(1234)"
    );
    let mangled = "name: n, annotations: {projectcalico.org/metadata: '{\"name\":\"other\"}'}";
    assert_eq!(key(&text.replace("name: n", mangled)), "HostEndpoint(n)");
}

#[test]
fn policies_are_read_with_calicoctls_defaults() {
    let rule = "[{action: Allow}]";
    let types = |spec: &str| policy(&v3("GlobalNetworkPolicy", spec)).types;
    let only = |direction| PolicyTypes {
        ingress: direction == Direction::Ingress,
        egress: direction == Direction::Egress,
    };
    assert_eq!(types(""), only(Direction::Ingress));
    assert_eq!(types(&format!("ingress: {rule}")), only(Direction::Ingress));
    assert_eq!(types(&format!("egress: {rule}")), only(Direction::Egress));
    assert_eq!(
        types(&format!("ingress: {rule}, egress: {rule}")),
        PolicyTypes::BOTH
    );
    assert_eq!(types("types: [Egress]"), only(Direction::Egress));
    let stored = decode_file(
        "f",
        v3("GlobalNetworkPolicy", "").as_bytes(),
        Origin::Datastore,
    );
    let Resource::Policy(stored) = (*stored.unwrap().objects[0].value).clone() else {
        panic!()
    };
    assert_eq!(stored.types, PolicyTypes::BOTH);
    assert_eq!(stored.selector.to_string(), "all()");
    assert_eq!(
        (stored.tier.as_str(), stored.order),
        ("default", Order::LAST)
    );
    let full = policy(&v3(
        "GlobalNetworkPolicy",
        "tier: infra, order: 1.5, applyOnForward: true, performanceHints: []",
    ));
    assert_eq!(
        (full.tier.as_str(), full.order.value(), full.kind),
        ("infra", 1.5, PolicyKind::ApplyOnForward)
    );
    let kind = |flag: &str| {
        policy(&v3(
            "GlobalNetworkPolicy",
            &format!("{flag}: true, applyOnForward: true"),
        ))
        .kind
    };
    assert_eq!(kind("doNotTrack"), PolicyKind::Untracked);
    assert_eq!(kind("preDNAT"), PolicyKind::PreDnat);
    assert_eq!(
        policy(&v1("policy", "name: n", "doNotTrack: true")).kind,
        PolicyKind::Untracked
    );
}

#[test]
fn bad_policies_are_rejected() {
    let gnp = |spec: &str| v3("GlobalNetworkPolicy", spec);
    bad(
        &gnp("doNotTrack: true"),
        "4 spec.applyOnForward: must be true with doNotTrack or preDNAT",
    );
    bad(
        &gnp("preDNAT: true, doNotTrack: true, applyOnForward: true"),
        "4 spec.preDNAT: cannot be combined",
    );
    bad(
        &gnp("preDNAT: true, applyOnForward: true, egress: [{action: Allow}]"),
        "4 spec.egress: a preDNAT policy",
    );
    bad(
        &gnp("preDNAT: true, applyOnForward: true, types: [Ingress, Egress]"),
        "4 spec.types: a preDNAT policy",
    );
    bad(
        &gnp("types: [Sideways]"),
        "4 spec.types[0]: \"Sideways\" is neither",
    );
    bad(
        &gnp("order: high"),
        "4 spec.order: expected a number, found \"high\"",
    );
    bad(
        &gnp("order: \"1\""),
        "4 spec.order: expected a number, found \"1\"",
    );
    bad(&gnp("order: .inf"), "4 spec.order: expected a number");
    bad(
        &gnp("selector: \"a = 'b'\""),
        "4 spec.selector: bad selector",
    );
    bad(
        &gnp("tier: A.b"),
        "4 spec.tier: \"A.b\" must be a DNS-1123 label",
    );
    bad(
        &gnp("applyOnForward: yes"),
        "4 spec.applyOnForward: expected true or false, found \"yes\"",
    );
    bad(
        &gnp("").replace("name: n", "name: a.b.c"),
        "3 metadata.name: \"a.b.c\" must be at most 253 of",
    );
    bad(
        &v1("policy", "name: \"a/b\"", ""),
        "3 metadata.name: \"a/b\" must be",
    );
    bad(
        &v1("policy", "name: n", "selector: \"(\""),
        "4 spec.selector: bad selector",
    );
}

#[test]
fn selectors_of_policies_are_confined_as_calico_does() {
    let selector = |kind: &str, spec: &str| {
        let text = v3(kind, spec).replace(
            "name: n",
            if kind == "NetworkPolicy" {
                "name: n, namespace: prod"
            } else {
                "name: n"
            },
        );
        policy(&text).selector.to_string()
    };
    let global = |spec: &str| selector("GlobalNetworkPolicy", spec);
    let local = |spec: &str| selector("NetworkPolicy", spec);
    let here = "projectcalico.org/namespace == \"prod\"";
    assert_eq!(global("namespaceSelector: has(a)"), "has(pcns.a)");
    assert_eq!(
        global("namespaceSelector: all()"),
        "has(projectcalico.org/namespace)"
    );
    assert_eq!(
        global("selector: all(), namespaceSelector: \"a == 'b'\""),
        "(has(projectcalico.org/namespace) && pcns.a == \"b\")"
    );
    assert_eq!(
        global("serviceAccountSelector: all()"),
        "has(projectcalico.org/serviceaccount)"
    );
    assert_eq!(local(""), here);
    assert_eq!(local("selector: has(a)"), format!("(has(a) && {here})"));
    assert_eq!(
        local("serviceAccountSelector: has(a)"),
        format!("({here} && has(pcsa.a))")
    );
    let text = v3("NetworkPolicy", "doNotTrack: true");
    assert_eq!(
        problems(&text),
        ["~4 spec.doNotTrack: unknown field, ignored"]
    );
}

#[test]
fn tiers_profiles_and_sets_are_read() {
    let tier = |spec: &str| {
        let Resource::Tier(tier) = good(&v3("Tier", spec)) else {
            panic!()
        };
        (tier.order.value(), tier.default_action)
    };
    assert_eq!(
        tier("order: 10, defaultAction: Pass"),
        (10.0, EndOfTier::Pass)
    );
    assert_eq!(tier(""), (1_000_000.0, EndOfTier::Deny));
    bad(
        &v3("Tier", "defaultAction: pass"),
        "4 spec.defaultAction: \"pass\" is neither Pass nor Deny",
    );
    let Resource::Profile(profile) = good(&v3(
        "Profile",
        "labelsToApply: {a: b}, egress: [{action: Allow}]",
    )) else {
        panic!()
    };
    assert_eq!(
        (profile.labels["a"].as_str(), profile.egress.len()),
        ("b", 1)
    );
    bad(
        &v3("Profile", "").replace("name: n", "name: projectcalico-default-allow"),
        "3 metadata.name: the built-in",
    );
    let Resource::Profile(profile) = good(&v1(
        "profile",
        "name: n, tags: [a, b], labels: {c: d}",
        "ingress: [{action: deny}]",
    )) else {
        panic!()
    };
    assert_eq!(profile.tags.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    let Resource::NetworkSet(set) = good(&v3("NetworkSet", "nets: [10.1.0.0/8, \"2001:db8::1\"]"))
    else {
        panic!()
    };
    assert_eq!(
        set.nets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "2001:db8::1/128"]
    );
    assert_eq!(set.labels["projectcalico.org/namespace"], "default");
    assert_eq!(set.profile.unwrap().as_str(), "kns.default");
    bad(
        &v3("GlobalNetworkSet", "nets: [a]"),
        "4 spec.nets[0]: \"a\" is not a CIDR",
    );
}

#[test]
fn workload_endpoints_are_identified_by_name_or_spec() {
    let spec = "node: h-1, orchestrator: k8s, pod: web-0, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], \
                serviceAccountName: sa, mac: \"02:00:00:00:00:0a\", ipNATs: [{internalIP: 10.0.0.1, externalIP: 192.0.2.1}], \
                ports: [{protocol: TCP, port: 80}, {name: http, protocol: TCP, port: 80}], profiles: [kns.prod]";
    let text = v3("WorkloadEndpoint", spec).replace(
        "name: n",
        "namespace: prod, labels: {a: b, pcns.x: y, projectcalico.org/orchestrator: z}",
    );
    let Resource::WorkloadEndpoint(endpoint) = good(&text) else {
        panic!()
    };
    assert_eq!(key(&text), "WorkloadEndpoint(prod/h--1-k8s-web--0-eth0)");
    let identity = [
        endpoint.node.as_str(),
        &endpoint.orchestrator,
        &endpoint.workload,
        &endpoint.endpoint,
    ];
    assert_eq!(identity, ["h-1", "k8s", "prod/web-0", "eth0"]);
    assert_eq!(endpoint.mac, Some([2, 0, 0, 0, 0, 10]));
    assert_eq!(endpoint.ports.len(), 1);
    let labels: Vec<String> = endpoint
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        labels,
        [
            "a=b",
            "projectcalico.org/namespace=prod",
            "projectcalico.org/orchestrator=k8s",
            "projectcalico.org/serviceaccount=sa",
        ]
    );
    let named = text.replace(
        "namespace: prod",
        "namespace: prod, name: h--1-k8s-web--0-eth0",
    );
    assert_eq!(good(&named), good(&text));
    bad(
        &named.replace("node: h-1", "node: h-2"),
        "4 spec.node: is not what the endpoint's name says",
    );
    bad(
        &text.replace("pod: web-0, ", ""),
        "3 metadata.name: must be NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT",
    );
    bad(
        &text.replace("10.0.0.1/32", "10.0.0.1/32, 10.1.0.0/24"),
        "4 spec.ipNetworks[1]: a workload's network",
    );
    bad(
        &text.replace("internalIP: 10.0.0.1", "internalIP: 10.0.0.2"),
        "4 spec.ipNATs[0].internalIP: is none",
    );
    bad(
        &text.replace("interfaceName: cali1, ", ""),
        "4 spec.interfaceName: must be present",
    );
    bad(
        &text.replace("00:0a", "00"),
        "4 spec.mac: \"02:00:00:00:00\" is not a hardware address",
    );
    bad(
        &v3("WorkloadEndpoint", "interfaceName: c").replace("name: n", "name: a-b-c-d"),
        "4 spec.ipNetworks: must be present",
    );
    let text = v1(
        "workloadEndpoint",
        "name: e, node: h, orchestrator: o, workload: ns/w",
        "interfaceName: cali1, ipNetworks: [10.0.0.1]",
    );
    assert_eq!(key(&text), "v1 WorkloadEndpoint(h/o/ns/w/e)");
    bad(
        &text.replace("ns/w", "a/b/c"),
        "3 metadata.workload: \"a/b/c\" must be",
    );
}

#[test]
fn nodes_pools_and_configuration_are_read() {
    let Resource::Node(node) =
        good(&v3("Node", "bgp: {asNumber: 1}").replace("name: n", "name: n, labels: {a: b}"))
    else {
        panic!()
    };
    assert_eq!(node.labels["a"], "b");
    let Resource::IpPool(pool) = good(&v3("IPPool", "cidr: 10.0.0.0/16, natOutgoing: true")) else {
        panic!()
    };
    assert!(pool.nat_outgoing && !pool.disabled);
    bad(
        &v3("IPPool", "cidr: 10.0.0.1/16"),
        "4 spec.cidr: must be a CIDR without host bits: 10.0.0.0/16",
    );
    bad(&v3("IPPool", ""), "4 spec.cidr: must be present");
    let text = v1(
        "ipPool",
        "cidr: 10.1.0.1/16",
        "nat-outgoing: true, ipip: {enabled: true, mode: always}",
    );
    assert_eq!(key(&text), "v1 IPPool(10.1.0.0/16)");
    let text = v3("FelixConfiguration", "logSeverityScreen: Warning, reportingInterval: 0s, failsafeInboundHostPorts: [{protocol: TCP, port: 22}], ipv6Support: true, nodeSelector: has(a)")
        .replace("name: n", "name: n, creationTimestamp: \"2026-01-01T00:00:00Z\", annotations: {a: b}");
    let Resource::FelixConfiguration(felix) = good(&text) else {
        panic!()
    };
    let expected = serde_json::json!({
        "logSeverityScreen": "Warning", "reportingInterval": "0s", "ipv6Support": true,
        "failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22}],
    });
    assert_eq!(serde_json::Value::Object(felix.spec), expected);
    assert_eq!(felix.node_selector.unwrap().to_string(), "has(a)");
    assert_eq!(felix.created.unwrap(), "2026-01-01T00:00:00Z");
    bad(
        &v3("FelixConfiguration", ""),
        "4 spec.nodeSelector: must be present unless",
    );
    let Resource::ClusterInformation(information) = good(
        &v3(
            "ClusterInformation",
            "clusterGUID: 12ab, datastoreReady: true, variant: x",
        )
        .replace("name: n", "name: default"),
    ) else {
        panic!()
    };
    assert_eq!(
        (
            information.cluster_guid.as_deref(),
            information.datastore_ready
        ),
        (Some("12ab"), Some(true))
    );
    bad(
        &v3("ClusterInformation", ""),
        "3 metadata.name: \"n\" has no effect",
    );
}

#[test]
fn staged_policies_are_read_and_other_kinds_skipped() {
    for kind in [
        "StagedGlobalNetworkPolicy",
        "StagedNetworkPolicy",
        "StagedKubernetesNetworkPolicy",
    ] {
        assert_eq!(
            good(&v3(kind, "stagedAction: Set, anything: 1")),
            Resource::StagedPolicy
        );
        assert!(decode(&v3(kind, "stagedAction: Delete")).objects.is_empty());
    }
    for text in [
        v3("BGPPeer", "a: 1"),
        v3("IPReservation", ""),
        v3("BGPPeerList", ""),
        v1("bgppeer", "name: n", ""),
        v1("tier", "name: n", ""),
    ] {
        let decoded = decode(&text);
        assert!(
            decoded.objects.is_empty() && decoded.problems.is_empty(),
            "{text}\n{decoded:?}"
        );
    }
    let skipped = &decode(&v3("BGPPeer", "")).skipped[0];
    assert_eq!(
        (skipped.kind.as_str(), skipped.name.as_str()),
        ("BGPPeer", "n")
    );
    assert_eq!(
        problems(&v1("networkPolicy", "name: n", "")),
        ["2 kind: unknown kind \"networkPolicy\" of \"v1\""]
    );
}
