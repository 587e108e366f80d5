//! Holds `docs/configuration.md` to the table of options; `UPDATE_DOCS=1` rewrites it.

use std::path::Path;

#[test]
fn the_page_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let expected = tortie::config::document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == expected,
        "docs/configuration.md is not what the table of options says: run this test with UPDATE_DOCS=1"
    );
}
