//! The host's own firewall: when to look at it, and what to say of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::translate::accepted;
use super::writer::FirewallRequest;
use crate::config::{AllowAction, Config, HostChainAccept};
use crate::kernel::{Change, HostChain, KernelError, Report, Wanted, advice};
use crate::render::Marks;
use crate::telemetry::ErrorChain;

/// When the host's own firewall is looked at, and what has been said of it.
#[derive(Debug)]
pub(super) struct Firewall {
    due: Option<Instant>,
    said: BTreeSet<String>,
}

impl Firewall {
    /// Makes one that is to be looked at as soon as policy is in force.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: Some(now),
            said: BTreeSet::new(),
        }
    }

    /// Returns when it is to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Has it looked at now.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// Returns what is wanted of it where the time has come, and sets the time of the next look.
    pub(super) fn request(&mut self, config: &Config, now: Instant) -> Option<FirewallRequest> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let again: Option<Duration> = config.kernel.refresh_interval;
        self.due = again.map(|interval| now + interval);
        let policy = &config.policy;
        let mark = Marks::from_mask(policy.mark_mask).ok()?.accepted();
        let wanted = match (policy.host_chain_accept, policy.filter_allow_action) {
            (HostChainAccept::Insert, AllowAction::Accept) => Wanted::Inserted { mark },
            (HostChainAccept::Insert, AllowAction::Return)
            | (HostChainAccept::Advise, AllowAction::Accept | AllowAction::Return) => {
                Wanted::Absent
            }
        };
        Some(FirewallRequest { wanted, mark })
    }

    /// Says what came of a look; what has been said is not said again until it differs.
    pub(super) fn report(
        &mut self,
        outcome: Result<(Report, Vec<HostChain>), KernelError>,
        config: &Config,
    ) {
        let mut sentences = BTreeSet::new();
        match outcome {
            Ok((report, chains)) => {
                for (place, change) in &report.changed {
                    let change = match change {
                        Change::Inserted => "inserted at the head of",
                        Change::Corrected => "put right at the head of",
                        Change::Removed => "removed from",
                    };
                    info!("the rule that accepts what policy accepts was {change} chain `{place}`");
                }
                sentences.extend(report.failed.iter().map(|e| ErrorChain(e).to_string()));
                sentences.extend(advised(&chains, config));
            }
            Err(cause) => {
                sentences.insert(ErrorChain(&cause).to_string());
            }
        }
        for sentence in sentences.difference(&self.said) {
            warn!("{sentence}");
        }
        self.said = sentences;
    }
}

/// Returns what an operator can do about chains that drop by default what policy accepts.
fn advised(chains: &[HostChain], config: &Config) -> Vec<String> {
    let Some(accepted) = accepted(config) else {
        return Vec::new();
    };
    let advice = advice(chains, accepted);
    advice.iter().map(ToString::to_string).collect()
}
