//! Tests of several parts of the loop together.

mod draft;
mod refusal;
