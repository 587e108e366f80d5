//! From interfaces to the chains of their endpoints, by verdict map, and the base chains around that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::{Base, Place, Shared, interface_map, workload_interface};
use super::rule::deny;
use super::settings::{AllowAction, DenyAction, Settings, ToHostAction};
use super::{marks, shared};
use crate::net::{Family, InterfaceName};
use crate::nft::{
    Chain, Comparison, Element, ElementKey, Expr, InterfaceSide, Key, KeyType, ObjectChange,
    ObjectChanges, ObjectKey, Rule, SetName, SetSpec, Verdict, ct_state, ct_status,
};

/// Where packets go from the base chains, by interface.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// By the name of the interface.
    named: BTreeMap<Place, BTreeMap<InterfaceName, Verdict>>,
    /// From every interface that has no endpoint of its own.
    others: BTreeMap<Place, Verdict>,
    /// The map to the sources that workloads may use although they are not their own, where one may.
    spoofed_sources: Option<SetName>,
}

impl Dispatch {
    /// Stores where packets of an interface go at a place; returns what was stored.
    pub(super) fn set(
        &mut self,
        place: Place,
        interface: &InterfaceName,
        verdict: Option<Verdict>,
    ) -> Option<Verdict> {
        let named = self.named.entry(place).or_default();
        match verdict {
            Some(verdict) => named.insert(interface.clone(), verdict),
            None => named.remove(interface),
        }
    }

    /// Stores where packets of all other interfaces go at a place; tells whether that is new.
    pub(super) fn set_others(&mut self, place: Place, verdict: Option<Verdict>) -> bool {
        if self.others.get(&place) == verdict.as_ref() {
            return false;
        }
        match verdict {
            Some(verdict) => self.others.insert(place, verdict),
            None => self.others.remove(&place),
        };
        true
    }

    /// Stores the map to the sources that workloads may use although they are not their own; tells whether that is new.
    pub(super) fn set_spoofed_sources(&mut self, map: Option<&SetName>) -> bool {
        let is_new = self.spoofed_sources.as_ref() != map;
        self.spoofed_sources = map.cloned();
        is_new
    }

    /// Tells whether any endpoint has a say at a place.
    fn is_in_use(&self, place: Place) -> bool {
        let leads_on = |verdict: &Verdict| verdict.chain().is_some();
        let named = self.named.get(&place).into_iter().flatten();
        self.others.contains_key(&place) || named.into_iter().any(|(_, verdict)| leads_on(verdict))
    }

    /// Writes the whole map of a place.
    pub(super) fn write_map(&self, place: Place, out: &mut ObjectChanges) {
        let named = self.named.get(&place).into_iter().flatten();
        let elements = named.map(|(interface, verdict)| element(interface, verdict));
        let spec = SetSpec {
            name: interface_map(place),
            key: vec![KeyType::Interface],
            interval: false,
            verdicts: true,
            size: None,
        };
        let change = ObjectChange::Set {
            spec: Arc::new(spec),
            elements: Arc::new(elements.collect()),
        };
        out.insert(ObjectKey::Set(interface_map(place)), change);
    }

    /// Makes a base chain of policy.
    pub(super) fn base_chain(&self, base: Base, settings: &Settings) -> Arc<Chain> {
        let mut rules = Vec::new();
        match base {
            Base::RawPrerouting => rules.push(forget_marks(settings.marks.all())),
            Base::RawOutput => rules.push(forget_marks(self.marks_of_output(settings))),
            Base::PreDnat
            | Base::InputPolicy
            | Base::InputToHost
            | Base::ForwardHostIn
            | Base::ForwardFromWorkload
            | Base::ForwardToWorkload
            | Base::ForwardHostOut
            | Base::Output
            | Base::OutputDnat => {}
        }
        if !settings.ipv6 {
            rules.push(Rule::new(
                "IPv6 is not policed (Ipv6Support)",
                vec![Expr::NetworkFamily(Family::V6), accept()],
            ));
        }
        match base {
            Base::RawPrerouting => self.raw_prerouting(settings, &mut rules),
            Base::RawOutput => {
                if self.others.contains_key(&Place::RawOut) {
                    leave_workloads(InterfaceSide::Output, settings, &mut rules);
                }
                self.hosts(Place::RawOut, None, &mut rules);
            }
            Base::PreDnat => self.pre_dnat(settings, &mut rules),
            Base::InputPolicy => {
                for prefix in &settings.workload_prefixes {
                    let jump = Expr::Verdict(Verdict::Jump(Shared::WorkloadEssentials.name()));
                    let exprs = vec![workload_interface(InterfaceSide::Input, prefix), jump];
                    rules.push(Rule {
                        exprs,
                        comment: None,
                    });
                }
                workloads(Place::FromWorkload, settings, &mut rules);
                if self.is_early_used() {
                    rules.push(honour_early(settings));
                }
                self.hosts(Place::HostIn, None, &mut rules);
            }
            Base::InputToHost => to_host(settings, &mut rules),
            Base::ForwardHostIn => {
                if self.is_early_used() {
                    rules.push(honour_early(settings));
                }
                self.hosts(Place::ForwardIn, None, &mut rules);
            }
            Base::ForwardFromWorkload => workloads(Place::FromWorkload, settings, &mut rules),
            Base::ForwardToWorkload => workloads(Place::ToWorkload, settings, &mut rules),
            Base::ForwardHostOut => self.hosts(Place::ForwardOut, None, &mut rules),
            Base::Output => self.output(settings, &mut rules),
            Base::OutputDnat => self.output_dnat(settings, &mut rules),
        }
        base.chain(settings.position, rules)
    }

