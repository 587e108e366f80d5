//! The removal, by one transaction.
//!
//! By one, since the parts depend on one another: a mark that a chain of `mangle` sets lets a packet pass in
//! `filter`, and the other way round.

use nix::errno::Errno;

use super::found::{ChainFate, Despite, Leftovers};
use super::names::TABLE;
use super::ours::{self, Reading};
use super::survey::{self, Terms};
use crate::kernel::encode::bound::Finish;
use crate::kernel::encode::consts::nfnetlink;
use crate::kernel::encode::removal::{Removal, batch};
use crate::kernel::error::KernelError;
use crate::kernel::host_chains::{Accepted, HostFamily, each_rule};
use crate::kernel::netfilter::Settings;
use crate::kernel::observe;
use crate::kernel::socket::{Dump, Outcome, Socket};
use crate::nft::TableName;

/// How often it is tried when others change the ruleset meanwhile.
const ATTEMPTS: u32 = 20;
/// What an error calls all of it.
const WHAT: &str = "what Felix has left";

/// Finds and removes what Felix has left in the network namespace in which the socket was opened.
#[derive(Debug)]
pub struct FelixLeftovers {
    socket: Socket,
    table: TableName,
    expected: Option<Accepted>,
}

impl FelixLeftovers {
    /// Opens a socket in the network namespace of the calling thread. `expected` tells how packets will be known that
    /// policy accepted, where our table is not there to tell.
    ///
    /// # Errors
    /// Fails without a socket.
    pub fn open(settings: &Settings, expected: Option<Accepted>) -> Result<Self, KernelError> {
        Ok(Self {
            socket: Socket::open(settings.timeout)?,
            table: settings.table.clone(),
            expected,
        })
    }

    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Returns how packets of a family are known that policy accepted; none where none are marked.
    ///
    /// # Errors
    /// Fails where the kernel does not answer.
    pub(super) fn accepted(&mut self, family: HostFamily) -> Result<Option<Accepted>, KernelError> {
        for _ in 0..ATTEMPTS {
            match ours::read(&mut self.socket, &self.table)? {
                Reading::Interrupted => {}
                Reading::Absent => return Ok(self.expected),
                Reading::Read(ours) => return Ok(ours.accepted(family)),
            }
        }
        Err(unsettled())
    }

    /// Finds what is there, and what a removal would do to it; changes nothing.
    ///
    /// # Errors
    /// Fails where the kernel does not answer, or would refuse the removal.
    pub fn survey(&mut self, despite: Despite) -> Result<Leftovers, KernelError> {
        for _ in 0..ATTEMPTS {
            if let Some((found, _)) = self.attempt(despite)? {
                return Ok(found);
            }
        }
        Err(unsettled())
    }

    /// Removes what [`FelixLeftovers::survey`] finds, and returns that. All goes at once, or nothing, as where an
    /// interface would then be without policy.
    ///
    /// # Errors
    /// Fails where the kernel does not answer or refuses; nothing has changed then.
    pub fn remove(&mut self, despite: Despite) -> Result<Leftovers, KernelError> {
        for _ in 0..ATTEMPTS {
            let Some((found, generation)) = self.attempt(despite)? else {
                continue;
            };
            if !found.has_removable() || !found.unpoliced.is_empty() {
                return Ok(found);
            }
            match self.send(&found, generation, Finish::Commit)? {
                Sent::Done => return Ok(found),
                Sent::Again | Sent::Busy(_) => {}
            }
        }
        Err(unsettled())
    }

    /// Finds what is there in one generation; `None` where others changed the ruleset.
    fn attempt(&mut self, despite: Despite) -> Result<Option<(Leftovers, u32)>, KernelError> {
        let generation = observe::generation(&mut self.socket)?;
        let terms = Terms {
            ours: &self.table,
            expected: self.expected,
            despite,
        };
        let Some(mut found) = survey::read(&mut self.socket, terms)? else {
            return Ok(None);
        };
        // The rules of others are not read: the kernel itself says which chains they lead to.
        while found.has_removable() {
            match self.send(&found, generation, Finish::Check)? {
                Sent::Done => break,
                Sent::Again => return Ok(None),
                Sent::Busy(chains) => {
                    for place in chains {
                        self.keep(&mut found, place)?;
                    }
                }
            }
        }
        Ok(Some((found, generation)))
    }

