//! Tests of the room as a whole.

mod counters;
mod plan;
mod prepare;
mod random;
mod refusal;
mod text;

use std::sync::Arc;

use super::*;
use crate::net::Family;

/// Makes a rule without a comment.
fn rule(exprs: &[Expr]) -> Rule {
    Rule {
        exprs: exprs.to_vec(),
        comment: None,
    }
}

fn jump(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Jump(chain.parse().unwrap()))
}

fn in_set(set: &str) -> Expr {
    let keys = vec![Key::Address(Family::V4, Side::Source)];
    Expr::InSet(keys, Comparison::Is, set.parse().unwrap())
}

fn vmap(map: &str) -> Expr {
    let keys = vec![Key::Interface(InterfaceSide::Input)];
    Expr::VerdictMap(keys, map.parse().unwrap())
}

fn count(counter: &str) -> Expr {
    Expr::CountIn(counter.parse().unwrap())
}

fn counter(name: &str) -> Object {
    Object::Counter(name.parse().unwrap())
}

fn counter_key(name: &str) -> ObjectKey {
    ObjectKey::Counter(name.parse().unwrap())
}

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

fn input() -> BaseChain {
    BaseChain {
        kind: ChainType::Filter,
        hook: Hook::Input,
        priority: -10,
    }
}

fn chain_of(name: &str, base: Option<BaseChain>, rules: &[Rule]) -> Object {
    let name = name.parse().unwrap();
    Object::Chain(Arc::new(Chain::new(name, base, rules.to_vec())))
}

/// Makes a chain whose rules have one expression each.
fn chain(name: &str, exprs: &[Expr]) -> Object {
    let rules: Vec<Rule> = exprs
        .iter()
        .map(|expr| rule(std::slice::from_ref(expr)))
        .collect();
    chain_of(name, None, &rules)
}

fn base_chain(name: &str, exprs: &[Expr]) -> Object {
    let rules: Vec<Rule> = exprs
        .iter()
        .map(|expr| rule(std::slice::from_ref(expr)))
        .collect();
    chain_of(name, Some(input()), &rules)
}

fn net(text: &str) -> Element {
    Element {
        key: ElementKey::Net(text.parse().unwrap()),
        verdict: None,
    }
}

fn addresses(name: &str, nets: &[&str]) -> Object {
    let spec = SetSpec {
        name: name.parse().unwrap(),
        key: vec![KeyType::Address(Family::V4)],
        interval: true,
        verdicts: false,
        size: None,
    };
    let elements = nets.iter().map(|text| net(text)).collect();
    Object::Set(Arc::new(spec), Arc::new(elements))
}

fn entry(interface: &str, verdict: Verdict) -> Element {
    Element {
        key: ElementKey::Interface(interface.parse().unwrap()),
        verdict: Some(verdict),
    }
}

fn goto(chain: &str) -> Verdict {
    Verdict::Goto(chain.parse().unwrap())
}

fn leap(chain: &str) -> Verdict {
    Verdict::Jump(chain.parse().unwrap())
}

fn map(name: &str, elements: &[Element]) -> Object {
    let spec = SetSpec {
        name: name.parse().unwrap(),
        key: vec![KeyType::Interface],
        interval: false,
        verdicts: true,
        size: None,
    };
    Object::Set(Arc::new(spec), Arc::new(elements.to_vec()))
}

fn chain_key(name: &str) -> ObjectKey {
    ObjectKey::Chain(name.parse().unwrap())
}

fn set_key(name: &str) -> ObjectKey {
    ObjectKey::Set(name.parse().unwrap())
}

/// A kernel and what is known of it.
#[derive(Default)]
struct Host {
    kernel: Applied,
    catalog: Catalog,
}

impl Host {
    fn with(objects: &[Object]) -> Self {
        let mut host = Self::default();
        let ruleset = Ruleset::of(objects.iter().cloned());
        host.change(&ruleset.changes(), Extent::Whole).unwrap();
        host
    }

    /// Plans and commits; the kernel must take what was planned, and packets must not see what is prepared.
    fn change(&mut self, changes: &ObjectChanges, extent: Extent) -> Result<Plans, PlanError> {
        let (plans, delta) = super::plan(&self.catalog, changes, extent)?;
        let before = self.kernel.clone();
        for plan in plans.transactions() {
            if let Err(error) = self.kernel.commit(plan) {
                panic!("{error}\n{plans:#?}");
            }
        }
        prepare::check(&before, &plans, &self.kernel);
        self.catalog.apply(delta);
        Ok(plans)
    }

    fn part(&mut self, changes: &[(ObjectKey, ObjectChange)]) -> Result<String, PlanError> {
        let changes = changes.iter().cloned().collect();
        let plans = self.change(&changes, Extent::Part)?;
        Ok(plan_text(&plans, Elements::All))
    }

    fn put(&mut self, objects: &[Object]) -> Result<String, PlanError> {
        let changes = objects
            .iter()
            .map(|object| (object.key(), object.clone().into()));
        self.part(&changes.collect::<Vec<_>>())
    }

    /// Forgets what was committed and reads the kernel.
    fn restart(&mut self) {
        self.catalog = self.kernel.catalog();
    }
}