    /// Adds the rules of what comes in, before connection tracking.
    fn raw_prerouting(&self, settings: &Settings, rules: &mut Vec<Rule>) {
        let side = InterfaceSide::Input;
        if let Some(map) = &self.spoofed_sources {
            for prefix in &settings.workload_prefixes {
                let map = Expr::VerdictMap(vec![Key::Interface(side)], map.clone());
                let exprs = vec![workload_interface(side, prefix), map];
                rules.push(Rule::new("sources that the workload may use", exprs));
            }
        }
        if settings.openstack.is_some() {
            rules.push(shared::first_dhcp_request());
        }
        for prefix in &settings.workload_prefixes {
            let exprs = vec![
                workload_interface(side, prefix),
                Expr::NoReversePath,
                // In silence: an error would go to whoever really has the address.
                Expr::Verdict(Verdict::Drop),
            ];
            rules.push(Rule::new("a source that is not the workload's", exprs));
        }
        if self.is_in_use(Place::RawIn) {
            leave_workloads(side, settings, rules);
        }
        self.hosts(Place::RawIn, None, rules);
    }

    /// Adds the rules of what comes in, before its destination is translated.
    fn pre_dnat(&self, settings: &Settings, rules: &mut Vec<Rule>) {
        if !self.is_in_use(Place::PreDnat) {
            return;
        }
        let known = ct_state::ESTABLISHED | ct_state::RELATED;
        rules.push(Rule::new(
            "connections that policy has accepted",
            vec![Expr::CtState(known), accept()],
        ));
        let early = Expr::MarkBits(Comparison::Is, settings.marks.early());
        rules.push(Rule::new(
            "accepted by untracked policy",
            vec![early, accept()],
        ));
        self.hosts(Place::PreDnat, None, rules);
    }

    /// Adds the rules of what this host sends.
    fn output(&self, settings: &Settings, rules: &mut Vec<Rule>) {
        if !self.is_in_use(Place::HostOut) {
            return;
        }
        if self.is_in_use(Place::RawOut) {
            rules.push(honour_early(settings));
        }
        leave_workloads(InterfaceSide::Output, settings, rules);
        // Only presence is tested: a packet without a connection has no such bit to compare.
        rules.push(Rule::new(
            "judged after routing, by its final interface",
            vec![Expr::CtStatus(ct_status::DNAT), accept()],
        ));
        self.hosts(Place::HostOut, None, rules);
    }

    /// Adds the rules of what this host sends to a translated destination, by its final interface.
    fn output_dnat(&self, settings: &Settings, rules: &mut Vec<Rule>) {
        let place = match settings.deny {
            DenyAction::Drop => Place::HostOut,
            DenyAction::Reject => Place::HostDnat,
        };
        if !self.is_in_use(place) {
            return;
        }
        rules.push(Rule::new(
            "forwarded",
            vec![Expr::HasInputInterface, accept()],
        ));
        leave_workloads(InterfaceSide::Output, settings, rules);
        self.hosts(place, Some(&Expr::CtStatus(ct_status::DNAT)), rules);
    }

    /// Returns the bits that must not come from outside to what this host sends. One that means nothing there is
    /// left alone: what IPVS forwards is sent by this host as well, and its packets may carry bits of others.
    fn marks_of_output(&self, settings: &Settings) -> u32 {
        if self.is_in_use(Place::RawOut) {
            settings.marks.all()
        } else {
            settings.marks.accepted() | settings.marks.pass()
        }
    }

