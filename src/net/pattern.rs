//! Patterns of interface names.

use std::fmt;

use regex_lite::Regex;

/// A pattern of interface names: one name, or a regular expression that may match anywhere.
#[derive(Debug, Clone)]
pub struct InterfacePattern {
    text: String,
    regex: Option<Regex>,
}

impl InterfacePattern {
    /// Makes a pattern that matches one name.
    pub fn name(name: &str) -> Self {
        Self {
            text: name.to_owned(),
            regex: None,
        }
    }

    /// Makes a pattern from a regular expression.
    ///
    /// # Errors
    /// Fails where the text is no regular expression.
    pub fn regex(expression: &str) -> Result<Self, regex_lite::Error> {
        Ok(Self {
            text: format!("/{expression}/"),
            regex: Some(Regex::new(expression)?),
        })
    }

    /// Tells whether an interface of this name is meant.
    pub fn matches(&self, interface: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(interface),
            None => self.text == interface,
        }
    }
}

impl PartialEq for InterfacePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for InterfacePattern {}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
