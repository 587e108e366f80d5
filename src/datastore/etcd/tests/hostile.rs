//! Keys and values that nobody means well with.

use proptest::prelude::*;

use super::super::fold::Fold;
use super::super::keys::{Part, Target};
use super::{V1, V3, read, refused};
use crate::model::{Place, Problem, ResourceKey, Severity};

/// No line about a value is longer, in bytes, whatever its key and its words: the key has up to 2 KiB and may be
/// named twice.
const LONGEST_LINE: usize = 8192;
/// The parts of keys that mean something.
const WORDS: [&str; 22] = [
    "",
    "/",
    "Ready",
    "config",
    "host",
    "h",
    "endpoint",
    "workload",
    "policy",
    "profile",
    "tier",
    "default",
    "metadata",
    "rules",
    "tags",
    "labels",
    "ipam",
    "v4",
    "pool",
    "10.0.0.0-8",
    "%2f%25",
    "é",
];
/// The key and value of a good object, beside which the others are put.
const GOOD: (&str, &str) = ("/calico/v1/policy/tier/default/policy/good", "{}");

/// Good values, one of each form.
fn good() -> Vec<(String, &'static str)> {
    [
        ("policy/tier/default/policy/x", r#"{"order":100,"selector":"role == \"web\" && has(env)","untracked":false,"inbound_rules":[{"action":"allow","protocol":"tcp","dst_ports":[80,"8000:8099"],"src_net":"10.0.0.0/8"},{"action":"deny","protocol":"udp","!src_selector":"role == 'dns'","!dst_ports":[53]},{"action":"allow","protocol":"icmp","icmp_type":8,"icmp_code":0},{"action":"next-tier","src_tag":"mgmt","ip_version":4}],"outbound_rules":[{}]}"#),
        ("host/h/endpoint/x", r#"{"name":"eth0","expected_ipv4_addrs":["192.0.2.10"],"expected_ipv6_addrs":["2001:db8::10"],"labels":{"role":"web"},"profile_ids":["base"]}"#),
        ("host/h/workload/o/w/endpoint/x", r#"{"state":"active","name":"cali1234","mac":"02:00:00:00:00:01","profile_ids":["p1"],"ipv4_nets":["10.65.0.2/32"],"ipv6_nets":[],"labels":{"app":"db"},"ipv4_nat":[{"int_ip":"10.65.0.2","ext_ip":"198.51.100.7"}]}"#),
        ("policy/profile/x/rules", r#"{"inbound_rules":[{"action":"deny"}],"outbound_rules":[]}"#),
        ("policy/profile/x/tags", r#"["a","b"]"#),
        ("policy/profile/x/labels", r#"{"a":"b"}"#),
        ("policy/tier/x/metadata", r#"{"order":10}"#),
        ("ipam/v4/pool/10.0.0.0-8", r#"{"cidr":"10.0.0.0/8","masquerade":true,"ipam":true}"#),
        ("host/h/bird_ip", "192.0.2.1"),
        ("config/LogPrefix", "x"),
        ("Ready", "true"),
    ]
    .map(|(key, value)| (format!("{V1}/{key}"), value))
    .into_iter()
    .chain(
        [
            ("globalnetworkpolicies/x", r#"{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"x","annotations":{"projectcalico.org/metadata":"{\"name\":\"x\"}"}},"spec":{"tier":"default","order":10,"selector":"role == 'cache'","types":["Ingress","Egress"],"doNotTrack":true,"applyOnForward":true,"ingress":[{"action":"Allow","protocol":"TCP","source":{"nets":["10.0.0.0/8"],"namespaceSelector":"all()"},"destination":{"ports":[11211,"web"]}}],"egress":[{"action":"Allow","protocol":6,"source":{"ports":[11211]},"destination":{}}]}}"#),
            ("networkpolicies/prod/x", r#"{"spec":{"selector":"all()","ingress":[{"action":"Pass","source":{"serviceAccounts":{"names":["a"],"selector":"has(b)"}}}]}}"#),
            ("hostendpoints/x", r#"{"metadata":{"name":"x","labels":{"role":"gateway"}},"spec":{"node":"gw1","interfaceName":"eth0","expectedIPs":["192.0.2.1"],"profiles":["p"],"ports":[{"name":"m","protocol":"TCP","port":9100}]}}"#),
            ("workloadendpoints/prod/n-k8s-p-e", r#"{"spec":{"node":"n","orchestrator":"k8s","pod":"p","endpoint":"e","interfaceName":"cali0","ipNetworks":["10.0.0.1/32"],"profiles":["kns.prod"],"mac":"02:00:00:00:00:01","ports":[{"name":"m","protocol":"UDP","port":1}]}}"#),
            ("networksets/prod/x", r#"{"metadata":{"labels":{"kind":"ext"}},"spec":{"nets":["203.0.113.0/24","2001:db8::/32"]}}"#),
            ("profiles/x", r#"{"spec":{"ingress":[{"action":"Allow"}],"egress":[{"action":"Deny"}],"labelsToApply":{"a":"b"}}}"#),
            ("tiers/x", r#"{"spec":{"order":1000000,"defaultAction":"Pass"}}"#),
            ("ippools/x", r#"{"spec":{"cidr":"10.0.0.0/16","natOutgoing":true}}"#),
            ("nodes/x", r#"{"metadata":{"labels":{"a":"b"}},"spec":{"bgp":{"ipv4Address":"192.0.2.1/24"}}}"#),
            ("felixconfigurations/x", r#"{"spec":{"nodeSelector":"all()","logPrefix":"x","failsafeInboundHostPorts":[{"protocol":"TCP","port":22,"net":"10.0.0.0/8"}],"reportingInterval":"0s"}}"#),
            ("clusterinformations/default", r#"{"spec":{"clusterGUID":"0","datastoreReady":true}}"#),
        ]
        .map(|(key, value)| (format!("{V3}/{key}"), value)),
    )
    .collect()
}

/// Puts a value beside a good one, and demands what holds for every value; returns what is wrong with it.
fn put(key: &[u8], value: &[u8]) -> Result<Vec<Problem>, TestCaseError> {
    let mut fold = Fold::default();
    fold.put(GOOD.0.as_bytes(), GOOD.1.as_bytes());
    fold.put(key, value);
    let problems = fold.settle().problems;
    let target = Target::of(key);
    for problem in &problems {
        let line = problem.to_string();
        prop_assert!(line.len() <= LONGEST_LINE, "{} bytes", line.len());
        // What is wrong with a selector is shown below it.
        let control = |c: char| c.is_control() && c != '\n';
        prop_assert!(!line.contains(control), "{line:?}");
        let named = matches!(&problem.place, Place::Key(place) if place.as_bytes() == key);
        prop_assert!(named, "{line}");
        prop_assert_eq!(
            problem.object.as_ref(),
            target.as_ref().map(|target| &target.key)
        );
    }
    let resources = fold.resources();
    let neighbour = Target::of(GOOD.0.as_bytes()).map(|target| target.key);
    prop_assert!(
        key == GOOD.0.as_bytes() || neighbour.is_some_and(|it| resources.contains_key(&it))
    );
    match target {
        // It is there, or the reason why it counts as absent is told.
        Some(Target {
            key,
            part: Part::Whole,
        }) => {
            let refused = problems.iter().any(|it| it.severity == Severity::Rejected);
            let skipped = resources.contains_key(&key) || refused;
            prop_assert!(skipped, "{key}: neither there nor refused");
            prop_assert!(
                !(resources.contains_key(&key) && refused),
                "{key}: {problems:?}"
            );
        }
        Some(Target {
            part: Part::Piece(_),
            ..
        }) => {}
        None => prop_assert!(problems.is_empty()),
    }
    Ok(problems)
}

/// Something done to the bytes of a value.
#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match self {
            Self::Set(at, byte) => {
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = *byte;
                }
            }
            Self::Insert(at, more) => {
                let at = at % (bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at % length;
                bytes.drain(at.min(bytes.len())..(at + count).min(bytes.len()));
            }
            Self::Repeat(at, count, times) => {
                let at = at % length;
                let part = bytes[at.min(bytes.len())..(at + count).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, part);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        "null",
        "\"",
        "\\u0000",
        "\\ud800",
        "1e999",
        "-1",
        "0",
        "18446744073709551616",
        "{}",
        "[[[[[[[[",
        "\"a\":",
        "true",
        "1.5",
        "\u{7f}",
        "\"\"",
        "(((((",
        "&&",
        "::/0",
        "65536",
        "\n",
    ]);
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<usize>(), words).prop_map(|(at, word)| Damage::Insert(at, word.into())),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 0..8))
            .prop_map(|(at, more)| Damage::Insert(at, more)),
        (any::<usize>(), 1_usize..40).prop_map(|(at, count)| Damage::Remove(at, count)),
        (any::<usize>(), 1_usize..60, 1_usize..60)
            .prop_map(|(at, count, times)| Damage::Repeat(at, count, times)),
    ]
}

/// Any JSON, of words that fields have.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let word = || {
        prop::sample::select(vec![
            "spec",
            "metadata",
            "name",
            "labels",
            "annotations",
            "ingress",
            "inbound_rules",
            "action",
            "allow",
            "Allow",
            "protocol",
            "tcp",
            "source",
            "destination",
            "ports",
            "dst_ports",
            "nets",
            "selector",
            "has(",
            "order",
            "icmp",
            "types",
            "profiles",
            "",
            "node",
            "interfaceName",
            "ipNetworks",
            "kind",
            "apiVersion",
            "SPEC",
            "tags",
        ])
    };
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word().prop_map(Into::into),
        ".{0,80}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::vec((word(), inner), 0..8).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                serde_json::Value::Object(fields.collect())
            }),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known: Vec<String> = good().into_iter().map(|(key, _)| key).collect();
    prop_oneof![
        prop::sample::select(known),
        (
            any::<bool>(),
            prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..9)
        )
            .prop_map(|(v3, words)| format!(
                "{}/{}",
                if v3 { V3 } else { V1 },
                words.join("/")
            )),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_taken(key in prop::collection::vec(any::<u8>(), 0..60), value in prop::collection::vec(any::<u8>(), 0..60)) {
        put(&key, &value)?;
        let below: Vec<u8> = [V1.as_bytes(), b"/", &key].concat();
        put(&below, &value)?;
        let below: Vec<u8> = [V3.as_bytes(), b"/globalnetworkpolicies/", &key].concat();
        put(&below, &value)?;
    }

    #[test]
    fn any_json_at_any_key_is_taken(key in key(), value in json()) {
        put(key.as_bytes(), value.to_string().as_bytes())?;
    }

    #[test]
    fn damaged_values_are_taken(which in 0..22_usize, damages in prop::collection::vec(damage(), 1..6)) {
        let (key, value) = &good()[which];
        let mut bytes = value.as_bytes().to_vec();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        put(key.as_bytes(), &bytes)?;
    }
}

#[test]
fn the_values_that_are_damaged_are_good() {
    assert_eq!(good().len(), 22);
    for (key, value) in good() {
        let problems = put(key.as_bytes(), value.as_bytes()).expect("it is taken");
        assert_eq!(problems, Vec::new(), "{key}");
    }
}

#[test]
fn deep_wide_and_huge_values_are_refused_with_a_reason() {
    let v1 = format!("{V1}/policy/tier/default/policy/x");
    let v3 = format!("{V3}/globalnetworkpolicies/x");
    let nested = |depth: usize| {
        format!(
            r#"{{"spec":{{"x":{}{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    for (key, value, reason) in [
        (&v3, "[".repeat(1 << 20), "recursion limit exceeded"),
        (&v3, nested(300), "recursion limit exceeded"),
        (&v3, nested(100), "nested more than 64 levels deep"),
        (
            &v1,
            format!(r#"{{"order":{}}}"#, "9".repeat(1000)),
            "number out of range",
        ),
        (&v1, r#"{"order":1e999}"#.to_owned(), "number out of range"),
        (
            &v1,
            format!(r#"{{"inbound_rules":[{}]}}"#, vec!["{}"; 100_001].join(",")),
            "more than 100000 objects",
        ),
        (
            &v3,
            format!("[{}]", vec!["0"; 1_000_002].join(",")),
            "more than 1000000 values",
        ),
        (&v3, format!("\"{}\"", "a".repeat(8 << 20)), "larger than"),
        (&v3, "{\"spec\":{},\"spec\":".to_owned(), "EOF"),
    ] {
        let said = refused(key, &value);
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(said.contains(key.as_str()) && said.len() < 300, "{said}");
    }
}

#[test]
fn of_a_field_that_is_given_twice_the_last_counts() {
    let key = format!("{V1}/policy/tier/default/policy/x");
    let value = r#"{"selector":"((","selector":"all()","order":1,"order":2}"#;
    let (resources, problems) = read(&[(&key, value)]);
    assert_eq!(problems, Vec::<String>::new());
    assert!(resources.contains_key(&ResourceKey::v1(
        crate::model::Kind::GlobalNetworkPolicy,
        "",
        "x"
    )));
}

#[test]
fn a_value_of_many_rules_takes_what_they_take() {
    let key = format!("{V1}/policy/tier/default/policy/x");
    let value = format!(r#"{{"inbound_rules":[{}]}}"#, vec!["{}"; 99_999].join(","));
    let (resources, problems) = read(&[(&key, &value)]);
    assert_eq!((resources.len(), problems.len()), (1, 0));
}

#[test]
fn long_words_are_shortened_where_they_are_told_of() {
    let long = "a".repeat(1 << 20);
    for (key, value) in [
        (
            "globalnetworkpolicies/x",
            format!(r#"{{"spec":{{"selector":"{long}"}}}}"#),
        ),
        (
            "globalnetworkpolicies/x",
            format!(r#"{{"spec":{{"tier":"{long}"}}}}"#),
        ),
        (
            "globalnetworkpolicies/x",
            format!(r#"{{"spec":{{"ingress":[{{"action":"{long}"}}]}}}}"#),
        ),
        (
            "globalnetworkpolicies/x",
            format!(r#"{{"metadata":{{"labels":{{"{long}":1}}}},"spec":{{"{long}":1}}}}"#),
        ),
        ("globalnetworkpolicies/x", format!(r#"{{"kind":"{long}"}}"#)),
        (
            "hostendpoints/x",
            format!(r#"{{"spec":{{"node":"n","interfaceName":"{long}"}}}}"#),
        ),
        (
            "hostendpoints/x",
            format!(r#"{{"spec":{{"node":"{long}","interfaceName":"e","profiles":["{long}"]}}}}"#),
        ),
        (
            "networksets/prod/x",
            format!(r#"{{"spec":{{"nets":["{long}"]}}}}"#),
        ),
        ("ippools/x", format!(r#"{{"spec":{{"cidr":"{long}"}}}}"#)),
        (
            "tiers/x",
            format!(r#"{{"spec":{{"defaultAction":"{long}"}}}}"#),
        ),
        (
            "felixconfigurations/x",
            format!(r#"{{"spec":{{"nodeSelector":"{long} =="}}}}"#),
        ),
    ] {
        let problems =
            put(format!("{V3}/{key}").as_bytes(), value.as_bytes()).expect("it is taken");
        for problem in problems {
            assert!(problem.to_string().len() < 600, "{key}: {problem}");
        }
    }
}
