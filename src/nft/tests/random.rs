//! Any table leads to any other one, in any number of steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::net::PortRange;

const CHAINS: usize = 8;
const SETS: usize = 3;
const MAPS: usize = 2;
const COUNTERS: usize = 3;

/// What a table is made of; what does not fit together is left out when it is built.
#[derive(Debug, Clone)]
struct Shape {
    /// A kind that makes some of them base chains, and the rules.
    chains: Vec<Option<(u8, Vec<u8>)>>,
    /// A kind, and the elements.
    sets: Vec<Option<(u8, BTreeSet<u8>)>>,
    /// The elements.
    maps: Vec<Option<BTreeMap<u8, u8>>>,
    /// Whether each is there.
    counters: Vec<bool>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let chain = (0u8..6, vec(0u8..70, 0..5));
    let set = (0u8..4, btree_set(0u8..20, 0..8));
    let map = btree_map(0u8..6, 0u8..12, 0..6);
    (
        vec(option::weighted(0.8, chain), CHAINS),
        vec(option::weighted(0.8, set), SETS),
        vec(option::weighted(0.8, map), MAPS),
        vec(any::<bool>(), COUNTERS),
    )
        .prop_map(|(chains, sets, maps, counters)| Shape {
            chains,
            sets,
            maps,
            counters,
        })
}

fn set_name(number: usize) -> String {
    format!("s{number}")
}

fn map_name(number: usize) -> String {
    format!("m{number}")
}

impl Shape {
    fn base(&self, number: usize) -> Option<BaseChain> {
        let (kind, _) = self.chains[number].as_ref()?;
        (*kind < 2).then(|| BaseChain {
            priority: i32::from(*kind),
            ..input()
        })
    }

    fn is_target(&self, number: usize) -> bool {
        number < CHAINS && self.chains[number].is_some() && self.base(number).is_none()
    }

    fn spec(&self, number: usize) -> Option<SetSpec> {
        let (kind, _) = self.sets[number].as_ref()?;
        Some(SetSpec {
            name: set_name(number).parse().unwrap(),
            key: match kind {
                0..3 => vec![KeyType::Address(Family::V4)],
                _ => vec![KeyType::Port],
            },
            interval: *kind > 0,
            verdicts: false,
            size: (*kind == 2).then_some(100),
        })
    }

    fn elements(&self, number: usize) -> Vec<Element> {
        let (kind, members) = self.sets[number].as_ref().unwrap();
        let mut elements: Vec<Element> = members
            .iter()
            .filter_map(|member| match (kind, member) {
                (0, member) => Some(net(&format!("10.0.0.{member}/32"))),
                (1 | 2, 0..10) => Some(net(&format!("10.{member}.0.0/16"))),
                (1 | 2, member) if members.contains(&(member - 10)) => None,
                (1 | 2, member) => Some(net(&format!("10.{}.128.0/17", member - 10))),
                (_, member) => {
                    let first = u16::from(*member) * 2;
                    let last = first + u16::from(*member % 2);
                    let key = ElementKey::Ports(PortRange::new(first, last).unwrap());
                    Some(Element { key, verdict: None })
                }
            })
            .collect();
        elements.sort();
        elements
    }

    /// Chains refer to later ones alone, and base chains alone to maps, so that there is no loop.
    fn rule(&self, chain: usize, template: u8) -> Option<Rule> {
        let which = usize::from(template / 7);
        let expr = match template % 7 {
            0 => accept(),
            1 => Expr::MarkBits(Comparison::Is, u32::from(template)),
            2 | 3 => {
                let target = chain + 1 + which % CHAINS;
                self.is_target(target)
                    .then(|| jump(&format!("c{target}")))?
            }
            4 => {
                let number = which % SETS;
                let set = set_name(number).parse().unwrap();
                let key = if self.spec(number)?.key == [KeyType::Port] {
                    Key::Port(Side::Source)
                } else {
                    Key::Address(Family::V4, Side::Source)
                };
                Expr::InSet(vec![key], Comparison::Is, set)
            }
            5 => {
                let number = which % COUNTERS;
                self.counters[number].then(|| count(&format!("n{number}")))?
            }
            _ => {
                let number = which % MAPS;
                let there = self.base(chain).is_some() && self.maps[number].is_some();
                there.then(|| vmap(&map_name(number)))?
            }
        };
        Some(Rule {
            exprs: vec![Expr::NetworkFamily(Family::V4), expr],
            comment: template
                .is_multiple_of(2)
                .then(|| template.to_string().into()),
        })
    }

