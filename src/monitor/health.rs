//! Whether the daemon is alive, and whether it does what it is for.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::board::{Datastore, Facts, Failure, Resync};
use super::settings::{Patience, outlasts};

/// What a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether the loop and the kernel's writer get on.
    Live,
    /// Whether policy is in force and changes are followed.
    Ready,
}

/// Whether it is so, and the details for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) good: bool,
    pub(super) detail: String,
}

/// Answers a health check; what is silent for longer than there is patience with it is bad.
pub(super) fn health(
    question: Question,
    facts: &Facts,
    now: Instant,
    patience: Patience,
) -> Health {
    let silent = now.saturating_duration_since(facts.last_turn());
    let writing = facts
        .writing_since
        .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    let mut parts = vec![
        (
            "loop",
            !outlasts(silent, patience.turn),
            format!("last turn {} s ago", silent.as_secs()),
        ),
        (
            "kernel",
            !outlasts(writing, patience.kernel),
            match facts.writing_since {
                Some(_) => format!("a request for {} s", writing.as_secs()),
                None => "idle".to_owned(),
            },
        ),
    ];
    match question {
        Question::Live => {}
        Question::Ready => parts.extend(readiness(facts, now, patience)),
    }
    let mut health = Health {
        good: true,
        detail: String::new(),
    };
    for (part, good, detail) in parts {
        health.good &= good;
        let word = if good { "ok" } else { "bad" };
        // Writing to a string does not fail.
        let _ = writeln!(health.detail, "{part}: {word}: {detail}");
    }
    health
}

