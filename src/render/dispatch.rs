//! From interfaces to the chains of their endpoints, by verdict map.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::{Base, Path, interface_map};
use super::names;
use super::settings::Settings;
use crate::calc::EndpointId;
use crate::model::HostInterface;
use crate::net::{Family, InterfaceName};
use crate::nft::{
    Chain, Comparison, Element, ElementKey, Expr, InterfaceMatch, InterfaceSide, Key, KeyType,
    ObjectChange, ObjectChanges, ObjectKey, Rule, SetSpec, Verdict, ct_status,
};

/// Which endpoint polices which interface.
pub(super) type Bindings = BTreeMap<HostInterface, EndpointId>;

/// Describes the map of one way.
fn map_spec(path: Path) -> Arc<SetSpec> {
    Arc::new(SetSpec {
        name: interface_map(path),
        key: vec![KeyType::Interface],
        interval: false,
        verdicts: true,
        size: None,
    })
}

/// Makes the element that sends an interface's packets to its endpoint's chain. The chain never comes back,
/// so that the endpoint of all other interfaces is not asked as well.
fn element(path: Path, interface: &InterfaceName, id: &EndpointId) -> Element {
    let verdict = Verdict::Goto(names::endpoint(path, id));
    Element {
        key: ElementKey::Interface(interface.clone()),
        verdict: Some(verdict),
    }
}

/// Writes the whole map of one way.
pub(super) fn write_map(path: Path, bindings: &Bindings, out: &mut ObjectChanges) {
    let mut elements: Vec<Element> = bindings
        .iter()
        .filter_map(|(interface, id)| match interface {
            HostInterface::Name(name) => Some(element(path, name, id)),
            HostInterface::Any => None,
        })
        .collect();
    elements.sort_unstable();
    let change = ObjectChange::Set {
        spec: map_spec(path),
        elements: Arc::new(elements),
    };
    out.insert(ObjectKey::Set(interface_map(path)), change);
}

/// Writes how the map of one way changed between two states of the bindings of some interfaces.
pub(super) fn write_map_changes(
    path: Path,
    changed: &BTreeMap<InterfaceName, (Option<EndpointId>, Option<EndpointId>)>,
    out: &mut ObjectChanges,
) {
    let mut added = Vec::new();
    let mut removed = Vec::new();
    for (interface, (before, after)) in changed {
        if before != after {
            removed.extend(before.iter().map(|id| element(path, interface, id)));
            added.extend(after.iter().map(|id| element(path, interface, id)));
        }
    }
    if !(added.is_empty() && removed.is_empty()) {
        let change = ObjectChange::Elements { added, removed };
        out.insert(ObjectKey::Set(interface_map(path)), change);
    }
}

/// Makes a base chain; `any` is the endpoint of all interfaces that have none of their own.
pub(super) fn base_chain(base: Base, any: Option<&EndpointId>, settings: &Settings) -> Arc<Chain> {
    let (path, side) = match base {
        Base::InputPolicy => (Path::In, InterfaceSide::Input),
        Base::Output => (Path::Out, InterfaceSide::Output),
        Base::OutputDnat => (super::renderer::dnat_path(settings), InterfaceSide::Output),
    };
    let mut rules = Vec::new();
    let accept = || Expr::Verdict(Verdict::Accept);
    if !settings.ipv6 {
        rules.push(Rule::new(
            "IPv6 is not policed (Ipv6Support)",
            vec![Expr::NetworkFamily(Family::V6), accept()],
        ));
    }
    if base == Base::OutputDnat {
        rules.push(Rule::new(
            "forwarded",
            vec![Expr::HasInputInterface, accept()],
        ));
    }
    for prefix in &settings.workload_prefixes {
        let matched = InterfaceMatch::Prefix(prefix.clone());
        rules.push(Rule::new(
            "workload interfaces have no host endpoint",
            vec![Expr::Interface(side, Comparison::Is, matched), accept()],
        ));
    }
    let translated = Expr::CtStatus(ct_status::DNAT);
    // Only presence is tested: a packet without a connection has no such bit to compare.
    let guard = match base {
        Base::InputPolicy => None,
        Base::Output => {
            rules.push(Rule::new(
                "judged after routing, by its final interface",
                vec![translated, accept()],
            ));
            None
        }
        Base::OutputDnat => Some(translated),
    };
    let map = Expr::VerdictMap(vec![Key::Interface(side)], interface_map(path));
    let lookup = guard.iter().cloned().chain([map]).collect();
    rules.push(Rule::new("the interface's host endpoint", lookup));
    if let Some(id) = any {
        let goto = Expr::Verdict(Verdict::Goto(names::endpoint(path, id)));
        let exprs = guard.into_iter().chain([goto]).collect();
        rules.push(Rule::new(
            "the host endpoint of all other interfaces",
            exprs,
        ));
    }
    base.chain(settings.position, rules)
}
