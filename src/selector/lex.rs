//! The words of the language, read at a position in the text.
//!
//! There is no list of tokens: whether `in` is a label or an operator depends on what stands before it,
//! so the parser asks for the word it can use.

use super::error::{Expected, Found, ParseError, Reason};

/// The longest label key, in bytes.
pub const MAX_LABEL_LENGTH: usize = 512;

/// The most characters of the text that an error repeats.
const MAX_FOUND: usize = 32;

/// A position in the text of a selector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.offset == self.text.len()
    }

    /// Passes over spaces and tabs, the only separators.
    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|byte| byte == b' ' || byte == b'\t');
    }

    /// Passes over `word` if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.offset += word.len();
        }
        found
    }

    /// Takes the longest run of label characters, which may be empty.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_while(is_label_byte)
    }

    /// Takes a string in either kind of quotes.
    pub(super) fn quoted(&mut self, expected: Expected) -> Result<&'a str, ParseError> {
        let start = self.offset;
        let quote = match self.rest().as_bytes().first() {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            Some(_) | None => return Err(self.expected(expected)),
        };
        let body = &self.rest()[1..];
        let length = body.find(quote).ok_or(ParseError {
            offset: start,
            reason: Reason::UnterminatedString,
        })?;
        self.offset += length + 2;
        Ok(&body[..length])
    }

    /// Makes the error that says what could have stood here, and what does.
    pub(super) fn expected(&self, expected: Expected) -> ParseError {
        let mut ahead = *self;
        let word = ahead.word();
        let found = match (word.is_empty(), self.rest().chars().next()) {
            (_, None) => Found::End,
            (true, Some(character @ ('"' | '\'' | '\\'))) => Found::Text(character.into()),
            (true, Some(character)) => Found::Text(character.escape_debug().collect()),
            (false, Some(_)) => Found::Text(word.chars().take(MAX_FOUND).collect()),
        };
        ParseError {
            offset: self.offset,
            reason: Reason::Unexpected { expected, found },
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    /// Takes the bytes that satisfy `wanted`, which holds for ASCII alone, so no character is split.
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest
            .bytes()
            .position(|byte| !wanted(byte))
            .unwrap_or(rest.len());
        self.offset += length;
        &rest[..length]
    }
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

/// Tells whether the language can name a label by `key`.
pub(super) fn is_label(key: &str) -> bool {
    (1..=MAX_LABEL_LENGTH).contains(&key.len()) && key.bytes().all(is_label_byte)
}

/// Tells whether the language can write `value` as a string: it has no escapes, so not with both quotes.
pub(super) fn is_quotable(value: &str) -> bool {
    !(value.contains('"') && value.contains('\''))
}

/// Returns the quote that the canonical text puts around `value`.
pub(super) fn quote_for(value: &str) -> char {
    if value.contains('"') { '\'' } else { '"' }
}
