//! A flood of datagrams that shows whether any packet met a mix of an old and a new ruleset.
//!
//! Nothing is answered, so that no packet belongs to an established connection and each is judged by the
//! rules. The sender never has more than a window of the datagrams that must arrive under way, so that
//! none is lost but by a rule.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::topology::{Family, Place, World};

/// How many datagrams of a kind that must arrive may be under way.
const WINDOW: u64 = 32;

/// Says what must become of a kind of datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Every one arrives.
    Always,
    /// None arrives.
    Never,
    /// Some arrive and some do not.
    Sometimes,
}

/// Is a kind of datagram: where it comes from, where it goes, and what must become of it.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The sender.
    pub from: Place,
    /// The UDP port it is sent to.
    pub port: u16,
    /// What must become of it.
    pub fate: Fate,
}

/// Counts the datagrams of one kind and family.
#[derive(Debug, Clone)]
pub struct Count {
    /// The kind.
    pub kind: Kind,
    /// The sender's address.
    pub from: IpAddr,
    /// How many were sent.
    pub sent: u64,
    /// How many arrived.
    pub received: u64,
}

impl Count {
    /// Says whether what became of the datagrams is what must.
    pub fn holds(&self) -> bool {
        match self.kind.fate {
            Fate::Always => self.received == self.sent,
            Fate::Never => self.received == 0,
            Fate::Sometimes => 0 < self.received && self.received < self.sent,
        }
    }
}

/// Is the number of datagrams received, by port and sender.
type Received = BTreeMap<(u16, IpAddr), u64>;

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    grown: Condvar,
    stop: AtomicBool,
}

impl Shared {
    /// Waits until at most `window` of each kind that must arrive are under way.
    ///
    /// Gives up at the deadline: then some were dropped, and the counts will say so.
    fn wait(&self, sending: &[Sending], window: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut received = self
            .received
            .lock()
            .expect("the counts' lock is never held in a panic");
        while sending.iter().any(|it| it.under_way(&received) > window) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.grown.wait_timeout(received, left);
            received = waited.expect("the counts' lock is never held in a panic").0;
        }
    }
}

#[derive(Debug)]
struct Sending {
    kind: Kind,
    from: IpAddr,
    socket: UdpSocket,
    sent: u64,
}

impl Sending {
    fn received(&self, received: &Received) -> u64 {
        received
            .get(&(self.kind.port, self.from))
            .copied()
            .unwrap_or(0)
    }

    fn under_way(&self, received: &Received) -> u64 {
        match self.kind.fate {
            Fate::Always => self.sent.saturating_sub(self.received(received)),
            Fate::Never | Fate::Sometimes => 0,
        }
    }
}

/// Is a running flood.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    sender: JoinHandle<Vec<Sending>>,
    receiver: JoinHandle<()>,
    stop: UnixStream,
    patience: Duration,
}

impl Flood {
    /// Starts to send every kind, in both families, to `to`.
    ///
    /// Datagrams that have not arrived after `patience` count as lost.
    pub fn start(world: &World, to: Place, kinds: &[Kind], patience: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let families = [Family::V4, Family::V6];
        let mut ports: Vec<u16> = kinds.iter().map(|kind| kind.port).collect();
        ports.sort_unstable();
        ports.dedup();
        let receiving: Vec<(u16, UdpSocket)> = world.site(to.site).run(|| {
            let pairs = ports
                .iter()
                .flat_map(|&port| families.map(|family| (port, family)));
            pairs
                .map(|(port, family)| {
                    let socket = UdpSocket::bind((to.address(family), port)).expect("bind UDP");
                    socket.set_nonblocking(true).expect("set non-blocking");
                    (port, socket)
                })
                .collect()
        });
        let sending: Vec<Sending> = kinds
            .iter()
            .flat_map(|kind| families.map(|family| (kind, family)))
            .map(|(&kind, family)| {
                let from = kind.from.address(family);
                let target = SocketAddr::new(to.address(family), kind.port);
                let socket = world.site(kind.from.site).run(|| {
                    let socket = UdpSocket::bind((from, 0)).expect("bind UDP");
                    socket.connect(target).expect("connect UDP");
                    socket
                });
                Sending {
                    kind,
                    from,
                    socket,
                    sent: 0,
                }
            })
            .collect();
        let (stop, stopped) = UnixStream::pair().expect("make a pair of sockets");
        let receiver = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || receive(&shared, &receiving, &stopped)
        });
        let sender = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || send(&shared, sending, patience)
        });
        Self {
            shared,
            sender,
            receiver,
            stop,
            patience,
        }
    }

    /// Ends the flood and returns what became of each kind.
    pub fn finish(self) -> Vec<Count> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let sending = self.sender.join().expect("the sender does not panic");
        self.shared.wait(&sending, 0, self.patience);
        drop(self.stop);
        self.receiver.join().expect("the receiver does not panic");
        let received = self
            .shared
            .received
            .lock()
            .expect("the counts' lock is never held in a panic");
        sending
            .iter()
            .map(|it| Count {
                kind: it.kind,
                from: it.from,
                sent: it.sent,
                received: it.received(&received),
            })
            .collect()
    }
}

fn send(shared: &Shared, mut sending: Vec<Sending>, patience: Duration) -> Vec<Sending> {
    while !shared.stop.load(Ordering::SeqCst) {
        for it in &mut sending {
            if it.socket.send(b"flood").is_ok() {
                it.sent += 1;
            }
        }
        shared.wait(&sending, WINDOW, patience);
    }
    sending
}

fn receive(shared: &Shared, receiving: &[(u16, UdpSocket)], stopped: &UnixStream) {
    let mut buffer = [0; 64];
    loop {
        let mut waits = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        waits.extend(
            receiving
                .iter()
                .map(|(_, it)| PollFd::new(it.as_fd(), PollFlags::POLLIN)),
        );
        if poll(&mut waits, PollTimeout::NONE).is_err() {
            continue;
        }
        let ended = waits[0].any().unwrap_or(true);
        let mut received = shared
            .received
            .lock()
            .expect("the counts' lock is never held in a panic");
        for (port, socket) in receiving {
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                *received.entry((*port, from.ip())).or_default() += 1;
            }
        }
        drop(received);
        shared.grown.notify_all();
        if ended {
            return;
        }
    }
}

/// Returns the kinds for a flip between two states that share their set of senders.
///
/// | state | denied port | allowed port | members | always allowed |
/// | --- | --- | --- | --- | --- |
/// | first | 7003 | 7001 | w1 | 7003, 7009 after the denial |
/// | second | 7009 | 7002 | w2, w3 | 7003, 7009 after the denial |
///
/// The rules deny and allow for members of the set alone. The old rules with the new members let `w2`
/// through to 7001 and stop `w3` on its way to 7003; the new rules with the old members let `w1` through
/// to 7002 and stop it on its way to 7009. Neither state does any of the four.
pub fn kinds_of_a_flip() -> [Kind; 6] {
    use crate::topology::{W1, W2, W3};
    let kind = |from, port, fate| Kind { from, port, fate };
    [
        kind(W1, 7001, Fate::Sometimes),
        kind(W2, 7002, Fate::Sometimes),
        kind(W2, 7001, Fate::Never),
        kind(W1, 7002, Fate::Never),
        kind(W3, 7003, Fate::Always),
        kind(W1, 7009, Fate::Always),
    ]
}
