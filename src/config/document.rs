//! The reference page of all options.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::options::{self, OnFail, Row, Scope, Status, Topic, Zero};

const INTRODUCTION: &str = include_str!("document_introduction.md");

/// Returns the page `docs/configuration.md`, made from the table of options.
pub fn document() -> String {
    let mut topics: BTreeMap<Topic, BTreeMap<String, &Row>> = BTreeMap::new();
    for row in options::all() {
        topics
            .entry(row.topic)
            .or_default()
            .insert(row.name.to_lowercase(), row);
    }
    let mut page = INTRODUCTION.to_owned();
    for (topic, rows) in topics {
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "\n## {}\n\n| Option | Type | Default | Flags | Status | Meaning |\n\
             | --- | --- | --- | --- | --- | --- |\n",
            topic.title()
        );
        for row in rows.values() {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} |",
                names(row),
                cell(&(row.describe)()),
                default(row),
                flags(row),
                status(row),
                cell(row.doc)
            );
        }
    }
    page
}

fn names(row: &Row) -> String {
    let mut names = format!("`{}`", row.name);
    for alias in row.aliases {
        let _ = write!(names, ", also `{alias}`");
    }
    names
}

fn default(row: &Row) -> String {
    match row.default {
        "" => "-".to_owned(),
        text => format!("`{}`", cell(text)),
    }
}

fn flags(row: &Row) -> String {
    let mut flags = Vec::new();
    if row.flags.scope == Scope::Local {
        flags.push("L");
    }
    if row.flags.on_fail == OnFail::Die {
        flags.push("D");
    }
    if row.flags.zero == Zero::Refused {
        flags.push("N");
    }
    flags.join(" ")
}

fn status(row: &Row) -> String {
    match row.status {
        Status::Works => "works".to_owned(),
        Status::Planned => "accepted; works in a later release".to_owned(),
        Status::Accepted(why) => format!("accepted, no effect: {}", cell(why)),
    }
}

/// Makes a text fit for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
