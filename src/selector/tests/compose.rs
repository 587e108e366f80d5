use std::collections::{BTreeSet, HashSet};

use super::super::{Requirement, Selector};
use super::{labels, parse};

#[test]
fn equal_by_canonical_text() {
    let (one, same, other) = (parse("a=='b'"), parse("((a == \"b\"))"), parse("a == 'c'"));
    assert_eq!(one, same);
    assert_eq!(one.id(), same.id());
    assert_ne!(one, other);
    assert_ne!(one.id(), other.id());
    assert!(one < other);
    assert_eq!(HashSet::from([one, same, other]).len(), 2);
    assert_eq!("has(a)".parse(), Ok(parse("has( a )")));
    assert_eq!(format!("{:?}", parse("has(a)")), "Selector(has(a))");
}

#[test]
fn made_from_names() {
    assert_eq!(Selector::all(), parse(""));
    assert!(Selector::all().is_all());
    assert!(!parse("all() || all()").is_all());
    assert_eq!(Selector::none(), parse("!all()"));
    assert_eq!(Selector::has("a"), parse("has(a)"));
    assert_eq!(Selector::equals("a", "it's"), parse("a == \"it's\""));
    assert_eq!(
        Selector::one_of("a", ["c", "b", "c"]),
        parse("a in {'b', 'c'}")
    );
    assert_eq!(Selector::one_of("a", [""; 0]), parse("a in {}"));
}

#[test]
fn names_that_cannot_be_written_select_nothing() {
    assert_eq!(Selector::has("a) || all("), Selector::none());
    assert_eq!(Selector::has(""), Selector::none());
    assert_eq!(Selector::equals("a b", "c"), Selector::none());
    assert_eq!(Selector::equals("a", "both ' and \""), Selector::none());
    assert_eq!(
        Selector::one_of("a", ["b", "both ' and \""]),
        parse("a in {'b'}")
    );
    assert_eq!(Selector::one_of("a b", ["c"]), Selector::none());
}

#[test]
fn and_leaves_out_all() {
    let (a, b) = (parse("has(a)"), parse("has(b)"));
    assert_eq!(a.and(&b), parse("has(a) && has(b)"));
    assert_eq!(a.and(&b).and(&a), parse("(has(a) && has(b)) && has(a)"));
    assert_eq!(a.and(&Selector::all()), a);
    assert_eq!(Selector::all().and(&a), a);
    assert_eq!(Selector::all().and(&Selector::all()), Selector::all());
    assert_eq!(a.and_not(&b), parse("has(a) && !has(b)"));
    assert_eq!(a.and_not(&parse("!has(b)")), parse("has(a) && has(b)"));
    assert_eq!(a.and_not(&Selector::none()), a);
    assert_eq!(Selector::all().and_not(&a), parse("!has(a)"));
    assert_eq!(Selector::all().and_not(&Selector::all()), Selector::none());
}

#[test]
fn prefix_goes_before_every_key() {
    let prefixed = |text: &str| parse(text).prefixed("pcns.").to_string();
    assert_eq!(prefixed("a == 'a'"), "pcns.a == \"a\"");
    assert_eq!(
        prefixed("!has(a/b) || c in {'d'}"),
        "(!has(pcns.a/b) || pcns.c in {\"d\"})"
    );
    assert_eq!(
        prefixed("a contains 'x' && all()"),
        "(pcns.a contains \"x\" && all())"
    );
    assert_eq!(prefixed("global()"), "global()");
    let mentioned = parse("a == 'a' && has(b)").prefixed("pcsa.");
    assert_eq!(
        mentioned
            .labels()
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>(),
        ["pcsa.a", "pcsa.b"]
    );
}

#[test]
fn prefix_that_makes_a_key_too_long_leaves_it_absent() {
    let key = "k".repeat(510);
    let prefixed = |text: &str| parse(&text.replace('k', &key)).prefixed("pcns.");
    assert_eq!(prefixed("has(k)"), Selector::none());
    assert_eq!(prefixed("!has(k)"), Selector::all());
    assert_eq!(prefixed("k != 'x'"), Selector::all());
    assert_eq!(
        prefixed("k not in {'x'} && has(a)"),
        parse("all() && has(pcns.a)")
    );
    assert_eq!(prefixed("k starts with 'x'"), Selector::none());
}

