use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::ast::{Comparison, Membership, Node};
use super::super::{Requirement, Selector};

const KEYS: [&str; 10] = [
    "a", "b", "in", "not", "has", "all", "contains", "in-foo", "x/y.z", "starts",
];
const VALUES: [&str; 8] = [
    "",
    "x",
    "y",
    "xy",
    "say \"x\"",
    "it's",
    "all()",
    "two\n\u{e9}",
];

/// A selector as the tests see it: text in any spelling, and what it means, apart from the room's code.
#[derive(Debug, Clone)]
enum Expr {
    All,
    Global,
    Has(&'static str),
    Test(&'static str, &'static str, &'static str),
    Set(&'static str, &'static str, Vec<&'static str>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

/// Choices of spelling, one byte each, for ever.
type Style<'a> = std::iter::Cycle<std::slice::Iter<'a, u8>>;

fn pick<'t>(style: &mut Style<'_>, choices: &[&'t str]) -> &'t str {
    let choice = usize::from(style.next().copied().unwrap_or_default());
    choices[choice % choices.len()]
}

impl Expr {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |key: &str| labels.get(key).map_or("(absent)", String::as_str);
        let present = |key: &str| labels.contains_key(key);
        match self {
            Self::All | Self::Global => true,
            Self::Has(key) => present(key),
            Self::Test(key, "==", wanted) => present(key) && value(key) == *wanted,
            Self::Test(key, "!=", wanted) => !present(key) || value(key) != *wanted,
            Self::Test(key, "contains", wanted) => present(key) && value(key).contains(wanted),
            Self::Test(key, "starts with", wanted) => {
                present(key) && value(key).strip_prefix(wanted).is_some()
            }
            Self::Test(key, _, wanted) => present(key) && value(key).strip_suffix(wanted).is_some(),
            Self::Set(key, "in", wanted) => present(key) && wanted.iter().any(|w| value(key) == *w),
            Self::Set(key, _, wanted) => !present(key) || wanted.iter().all(|w| value(key) != *w),
            Self::Not(inner) => !inner.holds(labels),
            Self::And(all) => !all.iter().any(|expr| !expr.holds(labels)),
            Self::Or(any) => any.iter().filter(|expr| expr.holds(labels)).count() > 0,
        }
    }

    /// Writes the expression in some spelling, with every operand of an operator in parentheses.
    fn spell(&self, style: &mut Style<'_>) -> String {
        let blanks = ["", " ", "\t", "  \t"];
        let lead = pick(style, &blanks);
        let body = match self {
            Self::All => format!("all({})", pick(style, &blanks)),
            Self::Global => format!("global({})", pick(style, &blanks)),
            Self::Has(key) => format!("has({}{key}{})", pick(style, &blanks), pick(style, &blanks)),
            Self::Test(key, operator, value) => {
                let operator = operator.replace(' ', pick(style, &blanks));
                let gap = pick(style, &blanks);
                format!(
                    "{key}{}{operator}{gap}{}",
                    pick(style, &blanks[1..]),
                    quote(value, style)
                )
            }
            Self::Set(key, operator, values) => {
                let operator = operator.replace(' ', pick(style, &blanks));
                let gap = pick(style, &blanks);
                let mut items = Vec::new();
                for value in values {
                    let before = pick(style, &blanks);
                    items.push(format!(
                        "{before}{}{}",
                        quote(value, style),
                        pick(style, &blanks)
                    ));
                }
                let end = if values.is_empty() {
                    ""
                } else {
                    pick(style, &["", ",", ", "])
                };
                let items = items.join(",");
                format!(
                    "{key}{}{operator}{gap}{{{items}{end}}}",
                    pick(style, &blanks[1..])
                )
            }
            Self::Not(inner) => {
                let run = pick(style, &["!", "!!!", "! ! \t!"]);
                format!("{run}({})", inner.spell(style))
            }
            Self::And(all) => join(all, "&&", style),
            Self::Or(any) => join(any, "||", style),
        };
        let trail = pick(style, &blanks);
        match pick(style, &["plain", "parentheses"]) {
            "plain" => format!("{lead}{body}{trail}"),
            _ => format!("{lead}({body}{trail})"),
        }
    }

    fn node(&self) -> Node {
        match self {
            Self::All => Node::All,
            Self::Global => Node::Global,
            Self::Has(key) => Node::Has((*key).into()),
            Self::Test(key, operator, value) => {
                let comparison = match *operator {
                    "==" => Comparison::Equal,
                    "!=" => Comparison::NotEqual,
                    "contains" => Comparison::Contains,
                    "starts with" => Comparison::StartsWith,
                    _ => Comparison::EndsWith,
                };
                Node::Compare {
                    label: (*key).into(),
                    comparison,
                    value: (*value).into(),
                }
            }
            Self::Set(key, operator, values) => {
                let membership = match *operator {
                    "in" => Membership::In,
                    _ => Membership::NotIn,
                };
                let values = values.iter().map(|value| (*value).into()).collect();
                Node::Within {
                    label: (*key).into(),
                    membership,
                    values,
                }
            }
            Self::Not(inner) => inner.node().negated(),
            Self::And(all) => Node::And(all.iter().map(Self::node).collect()),
            Self::Or(any) => Node::Or(any.iter().map(Self::node).collect()),
        }
    }
}

fn quote(value: &str, style: &mut Style<'_>) -> String {
    let quote = if value.contains('"') {
        "'"
    } else if value.contains('\'') {
        "\""
    } else {
        pick(style, &["'", "\""])
    };
    format!("{quote}{value}{quote}")
}

fn join(operands: &[Expr], separator: &str, style: &mut Style<'_>) -> String {
    let spelled: Vec<_> = operands
        .iter()
        .map(|e| format!("({})", e.spell(style)))
        .collect();
    spelled.join(separator)
}

fn exprs() -> impl Strategy<Value = Expr> {
    let comparisons = ["==", "!=", "contains", "starts with", "ends with"];
    let leaf = prop_oneof![
        1 => Just(Expr::All),
        1 => Just(Expr::Global),
        2 => select(&KEYS[..]).prop_map(Expr::Has),
        6 => (select(&KEYS[..]), select(comparisons.to_vec()), select(&VALUES[..]))
            .prop_map(|(key, operator, value)| Expr::Test(key, operator, value)),
        4 => (
            select(&KEYS[..]),
            select(vec!["in", "not in"]),
            prop::collection::vec(select(&VALUES[..]), 0..4),
        )
            .prop_map(|(key, operator, values)| Expr::Set(key, operator, values)),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|expr| Expr::Not(Box::new(expr))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner, 2..4).prop_map(Expr::Or),
        ]
    })
}

fn label_maps() -> impl Strategy<Value = BTreeMap<String, String>> {
    subsequence(&KEYS[..], 0..=KEYS.len()).prop_flat_map(|keys| {
        let count = keys.len();
        prop::collection::vec(select(&VALUES[..]), count).prop_map(move |values| {
            keys.iter()
                .copied()
                .map(String::from)
                .zip(values.into_iter().map(String::from))
                .collect()
        })
    })
}

fn satisfied(requirement: &Requirement, labels: &BTreeMap<String, String>) -> bool {
    match requirement {
        Requirement::Equals { label, value } => labels
            .get(&**label)
            .is_some_and(|actual| **actual == **value),
        Requirement::OneOf { label, values } => labels
            .get(&**label)
            .is_some_and(|actual| values.contains(actual.as_str())),
        Requirement::Has { label } => labels.contains_key(&**label),
    }
}

fn spelled(expr: &Expr, style: &[u8]) -> Selector {
    super::parse(&expr.spell(&mut style.iter().cycle()))
}

fn styles() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parse_of_print_is_identity(expr in exprs()) {
        let made = Selector::from_node(expr.node());
        let parsed = super::parse(made.as_str());
        prop_assert_eq!(parsed.node(), made.node());
        prop_assert_eq!(parsed.as_str(), made.as_str());
    }

