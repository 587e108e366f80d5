//! The forms of values.

use std::net::IpAddr;

use super::{V1, V3, one, read, refused};
use crate::model::{
    Action, EndOfTier, Kind, Order, PolicyKind, PortMatch, Resource, ResourceKey, TierName,
};
use crate::selector::Selector;

#[test]
fn a_v3_resource_is_who_its_key_says() {
    let value = r#"{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3",
        "metadata":{"name":"other","annotations":{"projectcalico.org/metadata":"{\"name\":\"allow-ssh\"}"}},
        "spec":{"selector":"all()","ingress":[{"action":"Allow"}]}}"#;
    let keys = ["default.allow-ssh", "allow-ssh"]
        .map(|name| (format!("{V3}/globalnetworkpolicies/{name}"), name));
    let pairs: Vec<(&str, &str)> = keys.iter().map(|(key, _)| (key.as_str(), value)).collect();
    let (resources, problems) = read(&pairs);
    assert_eq!(problems, Vec::<String>::new());
    for (_, name) in &keys {
        let key = ResourceKey::v3(Kind::GlobalNetworkPolicy, "", name);
        assert!(resources.contains_key(&key), "{name}");
    }
}

#[test]
fn a_v3_value_is_what_its_key_says_whatever_it_says_itself() {
    let key = format!("{V3}/tiers/t");
    for (value, reason) in [
        (
            r#"{"kind":"Profile","spec":{"order":7}}"#,
            "kind: is not `Tier`",
        ),
        (
            r#"{"apiVersion":"v1","spec":{"order":7}}"#,
            "apiVersion: is not",
        ),
    ] {
        let (mut resources, problems) = read(&[(&key, value)]);
        let (_, resource) = resources.pop_first().expect("the value counts");
        let Resource::Tier(tier) = resource.as_ref() else {
            panic!("a tier");
        };
        assert_eq!(Some(tier.order), crate::model::Order::new(7.0));
        assert!(problems.concat().contains(reason), "{problems:?}");
    }
}

