//! The real daemon in a namespace, on a directory of resources.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::ns::{Handle, Namespace};
use crate::patience::patient;
use crate::witness;

/// Is the starter that has a daemon started with a `/run` of its own, as in a container.
pub const ELSEWHERE: [&str; 5] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /run && exec \"$0\" \"$@\"",
];

/// How long an answer or a packet may take before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How long a condition may take that somebody has to work for.
pub const WORK_DEADLINE: Duration = DEADLINE.saturating_mul(6);
/// How many lines of the daemon's log are kept for a test to look through.
const KEPT_LINES: usize = 5000;
/// How many of them a failing test prints.
const SHOWN_LINES: usize = 200;
/// The host name that the daemon runs under unless a test says otherwise.
pub const HOSTNAME: &str = "host1";

/// Says whether the daemon owns its table (`TORTIE_TABLEOWNER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The table is owned and persists.
    Enabled,
    /// Nothing is owned.
    Disabled,
}

impl Owner {
    /// Returns what the daemon does of its own accord on this kernel.
    pub fn usual() -> Self {
        if crate::kernel::tables_persist() {
            Self::Enabled
        } else {
            Self::Disabled
        }
    }
}

/// Says what made the daemon commit, as its log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// The first complete snapshot.
    Start,
    /// A change in the directory or in etcd, be it of resources or of configuration.
    Directory,
    /// A change of links or addresses.
    Links,
    /// What another program did to the table.
    Drift,
}

/// Is a directory of resources in which files appear whole.
#[derive(Debug, Clone)]
pub struct Directory(Arc<TempDir>);

