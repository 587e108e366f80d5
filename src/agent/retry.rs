//! When what failed is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause, and the shortest between a failure and the next attempt.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// The first pause before what is denied is tried again, while the rest is in force.
const SHORTEST_DENIED: Duration = Duration::from_secs(5);
/// The longest one.
const LONGEST_DENIED: Duration = Duration::from_secs(300);

/// The pauses between attempts, which double from failure to failure.
#[derive(Debug)]
pub(super) struct Retry {
    at: Option<Instant>,
    pause: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Retry {
    /// Makes one of which nothing has failed yet.
    pub(super) fn new() -> Self {
        Self::between(SHORTEST, LONGEST)
    }

    /// Makes one for what is denied, which holds nothing else up.
    pub(super) fn of_denied() -> Self {
        Self::between(SHORTEST_DENIED, LONGEST_DENIED)
    }

    fn between(shortest: Duration, longest: Duration) -> Self {
        Self {
            at: None,
            pause: shortest,
            shortest,
            longest,
        }
    }

    /// Returns when the next attempt is due, `None` where nothing is waited for.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Notes that an attempt has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(self.longest);
    }

    /// Notes that the fate of an attempt is unknown: it is looked into at once, but not again and again.
    pub(super) fn doubted(&mut self, now: Instant) {
        if self.pause > self.shortest {
            self.failed(now);
        } else {
            self.pause *= 2;
        }
    }

    /// Waits so long, whatever has failed before.
    pub(super) fn wait(&mut self, until: Instant) {
        self.at = Some(until);
    }

    /// Notes that there is something new to try, which must not wait as long as what has failed already.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.at = self.at.map(|at| at.min(now + self.shortest));
    }

    /// Notes that the pause is over.
    pub(super) fn over(&mut self) {
        self.at = None;
    }

    /// Notes that an attempt has succeeded.
    pub(super) fn succeeded(&mut self) {
        self.pause = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_something_succeeds() {
        let (mut retry, now) = (Retry::new(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            retry.failed(now);
            pauses.extend(retry.at().map(|at| (at - now).as_millis()));
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        retry.succeeded();
        retry.failed(now);
        assert_eq!(retry.at(), Some(now + SHORTEST));
    }

    #[test]
    fn what_is_denied_is_tried_again_at_longer_pauses() {
        let (mut retry, now) = (Retry::of_denied(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            retry.failed(now);
            pauses.extend(retry.at().map(|at| (at - now).as_secs()));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn what_is_new_does_not_wait_for_the_longest_pause() {
        let (mut retry, now) = (Retry::new(), Instant::now());
        retry.hasten(now);
        assert_eq!(retry.at(), None);
        for _ in 0..8 {
            retry.failed(now);
        }
        retry.hasten(now);
        assert_eq!(retry.at(), Some(now + SHORTEST));
        retry.hasten(now + SHORTEST / 2);
        assert_eq!(
            retry.at(),
            Some(now + SHORTEST),
            "a stream of news does not postpone it"
        );
    }

    #[test]
    fn doubt_is_looked_into_at_once_but_not_in_a_circle() {
        let (mut retry, now) = (Retry::new(), Instant::now());
        retry.doubted(now);
        assert_eq!(retry.at(), None);
        retry.doubted(now);
        assert_eq!(retry.at(), Some(now + 2 * SHORTEST));
    }
}
