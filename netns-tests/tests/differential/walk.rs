//! The sequence of states, probes and settings that follows from a seed.

use crate::generate::State;
use crate::options::Options;
use crate::probes::{Probe, Prober};
use netns_tests::random::Random;

/// Is one step of the walk.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// Its number.
    pub(crate) number: u64,
    /// What is to be in force.
    pub(crate) state: State,
    /// What to ask.
    pub(crate) probes: Vec<Probe>,
}

/// Yields turns without end.
#[derive(Debug)]
pub(crate) struct Walk {
    seed: u64,
    number: u64,
    probes: usize,
    state: Option<State>,
    prober: Prober,
}

impl Walk {
    /// Begins a walk with so many probes a turn.
    pub(crate) fn new(seed: u64, probes: usize) -> Self {
        Self {
            seed,
            number: 0,
            probes,
            state: None,
            prober: Prober::new(0),
        }
    }

    /// Goes one step.
    pub(crate) fn turn(&mut self) -> Turn {
        let number = self.number;
        self.number += 1;
        let mut random = Random::new(self.seed, number);
        let state = if let Some(state) = &self.state {
            state.next(&mut random)
        } else {
            let options = Options::random(&mut random);
            State::random(&mut random, options)
        };
        self.state = Some(state.clone());
        Turn {
            number,
            state,
            probes: self.prober.round(&mut random, self.probes),
        }
    }
}
