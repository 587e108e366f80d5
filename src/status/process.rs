//! What the process reports of itself.

use std::time::Duration;

use serde::Serialize;

/// A report, in the form of Felix's.
#[derive(Debug, Serialize)]
struct Report<'a> {
    time: &'a str,
    uptime: f64,
    first_update: bool,
}

/// Whether the process has reported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It has not succeeded yet.
    First,
    /// It has.
    Later,
}

/// Returns a report; `time` is in the form of RFC 3339.
pub(super) fn report(time: &str, uptime: Duration, attempt: Attempt) -> Vec<u8> {
    let report = Report {
        time,
        // No more digits than milliseconds: what lies beyond means nothing.
        uptime: (uptime.as_secs_f64() * 1000.0).round() / 1000.0,
        first_update: attempt == Attempt::First,
    };
    // Text and finite numbers can always be written.
    serde_json::to_vec(&report).unwrap_or_default()
}
