use std::thread;

use super::super::{MAX_LENGTH, MAX_NESTING, ParseError, Reason, Selector};

fn error(text: &str) -> ParseError {
    Selector::parse(text).expect_err(text)
}

#[test]
fn messages_name_what_was_expected_and_what_was_found() {
    for (text, message) in [
        (
            "a = 'b'",
            "selector, byte 2: expected one of `==`, `!=`, `in`, `not in`, `contains`, \
             `starts with`, `ends with` after a label, found `=`",
        ),
        (
            "a == b",
            "selector, byte 5: expected a quoted string, found `b`",
        ),
        ("a == 'b", "selector, byte 5: string has no closing quote"),
        (
            "a in {'b'",
            "selector, byte 9: expected `,` or `}`, found the end",
        ),
        (
            "a in {'b',,",
            "selector, byte 10: expected a quoted string or `}`, found `,`",
        ),
        (
            "a in 'b'",
            "selector, byte 5: expected `{` and a list of quoted strings, found `'`",
        ),
        ("has(é)", "selector, byte 4: expected a label, found `é`"),
        ("has(a b)", "selector, byte 6: expected `)`, found `b`"),
        (
            "(has(a)\n",
            "selector, byte 7: expected `&&`, `||` or `)`, found `\\n`",
        ),
        (
            "has(a) and has(b)",
            "selector, byte 7: expected `&&`, `||` or the end, found `and`",
        ),
        (
            "has(a) &&",
            "selector, byte 9: expected a label, `has(`, `all()`, `global()`, `!` or `(`, \
             found the end",
        ),
    ] {
        assert_eq!(error(text).to_string(), message);
    }
    let long = format!("has({})", "k".repeat(513));
    let message = "selector, byte 4: label is 513 bytes long, the limit is 512";
    assert_eq!(error(&long).to_string(), message);
}

#[test]
fn caret_stands_under_the_place() {
    for (text, excerpt) in [
        ("a = 'b'", "a = 'b'\n  ^"),
        ("a\t= 'b'", "a = 'b'\n  ^"),
        ("a == 'éé' b", "a == 'éé' b\n          ^"),
        ("a ==", "a ==\n    ^"),
        ("a ==\n'b'", "a ==\n    ^"),
        ("a == 'one\ntwo' x", "two' x\n     ^"),
        ("a == 'one\r\ntwo' x", "two' x\n     ^"),
        ("a \u{1b}[31m", "a  [31m\n  ^"),
    ] {
        assert_eq!(error(text).caret(text), excerpt);
    }
}

#[test]
fn caret_cuts_a_long_line_to_what_is_around_it() {
    let text = format!(
        "{} x {}",
        "a == 'é' && ".repeat(100),
        "&& has(b) ".repeat(100)
    );
    let excerpt = error(&text).caret(&text);
    let (line, caret) = excerpt.split_once('\n').expect("two lines");
    assert!(line.starts_with("...") && line.ends_with("..."), "{line}");
    assert_eq!(line.chars().count(), 3 + 48 + 28 + 3);
    assert_eq!(caret.chars().count(), 3 + 48 + 1);
    assert_eq!(line.chars().nth(3 + 48), Some('&'));
}

#[test]
fn caret_of_another_text_does_not_panic() {
    let error = error("a == 'b' && c = 'd'");
    assert_eq!(error.caret("a"), "a\n ^");
    assert_eq!(error.caret(""), "\n^");
    assert_eq!(error.caret("éééééééééé"), "éééééééééé\n       ^");
}

#[test]
fn length_is_limited() {
    let longest = format!("a == '{}'", "x".repeat(MAX_LENGTH - 7));
    assert_eq!(longest.len(), MAX_LENGTH);
    assert!(Selector::parse(&longest).is_ok());
    let longer = format!("{longest} ");
    let refusal = ParseError {
        offset: MAX_LENGTH,
        reason: Reason::TooLong {
            length: MAX_LENGTH + 1,
        },
    };
    assert_eq!(error(&longer), refusal);
}

#[test]
fn nesting_is_limited_and_stays_within_a_small_stack() {
    let nested = |depth: usize, open: &str, close: &str| {
        format!("{}has(a){}", open.repeat(depth), close.repeat(depth))
    };
    let run = move || {
        for open in ["(", "!(", "has(b) && (", "has(b) || ("] {
            let text = nested(MAX_NESTING - 1, open, ")");
            let selector = Selector::parse(&text).expect(open);
            assert_eq!(Selector::parse(selector.as_str()), Ok(selector.clone()));
            let _ = (
                selector.matches(&super::labels(&[("a", "b")])),
                selector.requirement(),
            );

            let text = nested(MAX_NESTING + 1, open, ")");
            assert_eq!(error(&text).reason, Reason::TooDeep, "{open}");
        }
        // Each pair of parentheses holds both an `||` and an `&&` that the canonical text writes out.
        let text = nested(MAX_NESTING / 2, "has(b) || has(b) && (", ")");
        let selector = Selector::parse(&text).expect("within the limit");
        assert_eq!(Selector::parse(selector.as_str()), Ok(selector.clone()));
        let text = nested(MAX_NESTING / 2 + 1, "has(b) || has(b) && (", ")");
        assert_eq!(error(&text).reason, Reason::TooDeep);

        assert_eq!(error(&"(".repeat(MAX_LENGTH)).reason, Reason::TooDeep);
        assert!(Selector::parse(&format!("{}has(a)", "!".repeat(MAX_LENGTH - 6))).is_ok());
    };
    thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(run)
        .expect("spawn")
        .join()
        .expect("join");
}
