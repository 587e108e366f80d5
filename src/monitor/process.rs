//! What the system tells of this process.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use super::exposition::{Page, number};

/// Adds what can be found out; what cannot is left out.
pub(super) fn add(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = constant(SysconfVar::CLK_TCK);
    let page_size = constant(SysconfVar::PAGE_SIZE);
    if let (Some(stat), Some(ticks), Some(page_size)) = (Stat::parse(&stat), ticks, page_size) {
        page.family(
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
        );
        page.sample("process_cpu_seconds_total", &[], number(stat.busy) / ticks);
        if let Some(booted) = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|t| booted(&t))
        {
            page.gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                number(booted) + number(stat.started) / ticks,
            );
        }
        page.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            number(stat.virtual_bytes),
        );
        page.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            number(stat.resident_pages) * page_size,
        );
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory itself.
        let open = u64::try_from(entries.count()).unwrap_or_default();
        page.gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            number(open.saturating_sub(1)),
        );
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = most_files(&limits) {
        page.gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            number(most),
        );
    }
}

fn constant(name: SysconfVar) -> Option<f64> {
    let value = sysconf(name).ok()??;
    u64::try_from(value).ok().map(number)
}

/// What stands in `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Time on a processor, in ticks.
    busy: u64,
    /// Time of the start since the system's, in ticks.
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program, in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The state, the first of these, is field 3 of proc(5).
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            busy: field(14)?.saturating_add(field(15)?),
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Returns when the system started, in seconds since 1970.
fn booted(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn most_files(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_strange_name_is_read() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 30 12 0 0 20 0 3 0 555 1000 99 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.busy, stat.started), (42, 555));
        assert_eq!((stat.virtual_bytes, stat.resident_pages), (1000, 99));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(booted("cpu 1\nbtime 99\n"), Some(99));
        assert_eq!(
            most_files("Max open files   1024   4096   files\n"),
            Some(1024)
        );
        assert_eq!(most_files("Max open files   unlimited\n"), None);
    }

    #[test]
    fn this_process_is_measured() {
        let mut page = Page::default();
        add(&mut page);
        let text = page.into_text();
        for name in [
            "cpu_seconds_total",
            "resident_memory_bytes",
            "open_fds",
            "start_time_seconds",
        ] {
            assert!(
                text.contains(&format!("\nprocess_{name} ")),
                "{name}: {text}"
            );
        }
    }
}
