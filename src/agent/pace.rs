//! How often what another program keeps changing is put right.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So many repairs within [`WINDOW`] are made at once.
const AT_ONCE: usize = 16;
/// How long a repair is remembered.
const WINDOW: Duration = Duration::from_secs(10);
/// The shortest pause once there were more.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(5);
/// A pause is so many times as long as the repair before it took, so that a fight takes a tenth of a processor.
const SHARE: u32 = 9;

/// The pauses between repairs: none at first, and in a fight as long as it takes to leave the machine its time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    begun: VecDeque<Instant>,
    held_until: Option<Instant>,
}

impl Pace {
    /// Returns until when nothing is put right, `None` where it may be done now.
    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|until| *until > now)
    }

    /// Notes that a repair begins.
    pub(super) fn begin(&mut self, now: Instant) {
        let is_old = |begun: &Instant| *begun + WINDOW <= now;
        while self.begun.front().is_some_and(is_old) || self.begun.len() >= AT_ONCE {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
        self.held_until = None;
    }

    /// Tells whether there were so many of late that somebody must be at it all the time.
    pub(super) fn is_contested(&self, now: Instant) -> bool {
        let oldest = self.begun.front();
        self.begun.len() >= AT_ONCE && oldest.is_some_and(|oldest| now < *oldest + WINDOW)
    }

    /// Notes that the repair is over, one way or the other.
    pub(super) fn end(&mut self, now: Instant) {
        if !self.is_contested(now) {
            return;
        }
        let Some(begun) = self.begun.back() else {
            return;
        };
        let took = now.saturating_duration_since(*begun);
        let pause = (took * SHARE).clamp(SHORTEST, LONGEST);
        self.held_until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a repair of so many milliseconds, and returns the pause after it.
    fn repair(pace: &mut Pace, now: &mut Instant, milliseconds: u64) -> Option<Duration> {
        pace.begin(*now);
        *now += Duration::from_millis(milliseconds);
        pace.end(*now);
        pace.held_until(*now).map(|until| until - *now)
    }

    #[test]
    fn the_first_repairs_are_made_at_once_and_those_of_a_fight_with_pauses() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 1..AT_ONCE {
            assert_eq!(repair(&mut pace, &mut now, 20), None);
            assert!(!pace.is_contested(now));
        }
        let pause = Duration::from_millis(180);
        for _ in 0..20 {
            assert_eq!(repair(&mut pace, &mut now, 20), Some(pause));
            assert!(pace.is_contested(now));
            now += pause;
            assert_eq!(pace.held_until(now), None);
        }
        assert_eq!(repair(&mut pace, &mut now, 1), Some(SHORTEST));
        assert_eq!(repair(&mut pace, &mut now, 2000), Some(LONGEST));
    }

    #[test]
    fn a_fight_is_over_when_nothing_happens_for_a_while() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..AT_ONCE {
            repair(&mut pace, &mut now, 1);
        }
        assert!(pace.is_contested(now));
        now += WINDOW;
        assert!(!pace.is_contested(now));
        for _ in 1..AT_ONCE {
            assert_eq!(repair(&mut pace, &mut now, 1), None);
        }
        // As often as that, but slowly.
        now += WINDOW;
        for _ in 0..3 * AT_ONCE {
            now += WINDOW / 15;
            assert_eq!(repair(&mut pace, &mut now, 1), None);
        }
    }
}
