//! Text that must fit a field of the kernel.

/// Returns the longest beginning of a text that has at most `limit` bytes and no NUL, cut between characters.
pub(super) fn shortened(text: &str, limit: usize) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_and_at_nul() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("abcd", 3), "abc");
        assert_eq!(shortened("aä", 2), "a");
        assert_eq!(shortened("ä", 1), "");
        assert_eq!(shortened("a\0b", 9), "a");
        assert_eq!(shortened("", 9), "");
    }
}