#[test]
fn replaces_every_all() {
    let with = Selector::has("projectcalico.org/namespace");
    let replaced = |text: &str| parse(text).replace_all(&with).to_string();
    assert_eq!(replaced("all()"), "has(projectcalico.org/namespace)");
    assert_eq!(replaced(""), "has(projectcalico.org/namespace)");
    assert_eq!(replaced("!all()"), "!has(projectcalico.org/namespace)");
    assert_eq!(
        replaced("all() && (has(a) || !all())"),
        "(has(projectcalico.org/namespace) && (has(a) || !has(projectcalico.org/namespace)))"
    );
    assert_eq!(replaced("a == 'all()'"), "a == \"all()\"");
    assert_eq!(replaced("global()"), "global()");
}

#[test]
fn replaces_every_global() {
    let with = parse("!has(projectcalico.org/namespace)");
    let replaced = |text: &str| parse(text).replace_global(&with).to_string();
    assert_eq!(replaced("global()"), "!has(projectcalico.org/namespace)");
    assert_eq!(replaced("!global()"), "has(projectcalico.org/namespace)");
    assert_eq!(
        replaced("all() && global()"),
        "(all() && !has(projectcalico.org/namespace))"
    );
    assert_eq!(replaced("a == 'global()'"), "a == \"global()\"");
}

#[test]
fn composed_as_the_text_of_a_policy_would_be() {
    // A namespaced policy selects by its text and by the namespace it is in.
    let text = parse("role == 'db' || all()");
    let whole = text.and(&Selector::equals("projectcalico.org/namespace", "prod"));
    assert_eq!(
        whole,
        parse("(role == 'db' || all()) && projectcalico.org/namespace == 'prod'")
    );

    // A global policy also by the labels of the namespace; then all() means everything in one.
    let namespaced = Selector::has("projectcalico.org/namespace");
    let scope = parse("all() && env == 'x'").prefixed("pcns.");
    let whole = parse("all()")
        .replace_all(&namespaced)
        .and(&scope.replace_all(&namespaced));
    assert_eq!(
        whole,
        parse(
            "has(projectcalico.org/namespace) && \
             (has(projectcalico.org/namespace) && pcns.env == 'x')"
        )
    );
    assert!(!whole.matches(&labels(&[("pcns.env", "x")])));
}

#[test]
fn requirement_is_the_most_telling_one() {
    let equals = |label: &str, value: &str| {
        Some(Requirement::Equals {
            label: label.into(),
            value: value.into(),
        })
    };
    let has = |label: &str| {
        Some(Requirement::Has {
            label: label.into(),
        })
    };
    let one_of = |label: &str, values: &[&str]| {
        let values: BTreeSet<_> = values.iter().map(|value| (*value).into()).collect();
        Some(Requirement::OneOf {
            label: label.into(),
            values,
        })
    };
    for (text, expected) in [
        ("a == 'b'", equals("a", "b")),
        ("a in {'b'}", equals("a", "b")),
        ("a in {'c', 'b'}", one_of("a", &["b", "c"])),
        ("has(a)", has("a")),
        ("a contains 'b'", has("a")),
        ("a starts with 'b'", has("a")),
        ("a ends with 'b'", has("a")),
        ("has(z) && a in {'x', 'y'} && b == 'c'", equals("b", "c")),
        (
            "has(z) && a in {'x', 'y'} && b != 'c'",
            one_of("a", &["x", "y"]),
        ),
        ("a in {'x', 'y'} && a in {'y', 'z'}", equals("a", "y")),
        ("a == 'x' || a == 'y'", one_of("a", &["x", "y"])),
        ("a == 'x' || a starts with 'y'", has("a")),
        ("a == 'x' && b == 'y' || b == 'z'", one_of("b", &["y", "z"])),
        ("a == 'x' || b == 'y'", None),
        ("a == 'x' || all()", None),
        ("a == 'x' && all() && global()", equals("a", "x")),
        ("a == 'x' || !all()", equals("a", "x")),
        ("a == 'x' || b in {}", equals("a", "x")),
        ("!a != 'x'", equals("a", "x")),
        ("!(a != 'x' || !has(b))", equals("a", "x")),
        ("!(a != 'x' && a != 'y')", one_of("a", &["x", "y"])),
        ("!a not in {'x', 'y'}", one_of("a", &["x", "y"])),
        ("all()", None),
        ("global()", None),
        ("a != 'x'", None),
        ("a not in {'x'}", None),
        ("!has(a)", None),
        ("!a == 'x'", None),
        ("!a contains 'x'", None),
        ("!all()", None),
        ("a in {}", None),
        ("a == 'x' && a == 'y'", None),
    ] {
        assert_eq!(parse(text).requirement(), expected, "{text}");
    }
}
