//! Keys and values of etcd, in both forms, as they come and go.
//!
//! Each line of the input is a change: a key, a tab and its value; a key alone, which is deleted; an empty line tells
//! the daemon. What begins with none of the two forms' prefixes stands below that of v3.

#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tortie::datastore::Written;
use tortie::datastore::fuzzing::{Cluster, contents, stored};
use tortie::model::{Form, Place, Problem, Resource, ResourceKey, Severity, Update};
use tortie_fuzz::bounded;

type Resources = BTreeMap<ResourceKey, Arc<Resource>>;

fn take(resources: &mut Resources, updates: Vec<Update>) {
    for Update { key, value } in updates {
        match value {
            Some(value) => {
                let before = resources.insert(key, value.clone());
                assert_ne!(before, Some(value), "an update changes something");
            }
            None => drop(resources.remove(&key)),
        }
    }
}

fn look(problems: &[Problem]) {
    for problem in problems {
        let line = problem.to_string();
        assert!(line.len() <= 8192, "{} bytes: {line}", line.len());
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!line.contains(control), "{line:?}");
        assert!(matches!(problem.place, Place::Key(_)), "{line}");
    }
}

fn check(bytes: &[u8]) {
    let mut cluster = Cluster::default();
    let mut pairs: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut told = Resources::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            let (updates, problems) = cluster.settle();
            take(&mut told, updates);
            look(&problems);
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b'\t');
        let key = parts.next().unwrap_or_default();
        let key = if key.starts_with(b"/") {
            key.to_vec()
        } else {
            [b"/calico/resources/v3/projectcalico.org/", key].concat()
        };
        match parts.next() {
            Some(value) => {
                cluster.put(&key, value);
                pairs.insert(key, value.to_vec());
            }
            None => {
                cluster.delete(&key);
                pairs.remove(&key);
            }
        }
    }
    let (updates, problems) = cluster.settle();
    take(&mut told, updates);
    look(&problems);

    let mut scratch = Cluster::default();
    for (key, value) in &pairs {
        scratch.put(key, value);
    }
    let contents = contents(&pairs);
    let at_once: Resources = contents.snapshot().objects.iter().cloned().collect();
    assert_eq!(at_once, told, "one by one and at once");
    let (updates, problems) = cluster.replace(scratch);
    assert_eq!((updates, problems), (vec![], vec![]), "nothing has changed");

    let place = Place::Key("k".into());
    for key in contents.keys() {
        let Some(document) = contents.document(key) else {
            continue;
        };
        let fields = serde_json::Value::Object(document.fields);
        let written = Written::from_json(&fields, &place);
        let written = written.unwrap_or_else(|error| panic!("{error}: {fields}"));
        let (Some(found), Some(value)) = (&written.key, &written.value) else {
            continue;
        };
        if found.form == Form::V1 || found != key || !told.contains_key(key) {
            continue;
        }
        // What is shown of a resource can be written again.
        let (path, text) = stored(&written.document, found, value);
        let mut again = Cluster::default();
        again.put(path.as_bytes(), text.as_bytes());
        let (updates, problems) = again.settle();
        let rejected = |problem: &&Problem| problem.severity == Severity::Rejected;
        assert_eq!(problems.iter().find(rejected), None, "{text}");
        let [
            Update {
                key: back,
                value: Some(_),
            },
        ] = updates.as_slice()
        else {
            panic!("{updates:?}: {path} {text}");
        };
        assert_eq!(back, key, "{path} {text}");
    }
}

fuzz_target!(|bytes: &[u8]| bounded((16 << 20) + 4000 * bytes.len(), || check(bytes)));
