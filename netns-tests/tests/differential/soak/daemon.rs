//! The daemon of a soak, and what is done to it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;

use netns_tests::agent::{Directory, ELSEWHERE, Mark, command_line};
use netns_tests::{Agent, Owner, refused, witness};
use nix::sys::signal::Signal;
use tortie::datastore::Snapshot;
use tortie::model::{Action, Resource, Rule};

use super::boot::Kept;
use super::faults::{Fault, Found, How, Moment};
use super::store::Store;
use crate::generate::State;
use crate::judge::{Judge, Resources};
use crate::network::{Network, Site, Step, Wanderer};
use crate::options::Options;

/// Is a daemon on a store.
pub(super) struct Daemon<'a> {
    // Ends before its store does.
    agent: Agent,
    store: Store<'a>,
    kept: Kept,
    network: &'a Network,
    options: Options,
    wanderer: Wanderer,
    starts: usize,
    /// Where in its log the present turn begins.
    turn: Mark,
}

/// The policy that the kernel refuses, as problems name it.
const TOO_LONG: &str = "GlobalNetworkPolicy(long)";

impl<'a> Daemon<'a> {
    /// Starts it on a state.
    pub(super) fn start(network: &'a Network, mut store: Store<'a>, state: &State) -> Self {
        store.write(state);
        network.tidy();
        let kept = Kept::new();
        let agent = launch(network, &store, &kept, &state.options);
        agent.started();
        let daemon = Self {
            agent,
            store,
            kept,
            network,
            options: state.options.clone(),
            wanderer: Wanderer::Away,
            starts: 1,
            turn: Mark::beginning(),
        };
        daemon.trust();
        daemon
    }

    /// Ends it, and removes what it has made.
    pub(super) fn finish(mut self) {
        self.end(How::Asked);
        let host = self.network.at(Site::Host);
        let flushed = command_line(host, self.options.owner, &["flush", "--yes"]);
        assert!(flushed.status.success(), "{flushed:?}");
        for (step, interface) in Step::between(self.wanderer, Wanderer::Away) {
            self.network.step(step, interface);
        }
    }

    /// Returns the settings in force.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns how often it has started.
    pub(super) fn starts(&self) -> usize {
        self.starts
    }

    /// Returns its process.
    pub(super) fn pid(&self) -> u32 {
        self.agent.pid()
    }

    /// Returns what its store keeps of a state.
    pub(super) fn kept(&self, state: &State) -> State {
        self.store.kept(state)
    }

    /// Returns the routes to workloads that the host has.
    pub(super) fn routes(&self) -> BTreeSet<IpAddr> {
        self.network.routes()
    }

    /// Returns the evaluator for what it is told.
    pub(super) fn judge(&self) -> Judge {
        self.judge_of(self.store.snapshot())
    }

    fn judge_of(&self, snapshot: Snapshot) -> Judge {
        Judge::of(snapshot, self.options.settings(), self.wanderer, refuse)
    }

    /// Tells whether its store holds a policy that the kernel refuses.
    pub(super) fn has_guest(&self) -> bool {
        self.store.has_guest()
    }

    /// Tells whether it has said in this turn that the kernel refuses a policy.
    pub(super) fn has_denied(&self) -> bool {
        let line = format!("{TOO_LONG} is denied");
        self.agent.has_said(&self.turn, &line)
    }

    /// Has it end and start again while its store is away, and returns the evaluator for what must be in force then.
    /// The store is away until the next turn.
    pub(super) fn away(&mut self, found: Found) -> Judge {
        let as_before = self.judge();
        // A new process has read all there is once it has committed, whatever the last one has missed.
        self.end(How::Killed);
        self.again();
        match found {
            Found::Table => self.end(How::Killed),
            Found::Kept | Found::Damaged(_) => {
                // The end writes what has not been written yet, and the next process writes the same once more.
                self.end(How::Asked);
                self.again();
                self.end(How::Killed);
                let table = ["delete", "table", "inet", witness::TABLE];
                self.network.at(Site::Host).exec("nft", &table, "");
                self.network.tidy();
            }
        }
        self.store.cut();
        let reason = match found {
            Found::Table | Found::Kept => None,
            Found::Damaged(damage) => Some(self.kept.damage(damage)),
        };
        self.launch(Leftovers::Ours);
        let Some(reason) = reason else {
            return as_before;
        };
        let warning = self
            .agent
            .warned(&self.turn, "the last good state is not used");
        assert!(warning.contains(reason), "{reason}: {warning}");
        // The guard is what no resources come to.
        self.judge_of(Snapshot::default())
    }

