//! What the daemon's process takes of the machine.

use std::time::Duration;

/// Returns the processor time that all threads of a process have had.
pub(crate) fn cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("list the threads");
    let nanoseconds: u64 = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// Returns a figure of a process's memory, in MiB.
pub(crate) fn memory(pid: u32, label: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read the status");
    let kibibytes: Option<f64> = status
        .lines()
        .find(|line| line.starts_with(label))
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kibibytes.expect("a number of kibibytes") / 1024.0
}