    #[test]
    fn every_spelling_is_the_same_selector(expr in exprs(), style in styles()) {
        prop_assert_eq!(spelled(&expr, &style), Selector::from_node(expr.node()));
    }

    #[test]
    fn matching_is_what_the_text_means(
        expr in exprs(),
        style in styles(),
        maps in prop::collection::vec(label_maps(), 8),
    ) {
        let selector = spelled(&expr, &style);
        for labels in &maps {
            prop_assert_eq!(selector.matches(labels), expr.holds(labels), "{} on {:?}", selector, labels);
        }
    }

    #[test]
    fn what_matches_satisfies_every_requirement(
        expr in exprs(),
        maps in prop::collection::vec(label_maps(), 32),
    ) {
        let selector = Selector::from_node(expr.node());
        let requirements = selector.requirements();
        let telling = selector.requirement();
        prop_assert_eq!(telling.is_none(), requirements.is_empty());
        prop_assert!(telling.is_none_or(|telling| requirements.contains(&telling)));
        for labels in maps.iter().filter(|labels| selector.matches(*labels)) {
            for requirement in &requirements {
                prop_assert!(satisfied(requirement, labels), "{}: {:?}", selector, labels);
            }
        }
    }

    #[test]
    fn matching_looks_at_the_mentioned_labels_alone(expr in exprs(), labels in label_maps()) {
        let selector = Selector::from_node(expr.node());
        let mut kept = labels.clone();
        kept.retain(|key, _| selector.labels().contains(key.as_str()));
        prop_assert_eq!(selector.matches(&labels), selector.matches(&kept));
    }

