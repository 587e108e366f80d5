//! Printing an error with all its causes.

use std::error::Error;
use std::fmt;

/// More causes than this are not printed: a chain may come from anywhere, even lead back to itself.
const DEPTH: usize = 32;

/// Displays an error and its causes, outermost first, divided by `: `.
///
/// A cause that the error before it has quoted at its end already is not said twice.
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let causes = std::iter::successors(self.0.source(), |cause: &&dyn Error| (*cause).source());
        for cause in causes.take(DEPTH) {
            let text = cause.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        cause: Option<Box<Layer>>,
    }

    fn chain(texts: &[&'static str]) -> Option<Box<Layer>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Layer {
            text,
            cause: chain(rest),
        }))
    }

    fn print(texts: &[&'static str]) -> String {
        ErrorChain(&*chain(texts).expect("at least one error")).to_string()
    }

    #[test]
    fn causes_follow_their_effect_once() {
        assert_eq!(print(&["read `a`"]), "read `a`");
        assert_eq!(
            print(&["read `a`", "open", "denied"]),
            "read `a`: open: denied"
        );
        assert_eq!(print(&["open: denied", "denied"]), "open: denied");
        assert_eq!(
            print(&["open: denied", "denied", "why"]),
            "open: denied: why"
        );
    }

    #[test]
    fn an_endless_chain_ends() {
        #[derive(Debug, thiserror::Error)]
        #[error("again")]
        struct Circular(#[source] &'static Circular);
        static CIRCULAR: Circular = Circular(&CIRCULAR);
        assert_eq!(ErrorChain(&CIRCULAR).to_string(), "again");
        let deep = ["x", "y"].repeat(100);
        assert_eq!(print(&deep).len(), 1 + 3 * DEPTH);
    }
}
