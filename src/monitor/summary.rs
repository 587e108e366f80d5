//! Distributions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back quantiles look, as Felix's do.
const WINDOW: Duration = Duration::from_secs(600);
/// How many observations they look at.
const LENGTH: usize = 1_024;
/// The quantiles, as Felix gives them.
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];

/// The upper bounds of latencies in seconds.
const BOUNDS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0,
];

/// Quantiles of what was observed of late, and sum and count of all that ever was.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    recent: VecDeque<(Instant, f64)>,
    sum: f64,
    count: u64,
}

impl Summary {
    /// Takes in an observation.
    pub(super) fn observe(&mut self, now: Instant, value: f64) {
        if self.recent.len() == LENGTH {
            self.recent.pop_front();
        }
        self.recent.push_back((now, value));
        self.sum += value;
        self.count += 1;
    }

    /// Returns the quantiles by their names; they are no numbers where nothing was observed of late.
    pub(super) fn quantiles(&self, now: Instant) -> [(&'static str, f64); 3] {
        let recent = |at: &Instant| now.saturating_duration_since(*at) <= WINDOW;
        let mut values: Vec<f64> = self
            .recent
            .iter()
            .filter(|(at, _)| recent(at))
            .map(|(_, value)| *value)
            .collect();
        values.sort_by(f64::total_cmp);
        QUANTILES.map(|(quantile, name)| (name, at(&values, quantile)))
    }

    /// Returns the sum of all observations.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns their number.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// Returns the smallest value that the given part of all does not exceed.
fn at(sorted: &[f64], quantile: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "there are at most as many as the window is long"
    )]
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// How many observations there were up to each bound.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    counts: [u64; BOUNDS.len()],
    sum: f64,
    count: u64,
}

impl Histogram {
    /// Takes in an observation.
    pub(super) fn observe(&mut self, value: f64) {
        for (count, bound) in self.counts.iter_mut().zip(BOUNDS) {
            *count += u64::from(value <= bound);
        }
        self.sum += value;
        self.count += 1;
    }

    /// Returns the bounds, each with the number of observations up to it.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        BOUNDS.into_iter().zip(self.counts)
    }

    /// Returns the sum of all observations.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns their number.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_late_and_sums_of_all() {
        let begun = Instant::now();
        let mut summary = Summary::default();
        assert!(summary.quantiles(begun).iter().all(|(_, v)| v.is_nan()));
        for value in 1..=100 {
            summary.observe(begun, f64::from(value));
        }
        let values = summary.quantiles(begun).map(|(_, value)| value.to_string());
        assert_eq!(values, ["50", "90", "99"]);
        let later = begun + WINDOW + Duration::from_secs(1);
        summary.observe(later, 7.0);
        let values = summary.quantiles(later).map(|(_, value)| value.to_string());
        assert_eq!(values, ["7", "7", "7"]);
        assert_eq!((summary.sum(), summary.count()), (5057.0, 101));
        for _ in 0..2 * LENGTH {
            summary.observe(later, 1.0);
        }
        assert_eq!(summary.recent.len(), LENGTH);
    }

    #[test]
    fn buckets_hold_all_below_them() {
        let mut histogram = Histogram::default();
        for value in [0.001, 0.3, 100.0] {
            histogram.observe(value);
        }
        let counts: Vec<u64> = histogram.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        assert_eq!(histogram.count(), 3);
    }
}
