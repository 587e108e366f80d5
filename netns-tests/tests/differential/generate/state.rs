//! A whole state, and the way from one to the next.

use std::collections::BTreeMap;

use serde_json::Value;

use super::endpoint::{self, Binding};
use super::policy;
use super::rule::{Setting, rule};
use super::words::{Form, NAMESPACES, labels, profiles, selector};
use crate::network::{Site, Wanderer};
use crate::options::Options;
use crate::yaml;
use netns_tests::random::Random;

/// Is a place for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// Host endpoints of this host, by number.
    Host(usize),
    /// Host endpoints of another host.
    OtherHost(usize),
    /// Endpoints of local workloads.
    Workload(usize),
    /// Endpoints of workloads of another host.
    OtherWorkload(usize),
    /// Network sets.
    Set(usize),
    /// Pools of addresses.
    Pool(usize),
    /// Profiles.
    Profile(usize),
    /// Tiers.
    Tier(usize),
    /// Global policies of the v3 form.
    Policy(usize),
    /// Policies of a namespace.
    Namespaced(usize),
    /// Policies of the v1 form.
    Old(usize),
    /// Policies that are only being tried.
    Staged(usize),
}

/// Makes the slot of a kind that has a number.
type MakeSlot = fn(usize) -> Slot;

/// How many slots there are of each kind, and how often one is filled.
const SLOTS: &[(MakeSlot, &[usize])] = &[
    (Slot::Host, &[65, 50, 40, 30, 25, 20, 20]),
    (Slot::OtherHost, &[60, 40]),
    (Slot::Workload, &[85, 80, 15, 15, 10]),
    (Slot::OtherWorkload, &[70, 50]),
    (Slot::Set, &[60, 50, 40, 40]),
    (Slot::Pool, &[40, 30, 20]),
    (Slot::Profile, &[85, 75, 80, 60, 50, 70]),
    (Slot::Tier, &[85, 80]),
    (Slot::Policy, &[70, 70, 60, 60, 50, 50, 40, 40, 30, 30]),
    (Slot::Namespaced, &[40, 30, 20]),
    (Slot::Old, &[40, 35, 30, 20]),
    (Slot::Staged, &[20]),
];

/// In how many files the documents of a state lie.
const FILES: usize = 5;

impl Slot {
    /// Returns every slot and how often it is filled.
    fn all() -> Vec<(Self, usize)> {
        SLOTS
            .iter()
            .flat_map(|(slot, often)| {
                often
                    .iter()
                    .enumerate()
                    .map(|(number, often)| (slot(number), *often))
            })
            .collect()
    }

    /// Makes a document for it.
    fn make(self, random: &mut Random) -> Value {
        match self {
            Self::Host(0) => endpoint::host(random, "main", Binding::Name("eth0")),
            Self::Host(1) => endpoint::host(random, "inside", Binding::Name("eth1")),
            Self::Host(2) => endpoint::host(random, "all", Binding::Name("*")),
            Self::Host(3) => endpoint::host(random, "by-address", Binding::Addresses),
            Self::Host(4) => {
                let interface = *random.pick(&["eth0", "eth1"]);
                endpoint::old_host(random, "main", Binding::Name(interface))
            }
            Self::Host(5) => endpoint::old_host(random, "by-address", Binding::Addresses),
            Self::Host(number) => endpoint::host(random, &format!("odd{number}"), Binding::Odd),
            Self::OtherHost(number) => endpoint::other_host(random, &format!("other{number}")),
            Self::Workload(0) => endpoint::workload(random, "w0", "cali0", Site::Work0),
            Self::Workload(1) => endpoint::workload(random, "w1", "cali1", Site::Work1),
            Self::Workload(2) => endpoint::old_workload(random, "w0", "cali0", Site::Work0),
            Self::Workload(3) => endpoint::old_workload(random, "w1", "cali1", Site::Work1),
            Self::Workload(_) => endpoint::workload(random, "another", "cali0", Site::Work0),
            Self::OtherWorkload(number) => {
                endpoint::other_workload(random, &format!("remote{number}"))
            }
            Self::Set(0) => endpoint::network_set(random, None, "set-a"),
            Self::Set(1) => endpoint::network_set(random, None, "set-b"),
            Self::Set(number) => {
                endpoint::network_set(random, Some(NAMESPACES[number % 2]), "set-a")
            }
            Self::Pool(number) => endpoint::pool(random, number),
            Self::Profile(0) => policy::profile(random, "prof-a"),
            Self::Profile(1) => policy::profile(random, "prof-b"),
            Self::Profile(2) => policy::old_profile(random, "prof-v1"),
            Self::Profile(3) => policy::profile(random, "both-forms"),
            Self::Profile(4) => policy::old_profile(random, "both-forms"),
            Self::Profile(_) => policy::profile(random, "kns.ns1"),
            Self::Tier(0) => policy::tier_of(random, "first"),
            Self::Tier(_) => policy::tier_of(random, "second"),
            Self::Policy(number) => policy::global(random, &format!("p{number}")),
            Self::Namespaced(number) => {
                policy::namespaced(random, NAMESPACES[number % 2], &format!("p{number}"))
            }
            Self::Old(number) => policy::old(random, &format!("p{number}")),
            Self::Staged(number) => policy::staged(random, &format!("s{number}")),
        }
    }

