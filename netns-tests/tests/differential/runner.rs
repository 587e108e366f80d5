//! The daemon in its network, and what the kernel does there.

use std::collections::BTreeMap;
use std::time::Instant;

use netns_tests::agent::{DEADLINE, command_line};
use netns_tests::patience::patient;
use netns_tests::{Agent, Directory, Trigger};
use serde_json::{Value, json};

use crate::generate::State;
use crate::judge::{Judge, Resources, Verdict};
use crate::network::{Network, Site, Step, Wanderer};
use crate::observer::{Observer, SILENCE};
use crate::options::Options;
use crate::probes::Probe;
use crate::yaml;

/// The file that configures.
const CONFIGURATION: &str = "configuration.yaml";

/// Holds the network, the daemon, and what the daemon has been told.
pub(crate) struct Runner {
    // Ends before the network does.
    agent: Agent,
    directory: Directory,
    options: Options,
    files: BTreeMap<String, Vec<Value>>,
    /// How many files have been written.
    written: u64,
    wanderer: Wanderer,
    pub(crate) observer: Observer,
    /// How often the daemon was started with other settings.
    pub(crate) starts: u64,
    alter: fn(&mut Resources),
    network: Network,
}

impl Runner {
    /// Builds the network and starts the daemon on an empty directory.
    ///
    /// `alter` is done to the resources before the evaluator sees them.
    pub(crate) fn new(options: &Options, alter: fn(&mut Resources)) -> Self {
        let network = Network::new();
        let observer = Observer::new(&network);
        let directory = Directory::new();
        if let Some(document) = options.document() {
            directory.put(CONFIGURATION, &yaml::documents([&document]));
        }
        let agent = start(&network, &directory, options);
        Self {
            agent,
            directory,
            options: options.clone(),
            files: BTreeMap::new(),
            written: 0,
            wanderer: Wanderer::Away,
            observer,
            starts: 0,
            alter,
            network,
        }
    }

    /// Returns the settings in force.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Starts the daemon anew on this state, so that nothing of the past is left.
    pub(crate) fn restart_on(&mut self, state: &State) {
        self.agent.terminate();
        let host = self.network.at(Site::Host);
        let flushed = command_line(host, self.options.owner, &["flush", "--yes"]);
        assert!(flushed.status.success(), "{flushed:?}");
        for (file, documents) in state.files() {
            let text = self.text(&file, documents.clone());
            self.directory.put(&file, &text);
            self.files.insert(file, documents);
        }
        for (step, interface) in Step::between(self.wanderer, state.wanderer) {
            self.network.step(step, interface);
        }
        self.wanderer = state.wanderer;
        self.network.tidy();
        self.options = state.options.clone();
        self.agent = start(&self.network, &self.directory, &self.options);
    }

    /// Tells the daemon of a state and waits until it is in force.
    ///
    /// It starts anew where its settings cannot change otherwise: on the resources that there were before.
    pub(crate) fn apply(&mut self, state: &State) {
        if self.options != state.options {
            self.configure(state);
        }
        for (file, documents) in state.files() {
            if self.files.get(&file) != Some(&documents) {
                let text = self.text(&file, documents.clone());
                self.agent.put(&file, &text);
                self.files.insert(file, documents);
            }
        }
        for (step, interface) in Step::between(self.wanderer, state.wanderer) {
            let mark = self.agent.mark();
            self.network.step(step, interface);
            self.agent.committed(&mark, Trigger::Links);
        }
        self.wanderer = state.wanderer;
    }

    fn configure(&mut self, state: &State) {
        let before = std::mem::replace(&mut self.options, state.options.clone());
        let files = state.files();
        let documents = files.get(CONFIGURATION).cloned().unwrap_or_default();
        let text = self.text(CONFIGURATION, documents.clone());
        self.files.insert(CONFIGURATION.to_owned(), documents);
        if before.can_become(&self.options) {
            self.agent.put(CONFIGURATION, &text);
        } else {
            self.starts += 1;
            if self.starts.is_multiple_of(3) {
                self.agent.kill();
            } else {
                self.agent.terminate();
            }
            self.directory.put(CONFIGURATION, &text);
            if before.routes_differ(&self.options) {
                self.network.tidy();
            }
            self.agent = start(&self.network, &self.directory, &self.options);
        }
        // What the kernel checks on the interface of a workload it need not check on one of the host.
        for site in [Site::Work0, Site::Work1] {
            if !self.options.checks_sources_of(site) {
                self.network.trust(site);
            }
        }
    }

    /// Writes the text of a file.
    ///
    /// With every writing an empty network set changes in it: what means the same as before would otherwise not be
    /// heard of again.
    fn text(&mut self, file: &str, mut documents: Vec<Value>) -> String {
        self.written += 1;
        let name = file.replace('.', "-");
        documents.push(json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkSet",
            "metadata": {"name": name, "labels": {"written": self.written.to_string()}},
        }));
        if file.ends_with("json") {
            serde_json::to_string_pretty(&documents).expect("write JSON")
        } else {
            yaml::documents(&documents)
        }
    }

    /// Waits until the routes to workloads are as the evaluator says; the daemon sees to them once policy is in
    /// force.
    ///
    /// # Panics
    /// If they are not in time.
    pub(crate) fn routed(&self, judge: &Judge) {
        let expected = judge.routes();
        let deadline = Instant::now() + patient(DEADLINE);
        loop {
            let found = self.network.routes();
            if found == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "routes to workloads: {found:?} instead of {expected:?}; settings {}; resources in {:?}",
                self.options,
                self.files,
            );
        }
    }

    /// Returns the evaluator for what the daemon has been told.
    pub(crate) fn judge(&self) -> Judge {
        Judge::read(
            &self.directory.path(),
            self.options.settings(),
            self.wanderer,
            self.alter,
        )
    }

    /// Asks the kernel about one probe, again if the first answer is not the expected one.
    pub(crate) fn confirm(&mut self, judge: &Judge, probe: &Probe) -> Verdict {
        let expected = judge.verdict(probe);
        let fresh = self.observer.fresh(probe);
        let first = self.observer.observe(judge, &[fresh], patient(SILENCE));
        if first == [expected] {
            return expected;
        }
        self.observer.again(judge, &[*probe])[0]
    }
}

fn start(network: &Network, directory: &Directory, options: &Options) -> Agent {
    let environment = options.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Agent::on(
        network.at(Site::Host),
        options.owner,
        &environment,
        directory,
    )
}
