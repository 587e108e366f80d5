//! Reading the fields of a resource while keeping account of where they stand and what is wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value as Json};

use super::decode::Origin;
use super::document::{Entry, Node, Style, Value};
use crate::model::Severity;

/// How many problems of one resource are told; one that has more is beyond mending line by line.
const MAX_FOUND: usize = 50;
/// How much of a value a problem quotes, in characters.
const MAX_QUOTED: usize = 60;

/// A map without entries, for what is absent.
static EMPTY: Node = Node {
    line: 0,
    value: Value::Mapping(Vec::new()),
};

/// A problem without its resource.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) field: String,
    pub(super) reason: String,
    pub(super) severity: Severity,
}

/// The problems found in one resource.
#[derive(Debug, Default)]
pub(super) struct Report {
    origin: Origin,
    found: RefCell<Vec<Found>>,
    rejected: Cell<bool>,
}

impl Report {
    /// Begins without problems, for a resource that was written so.
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            ..Self::default()
        }
    }

    fn add(&self, found: Found) {
        let first_rejection = found.severity == Severity::Rejected && !self.rejected.get();
        if first_rejection {
            self.rejected.set(true);
        }
        let mut all = self.found.borrow_mut();
        if all.len() < MAX_FOUND || first_rejection {
            all.push(found);
        }
    }

    /// Tells whether the resource is spoilt.
    pub(super) fn rejected(&self) -> bool {
        self.rejected.get()
    }

    /// Returns what was found.
    pub(super) fn into_found(self) -> Vec<Found> {
        self.found.into_inner()
    }
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A value within a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    node: &'a Node,
    step: Step<'a>,
    parent: Option<&'a Field<'a>>,
    report: &'a Report,
}

/// Quotes a value for a problem, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

impl<'a> Field<'a> {
    /// Begins with a whole resource.
    pub(super) fn root(node: &'a Node, report: &'a Report) -> Self {
        Self {
            node,
            step: Step::Root,
            parent: None,
            report,
        }
    }

