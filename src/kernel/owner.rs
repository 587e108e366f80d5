//! Who owns the table.

use std::fmt;
use std::fs;
use std::path::Path;

/// Whether the table is to belong to this process (`TableOwner`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableOwner {
    /// Where the kernel can keep the table when its owner ends.
    #[default]
    Auto,
    /// In any case; an older kernel is an error.
    Enabled,
    /// Never.
    Disabled,
}

/// Another process's hold on the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignOwner {
    /// The port of the owner's netlink socket.
    pub port: u32,
    /// The inode of that socket, where the kernel lists it.
    pub inode: Option<u64>,
    /// The process that holds the socket, where it is visible.
    pub process: Option<Process>,
}

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// The name of its command.
    pub command: String,
}

impl ForeignOwner {
    /// Finds out what can be known of the socket with a port.
    pub(super) fn of_port(port: u32) -> Self {
        let listing = fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default();
        let inode = inode_of(&listing, port);
        Self {
            port,
            inode,
            process: inode.and_then(|inode| process_with(Path::new("/proc"), inode)),
        }
    }
}

impl fmt::Display for ForeignOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.process, self.inode) {
            (Some(process), _) => write!(f, "process {} (`{}`)", process.id, process.command)?,
            (None, Some(inode)) => write!(f, "the socket with inode {inode}")?,
            (None, None) => f.write_str("another socket")?,
        }
        write!(f, ", netlink port {}", self.port)
    }
}

/// `NETLINK_NETFILTER` of `linux/netlink.h`.
const NETLINK_NETFILTER: &str = "12";

/// Finds the inode of the netfilter socket with a port in the text of `/proc/net/netlink`.
fn inode_of(listing: &str, port: u32) -> Option<u64> {
    listing.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let protocol = columns.nth(1)?;
        let listed = columns.next()?.parse::<u32>().ok()?;
        let inode = columns.last()?.parse().ok()?;
        (protocol == NETLINK_NETFILTER && listed == port).then_some(inode)
    })
}

/// Finds a process that has a socket open.
fn process_with(proc: &Path, inode: u64) -> Option<Process> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir(proc).ok()?.flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str())
        });
        if holds {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(Process {
                id,
                command: command.trim_end().to_owned(),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inode_of_a_port_is_found_among_the_netfilter_sockets() {
        let listing = "\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000000000000 0   990        00000111 0        0        0     2        0        11111
0000000000000000 12  990        00000000 0        0        0     2        0        22222
0000000000000000 12  4294967295 00000000 0        0        0     2        0        33333
short line
";
        assert_eq!(inode_of(listing, 990), Some(22_222));
        assert_eq!(inode_of(listing, u32::MAX), Some(33_333));
        assert_eq!(inode_of(listing, 1), None);
        assert_eq!(inode_of("", 1), None);
    }

    #[test]
    fn an_owner_is_named_by_what_is_known_of_it() {
        let mut owner = ForeignOwner {
            port: 7,
            inode: None,
            process: None,
        };
        assert_eq!(owner.to_string(), "another socket, netlink port 7");
        owner.inode = Some(8);
        assert_eq!(owner.to_string(), "the socket with inode 8, netlink port 7");
        owner.process = Some(Process {
            id: 9,
            command: "tortie".to_owned(),
        });
        assert_eq!(owner.to_string(), "process 9 (`tortie`), netlink port 7");
    }
}
