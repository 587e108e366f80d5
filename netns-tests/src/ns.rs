//! Network namespaces that live as long as their guard.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RUN_NETNS: &str = "/run/netns";
const PREFIX: &str = "tortie-test-";

/// Is a named network namespace, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    /// The process that holds the user namespace that it belongs to, where that is not the machine's.
    user: Option<Child>,
}

impl Namespace {
    /// Creates a namespace whose name holds this process's id, a number and `role`.
    pub fn new(role: &str) -> Self {
        let name = next_name(role);
        run_program(Command::new("ip").args(["netns", "add", &name]), "");
        Self::named(name, None)
    }

    /// Creates a namespace that belongs to a user namespace of its own, as that of a rootless container does: what
    /// [`Namespace::program`] starts has every privilege inside and none outside.
    pub fn of_user(role: &str) -> Self {
        let name = next_name(role);
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--kill-child"])
            .args(["sh", "-c", "echo; exec sleep infinity"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("make a user namespace");
        let mut ready = [0];
        let stdout = child
            .stdout
            .as_mut()
            .expect("the standard output is a pipe");
        stdout
            .read_exact(&mut ready)
            .expect("the user namespace is there");
        let attach = ["netns", "attach", &name, &child.id().to_string()];
        run_program(Command::new("ip").args(attach), "");
        Self::named(name, Some(child))
    }

    fn named(name: String, user: Option<Child>) -> Self {
        let file = File::open(Path::new(RUN_NETNS).join(&name)).expect("open the new namespace");
        Self { name, file, user }
    }

    /// Returns the command that starts a program with the privileges that the namespace gives.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.user {
            None => Command::new(program),
            Some(child) => {
                let mut command = Command::new("nsenter");
                let target = child.id().to_string();
                command.args(["--user", "--target", &target]).arg(program);
                command
            }
        }
    }

    /// Returns the name under which `ip netns` knows the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread of its own inside the namespace and returns its result.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            match inside.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread into the namespace for the rest of its life.
    pub fn enter(&self) {
        setns(&self.file, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
    }

    /// Returns a second handle on the namespace for a thread that outlives the borrow.
    ///
    /// The handle does not remove the namespace.
    pub fn handle(&self) -> Handle {
        Handle(
            self.file
                .try_clone()
                .expect("duplicate the namespace's descriptor"),
        )
    }

    /// Runs `program` inside to its end with `input` and returns what it printed.
    ///
    /// # Panics
    /// If the program fails.
    pub fn exec(&self, program: &str, arguments: &[&str], input: &str) -> String {
        self.run(|| run_program(Command::new(program).args(arguments), input))
    }

    /// Runs `ip -batch` inside with these lines.
    pub fn ip(&self, lines: &str) {
        self.exec("ip", &["-batch", "-"], lines);
    }

    /// Loads nft text inside.
    pub fn nft(&self, text: &str) {
        self.exec("nft", &["-f", "-"], text);
    }

    /// Writes a setting below `/proc/sys` of the namespace, for example `net/ipv4/ip_forward`.
    pub fn sysctl(&self, setting: &str, value: &str) {
        let path = PathBuf::from("/proc/sys").join(setting);
        self.run(|| std::fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{}: write {setting}: {error}", self.name));
    }

    /// Tells whether the namespace has a setting below `/proc/sys`.
    pub fn has_sysctl(&self, setting: &str) -> bool {
        let path = PathBuf::from("/proc/sys").join(setting);
        self.run(|| path.exists())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        if let Some(child) = &mut self.user {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns a name that holds this process's id, a number and `role`.
fn next_name(role: &str) -> String {
    static SWEEP: Once = Once::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    SWEEP.call_once(sweep);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}-{role}", std::process::id())
}

/// Is a way into a namespace for another thread.
#[derive(Debug)]
pub struct Handle(File);

impl Handle {
    /// Moves the calling thread into the namespace for the rest of its life.
    pub fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
    }
}

/// Runs a program with `input` on its standard input.
///
/// # Panics
/// If it cannot be started or fails; the message holds what it printed.
fn run_program(command: &mut Command, input: &str) -> String {
    let output = output(command, input);
    assert!(
        output.status.success(),
        "{command:?} failed: {}\ninput:\n{input}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program with `input` on its standard input, and returns how it ended.
pub(crate) fn output(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("the standard input is a pipe");
    // A program that fails early reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("wait for the program")
}

/// Removes the namespaces of test processes that no longer live.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(RUN_NETNS) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next())
        else {
            continue;
        };
        if owner.parse::<u32>().is_ok() && !Path::new("/proc").join(owner).exists() {
            end_processes_in(&name);
            let _ = Command::new("ip")
                .args(["netns", "delete", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Kills what a test that is no more has left running in its namespace.
fn end_processes_in(name: &str) {
    let Ok(listing) = Command::new("ip").args(["netns", "pids", name]).output() else {
        return;
    };
    for pid in String::from_utf8_lossy(&listing.stdout).split_whitespace() {
        if let Ok(pid) = pid.parse() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Says whether the process may make namespaces; if not, fails in CI and prints "skipped" elsewhere.
pub fn privileged() -> bool {
    if nix::unistd::geteuid().is_root() && Path::new("/proc/self/ns/net").exists() {
        return true;
    }
    assert!(
        !std::env::var("CI").is_ok_and(|value| value == "true"),
        "the namespace tests need root, and CI=true forbids skipping them"
    );
    eprintln!("skipped: the namespace tests need root");
    false
}
