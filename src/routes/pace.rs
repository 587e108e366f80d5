//! How often the same thing is put right.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first time, which itself is at once.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// After so many pauses without need, all is forgotten.
const FORGOTTEN: u32 = 4;

/// The pauses between repairs of one link, which double while there is need of them.
///
/// They keep two programs that want different things from turning a machine into a ring.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Returns until when nothing may be done, `None` where it may be done now.
    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        let (at, pause) = self.last?;
        Some(at + pause).filter(|until| *until > now)
    }

    /// Notes that something was put right, and returns the pause before the next time.
    pub(super) fn acted(&mut self, now: Instant) -> Duration {
        let pause = match self.last {
            Some((at, pause)) if now < at + pause * FORGOTTEN => (pause * 2).min(LONGEST),
            Some(_) | None => FIRST,
        };
        self.last = Some((now, pause));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_there_was_no_need_for_long() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        assert_eq!(pace.held_until(now), None, "the first time is at once");
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let pause = pace.acted(now);
            assert_eq!(pace.held_until(now), Some(now + pause));
            now += pause;
            assert_eq!(pace.held_until(now), None);
            pauses.push(pause.as_millis());
        }
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000,
        ];
        assert_eq!(pauses, expected);
        now += LONGEST * FORGOTTEN;
        assert_eq!(pace.acted(now), FIRST);
    }
}
