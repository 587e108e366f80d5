//! A name that one process of a network namespace has at a time, whatever directories it sees: that of an abstract
//! socket, which belongs to the namespace as its table does, and vanishes with the process.
//!
//! Anybody in the namespace can take such a name, so that it counts only where a process has it that could have a table as
//! well: nothing that another does keeps a daemon from starting.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt,
};
use nix::unistd::Uid;

/// The name, without the byte 0 before it.
pub(super) const NAME: &str = "tortie.lock";

/// How long nobody is received after somebody was, so that whoever calls without a pause costs next to nothing.
const PAUSE: Duration = Duration::from_millis(1);

/// Where the capabilities of a process stand in its `/proc/PID/status`, as a mask in base 16.
const CAPABILITIES: &str = "CapEff:";
/// `CAP_NET_ADMIN` of `linux/capability.h`, which a process needs to have a table.
const NET_ADMIN: u64 = 1 << 12;

/// Who has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    user: Uid,
    /// Its id, where it can be seen from here.
    process: Option<u32>,
}

impl Peer {
    /// Says whether it could have a table: root with the capability, which root in a container need not have. A
    /// process whose capabilities cannot be seen is taken to have it.
    pub(super) fn may_have_a_table(&self) -> bool {
        let can = |process| {
            std::fs::read_to_string(format!("/proc/{process}/status"))
                .ok()
                .and_then(|status| effective(&status))
        };
        let capabilities = self.process.and_then(can);
        self.user.is_root() && capabilities.is_none_or(|mask| mask & NET_ADMIN != 0)
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.process {
            Some(id) => write!(f, "process {id} of user {}", self.user),
            None => write!(f, "a process of user {}", self.user),
        }
    }
}

/// Reads the effective capabilities out of a process's status.
fn effective(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix(CAPABILITIES))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// How often a name is tried that somebody has who does not listen.
const ATTEMPTS: u32 = 20;
/// How long after each of these times.
const AGAIN: Duration = Duration::from_millis(10);

/// What became of an attempt to get the name.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is ours as long as this lives.
    Ours(UnixListener),
    /// Another process that may have it does, with this id where it can be seen from here.
    Held(Option<u32>),
    /// It is not ours, and who has it must not be believed or cannot be told; why.
    Unclear(String),
}

impl Claim {
    /// Tries to get a name; who has it is asked about, and may not be believed.
    pub(super) fn attempt(name: &str, is_believed: impl Fn(&Peer) -> bool) -> Self {
        for _ in 0..ATTEMPTS {
            let bound =
                SocketAddr::from_abstract_name(name).and_then(|it| UnixListener::bind_addr(&it));
            match bound {
                Ok(listener) => return Self::Ours(listener),
                Err(cause) if cause.kind() != io::ErrorKind::AddrInUse => {
                    return Self::Unclear(format!("make the socket @{name}: {cause}"));
                }
                Err(_) => {}
            }
            match whose(name) {
                Ok(peer) if is_believed(&peer) => return Self::Held(peer.process),
                Ok(peer) => return Self::Unclear(format!("{peer} has the socket @{name}")),
                // Who had it may have ended meanwhile, or is about to listen.
                Err(Errno::ECONNREFUSED) => thread::sleep(AGAIN),
                Err(cause) => {
                    return Self::Unclear(format!("ask who has the socket @{name}: {cause}"));
                }
            }
        }
        Self::Unclear(format!("nobody answers at the socket @{name}"))
    }
}

/// Asks who listens at a name; never waits.
fn whose(name: &str) -> Result<Peer, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(
        socket.as_raw_fd(),
        &UnixAddr::new_abstract(name.as_bytes())?,
    )?;
    let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
    // One of another namespace of processes has no number here.
    let process = u32::try_from(peer.pid()).ok().filter(|id| *id != 0);
    Ok(Peer {
        user: Uid::from_raw(peer.uid()),
        process,
    })
}

