//! Whether a chain of `iptables-nft` lets packets pass that policy accepted, once Felix's rules are gone from it.

use std::collections::BTreeMap;

use super::found::{FelixRule, SharedTable};
use super::historic::Historic;
use super::names;
use super::policed::Policed;
use super::rule::{self, Asks, Does};
use super::survey::{MOST, rule_of_felix};
use crate::kernel::decode::Attributes;
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::{Drops, HostChain, HostFamily, accepts, each_rule};
use crate::kernel::socket::{Dump, Socket};

/// What becomes of a packet in a chain that others lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    /// It is dropped, or most of its kind are.
    Dropped,
    /// It passes.
    Accepted,
    /// It comes back.
    GoesOn,
}

/// A rule that can decide about many packets at once.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// One of Felix's.
    Felix,
    /// One of somebody else.
    Other { often: Often, does: Action },
}

/// For which packets a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Often {
    /// For every one.
    Always,
    /// For most of some kind.
    Mostly,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

/// The rules of a chain that can matter, and all that are Felix's.
#[derive(Debug, Default)]
struct Steps {
    steps: Vec<Step>,
    felix: Vec<FelixRule>,
}

/// What is known of the chains of a table.
#[derive(Debug)]
pub(super) struct Chains<'a> {
    family: HostFamily,
    table: &'static str,
    /// The bit of packets that policy accepted, if they carry any.
    mark: Option<u32>,
    /// Whose packets count.
    policed: &'a Policed,
    historic: Historic,
    known: BTreeMap<String, Passage>,
}

/// What a base chain is without Felix's rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Without {
    /// Felix's rules in it.
    pub(super) felix: Vec<FelixRule>,
    /// What drops packets that these can accept.
    pub(super) drops: Option<Drops>,
}

impl<'a> Chains<'a> {
    /// Makes a reader for one table.
    pub(super) fn new(
        table: &SharedTable,
        mark: Option<u32>,
        policed: &'a Policed,
        historic: Historic,
    ) -> Self {
        Self {
            family: table.family,
            table: table.name,
            mark,
            policed,
            historic,
            known: BTreeMap::new(),
        }
    }

    /// Reads a base chain; `None` where others changed it meanwhile.
    pub(super) fn base(
        &mut self,
        socket: &mut Socket,
        name: &str,
        filters: Option<&HostChain>,
    ) -> Result<Option<Without>, KernelError> {
        let Some(Steps { steps, felix }) = self.steps(socket, name)? else {
            return Ok(None);
        };
        let drops = match filters {
            Some(chain) if !felix.is_empty() => {
                let Some(drops) = self.drops(socket, chain, &steps)? else {
                    return Ok(None);
                };
                drops
            }
            Some(_) | None => None,
        };
        Ok(Some(Without { felix, drops }))
    }

    /// Tells how a base chain drops what Felix's rules in it can accept; the outer `None` is a disturbance.
    #[expect(clippy::option_option, reason = "disturbed and passing differ")]
    fn drops(
        &mut self,
        socket: &mut Socket,
        chain: &HostChain,
        steps: &[Step],
    ) -> Result<Option<Option<Drops>>, KernelError> {
        let mut felix = false;
        for step in steps {
            let Step::Other { often, does } = step else {
                felix = true;
                continue;
            };
            let Some((passage, ends)) = self.follow(socket, does)? else {
                return Ok(None);
            };
            match (passage, often) {
                (Passage::Dropped, _) if felix => return Ok(Some(Some(Drops::ByRule))),
                // Felix's rules behind it are asked about nothing.
                (Passage::Dropped | Passage::Accepted, Often::Always) => return Ok(Some(None)),
                (Passage::GoesOn, Often::Always) if ends => break,
                (Passage::Dropped | Passage::Accepted, Often::Mostly) | (Passage::GoesOn, _) => {}
            }
        }
        let by_default = felix && chain.drops_by_default();
        Ok(Some(by_default.then_some(Drops::ByDefault)))
    }