    #[test]
    fn composition_means_what_it_says(
        one in exprs(),
        other in exprs(),
        labels in label_maps(),
    ) {
        let (a, b) = (Selector::from_node(one.node()), Selector::from_node(other.node()));
        prop_assert_eq!(a.and(&b).matches(&labels), one.holds(&labels) && other.holds(&labels));
        prop_assert_eq!(a.and_not(&b).matches(&labels), one.holds(&labels) && !other.holds(&labels));
        prop_assert_eq!(super::parse(a.and_not(&b).as_str()), a.and_not(&b));

        let prefixed = labels.iter().map(|(key, value)| (format!("pcns.{key}"), value.clone()));
        let prefixed: BTreeMap<_, _> = prefixed.collect();
        prop_assert_eq!(a.prefixed("pcns.").matches(&prefixed), a.matches(&labels));
    }

    #[test]
    fn replacing_is_replacing_in_the_text(expr in exprs()) {
        let selector = Selector::from_node(expr.node());
        // The texts stand in strings too, where nothing may be replaced.
        let text = selector.as_str().replace("\"all()\"", "\"ALL\"");
        let with = Selector::has("ns");
        prop_assert_eq!(
            selector.replace_all(&with).to_string(),
            text.replace("all()", "has(ns)").replace("\"ALL\"", "\"all()\"")
        );
        prop_assert_eq!(
            selector.replace_global(&with).to_string(),
            selector.as_str().replace("global()", "has(ns)")
        );
    }

    #[test]
    fn hostile_text_is_read_or_refused(text in any::<String>()) {
        check_total(&text);
    }

    #[test]
    fn nearly_valid_text_is_read_or_refused(
        words in prop::collection::vec(select(vec![
            "a", "in", "not", "has(", "all()", "global()", "(", ")", "{", "}", ",", "==", "!=", "!",
            "&&", "||", "&", "'x'", "\"", "'", " ", "\t", "\n", "é", "starts", "with", "contains",
        ]), 0..24),
    ) {
        check_total(&words.concat());
    }

    #[test]
    fn damaged_text_is_read_or_refused(expr in exprs(), at in any::<prop::sample::Index>()) {
        let text = Selector::from_node(expr.node()).to_string();
        let mut characters: Vec<char> = text.chars().collect();
        characters.remove(at.index(characters.len()));
        check_total(&characters.into_iter().collect::<String>());
    }
}

/// Checks that a text parses to something that prints back, or is refused at a place within it.
fn check_total(text: &str) {
    match Selector::parse(text) {
        Ok(selector) => assert_eq!(super::parse(selector.as_str()), selector),
        Err(error) => {
            assert!(text.is_char_boundary(error.offset), "{error}");
            let excerpt = error.caret(text);
            assert_eq!(excerpt.matches('\n').count(), 1);
            assert!(excerpt.ends_with('^'));
        }
    }
}