    /// Returns the number of the file that it lies in.
    fn file(self) -> usize {
        let (kind, number) = match self {
            Self::Host(number) | Self::OtherHost(number) => (0, number),
            Self::Workload(number) | Self::OtherWorkload(number) => (1, number),
            Self::Set(number) | Self::Profile(number) | Self::Tier(number) => (2, number),
            Self::Policy(number) | Self::Namespaced(number) => (3, number),
            Self::Old(number) | Self::Staged(number) | Self::Pool(number) => (4, number),
        };
        (kind + number) % FILES
    }

    /// Returns the rules' setting of what it holds.
    fn setting(self) -> Setting {
        let old = matches!(self, Self::Old(_) | Self::Profile(2 | 4));
        Setting {
            form: if old { Form::V1 } else { Form::V3 },
            policy: !matches!(self, Self::Profile(_)),
        }
    }
}

/// Is what the daemon is told, and what the host's links are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// The resources.
    pub(crate) documents: BTreeMap<Slot, Value>,
    /// Where the wandering address is.
    pub(crate) wanderer: Wanderer,
    /// What is configured.
    pub(crate) options: Options,
}

impl State {
    /// Makes the state without resources.
    pub(crate) fn empty(options: Options) -> Self {
        Self {
            documents: BTreeMap::new(),
            wanderer: Wanderer::Away,
            options,
        }
    }

    /// Makes a state.
    pub(crate) fn random(random: &mut Random, options: Options) -> Self {
        let mut state = Self::empty(options);
        for (slot, often) in Slot::all() {
            if random.chance(often) {
                state.documents.insert(slot, slot.make(random));
            }
        }
        state.wanderer = *random.pick(&Wanderer::ALL);
        state
    }

    /// Makes the state that follows.
    pub(crate) fn next(&self, random: &mut Random) -> Self {
        let options = match random.below(120) {
            // The daemon has to start anew.
            0..3 => Options::random(random),
            3..15 => self.options.told_anew(random),
            _ => self.options.clone(),
        };
        if random.chance(3) {
            return Self::random(random, options);
        }
        let mut state = self.clone();
        state.options = options;
        let slots = Slot::all();
        let changes = *random.weighted(&[(4, 1), (3, 2), (2, 4), (2, 8), (1, 16)]);
        for _ in 0..changes {
            let (slot, often) = *random.pick(&slots);
            let present = state.documents.remove(&slot);
            if !random.chance(often) {
                continue;
            }
            let document = match present {
                Some(document) if random.chance(60) => changed(random, slot, document),
                Some(_) | None => slot.make(random),
            };
            state.documents.insert(slot, document);
        }
        if random.chance(15) {
            state.wanderer = *random.pick(&Wanderer::ALL);
        }
        state
    }

    /// Returns the documents of each file.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<Value>> {
        let configuration = (
            "configuration.yaml".to_owned(),
            self.options.document().into_iter().collect(),
        );
        (0..FILES)
            .map(|number| {
                let ending = if number + 1 == FILES { "json" } else { "yaml" };
                let documents = self
                    .documents
                    .iter()
                    .filter(|(slot, _)| slot.file() == number)
                    .map(|(_, document)| document.clone())
                    .collect();
                (format!("part{number}.{ending}"), documents)
            })
            .chain([configuration])
            .collect()
    }

    /// Returns all resources as one text.
    pub(crate) fn text(&self) -> String {
        yaml::documents(self.documents.values())
    }
}

/// Changes one part of a document.
fn changed(random: &mut Random, slot: Slot, mut document: Value) -> Value {
    for direction in random.some(&["ingress", "egress"], 2, 2) {
        let Some(Value::Array(rules)) = document["spec"].get_mut(direction) else {
            continue;
        };
        match random.below(4) {
            0 => {
                rules.remove(random.below(rules.len()));
            }
            1 => {
                let at = random.below(rules.len() + 1);
                rules.insert(at, rule(random, slot.setting()));
            }
            2 => {
                let at = random.below(rules.len());
                rules[at] = rule(random, slot.setting());
            }
            _ => {
                let [one, other] = [random.below(rules.len()), random.below(rules.len())];
                rules.swap(one, other);
            }
        }
        if rules.is_empty() {
            document["spec"][direction] = Value::Null;
        }
        return document;
    }
    if document["spec"].get("selector").is_some() {
        document["spec"]["selector"] = selector(random).into();
    } else if document["metadata"].get("labels").is_some() && random.chance(60) {
        let role = document["metadata"]["labels"]["role"]
            .as_str()
            .unwrap_or("host")
            .to_owned();
        document["metadata"]["labels"] = labels(random, &role);
    } else if document["spec"].get("profiles").is_some() {
        document["spec"]["profiles"] = profiles(random).into();
    } else {
        return slot.make(random);
    }
    document
}
