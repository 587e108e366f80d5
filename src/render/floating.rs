//! Floating addresses: addresses of the outside that lead to a workload's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::keyed::KeyedChains;
use super::names;
use super::settings::Settings;
use crate::calc::{AdminState, WorkloadInterface};
use crate::net::{Family, InterfaceName, host_net};
use crate::nft::{
    Chain, Comparison, ElementKey, Expr, Key, KeyType, ObjectChanges, Rule, SetSpec, Side,
};

/// What the names of the map by floating address and of its chains begin with.
const TO: &str = "floating";
/// What the names of the map by own address and of its chains begin with.
const OWN: &str = "floating-own";

/// Which floating address leads to which workload's.
#[derive(Debug)]
pub(super) struct Floating {
    /// What each interface's workload wants: floating address and own.
    wanted: BTreeMap<InterfaceName, BTreeSet<(IpAddr, IpAddr)>>,
    /// The own addresses that a floating one is wanted for, and by how many interfaces. Of several the first has it.
    claims: BTreeMap<IpAddr, BTreeMap<IpAddr, usize>>,
    /// The floating addresses that an own one has.
    held: BTreeMap<IpAddr, BTreeSet<IpAddr>>,
    v4: Maps,
    v6: Maps,
}

/// The maps of one family.
#[derive(Debug)]
struct Maps {
    family: Family,
    /// By floating address: the chain that leads to the workload.
    to: KeyedChains,
    /// By own address: the chain for a workload that asks for itself by a floating one.
    own: KeyedChains,
}

impl Default for Floating {
    fn default() -> Self {
        Self {
            wanted: BTreeMap::new(),
            claims: BTreeMap::new(),
            held: BTreeMap::new(),
            v4: Maps::new(Family::V4),
            v6: Maps::new(Family::V6),
        }
    }
}

impl Floating {
    /// Takes in changed workloads, and writes how the maps changed.
    pub(super) fn follow(
        &mut self,
        workloads: &BTreeMap<InterfaceName, Option<Arc<WorkloadInterface>>>,
        settings: &Settings,
        out: &mut ObjectChanges,
    ) {
        // Whose each floating address was before, where that may change.
        let mut touched = BTreeMap::new();
        for (interface, now) in workloads {
            let wanted = wanted(now.as_deref(), settings);
            let before = if wanted.is_empty() {
                self.wanted.remove(interface)
            } else {
                self.wanted.insert(interface.clone(), wanted.clone())
            };
            let before = before.unwrap_or_default();
            for (floating, own) in before.difference(&wanted) {
                touched
                    .entry(*floating)
                    .or_insert_with(|| self.holder(*floating));
                self.unclaim(*floating, *own);
            }
            for (floating, own) in wanted.difference(&before) {
                touched
                    .entry(*floating)
                    .or_insert_with(|| self.holder(*floating));
                *self
                    .claims
                    .entry(*floating)
                    .or_default()
                    .entry(*own)
                    .or_default() += 1;
            }
        }
        let mut owners = BTreeSet::new();
        for (floating, before) in touched {
            let now = self.holder(floating);
            if let Some(before) = before
                && let Some(held) = self.held.get_mut(&before)
            {
                held.remove(&floating);
                owners.insert(before);
            }
            if let Some(now) = now {
                self.held.entry(now).or_default().insert(floating);
                owners.insert(now);
            }
            let chain = now.map(|own| chain_to(floating, own));
            self.maps(floating).to.set(key(floating), chain);
        }
        for own in owners {
            let first = self.held.get(&own).and_then(BTreeSet::first).copied();
            if first.is_none() {
                self.held.remove(&own);
            }
            let chain = first.map(|floating| chain_of_own(own, floating));
            self.maps(own).own.set(key(own), chain);
        }
        for maps in [&mut self.v4, &mut self.v6] {
            maps.to.write(out);
            maps.own.write(out);
        }
    }

