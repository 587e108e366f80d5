//! Invariants of the table of options.

use std::collections::BTreeSet;

use super::{clean, host1};
use crate::config::options;
use crate::config::schema::Config;
use crate::config::types::Input;

#[test]
fn names_are_unique_and_every_default_parses() {
    let mut names = BTreeSet::new();
    for row in options::all() {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(
                names.insert(name.to_ascii_lowercase()),
                "{name} is twice in the table"
            );
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            assert_eq!(
                options::find(&name.to_ascii_uppercase()).unwrap().name,
                row.name
            );
        }
        let mut config = Config::default();
        if !row.default.is_empty() {
            (row.set)(&mut config, Input::Text(row.default))
                .unwrap_or_else(|reason| panic!("default of {}: {reason}", row.name));
        }
        (row.set)(&mut config, Input::Zero).unwrap();
        assert!(row.doc.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn names_that_the_code_refers_to_are_in_the_table() {
    for name in [
        options::FELIX_HOSTNAME,
        options::DATASTORE_TYPE,
        options::ETCD_PASSWORD,
    ] {
        assert_eq!(options::find(name).map(|row| row.name), Some(name));
    }
    assert!(options::all().any(options::Row::is_secret));
}

/// Every option of Felix 1.4, 2.2 and 3.33, and those of tortie alone.
const KNOWN: &str = include_str!("known_options.txt");

#[test]
fn every_option_of_felix_is_known() {
    let missing: Vec<_> = KNOWN
        .split_whitespace()
        .filter(|name| options::find(name).is_none())
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn a_host_without_settings_has_no_problems() {
    let resolution = clean(&host1());
    assert_eq!(resolution.config, Config::default_for("host1"));
    insta::assert_debug_snapshot!(resolution.config);
    assert_eq!(resolution.provenance.len(), options::all().count());
}
