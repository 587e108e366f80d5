//! What is stored, and what is shown of it.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::super::contents::EtcdContents;
use super::super::keys::paths;
use super::super::stored::{Birth, information, tier, value};
use super::{V1, V3, read};
use crate::datastore::store::read_documents;
use crate::model::{Form, Kind, ResourceKey};

fn birth() -> Birth {
    Birth {
        time: "2026-01-02T03:04:05Z".to_owned(),
        uid: "00000000-0000-4000-8000-000000000000".to_owned(),
    }
}

/// Returns the key and the value of the one resource that a text holds.
fn stored(text: &str, before: Option<&Map<String, Json>>) -> (String, Map<String, Json>) {
    let written = read_documents("f", text.as_bytes()).unwrap().pop().unwrap();
    assert_eq!(written.problems, [], "{text}");
    let (key, resource) = (written.key.unwrap(), written.value.unwrap());
    let document = value(&written.document, &key, &resource, before, &birth());
    (paths(&key).concat(), document)
}

#[test]
fn every_kind_is_stored_as_calicoctl_stores_it_and_read_as_it_was_meant() {
    let text = include_str!("../../../../tests/kinds.yaml");
    let mut all = String::new();
    let mut count = 0;
    for written in read_documents("kinds.yaml", text.as_bytes()).unwrap() {
        let (key, resource) = (written.key.unwrap(), written.value.unwrap());
        if key.form == Form::V1 {
            continue;
        }
        let document = value(&written.document, &key, &resource, None, &birth());
        let (path, text) = (paths(&key).concat(), Json::Object(document).to_string());
        writeln!(all, "{path}\n{text}").unwrap();
        let (resources, problems) = read(&[(&path, &text)]);
        assert_eq!(problems, Vec::<String>::new(), "{text}");
        // The writer's labels are there for namespaced policy, and the time for a choice between configurations.
        let filled_in = [Kind::WorkloadEndpoint, Kind::FelixConfiguration].contains(&key.kind);
        let same = filled_in || resources[&key] == resource;
        assert!(same, "{text}: {:?} {resource:?}", resources[&key]);
        count += 1;
    }
    assert!(count > 14, "{count}");
    insta::assert_snapshot!(all);
}

#[test]
fn words_that_look_like_numbers_are_stored_as_the_text_that_they_are() {
    let (_, document) = stored(
        "{APIVersion: projectcalico.org/v3, kind: workloadendpoint, Metadata: {namespace: 7, Labels: {a: 1.0, b: true, c: 0x10}},
          spec: {node: 1, orchestrator: cni, containerID: 0012, endpoint: 3, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [8],
                 ports: [{name: 9, protocol: TCP, port: 80}]}}",
        None,
    );
    assert_eq!(document["kind"], json!("WorkloadEndpoint"));
    assert_eq!(document["metadata"]["name"], json!("1-cni-0012-3"));
    assert_eq!(document["metadata"]["namespace"], json!("7"));
    assert_eq!(
        document["metadata"]["labels"],
        json!({"a": "1.0", "b": "true", "c": "0x10", "projectcalico.org/namespace": "7", "projectcalico.org/orchestrator": "cni"})
    );
    let spec = &document["spec"];
    assert_eq!(
        (&spec["containerID"], &spec["profiles"], &spec["ports"][0]),
        (
            &json!("0012"),
            &json!(["8"]),
            &json!({"name": "9", "protocol": "TCP", "port": 80})
        )
    );
}

#[test]
fn a_change_keeps_what_a_client_does_not_decide() {
    let before = json!({
        "metadata": {
            "name": "p", "uid": "u", "creationTimestamp": "t", "generation": 3, "resourceVersion": "9",
            "labels": {"old": "1", "both": "1"}, "annotations": {"other.io/kept": "x"},
        },
        "spec": {"order": 1}, "status": {"conditions": []},
    });
    let text = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p, uid: other, resourceVersion: 9, labels: {both: '2'}}, spec: {}}";
    let (path, document) = stored(text, before.as_object());
    assert_eq!(path, format!("{V3}/globalnetworkpolicies/p"));
    assert_eq!(
        document["metadata"],
        json!({
            "name": "p", "uid": "u", "creationTimestamp": "t", "generation": 3,
            "labels": {"old": "1", "both": "2", "projectcalico.org/tier": "default"},
            "annotations": {"other.io/kept": "x", "projectcalico.org/metadata": "{\"name\":\"p\"}"},
        })
    );
    assert_eq!(document["status"], json!({"conditions": []}));
    assert_eq!(
        document["spec"],
        json!({"tier": "default", "types": ["Ingress"]})
    );
}

