//! The `selector` room: Calico's language for choosing things by their labels.
//!
//! In: the text of a selector, labels. Out: [`Selector`] with its canonical text and identity, whether
//! it matches, the labels it looks at and what any match must have ([`Requirement`]); or a
//! [`ParseError`] that points at a byte. May touch: std and `sha2`. Absent: every other room, I/O, time.

mod ast;
mod builder;
mod error;
mod eval;
mod id;
mod lex;
mod parse;
mod requirement;
#[cfg(test)]
mod tests;
mod value;

pub use error::{Expected, Found, ParseError, Reason};
pub use eval::{Inherited, Labels};
pub use lex::MAX_LABEL_LENGTH;
pub use parse::{MAX_LENGTH, MAX_NESTING};
pub use requirement::Requirement;
pub use value::Selector;
