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

/// Quotes a text for a message: shortened, its control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("`");
    for c in text.chars().take(SHOWN) {
        if c.is_control() {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        quoted.push_str("...");
    }
    quoted.push('`');
    quoted
}
