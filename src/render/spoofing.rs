//! Sources that workloads may use although they are not their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keyed::KeyedChains;
use super::names;
use crate::calc::WorkloadInterface;
use crate::net::{Family, InterfaceName};
use crate::nft::{
    Chain, Comparison, ElementKey, Expr, KeyType, ObjectChanges, Rule, SetName, SetSpec, Side,
    Verdict,
};

/// What the name of the map and those of its chains begin with.
const STEM: &str = "spoofed-sources";

/// By interface: the chain of the sources that its workload may use.
#[derive(Debug)]
pub(super) struct Spoofing(KeyedChains);

impl Default for Spoofing {
    fn default() -> Self {
        let spec = SetSpec {
            name: names::set(STEM),
            key: vec![KeyType::Interface],
            interval: false,
            verdicts: true,
            size: None,
        };
        Self(KeyedChains::new(spec))
    }
}

impl Spoofing {
    /// Takes in changed workloads, and writes how the map changed.
    pub(super) fn follow(
        &mut self,
        workloads: &BTreeMap<InterfaceName, Option<Arc<WorkloadInterface>>>,
        out: &mut ObjectChanges,
    ) {
        for (interface, now) in workloads {
            let chain = now.as_ref().and_then(|now| chain(interface, now));
            self.0.set(ElementKey::Interface(interface.clone()), chain);
        }
        self.0.write(out);
    }

    /// Returns the map, where any workload may use such sources.
    pub(super) fn map(&self) -> Option<&SetName> {
        (!self.0.is_empty()).then(|| self.0.name())
    }
}

/// Makes the chain of an interface; none where its workload may use nothing but its own.
fn chain(interface: &InterfaceName, workload: &WorkloadInterface) -> Option<Arc<Chain>> {
    let rule = |net: &ipnet::IpNet| {
        let mut exprs = vec![Expr::NetworkFamily(Family::of_net(net))];
        if net.prefix_len() > 0 {
            exprs.push(Expr::Address(Side::Source, Comparison::Is, *net));
        }
        exprs.push(Expr::Verdict(Verdict::Accept));
        Rule::new("a source that the workload may use", exprs)
    };
    let rules: Vec<Rule> = workload.spoofable.iter().map(rule).collect();
    let name = names::of_interface(STEM, interface);
    (!rules.is_empty()).then(|| Arc::new(Chain::new(name, None, rules)))
}