impl Directory {
    /// Makes an empty directory.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("make a directory");
        std::fs::create_dir(root.path().join("resources")).expect("make the directory");
        std::fs::create_dir(root.path().join("staging")).expect("make the staging directory");
        Self(Arc::new(root))
    }

    /// Returns the directory that the daemon reads.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("resources")
    }

    /// Writes a file beside the directory and renames it into place, which is one event.
    pub fn put(&self, file: &str, text: &str) {
        let staged = self.0.path().join("staging").join(file);
        std::fs::write(&staged, text).expect("write a resource file");
        std::fs::rename(&staged, self.path().join(file)).expect("rename a resource file");
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.path().join(file)).expect("remove a resource file");
    }

    /// Moves the whole directory out of the daemon's sight.
    pub fn vanish(&self) {
        std::fs::rename(self.path(), self.0.path().join("hidden")).expect("hide the directory");
    }

    /// Writes a file of the directory while it is out of sight.
    pub fn put_hidden(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join("hidden").join(file), text).expect("write a hidden file");
    }

    /// Brings the directory back.
    pub fn reappear(&self) {
        std::fs::rename(self.0.path().join("hidden"), self.path()).expect("show the directory");
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

/// Is a point in the daemon's log: what comes after it is newer.
#[derive(Debug, Clone)]
pub struct Mark {
    lines: usize,
    commits: BTreeMap<Trigger, usize>,
}

impl Mark {
    /// Returns the point before the daemon's first line.
    pub fn beginning() -> Self {
        Self {
            lines: 0,
            commits: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<String>,
    seen: usize,
    commits: BTreeMap<Trigger, usize>,
    ended: bool,
}

impl Log {
    fn push(&mut self, line: String) {
        if says(&line, "applied") || says(&line, "no change") {
            for (trigger, names) in [
                (Trigger::Start, ["start"].as_slice()),
                (
                    Trigger::Directory,
                    ["directory", "etcd", "config"].as_slice(),
                ),
                (Trigger::Links, ["links"].as_slice()),
                (Trigger::Drift, ["drift"].as_slice()),
            ] {
                let value = field(&line, "trigger").unwrap_or_default();
                if names.iter().any(|name| value.contains(name)) {
                    *self.commits.entry(trigger).or_default() += 1;
                }
            }
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.seen += 1;
    }

    fn commits(&self, trigger: Trigger) -> usize {
        self.commits.get(&trigger).copied().unwrap_or(0)
    }

    /// Returns the kept lines that came after a mark.
    fn since(&self, mark: &Mark) -> impl Iterator<Item = &String> {
        let first = self.seen - self.lines.len();
        self.lines.iter().skip(mark.lines.saturating_sub(first))
    }

    fn tail(&self) -> String {
        let first = self.lines.len().saturating_sub(SHOWN_LINES);
        self.lines
            .range(first..)
            .flat_map(|line| ["    ", line.as_str(), "\n"])
            .collect()
    }
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Log>,
    grown: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log
            .lock()
            .expect("the log's lock is never held in a panic")
    }
}

/// Is a running daemon, killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    reader: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    directory: Directory,
    namespace: Handle,
    status: Option<ExitStatus>,
}

impl Agent {
    /// Starts the daemon on an empty directory and waits until it is in sync.
    pub fn start(namespace: &Namespace, owner: Owner) -> Self {
        Self::with(namespace, owner, &[])
    }

    /// Starts the daemon with these environment variables on an empty directory.
    pub fn with(namespace: &Namespace, owner: Owner, settings: &[(&str, &str)]) -> Self {
        Self::on(namespace, owner, settings, &Directory::new())
    }

    /// Starts the daemon on a directory and waits for its first commit.
    pub fn on(
        namespace: &Namespace,
        owner: Owner,
        settings: &[(&str, &str)],
        directory: &Directory,
    ) -> Self {
        let agent = Self::launch(namespace, owner, settings, directory);
        agent.started();
        agent
    }

    /// Waits for the first commit after a launch.
    pub fn started(&self) {
        self.wait("the first commit", |log| log.commits(Trigger::Start) > 0);
    }

    /// Starts the daemon and waits for nothing.
    pub fn launch(
        namespace: &Namespace,
        owner: Owner,
        settings: &[(&str, &str)],
        directory: &Directory,
    ) -> Self {
        Self::launch_with(namespace, owner, settings, directory, &[])
    }

    /// Starts the daemon with more arguments and waits for nothing.
    pub fn launch_with(
        namespace: &Namespace,
        owner: Owner,
        settings: &[(&str, &str)],
        directory: &Directory,
        arguments: &[&str],
    ) -> Self {
        Self::launch_by(&[], namespace, owner, settings, directory, arguments)
    }

    /// Starts the daemon by a program that is to become it, given with its arguments, and waits for nothing.
    pub fn launch_by(
        starter: &[&str],
        namespace: &Namespace,
        owner: Owner,
        settings: &[(&str, &str)],
        directory: &Directory,
        arguments: &[&str],
    ) -> Self {
        let mut command = match starter.split_first() {
            None => namespace.program(binary()),
            Some((program, arguments)) => {
                let mut command = namespace.program(program);
                command.args(arguments).arg(binary());
                command
            }
        };
        environment(&mut command, owner).envs(settings.iter().copied());
        command.arg("run").arg("--directory").arg(directory.path());
        Self::spawn(command.args(arguments), namespace, directory)
    }

    /// Starts the daemon with more arguments on the datastore that the settings name, and waits for nothing; its
    /// directory is unused.
    pub fn without_directory(
        namespace: &Namespace,
        owner: Owner,
        settings: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        Self::started_by(
            Command::new(binary()),
            namespace,
            owner,
            settings,
            arguments,
        )
    }

    /// Has a command start the daemon, to whose own arguments those of the daemon are added, on the datastore that the
    /// settings name; waits for nothing.
    pub fn started_by(
        mut command: Command,
        namespace: &Namespace,
        owner: Owner,
        settings: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        environment(&mut command, owner).envs(settings.iter().copied());
        command.arg("run").args(arguments);
        Self::spawn(&mut command, namespace, &Directory::new())
    }

    fn spawn(command: &mut Command, namespace: &Namespace, directory: &Directory) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = namespace
            .run(|| command.spawn())
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let stderr = child.stderr.take().expect("the standard error is a pipe");
        let shared = Arc::new(Shared::default());
        let reader = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    shared
                        .lock()
                        .push(String::from_utf8_lossy(&line).into_owned());
                    shared.grown.notify_all();
                }
                shared.lock().ended = true;
                shared.grown.notify_all();
            }
        });
        Self {
            child,
            reader: Some(reader),
            shared,
            directory: directory.clone(),
            namespace: namespace.handle(),
            status: None,
        }
    }

    /// Returns the daemon's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the directory that the daemon reads.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Makes `resources.yaml` hold this and nothing else, and waits until that is in force.
    pub fn apply(&self, text: &str) {
        self.put("resources.yaml", text);
    }

    /// Writes one file and waits until it is in force.
    pub fn put(&self, file: &str, text: &str) {
        let mark = self.mark();
        self.directory.put(file, text);
        self.settled(&mark);
    }

    /// Removes one file and waits until that is in force.
    pub fn remove(&self, file: &str) {
        let mark = self.mark();
        self.directory.remove(file);
        self.settled(&mark);
    }

    /// Remembers the present end of the log.
    pub fn mark(&self) -> Mark {
        let log = self.shared.lock();
        Mark {
            lines: log.seen,
            commits: log.commits.clone(),
        }
    }

    /// Waits until a change of the directory made after the mark is in force.
    pub fn settled(&self, mark: &Mark) {
        self.committed(mark, Trigger::Directory);
    }

    /// Waits for a commit newer than the mark that `trigger` caused.
    pub fn committed(&self, mark: &Mark, trigger: Trigger) {
        let before = mark.commits.get(&trigger).copied().unwrap_or(0);
        self.wait(&format!("a commit caused by {trigger:?}"), |log| {
            log.commits(trigger) > before
        });
    }

    /// Waits for a line newer than the mark and returns it.
    pub fn line(&self, mark: &Mark, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut found = None;
        self.wait(what, |log| {
            found = log.since(mark).find(|line| wanted(line)).cloned();
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Tells whether a line newer than the mark holds this text.
    pub fn has_said(&self, mark: &Mark, text: &str) -> bool {
        let log = self.shared.lock();
        log.since(mark).any(|line| line.contains(text))
    }

    /// Returns how many lines newer than the mark have this message.
    pub fn lines_with(&self, mark: &Mark, message: &str) -> usize {
        let log = self.shared.lock();
        log.since(mark).filter(|line| says(line, message)).count()
    }

    /// Waits for a warning or an error newer than the mark that names `subject`.
    pub fn warned(&self, mark: &Mark, subject: &str) -> String {
        self.line(mark, &format!("a warning about {subject:?}"), |line| {
            is_warning(line) && line.contains(subject)
        })
    }

    /// Waits for the first line with this message since the start.
    pub fn logged(&self, message: &str) -> String {
        let beginning = Mark {
            lines: 0,
            commits: BTreeMap::new(),
        };
        self.line(&beginning, &format!("the line {message:?}"), |line| {
            says(line, message)
        })
    }

    /// Ends the daemon with SIGTERM and returns how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_end()
    }

    /// Ends the daemon with SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_end();
    }

    /// Waits until the daemon has ended by itself or by a signal.
    pub fn wait_end(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        self.wait("the daemon's end", |log| log.ended);
        let status = self.child.wait().expect("wait for the daemon");
        self.status = Some(status);
        status
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id is positive");
        kill(Pid::from_raw(pid), signal).expect("signal the daemon");
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Log) -> bool) {
        let deadline = Instant::now() + patient(WORK_DEADLINE);
        let mut log = self.shared.lock();
        loop {
            if done(&log) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let reason = match (log.ended, left.is_zero()) {
                (true, _) => "the daemon ended",
                (false, true) => "the deadline passed",
                (false, false) => {
                    let waited = self.shared.grown.wait_timeout(log, left);
                    log = waited.expect("the log's lock is never held in a panic").0;
                    continue;
                }
            };
            // A panic with the lock held would hide its message behind a poisoned lock.
            drop(log);
            panic!("waiting for {what}: {reason}");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("the daemon's last lines:\n{}", self.shared.lock().tail());
            let handle = &self.namespace;
            let listing = std::thread::scope(|scope| {
                let inside = scope.spawn(|| {
                    handle.enter();
                    witness::text()
                });
                inside.join().unwrap_or_default()
            });
            eprintln!("the ruleset:\n{listing}");
        }
    }
}