#[test]
fn a_v3_value_that_cannot_be_read_counts_as_absent() {
    let key = format!("{V3}/tiers/t");
    for (value, reason) in [
        (r#"{"metadata":[]}"#, "metadata: expected a JSON object"),
        ("[]", "expected a JSON object"),
        ("", "cannot be parsed"),
        ("{", "cannot be parsed"),
        (r#"{"spec":{"order":"x"}}"#, "spec.order"),
    ] {
        let said = refused(&key, value);
        assert!(
            said.starts_with(&key) && said.contains(reason),
            "{value}: {said}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(&key, &deep).contains("cannot be parsed"));
    let nested = format!("{{\"spec\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert!(refused(&key, &nested).contains("nested more than"));
    let huge = format!("\"{}\"", "x".repeat(9 << 20));
    assert!(refused(&key, &huge).contains("larger than"));
}

#[test]
fn a_v3_tier_without_order_is_the_last() {
    let Resource::Tier(tier) = one(
        &format!("{V3}/tiers/t"),
        r#"{"kind":"Tier","spec":{"defaultAction":"Odd"}}"#,
    ) else {
        panic!("a tier");
    };
    assert_eq!(tier.order, Order::LAST);
    assert_eq!(tier.default_action, EndOfTier::Deny);
}

#[test]
fn a_stored_workload_endpoint_gets_no_labels() {
    let key = format!("{V3}/workloadendpoints/prod/host1-k8s-pod--1-eth0");
    let value = r#"{"spec":{"interfaceName":"cali1","ipNetworks":["10.0.0.1/32"]},"metadata":{"labels":{"pcns.a":"b","c":"d"}}}"#;
    let Resource::WorkloadEndpoint(endpoint) = one(&key, value) else {
        panic!("an endpoint");
    };
    assert_eq!(endpoint.node.as_str(), "host1");
    assert_eq!(endpoint.workload, "prod/pod-1");
    assert_eq!(endpoint.labels.keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn a_v1_host_endpoint_is_read() {
    let value = r#"{"name":"eth0","expected_ipv4_addrs":["192.0.2.10"],"expected_ipv6_addrs":["2001:db8::10"],
        "labels":{"role":"web","env":"prod"},"profile_ids":["base"],"unknown":{"x":1}}"#;
    let Resource::HostEndpoint(endpoint) = one(&format!("{V1}/host/h1/endpoint/e0"), value) else {
        panic!("an endpoint");
    };
    assert_eq!(endpoint.node.as_str(), "h1");
    assert_eq!(endpoint.expected_ips.len(), 2);
    assert_eq!(endpoint.labels.len(), 2);
    assert_eq!(endpoint.profiles[0].as_str(), "base");
    assert!(endpoint.ports.is_empty());
}

#[test]
fn a_v1_workload_endpoint_is_up_only_where_it_says_active() {
    let key = format!("{V1}/host/h1/workload/k8s/ns%2fpod/endpoint/eth0");
    for (state, active) in [
        (r#""state":"active","#, true),
        (r#""state":"down","#, false),
        (r#""state":"","#, false),
        ("", false),
    ] {
        let value = format!(
            r#"{{{state}"name":"cali1234","mac":"02:00:00:00:00:01","profile_ids":["p1"],
            "ipv4_nets":["10.65.0.2/32"],"ipv6_nets":[],"labels":{{"app":"db"}},
            "ipv4_nat":[{{"int_ip":"10.65.0.2","ext_ip":"198.51.100.7"}}],"ipv4_gateway":null}}"#
        );
        let Resource::WorkloadEndpoint(endpoint) = one(&key, &value) else {
            panic!("an endpoint");
        };
        assert_eq!(endpoint.active, active, "{state}");
        assert_eq!(endpoint.orchestrator, "k8s");
        assert_eq!(endpoint.workload, "ns/pod");
        assert_eq!(endpoint.endpoint, "eth0");
        assert_eq!(endpoint.nat.len(), 1);
    }
    assert!(refused(&key, r#"{"state":"active","ipv4_nets":[]}"#).contains("interfaceName"));
}

#[test]
fn a_v1_policy_is_read() {
    let value = r#"{"order":100,"selector":"role == \"web\" && has(env)","untracked":false,
        "inbound_rules":[
            {"action":"allow","protocol":"tcp","dst_ports":[80,"8000:8099"],"src_net":"10.0.0.0/8","log_prefix":"x"},
            {"action":"deny","protocol":17,"!src_selector":"role == 'dns'","!dst_ports":[53]},
            {"protocol":"icmp","icmp_type":8,"icmp_code":0},
            {"action":"log","icmp_code":3},{"action":"next-tier","src_tag":"mgmt","ip_version":4}],
        "outbound_rules":[{}]}"#;
    let Resource::Policy(policy) = one(&format!("{V1}/policy/tier/default/policy/web"), value)
    else {
        panic!("a policy");
    };
    assert_eq!(policy.tier, TierName::new("default"));
    assert_eq!(policy.kind, PolicyKind::Normal);
    let actions: Vec<Action> = policy.ingress.iter().map(|rule| rule.action).collect();
    assert_eq!(
        actions,
        [
            Action::Allow,
            Action::Deny,
            Action::Allow,
            Action::Log,
            Action::Pass
        ]
    );
    assert_eq!(policy.ingress[0].destination.ports.len(), 2);
    assert!(matches!(
        policy.ingress[1].destination.not_ports[..],
        [PortMatch::Range(_)]
    ));
    assert!(policy.ingress[1].source.not_selector.is_some());
    assert!(policy.ingress[2].icmp.is_some());
    assert!(policy.ingress[3].icmp.is_none());
    assert_eq!(
        policy.ingress[4].source.selector,
        Some(Selector::has("mgmt"))
    );
    assert_eq!(policy.egress[0].action, Action::Allow);
}

#[test]
fn fields_of_the_v1_form_are_found_in_any_case() {
    let value = r#"{"Selector":"all()","Order":"default","INBOUND_RULES":[{"Action":"deny"}],"outbound_rules":null}"#;
    let Resource::Policy(policy) = one(&format!("{V1}/policy/tier/default/policy/x"), value) else {
        panic!("a policy");
    };
    assert_eq!(policy.ingress[0].action, Action::Deny);
    assert_eq!(policy.order, Order::LAST);
    assert!(policy.egress.is_empty());
}

#[test]
fn a_v1_tier_has_an_order_and_denies_at_its_end() {
    for (value, order) in [
        (r#"{"order":5}"#, Order::new(5.0).unwrap()),
        (r#"{"order":"default"}"#, Order::LAST),
        ("{}", Order::LAST),
    ] {
        let Resource::Tier(tier) = one(&format!("{V1}/policy/tier/first/metadata"), value) else {
            panic!("a tier");
        };
        assert_eq!((tier.order, tier.default_action), (order, EndOfTier::Deny));
    }
    let Resource::Policy(policy) = one(&format!("{V1}/policy/tier/first/policy/x"), "{}") else {
        panic!("a policy");
    };
    assert_eq!(policy.tier, TierName::new("first"));
}

#[test]
fn bad_v1_rules_spoil_the_whole_object() {
    let key = format!("{V1}/policy/tier/default/policy/x");
    for (rule, reason) in [
        (
            r#"{"action":"ALLOW"}"#,
            "inbound_rules[0]: action: is none of",
        ),
        (
            r#"{"action":"pass"}"#,
            "inbound_rules[0]: action: is none of",
        ),
        (r#"{"action":1}"#, "inbound_rules[0]: action: is none of"),
        (r#"{"dst_ports":[80]}"#, "a port needs the rule's protocol"),
        (r#"{"protocol":"tcp","dst_ports":[0]}"#, "no port"),
        (r#"{"src_net":"10.0.0.0/33"}"#, "is not a CIDR"),
        (r#"{"src_selector":"a =="}"#, "bad selector"),
        ("[]", "inbound_rules[0]: expected a JSON object"),
    ] {
        let said = refused(&key, &format!(r#"{{"inbound_rules":[{rule}]}}"#));
        assert!(said.contains(reason), "{rule}: {said}");
    }
    assert!(refused(&key, r#"{"inbound_rules":{}}"#).contains("inbound_rules: expected a list"));
}

#[test]
fn three_keys_are_one_profile() {
    let rules = (
        "/calico/v1/policy/profile/p/rules",
        r#"{"inbound_rules":[{}],"outbound_rules":[]}"#,
    );
    let tags = ("/calico/v1/policy/profile/p/tags", r#"["a","b"]"#);
    let labels = ("/calico/v1/policy/profile/p/labels", r#"{"c":"d"}"#);
    let key = ResourceKey::v1(Kind::Profile, "", "p");
    let profile = |pairs: &[(&str, &str)]| {
        let (resources, problems) = read(pairs);
        let profile = resources.get(&key).map(|resource| {
            let Resource::Profile(profile) = resource.as_ref() else {
                panic!("{resource:?}");
            };
            profile.clone()
        });
        (profile, problems)
    };
    let (whole, problems) = profile(&[rules, tags, labels]);
    let whole = whole.unwrap();
    assert!(problems.is_empty());
    assert_eq!((whole.tags.len(), whole.labels.len()), (2, 1));
    assert_eq!(whole.ingress[0].action, Action::Allow);
    // Without rules it denies, as a profile that does not exist; what it hands down stays.
    let (rest, problems) = profile(&[tags, labels, (rules.0, "{")]);
    let rest = rest.unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(rules.0));
    assert_eq!((rest.tags.len(), rest.labels.len()), (2, 1));
    assert_eq!(rest.ingress[0].action, Action::Deny);
    assert_eq!(rest.egress[0].action, Action::Deny);
    let (rest, problems) = profile(&[rules, (tags.0, "{}"), (labels.0, r#"{"k":[]}"#)]);
    let rest = rest.unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(rest.tags.is_empty() && rest.labels.is_empty());
    assert_eq!(rest.ingress.len(), 1);
    let (none, _) = profile(&[(rules.0, "null")]);
    assert_eq!(none, None);
}

#[test]
fn a_cluster_is_ready_by_exactly_one_word() {
    for (value, ready) in [
        ("true", true),
        ("true\n", false),
        ("True", false),
        ("", false),
    ] {
        let Resource::ClusterInformation(cluster) = one("/calico/v1/Ready", value) else {
            panic!("a cluster");
        };
        assert_eq!(cluster.datastore_ready, Some(ready), "{value:?}");
    }
}

#[test]
fn options_addresses_and_pools_are_read() {
    let Resource::FelixConfiguration(felix) = one("/calico/v1/config/LogPrefix", "x y") else {
        panic!("a configuration");
    };
    let value = felix.annotations.get("config.projectcalico.org/LogPrefix");
    assert_eq!(value.map(String::as_str), Some("x y"));
    let Resource::Node(node) = one("/calico/v1/host/h1/bird_ip", "192.0.2.1") else {
        panic!("a node");
    };
    assert_eq!(node.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert!(refused("/calico/v1/host/h1/bird_ip", "192.0.2.1 ").contains("IPv4"));
    let pool = r#"{"cidr":"10.0.0.0/8","ipip":"tunl0","masquerade":true,"ipam":true}"#;
    let Resource::IpPool(pool) = one("/calico/v1/ipam/v4/pool/10.0.0.0-8", pool) else {
        panic!("a pool");
    };
    assert!(pool.nat_outgoing && !pool.disabled);
    assert!(refused("/calico/v1/ipam/v4/pool/10.0.0.0-99", "{}").contains("CIDR"));
}

#[test]
fn the_parts_of_a_workload_are_kept_apart() {
    let key = format!("{V1}/host/h1/workload/o%2fx/a%2fb/endpoint/c%2fd");
    let Resource::WorkloadEndpoint(endpoint) = one(&key, r#"{"state":"active","name":"cali1"}"#)
    else {
        panic!("an endpoint");
    };
    let parts = [
        &endpoint.orchestrator,
        &endpoint.workload,
        &endpoint.endpoint,
    ];
    assert_eq!(parts, ["o/x", "a/b", "c/d"]);
}
