//! What Felix has left: when to look for it, when to remove it, and what to say of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{Config, FelixCleanup};
use crate::kernel::{
    Despite, Elsewhere, FelixLeftovers, FelixSeen, KernelError, Leftovers, elsewhere, live_felix,
};
use crate::telemetry::ErrorChain;

/// How often it is removed, until it is left to who makes it anew each time.
const REMOVALS_MAX: u32 = 3;
/// How often what keeps it from being removed is looked at, where the configuration does not ask for more.
const PENDING: Duration = Duration::from_secs(60);

/// When it is looked for, and what has been done and said.
#[derive(Debug)]
pub(super) struct Takeover {
    due: Option<Instant>,
    removals: u32,
    said: BTreeSet<String>,
}

/// What to do about what Felix has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Remove it, unless a Felix lives.
    Remove,
    /// Only look.
    Look,
}

/// What came of a look.
#[derive(Debug)]
pub(super) struct Look {
    felix: FelixSeen,
    found: Leftovers,
    elsewhere: Result<Elsewhere, KernelError>,
    wish: Wish,
}

/// Looks, and removes where that is wanted and no Felix lives.
pub(super) fn look(kernel: &mut FelixLeftovers, wish: Wish) -> Result<Look, KernelError> {
    let felix = live_felix(&[std::process::id()]);
    let heeding_all = Despite::default();
    let found = match (wish, &felix) {
        (Wish::Remove, FelixSeen::Absent) => kernel.remove(heeding_all)?,
        (Wish::Remove, FelixSeen::Lives(_) | FelixSeen::Hidden) | (Wish::Look, _) => {
            kernel.survey(heeding_all)?
        }
    };
    Ok(Look {
        felix,
        found,
        elsewhere: elsewhere(kernel),
        wish,
    })
}

impl Look {
    /// Tells whether something keeps from being removed what would be otherwise.
    fn is_pending(&self) -> bool {
        let unsafe_now = match self.felix {
            FelixSeen::Lives(_) => true,
            FelixSeen::Hidden => !self.found.is_empty(),
            FelixSeen::Absent => false,
        };
        unsafe_now || !self.found.held.is_empty() || !self.found.unpoliced.is_empty()
    }
}

