//! Nothing that a source says makes the room panic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{file, host1};
use crate::config::felix_configuration::felix_configuration;
use crate::config::options;
use crate::config::resolve::resolve;
use crate::config::{Layers, ini};

/// Texts that come close to what parsers expect.
fn near_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-+0-9xXob_.eE/:,\\[\\]]{0,24}",
        "(tcp|udp|x)?:?\\[?[0-9a-f:./]{0,20}\\]?:?[0-9]{0,6}",
        "(https?://)?[a-z.:/@?#]{0,20}(,http://a)?",
        "/[(\\[*+?a-z]{0,10}/",
        "[a-z]{1,4}=[0-9.]{0,8}[a-zµ]{0,2}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_files(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let parsed = ini::parse(&bytes);
        let _ = resolve(&Layers { file: parsed.values, ..host1() }, None);
    }

    #[test]
    fn lines_of_known_options(text in "([\"'`a-zA-Z =:;#\\\\\\[\\]\n]{0,30}\n?){0,6}") {
        let parsed = ini::parse(text.as_bytes());
        prop_assert!(parsed.errors.iter().all(|(line, _)| *line <= text.lines().count()));
    }

    #[test]
    fn arbitrary_values_of_every_option(value in near_value()) {
        let layers = Layers {
            datastore_global: options::all().map(|row| (row.name.to_owned(), value.clone())).collect(),
            ..file(&[])
        };
        let first = resolve(&layers, None);
        prop_assert!(!first.fatal, "{:?}", first.problems);
        let local = Layers { file: layers.datastore_global.clone(), ..host1() };
        let _ = resolve(&local, Some(&first));
    }

    #[test]
    fn arbitrary_objects(
        values in proptest::collection::vec(near_value(), 3),
        number in any::<f64>(),
        pick in 0_usize..8,
    ) {
        let json = match pick {
            0 => serde_json::json!(values[0]),
            1 => serde_json::json!(number),
            2 => serde_json::json!(values),
            3 => serde_json::json!({ "min": number, "max": values[0] }),
            4 => serde_json::json!([{ "protocol": values[0], "net": values[1], "port": number }]),
            5 => serde_json::json!([[values[0]], { "name": values[1], "timeout": [] }]),
            6 => serde_json::json!([null, { "port": 1, "net": values[2] }]),
            _ => serde_json::json!({ values[0].clone(): values[1], "a": { "b": values[2] } }),
        };
        let spec = options::all().map(|row| (row.name.to_owned(), json.clone())).collect();
        let annotations =
            BTreeMap::from([(format!("config.projectcalico.org/{}", values[0]), values[1].clone())]);
        let (raw, _) = felix_configuration(&spec, &annotations);
        let _ = resolve(&Layers { datastore_per_host: raw, ..host1() }, None);
    }
}
