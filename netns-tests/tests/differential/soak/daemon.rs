//! The daemon of a soak, and what is done to it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;

use netns_tests::agent::command_line;
use netns_tests::{Agent, Owner};

use super::faults::{Fault, How, Moment};
use super::store::Store;
use crate::generate::State;
use crate::judge::Judge;
use crate::network::{Network, Site, Step, Wanderer};
use crate::options::Options;

/// Is a daemon on a store.
pub(super) struct Daemon<'a> {
    // Ends before its store does.
    agent: Agent,
    store: Store<'a>,
    network: &'a Network,
    options: Options,
    wanderer: Wanderer,
    starts: usize,
}

impl<'a> Daemon<'a> {
    /// Starts it on a state.
    pub(super) fn start(network: &'a Network, mut store: Store<'a>, state: &State) -> Self {
        store.write(state);
        network.tidy();
        let agent = launch(network, &store, &state.options);
        agent.started();
        let daemon = Self {
            agent,
            store,
            network,
            options: state.options.clone(),
            wanderer: Wanderer::Away,
            starts: 1,
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
        let snapshot = self.store.snapshot();
        Judge::of(snapshot, self.options.settings(), self.wanderer, |_| {})
    }

    /// Has a state come, and what goes wrong meanwhile. Everything has been put right when this returns, save what is
    /// the daemon's to put right.
    pub(super) fn turn(&mut self, state: &State, faults: &[Fault]) {
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
                Fault::End(_, Moment::During)
                | Fault::Flap(_)
                | Fault::Paused
                | Fault::Foreign(_) => {}
            }
        }
        if anew && running {
            self.end(How::Asked);
            running = false;
        }
        self.store.write(state);
        for (step, interface) in Step::between(self.wanderer, state.wanderer) {
            self.network.step(step, interface);
        }
        self.wanderer = state.wanderer;
        // What is left on an interface that is no longer a workload's is nobody's to remove when the daemon that made it
        // has ended before it heard of that.
        let differ = before.routes_differ(&self.options);
        if !running {
            self.launch(differ);
        }
        for fault in faults {
            match fault {
                Fault::End(how, Moment::During) => {
                    self.end(*how);
                    self.launch(differ);
                }
                Fault::Cut => self.store.mend(),
                Fault::Flap(site) => self.network.flap(*site),
                Fault::Paused => self.store.pause(|| {}),
                Fault::Foreign(command) => self.foreign(command),
                Fault::End(_, Moment::Before) | Fault::Killed => {}
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

    fn launch(&mut self, other_routes: bool) {
        if other_routes {
            self.network.tidy();
        }
        self.starts += 1;
        self.agent = launch(self.network, &self.store, &self.options);
    }

    /// Does as another program does; nobody may change a table that is owned.
    fn foreign(&self, command: &str) {
        let owned = self.options.owner == Owner::Enabled;
        if owned {
            // It takes a moment until a daemon that has just started owns its table.
            self.agent.started();
        }
        let words: Vec<&str> = command.split(' ').collect();
        let host = self.network.at(Site::Host);
        let output = host.run(|| Command::new("nft").args(&words).output());
        let output = output.expect("run nft");
        assert!(
            !(owned && output.status.success()),
            "`nft {command}` has changed a table that is owned"
        );
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

fn launch(network: &Network, store: &Store<'_>, options: &Options) -> Agent {
    let environment = options.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    store.launch(network, options.owner, &environment)
}
