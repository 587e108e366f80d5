//! What is wrong with a configuration.

use std::fmt;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing: the option has no effect.
    Note,
    /// The value is not used, and another takes its place.
    Warning,
    /// A value that may not be replaced by a default was refused at run time.
    Error,
    /// The daemon must not start.
    Fatal,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        })
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// How bad it is.
    pub severity: Severity,
    /// Option or line that it is about; absent if it is about the whole.
    pub subject: Option<String>,
    /// Where it was found, in words.
    pub place: String,
    /// What is wrong, and what follows from it.
    pub reason: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Some(subject) => write!(f, "{subject} in {}: {}", self.place, self.reason),
            None => write!(f, "{}: {}", self.place, self.reason),
        }
    }
}

/// Characters of a value that a message shows.
const SHOWN: usize = 200;

/// Characters of a message.
const LONGEST: usize = 1000;

/// Quotes a text for a message.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text, SHOWN))
}

/// Makes a message fit for one line of a log.
pub(super) fn printable(text: &str) -> String {
    shortened(text, LONGEST)
}

/// Shortens a text and escapes its control characters.
fn shortened(text: &str, longest: usize) -> String {
    let mut short = String::new();
    for c in text.chars().take(longest) {
        if c.is_control() {
            short.extend(c.escape_default());
        } else {
            short.push(c);
        }
    }
    if text.chars().nth(longest).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_short_line() {
        assert_eq!(quoted("a\nb"), "`a\\nb`");
        assert_eq!(
            quoted(&"\u{e4}".repeat(SHOWN)),
            format!("`{}`", "\u{e4}".repeat(SHOWN))
        );
        assert_eq!(
            quoted(&"x".repeat(SHOWN + 1)),
            format!("`{}...`", "x".repeat(SHOWN))
        );
    }
}
