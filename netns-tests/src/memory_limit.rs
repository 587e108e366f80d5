//! A limit on the memory that the kernel may use for what one thread asks of it.
//!
//! By the first version of control groups a thread may be in another group than its process: pages that the process
//! touches count for the process, and what the kernel keeps for a request of the thread counts for the thread. With the
//! killer switched off the kernel then answers ENOMEM.

use std::fs::{create_dir, read_dir, read_to_string, remove_dir, write};
use std::path::{Path, PathBuf};
use std::process::id;

/// Where the hierarchy of the first version is that limits memory.
const HIERARCHY: &str = "/sys/fs/cgroup/memory";

/// Is a group with one thread, gone when dropped.
#[derive(Debug)]
pub struct MemoryLimit {
    group: PathBuf,
    parent: PathBuf,
    thread: String,
}

impl MemoryLimit {
    /// Puts a thread of a process, by its name, into a group of its own without a limit; `None` where no such group can
    /// be made, of which it prints that the test is skipped.
    pub fn of_thread(process: u32, thread: &str) -> Option<Self> {
        let made = own_group().and_then(|parent| {
            let group = parent.join(format!("tortie-test-{}-{process}", id()));
            create_dir(&group).ok()?;
            Some((parent, group))
        });
        let Some((parent, group)) = made else {
            eprintln!("skipped: there is no first version of control groups for memory here");
            return None;
        };
        let thread = thread_of(process, thread);
        let limit = Self {
            group,
            parent,
            thread,
        };
        limit.set("memory.oom_control", "1");
        limit.set("tasks", &limit.thread);
        Some(limit)
    }

    /// Returns how often the limit was met.
    pub fn failures(&self) -> u64 {
        let text = read_to_string(self.group.join("memory.failcnt")).expect("read the failures");
        text.trim().parse().expect("it is a number")
    }

    /// Allows so many bytes from now on.
    pub fn allow(&self, bytes: u64) {
        self.set("memory.limit_in_bytes", &bytes.to_string());
    }

    /// Allows any number of bytes from now on.
    pub fn lift(&self) {
        self.set("memory.limit_in_bytes", "-1");
    }

    fn set(&self, file: &str, value: &str) {
        let written = write(self.group.join(file), value);
        written.unwrap_or_else(|error| panic!("write {value} to {file}: {error}"));
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // The thread may have ended, and has then left the group.
        let _ = write(self.parent.join("tasks"), &self.thread);
        let _ = remove_dir(&self.group);
    }
}

/// Returns the group of this process, where there is one in which others can be made.
fn own_group() -> Option<PathBuf> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.split_once(":memory:/"));
    let group = Path::new(HIERARCHY).join(own?.1);
    group.join("memory.oom_control").exists().then_some(group)
}

fn thread_of(process: u32, name: &str) -> String {
    let tasks = read_dir(format!("/proc/{process}/task")).expect("list the threads");
    let named = tasks.flatten().find(|task| {
        read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    let task = named.unwrap_or_else(|| panic!("process {process} has a thread {name}"));
    task.file_name().to_string_lossy().into_owned()
}
