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
    marks: Marked,
}

/// Which packets carry which mark, as far as it is known.
#[derive(Debug, Default)]
struct Marked {
    /// The mark by the rules that are in the kernel.
    in_force: Option<u32>,
    /// The mark by the rules that are being committed.
    committing: Option<u32>,
    /// The mark that the host's chains were told of before the rules that set it.
    ahead: Option<u32>,
}

/// What a mark is asked of the host's chains for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// They accept it by our rule.
    Accepted,
    /// No rule of ours is wanted.
    None,
}

impl Firewall {
    /// Makes one that is to be looked at as soon as policy is in force.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: Some(now),
            said: BTreeSet::new(),
            marks: Marked::default(),
        }
    }

    /// Returns what is wanted before the rules of this configuration are committed: a chain that drops by default
    /// and accepts by our rule what the rules in force have marked has to accept a new mark before packets carry it.
    pub(super) fn ahead(&mut self, config: &Config) -> Option<FirewallRequest> {
        let (mark, intent) = intent(config)?;
        let known = [self.marks.in_force, self.marks.ahead];
        if intent == Intent::None || known.contains(&Some(mark)) {
            return None;
        }
        self.marks.ahead = Some(mark);
        let wanted = Wanted::Added { mark };
        Some(FirewallRequest { wanted, mark })
    }

    /// Notes that rules of this configuration are being committed.
    pub(super) fn committing(&mut self, config: &Config) {
        self.marks.committing = intent(config).map(|(mark, _)| mark);
    }

    /// Notes that the rules that were being committed are in force.
    pub(super) fn committed(&mut self, now: Instant) {
        let committed = self.marks.committing.take();
        if committed.is_some() && self.marks.in_force != committed {
            self.marks.in_force = committed;
            self.marks.ahead = None;
            self.hasten(now);
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
        let (mark, intent) = intent(config)?;
        let wanted = match intent {
            Intent::Accepted if self.marks.in_force == Some(mark) => Wanted::Inserted { mark },
            // The rules that set it are still to come, and a rule for those in force stays until then.
            Intent::Accepted => Wanted::Added { mark },
            Intent::None => Wanted::Absent,
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
                // Before the rules are in force it would be said of what is about to change.
                if self.marks.in_force.is_some() {
                    sentences.extend(advised(&chains, config));
                }
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

/// Returns the mark of what policy accepts, and what the host's chains are to make of it.
fn intent(config: &Config) -> Option<(u32, Intent)> {
    let policy = &config.policy;
    let mark = Marks::from_mask(policy.mark_mask).ok()?.accepted();
    let intent = match (policy.host_chain_accept, policy.filter_allow_action) {
        (HostChainAccept::Insert, AllowAction::Accept) => Intent::Accepted,
        (HostChainAccept::Insert, AllowAction::Return)
        | (HostChainAccept::Advise, AllowAction::Accept | AllowAction::Return) => Intent::None,
    };
    Some((mark, intent))
}

/// Returns what an operator can do about chains that drop by default what policy accepts.
fn advised(chains: &[HostChain], config: &Config) -> Vec<String> {
    let Some(accepted) = accepted(config) else {
        return Vec::new();
    };
    let advice = advice(chains, accepted);
    advice.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(mask: u32) -> Config {
        let mut config = Config::default_for("h1");
        config.policy.host_chain_accept = HostChainAccept::Insert;
        config.policy.mark_mask = mask;
        config
    }

    fn wanted(request: Option<FirewallRequest>) -> Option<Wanted> {
        request.map(|request| request.wanted)
    }

    #[tokio::test]
    async fn a_new_mark_is_accepted_before_rules_set_it_and_the_old_one_until_they_do() {
        let now = Instant::now();
        let (old, new) = (config(0xffff_0000), config(0xff00));
        let added = |mark| Some(Wanted::Added { mark });
        let inserted = |mark| Some(Wanted::Inserted { mark });
        let mut firewall = Firewall::new(now);
        assert_eq!(wanted(firewall.ahead(&old)), added(0x1_0000));
        assert_eq!(wanted(firewall.ahead(&old)), None);
        firewall.committing(&old);
        firewall.committed(now);
        assert_eq!(wanted(firewall.request(&old, now)), inserted(0x1_0000));
        firewall.hasten(now);
        assert_eq!(wanted(firewall.ahead(&new)), added(0x100));
        // A look before the rules have changed, as when the kernel has refused them.
        assert_eq!(wanted(firewall.request(&new, now)), added(0x100));
        firewall.committing(&new);
        assert_eq!(wanted(firewall.ahead(&new)), None);
        firewall.committed(now);
        assert_eq!(wanted(firewall.request(&new, now)), inserted(0x100));
        assert_eq!(wanted(firewall.request(&new, now)), None);
        // Other changes of the rules are no reason to look.
        firewall.committing(&new);
        firewall.committed(now);
        assert_eq!(wanted(firewall.request(&new, now)), None);
    }

    #[tokio::test]
    async fn nothing_is_added_where_no_rule_is_wanted() {
        let now = Instant::now();
        let mut firewall = Firewall::new(now);
        let config = Config::default_for("h1");
        assert_eq!(wanted(firewall.ahead(&config)), None);
        assert_eq!(wanted(firewall.request(&config, now)), Some(Wanted::Absent));
    }
}
