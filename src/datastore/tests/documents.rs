//! Text to nodes, and nodes to text.

use proptest::prelude::*;

use super::{decode, good, problems};
use crate::datastore::{Node, Origin, decode_documents, decode_file};
use crate::model::{Place, Resource};

fn error(bytes: &[u8]) -> (usize, String) {
    let error = decode_file("f.yaml", bytes, Origin::File).unwrap_err();
    (error.line, error.reason)
}

fn tier(name: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}}}\n")
}

fn names(text: &str) -> Vec<String> {
    decode(text)
        .objects
        .iter()
        .map(|object| object.key.to_string())
        .collect()
}

#[test]
fn many_documents_lists_and_list_kinds_are_read_in_order() {
    let documents = format!("---\n{}---\n# nothing\n---\n{}...\n", tier("a"), tier("b"));
    assert_eq!(names(&documents), ["Tier(a)", "Tier(b)"]);
    let list = "- {apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: a}}\n\
                - {apiVersion: projectcalico.org/v3, kind: tier, metadata: {name: b}}\n";
    assert_eq!(names(list), ["Tier(a)", "Tier(b)"]);
    for (version, kind) in [("v1", "List"), ("projectcalico.org/v3", "TierList")] {
        let indented = list.replace("- {", "  - {");
        let listed = format!("apiVersion: {version}\nkind: {kind}\nitems:\n{indented}");
        assert_eq!(names(&listed), ["Tier(a)", "Tier(b)"], "{kind}");
    }
}

#[test]
fn json_is_read_even_where_yaml_is_stricter() {
    let json = "{\n\t\"apiVersion\": \"projectcalico.org/v3\",\n\t\"kind\": \"Tier\",\n\
                \t\"metadata\": {\"name\": \"a\", \"annotations\": {\"x\": \"\\ud83d\\ude00\"}}\n}\n";
    assert_eq!(names(json), ["Tier(a)"]);
    assert_eq!(names(&json.repeat(2)), ["Tier(a)", "Tier(a)"]);
}

#[test]
fn a_json_value_decodes_like_a_file() {
    let json = serde_json::json!({
        "apiVersion": "projectcalico.org/v3", "kind": "Tier",
        "metadata": {"name": "a"}, "spec": {"order": 10, "defaultAction": "Pass"},
    });
    let place = |_| Place::Key("/tiers/a".into());
    let node = Node::from_json(&json).unwrap();
    let decoded = decode_documents(&[node], &place, Origin::Datastore);
    let text = format!("{}spec: {{order: 10, defaultAction: Pass}}\n", tier("a"));
    assert_eq!(*decoded.objects[0].value, good(&text));
    assert_eq!(decoded.objects[0].place, Place::Key("/tiers/a".into()));
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let text = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\n\
                metadata: {name: a, labels: &l {x: &v one, y: two}}\n\
                spec: {nets: [10.0.0.0/8]}\n---\n";
    assert_eq!(problems(text), [""; 0]);
    let text = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata:\n  name: a\n  \
                annotations: &base {x: one, y: two}\n  labels: {<<: *base, y: three}\n";
    let Resource::NetworkSet(set) = good(text) else {
        panic!()
    };
    let labels: Vec<String> = set.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["x=one", "y=three"]);
}

#[test]
fn files_beyond_the_limits_are_refused() {
    assert_eq!(error(b"a: \"\xff\""), (1, "not UTF-8 text".to_owned()));
    assert_eq!(error(b"a: b\nc: [").0, 3);
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    assert_eq!(error(deep.as_bytes()).1, "nested more than 64 levels deep");
    let deep: Vec<String> = (0..100)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    let deep = deep.concat();
    assert_eq!(
        error(deep.as_bytes()),
        (64, "nested more than 64 levels deep".to_owned())
    );
    let bomb: String = (0..40)
        .map(|level| match level {
            0 => "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(),
            n => {
                let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
                format!("a{n}: &a{n} [{aliases}]\n")
            }
        })
        .collect();
    assert!(
        error(bomb.as_bytes()).1.starts_with("holds more than"),
        "{:?}",
        error(bomb.as_bytes())
    );
    assert_eq!(
        error(b"a: &a [*a]").1,
        "an alias stands within what it names"
    );
    let large = vec![b' '; (16 << 20) + 1];
    assert!(error(&large).1.starts_with("larger than"));
    let kinds = format!(
        "apiVersion: projectcalico.org/v3\nkind: {}\n",
        "List".repeat(100_000)
    );
    assert_eq!(problems(&kinds).len(), 1);
}

