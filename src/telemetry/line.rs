//! From an event to one line, for people or for programs.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};
use tracing::{Level, Metadata};

use super::record::{Value, Values};
use super::syslog;

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// As Felix writes them: time, level, process, file and line, message, `key=value`.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Everything that a line tells.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// When it happened.
    pub(super) time: Timestamp,
    /// The process that says so.
    pub(super) pid: u32,
    /// Where in the code, and how grave.
    pub(super) origin: &'a Metadata<'static>,
    /// What happened.
    pub(super) values: &'a Values,
    /// What it was part of, outermost first.
    pub(super) spans: &'a [(&'static str, Values)],
}

impl Line<'_> {
    /// Returns the line with its end.
    pub(super) fn print(&self, format: Format, zone: &TimeZone) -> String {
        let mut line = match format {
            Format::Human => self.human(zone),
            Format::Json => self.json(),
        };
        line.push('\n');
        line
    }

    /// Returns the message for the system log, which knows time and process from what stands around it.
    pub(super) fn print_for_syslog(&self, format: Format, zone: &TimeZone) -> String {
        let text = match format {
            Format::Human => {
                let mut text = format!("{} ", level(*self.origin.level()));
                self.say(&mut text);
                text
            }
            Format::Json => self.json(),
        };
        syslog::message(*self.origin.level(), self.time, zone, self.pid, &text)
    }

    fn human(&self, zone: &TimeZone) -> String {
        let mut line = String::with_capacity(160);
        let time = self.time.to_zoned(zone.clone());
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "{} [{}][{}] ",
            time.strftime("%Y-%m-%d %H:%M:%S.%3f"),
            level(*self.origin.level()),
            self.pid,
        );
        self.say(&mut line);
        line
    }

    /// Adds where it was said, and what.
    fn say(&self, line: &mut String) {
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "{} {}: ",
            source(self.origin),
            self.origin.line().unwrap_or_default(),
        );
        escape(&self.values.message, Quotes::Kept, line);
        for (name, value) in &self.values.fields {
            let _ = write!(line, " {name}=");
            print(value, line);
        }
        for (span, values) in self.spans.iter().rev() {
            for (name, value) in &values.fields {
                let _ = write!(line, " {span}.{name}=");
                print(value, line);
            }
        }
    }

    fn json(&self) -> String {
        let spans: Vec<Json> = self
            .spans
            .iter()
            .map(|(name, values)| json!({ "name": name, "fields": object(values) }))
            .collect();
        let line = json!({
            "timestamp": self.time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            "level": level(*self.origin.level()),
            "pid": self.pid,
            "target": self.origin.target(),
            "file": source(self.origin),
            "line": self.origin.line(),
            "message": self.values.message,
            "fields": object(self.values),
            "spans": spans,
        });
        // Outside its strings the printed form holds ASCII alone, so this is an escape within a string.
        let text = line.to_string();
        let mut escaped = String::with_capacity(text.len());
        for character in text.chars() {
            if is_unprintable(character) {
                let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            } else {
                escaped.push(character);
            }
        }
        escaped
    }
}

fn object(values: &Values) -> Map<String, Json> {
    let json = |value: &Value| match value {
        Value::Plain(value) => value.clone(),
        Value::Text(text) | Value::Printed(text) => Json::String(text.clone()),
    };
    values
        .fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json(value)))
        .collect()
}

/// Returns Felix's name of a level.
fn level(level: Level) -> &'static str {
    match level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARNING",
        Level::ERROR => "ERROR",
    }
}

/// Returns room and file of our own code, crate and file of any other.
fn source(origin: &Metadata<'static>) -> String {
    let file = origin.file().unwrap_or_default();
    let inner = file.rsplit_once("src/").map_or(file, |(_, inner)| inner);
    match origin.target().split("::").next() {
        Some(target) if target != env!("CARGO_PKG_NAME") => format!("{target}/{inner}"),
        _ => inner.to_owned(),
    }
}

/// Prints texts in quotes, as Felix does, and anything else only where it would not end where it ends.
fn print(value: &Value, line: &mut String) {
    match value {
        Value::Plain(value) => {
            let _ = write!(line, "{value}");
        }
        Value::Printed(text) if text.chars().all(is_bare) && !text.is_empty() => {
            line.push_str(text);
        }
        Value::Printed(text) | Value::Text(text) => {
            line.push('"');
            escape(text, Quotes::Escaped, line);
            line.push('"');
        }
    }
}

fn is_bare(character: char) -> bool {
    !character.is_whitespace()
        && !is_unprintable(character)
        && !matches!(character, '"' | '=' | '\\')
}

/// What to do with quotes and backslashes.
#[derive(Clone, Copy)]
enum Quotes {
    Kept,
    Escaped,
}

fn escape(text: &str, quotes: Quotes, line: &mut String) {
    for character in text.chars() {
        match (character, quotes) {
            ('"' | '\\', Quotes::Escaped) => line.extend(['\\', character]),
            ('\n', _) => line.push_str("\\n"),
            ('\r', _) => line.push_str("\\r"),
            ('\t', _) => line.push_str("\\t"),
            _ if is_unprintable(character) => line.extend(character.escape_unicode()),
            _ => line.push(character),
        }
    }
}

/// Whether a character could end the line, steer a terminal, or show the text in another order than it is.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}
