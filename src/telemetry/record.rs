//! Collecting the values of events and spans.

use std::error::Error;
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

use super::error_chain::ErrorChain;

/// The most bytes of one value that are kept: what is logged may come from anyone.
const LENGTH: usize = 16 << 10;

/// Follows a value that was cut.
const CUT: &str = "...(cut)";

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number or truth value.
    Plain(serde_json::Value),
    /// A text.
    Text(String),
    /// The printed form of something else.
    Printed(String),
}

/// Named values in the order of their declaration, and the message among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values {
    /// The constant part, empty for a span.
    pub(super) message: String,
    /// All others.
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Values {
    fn set(&mut self, field: &Field, value: Value) {
        match self
            .fields
            .iter_mut()
            .find(|(name, _)| *name == field.name())
        {
            Some(known) => known.1 = value,
            None => self.fields.push((field.name(), value)),
        }
    }

    fn plain(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        self.set(field, Value::Plain(value.into()));
    }
}

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = bounded(format_args!("{value:?}"));
        if field.name() == "message" {
            self.message = text;
        } else {
            self.set(field, Value::Printed(text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = bounded(format_args!("{value}"));
        if field.name() == "message" {
            self.message = text;
        } else {
            self.set(field, Value::Text(text));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(
            field,
            Value::Text(bounded(format_args!("{}", ErrorChain(value)))),
        );
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
}

fn bounded(value: fmt::Arguments<'_>) -> String {
    let mut text = Bounded(String::new());
    // Breaking off is how a long value ends; one whose own printing fails is shown as far as it came.
    if text.write_fmt(value).is_err() {
        text.0.push_str(CUT);
    }
    text.0
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LENGTH.saturating_sub(self.0.len());
        let part = (0..=room.min(text.len()))
            .rev()
            .find(|end| text.is_char_boundary(*end));
        let part = part.unwrap_or_default();
        self.0.push_str(&text[..part]);
        if part < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(bounded(format_args!("{}", "short")), "short");
        let text = bounded(format_args!("x{}", "ä".repeat(LENGTH)));
        assert_eq!(text.len(), LENGTH - 1 + CUT.len());
        assert!(text.ends_with(&format!("ä{CUT}")));
    }
}
