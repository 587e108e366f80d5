//! Files of resources: YAML and JSON, to resources and back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tortie::datastore::{Origin, decode_file, read_documents, write_yaml};
use tortie::model::Severity;
use tortie_fuzz::bounded;

/// Aliases may stand for two million values.
const BUDGET: usize = 512 << 20;

fn check(bytes: &[u8]) {
    let decoded = decode_file("f.yaml", bytes, Origin::File);
    let written = read_documents("f.yaml", bytes);
    let (decoded, written) = match (decoded, written) {
        (Ok(decoded), Ok(written)) => (decoded, written),
        (Err(decoded), Err(written)) => {
            assert_eq!(decoded, written);
            return;
        }
        (decoded, written) => panic!("{decoded:?}, but {written:?}"),
    };
    for problem in &decoded.problems {
        let line = problem.to_string();
        assert!(line.len() <= 8192, "{} bytes: {line}", line.len());
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!line.contains(control), "{line:?}");
    }
    let good = written.iter().filter_map(|it| it.value.as_ref());
    assert!(
        good.eq(decoded.objects.iter().map(|object| &object.value)),
        "both readings find the same resources"
    );
    for one in &written {
        assert!(!(one.value.is_some() && one.is_rejected()), "{one:?}");
        let text = write_yaml(&Value::Object(one.document.clone()));
        let again = read_documents("f.yaml", text.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("{error}: {text}"));
        let Some(value) = &one.value else { continue };
        // A document without a resource may be a list, once it is written alone.
        let [again] = again.as_slice() else {
            panic!("{} documents: {text}", again.len());
        };
        assert_eq!(again.document, one.document, "{text}");
        assert_eq!(again.value.as_ref(), Some(value), "{text}");
        assert_eq!(again.key, one.key, "{text}");
        let rejected = |problem: &&tortie::model::Problem| problem.severity == Severity::Rejected;
        assert_eq!(again.problems.iter().find(rejected), None, "{text}");
    }
}

fuzz_target!(|bytes: &[u8]| bounded(BUDGET, || check(bytes)));
