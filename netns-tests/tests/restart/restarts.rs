//! Scenarios 96 and 108: a daemon with a hundred workloads ends at random moments of a stream of changes.

use netns_tests::agent::command_line;
use netns_tests::crowd::endpoint;
use netns_tests::random::Random;
use netns_tests::resources::{documents, network_set, policy_for};
use netns_tests::store::Store;
use netns_tests::{Agent, Owner, both_ways, ns};

use crate::load::{Load, Site};

/// How often the daemon ends in each run.
const ENDS: usize = 15;
/// The seed of everything that is chosen.
const SEED: u64 = 96;
/// The groups of workloads, each with a policy of its own.
const GROUPS: usize = 10;
/// At most so many datagrams arrive before the next thing happens.
const PAUSE: usize = 3_000;

/// What changes without any bearing on the packets under way.
struct Changes {
    random: Random,
    groups: Vec<usize>,
    reversed: bool,
    made: usize,
}

impl Changes {
    fn new(workloads: u16) -> Self {
        Self {
            random: Random::new(SEED, 0),
            groups: (0..workloads.into()).map(|it| it % GROUPS).collect(),
            reversed: false,
            made: 0,
        }
    }

    /// The workloads, each in a group.
    fn workloads(&self) -> String {
        let numbers = 0..u16::try_from(self.groups.len()).expect("not that many");
        let all: Vec<String> = numbers
            .zip(&self.groups)
            .map(|(number, group)| endpoint(number, &format!("group: g{group}")))
            .collect();
        documents(&all)
    }

    /// The policies of the groups, which stand in one order or the other before those that decide about the packets
    /// under way, and decide about others.
    fn policies(&mut self) -> String {
        let all: Vec<String> = (0..GROUPS)
            .map(|group| {
                let order = if self.reversed { GROUPS - group } else { group + 1 };
                let port = 9_000 + self.random.below(1_000);
                let rules = format!(
                    "{{action: Allow, protocol: UDP, source: {{selector: has(noise)}}, destination: {{ports: [{port}]}}}}"
                );
                let spec = format!("types: [Ingress, Egress], ingress: [{rules}], egress: [{rules}]");
                let order = u32::try_from(order).expect("a small number");
                policy_for(&format!("group == 'g{group}'"), &format!("group{group}"), order, &spec)
            })
            .collect();
        documents(&all)
    }

    /// A set that the groups' policies name.
    fn set(&mut self) -> String {
        let nets: Vec<String> = (0..self.random.between(1, 40))
            .map(|number| format!("198.18.{number}.{}", self.random.below(250)))
            .collect();
        network_set("noise", "noise: 'yes'", &nets.join(", "))
    }

    /// A workload whose interface is not there.
    fn absent(&mut self) -> String {
        let number = 500 + u16::try_from(self.random.below(20)).expect("a small number");
        endpoint(number, "group: g1")
    }

    fn make(&mut self, store: &Store<'_>) {
        self.made += 1;
        match self.random.below(5) {
            0 => store.put("policies.yaml", &self.policies()),
            1 => store.put("set.yaml", &self.set()),
            2 => {
                let workload = self.random.below(self.groups.len());
                self.groups[workload] = self.random.below(GROUPS);
                store.put("workloads.yaml", &self.workloads());
            }
            3 => {
                self.reversed = !self.reversed;
                store.put("policies.yaml", &self.policies());
            }
            _ => store.put("absent.yaml", &self.absent()),
        }
    }

    fn pause(&mut self, load: &Load) {
        let datagrams = self.random.below(PAUSE);
        load.pass(u64::try_from(datagrams).expect("a small number"));
    }
}

/// Ends the daemon and starts it again, over and over.
fn restart(site: &Site, store: &Store<'_>, owner: Owner, ends: usize) {
    let host = &site.world.host;
    let mut changes = Changes::new(site.crowd.numbers().end);
    store.put("workloads.yaml", &changes.workloads());
    store.put("base.yaml", &Site::policies());
    let mut agent = store.start(host, owner, &[]);
    let load = site.load();
    let (mut killed, mut early) = (0, 0);
    for _ in 0..ends {
        for _ in 0..changes.random.below(4) {
            changes.make(store);
        }
        changes.pause(&load);
        if changes.random.chance(70) {
            killed += 1;
            agent.kill();
        } else {
            assert_eq!(agent.terminate().code(), Some(0));
        }
        if changes.random.chance(50) {
            changes.make(store);
        }
        changes.pause(&load);
        agent = store.launch(host, owner, &[]);
        if changes.random.chance(30) {
            // It dies before it has begun, or while it takes over.
            changes.pause(&load);
            early += 1;
            agent.kill();
            agent = store.launch(host, owner, &[]);
        }
        agent.started();
    }
    load.finish(&format!(
        "{ends} ends, {killed} of them by SIGKILL, and {early} more in a start; {} changes",
        changes.made
    ));
    agrees(store, host, owner, agent);
}

/// Demands that the kernel holds what is stored.
fn agrees(store: &Store<'_>, host: &ns::Namespace, owner: Owner, mut agent: Agent) {
    agent.terminate();
    let agent = store.start(host, owner, &[]);
    let difference = match store {
        Store::Directory(directory) => {
            let path = directory.path();
            let path = path.to_string_lossy();
            command_line(host, owner, &["diff", &path])
        }
        Store::Etcd(member) => member.tortie("diff", &[], ""),
    };
    let said = String::from_utf8_lossy(&difference.stdout).into_owned();
    assert_eq!(difference.status.code(), Some(0), "{said}");
    drop(agent);
}

both_ways! {
    fn scenario_96_on_a_directory(owner) {
        let site = Site::new(100);
        restart(&site, &Store::directory(), owner, ENDS);
    }
}

#[test]
fn scenario_96_on_etcd() {
    if !ns::privileged() {
        return;
    }
    let site = Site::new(100);
    let store = Store::etcd(&site.world);
    restart(&site, &store, Owner::usual(), ENDS / 2);
}