    /// Leaves a chain where it is.
    fn keep(&mut self, found: &mut Leftovers, place: Place) -> Result<(), KernelError> {
        let Some(table) = found.shared.get_mut(place.table) else {
            return Ok(());
        };
        let (family, name) = (table.family, table.name);
        let Some(chain) = table.chains.get_mut(place.chain) else {
            return Ok(());
        };
        let mut rules = 0_usize;
        let dump = each_rule(&mut self.socket, family, name, &chain.name, |_| rules += 1)?;
        chain.fate = match (dump, rules) {
            (Dump::Complete, 0) => ChainFate::Kept,
            (Dump::Complete | Dump::Interrupted, _) => ChainFate::Emptied,
        };
        Ok(())
    }

    fn send(
        &mut self,
        found: &Leftovers,
        generation: u32,
        finish: Finish,
    ) -> Result<Sent, KernelError> {
        let steps = steps(found);
        let removals: Vec<Removal<'_>> = steps.iter().map(|(removal, _)| *removal).collect();
        let count = u32::try_from(removals.len() + 2).unwrap_or(u32::MAX);
        let first = self.socket.take_sequences(count);
        let bytes = batch(&removals, generation, first, finish)
            .map_err(|_| KernelError::Malformed { what: WHAT })?;
        let refused = match self.socket.transact(&bytes)? {
            Outcome::Done => return Ok(Sent::Done),
            Outcome::Again => return Ok(Sent::Again),
            Outcome::Refused(refused) => refused,
        };
        let mut busy = Vec::new();
        for (sequence, errno) in refused {
            let step = sequence
                .checked_sub(first)
                .and_then(|distance| usize::try_from(distance).ok())
                .and_then(|distance| distance.checked_sub(1))
                .and_then(|place| steps.get(place));
            match (step, errno) {
                (Some((_, Some(place))), Errno::EBUSY) => busy.push(*place),
                (step, source) => {
                    let object =
                        step.map_or_else(|| WHAT.to_owned(), |(removal, _)| shown(removal));
                    return Err(KernelError::Leftover { object, source });
                }
            }
        }
        Ok(Sent::Busy(busy))
    }
}

/// Where a chain stands in what was found.
#[derive(Debug, Clone, Copy)]
struct Place {
    table: usize,
    chain: usize,
}

/// What came of a batch.
enum Sent {
    Done,
    /// The ruleset is another one now.
    Again,
    /// Others lead to these chains.
    Busy(Vec<Place>),
}

/// Lists the steps of the removal, and for the removal of a chain, where it stands.
///
/// The rules of all chains go before the first chain, so that none leads to another.
fn steps(found: &Leftovers) -> Vec<(Removal<'_>, Option<Place>)> {
    let own = found.tables.iter().map(|table| Removal::Table {
        family: table.number(),
        table: TABLE,
    });
    let mut steps: Vec<_> = own.map(|removal| (removal, None)).collect();
    let mut chains = Vec::new();
    for (index, shared) in found.shared.iter().enumerate() {
        if found.is_held(shared.family) {
            continue;
        }
        let (family, table) = (shared.family.number(), shared.name);
        steps.extend(shared.rules.iter().map(|rule| {
            let removal = Removal::Rule {
                family,
                table,
                chain: &rule.chain,
                handle: rule.handle,
            };
            (removal, None)
        }));
        for (place, felix) in shared.chains.iter().enumerate() {
            let chain = felix.name.as_str();
            let emptied = Removal::Rules {
                family,
                table,
                chain,
            };
            let removed = Removal::Chain {
                family,
                table,
                chain,
            };
            let place = Place {
                table: index,
                chain: place,
            };
            match felix.fate {
                ChainFate::Removed => {
                    steps.push((emptied, None));
                    chains.push((removed, Some(place)));
                }
                ChainFate::Emptied => steps.push((emptied, None)),
                ChainFate::Kept => {}
            }
        }
    }
    steps.extend(chains);
    steps
}

/// Names what a step removes.
fn shown(removal: &Removal<'_>) -> String {
    let name = |number| match number {
        nfnetlink::NFPROTO_IPV4 => "ip",
        nfnetlink::NFPROTO_IPV6 => "ip6",
        _ => "arp",
    };
    match *removal {
        Removal::Table { family, table } => format!("table `{} {table}`", name(family)),
        Removal::Rule {
            family,
            table,
            chain,
            ..
        }
        | Removal::Rules {
            family,
            table,
            chain,
        }
        | Removal::Chain {
            family,
            table,
            chain,
        } => format!("chain `{} {table} {}`", name(family), chain.escape_debug()),
    }
}

fn unsettled() -> KernelError {
    KernelError::LeftoversUnsettled { attempts: ATTEMPTS }
}