#[test]
fn a_cluster_says_that_it_is_ready_unless_somebody_has_said_anything() {
    let spec = |stored: Option<Json>| {
        let stored = stored.map(|spec| Map::from_iter([("spec".to_owned(), spec)]));
        information(stored.as_ref(), "g", &birth()).map(|document| document["spec"].clone())
    };
    let both = json!({"clusterGUID": "g", "datastoreReady": true});
    assert_eq!(spec(None), Some(both.clone()));
    assert_eq!(spec(Some(json!({}))), Some(both));
    assert_eq!(
        spec(Some(json!({"clusterGUID": "x", "datastoreReady": false}))),
        None
    );
    assert_eq!(
        spec(Some(
            json!({"datastoreReady": false, "calicoVersion": "v3"})
        )),
        Some(json!({"clusterGUID": "g", "datastoreReady": false, "calicoVersion": "v3"}))
    );
    let text = Json::Object(tier("kube-admin", 1_000, "Pass", &birth())).to_string();
    let (resources, problems) = read(&[(&format!("{V3}/tiers/kube-admin"), &text)]);
    assert_eq!((resources.len(), problems.len()), (1, 0));
}

#[test]
fn what_is_shown_can_be_written_again() {
    let mut contents = EtcdContents::default();
    let pairs = [
        (
            format!("{V3}/globalnetworkpolicies/p"),
            r#"{"kind":"GlobalNetworkPolicy","metadata":{"name":"x","annotations":{"projectcalico.org/metadata":"{}"}},"spec":{"order":1}}"#,
        ),
        (format!("{V3}/tiers/bad"), "{"),
        (
            format!("{V1}/host/n/endpoint/e"),
            r#"{"name":"eth0","labels":{"a":"b"},"profile_ids":null}"#,
        ),
        (
            format!("{V1}/policy/tier/default/policy/p"),
            r#"{"order":5,"selector":"","inbound_rules":[{"src_net":"10.0.0.0/8","action":"next-tier"}]}"#,
        ),
        (
            format!("{V1}/policy/profile/p/rules"),
            r#"{"outbound_rules":[{}]}"#,
        ),
        (format!("{V1}/policy/profile/p/tags"), r#"["t"]"#),
        (format!("{V1}/host/n/bird_ip"), "192.0.2.1"),
        (
            format!("{V1}/ipam/v4/pool/10.0.0.0-8"),
            r#"{"masquerade":true}"#,
        ),
        (format!("{V1}/config/LogPrefix"), "x"),
    ];
    for (number, (key, value)) in (1..).zip(&pairs) {
        contents.put(key.as_bytes(), value.as_bytes(), number);
    }
    contents.settle(100);
    assert_eq!(contents.keys().count(), 8);
    assert_eq!(contents.snapshot().problems.len(), 1);
    let mut all = String::new();
    for (key, value) in &contents.snapshot().objects {
        let Some(document) = contents.document(key) else {
            // Options of the v1 form are no resource of it.
            assert_eq!(
                key,
                &ResourceKey::v1(Kind::FelixConfiguration, "", "default")
            );
            continue;
        };
        let text = Json::Object(document.fields).to_string();
        writeln!(all, "{}: {text}", document.version).unwrap();
        let again = read_documents("f", text.as_bytes()).unwrap().pop().unwrap();
        assert_eq!(
            (again.key.as_ref(), again.problems.as_slice()),
            (Some(key), [].as_slice())
        );
        // Only what is written anew gets types that it does not have.
        if key.form == Form::V1 {
            assert_eq!(again.value.as_ref(), Some(value), "{text}");
        }
    }
    insta::assert_snapshot!(all);
}
