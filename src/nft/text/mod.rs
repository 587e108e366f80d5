//! Objects as text, in the words of `nft`, which reads it back.

mod expr;
mod object;
mod plan;

pub use object::{Elements, chain_text, ruleset_text, set_text};
pub use plan::plan_text;