    /// Makes the rules that lead from floating addresses to workloads.
    pub(super) fn rules_to(&self) -> Vec<Rule> {
        let rule = |maps: &Maps| maps.rule(&maps.to, "floating addresses");
        [&self.v4, &self.v6].into_iter().filter_map(rule).collect()
    }

    /// Makes the rules for workloads that ask for themselves by their floating address: replies must come the same
    /// way.
    pub(super) fn rules_of_own(&self) -> Vec<Rule> {
        let rule = |maps: &Maps| maps.rule(&maps.own, "workloads' own floating addresses");
        [&self.v4, &self.v6].into_iter().filter_map(rule).collect()
    }

    /// Returns whose a floating address is: of several endpoints the first by address has it.
    fn holder(&self, floating: IpAddr) -> Option<IpAddr> {
        let claims = self.claims.get(&floating)?;
        claims.first_key_value().map(|(own, _)| *own)
    }

    fn unclaim(&mut self, floating: IpAddr, own: IpAddr) {
        let Some(claims) = self.claims.get_mut(&floating) else {
            return;
        };
        if let Some(count) = claims.get_mut(&own) {
            *count -= 1;
            if *count == 0 {
                claims.remove(&own);
            }
        }
        if claims.is_empty() {
            self.claims.remove(&floating);
        }
    }