    fn ruleset(&self) -> Ruleset {
        let mut objects = Vec::new();
        for (number, shape) in self.chains.iter().enumerate() {
            let Some((_, templates)) = shape else {
                continue;
            };
            let rules = templates.iter();
            let rules: Vec<Rule> = rules
                .filter_map(|template| self.rule(number, *template))
                .collect();
            objects.push(chain_of(&format!("c{number}"), self.base(number), &rules));
        }
        for number in 0..SETS {
            if let Some(spec) = self.spec(number) {
                let elements = Arc::new(self.elements(number));
                objects.push(Object::Set(Arc::new(spec), elements));
            }
        }
        for (number, shape) in self.maps.iter().enumerate() {
            let Some(elements) = shape else {
                continue;
            };
            let elements: Vec<Element> = elements
                .iter()
                .map(|(interface, target)| {
                    let target = usize::from(*target);
                    let verdict = match (self.is_target(target), target % 2) {
                        (true, 0) => leap(&format!("c{target}")),
                        (true, _) => goto(&format!("c{target}")),
                        (false, _) => Verdict::Drop,
                    };
                    entry(&format!("eth{interface}"), verdict)
                })
                .collect();
            objects.push(map(&map_name(number), &elements));
        }
        let there = (0..COUNTERS).filter(|number| self.counters[*number]);
        objects.extend(there.map(|number| counter(&format!("n{number}"))));
        Ruleset::of(objects)
    }
}

/// Returns the smallest changes from one table to another; `coarse` sends sets as a whole.
fn changes(from: &Ruleset, to: &Ruleset, coarse: bool) -> ObjectChanges {
    let mut changes = ObjectChanges::new();
    for key in from.objects.keys() {
        if !to.objects.contains_key(key) {
            changes.insert(key.clone(), ObjectChange::Absent);
        }
    }
    for (key, object) in &to.objects {
        let change = match (from.objects.get(key), object) {
            (Some(old), new) if old == new => continue,
            (Some(Object::Set(old_spec, old)), Object::Set(spec, new))
                if old_spec == spec && !coarse =>
            {
                let missing = |from: &[Element], to: &[Element]| {
                    let missing = from.iter().filter(|element| !to.contains(element));
                    missing.cloned().collect()
                };
                ObjectChange::Elements {
                    added: missing(new, old),
                    removed: missing(old, new),
                }
            }
            (_, new) => new.clone().into(),
        };
        changes.insert(key.clone(), change);
    }
    changes
}

