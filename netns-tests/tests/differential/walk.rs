//! The sequence of states, probes and settings that follows from a seed.

use crate::generate::State;
use crate::options::Options;
use crate::probes::{Probe, Prober};
use crate::random::Random;

/// How many states pass before the daemon starts anew with other settings, about.
const LIFE: usize = 40;

/// Is one step of the walk.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// Its number.
    pub(crate) number: u64,
    /// The settings to start the daemon anew with, where that is due.
    pub(crate) restart: Option<Options>,
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
    state: State,
    prober: Prober,
}

impl Walk {
    /// Begins a walk with so many probes a turn.
    pub(crate) fn new(seed: u64, probes: usize) -> Self {
        Self {
            seed,
            number: 0,
            probes,
            state: State::empty(),
            prober: Prober::new(0),
        }
    }

    /// Goes one step.
    pub(crate) fn turn(&mut self) -> Turn {
        let number = self.number;
        self.number += 1;
        let mut random = Random::new(self.seed, number);
        let restart =
            (number == 0 || random.below(LIFE) == 0).then(|| Options::random(&mut random));
        self.state = match number {
            0 => State::random(&mut random),
            _ => self.state.next(&mut random),
        };
        Turn {
            number,
            restart,
            state: self.state.clone(),
            probes: self.prober.round(&mut random, self.probes),
        }
    }
}
