//! The syntax of the configuration file.

use super::map;
use crate::config::ini::parse;

#[test]
fn reads_every_form_of_line() {
    for (text, entries) in [
        ("", &[][..]),
        ("a=1", &[("a", "1")]),
        ("a = 1\r\nb=2\r\n", &[("a", "1"), ("b", "2")]),
        ("\u{feff}a=1", &[("a", "1")]),
        (
            "before=0\n[global]\na=1\n[other]\nb=2\n",
            &[("a", "1"), ("b", "2"), ("before", "0")],
        ),
        ("# a=1\n; b=2\n  # c=3\nd=4", &[("d", "4")]),
        ("a: 1", &[("a", "1")]),
        ("ports = tcp:22,udp:68", &[("ports", "tcp:22,udp:68")]),
        ("a = 1 # why\nb = 2;why", &[("a", "1"), ("b", "2")]),
        ("a = \"1 # 2\" ; why", &[("a", "1 # 2")]),
        ("a = '1;2'\nb = `x`", &[("a", "1;2"), ("b", "x")]),
        ("a = 'tis # why\nb = 'x'y", &[("a", "'tis"), ("b", "'x'y")]),
        ("a = x = y", &[("a", "x = y")]),
        ("a =", &[("a", "")]),
        ("a = one, \\\n  two", &[("a", "one, two")]),
        ("a = one\\", &[("a", "one")]),
        ("[unused\n]\na=1", &[("a", "1")]),
    ] {
        let parsed = parse(text.as_bytes());
        assert_eq!(parsed.values, map(entries), "{text:?}");
    }
}

#[test]
fn the_last_of_several_settings_counts() {
    let parsed = parse(b"[a]\nLogPrefix = x\n[b]\nlogprefix = y\n");
    assert_eq!(parsed.values, map(&[("logprefix", "y")]));
    assert_eq!(parsed.duplicates, [(4, "logprefix".to_owned())]);
    assert_eq!(parsed.errors, []);
}

#[test]
fn bad_lines_are_numbered_and_the_others_count() {
    for (text, line, reason) in [
        (
            &b"ok=1\nnonsense"[..],
            2,
            "the line is not of the form NAME = VALUE",
        ),
        (b"ok=1\n= 1", 2, "a value without a name"),
        (b"ok=1\n\na=\xff", 3, "not UTF-8"),
        (b"a=\0\nok=1", 1, "a control character"),
        (b"[global\nok=1", 1, "a section without a closing bracket"),
        (b"a=x\\\n\xff\nok=1", 2, "not UTF-8"),
    ] {
        let parsed = parse(text);
        assert_eq!(parsed.errors, [(line, reason.to_owned())], "{text:?}");
        assert_eq!(
            parsed.values.get("ok").map(String::as_str),
            Some("1"),
            "{text:?}"
        );
    }
}