/// A part, whether it is as it should be, and how it is.
type Part = (&'static str, bool, String);

/// Returns what readiness asks for beyond liveness.
fn readiness(facts: &Facts, now: Instant, patience: Patience) -> Vec<Part> {
    let datastore = match (facts.datastore, facts.resync) {
        // Whoever locks a datastore does not want every agent to be taken for ill meanwhile.
        (Datastore::NotReady, _) => {
            let detail =
                "wait-for-ready: it says that it is not ready; what is in the kernel stays";
            return vec![("datastore", true, detail.to_owned())];
        }
        (Datastore::Unread | Datastore::Usable, Resync::Waiting) => "wait-for-ready",
        (Datastore::Unread | Datastore::Usable, Resync::Reading) => "resync",
        (Datastore::Unread | Datastore::Usable, Resync::InSync) => "in-sync",
    };
    let links = if facts.links_read { "read" } else { "not read" };
    let in_force = if facts.first_round().is_some() {
        "in force"
    } else {
        "not in force"
    };
    let in_force = match facts.denied {
        0 => in_force.to_owned(),
        denied => format!("{in_force}, {denied} objects denied because the kernel refuses them"),
    };
    let (lasting, policy) = match facts.failing() {
        None => (false, in_force),
        Some((failure, since)) => {
            let elapsed = now.saturating_duration_since(since);
            let detail = format!(
                "{in_force}; for {} s {}",
                elapsed.as_secs(),
                reason(failure)
            );
            (outlasts(elapsed, patience.kernel), detail)
        }
    };
    vec![
        (
            "datastore",
            facts.datastore == Datastore::Usable,
            datastore.to_owned(),
        ),
        ("interfaces", facts.links_read, links.to_owned()),
        ("policy", facts.first_round().is_some() && !lasting, policy),
    ]
}

fn reason(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "the kernel has refused changes",
        Failure::Unreadable => "the kernel's table could not be read",
        Failure::Unplanned => "changes could not be worked out",
        Failure::Settings => "the configuration could not be used",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::board::{Board, Enforced, Round};

    const LIMIT: Duration = Duration::from_secs(90);
    const PATIENCE: Patience = Patience {
        turn: Some(LIMIT),
        kernel: Some(LIMIT),
    };

    fn round() -> Round {
        Round {
            operations: 0,
            messages: 0,
            bytes: 0,
            kernel: Duration::ZERO,
            latency: Duration::ZERO,
            enforced: Enforced::default(),
        }
    }

    /// Returns a board of a daemon whose policy is in force.
    fn in_force(now: Instant) -> Board {
        let board = Board::new("1", "h".to_owned());
        board.note(|facts| {
            facts.resync = Resync::InSync;
            facts.datastore = Datastore::Usable;
            facts.links_read = true;
            facts.in_force(now, round());
        });
        board
    }

    #[test]
    fn a_start_is_live_and_ready_once_policy_is_in_force() {
        let board = Board::new("1", "h".to_owned());
        let now = Instant::now();
        let good = |question| health(question, &board.read(), now, PATIENCE).good;
        assert!(good(Question::Live));
        assert!(!good(Question::Ready));
        board.note(|facts| {
            facts.resync = Resync::InSync;
            facts.datastore = Datastore::Usable;
            facts.links_read = true;
        });
        assert!(!good(Question::Ready));
        board.note(|facts| facts.in_force(now, round()));
        assert!(good(Question::Ready));
        board.note(|facts| facts.resync = Resync::Waiting);
        assert!(good(Question::Ready), "what was read stays in force");
        board.note(|facts| facts.datastore = Datastore::Unread);
        assert!(!good(Question::Ready));
        let detail = health(Question::Ready, &board.read(), now, PATIENCE).detail;
        assert!(
            detail.contains("datastore: bad: wait-for-ready\n"),
            "{detail}"
        );
    }

    #[test]
    fn whoever_waits_for_a_datastore_to_be_ready_is_ready_too() {
        let board = Board::new("1", "h".to_owned());
        board.note(|facts| facts.datastore = Datastore::NotReady);
        let health = health(Question::Ready, &board.read(), Instant::now(), PATIENCE);
        assert!(health.good, "{}", health.detail);
        assert!(
            health.detail.contains("datastore: ok: wait-for-ready: "),
            "{}",
            health.detail
        );
    }

    #[test]
    fn what_is_denied_is_said_and_leaves_the_daemon_ready() {
        let now = Instant::now();
        let board = in_force(now);
        board.note(|facts| facts.denied = 2);
        let health = health(Question::Ready, &board.read(), now, PATIENCE);
        assert!(health.good, "{}", health.detail);
        let expected = "policy: ok: in force, 2 objects denied because the kernel refuses them";
        assert!(health.detail.contains(expected), "{}", health.detail);
    }

    #[test]
    fn changes_that_stay_away_end_readiness_after_a_while() {
        let now = Instant::now();
        let board = in_force(now);
        let later = now + LIMIT + Duration::from_secs(1);
        board.note(|facts| {
            facts.turned(later);
            facts.failed(now, Failure::Refused);
        });
        let ready = |at, patience| health(Question::Ready, &board.read(), at, patience);
        assert!(ready(now + LIMIT, PATIENCE).good);
        let detail = ready(later, PATIENCE).detail;
        assert!(
            detail.contains("policy: bad: in force; for 91 s the kernel has refused changes"),
            "{detail}"
        );
        assert!(!ready(later, PATIENCE).good);
        assert!(health(Question::Live, &board.read(), later, PATIENCE).good);
        let endless = Patience {
            kernel: None,
            ..PATIENCE
        };
        assert!(ready(later, endless).good);
        board.note(|facts| facts.in_force(later, round()));
        assert!(ready(later, PATIENCE).good);
    }

    #[test]
    fn a_loop_or_a_kernel_that_is_stuck_is_neither() {
        let later = Instant::now() + LIMIT + Duration::from_secs(1);
        let board = in_force(Instant::now());
        let good = |question, patience| health(question, &board.read(), later, patience).good;
        let endless = Patience::default();
        assert!(!good(Question::Live, PATIENCE));
        assert!(good(Question::Live, endless));
        board.note(|facts| facts.turned(later));
        assert!(good(Question::Live, PATIENCE));
        board.note(|facts| facts.writing_since = Some(Instant::now()));
        assert!(!good(Question::Live, PATIENCE));
        assert!(!good(Question::Ready, PATIENCE));
        assert!(good(Question::Ready, endless));
    }
}