    fn child<'s>(&'s self, node: &'s Node, step: Step<'s>) -> Field<'s> {
        Field {
            node,
            step,
            parent: Some(self),
            report: self.report,
        }
    }

    /// Returns the line, that of the enclosing value where this one has none.
    pub(super) fn line(&self) -> usize {
        if self.node.line == 0 {
            self.parent.map_or(0, Field::line)
        } else {
            self.node.line
        }
    }

    fn write_path(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_path(path);
        }
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.extend(
                    key.chars()
                        .take(MAX_QUOTED)
                        .map(|c| if c.is_control() { '?' } else { c }),
                );
            }
            Step::Index(index) => {
                // Writing to a `String` cannot fail.
                let _ = write!(path, "[{index}]");
            }
        }
    }

    fn found(&self, severity: Severity, reason: impl Into<String>) {
        let mut field = String::new();
        self.write_path(&mut field);
        self.report.add(Found {
            line: self.line(),
            field,
            reason: reason.into(),
            severity,
        });
    }

    /// Reports that the resource is spoilt by this field.
    pub(super) fn reject(&self, reason: impl Into<String>) {
        self.found(Severity::Rejected, reason);
    }

    /// Reports what calicoctl refuses to write and Felix reads all the same: it spoils what a person has written,
    /// and not what is stored.
    pub(super) fn refuse(&self, reason: impl Into<String>) {
        match self.origin() {
            Origin::File => self.reject(reason),
            Origin::Datastore => self.warn(reason),
        }
    }

    /// Returns who wrote the resource.
    pub(super) fn origin(&self) -> Origin {
        self.report.origin
    }

    /// Reports something about this field that does not spoil the resource.
    pub(super) fn warn(&self, reason: impl Into<String>) {
        self.found(Severity::Warning, reason);
    }

    fn expected(&self, what: &str) {
        let found = match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(text, _) => quoted(text),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a map".to_owned(),
        };
        self.reject(format!("expected {what}, found {found}"));
    }

    /// Tells whether the field holds no text, no items or no entries.
    pub(super) fn is_empty(&self) -> bool {
        match &self.node.value {
            Value::Null => true,
            Value::Scalar(text, _) => text.is_empty(),
            Value::Sequence(items) => items.is_empty(),
            Value::Mapping(entries) => entries.is_empty(),
        }
    }

    /// Reads text; numbers and truth values count as the text they were written in.
    pub(super) fn text(&self) -> Option<&'a str> {
        if let Value::Scalar(text, _) = &self.node.value {
            Some(text)
        } else {
            self.expected("text");
            None
        }
    }

    /// Reads an unquoted word, which may be a number.
    fn plain(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(text, Style::Plain) => Some(text),
            Value::Scalar(_, Style::Quoted)
            | Value::Null
            | Value::Sequence(_)
            | Value::Mapping(_) => None,
        }
    }

    /// Reads a truth value.
    pub(super) fn boolean(&self) -> Option<bool> {
        let truth = self.plain().and_then(core_boolean);
        if truth.is_none() {
            self.expected("true or false");
        }
        truth
    }

    /// Reads a whole number.
    pub(super) fn integer(&self) -> Option<i64> {
        let number = self.as_integer();
        if number.is_none() {
            self.expected("a whole number");
        }
        number
    }

    /// Returns the whole number that the field holds, and reports nothing where it holds none.
    pub(super) fn as_integer(&self) -> Option<i64> {
        self.plain().and_then(core_integer)
    }

    /// Reads a finite number.
    pub(super) fn number(&self) -> Option<f64> {
        let number = self
            .plain()
            .and_then(core_number)
            .filter(|number| number.is_finite());
        if number.is_none() {
            self.expected("a number");
        }
        number
    }

    /// Reads a list.
    pub(super) fn items(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        let items = match &self.node.value {
            Value::Sequence(items) => items.as_slice(),
            Value::Null | Value::Scalar(..) | Value::Mapping(_) => {
                self.expected("a list");
                &[]
            }
        };
        items
            .iter()
            .enumerate()
            .map(|(index, node)| self.child(node, Step::Index(index)))
    }

    /// Reads a map of any keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'_>)> {
        let entries = self.mapping();
        let mut keys = BTreeSet::new();
        for entry in entries {
            if !keys.insert(&*entry.key) {
                self.twice(entry);
            }
        }
        entries
            .iter()
            .map(|entry| (&*entry.key, self.child(&entry.value, Step::Key(&entry.key))))
    }

    fn mapping(&self) -> &'a [Entry] {
        if let Value::Mapping(entries) = &self.node.value {
            entries
        } else {
            self.expected("a map");
            &[]
        }
    }

    fn twice(&self, entry: &Entry) {
        let at = Node {
            line: entry.line,
            value: Value::Null,
        };
        self.child(&at, Step::Key(&entry.key)).reject("given twice");
    }

    /// Reads a map of known fields.
    pub(super) fn object(&self) -> Object<'a> {
        let entries = self.mapping();
        let used = vec![Cell::new(false); entries.len()];
        // Field names are matched without regard to case, so that is how they clash.
        let mut keys = BTreeSet::new();
        for (entry, used) in entries.iter().zip(&used) {
            if !keys.insert(entry.key.to_ascii_lowercase()) {
                self.twice(entry);
                used.set(true);
            }
        }
        Object {
            field: *self,
            entries,
            used,
        }
    }

    /// Returns the value as JSON, by the core schema of YAML.
    pub(super) fn json(&self) -> Json {
        match &self.node.value {
            Value::Null => Json::Null,
            Value::Scalar(text, Style::Quoted) => Json::String(text.to_string()),
            Value::Scalar(text, Style::Plain) => plain_json(text),
            Value::Sequence(_) => self.items().map(|item| item.json()).collect(),
            Value::Mapping(_) => Json::Object(self.json_object()),
        }
    }

    /// Returns a map as JSON.
    pub(super) fn json_object(&self) -> Map<String, Json> {
        self.entries()
            .map(|(key, value)| (key.to_owned(), value.json()))
            .collect()
    }
}

fn core_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn core_integer(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return unsigned(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return unsigned(digits, 8);
    }
    text.parse().ok()
}

/// Parses digits alone: a sign behind the prefix would be no number.
fn unsigned(digits: &str, radix: u32) -> Option<i64> {
    digits
        .chars()
        .all(|c| c.is_digit(radix))
        .then(|| i64::from_str_radix(digits, radix).ok())?
}