#[test]
fn documents_that_are_no_resources_are_reported() {
    assert_eq!(
        problems("just text"),
        [
            "1 : expected a map, found \"just text\"",
            "1 kind: must be present",
            "1 apiVersion: must be present",
        ]
    );
    assert_eq!(
        problems("kind: Tier\nmetadata: {name: a}\n"),
        ["1 apiVersion: must be present"]
    );
    assert_eq!(
        problems("\n\napiVersion: v2\nkind: Tier\n"),
        ["4 kind: unknown kind \"Tier\" of \"v2\""]
    );
    assert_eq!(
        problems("apiVersion: v1\nkind: ConfigMap\n"),
        ["2 kind: unknown kind \"ConfigMap\" of \"v1\""]
    );
}

#[test]
fn a_key_given_twice_spoils_the_resource() {
    let text = format!("{}spec:\n  order: 1\n  Order: 2\n", tier("a"));
    assert_eq!(problems(&text), ["6 spec.Order: given twice"]);
    let text = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata:\n  name: a\n  labels:\n    \
                x: a\n    X: b\n    x: c\n";
    assert_eq!(problems(text), ["8 metadata.labels.x: given twice"]);
}

#[test]
fn unknown_fields_are_told_and_null_is_absent() {
    let text = format!(
        "{}spec:\n  order: null\n  colour: red\nextra: 1\n",
        tier("a")
    );
    assert_eq!(
        problems(&text),
        [
            "~6 spec.colour: unknown field, ignored",
            "~7 extra: unknown field, ignored",
        ]
    );
    assert_eq!(decode(&text).objects.len(), 1);
}

#[test]
fn field_names_are_matched_without_regard_to_case() {
    let text =
        "APIVERSION: projectcalico.org/v3\nKind: Tier\nMetadata: {NAME: a}\nSPEC: {ORDER: 3}\n";
    let Resource::Tier(tier) = good(text) else {
        panic!()
    };
    assert!((tier.order.value() - 3.0).abs() < f64::EPSILON);
}

#[test]
fn problems_quote_values_briefly_and_are_limited_in_number() {
    let long = "x".repeat(10_000);
    let found = problems(&tier(&long));
    assert!(found[0].len() < 300, "{found:?}");
    let many: Vec<String> = (0..1000).map(|n| format!("f{n}: 1\n")).collect();
    let many = many.concat();
    assert_eq!(problems(&format!("{}{many}", tier("a"))).len(), 50);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_file("f.yaml", &bytes, Origin::File);
    }

    #[test]
    fn arbitrary_yaml_never_panics(text in "[-a-c:?&*!|>%@`'\"#{}\\[\\], \n\t<~0-9.\\\\]{0,120}") {
        let _ = decode_file("f.yaml", text.as_bytes(), Origin::File);
    }

    #[test]
    fn a_resource_with_arbitrary_fields_never_panics(
        kind in proptest::sample::select(crate::model::Kind::ALL.to_vec()),
        spec in "[-a-c:{}\\[\\], 0-9]{0,60}",
        name in "\\PC{0,20}",
        field in proptest::sample::select(vec![
            "ingress", "egress", "nets", "node", "ipNetworks", "types", "order", "selector", "ports",
        ]),
    ) {
        for version in ["v1", "projectcalico.org/v3"] {
            let kind = kind.as_str().replace("GlobalNetworkPolicy", if version == "v1" { "policy" } else { "GlobalNetworkPolicy" });
            let text = format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name:?}}}\nspec: {{{field}: [{spec}]}}\n"
            );
            let _ = decode_file("f.yaml", text.as_bytes(), Origin::File);
        }
    }

    #[test]
    fn a_document_cut_short_never_panics(cut in 0_usize..900) {
        let text = include_str!("guide.yaml");
        let _ = decode_file("f.yaml", text.as_bytes().get(..cut).unwrap_or_default(), Origin::File);
    }
}
