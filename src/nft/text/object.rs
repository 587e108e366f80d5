//! Chains, sets and the whole table.

use std::fmt::{self, Write as _};

use crate::net::Family;
use crate::nft::{
    BaseChain, Chain, ChainType, CounterName, Element, Hook, KeyType, Object, Ruleset, SetSpec,
    TableName,
};

/// How many elements of a set are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elements {
    /// All of them.
    All,
    /// The first ones; a comment says how many more there are.
    AtMost(usize),
}

/// The names that `nft` has for priorities, which depend on the hook for two of them.
const PRIORITIES: [(&str, i32, Option<Hook>); 6] = [
    ("raw", -300, None),
    ("mangle", -150, None),
    ("dstnat", -100, Some(Hook::Prerouting)),
    ("filter", 0, None),
    ("security", 50, None),
    ("srcnat", 100, Some(Hook::Postrouting)),
];

/// How far from a named priority `nft` still writes the name.
const REACH: i32 = 10;

impl fmt::Display for BaseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
        };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        write!(f, "type {kind} hook {hook} priority ")?;
        let named = PRIORITIES.iter().find_map(|(name, priority, only)| {
            let distance = self.priority.saturating_sub(*priority);
            let fits = only.is_none_or(|only| only == self.hook);
            (fits && (-REACH..=REACH).contains(&distance)).then_some((name, distance))
        });
        match named {
            Some((name, 0)) => write!(f, "{name}")?,
            Some((name, distance)) if distance > 0 => write!(f, "{name} + {distance}")?,
            Some((name, distance)) => write!(f, "{name} - {}", distance.unsigned_abs())?,
            None => write!(f, "{}", self.priority)?,
        }
        f.write_str("; policy accept;")
    }
}

/// Shows a chain.
pub fn chain_text(chain: &Chain) -> String {
    let mut text = format!("chain {} {{\n", chain.name);
    if let Some(base) = &chain.base {
        line(&mut text, format_args!("\t{base}"));
    }
    for rule in &chain.rules {
        line(&mut text, format_args!("\t{rule}"));
    }
    text.push_str("}\n");
    text
}

/// Shows a set or map.
pub fn set_text(spec: &SetSpec, elements: &[Element], shown: Elements) -> String {
    let kind = if spec.verdicts { "map" } else { "set" };
    let mut text = format!("{kind} {} {{\n", spec.name);
    for part in set_type(spec) {
        line(&mut text, format_args!("\t{part}"));
    }
    let count = match shown {
        Elements::All => elements.len(),
        Elements::AtMost(most) => most.min(elements.len()),
    };
    let (shown, hidden) = elements.split_at(count);
    if !shown.is_empty() {
        text.push_str("\telements = { ");
        let mut rows = shown.chunks(per_line(spec)).peekable();
        while let Some(row) = rows.next() {
            let row: Vec<String> = row.iter().map(ToString::to_string).collect();
            text.push_str(&row.join(", "));
            if rows.peek().is_some() {
                text.push_str(",\n\t\t     ");
            }
        }
        text.push_str(" }");
    }
    if !hidden.is_empty() {
        let before = if shown.is_empty() { "\t" } else { " " };
        text.push_str(before);
        let more = hidden.len();
        // Writing to a `String` cannot fail.
        let _ = write!(text, "# and {more} more");
    }
    if !elements.is_empty() {
        text.push('\n');
    }
    text.push_str("}\n");
    text
}

/// Shows a counter as one that has counted nothing.
fn counter_text(name: &CounterName) -> String {
    format!("counter {name} {{\n\tpackets 0 bytes 0\n}}\n")
}

/// Shows a table and all that it holds.
pub fn ruleset_text(table: &TableName, ruleset: &Ruleset, shown: Elements) -> String {
    let objects: Vec<String> = ruleset
        .objects
        .values()
        .map(|object| match object {
            Object::Chain(chain) => indented(&chain_text(chain)),
            Object::Set(spec, elements) => indented(&set_text(spec, elements, shown)),
            Object::Counter(name) => indented(&counter_text(name)),
        })
        .collect();
    format!("table inet {table} {{\n{}}}\n", objects.join("\n"))
}

/// Returns what a set is, a line for each property.
pub(super) fn set_type(spec: &SetSpec) -> Vec<String> {
    let fields: Vec<&str> = spec
        .key
        .iter()
        .map(|field| match field {
            KeyType::Address(Family::V4) => "ipv4_addr",
            KeyType::Address(Family::V6) => "ipv6_addr",
            KeyType::Protocol => "inet_proto",
            KeyType::Port => "inet_service",
            KeyType::Interface => "ifname",
        })
        .collect();
    let verdict = if spec.verdicts { " : verdict" } else { "" };
    let mut lines = vec![format!("type {}{verdict}", fields.join(" . "))];
    lines.extend(spec.size.map(|size| format!("size {size}")));
    lines.extend(spec.interval.then(|| "flags interval".to_owned()));
    lines
}

/// Returns how many elements `nft` writes into a line.
fn per_line(spec: &SetSpec) -> usize {
    match spec.key.as_slice() {
        [KeyType::Address(Family::V4)] if !spec.verdicts => 2,
        [KeyType::Port | KeyType::Protocol] if !spec.verdicts => 5,
        _ => 1,
    }
}

fn indented(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + text.len() / 8);
    for each in text.lines() {
        line(&mut result, format_args!("\t{each}"));
    }
    result
}

pub(super) fn line(text: &mut String, content: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{content}");
}
