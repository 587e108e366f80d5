//! Whether the memory of a daemon is flat.

use std::fmt;
use std::time::Instant;

/// By how much a warm daemon may grow, in KiB: states differ in size, and the allocator does not give back at once.
const GROWTH: u64 = 6 * 1024;

/// Is what a daemon was seen to hold, once it was warm.
#[derive(Debug)]
pub(super) struct Memory {
    warm: Instant,
    first: Option<u64>,
    last: u64,
    most: u64,
}

impl Memory {
    /// Begins to look, for a time of which the first third is for the daemon to get warm.
    pub(super) fn over(until: Instant) -> Self {
        let now = Instant::now();
        Self {
            warm: now + until.saturating_duration_since(now) / 3,
            first: None,
            last: 0,
            most: 0,
        }
    }

    /// Looks.
    pub(super) fn note(&mut self, pid: u32) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.expect("read the status of the daemon");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        self.last = kibibytes.expect("a number of kibibytes");
        self.most = self.most.max(self.last);
        if Instant::now() >= self.warm {
            self.first.get_or_insert(self.last);
        }
    }

    /// Demands that a daemon that was warm has not grown.
    #[track_caller]
    pub(super) fn demand(&self) {
        let first = self.first.expect("a turn after the daemon was warm");
        assert!(self.last <= first + GROWTH, "memory is not flat: {self}");
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first.map_or("-".to_owned(), |first| first.to_string());
        let (last, most) = (self.last, self.most);
        write!(
            f,
            "resident {first} KiB when warm, {last} now, {most} at most"
        )
    }
}
