//! What is stored counts although nobody could write it as a file: Felix does not look at it when it reads.

use super::{V1, V3, read};
use crate::model::{Action, Policy, PolicyKind, PolicyTypes, Resource};

/// Reads a value that counts, perhaps with warnings.
fn kept(key: &str, value: &str) -> Resource {
    let (mut resources, problems) = read(&[(key, value)]);
    let (_, resource) = resources
        .pop_first()
        .unwrap_or_else(|| panic!("{key}: {value}: {problems:?}"));
    resource.as_ref().clone()
}

fn policy(key: &str, value: &str) -> Policy {
    let Resource::Policy(policy) = kept(key, value) else {
        panic!("a policy");
    };
    policy
}

/// Reads a v3 policy with a spec.
fn spec(spec: &str) -> Policy {
    let key = format!("{V3}/globalnetworkpolicies/p");
    policy(&key, &format!(r#"{{"spec":{spec}}}"#))
}

/// Reads a v3 policy whose only ingress rule is this one.
fn rule(rule: &str) -> crate::model::Rule {
    let mut policy = spec(&format!(r#"{{"ingress":[{rule},{{"action":"Deny"}}]}}"#));
    assert_eq!(policy.ingress.len(), 2, "{rule}");
    policy.ingress.remove(0)
}

#[test]
fn names_are_not_looked_at() {
    let deny = r#"{"spec":{"ingress":[{"action":"Deny"}]}}"#;
    let long = "block-traffic-from-the-legacy-datacentre-to-the-payment-processing-hosts";
    let longer = "x".repeat(300);
    for key in [
        format!("{V3}/globalnetworkpolicies/{long}"),
        format!("{V3}/globalnetworkpolicies/{longer}"),
        format!("{V3}/globalnetworkpolicies/a.b.c"),
        format!("{V3}/networkpolicies/My_Namespace/Policy_1"),
    ] {
        policy(&key, deny);
    }
    policy(
        &format!("{V1}/policy/tier/{longer}/policy/{longer}"),
        r#"{"inbound_rules":[{"action":"deny"}]}"#,
    );
    kept(&format!("{V3}/tiers/{longer}"), r#"{"spec":{"order":1}}"#);
    kept(
        &format!("{V3}/hostendpoints/Host_1"),
        r#"{"spec":{"node":"h1","interfaceName":"eth0","profiles":["No_Name!"]}}"#,
    );
    assert_eq!(spec(r#"{"tier":"Not.A.Tier"}"#).tier.as_str(), "Not.A.Tier");
    let accounts = rule(r#"{"action":"Deny","source":{"serviceAccounts":{"names":["My_SA"]}}}"#);
    assert_eq!(
        accounts.source.selector.unwrap().to_string(),
        r#"projectcalico.org/serviceaccount in {"My_SA"}"#
    );
}

#[test]
fn selectors_are_as_long_as_they_can_be_read() {
    let values: Vec<String> = (0..200).map(|n| format!("'value{n:03}'")).collect();
    let long = format!("a in {{{}}}", values.join(","));
    assert!(long.len() > 2000);
    let v3 = spec(&format!(r#"{{"selector":"{long}"}}"#));
    let v1 = policy(
        &format!("{V1}/policy/tier/default/policy/p"),
        &format!(r#"{{"selector":"{long}"}}"#),
    );
    assert_eq!(v3.selector, v1.selector);
    rule(&format!(
        r#"{{"action":"Deny","source":{{"selector":"{long}","namespaceSelector":"{long}"}}}}"#
    ));
}

#[test]
fn labels_are_looked_at_as_felix_does() {
    let endpoint = |labels: &str| {
        let key = format!("{V1}/host/h1/endpoint/e");
        let value = format!(r#"{{"name":"eth0","labels":{labels}}}"#);
        read(&[(&key, &value)]).0.len()
    };
    let v3 = |labels: &str| {
        let key = format!("{V3}/hostendpoints/e");
        let value = format!(
            r#"{{"metadata":{{"labels":{labels}}},"spec":{{"node":"h1","interfaceName":"eth0"}}}}"#
        );
        read(&[(&key, &value)]).0.len()
    };
    let longest = format!(r#"{{"a":"{}"}}"#, "x".repeat(63));
    let good = [
        r#"{"role":"_internal"}"#,
        r#"{"role":".x"}"#,
        r#"{"role":"-0"}"#,
        r#"{"role":""}"#,
        r#"{"a/b/c-":"d"}"#,
        &longest,
    ];
    for labels in good {
        assert_eq!((endpoint(labels), v3(labels)), (1, 1), "{labels}");
    }
    let too_long = format!(r#"{{"a":"_{}"}}"#, "x".repeat(62));
    for labels in [
        r#"{"role":"x_"}"#,
        r#"{"a b":"c"}"#,
        r#"{"a":"-"}"#,
        &too_long,
    ] {
        assert_eq!((endpoint(labels), v3(labels)), (0, 0), "{labels}");
    }
    // Those of other kinds are not looked at.
    let labels = r#"{"metadata":{"labels":{"a b":"c d"}},"spec":{}}"#;
    policy(&format!("{V3}/globalnetworkpolicies/p"), labels);
    kept(&format!("{V1}/policy/profile/p/labels"), r#"{"a b":"c d"}"#);
}

#[test]
fn a_rule_that_can_match_nothing_leaves_the_others_in_force() {
    let nets = rule(
        r#"{"action":"Allow","source":{"nets":["10.0.0.0/8"]},"destination":{"nets":["2001:db8::/32"]}}"#,
    );
    assert_eq!(
        (nets.source.nets.len(), nets.destination.nets.len()),
        (1, 1)
    );
    let all = rule(r#"{"action":"Allow","source":{"notNets":["0.0.0.0/0"]}}"#);
    assert_eq!(all.source.not_nets.len(), 1);
    let services = rule(
        r#"{"action":"Allow","source":{"nets":["10.0.0.0/8"],"services":{"name":"s","namespace":"n"}}}"#,
    );
    assert!(services.source.selector.is_some());
    let key = format!("{V1}/policy/tier/default/policy/p");
    let value = r#"{"inbound_rules":[{"action":"allow","src_net":"10.0.0.0/8","dst_net":"2001:db8::/32"},
        {"action":"deny","src_net":"10.9.0.0/16"}]}"#;
    assert_eq!(policy(&key, value).ingress.len(), 2);
}

#[test]
fn criteria_of_icmp_do_without_the_protocol() {
    let excluded = rule(r#"{"action":"Deny","protocol":"TCP","notICMP":{"type":8}}"#);
    assert_eq!(excluded.not_icmp.unwrap().kind, 8);
    let asked = rule(r#"{"action":"Deny","icmp":{"type":8}}"#);
    assert_eq!(asked.icmp.unwrap().kind, 8);
    // A code alone has no effect.
    let code = rule(r#"{"action":"Deny","protocol":"ICMP","icmp":{"code":3}}"#);
    assert_eq!(code.icmp, None);
}

#[test]
fn a_rule_without_action_allows() {
    assert_eq!(rule("{}").action, Action::Allow);
}

#[test]
fn policies_that_run_early_need_no_more_words() {
    let kind = |text: &str| spec(text).kind;
    assert_eq!(kind(r#"{"doNotTrack":true}"#), PolicyKind::Untracked);
    assert_eq!(kind(r#"{"preDNAT":true}"#), PolicyKind::PreDnat);
    assert_eq!(
        kind(r#"{"preDNAT":true,"egress":[{"action":"Deny"}],"types":["Ingress","Egress"]}"#),
        PolicyKind::PreDnat
    );
    assert_eq!(
        kind(r#"{"doNotTrack":true,"preDNAT":true}"#),
        PolicyKind::Untracked
    );
    let types = spec(r#"{"types":["Ingress","Other"]}"#).types;
    let ingress = PolicyTypes {
        ingress: true,
        egress: false,
    };
    assert_eq!(types, ingress);
}

#[test]
fn a_workload_is_kept_whatever_surrounds_its_addresses() {
    let key = format!("{V1}/host/h1/workload/o/w/endpoint/e");
    let value = r#"{"state":"active","name":"cali1","ipv4_nets":["10.65.0.0/30"],"mac":"0200.5e00.5301",
        "ipv4_nat":[{"int_ip":"10.65.0.1","ext_ip":"198.51.100.7"},{"int_ip":"10.66.0.1","ext_ip":"198.51.100.8"}],
        "profile_ids":["a/b"],"labels":{"a b":"c"}}"#;
    let Resource::WorkloadEndpoint(endpoint) = kept(&key, value) else {
        panic!("an endpoint");
    };
    assert_eq!(endpoint.nets[0].to_string(), "10.65.0.0/30");
    assert_eq!(endpoint.nat.len(), 2);
    assert_eq!(endpoint.mac, Some([2, 0, 0x5e, 0, 0x53, 1]));
    let key = format!("{V3}/workloadendpoints/prod/host1-k8s-pod-eth0");
    let value = r#"{"spec":{"interfaceName":"cali1","ipNetworks":["10.0.0.1/32"],"ipv4Gateway":"10.0.0.0/24",
        "ipNATs":[{"internalIP":"10.0.0.1/32","externalIP":"198.51.100.7"},{"externalIP":"::1","internalIP":"10.0.0.1"}]}}"#;
    let Resource::WorkloadEndpoint(endpoint) = kept(&key, value) else {
        panic!("an endpoint");
    };
    assert_eq!(endpoint.nat, []);
}
