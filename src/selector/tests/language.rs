use std::sync::Arc;

use super::super::{Inherited, MAX_LABEL_LENGTH, Selector};
use super::{labels, parse};

/// Parses `text` and checks its canonical text, and that this one is its own canonical text.
fn check(text: &str, canonical: &str) {
    assert_eq!(
        parse(text).to_string(),
        canonical,
        "canonical text of {text:?}"
    );
    assert_eq!(
        parse(canonical).to_string(),
        canonical,
        "canonical text again"
    );
}

fn check_refused(text: &str, offset: usize) {
    match Selector::parse(text) {
        Ok(selector) => panic!("{text:?} was read as {selector}"),
        Err(error) => assert_eq!(error.offset, offset, "{text:?}: {error}"),
    }
}

fn check_match(text: &str, pairs: &[(&str, &str)], expected: bool) {
    assert_eq!(
        parse(text).matches(&labels(pairs)),
        expected,
        "{text:?} on {pairs:?}"
    );
}

#[test]
fn empty_text_is_all() {
    check("", "all()");
    check(" \t ", "all()");
    check_refused("()", 1);
    check_refused("a == 'x' && ( )", 14);
}

#[test]
fn every_operation_has_a_canonical_text() {
    check("a=='b'", "a == \"b\"");
    check("a!='b'", "a != \"b\"");
    check("a in{'b'}", "a in {\"b\"}");
    check("a not in {'b'}", "a not in {\"b\"}");
    check("a contains'b'", "a contains \"b\"");
    check("a starts with 'b'", "a starts with \"b\"");
    check("a ends with 'b'", "a ends with \"b\"");
    check("has(a)", "has(a)");
    check("has(\t a )", "has(a)");
    check("all()", "all()");
    check("all( \t)", "all()");
    check("global()", "global()");
    check("global( )", "global()");
    check("\t a \t== 'b' \t", "a == \"b\"");
}

#[test]
fn multi_word_operators_have_several_spellings() {
    for spelling in ["notin", "not in", "not  in", "not\tin", "not \t in"] {
        check(&format!("a {spelling} {{'b'}}"), "a not in {\"b\"}");
        check(&format!("a {spelling}{{'b'}}"), "a not in {\"b\"}");
    }
    check("a startswith 'b'", "a starts with \"b\"");
    check("a starts\twith\"b\"", "a starts with \"b\"");
    check("a endswith'b'", "a ends with \"b\"");
    check("a ends  with 'b'", "a ends with \"b\"");
}

#[test]
fn an_operator_word_ends_where_label_characters_end() {
    for text in [
        "a inb {'x'}",
        "a in-foo",
        "a notinx {'x'}",
        "a not inx {'x'}",
        "a containsx 'x'",
    ] {
        check_refused(text, 2);
    }
    check_refused("a starts withx 'x'", 2);
    check_refused("a not == 'x'", 2);
    check_refused("ain {'x'}", 4);
    check_refused("a", 1);
    check_refused("a = 'b'", 2);
}

#[test]
fn operator_words_are_labels_where_a_label_may_stand() {
    check("in == 'a'", "in == \"a\"");
    check("in in {'a'}", "in in {\"a\"}");
    check("not in {'a'}", "not in {\"a\"}");
    check("not not in {'a'}", "not not in {\"a\"}");
    check("notin notin {}", "notin not in {}");
    check("has == 'a'", "has == \"a\"");
    check("has(has)", "has(has)");
    check("has(in) && has(all)", "(has(in) && has(all))");
    check("contains contains 'a'", "contains contains \"a\"");
    check("starts starts with 'a'", "starts starts with \"a\"");
    check("ends endswith 'a'", "ends ends with \"a\"");
    check("all != 'a'", "all != \"a\"");
    check("global not in {'a'}", "global not in {\"a\"}");
    check("in-foo == 'a'", "in-foo == \"a\"");
    check("in/x == 'a'", "in/x == \"a\"");
    check(
        "a == 'b' && in == 'c' || !not == 'd'",
        "((a == \"b\" && in == \"c\") || !not == \"d\")",
    );
    check_match("not in {'a'}", &[("not", "a")], true);
    check_match("not not in {'a'}", &[("not", "a")], false);
}

#[test]
fn calls_need_the_parenthesis_directly_after_the_word() {
    check_refused("has (a)", 4);
    check_refused("all ()", 4);
    check_refused("global ()", 7);
    check_refused("xhas(a)", 4);
    check_refused("has()", 4);
    check_refused("has(a b)", 6);
    check_refused("has('a')", 4);
    check_refused("has(a", 5);
    check_refused("all(a)", 4);
    check_refused("all", 3);
}

#[test]
fn labels_have_an_alphabet_and_a_length() {
    check("aZ09_./- == 'x'", "aZ09_./- == \"x\"");
    check("-./ == 'x'", "-./ == \"x\"");
    check(
        "projectcalico.org/namespace=='x'",
        "projectcalico.org/namespace == \"x\"",
    );
    let longest = "k".repeat(MAX_LABEL_LENGTH);
    check(&format!("has({longest})"), &format!("has({longest})"));
    check_refused(&format!("has({longest}k)"), 4);
    check_refused(&format!(" {longest}k == 'x'"), 1);
    check_refused("é == 'x'", 0);
    check_refused("a@b == 'x'", 1);
    check_refused("a$", 1);
}

#[test]
fn strings_have_two_quotes_and_no_escapes() {
    check("a == \"it's\"", "a == \"it's\"");
    check("a == 'say \"x\"'", "a == 'say \"x\"'");
    check("a == ''", "a == \"\"");
    check("a == 'two\nlines'", "a == \"two\nlines\"");
    check("a == 'back\\slash\\'", "a == \"back\\slash\\\"");
    check("a == '\u{e9}\u{1f431}'", "a == \"\u{e9}\u{1f431}\"");
    check("a == 'all() && has(b)'", "a == \"all() && has(b)\"");
    check_refused("a == 'b", 5);
    check_refused("a == 'b\"", 5);
    check_refused("a == b", 5);
    check_refused("a ==", 4);
    check_refused("a == 'b' 'c'", 9);
}