    fn maps(&mut self, address: IpAddr) -> &mut Maps {
        match Family::of_address(address) {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl Maps {
    fn new(family: Family) -> Self {
        let map = |stem: &str| {
            let spec = SetSpec {
                name: names::set(&format!("{stem}{}", family.version())),
                key: vec![KeyType::Address(family)],
                interval: false,
                verdicts: true,
                size: None,
            };
            KeyedChains::new(spec)
        };
        Self {
            family,
            to: map(TO),
            // What its chain does not translate may still leave the pools.
            own: map(OWN),
        }
    }

    /// Makes the rule that asks a map by destination; none where it is not there.
    fn rule(&self, map: &KeyedChains, comment: &str) -> Option<Rule> {
        let key = vec![Key::Address(self.family, Side::Destination)];
        let exprs = vec![
            Expr::NetworkFamily(self.family),
            Expr::VerdictMap(key, map.name().clone()),
        ];
        (!map.is_empty()).then(|| Rule::new(comment, exprs))
    }
}

/// Returns the floating addresses of a workload that carries traffic, each with its own.
fn wanted(workload: Option<&WorkloadInterface>, settings: &Settings) -> BTreeSet<(IpAddr, IpAddr)> {
    let up = workload.filter(|workload| workload.state == AdminState::Up);
    let mappings = up.into_iter().flat_map(|workload| &workload.floating);
    mappings
        .map(|mapping| (mapping.external, mapping.internal))
        .filter(|(floating, own)| floating.is_ipv4() == own.is_ipv4())
        .filter(|(floating, _)| settings.ipv6 || floating.is_ipv4())
        .collect()
}

fn key(address: IpAddr) -> ElementKey {
    ElementKey::Net(host_net(address))
}

/// Makes the chain that leads from a floating address to a workload's own.
fn chain_to(floating: IpAddr, own: IpAddr) -> Arc<Chain> {
    let translate = Expr::Dnat {
        address: own,
        port: None,
    };
    let rule = Rule::new("floating address", vec![translate]);
    let name = names::of_address(TO, floating);
    Arc::new(Chain::new(name, None, vec![rule]))
}

/// Makes the chain for what is sent to an own address: a workload that asks for itself does so by a floating one.
fn chain_of_own(own: IpAddr, floating: IpAddr) -> Arc<Chain> {
    let exprs = vec![
        // For readers: who comes here has been asked already.
        Expr::NetworkFamily(Family::of_address(own)),
        Expr::Address(Side::Source, Comparison::Is, host_net(own)),
        Expr::Snat {
            address: floating,
            ports: None,
        },
    ];
    let rule = Rule::new("a workload's own floating address", exprs);
    let name = names::of_address(OWN, own);
    Arc::new(Chain::new(name, None, vec![rule]))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::agent::render_settings;
    use crate::config::Config;
    use crate::model::{Kind, NatMapping, ResourceKey};
    use crate::nft::{Extent, Object, Ruleset};

    type Workloads = BTreeMap<InterfaceName, Option<Arc<WorkloadInterface>>>;

    /// Few addresses and interfaces, so that they meet often.
    fn workloads() -> impl Strategy<Value = (InterfaceName, Option<Arc<WorkloadInterface>>)> {
        let address = |net: [u8; 2]| {
            (0..4_u8, any::<bool>()).prop_map(move |(last, is_v4)| {
                if is_v4 {
                    IpAddr::from([net[0], net[1], 0, last])
                } else {
                    let [first, second] = net.map(u16::from);
                    IpAddr::from([first, second, 0, 0, 0, 0, 0, last.into()])
                }
            })
        };
        let mapping = (address([203, 0]), address([10, 65]))
            .prop_map(|(external, internal)| NatMapping { internal, external });
        let workload = (vec(mapping, 0..4), any::<bool>()).prop_map(|(floating, is_up)| {
            Arc::new(WorkloadInterface {
                endpoint: ResourceKey::v3(Kind::WorkloadEndpoint, "ns", "w"),
                state: if is_up {
                    AdminState::Up
                } else {
                    AdminState::Down
                },
                addresses: BTreeSet::new(),
                mac: None,
                floating,
                spoofable: Vec::new(),
            })
        });
        let interface = (0..5_u8).prop_map(|number| format!("cali{number}").parse().unwrap());
        (interface, prop::option::of(workload))
    }

    fn settings() -> Settings {
        render_settings(&Config::default_for("host")).unwrap()
    }

    /// Returns what rules and chains say of a state, with the addresses that lead on.
    fn leads(workloads: &Workloads) -> BTreeMap<IpAddr, IpAddr> {
        let mut leads: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
        for workload in workloads.values().flatten() {
            for (floating, own) in wanted(Some(workload), &settings()) {
                let known = leads.entry(floating).or_insert(own);
                *known = own.min(*known);
            }
        }
        leads
    }

    proptest! {
        #[test]
        fn any_way_to_a_state_leads_to_the_chains_of_a_start(
            rounds in vec(vec(workloads(), 1..4), 1..8),
        ) {
            let (mut floating, mut held) = (Floating::default(), Ruleset::default());
            let mut state = Workloads::new();
            for round in rounds {
                let changes: Workloads = round.into_iter().collect();
                state.extend(changes.clone());
                let mut out = ObjectChanges::new();
                floating.follow(&changes, &settings(), &mut out);
                held.apply(&out, Extent::Part).unwrap();
                let (mut anew, mut fresh) = (Floating::default(), Ruleset::default());
                let mut out = ObjectChanges::new();
                anew.follow(&state, &settings(), &mut out);
                fresh.apply(&out, Extent::Part).unwrap();
                prop_assert_eq!(&held, &fresh);
                prop_assert_eq!(floating.rules_to(), anew.rules_to());
                prop_assert_eq!(floating.rules_of_own(), anew.rules_of_own());
                let chains: BTreeSet<String> = held
                    .objects
                    .values()
                    .filter_map(|object| match object {
                        Object::Chain(chain) => Some(format!("{} {}", chain.name, chain.rules[0])),
                        Object::Set(..) | Object::Counter(_) => None,
                    })
                    .collect();
                let leads = leads(&state);
                let mut firsts: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
                for (floating, own) in &leads {
                    firsts.entry(*own).or_insert(*floating);
                }
                let named = |chain: Arc<Chain>| format!("{} {}", chain.name, chain.rules[0]);
                let to = leads.iter().map(|(floating, own)| named(chain_to(*floating, *own)));
                let own = firsts.iter().map(|(own, floating)| named(chain_of_own(*own, *floating)));
                prop_assert_eq!(chains, to.chain(own).collect());
            }
        }
    }
}