/// Runs the program's command line inside a namespace to its end.
pub fn command_line(namespace: &Namespace, owner: Owner, arguments: &[&str]) -> Output {
    command_line_with(namespace, owner, arguments, &[], "")
}

/// Runs the program's command line with more settings and an input.
pub fn command_line_with(
    namespace: &Namespace,
    owner: Owner,
    arguments: &[&str],
    settings: &[(&str, &str)],
    input: &str,
) -> Output {
    let mut command = Command::new(binary());
    environment(&mut command, owner)
        .args(arguments)
        .envs(settings.iter().copied());
    namespace.run(|| crate::ns::output(&mut command, input))
}

/// Clears the environment but for what the daemon needs in a test.
fn environment(command: &mut Command, owner: Owner) -> &mut Command {
    let owner = match owner {
        Owner::Enabled => "Enabled",
        Owner::Disabled => "Disabled",
    };
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs([
            ("FELIX_FELIXHOSTNAME", HOSTNAME),
            ("FELIX_LOGFILEPATH", "none"),
            ("FELIX_LOGSEVERITYSYS", "none"),
            ("FELIX_LOGSEVERITYSCREEN", "Info"),
            // The directory of the machine is none of a test's.
            ("FELIX_ENDPOINTSTATUSPATHPREFIX", "none"),
            ("TORTIE_TABLEOWNER", owner),
        ])
}

