//! The syntax of the configuration file.
//!
//! A line is empty, a comment (`#` or `;`), a section in brackets or `NAME = VALUE`; `:` does for
//! `=`. Sections mean nothing. A value ends at `#` or `;`, unless it is in quotes, and goes on in
//! the next line after a backslash.

use std::collections::BTreeMap;

use super::options;
use super::problem::quoted;

/// Largest file that is read, in bytes.
pub(super) const LARGEST_FILE: usize = 1 << 20;

/// What a file says, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Values by name, spelled as in the last line that sets it.
    pub(super) values: BTreeMap<String, String>,
    /// Names that are set more than once, with the line that counts.
    pub(super) duplicates: Vec<(usize, String)>,
    /// Lines that cannot be read, with the reason.
    pub(super) errors: Vec<(usize, String)>,
}

/// Parses a file; every line that can be read counts, whatever the others are like.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut spellings: BTreeMap<String, String> = BTreeMap::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut text = match decode(line) {
            Ok(text) => text.trim().to_owned(),
            Err(reason) => {
                parsed.errors.push((number, reason.to_owned()));
                continue;
            }
        };
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        while let Some(head) = text.strip_suffix('\\') {
            let Some((next, number)) = lines.next() else {
                text = head.trim_end().to_owned();
                break;
            };
            match decode(next) {
                Ok(next) => text = format!("{head}{}", next.trim()),
                Err(reason) => {
                    parsed.errors.push((number, reason.to_owned()));
                    text = head.to_owned();
                }
            }
        }
        if text.starts_with('[') {
            if !text.contains(']') {
                let reason = "a section without a closing bracket".to_owned();
                parsed.errors.push((number, reason));
            }
            continue;
        }
        match entry(&text) {
            Ok((name, value)) => {
                let spelling = spellings.insert(name.to_ascii_lowercase(), name.clone());
                if let Some(earlier) = spelling {
                    parsed.values.remove(&earlier);
                    parsed.duplicates.push((number, name.clone()));
                }
                parsed.values.insert(name, value);
            }
            Err(reason) => parsed.errors.push((number, reason)),
        }
    }
    parsed
}

fn decode(line: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a control character");
    }
    Ok(text)
}

fn entry(line: &str) -> Result<(String, String), String> {
    let (name, rest) = line
        .split_once(['=', ':'])
        .ok_or_else(|| format!("{} is not of the form NAME = VALUE", subject(line)))?;
    let name = name.trim().trim_matches(['"', '`']);
    if name.is_empty() {
        return Err("a value without a name".to_owned());
    }
    let rest = rest.trim();
    let value = quoted_value(rest)
        .unwrap_or_else(|| rest.split(['#', ';']).next().unwrap_or(rest).trim_end());
    Ok((name.to_owned(), value.to_owned()))
}

/// Says what a line is about that cannot be read: any word of it may be part of a password, but not the name of an
/// option.
fn subject(line: &str) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    match options::find(first) {
        Some(_) => format!("the line that begins with {}", quoted(first)),
        None => "the line".to_owned(),
    }
}

/// Returns what is in quotes, if nothing but a comment follows.
fn quoted_value(text: &str) -> Option<&str> {
    let quote = text
        .chars()
        .next()
        .filter(|c| ['"', '\'', '`'].contains(c))?;
    let (value, after) = text[1..].split_once(quote)?;
    let after = after.trim_start();
    (after.is_empty() || after.starts_with(['#', ';'])).then_some(value)
}