/// Sends away who asks, on a thread that ends with the process: there is room for so many only, and beyond them
/// nobody can ask.
pub(super) fn send_away(listener: UnixListener) -> io::Result<()> {
    let receive = move || {
        loop {
            drop(listener.accept());
            thread::sleep(PAUSE);
        }
    };
    let builder = thread::Builder::new().name("lock".to_owned());
    builder.spawn(receive).map(drop)
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{Backlog, bind, listen};
    use nix::unistd::geteuid;

    use super::*;

    fn anybody(_: &Peer) -> bool {
        true
    }

    /// Returns a name of this test's own.
    fn name(test: &str) -> String {
        format!("tortie-test-{}-{test}", std::process::id())
    }

    #[test]
    fn one_process_has_it_until_it_lets_go() {
        let name = name("one");
        let Claim::Ours(first) = Claim::attempt(&name, anybody) else {
            panic!("it is free");
        };
        let second = Claim::attempt(&name, anybody);
        assert!(
            matches!(second, Claim::Held(Some(id)) if id == std::process::id()),
            "{second:?}"
        );
        drop(first);
        let third = Claim::attempt(&name, anybody);
        assert!(matches!(third, Claim::Ours(_)), "{third:?}");
    }

    #[test]
    fn who_could_not_have_a_table_is_not_believed() {
        let name = name("other");
        let _first = Claim::attempt(&name, anybody);
        let second = Claim::attempt(&name, |_| false);
        let Claim::Unclear(reason) = second else {
            panic!("{second:?}");
        };
        assert!(reason.contains(&format!("user {}", geteuid())), "{reason}");
    }

    #[test]
    fn root_without_the_capability_could_not_have_a_table() {
        let status = |mask: &str| format!("Name:\tx\nCapPrm:\t0000000000001000\nCapEff:\t{mask}\n");
        let can = |mask| effective(&status(mask)).is_some_and(|mask| mask & NET_ADMIN != 0);
        assert!(can("0000000000001000") && can("000001ffffffffff"));
        assert!(!can("0000000000000000") && !can("00000000a80425fb"));
        assert_eq!(effective("Name:\tx\n"), None);
        assert_eq!(effective(&status("what")), None);
        let peer = |user, process| Peer {
            user: Uid::from_raw(user),
            process,
        };
        assert!(peer(0, None).may_have_a_table(), "it cannot be seen");
        assert!(!peer(65_534, None).may_have_a_table());
    }

    #[test]
    fn who_has_it_and_does_not_listen_yet_is_waited_for() {
        let name = name("late");
        let flags = SockFlag::SOCK_CLOEXEC;
        let late = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        let address = UnixAddr::new_abstract(name.as_bytes()).unwrap();
        bind(late.as_raw_fd(), &address).unwrap();
        let never = Claim::attempt(&name, anybody);
        assert!(
            matches!(&never, Claim::Unclear(reason) if reason.contains("nobody answers")),
            "{never:?}"
        );
        let listening = thread::spawn(move || {
            thread::sleep(AGAIN);
            listen(&late, Backlog::MAXCONN).unwrap();
            late
        });
        let heard = (0..100).any(|_| matches!(Claim::attempt(&name, anybody), Claim::Held(_)));
        assert!(heard);
        listening.join().unwrap();
    }

    #[test]
    fn a_queue_that_is_full_is_not_waited_for_and_gets_empty_again() {
        let name = name("full");
        let Claim::Ours(first) = Claim::attempt(&name, anybody) else {
            panic!("it is free");
        };
        let full = (0..100_000).find_map(|_| match Claim::attempt(&name, anybody) {
            Claim::Unclear(reason) => Some(reason),
            Claim::Held(_) | Claim::Ours(_) => None,
        });
        assert!(full.is_some_and(|reason| reason.contains("EAGAIN")));
        send_away(first).unwrap();
        let answered = (0..10_000).any(|_| {
            thread::sleep(PAUSE);
            matches!(Claim::attempt(&name, anybody), Claim::Held(_))
        });
        assert!(answered);
    }
}
