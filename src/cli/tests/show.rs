//! What is shown can be read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::datastore::{Decoded, Origin, decode_file, read_directory};
use crate::model::Form;

fn shown(key: &ResourceKey, value: &Resource) -> String {
    Value::Object(resource(key, value)).to_string()
}

fn read(text: &str) -> Decoded {
    decode_file("shown", text.as_bytes(), Origin::File).expect("a document")
}

/// Returns the directories of resources that the repository holds.
fn directories() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = std::fs::read_dir(root.join("tests/fixtures")).expect("fixtures");
    let fixtures = fixtures.map(|entry| entry.expect("an entry").path());
    std::iter::once(root.join("examples"))
        .chain(fixtures)
        .collect()
}

#[test]
fn what_was_understood_is_shown_so_that_it_is_understood_again() {
    let mut count = 0;
    for directory in directories() {
        for (key, value) in read_directory(&directory).expect("a directory").objects {
            if key.form == Form::V3 || key.kind == Kind::WorkloadEndpoint {
                continue;
            }
            let text = shown(&key, &value);
            let decoded = read(&text);
            assert_eq!(decoded.problems, [], "{text}");
            let again = &decoded.objects[0];
            assert_eq!((again.key.kind, &again.key.name), (key.kind, &key.name));
            count += 1;
        }
    }
    assert!(count > 2, "{count}");
}

#[test]
fn every_field_is_shown() {
    let texts = [
        r#"{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"p"},
            "spec":{"tier":"t","order":1.5,"selector":"has(a)","types":["Ingress"],
            "applyOnForward":true,"preDNAT":true,"ingress":[{"action":"Log","ipVersion":4,
            "protocol":"TCP","notProtocol":"UDPLite","source":{"nets":["10.0.0.0/8"],
            "notNets":["10.1.0.0/16"],"selector":"has(b)","notSelector":"has(c)",
            "ports":[1,"2:3","four"],"notPorts":[5]},"destination":{"ports":[6]}},
            {"action":"Pass","protocol":"ICMP","icmp":{"type":8,"code":0},"notICMP":{"type":3}},
            {"action":"Deny","protocol":1},{"action":"Allow","protocol":"ICMPv6"}]}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"u"},
            "spec":{"applyOnForward":true,"doNotTrack":true,"egress":[{"action":"Allow"}]}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"t"},
            "spec":{"order":-2,"defaultAction":"Pass"}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"Profile","metadata":{"name":"p"},
            "spec":{"labelsToApply":{"a":"b"},"ingress":[{"action":"Allow"}],
            "egress":[{"action":"Deny"}]}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"HostEndpoint",
            "metadata":{"name":"h","labels":{"a":"b"}},"spec":{"node":"n","interfaceName":"*",
            "expectedIPs":["192.0.2.1","2001:db8::1"],"profiles":["p"]}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"n",
            "labels":{"a":"b"}},"spec":{}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"p"},
            "spec":{"cidr":"10.0.0.0/8","natOutgoing":true,"disabled":true}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"FelixConfiguration",
            "metadata":{"name":"default","annotations":{"a":"b"}},"spec":{}}"#,
        r#"{"apiVersion":"projectcalico.org/v3","kind":"ClusterInformation",
            "metadata":{"name":"default"},"spec":{"datastoreReady":false}}"#,
    ];
    for text in texts {
        let decoded = read(text);
        assert_eq!(decoded.problems, [], "{text}");
        let first = &decoded.objects[0];
        let again = read(&shown(&first.key, &first.value));
        assert_eq!(again.problems, [], "{text}");
        assert_eq!(again.objects[0].key, first.key);
        assert_eq!(again.objects[0].value, Arc::clone(&first.value), "{text}");
    }
}

#[test]
fn what_v3_cannot_say_is_shown_as_near_as_can_be() {
    let decoded = read(
        "{apiVersion: v1, kind: profile, metadata: {name: p, tags: [t], labels: {a: b}}, spec: {}}",
    );
    let first = &decoded.objects[0];
    assert_eq!(
        shown(&first.key, &first.value),
        r#"{"apiVersion":"projectcalico.org/v3","kind":"Profile","metadata":{"name":"p"},"spec":{"labelsToApply":{"a":"b","t":""}}}"#
    );
}
