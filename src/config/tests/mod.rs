//! Tests of the room as a whole.

mod felix_configuration;
mod hostile;
mod ini;
mod precedence;
mod table;
mod values;

use std::collections::BTreeMap;

use super::layers::Layers;
use super::problem::Severity;
use super::resolve::{Resolution, resolve};

/// Makes a map of names and texts.
fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Makes the layers of a host named `host1` on which nothing is set.
fn host1() -> Layers {
    let mut layers = Layers {
        file_path: "felix.cfg".to_owned(),
        ..Layers::default()
    };
    layers.hostname.name = "host1".to_owned();
    layers
}

/// Makes the layers of that host with one file.
fn file(entries: &[(&str, &str)]) -> Layers {
    Layers {
        file: map(entries),
        ..host1()
    }
}

/// Returns the problems worse than a note, as text with their severity.
fn problems(resolution: &Resolution) -> Vec<String> {
    resolution
        .problems
        .iter()
        .filter(|problem| problem.severity > Severity::Note)
        .map(|problem| format!("{}: {problem}", problem.severity))
        .collect()
}

/// Resolves layers that nothing is wrong with.
fn clean(layers: &Layers) -> Resolution {
    let resolution = resolve(layers, None);
    assert_eq!(problems(&resolution), Vec::<String>::new());
    assert!(!resolution.fatal);
    resolution
}