fn core_number(text: &str) -> Option<f64> {
    // Rust also reads words such as `inf` and `nan`, which the core schema writes otherwise.
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if text.chars().all(numeric) {
        return text.parse().ok();
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a number field has a double's precision"
    )]
    core_integer(text).map(|number| number as f64)
}

fn plain_json(text: &str) -> Json {
    if let Some(truth) = core_boolean(text) {
        return Json::Bool(truth);
    }
    if let Some(number) = core_integer(text) {
        return Json::Number(number.into());
    }
    let number = core_number(text).and_then(Number::from_f64);
    number.map_or_else(|| Json::String(text.to_owned()), Json::Number)
}

/// A map of known fields; those that nobody asked for are reported when it is finished.
#[derive(Debug)]
pub(super) struct Object<'a> {
    field: Field<'a>,
    entries: &'a [Entry],
    used: Vec<Cell<bool>>,
}

impl<'a> Object<'a> {
    /// Returns the field that holds the map.
    pub(super) fn field(&self) -> &Field<'a> {
        &self.field
    }

    /// Returns a field by its exact name, else by its name in another case; `null` is absent.
    pub(super) fn get<'s>(&'s self, name: &'s str) -> Option<Field<'s>> {
        let exact = self.entries.iter().position(|entry| &*entry.key == name);
        let index = exact.or_else(|| {
            self.entries
                .iter()
                .position(|entry| entry.key.eq_ignore_ascii_case(name))
        })?;
        self.used.get(index)?.set(true);
        let entry = self.entries.get(index)?;
        match entry.value.value {
            Value::Null => None,
            Value::Scalar(..) | Value::Sequence(_) | Value::Mapping(_) => {
                Some(self.field.child(&entry.value, Step::Key(name)))
            }
        }
    }

    /// Returns a field, an empty map where it is absent.
    pub(super) fn get_or_empty<'s>(&'s self, name: &'s str) -> Field<'s> {
        self.get(name)
            .unwrap_or_else(|| self.field.child(&EMPTY, Step::Key(name)))
    }

    /// Reports that a field is missing.
    pub(super) fn missing(&self, name: &str) {
        self.reject_field(name, "must be present");
    }

    /// Reports a field by name, whether it is present or not.
    pub(super) fn reject_field(&self, name: &str, reason: impl Into<String>) {
        self.at(name, |field| field.reject(reason));
    }

    /// Reports a field by name, whether it is present or not, as [`Field::refuse`] does.
    pub(super) fn refuse_field(&self, name: &str, reason: impl Into<String>) {
        self.at(name, |field| field.refuse(reason));
    }

    fn at(&self, name: &str, report: impl FnOnce(Field<'_>)) {
        match self.get(name) {
            Some(field) => report(field),
            None => report(self.field.child(&EMPTY, Step::Key(name))),
        }
    }

    /// Returns the text of a field; empty text is absent, as Go's decoder has it.
    pub(super) fn text<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        self.get(name)?.text().filter(|text| !text.is_empty())
    }

    /// Returns the text of a field that must be there.
    pub(super) fn required_text<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        let text = match self.get(name) {
            Some(field) => field.text()?,
            None => "",
        };
        if text.is_empty() {
            self.missing(name);
            return None;
        }
        Some(text)
    }

    /// Returns the truth value of a field, false where it is absent.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name)
            .and_then(|field| field.boolean())
            .unwrap_or(false)
    }

    /// Accepts fields that mean nothing to this agent.
    pub(super) fn ignore(&self, names: &[&str]) {
        for name in names {
            self.get(name);
        }
    }

    /// Reports the fields that nobody asked for, and passes over them.
    pub(super) fn finish(self) {
        self.unknown(|field| field.warn("unknown field, ignored"));
    }

    /// Reports the fields that nobody asked for as ones that spoil the resource.
    pub(super) fn finish_strictly(self) {
        self.unknown(|field| field.reject("unknown field"));
    }

    fn unknown(&self, report: impl Fn(Field<'_>)) {
        for (entry, used) in self.entries.iter().zip(&self.used) {
            if !used.get() {
                let at = Node {
                    line: entry.line,
                    value: Value::Null,
                };
                report(self.field.child(&at, Step::Key(&entry.key)));
            }
        }
    }
}
