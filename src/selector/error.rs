//! Why a text is not a selector, and where.

use std::fmt;

use super::lex::MAX_LABEL_LENGTH;
use super::parse::{MAX_LENGTH, MAX_NESTING};

/// The most characters that an excerpt shows before the caret, and after.
const CONTEXT_BEFORE: usize = 48;
const CONTEXT_AFTER: usize = 28;
const ELLIPSIS: &str = "...";

/// The first thing wrong with the text of a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector, byte {offset}: {reason}")]
pub struct ParseError {
    /// Where it is wrong, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with the text of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The language allows something else here.
    Unexpected {
        /// What it allows.
        expected: Expected,
        /// What stands here.
        found: Found,
    },
    /// A string has no closing quote.
    UnterminatedString,
    /// A label key is longer than [`MAX_LABEL_LENGTH`].
    LabelTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The text is longer than [`MAX_LENGTH`].
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The text nests more deeply than [`MAX_NESTING`].
    TooDeep,
}

/// What the language allows at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The start of an operation.
    Operation,
    /// A label key, in `has(...)`.
    Label,
    /// The parenthesis that closes `has(...)`, `all()` or `global()`.
    CallEnd,
    /// An operator, after a label.
    Operator,
    /// A string, after an operator.
    Value,
    /// A set, after an operator.
    Set,
    /// An item of a set, or its end.
    Item,
    /// What follows an item of a set.
    SetRest,
    /// What follows an operation in parentheses.
    Close,
    /// What follows an operation.
    End,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the text ends here.
    End,
    /// This word or character.
    Text(String),
}

impl ParseError {
    /// Draws the line of `text` that is wrong and, in a second line, a caret under the place.
    ///
    /// `text` is what was parsed. A long line is cut to what is around the place; tabs and other control
    /// characters show as one space, so that the caret stands where it should.
    pub fn caret(&self, text: &str) -> String {
        let mut offset = self.offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let is_break = |character| matches!(character, '\n' | '\r');
        let (before, after) = text.split_at(offset);
        let before = before.rsplit(is_break).next().unwrap_or_default();
        let after = after.split(is_break).next().unwrap_or_default();

        let skipped = before.chars().count().saturating_sub(CONTEXT_BEFORE);
        let mut line = String::new();
        if skipped > 0 {
            line.push_str(ELLIPSIS);
        }
        line.extend(before.chars().skip(skipped).map(visible));
        let column = line.chars().count();
        line.extend(after.chars().take(CONTEXT_AFTER).map(visible));
        if after.chars().nth(CONTEXT_AFTER).is_some() {
            line.push_str(ELLIPSIS);
        }
        format!("{line}\n{:column$}^", "")
    }
}

fn visible(character: char) -> char {
    if character.is_control() {
        ' '
    } else {
        character
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::UnterminatedString => f.write_str("string has no closing quote"),
            Self::LabelTooLong { length } => {
                write!(
                    f,
                    "label is {length} bytes long, the limit is {MAX_LABEL_LENGTH}"
                )
            }
            Self::TooLong { length } => {
                write!(
                    f,
                    "selector is {length} bytes long, the limit is {MAX_LENGTH}"
                )
            }
            Self::TooDeep => write!(f, "nested more than {MAX_NESTING} deep"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operation => "a label, `has(`, `all()`, `global()`, `!` or `(`",
            Self::Label => "a label",
            Self::CallEnd => "`)`",
            Self::Operator => {
                "one of `==`, `!=`, `in`, `not in`, `contains`, `starts with`, `ends with` \
                 after a label"
            }
            Self::Value => "a quoted string",
            Self::Set => "`{` and a list of quoted strings",
            Self::Item => "a quoted string or `}`",
            Self::SetRest => "`,` or `}`",
            Self::Close => "`&&`, `||` or `)`",
            Self::End => "`&&`, `||` or the end",
        })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Text(text) => write!(f, "`{text}`"),
        }
    }
}
