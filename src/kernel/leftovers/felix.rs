//! Whether a Felix polices this network namespace.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::kernel::owner::Process;

/// The program, and the name by which ours can be called in its place.
const FELIX: &[u8] = b"calico-felix";
/// The program that holds Felix among others, and how it is told to be Felix.
const NODE: &[u8] = b"calico-node";
const NODE_FLAGS: [&[u8]; 2] = [b"-felix", b"--felix"];
/// What its earliest releases are run by, and which of its options take the next word.
const INTERPRETER: &[u8] = b"python";
const INTERPRETER_TAKES: [&[u8]; 3] = [b"-Q", b"-W", b"-X"];
/// More of a command line is not read.
const COMMAND_LINE_MAX: u64 = 4096;

/// Whether a Felix polices a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FelixSeen {
    /// This process is one.
    Lives(Process),
    /// None does, of the processes that have an id here.
    Absent,
    /// That cannot be told: processes of others are hidden from this one.
    Hidden,
}

/// Looks for a process that is Felix in the network namespace of the calling thread. A namespace that cannot be read
/// counts as this one. Ours is none, whatever it is called: neither the process with an id in `ours` nor one that
/// runs the same file as this one.
pub fn live_felix(ours: &[u32]) -> FelixSeen {
    let proc = Path::new("/proc");
    match live_below(proc, ours) {
        Some(process) => FelixSeen::Lives(process),
        None if sees_others(proc) => FelixSeen::Absent,
        None => FelixSeen::Hidden,
    }
}

/// Tells whether processes of others can be seen, by the first, which always lives: where `/proc` is mounted with
/// `hidepid`, those with more capabilities are hidden.
fn sees_others(proc: &Path) -> bool {
    File::open(proc.join("1/cmdline")).is_ok()
}

fn live_below(proc: &Path, ours: &[u32]) -> Option<Process> {
    let namespace = namespace_of(&proc.join("thread-self"));
    let program = file_of(&proc.join("self/exe"));
    for entry in fs::read_dir(proc).ok()?.flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = entry.path();
        if ours.contains(&id) || !is_felix(&words(&path)) {
            continue;
        }
        let elsewhere = match (namespace_of(&path), namespace) {
            (Some(theirs), Some(here)) => theirs != here,
            (Some(_) | None, _) => false,
        };
        let same_file = program.is_some() && file_of(&path.join("exe")) == program;
        if !elsewhere && !same_file {
            let command = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let printable = command.trim_end().chars().filter(|c| !c.is_control());
            return Some(Process {
                id,
                command: printable.collect(),
            });
        }
    }
    None
}

/// Tells the network namespaces of processes apart.
///
/// The link `ns/net` may be read only by one who has all capabilities of the process, and we have few. What stands below
/// `net` is open to everybody, and each namespace has files of its own there (`get_proc_task_net` and `proc_register` of
/// `fs/proc`).
fn namespace_of(process: &Path) -> Option<(u64, u64)> {
    file_of(&process.join("net/dev"))
}

/// Returns which file stands at a path.
fn file_of(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Reads the words of a process's command line; none where it has ended.
fn words(process: &Path) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let Ok(file) = File::open(process.join("cmdline")) else {
        return Vec::new();
    };
    if file.take(COMMAND_LINE_MAX).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Tells whether a command line is that of Felix.
fn is_felix(words: &[Vec<u8>]) -> bool {
    let base = |word: &Vec<u8>| {
        let name: OsString = std::ffi::OsStr::from_bytes(word).to_owned();
        Path::new(&name)
            .file_name()
            .map(|name| name.as_bytes().to_vec())
    };
    let first = words.first().and_then(base).unwrap_or_default();
    let flagged = words
        .iter()
        .skip(1)
        .any(|word| NODE_FLAGS.contains(&word.as_slice()));
    first == FELIX
        || (first == NODE && flagged)
        || (first.starts_with(INTERPRETER)
            && script(words).and_then(base).as_deref() == Some(FELIX))
}

/// Returns the program that an interpreter runs: the first word that is no option, nor that of one.
fn script(words: &[Vec<u8>]) -> Option<&Vec<u8>> {
    let mut words = words.iter().skip(1);
    loop {
        let word = words.next()?;
        if INTERPRETER_TAKES.contains(&word.as_slice()) {
            words.next();
        } else if !word.starts_with(b"-") {
            return Some(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Vec<Vec<u8>> {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn felix_is_known_in_each_of_its_forms() {
        for line in [
            "calico-felix",
            "/usr/bin/calico-felix -c /etc/calico/felix.cfg",
            "calico-node -felix",
            "/usr/local/bin/calico-node --felix",
            "/usr/bin/python2.7 /usr/bin/calico-felix --config-file=/etc/calico/felix.cfg",
            "/usr/bin/python -s /usr/bin/calico-felix --config-file=/etc/calico/felix.cfg",
            "python -u -W ignore -Es /usr/bin/calico-felix",
        ] {
            assert!(is_felix(&command(line)), "{line}");
        }
        for line in [
            "",
            "calico-node -confd",
            "vi /etc/init/calico-felix",
            "tail -f /var/log/calico/calico-felix",
            "/usr/bin/tortie run",
            "calico-felix-log",
            "python",
            "python -W calico-felix",
            "python -u edit.py /usr/bin/calico-felix",
        ] {
            assert!(!is_felix(&command(line)), "{line}");
        }
    }

    #[test]
    fn a_process_counts_where_it_is_in_this_namespace_or_may_be() {
        let proc = std::env::temp_dir().join(format!("tortie-felix-{}", std::process::id()));
        let _ = fs::remove_dir_all(&proc);
        let process = |id: &str, line: &[u8], namespace: Option<&str>| {
            let path = proc.join(id);
            fs::create_dir_all(path.join("net")).unwrap();
            fs::write(path.join("cmdline"), line).unwrap();
            fs::write(path.join("comm"), "calico-\u{1b}felix\n").unwrap();
            if let Some(namespace) = namespace {
                let file = proc.join(namespace);
                fs::write(&file, "").unwrap();
                fs::hard_link(file, path.join("net/dev")).unwrap();
            }
        };
        fs::create_dir_all(&proc).unwrap();
        let here = "here";
        process("thread-self", b"", Some(here));
        process("not-a-number", b"calico-felix\0", Some(here));
        process("10", b"calico-felix\0", Some("there"));
        process("11", b"tortie\0run\0", Some(here));
        assert_eq!(live_below(&proc, &[]), None);
        process("12", b"/usr/bin/calico-felix\0", Some(here));
        let found = live_below(&proc, &[]).unwrap();
        assert_eq!((found.id, found.command.as_str()), (12, "calico-felix"));
        assert_eq!(live_below(&proc, &[12]), None);
        process("13", b"calico-node\0-felix\0", None);
        assert_eq!(live_below(&proc, &[12]).unwrap().id, 13);
        fs::remove_dir_all(&proc).unwrap();
        assert_eq!(live_below(&proc, &[]), None);
    }

    #[test]
    fn where_processes_are_hidden_nobody_can_tell() {
        assert!(sees_others(Path::new("/proc")));
        assert!(!sees_others(Path::new("/nowhere/at/all")));
    }
}
