//! Holds the listing in `docs/nftables-layout.md` to what the examples are rendered to; `UPDATE_DOCS=1`
//! rewrites it.

use std::path::Path;

use tortie::agent::{calc_settings, render_settings};
use tortie::calc::Calc;
use tortie::config::{Layers, resolve};
use tortie::datastore::read_directory;
use tortie::model::Update;
use tortie::nft::{Elements, Extent, Ruleset, ruleset_text};
use tortie::render::{Renderer, table_name};

const BEGIN: &str = "<!-- listing:begin -->\n";
const END: &str = "<!-- listing:end -->\n";
/// The host that the examples are for.
const HOSTNAME: &str = "my-host";

#[test]
fn the_listing_is_what_the_examples_are_rendered_to() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = repository.join("docs/nftables-layout.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let listing = rendered(&repository.join("examples"));
    let expected = format!("{before}{BEGIN}\n```text\n{listing}```\n\n{END}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(
            page == expected,
            "the listing in docs/nftables-layout.md is not what the examples are rendered to: run this \
             test with UPDATE_DOCS=1"
        );
    }
}

/// Renders the resources of a directory with the default configuration.
fn rendered(directory: &Path) -> String {
    let mut layers = Layers::default();
    let name = ("FelixHostname".to_owned(), HOSTNAME.to_owned());
    layers.command_line.extend([name]);
    let config = resolve(&layers, None).config;
    let snapshot = match read_directory(directory) {
        Ok(snapshot) => snapshot,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(snapshot.problems, [], "the examples have no problems");
    let mut calc = Calc::new(calc_settings(&config));
    for (key, value) in snapshot.objects {
        let value = Some(value);
        calc.apply(Update { key, value });
    }
    let settings = match render_settings(&config) {
        Ok(settings) => settings,
        Err(error) => panic!("{error}"),
    };
    let objects = Renderer::new(settings).render(&calc.take_whole(), &calc);
    let mut ruleset = Ruleset::default();
    if let Err(error) = ruleset.apply(&objects, Extent::Whole) {
        panic!("{error}");
    }
    ruleset_text(&table_name(), &ruleset, Elements::All)
}