#[test]
fn only_spaces_and_tabs_separate() {
    for (text, offset) in [
        ("a ==\n'b'", 4),
        ("\na == 'b'", 0),
        ("a == 'b'\n", 8),
        ("a == 'b' &&\r\nhas(c)", 11),
        ("has(\na)", 4),
        ("a not\nin {'b'}", 2),
        ("a in {'b',\n'c'}", 10),
        ("a\u{a0}== 'b'", 1),
    ] {
        check_refused(text, offset);
    }
}

#[test]
fn sets_are_sorted_and_may_be_empty_or_end_in_a_comma() {
    check("a in {}", "a in {}");
    check("a notin{ \t}", "a not in {}");
    check("a in {'c','a' , 'b','a'}", "a in {\"a\", \"b\", \"c\"}");
    check("a in {'b',}", "a in {\"b\"}");
    check("a in { 'b' , }", "a in {\"b\"}");
    check("a in {'x\"', \"x'\"}", "a in {'x\"', \"x'\"}");
    check_refused("a in {,}", 6);
    check_refused("a in {'b',,}", 10);
    check_refused("a in {'b' 'c'}", 10);
    check_refused("a in {'b'", 9);
    check_refused("a in 'b'", 5);
    check_refused("a in {b}", 6);
    check_refused("a == {'b'}", 5);
}

#[test]
fn negation_goes_by_parity() {
    check("!a == 'b'", "!a == \"b\"");
    check("!!a == 'b'", "a == \"b\"");
    check("! ! \t!has(a)", "!has(a)");
    check("!(!has(a))", "has(a)");
    check("!(!(has(a)))", "has(a)");
    check("!(has(a) && has(b))", "!(has(a) && has(b))");
    check("!a in {'b'} && has(c)", "(!a in {\"b\"} && has(c))");
    check("!all()", "!all()");
    check_refused("!", 1);
    check_refused("has(a)!", 6);
    check_refused("!= 'a'", 1);
}

#[test]
fn and_binds_tighter_than_or() {
    check("has(a) && has(b)", "(has(a) && has(b))");
    check("has(a)||has(b)||has(c)", "(has(a) || has(b) || has(c))");
    check(
        "has(a) && has(b) || has(c)",
        "((has(a) && has(b)) || has(c))",
    );
    check(
        "has(a) || has(b) && has(c)",
        "(has(a) || (has(b) && has(c)))",
    );
    check(
        "(has(a) || has(b)) && has(c)",
        "((has(a) || has(b)) && has(c))",
    );
    check(
        "has(a) && (has(b) && has(c))",
        "(has(a) && (has(b) && has(c)))",
    );
    check("((has(a)))", "has(a)");
    check("(((has(b)) && (has(a))))", "(has(b) && has(a))");
    check_refused("has(a) &&", 9);
    check_refused("has(a) & has(b)", 7);
    check_refused("|| has(a)", 0);
    check_refused("(has(a)", 7);
    check_refused("has(a))", 6);
    check_refused("has(a) has(b)", 7);
    check_refused("has(a), has(b)", 6);
}

#[test]
fn an_absent_label_satisfies_only_the_negative_operators() {
    for (text, absent, equal, other) in [
        ("a == 'xyz'", false, true, false),
        ("a != 'xyz'", true, false, true),
        ("a in {'w', 'xyz'}", false, true, false),
        ("a not in {'w', 'xyz'}", true, false, true),
        ("a in {}", false, false, false),
        ("a not in {}", true, true, true),
        ("a contains 'y'", false, true, false),
        ("a contains ''", false, true, true),
        ("a starts with 'xy'", false, true, false),
        ("a starts with 'yz'", false, false, false),
        ("a ends with 'yz'", false, true, false),
        ("a ends with 'xy'", false, false, false),
        ("has(a)", false, true, true),
        ("!has(a)", true, false, false),
        ("all()", true, true, true),
        ("global()", true, true, true),
        ("", true, true, true),
        ("a == ''", false, false, false),
    ] {
        check_match(text, &[("b", "xyz")], absent);
        check_match(text, &[("a", "xyz"), ("b", "q")], equal);
        check_match(text, &[("a", "other")], other);
    }
    check_match("a == ''", &[("a", "")], true);
    check_match("a == 'X'", &[("a", "x")], false);
}

#[test]
fn own_labels_win_over_the_parents_in_order() {
    let own = labels(&[("a", "own")]);
    let first = labels(&[("a", "first"), ("b", "first")]);
    let second = labels(&[("a", "second"), ("b", "second"), ("c", "second")]);
    let all = Inherited {
        own: &own,
        parents: &[&first, &second],
    };
    assert!(parse("a == 'own' && b == 'first' && c == 'second' && !has(d)").matches(&all));

    let shared = [Arc::new(first), Arc::new(second)];
    let all: &dyn super::super::Labels = &Inherited {
        own: &own,
        parents: &shared,
    };
    assert!(parse("a == 'own' && b == 'first' && c == 'second' && !has(d)").matches(all));
}

#[test]
fn labels_are_those_it_mentions() {
    let selector = parse("c == 'd' && (!has(a) || b in {'x'}) && a != 'q' && all()");
    let mentioned: Vec<&str> = selector.labels().iter().map(AsRef::as_ref).collect();
    assert_eq!(mentioned, ["a", "b", "c"]);
    assert!(parse("all() || global()").labels().is_empty());
}
