//! From a state that shows a difference to the smallest one that still does.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::generate::{Slot, State};
use crate::judge::Verdict;
use crate::network::Wanderer;
use crate::probes::Probe;
use crate::runner::Runner;

/// How long shrinking may take.
const LIMIT: Duration = Duration::from_secs(90);

/// How the difference comes about.
#[derive(Debug, Clone, PartialEq)]
enum History {
    /// By the resources alone.
    None,
    /// By the way from this state.
    From(State),
    /// By more than that.
    Unknown,
}

/// Is a difference between the kernel and the evaluator.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// What was asked.
    pub(crate) probe: Probe,
    /// What the evaluator says.
    pub(crate) expected: Verdict,
    /// What the kernel does.
    pub(crate) seen: Verdict,
    history: History,
    state: State,
    explanation: String,
    trials: usize,
}

impl Difference {
    /// Finds the smallest resources that show a difference seen on the way from one state to the next.
    pub(crate) fn shrunk(
        runner: &mut Runner,
        (before, after): (&State, &State),
        probe: &Probe,
        (expected, seen): (Verdict, Verdict),
    ) -> Self {
        let mut difference = Self {
            probe: *probe,
            expected,
            seen,
            history: History::None,
            state: after.clone(),
            explanation: String::new(),
            trials: 0,
        };
        runner.restart_on(after);
        if !difference.shows(runner, &History::None, after) {
            let from = History::From(before.clone());
            difference.history = if difference.shows(runner, &from, after) {
                from
            } else {
                History::Unknown
            };
        }
        match difference.history {
            History::None | History::From(_) => difference.shrink(runner),
            History::Unknown => {}
        }
        runner.apply(&difference.state);
        difference.explanation = runner.judge().explanation(probe);
        difference
    }

    /// Returns how many resources are left.
    pub(crate) fn resources(&self) -> usize {
        self.state.documents.len()
    }

    /// Says whether a candidate shows the same difference.
    fn shows(&mut self, runner: &mut Runner, history: &History, state: &State) -> bool {
        self.trials += 1;
        match history {
            History::From(before) => runner.restart_on(before),
            History::None | History::Unknown => {}
        }
        runner.apply(state);
        let judge = runner.judge();
        runner.routed(&judge);
        judge.verdict(&self.probe) == self.expected
            && runner.confirm(&judge, &self.probe) == self.seen
    }

    /// Takes a candidate over if it shows the difference.
    fn try_out(&mut self, runner: &mut Runner, history: History, state: State) -> bool {
        let better = self.shows(runner, &history, &state);
        if better {
            self.history = history;
            self.state = state;
        }
        better
    }

    fn shrink(&mut self, runner: &mut Runner) {
        let start = Instant::now();
        let late = move || start.elapsed() > LIMIT;
        let candidate = State {
            wanderer: Wanderer::Away,
            ..self.state.clone()
        };
        self.try_out(runner, self.history.clone(), candidate);
        // Whole documents, many at a time at first.
        let mut size = self.slots().len();
        while size > 0 && !late() {
            let mut progress = false;
            for part in self.slots().chunks(size) {
                let without = |state: &State| {
                    let mut state = state.clone();
                    state.documents.retain(|slot, _| !part.contains(slot));
                    state
                };
                progress |= self.change(runner, &without) && size == 1;
            }
            if !progress {
                size /= 2;
            }
        }
        // What did not change on the way.
        for slot in self.slots() {
            if let History::From(before) = &self.history {
                let mut before = before.clone();
                match self.state.documents.get(&slot) {
                    Some(document) => before.documents.insert(slot, document.clone()),
                    None => before.documents.remove(&slot),
                };
                self.try_out(runner, History::From(before), self.state.clone());
            }
        }
        if let History::From(before) = &self.history {
            let before = State {
                options: self.state.options.clone(),
                ..before.clone()
            };
            self.try_out(runner, History::From(before), self.state.clone());
        }
        // Parts of documents.
        for slot in self.slots() {
            let mut skip = 0;
            while !late() {
                let Some(path) = self.parts(slot).into_iter().nth(skip) else {
                    break;
                };
                let without = |state: &State| {
                    let mut state = state.clone();
                    if let Some(document) = state.documents.get_mut(&slot) {
                        remove(document, &path);
                    }
                    state
                };
                if !self.change(runner, &without) {
                    skip += 1;
                }
            }
        }
    }

    /// Tries a change of the state, and of the one before where that counts.
    fn change(&mut self, runner: &mut Runner, change: &dyn Fn(&State) -> State) -> bool {
        let history = match &self.history {
            History::From(before) => History::From(change(before)),
            History::None => History::None,
            History::Unknown => History::Unknown,
        };
        let state = change(&self.state);
        if state == self.state && history == self.history {
            return false;
        }
        self.try_out(runner, history, state)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.state.documents.keys().copied().collect();
        if let History::From(before) = &self.history {
            slots.extend(before.documents.keys());
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Lists the parts of a document that could be left out, the largest first.
    fn parts(&self, slot: Slot) -> Vec<Vec<Step>> {
        let mut found = Vec::new();
        let before = match &self.history {
            History::From(before) => before.documents.get(&slot),
            History::None | History::Unknown => None,
        };
        for document in [self.state.documents.get(&slot), before]
            .into_iter()
            .flatten()
        {
            collect(document, &mut Vec::new(), &mut found);
        }
        found.sort_by_key(Vec::len);
        found.dedup();
        found
    }
}

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    Item(usize),
}

fn collect(value: &Value, path: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    let inner: Vec<(Step, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (Step::Field(name.clone()), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (Step::Item(at), value))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (step, value) in inner {
        let fixed = match &step {
            Step::Field(name) => matches!(name.as_str(), "apiVersion" | "kind" | "name" | "action"),
            Step::Item(_) => false,
        };
        path.push(step);
        if !fixed {
            found.push(path.clone());
        }
        collect(value, path, found);
        path.pop();
    }
}

fn remove(document: &mut Value, path: &[Step]) {
    let Some((last, way)) = path.split_last() else {
        return;
    };
    let mut at = document;
    for step in way {
        let next = match step {
            Step::Field(name) => at.get_mut(name),
            Step::Item(number) => at.get_mut(number),
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (last, at) {
        (Step::Field(name), Value::Object(fields)) => {
            fields.remove(name);
        }
        (Step::Item(number), Value::Array(items)) if *number < items.len() => {
            items.remove(*number);
        }
        (Step::Field(_) | Step::Item(_), _) => {}
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "probe: {}", self.probe)?;
        writeln!(f, "evaluator: {}", self.expected)?;
        writeln!(f, "kernel:    {}", self.seen)?;
        writeln!(f, "settings: {}", self.state.options)?;
        writeln!(f, "wandering address: {:?}", self.state.wanderer)?;
        match &self.history {
            History::None => {}
            History::From(before) => {
                writeln!(
                    f,
                    "\nfirst, with {}:\n{}\nthen:",
                    before.options,
                    before.text()
                )?;
            }
            History::Unknown => {
                writeln!(f, "\na new start on the same resources does not show it")?;
            }
        }
        writeln!(
            f,
            "\nresources, after {} trials:\n{}",
            self.trials,
            self.state.text()
        )?;
        writeln!(f, "the evaluator's reasons:\n{}", self.explanation)
    }
}
