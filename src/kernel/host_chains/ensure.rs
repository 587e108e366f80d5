//! Our rule at the head of the chains of `iptables-nft`.

use std::fmt;

use nix::errno::Errno;

use super::chain::{FILTER_TABLE, HostChain, HostFamily};
use super::rules::Seen;
use super::survey::{self, each_rule, host_chain};
use crate::kernel::encode::consts::attribute::{NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE};
use crate::kernel::encode::consts::message;
use crate::kernel::encode::host_rule::{Steps, Target, batch};
use crate::kernel::error::KernelError;
use crate::kernel::netfilter::Settings;
use crate::kernel::observe;
use crate::kernel::socket::{Dump, Outcome, Socket};
use crate::nft::TableName;

/// How often a change is tried when others change the ruleset under it.
const ATTEMPTS: u32 = 20;

/// What is wanted at the head of the chains of `iptables-nft`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A rule that accepts packets which carry the mark, where the chain exists.
    Inserted {
        /// The bit of the packet mark.
        mark: u32,
    },
    /// The same beside a rule of ours for another mark, which stays: for the time in which packets carry the other
    /// mark still. Nothing where no rule is ours.
    Added {
        /// The bit of the packet mark.
        mark: u32,
    },
    /// Nothing of ours.
    Absent,
}

/// A chain that `iptables-nft` filters in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    family: HostFamily,
    chain: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {FILTER_TABLE} {}", self.family, self.chain)
    }
}

const fn place(family: HostFamily, chain: &'static str) -> Place {
    Place { family, chain }
}

/// The chains in which our rule can stand.
const PLACES: [Place; 4] = [
    place(HostFamily::Ip, "INPUT"),
    place(HostFamily::Ip, "FORWARD"),
    place(HostFamily::Ip6, "INPUT"),
    place(HostFamily::Ip6, "FORWARD"),
];

/// What was done to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Our rule was not there and is now at the head.
    Inserted,
    /// Our rule was there, but not at the head, not alone or with another content; now it is as wanted.
    Corrected,
    /// Our rule was there and is no more.
    Removed,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// The chains that were changed.
    pub changed: Vec<(Place, Change)>,
    /// The chains in which that failed, each named by its error.
    pub failed: Vec<KernelError>,
}

/// What the agent asks of the host's own firewall.
pub trait HostFirewall: Send {
    /// Lists the base chains of other tables that filter packets to or through this host, and looks whether those
    /// that drop by default accept what carries a mark.
    ///
    /// # Errors
    /// Fails where the kernel does not answer.
    fn survey(&mut self, mark: u32) -> Result<Vec<HostChain>, KernelError>;

    /// Makes our rule be, or not be, at the head of the chains of `iptables-nft`. Changes nothing where all is
    /// as wanted, and never a rule that is not ours.
    ///
    /// # Errors
    /// Fails where the kernel does not answer; a chain that cannot be changed is in the report.
    fn ensure(&mut self, wanted: Wanted) -> Result<Report, KernelError>;
}

/// The host's own firewall in the network namespace in which the socket was opened.
#[derive(Debug)]
pub struct HostChains {
    socket: Socket,
    table: TableName,
}

impl HostChains {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Fails without a socket.
    pub fn open(settings: &Settings) -> Result<Self, KernelError> {
        Ok(Self {
            socket: Socket::open(settings.timeout)?,
            table: settings.table.clone(),
        })
    }

