//! The configuration file, on to a resolved configuration.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tortie::config::{changes, load, resolve};
use tortie_fuzz::bounded;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("tortie-fuzz-{}.cfg", std::process::id())));

fn check() {
    let mut layers = load(&FILE);
    // What the machine itself says is not under test.
    layers.tortie_environment.clear();
    layers.felix_environment.clear();
    layers.client_environment.clear();
    let first = resolve(&layers, None);
    for problem in first.problems.iter().chain(&layers.problems) {
        let line = problem.to_string();
        assert!(line.len() <= 8192, "{} bytes: {line}", line.len());
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let second = resolve(&layers, Some(&first));
    assert!(changes(&first.config, &second.config).is_empty());
    assert_eq!(first.fatal, second.fatal);
    // The datastore's word is taken in the same way, and can never keep the daemon from running.
    let mut remote = layers.clone();
    remote.datastore_global = std::mem::take(&mut remote.file);
    remote.problems.clear();
    let remote = resolve(&remote, Some(&first));
    assert!(!remote.fatal || first.fatal, "{:?}", remote.problems);
}

fuzz_target!(|bytes: &[u8]| {
    if std::fs::write(&*FILE, bytes).is_ok() {
        bounded((8 << 20) + 1000 * bytes.len(), check);
    }
});
