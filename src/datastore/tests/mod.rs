//! Tests of the room.

mod directory;
mod documents;
mod kinds;
mod rules;

use crate::datastore::{Decoded, Origin, decode_file};
use crate::model::{Place, Problem, Resource, Severity};

/// Decodes a file written by a person.
fn decode(text: &str) -> Decoded {
    decode_file("f.yaml", text.as_bytes(), Origin::File).unwrap()
}

/// Shows a problem as `line field: reason`, with `~` in front of a warning.
fn shown(problem: &Problem) -> String {
    let Place::File { line, .. } = &problem.place else {
        panic!("{problem:?}")
    };
    let mark = match problem.severity {
        Severity::Rejected => "",
        Severity::Warning => "~",
    };
    format!("{mark}{line} {}: {}", problem.field, problem.reason)
}

fn problems(text: &str) -> Vec<String> {
    decode(text).problems.iter().map(shown).collect()
}

/// Decodes one good resource.
fn good(text: &str) -> Resource {
    let decoded = decode(text);
    assert_eq!(
        decoded.problems.iter().map(shown).collect::<Vec<_>>(),
        [""; 0],
        "{text}"
    );
    assert_eq!(decoded.objects.len(), 1, "{text}");
    (*decoded.objects[0].value).clone()
}

/// Asserts that a resource is rejected, with one problem whose text begins as given.
fn bad(text: &str, expected: &str) {
    let decoded = decode(text);
    let found: Vec<String> = decoded.problems.iter().map(shown).collect();
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    assert!(
        found[0].starts_with(expected),
        "{text}\n{}\ninstead of\n{expected}",
        found[0]
    );
    assert!(decoded.objects.is_empty(), "{text}");
}