    /// Tells whether any chain of `iptables-nft` holds a rule of ours.
    ///
    /// # Errors
    /// Fails where the kernel does not answer.
    pub fn has_rules(&mut self) -> Result<bool, KernelError> {
        for place in PLACES {
            if self.has_rules_at(place)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_rules_at(&mut self, place: Place) -> Result<bool, KernelError> {
        for _ in 0..ATTEMPTS {
            match self.rules(place)? {
                None => return Ok(false),
                Some(Reading::Whole(seen)) => return Ok(seen.has_ours()),
                Some(Reading::Interrupted) => {}
            }
        }
        Err(unsettled(place))
    }

    fn ensure_at(&mut self, place: Place, wanted: Wanted) -> Result<Option<Change>, KernelError> {
        for _ in 0..ATTEMPTS {
            let generation = observe::generation(&mut self.socket)?;
            let Some(seen) = self.rules(place)? else {
                return Ok(None);
            };
            let Reading::Whole(seen) = seen else {
                continue;
            };
            let steps = match wanted {
                Wanted::Inserted { mark } => seen.steps(Some(mark)),
                Wanted::Added { mark } => seen.additions(mark),
                Wanted::Absent => seen.steps(None),
            };
            if steps.is_empty() {
                return Ok(None);
            }
            match self.commit(place, &steps, generation)? {
                Outcome::Done => {
                    return Ok(Some(match (wanted, seen.has_ours()) {
                        (Wanted::Added { .. }, _) | (Wanted::Inserted { .. }, false) => {
                            Change::Inserted
                        }
                        (Wanted::Inserted { .. }, true) => Change::Corrected,
                        (Wanted::Absent, _) => Change::Removed,
                    }));
                }
                Outcome::Again => {}
                Outcome::Refused(refused) => {
                    let source = refused
                        .first()
                        .map_or(Errno::UnknownErrno, |(_, errno)| *errno);
                    return Err(KernelError::HostRule {
                        chain: place,
                        source,
                    });
                }
            }
        }
        Err(unsettled(place))
    }

    /// Reads the rules of a chain; `None` where there is no such chain of `iptables-nft`.
    fn rules(&mut self, place: Place) -> Result<Option<Reading>, KernelError> {
        let family = place.family.number();
        let mut is_there = false;
        self.socket.get(
            "a chain of the host",
            message::GETCHAIN,
            family,
            |buffer| {
                buffer.text(NFTA_CHAIN_TABLE, FILTER_TABLE);
                buffer.text(NFTA_CHAIN_NAME, place.chain);
            },
            |message| {
                is_there = host_chain(message).is_some_and(|chain| chain.is_of_iptables());
            },
        )?;
        if !is_there {
            return Ok(None);
        }
        let mut seen = Seen::default();
        let dump = each_rule(
            &mut self.socket,
            place.family,
            FILTER_TABLE,
            place.chain,
            |attributes| seen.rule(attributes),
        )?;
        Ok(Some(match dump {
            Dump::Complete => Reading::Whole(seen),
            Dump::Interrupted => Reading::Interrupted,
        }))
    }

    fn commit(
        &mut self,
        place: Place,
        steps: &Steps,
        generation: u32,
    ) -> Result<Outcome, KernelError> {
        let target = Target {
            family: place.family.number(),
            table: FILTER_TABLE,
            chain: place.chain,
        };
        let count = u32::try_from(steps.message_count()).unwrap_or(u32::MAX);
        let first = self.socket.take_sequences(count);
        let what = "a chain of the host";
        let bytes =
            batch(target, steps, generation, first).map_err(|_| KernelError::Malformed { what })?;
        self.socket.transact(&bytes)
    }
}

fn unsettled(chain: Place) -> KernelError {
    KernelError::HostRuleUnsettled {
        chain,
        attempts: ATTEMPTS,
    }
}

/// What came of an attempt to read the rules of a chain.
enum Reading {
    /// They are one state of the chain.
    Whole(Seen),
    /// They changed meanwhile.
    Interrupted,
}

impl HostFirewall for HostChains {
    fn survey(&mut self, mark: u32) -> Result<Vec<HostChain>, KernelError> {
        survey::survey(&mut self.socket, &self.table, mark)
    }

    fn ensure(&mut self, wanted: Wanted) -> Result<Report, KernelError> {
        let mut report = Report::default();
        for place in PLACES {
            match self.ensure_at(place, wanted) {
                Ok(None) => {}
                Ok(Some(change)) => report.changed.push((place, change)),
                Err(
                    error @ (KernelError::HostRule { .. } | KernelError::HostRuleUnsettled { .. }),
                ) => report.failed.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}
