//! A name that one process of a network namespace has at a time, whatever directories it sees: that of an abstract
//! socket, which belongs to the namespace as its table does, and vanishes with the process.
//!
//! Anybody in the namespace can take such a name, so that it counts only where root has it: nothing that somebody else
//! does keeps a daemon from starting.

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
    /// Tries to get a name; only a process of this user is believed.
    pub(super) fn attempt(name: &str, believed: Uid) -> Self {
        let bind =
            || SocketAddr::from_abstract_name(name).and_then(|it| UnixListener::bind_addr(&it));
        match bind() {
            Ok(listener) => return Self::Ours(listener),
            Err(cause) if cause.kind() != io::ErrorKind::AddrInUse => {
                return Self::Unclear(format!("make the socket @{name}: {cause}"));
            }
            Err(_) => {}
        }
        match whose(name) {
            Ok((user, process)) if user == believed => Self::Held(process),
            Ok((user, process)) => {
                let process = process.map_or(String::new(), |id| format!(", process {id}"));
                Self::Unclear(format!("user {user}{process} has the socket @{name}"))
            }
            // Who had it may have ended meanwhile.
            Err(Errno::ECONNREFUSED) => match bind() {
                Ok(listener) => Self::Ours(listener),
                Err(cause) => Self::Unclear(format!("make the socket @{name}: {cause}")),
            },
            Err(cause) => Self::Unclear(format!("ask who has the socket @{name}: {cause}")),
        }
    }
}

/// Asks who listens at a name; never waits.
fn whose(name: &str) -> Result<(Uid, Option<u32>), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(
        socket.as_raw_fd(),
        &UnixAddr::new_abstract(name.as_bytes())?,
    )?;
    let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
    // One of another namespace of processes has no number here.
    let process = u32::try_from(peer.pid()).ok().filter(|id| *id != 0);
    Ok((Uid::from_raw(peer.uid()), process))
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
    use nix::unistd::geteuid;

    use super::*;

    /// Returns a name of this test's own.
    fn name(test: &str) -> String {
        format!("tortie-test-{}-{test}", std::process::id())
    }

    #[test]
    fn one_process_has_it_until_it_lets_go() {
        let name = name("one");
        let Claim::Ours(first) = Claim::attempt(&name, geteuid()) else {
            panic!("it is free");
        };
        let second = Claim::attempt(&name, geteuid());
        assert!(
            matches!(second, Claim::Held(Some(id)) if id == std::process::id()),
            "{second:?}"
        );
        drop(first);
        let third = Claim::attempt(&name, geteuid());
        assert!(matches!(third, Claim::Ours(_)), "{third:?}");
    }

    #[test]
    fn another_user_is_not_believed() {
        let name = name("other");
        let _first = Claim::attempt(&name, geteuid());
        let stranger = Uid::from_raw(geteuid().as_raw() + 1);
        let second = Claim::attempt(&name, stranger);
        let Claim::Unclear(reason) = second else {
            panic!("{second:?}");
        };
        assert!(reason.contains(&format!("user {}", geteuid())), "{reason}");
    }

    #[test]
    fn a_queue_that_is_full_is_not_waited_for_and_gets_empty_again() {
        let name = name("full");
        let Claim::Ours(first) = Claim::attempt(&name, geteuid()) else {
            panic!("it is free");
        };
        let full = (0..100_000).find_map(|_| match Claim::attempt(&name, geteuid()) {
            Claim::Unclear(reason) => Some(reason),
            Claim::Held(_) | Claim::Ours(_) => None,
        });
        assert!(full.is_some_and(|reason| reason.contains("EAGAIN")));
        send_away(first).unwrap();
        let answered = (0..10_000).any(|_| {
            thread::sleep(PAUSE);
            matches!(Claim::attempt(&name, geteuid()), Claim::Held(_))
        });
        assert!(answered);
    }
}
