//! What the kernel under the tests can do.

/// The first release whose tables can outlive their owner.
const PERSIST_SINCE: (u32, u32) = (6, 9);

/// Tells whether tables can outlive their owner, as Linux 6.9 and later let them.
pub fn tables_persist() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the release");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= PERSIST_SINCE
}

/// Says whether a table can be owned by the daemon; if not, prints "skipped".
pub fn owns() -> bool {
    let owns = tables_persist();
    if !owns {
        eprintln!("skipped: tables of this kernel do not outlive their owner");
    }
    owns
}