impl Takeover {
    /// Makes one that looks as soon as policy is in force.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: Some(now),
            removals: 0,
            said: BTreeSet::new(),
        }
    }

    /// Returns when it is to be looked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Has it looked now, and removed again what came back.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.due = Some(now);
        self.removals = 0;
    }

    /// Returns what is wanted where the time has come, and sets the time of the next look.
    pub(super) fn request(&mut self, config: &Config, now: Instant) -> Option<Wish> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let again = config.kernel.refresh_interval;
        self.due = again.map(|interval| now + interval);
        match config.kernel.felix_cleanup {
            FelixCleanup::Off => None,
            FelixCleanup::Remove if self.removals < REMOVALS_MAX => Some(Wish::Remove),
            FelixCleanup::Remove | FelixCleanup::Advise => Some(Wish::Look),
        }
    }

    /// Says what came of a look; what has been said is not said again until it differs.
    pub(super) fn report(&mut self, outcome: Result<Look, KernelError>, now: Instant) {
        if outcome.as_ref().map_or(true, Look::is_pending) {
            let soon = now + PENDING;
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
        let (doubts, mut sentences) = match outcome {
            Ok(look) => {
                let doubts = look.elsewhere.as_ref().map(Elsewhere::legacy_lines);
                (doubts.unwrap_or_default(), self.sentences(&look))
            }
            Err(cause) => (Vec::new(), BTreeSet::from([ErrorChain(&cause).to_string()])),
        };
        for sentence in sentences.difference(&self.said) {
            warn!("{sentence}");
        }
        let doubts = BTreeSet::from_iter(doubts);
        for sentence in doubts.difference(&self.said) {
            info!("{sentence}");
        }
        sentences.extend(doubts);
        self.said = sentences;
    }

    fn sentences(&mut self, look: &Look) -> BTreeSet<String> {
        let mut sentences = BTreeSet::from_iter(match &look.elsewhere {
            Ok(found) => found.set_line(),
            Err(cause) => Some(ErrorChain(cause).to_string()),
        });
        let summary = look.found.summary();
        match (&look.felix, look.wish) {
            (FelixSeen::Lives(process), _) => {
                sentences.insert(format!(
                    "Felix lives in this network namespace: process {} (`{}`). Two agents enforce policy here; what \
                     Felix makes is not touched. Stop it",
                    process.id, process.command
                ));
            }
            (FelixSeen::Hidden, _) if !summary.is_empty() => {
                sentences.insert(format!(
                    "Felix has left behind: {summary}. Whether a Felix lives cannot be told, since /proc hides the \
                     processes of others (hidepid), so it stays. `tortie takeover` as root removes it"
                ));
            }
            // What is unpoliced is said below.
            (FelixSeen::Absent, Wish::Remove) if !look.found.unpoliced.is_empty() => {}
            (FelixSeen::Absent, Wish::Remove) if !summary.is_empty() => {
                self.removals += 1;
                info!("what Felix has left was removed: {summary}");
            }
            (FelixSeen::Absent, Wish::Look) if self.removals > 0 && !summary.is_empty() => {
                sentences.insert(format!(
                    "what Felix has left comes back each time that it is removed, so that it is no more: {summary}. \
                     Find out what makes it; `tortie takeover` removes it then"
                ));
            }
            (FelixSeen::Absent, Wish::Look) if !summary.is_empty() => {
                sentences.insert(format!(
                    "Felix has left behind: {summary}. `tortie takeover` removes it"
                ));
            }
            (FelixSeen::Absent, Wish::Remove | Wish::Look) | (FelixSeen::Hidden, _) => {}
        }
        sentences.extend(look.found.unpoliced_line().map(|line| {
            format!(
                "keep all that Felix has left for now: {line}. If that is meant, `tortie takeover \
                 --even-if-unpoliced` removes it"
            )
        }));
        sentences.extend(look.found.held.iter().map(ToString::to_string));
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{FelixTable, HostFamily, Process, Unpoliced};

    fn found() -> Leftovers {
        Leftovers {
            tables: vec![FelixTable::Ip],
            ..Leftovers::default()
        }
    }

    fn seen(takeover: &mut Takeover, wish: Wish, felix: FelixSeen) -> Vec<String> {
        let look = Look {
            felix,
            found: found(),
            elsewhere: Ok(Elsewhere::default()),
            wish,
        };
        takeover.sentences(&look).into_iter().collect()
    }

    fn alive() -> FelixSeen {
        FelixSeen::Lives(Process {
            id: 7,
            command: "calico-felix".to_owned(),
        })
    }

    fn config(cleanup: FelixCleanup) -> Config {
        let mut config = Config::default();
        config.kernel.felix_cleanup = cleanup;
        config.kernel.refresh_interval = Some(Duration::from_secs(180));
        config
    }

    #[test]
    fn what_comes_back_each_time_is_removed_no_more_until_the_configuration_changes() {
        let config = config(FelixCleanup::Remove);
        let mut now = Instant::now();
        let mut takeover = Takeover::new(now);
        for _ in 0..REMOVALS_MAX {
            assert_eq!(takeover.request(&config, now), Some(Wish::Remove));
            assert_eq!(takeover.request(&config, now), None);
            assert_eq!(
                seen(&mut takeover, Wish::Remove, FelixSeen::Absent),
                Vec::<String>::new()
            );
            now += Duration::from_secs(180);
        }
        assert_eq!(takeover.request(&config, now), Some(Wish::Look));
        let [said] = seen(&mut takeover, Wish::Look, FelixSeen::Absent)
            .try_into()
            .unwrap();
        assert!(said.contains("comes back each time"), "{said}");
        takeover.hasten(now);
        assert_eq!(takeover.request(&config, now), Some(Wish::Remove));
    }

    #[test]
    fn a_felix_that_lives_is_named() {
        let mut takeover = Takeover::new(Instant::now());
        let [said] = seen(&mut takeover, Wish::Remove, alive())
            .try_into()
            .unwrap();
        assert!(said.contains("process 7 (`calico-felix`)"), "{said}");
        assert_eq!(takeover.removals, 0);
    }

    #[test]
    fn advice_removes_nothing_and_off_does_not_look() {
        let now = Instant::now();
        let mut takeover = Takeover::new(now);
        assert_eq!(takeover.request(&config(FelixCleanup::Off), now), None);
        takeover.hasten(now);
        let advise = config(FelixCleanup::Advise);
        assert_eq!(takeover.request(&advise, now), Some(Wish::Look));
        let [said] = seen(&mut takeover, Wish::Look, FelixSeen::Absent)
            .try_into()
            .unwrap();
        assert_eq!(
            said,
            "Felix has left behind: table `ip calico`. `tortie takeover` removes it"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_taken_for_absent() {
        let mut takeover = Takeover::new(Instant::now());
        let [said] = seen(&mut takeover, Wish::Remove, FelixSeen::Hidden)
            .try_into()
            .unwrap();
        assert!(said.contains("cannot be told"), "{said}");
        assert_eq!(takeover.removals, 0);
    }

    #[test]
    fn what_is_pending_is_looked_at_each_minute_whatever_the_interval() {
        let mut never = config(FelixCleanup::Remove);
        never.kernel.refresh_interval = None;
        let often = {
            let mut often = config(FelixCleanup::Remove);
            often.kernel.refresh_interval = Some(Duration::from_secs(10));
            often
        };
        let unpoliced = Leftovers {
            unpoliced: [(
                Unpoliced::Interface("eth0".to_owned()),
                [HostFamily::Ip].into(),
            )]
            .into(),
            ..found()
        };
        let look = |felix, found| {
            Ok(Look {
                felix,
                found,
                elsewhere: Ok(Elsewhere::default()),
                wish: Wish::Remove,
            })
        };
        let failed = || Err(KernelError::TooManyLeftovers { most: 1 });
        for (outcome, pending) in [
            (look(alive(), found()), true),
            (look(FelixSeen::Hidden, found()), true),
            (look(FelixSeen::Absent, unpoliced), true),
            (failed(), true),
            (look(FelixSeen::Absent, found()), false),
            (look(FelixSeen::Hidden, Leftovers::default()), false),
        ] {
            let now = Instant::now();
            let mut takeover = Takeover::new(now);
            assert!(takeover.request(&never, now).is_some());
            assert_eq!(takeover.due(), None);
            takeover.report(outcome, now);
            let soon = now + Duration::from_secs(60);
            assert_eq!(takeover.due(), pending.then_some(soon));
        }
        let now = Instant::now();
        let mut takeover = Takeover::new(now);
        assert!(takeover.request(&often, now).is_some());
        takeover.report(failed(), now);
        assert_eq!(takeover.due(), Some(now + Duration::from_secs(10)));
    }
}