    /// Tells whether untracked or pre-DNAT policy can have accepted a packet that came in.
    fn is_early_used(&self) -> bool {
        [Place::RawIn, Place::PreDnat]
            .into_iter()
            .any(|place| self.is_in_use(place))
    }

    /// Adds the rules that find a host endpoint; `guard` is asked before.
    fn hosts(&self, place: Place, guard: Option<&Expr>, rules: &mut Vec<Rule>) {
        if !self.is_in_use(place) {
            return;
        }
        let map = Expr::VerdictMap(vec![Key::Interface(place.side())], interface_map(place));
        let exprs = guard.cloned().into_iter().chain([map]).collect();
        rules.push(Rule::new("the interface's host endpoint", exprs));
        if let Some(verdict) = self.others.get(&place) {
            let verdict = Expr::Verdict(verdict.clone());
            let exprs = guard.cloned().into_iter().chain([verdict]).collect();
            rules.push(Rule::new(
                "the host endpoint of all other interfaces",
                exprs,
            ));
        }
    }
}

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

/// Makes the element that sends an interface's packets on. Where that is a chain, it decides every packet, so that
/// the endpoint of all other interfaces is not asked as well.
pub(super) fn element(interface: &InterfaceName, verdict: &Verdict) -> Element {
    Element {
        key: ElementKey::Interface(interface.clone()),
        verdict: Some(verdict.clone()),
    }
}

/// Makes the rule that trusts no mark that came from outside.
fn forget_marks(ours: u32) -> Rule {
    let set = Expr::MarkBits(Comparison::Is, ours);
    Rule::new("marks that are not ours yet", vec![set, marks::clear(ours)])
}

/// Makes the rule that honours what untracked or pre-DNAT policy has accepted.
fn honour_early(settings: &Settings) -> Rule {
    let early = Expr::MarkBits(Comparison::Is, settings.marks.early());
    let mut exprs = vec![early];
    match settings.allow {
        AllowAction::Accept => exprs.push(marks::set(settings.marks.accepted())),
        AllowAction::Return => {}
    }
    exprs.push(accept());
    Rule::new("accepted by untracked or pre-DNAT policy", exprs)
}

/// Adds the rules that leave workload interfaces alone.
fn leave_workloads(side: InterfaceSide, settings: &Settings, rules: &mut Vec<Rule>) {
    for prefix in &settings.workload_prefixes {
        rules.push(Rule::new(
            "workload interfaces have no host endpoint",
            vec![workload_interface(side, prefix), accept()],
        ));
    }
}

/// Adds the rules that find a workload endpoint, and refuse what belongs to none.
fn workloads(place: Place, settings: &Settings, rules: &mut Vec<Rule>) {
    let side = place.side();
    for prefix in &settings.workload_prefixes {
        let is_workload = || workload_interface(side, prefix);
        let map = Expr::VerdictMap(vec![Key::Interface(side)], interface_map(place));
        let found = vec![is_workload(), map];
        rules.push(Rule::new("the interface's workload endpoint", found));
        let unknown = vec![is_workload(), deny(settings.deny)];
        rules.push(Rule::new("an unknown workload interface", unknown));
    }
}

/// Adds the rules for what workloads send to this host and their policy has allowed.
fn to_host(settings: &Settings, rules: &mut Vec<Rule>) {
    let last = match settings.to_host {
        ToHostAction::Accept => return,
        ToHostAction::Drop => Expr::Verdict(Verdict::Drop),
        ToHostAction::Return if settings.allow == AllowAction::Return => return,
        ToHostAction::Return => marks::clear(settings.marks.accepted()),
    };
    let known = ct_state::ESTABLISHED | ct_state::RELATED;
    for prefix in &settings.workload_prefixes {
        let is_workload = || workload_interface(InterfaceSide::Input, prefix);
        rules.push(Rule::new(
            "connections that policy has accepted",
            vec![is_workload(), Expr::CtState(known), accept()],
        ));
        let jump = Expr::Verdict(Verdict::Jump(Shared::WorkloadEssentials.name()));
        rules.push(Rule {
            exprs: vec![is_workload(), jump],
            comment: None,
        });
        rules.push(Rule::new(
            "from a workload to this host (DefaultEndpointToHostAction)",
            vec![is_workload(), last.clone()],
        ));
    }
}