/// Returns the binary under test: `TORTIE_BIN`, or the one in the test's own target directory.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("TORTIE_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("know the test's own path");
            let profile = test
                .parent()
                .and_then(Path::parent)
                .expect("tests are in target/*/deps");
            profile.join("tortie")
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} is missing: run `cargo build` first",
        path.display()
    );
    path
}

/// Says whether a log line has exactly this message.
///
/// The message stands after the line's head and before its fields, quoted or not, so it must begin and
/// end at a boundary.
pub fn says(line: &str, message: &str) -> bool {
    line.match_indices(message).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + message.len()..].chars().next();
        before.is_none_or(|it| matches!(it, ' ' | ':' | '"' | ']'))
            && after.is_none_or(|it| matches!(it, ' ' | '"' | ',' | ':'))
    })
}

/// Returns the value of a `key=value` field of a log line, without quotes.
pub fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let start = line.match_indices(key).find_map(|(start, _)| {
        let bounded = line[..start].chars().next_back().is_none_or(|it| it == ' ');
        let value = start + key.len();
        (bounded && line[value..].starts_with('=')).then_some(value + 1)
    })?;
    let rest = &line[start..];
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(' ').next(),
    }
}

/// Says whether a log line is a warning or an error.
pub fn is_warning(line: &str) -> bool {
    line.contains("WARN") || line.contains("ERROR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_from_its_like() {
        let line =
            r#"2026-01-01 00:00:00.000 [INFO][7] agent/run.rs 9: applied seq=3 trigger="links""#;
        assert!(says(line, "applied"));
        assert!(!says("INFO reapplied seq=3", "applied"));
        assert!(!says("INFO appliedx", "applied"));
        assert!(says("INFO no change trigger=directory", "no change"));
    }

    #[test]
    fn a_field_is_read_quoted_or_not() {
        let line = r#"INFO applied seq=3 trigger="directory" x=1"#;
        assert_eq!(field(line, "trigger"), Some("directory"));
        assert_eq!(field(line, "seq"), Some("3"));
        assert_eq!(field(line, "eq"), None);
    }
}
