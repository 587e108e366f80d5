//! Whether the daemon is alive, and whether it does what it is for.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::board::{Facts, Resync};

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

/// Answers a health check; silence counts as bad after `patience`.
pub(super) fn health(
    question: Question,
    facts: &Facts,
    now: Instant,
    patience: Duration,
) -> Health {
    let silent = now.saturating_duration_since(facts.last_turn());
    let writing = facts
        .writing_since
        .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    let datastore = match facts.resync {
        Resync::Waiting => "wait-for-ready",
        Resync::Reading => "resync",
        Resync::InSync => "in-sync",
    };
    let live = [
        (
            "loop",
            silent <= patience,
            format!("last turn {} s ago", silent.as_secs()),
        ),
        (
            "kernel",
            writing <= patience,
            match facts.writing_since {
                Some(_) => format!("a request for {} s", writing.as_secs()),
                None => "idle".to_owned(),
            },
        ),
    ];
    let ready = [
        ("datastore", facts.datastore_read, datastore.to_owned()),
        (
            "interfaces",
            facts.links_read,
            if facts.links_read { "read" } else { "not read" }.to_owned(),
        ),
        (
            "policy",
            facts.first_round().is_some(),
            match facts.first_round() {
                Some(_) => "in force",
                None => "not in force",
            }
            .to_owned(),
        ),
    ];
    let asked: &[_] = match question {
        Question::Live => &[],
        Question::Ready => &ready,
    };
    let mut health = Health {
        good: true,
        detail: String::new(),
    };
    for (part, good, detail) in live.iter().chain(asked) {
        health.good &= good;
        let word = if *good { "ok" } else { "bad" };
        // Writing to a string does not fail.
        let _ = writeln!(health.detail, "{part}: {word}: {detail}");
    }
    health
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::board::{Board, Enforced, Round};

    const PATIENCE: Duration = Duration::from_secs(90);

    #[test]
    fn a_start_is_live_and_ready_once_policy_is_in_force() {
        let board = Board::new("1", "h".to_owned());
        let now = Instant::now();
        let good = |question| health(question, &board.read(), now, PATIENCE).good;
        assert!(good(Question::Live));
        assert!(!good(Question::Ready));
        board.note(|facts| {
            facts.resync = Resync::InSync;
            facts.datastore_read = true;
            facts.links_read = true;
        });
        assert!(!good(Question::Ready));
        board.note(|facts| {
            facts.in_force(
                now,
                Round {
                    operations: 0,
                    kernel: Duration::ZERO,
                    latency: Duration::ZERO,
                    enforced: Enforced::default(),
                },
            );
        });
        assert!(good(Question::Ready));
        board.note(|facts| facts.resync = Resync::Waiting);
        assert!(good(Question::Ready), "what was read stays in force");
        board.note(|facts| facts.datastore_read = false);
        assert!(!good(Question::Ready));
        let detail = health(Question::Ready, &board.read(), now, PATIENCE).detail;
        assert!(
            detail.contains("datastore: bad: wait-for-ready\n"),
            "{detail}"
        );
    }

    #[test]
    fn a_loop_or_a_kernel_that_is_stuck_is_neither() {
        let board = Board::new("1", "h".to_owned());
        let later = Instant::now() + PATIENCE + Duration::from_secs(1);
        let good = |question| health(question, &board.read(), later, PATIENCE).good;
        assert!(!good(Question::Live));
        board.note(|facts| facts.turned(later));
        assert!(good(Question::Live));
        board.note(|facts| facts.writing_since = Some(Instant::now()));
        assert!(!good(Question::Live));
        assert!(!good(Question::Ready));
    }
}
