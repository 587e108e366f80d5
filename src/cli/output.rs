//! Writing to stdout and stderr.

use std::fmt;
use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

use crate::datastore::write_yaml;

/// The form in which data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines for people; also `ps` and `wide`, as calicoctl has it.
    #[value(aliases = ["ps", "wide"])]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Writes data to stdout. Where nobody reads any more, that is no error.
pub(super) fn data(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("write to stdout")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a line to stderr.
pub(super) fn note(line: fmt::Arguments<'_>) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Returns a value as JSON.
pub(super) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Returns a value as YAML.
pub(super) fn yaml(value: &Value) -> String {
    write_yaml(value)
}

/// Rows under a header.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table without rows.
    pub(super) fn new(header: &[&str]) -> Self {
        let header = header.iter().map(|name| (*name).to_owned()).collect();
        Self { rows: vec![header] }
    }

    /// Adds a row; an empty cell shows as a dash.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = String>) {
        let cell = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.chars()
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .collect()
            }
        };
        self.rows.push(row.into_iter().map(cell).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "{}", cells.join("   ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_its_lines_have_no_tail() {
        let mut table = Table::new(&["NAME", "NODE"]);
        table.push(["a-long-name".to_owned(), String::new()]);
        table.push(["\u{1b}[31m".to_owned(), "n".to_owned()]);
        assert_eq!(
            table.to_string(),
            "NAME          NODE\na-long-name   -\n [31m         n\n"
        );
    }
}
