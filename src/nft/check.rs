//! What the kernel would refuse, found before anything is sent.
//!
//! A refused transaction costs the kernel seconds in a large table and names the wrong rule.

use std::collections::BTreeSet;

use super::catalog::SetDelta;
use super::graph::Presence;
use super::place::{is_bound, misplaced};
use super::{
    Catalog, CatalogDelta, Chain, ChainName, ChainRecord, CounterName, Expr, Key, KeyType,
    LookupFault, ObjectChange, ObjectChanges, ObjectKey, PlanError, SetName, SetSpec,
};

/// Checks what a plan leads to, as far as it differs from what was there.
pub(super) fn outcome(
    current: &Catalog,
    changes: &ObjectChanges,
    delta: &mut CatalogDelta,
) -> Result<(), PlanError> {
    let graph = &current.committed.graph;
    for (user, target) in delta.overlay.added() {
        let exists = match target {
            ObjectKey::Chain(name) => record(current, delta, name).is_some(),
            ObjectKey::Set(name) => spec(current, delta, name).is_some(),
            ObjectKey::Counter(name) => has_counter(current, delta, name),
        };
        if !exists {
            let (user, target) = (user.clone(), target.clone());
            return Err(PlanError::Dangling { user, target });
        }
        if let ObjectKey::Chain(chain) = target
            && record(current, delta, chain).is_some_and(|record| record.base.is_some())
        {
            let (user, chain) = (user.clone(), chain.clone());
            return Err(PlanError::BaseChainTarget { user, chain });
        }
    }
    for object in delta.overlay.absent() {
        if let Some(user) = delta.overlay.users(graph, object).next() {
            let (object, user) = (object.clone(), user.clone());
            return Err(PlanError::InUse { object, user });
        }
    }
    for change in changes.values() {
        if let ObjectChange::Chain(chain) = change {
            chain_outcome(current, delta, chain)?;
        }
    }
    delta.overlay.check_depth(graph)?;
    for change in changes.values() {
        if let ObjectChange::Chain(chain) = change {
            place_outcome(current, delta, chain)?;
        }
    }
    Ok(())
}

fn chain_outcome(current: &Catalog, delta: &CatalogDelta, chain: &Chain) -> Result<(), PlanError> {
    if chain.base.is_some() {
        let key = ObjectKey::Chain(chain.name.clone());
        let graph = &current.committed.graph;
        if let Some(user) = delta.overlay.users(graph, &key).next() {
            let (user, chain) = (user.clone(), chain.name.clone());
            return Err(PlanError::BaseChainTarget { user, chain });
        }
    }
    for expr in chain.rules.iter().flat_map(|rule| &rule.exprs) {
        let Some(ObjectKey::Set(set)) = expr.target() else {
            continue;
        };
        let spec = spec(current, delta, &set);
        if let Some(fault) = spec.and_then(|spec| lookup_fault(expr, spec)) {
            let chain = chain.name.clone();
            return Err(PlanError::Lookup { chain, set, fault });
        }
    }
    Ok(())
}

/// Checks that a chain's rules may be reached from the base chains that lead to it.
///
/// Only rules that the plan brings are known; where an old rule gets a new way to it, the kernel looks.
fn place_outcome(current: &Catalog, delta: &CatalogDelta, chain: &Chain) -> Result<(), PlanError> {
    let exprs = chain.rules.iter().flat_map(|rule| &rule.exprs);
    if !exprs.into_iter().any(is_bound) {
        return Ok(());
    }
    let graph = &current.committed.graph;
    let mut seen: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut open = vec![ObjectKey::Chain(chain.name.clone())];
    while let Some(key) = open.pop() {
        if seen.contains(&key) {
            continue;
        }
        open.extend(delta.overlay.users(graph, &key).cloned());
        if let ObjectKey::Chain(root) = &key
            && let Some(base) = record(current, delta, root).and_then(|record| record.base)
            && let Some(expr) = misplaced(&chain.rules, base)
        {
            let (chain, root) = (chain.name.clone(), root.clone());
            let expr = Box::new(expr.clone());
            return Err(PlanError::Misplaced {
                chain,
                expr,
                root,
                base,
            });
        }
        seen.insert(key);
    }
    Ok(())
}

/// Finds why an expression cannot look up in a set or map; other expressions have no fault.
pub(super) fn lookup_fault(expr: &Expr, spec: &SetSpec) -> Option<LookupFault> {
    let (keys, verdicts) = match expr {
        Expr::InSet(_, look_up) => (&look_up.keys, false),
        Expr::VerdictMap(look_up) => (&look_up.keys, true),
        Expr::NetworkFamily(_)
        | Expr::Protocol(..)
        | Expr::Interface(..)
        | Expr::HasInputInterface
        | Expr::NoReversePath
        | Expr::Address(..)
        | Expr::Port(..)
        | Expr::IcmpType(..)
        | Expr::IcmpCode(..)
        | Expr::IcmpTypeRange(..)
        | Expr::CtState(_)
        | Expr::CtStatus(_)
        | Expr::MarkBits(..)
        | Expr::SetMark { .. }
        | Expr::Counter
        | Expr::CountIn(_)
        | Expr::Limit(_)
        | Expr::Log { .. }
        | Expr::NoTrack
        | Expr::Dnat { .. }
        | Expr::Snat { .. }
        | Expr::Masquerade { .. }
        | Expr::Reject(_)
        | Expr::Verdict(_) => return None,
    };
    let kind = |key: &Key| match key {
        Key::Address(family, _) | Key::Network(family, _, _) => KeyType::Address(*family),
        Key::Protocol => KeyType::Protocol,
        Key::Port(_) => KeyType::Port,
        Key::Interface(_) => KeyType::Interface,
    };
    if verdicts != spec.verdicts {
        Some(LookupFault::Kind)
    } else if !keys.iter().map(kind).eq(spec.key.iter().copied()) {
        Some(LookupFault::Key)
    } else {
        None
    }
}

/// Returns what is known of a chain after the plan; `None` where it is not there.
fn record<'a>(
    current: &'a Catalog,
    delta: &'a CatalogDelta,
    name: &ChainName,
) -> Option<&'a ChainRecord> {
    match delta.chains.get(name) {
        Some(changed) => changed.as_ref(),
        None => current.chains.get(name),
    }
}

/// Tells whether a counter is there after the plan.
fn has_counter(current: &Catalog, delta: &CatalogDelta, name: &CounterName) -> bool {
    match delta.counters.get(name) {
        Some(presence) => *presence == Presence::Present,
        None => current.counters.contains(name),
    }
}

/// Returns what a set is after the plan; `None` where it is not there.
fn spec<'a>(current: &'a Catalog, delta: &'a CatalogDelta, name: &SetName) -> Option<&'a SetSpec> {
    match delta.sets.get(name) {
        Some(SetDelta::Absent) => None,
        Some(SetDelta::Whole { spec, .. }) => Some(spec),
        Some(SetDelta::Digest(_) | SetDelta::Unknown | SetDelta::Verdicts(_)) | None => {
            current.sets.get(name).map(|record| &*record.spec)
        }
    }
}