    /// Returns what becomes of the packets that a rule is for, and whether the rest of its chain is left out;
    /// `None` where others changed it meanwhile.
    fn follow(
        &mut self,
        socket: &mut Socket,
        does: &Action,
    ) -> Result<Option<(Passage, bool)>, KernelError> {
        Ok(match does {
            Action::Accept => Some((Passage::Accepted, true)),
            Action::Drop => Some((Passage::Dropped, true)),
            Action::Return => Some((Passage::GoesOn, true)),
            Action::Jump(chain) => self.passage(socket, chain)?.map(|found| (found, false)),
            Action::Goto(chain) => self.passage(socket, chain)?.map(|found| (found, true)),
        })
    }

    /// Returns what becomes of a packet in a chain. The kernel keeps chains from leading to themselves, and from
    /// leading on too often.
    fn passage(&mut self, socket: &mut Socket, name: &str) -> Result<Option<Passage>, KernelError> {
        if let Some(known) = self.known.get(name) {
            return Ok(Some(*known));
        }
        // What is read while it changes could lead in a circle.
        self.known.insert(name.to_owned(), Passage::GoesOn);
        let Some(Steps { steps, .. }) = self.steps(socket, name)? else {
            return Ok(None);
        };
        let mut passage = Passage::GoesOn;
        for step in steps {
            let Step::Other { often, does } = step else {
                continue;
            };
            let Some((found, ends)) = self.follow(socket, &does)? else {
                return Ok(None);
            };
            match (found, often) {
                (Passage::Dropped, _) | (Passage::Accepted, Often::Always) => {
                    passage = found;
                    break;
                }
                (Passage::GoesOn, Often::Always) if ends => break,
                (Passage::Accepted | Passage::GoesOn, _) => {}
            }
        }
        self.known.insert(name.to_owned(), passage);
        Ok(Some(passage))
    }

    /// Reads a chain.
    fn steps(&self, socket: &mut Socket, name: &str) -> Result<Option<Steps>, KernelError> {
        let mut read = Steps::default();
        let dump = each_rule(socket, self.family, self.table, name, |attributes| {
            if read.steps.len() > MOST {
                return;
            }
            let place = (self.family, self.table, name);
            if let Some(rule) = rule_of_felix(self.historic, place, attributes) {
                read.felix.push(rule);
                read.steps.push(Step::Felix);
            } else {
                read.steps.extend(self.step(attributes));
            }
        })?;
        if read.steps.len() > MOST {
            return Err(KernelError::TooManyLeftovers { most: MOST });
        }
        Ok(match dump {
            Dump::Complete => Some(read),
            Dump::Interrupted => None,
        })
    }

    /// Reads a rule of somebody else; `None` where it decides about few packets, or about none.
    fn step(&self, attributes: Attributes<'_>) -> Option<Step> {
        if self.mark.is_some_and(|mark| accepts(attributes, mark)) {
            return Some(Step::Other {
                often: Often::Always,
                does: Action::Accept,
            });
        }
        let rule = rule::read(attributes);
        let mut interfaces = rule.interfaces.iter();
        if rule.asks == Asks::More || !interfaces.all(|name| self.policed.concerns(*name)) {
            return None;
        }
        let does = match rule.does {
            Does::GoesOn => return None,
            Does::Accepts => Action::Accept,
            Does::Drops => Action::Drop,
            Does::Returns => Action::Return,
            Does::Jumps(chain) | Does::Goes(chain) if names::is_chain(chain) => return None,
            Does::Jumps(chain) => Action::Jump(chain.to_owned()),
            Does::Goes(chain) => Action::Goto(chain.to_owned()),
        };
        let often = if rule.is_unconditional() {
            Often::Always
        } else {
            Often::Mostly
        };
        Some(Step::Other { often, does })
    }
}
