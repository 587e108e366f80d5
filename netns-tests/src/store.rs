//! Where the daemon finds its resources: a directory or etcd, for tests that run on both.

use crate::agent::{Agent, Directory, Owner};
use crate::etcd::Member;
use crate::ns::Namespace;
use crate::topology::World;

/// Is a directory of files, or an etcd that holds what stood in them.
#[derive(Debug)]
pub enum Store<'a> {
    /// A directory.
    Directory(Directory),
    /// One member on the peer of the host's `eth0`, which is written by the program's own commands.
    Etcd(Box<Member<'a>>),
}

impl<'a> Store<'a> {
    /// Makes an empty directory.
    pub fn directory() -> Self {
        Self::Directory(Directory::new())
    }

    /// Starts an empty etcd that says that it is ready.
    pub fn etcd(world: &'a World) -> Self {
        let member = Member::elsewhere(world);
        member.put("/calico/v1/Ready", "true");
        Self::Etcd(Box::new(member))
    }

    /// Writes the resources of a text; in a directory, into this file, in place of what it held.
    pub fn put(&self, file: &str, text: &str) {
        match self {
            Self::Directory(directory) => directory.put(file, text),
            Self::Etcd(member) => command(member, "apply -f -", text),
        }
    }

    /// Removes a file, or the resources of its text.
    pub fn remove(&self, file: &str, text: &str) {
        match self {
            Self::Directory(directory) => directory.remove(file),
            Self::Etcd(member) => command(member, "delete -f - --skip-not-exists", text),
        }
    }

    /// Starts a daemon on it and waits for nothing.
    pub fn launch(&self, host: &Namespace, owner: Owner, settings: &[(&str, &str)]) -> Agent {
        match self {
            Self::Directory(directory) => Agent::launch(host, owner, settings, directory),
            Self::Etcd(member) => member.agent(owner, settings),
        }
    }

    /// Starts a daemon on it and waits for its first commit.
    pub fn start(&self, host: &Namespace, owner: Owner, settings: &[(&str, &str)]) -> Agent {
        let agent = self.launch(host, owner, settings);
        agent.started();
        agent
    }
}

fn command(member: &Member<'_>, arguments: &str, text: &str) {
    let output = member.tortie(arguments, &[], text);
    assert!(
        output.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
