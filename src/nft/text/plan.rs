//! Plans, for people who want to know what would change.

use std::collections::BTreeMap;

use super::object::{Elements, line, set_type};
use crate::nft::{BaseChain, Element, ObjectKey, Operation, Plans, SetName, SetSpec};

/// What happens to one object.
#[derive(Default)]
struct Section {
    /// What the object is where it is not a chain: `set` or `map`.
    kind: Option<&'static str>,
    made: bool,
    removed: bool,
    lines: Vec<String>,
}

/// Shows plans as one change, by object: `+` for what is made, `-` for what goes, `~` for what stays and changes.
pub fn plan_text(plans: &Plans, shown: Elements) -> String {
    let mut text = String::new();
    let mut sections: BTreeMap<ObjectKey, Section> = BTreeMap::new();
    for operation in plans.operations() {
        match operation {
            Operation::DeleteTable => text.push_str("- table\n"),
            Operation::AddTable => {}
            Operation::AddCounter(name) => {
                let key = ObjectKey::Counter(name.clone());
                sections.entry(key).or_default().made = true;
            }
            Operation::AddSet(spec) => {
                let section = set_section(&mut sections, spec);
                section.made = true;
                let lines = set_type(spec).into_iter();
                section.lines.extend(lines.map(|line| format!("+ {line}")));
            }
            Operation::AddChain { name, base } => {
                let section = sections.entry(ObjectKey::Chain(name.clone())).or_default();
                section.made = true;
                let base = base.as_ref().map(|base: &BaseChain| format!("+ {base}"));
                section.lines.extend(base);
            }
            Operation::DeleteElements { set, elements } => {
                let section = set_section(&mut sections, set);
                element_lines(section, '-', elements, shown);
            }
            Operation::FlushSet(name) => {
                let section = sections.entry(ObjectKey::Set(name.clone())).or_default();
                section.lines.push("- all elements".to_owned());
            }
            Operation::FlushChain(name) => {
                let section = sections.entry(ObjectKey::Chain(name.clone())).or_default();
                section.lines.push("- all rules".to_owned());
            }
            Operation::AddRule { chain, rule, .. } => {
                let section = sections.entry(ObjectKey::Chain(chain.clone())).or_default();
                section.lines.push(format!("+ {rule}"));
            }
            Operation::AddElements { set, elements } => {
                let section = set_section(&mut sections, set);
                element_lines(section, '+', elements, shown);
            }
            Operation::DeleteChain(name) => {
                let section = sections.entry(ObjectKey::Chain(name.clone())).or_default();
                section.removed = true;
            }
            Operation::DeleteSet(name) => {
                let section = sections.entry(ObjectKey::Set(name.clone())).or_default();
                section.removed = true;
            }
            Operation::DeleteCounter(name) => {
                let key = ObjectKey::Counter(name.clone());
                sections.entry(key).or_default().removed = true;
            }
        }
    }
    for (key, section) in sections {
        section.write(&mut text, &key);
    }
    text
}

fn set_section<'a>(
    sections: &'a mut BTreeMap<ObjectKey, Section>,
    spec: &SetSpec,
) -> &'a mut Section {
    let name: SetName = spec.name.clone();
    let section = sections.entry(ObjectKey::Set(name)).or_default();
    section.kind = Some(if spec.verdicts { "map" } else { "set" });
    section
}

fn element_lines(section: &mut Section, sign: char, elements: &[Element], shown: Elements) {
    let count = match shown {
        Elements::All => elements.len(),
        Elements::AtMost(most) => most.min(elements.len()),
    };
    let lines = elements.iter().take(count);
    section
        .lines
        .extend(lines.map(|element| format!("{sign} {element}")));
    if count < elements.len() {
        let more = elements.len() - count;
        section.lines.push(format!("{sign} and {more} more"));
    }
}

impl Section {
    fn write(&self, text: &mut String, key: &ObjectKey) {
        let (sign, all) = match (self.made, self.removed) {
            (true, false) => ('+', true),
            (false, true) => ('-', false),
            (true, true) | (false, false) => ('~', true),
        };
        let kind = match key {
            ObjectKey::Chain(_) => "chain",
            ObjectKey::Counter(_) => "counter",
            ObjectKey::Set(_) => self.kind.unwrap_or("set"),
        };
        line(text, format_args!("{sign} {kind} {}", key.name()));
        if all {
            for each in &self.lines {
                line(text, format_args!("    {each}"));
            }
        }
    }
}