    /// Has a state come, and what goes wrong meanwhile. Everything has been put right when this returns, save what is
    /// the daemon's to put right.
    pub(super) fn turn(&mut self, state: &State, faults: &[Fault]) {
        self.turn = self.agent.mark();
        let before = std::mem::replace(&mut self.options, state.options.clone());
        let anew = before != self.options && !before.can_become(&self.options);
        let mut running = true;
        for fault in faults {
            match fault {
                Fault::End(how, Moment::Before) => {
                    self.end(*how);
                    running = false;
                }
                Fault::Cut => self.store.cut(),
                Fault::Killed => self.store.kill(),
                Fault::Away(_)
                | Fault::End(_, Moment::During)
                | Fault::Flap(_)
                | Fault::Paused
                | Fault::Foreign(_)
                | Fault::Unheard
                | Fault::TooLong
                | Fault::Second => {}
            }
        }
        if anew && running {
            self.end(How::Asked);
            running = false;
        }
        let away = |fault: &Fault| matches!(fault, Fault::Away(_) | Fault::Cut);
        let deaf = running && !faults.iter().any(away) && faults.contains(&Fault::Unheard);
        if deaf {
            self.meddle(before.owner);
        }
        let guest = faults.contains(&Fault::TooLong);
        let guest = guest.then(|| refused::long_policy("all()", refused::too_many_rules(), 80));
        self.store.receive(guest);
        self.store.write(state);
        if deaf {
            self.agent.signal(Signal::SIGCONT);
        }
        for (step, interface) in Step::between(self.wanderer, state.wanderer) {
            self.network.step(step, interface);
        }
        self.wanderer = state.wanderer;
        // What is left on an interface that is no longer a workload's is nobody's to remove when the daemon that made it
        // has ended before it heard of that.
        let left = if before.routes_differ(&self.options) {
            Leftovers::Others
        } else {
            Leftovers::Ours
        };
        if !running {
            self.launch(left);
        }
        for fault in faults {
            match fault {
                Fault::End(how, Moment::During) => {
                    self.end(*how);
                    self.launch(left);
                }
                Fault::Away(_) | Fault::Cut => self.store.mend(),
                Fault::Flap(site) => self.network.flap(*site),
                Fault::Paused => self.store.pause(|| {}),
                Fault::Foreign(command) => self.foreign(command),
                Fault::Second => self.second(),
                Fault::End(_, Moment::Before) | Fault::Killed | Fault::Unheard | Fault::TooLong => {
                }
            }
        }
        self.trust();
    }

    fn end(&mut self, how: How) {
        match how {
            How::Killed => self.agent.kill(),
            How::Asked => {
                let status = self.agent.terminate();
                assert_eq!(status.code(), Some(0), "the daemon has failed");
            }
        }
    }

    fn launch(&mut self, left: Leftovers) {
        match left {
            Leftovers::Ours => {}
            Leftovers::Others => self.network.tidy(),
        }
        self.starts += 1;
        self.agent = launch(self.network, &self.store, &self.kept, &self.options);
        self.turn = Mark::beginning();
    }

    /// Starts it as it was, and waits until it has come to enforce all there is.
    fn again(&mut self) {
        self.launch(Leftovers::Ours);
        self.agent.started();
    }

    /// Changes the table so that the kernel refuses what the daemon wants, which is stopped, so that it has not heard
    /// of the change when it goes on: a set has no room, and what it wants to remove somebody else's rules lead to.
    fn meddle(&self, owner: Owner) {
        self.agent.started();
        self.agent.signal(Signal::SIGSTOP);
        if owner == Owner::Enabled {
            self.change("flush table inet tortie", owner);
            return;
        }
        let objects = witness::ruleset(self.network.at(Site::Host));
        let named = |kind: &str, beginning: &str| -> Vec<String> {
            let all = objects
                .iter()
                .filter_map(|it| it.get(kind)?["name"].as_str());
            let ours = all.filter(|name| name.starts_with(beginning));
            ours.map(str::to_owned).collect()
        };
        let begin = "flush table inet tortie; add chain inet tortie theirs".to_owned();
        let sets = named("set", "sel4-").into_iter().map(|set| {
            format!(
                "delete set inet tortie {set}; add set inet tortie {set} {{ type ipv4_addr; size 1; }}"
            )
        });
        let chains = named("chain", "pol-").into_iter();
        let chains = chains.map(|chain| format!("add rule inet tortie theirs jump {chain}"));
        let script: Vec<String> = [begin].into_iter().chain(sets).chain(chains).collect();
        let script = script.join("; ");
        assert!(self.change(&script, owner), "`nft {script}` fails");
    }

    /// Has a second daemon try, which must not do anything.
    fn second(&self) {
        self.agent.started();
        let nothing = Directory::new();
        let owner = self.options.owner;
        let host = self.network.at(Site::Host);
        let mut second = Agent::launch_by(&ELSEWHERE, host, owner, &[], &nothing, &[]);
        let status = second.wait_end();
        assert_eq!(status.code(), Some(75), "two daemons at once");
    }

    /// Does as another program does.
    fn foreign(&self, command: &str) {
        if self.options.owner == Owner::Enabled {
            // It takes a moment until a daemon that has just started owns its table.
            self.agent.started();
        }
        self.change(command, self.options.owner);
    }

    /// Changes the table; nobody may change one that is owned. Returns whether it has changed.
    fn change(&self, command: &str, owner: Owner) -> bool {
        let open = owner == Owner::Disabled;
        let words: Vec<&str> = command.split(' ').collect();
        let host = self.network.at(Site::Host);
        let output = host.run(|| Command::new("nft").args(&words).output());
        let output = output.expect("run nft");
        assert!(
            open || !output.status.success(),
            "`nft {command}` has changed a table that is owned"
        );
        output.status.success()
    }

    /// Has the kernel not check on an interface of the host what it checks on one of a workload; a daemon that has not
    /// heard yet whose an interface is has it check that again.
    pub(super) fn trust(&self) {
        for site in [Site::Work0, Site::Work1] {
            if !self.options.checks_sources_of(site) {
                self.network.trust(site);
            }
        }
    }
}

/// Whose routes are on the interfaces of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    /// Those of a daemon for which the same interfaces are workloads'.
    Ours,
    /// Those of one for which others were.
    Others,
}

/// Changes a policy that the kernel refuses to what is in force instead.
fn refuse(resources: &mut Resources) {
    for (key, resource) in resources {
        if let Resource::Policy(policy) = resource.as_ref()
            && key.to_string() == TOO_LONG
        {
            let mut policy = policy.clone();
            policy.ingress = vec![Rule::any(Action::Deny)];
            *resource = Arc::new(Resource::Policy(policy));
        }
    }
}

fn launch(network: &Network, store: &Store<'_>, kept: &Kept, options: &Options) -> Agent {
    let environment = options.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    store.launch(network, options.owner, &environment, &kept.argument())
}