/// Checks that what is known agrees with the kernel, and with what a start from nothing would know.
fn check_known(host: &Host, ruleset: &Ruleset) {
    assert_eq!(host.kernel.ruleset(), *ruleset);
    let read = host.kernel.catalog();
    assert_eq!(host.catalog.table, read.table);
    assert_eq!(host.catalog.chains, read.chains);
    assert_eq!(host.catalog.counters, read.counters);
    let specs = |catalog: &Catalog| -> Vec<_> {
        let records = catalog.sets.values();
        records.map(|record| record.spec.clone()).collect()
    };
    assert_eq!(specs(&host.catalog), specs(&read));
    assert!(host.catalog.references_known());
    let mut fresh = Host::default();
    fresh.change(&ruleset.changes(), Extent::Whole).unwrap();
    let (known, fresh) = (&host.catalog.committed, &fresh.catalog.committed);
    assert_eq!(known.graph.edges(), fresh.graph.edges());
    for catalog in [&host.catalog, &read] {
        let outcome = super::super::plan(catalog, &ruleset.changes(), Extent::Whole);
        let (plan, _) = outcome.unwrap();
        assert!(plan.is_empty(), "{plan:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_table_becomes_any_other(a in shape(), b in shape(), restarted: bool) {
        let (a, b) = (a.ruleset(), b.ruleset());
        let mut host = Host::default();
        host.change(&a.changes(), Extent::Whole).unwrap();
        prop_assert_eq!(host.kernel.ruleset(), a);
        if restarted {
            host.restart();
        }
        host.change(&b.changes(), Extent::Whole).unwrap();
        check_known(&host, &b);
    }

    #[test]
    fn what_was_prepared_in_vain_is_used_or_removed(a in shape(), b in shape(), back: bool) {
        let (a, b) = (a.ruleset(), b.ruleset());
        let mut host = Host::default();
        host.change(&a.changes(), Extent::Whole).unwrap();
        let (plans, _) = super::super::plan(&host.catalog, &b.changes(), Extent::Whole).unwrap();
        host.kernel.commit(&plans.prepare).unwrap();
        host.restart();
        let wanted = if back { a } else { b };
        let plans = host.change(&wanted.changes(), Extent::Whole).unwrap();
        prop_assert!(plans.prepare.is_empty());
        check_known(&host, &wanted);
    }

    #[test]
    fn parts_add_up_to_the_whole(
        shapes in vec(shape(), 2..6),
        coarse: bool,
        restarted: bool,
    ) {
        let mut host = Host::default();
        let mut before = Ruleset::default();
        for shape in shapes {
            let after = shape.ruleset();
            let changes = changes(&before, &after, coarse);
            let mut applied = before.clone();
            applied.apply(&changes, Extent::Part).unwrap();
            prop_assert_eq!(&applied, &after);
            match host.change(&changes, Extent::Part) {
                Ok(_) => {}
                // A set was made anew, and a rule that uses it stays the same.
                Err(PlanError::Held { .. }) => {
                    host.change(&after.changes(), Extent::Whole).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
            check_known(&host, &after);
            if restarted {
                host.restart();
                host.change(&after.changes(), Extent::Whole).unwrap();
            }
            before = after;
        }
    }

    #[test]
    fn a_path_is_refused_where_the_kernel_refuses_it(
        steps in vec(vec((0usize..24, vec(0usize..24, 0..3)), 1..12), 1..5),
    ) {
        let mut wanted: BTreeMap<usize, BTreeSet<usize>> =
            (0..24).map(|number| (number, BTreeSet::new())).collect();
        let whole = |wanted: &BTreeMap<usize, BTreeSet<usize>>| {
            let jumps = |targets: &BTreeSet<usize>| -> Vec<Expr> {
                targets.iter().map(|target| jump(&format!("c{target}"))).collect()
            };
            let every: BTreeSet<usize> = wanted.keys().copied().collect();
            let chains = wanted
                .iter()
                .map(|(number, targets)| chain(&format!("c{number}"), &jumps(targets)));
            let base = base_chain("base", &jumps(&every));
            Ruleset::of(chains.chain([base]))
        };
        let mut host = Host::default();
        host.change(&whole(&wanted).changes(), Extent::Whole).unwrap();
        for step in steps {
            let before = wanted.clone();
            for (chain, targets) in step {
                // Most references lead on, so that paths grow long before they close.
                let onward = |target: usize| if target.is_multiple_of(7) { target } else { chain + 1 + target % 2 };
                wanted.insert(chain, targets.into_iter().map(onward).map(|t| t.min(23)).collect());
                wanted.insert(23, BTreeSet::new());
            }
            let ruleset = whole(&wanted);
            let accepted = kernel_takes(&ruleset);
            let changes = changes(&host.kernel.ruleset(), &ruleset, false);
            match host.change(&changes, Extent::Part) {
                Ok(_) => prop_assert!(accepted),
                Err(PlanError::Loop { path }) => {
                    prop_assert!(!accepted);
                    prop_assert_eq!(path.first(), path.last());
                }
                Err(PlanError::TooDeep { path }) => {
                    prop_assert!(!accepted);
                    prop_assert_eq!(path.len(), 17);
                }
                Err(error) => panic!("{error}"),
            }
            if !accepted {
                wanted = before;
            }
            prop_assert_eq!(host.kernel.ruleset(), whole(&wanted));
        }
    }
}

/// Tells whether the kernel takes chains that nobody has checked before.
fn kernel_takes(ruleset: &Ruleset) -> bool {
    let mut operations = vec![Operation::AddTable];
    let mut rules = Vec::new();
    for object in ruleset.objects.values() {
        let Object::Chain(chain) = object else {
            continue;
        };
        let (name, base) = (chain.name.clone(), chain.base);
        operations.push(Operation::AddChain { name, base });
        rules.extend(chain.rules.iter().map(|rule| Operation::AddRule {
            chain: chain.name.clone(),
            rule: rule.clone(),
            fingerprint: Fingerprint::of(rule),
        }));
    }
    operations.extend(rules);
    Applied::default().commit(&Plan { operations }).is_ok()
}
