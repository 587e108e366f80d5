//! Numbered datagrams, connections that last and new connections, all without a pause, which show whether a packet was
//! lost that is allowed, or passed that is denied.
//!
//! Datagrams of a [`Stream`] are not answered, so that each of them is judged by the rules, save those of a pair, where
//! both ends send and only one direction would be allowed a first packet. A sender has only so many of the datagrams
//! that must arrive under way, so that none is lost but by a rule.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::agent::DEADLINE;
use crate::flood::Fate;
use crate::ns::Namespace;

/// How many datagrams that must arrive may be under way in all: less than what one processor queues.
const WINDOW: u64 = 256;
/// The receive buffer of a socket, which has to hold all of them.
const BUFFER: usize = 16 << 20;
/// The bytes of a datagram: the number of its stream, and its own.
const DATAGRAM: usize = 16;

/// Is a stream of numbered datagrams.
#[derive(Debug)]
pub struct Stream {
    /// The name in messages.
    pub name: String,
    /// What must become of each datagram.
    pub fate: Fate,
    socket: UdpSocket,
    /// Whether the other one of a pair sends to it.
    is_sent_to: bool,
}

impl Stream {
    /// Makes a stream from an address in a namespace.
    pub fn new(namespace: &Namespace, from: IpAddr, to: SocketAddr, fate: Fate) -> Self {
        let socket = namespace.run(|| {
            let socket = UdpSocket::bind((from, 0)).expect("bind a stream");
            socket.connect(to).expect("connect a stream");
            socket
        });
        Self {
            name: format!("{from} > {to}"),
            fate,
            socket,
            is_sent_to: false,
        }
    }

    /// Makes two streams that must arrive, of which the second is the answer to the first.
    pub fn pair(first: (&Namespace, IpAddr), second: (&Namespace, SocketAddr)) -> [Self; 2] {
        let (opening, to) = (first, second.1);
        let there = second
            .0
            .run(|| UdpSocket::bind(to).expect("bind the second of a pair"));
        let mut stream = Self::new(opening.0, opening.1, to, Fate::Always);
        stream.is_sent_to = true;
        let from = stream.socket.local_addr().expect("a local address");
        there.connect(from).expect("connect the second of a pair");
        let back = Self {
            name: format!("{to} > {from} as an answer"),
            fate: Fate::Always,
            socket: there,
            is_sent_to: true,
        };
        [stream, back]
    }
}

/// What was seen of one stream.
#[derive(Debug, Clone, Default)]
struct Seen {
    received: u64,
    /// The number that comes next where none is missing.
    next: u64,
    missing: BTreeSet<u64>,
    repeated: u64,
}

impl Seen {
    fn take(&mut self, number: u64) {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if !self.missing.remove(&number) {
            self.repeated += 1;
            return;
        }
        self.received += 1;
    }
}

#[derive(Debug, Default)]
struct Received {
    streams: Vec<Seen>,
    /// How many arrived of those that must.
    due: u64,
    strays: u64,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    grown: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received
            .lock()
            .expect("the counts' lock is never held in a panic")
    }

    /// Waits until no more than `window` are under way of so many that were sent; gives up where nothing comes any more.
    fn wait(&self, sent: u64, window: u64) {
        let mut received = self.lock();
        let mut last = (received.due, Instant::now());
        while sent.saturating_sub(received.due) > window {
            if received.due != last.0 {
                last = (received.due, Instant::now());
            }
            let left = DEADLINE.saturating_sub(last.1.elapsed());
            if left.is_zero() {
                return;
            }
            let waited = self.grown.wait_timeout(received, left);
            received = waited.expect("the counts' lock is never held in a panic").0;
        }
    }
}

/// What became of all streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Count {
    /// How many datagrams were sent that must arrive.
    pub allowed: u64,
    /// How many of them did not.
    pub lost: u64,
    /// How many were sent that must not arrive.
    pub denied: u64,
    /// How many of them did.
    pub leaked: u64,
    /// The streams with which something is wrong.
    pub wrong: Vec<String>,
}

/// Is a number of streams under way.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    sender: JoinHandle<Vec<(Stream, u64)>>,
    receiver: JoinHandle<()>,
    stop: UnixStream,
}

impl Traffic {
    /// Begins to send; listens at all addresses of these namespaces and ports, and at the sockets of the streams.
    ///
    /// The first datagram of each stream is waited for, so that neighbours are known.
    pub fn start(streams: Vec<Stream>, listen: &[(&Namespace, u16)]) -> Self {
        let listening = listen.iter().map(|(namespace, port)| {
            namespace
                .run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, *port)).expect("bind a listener"))
        });
        let ends_of_pairs = streams
            .iter()
            .filter(|stream| stream.is_sent_to)
            .map(|stream| stream.socket.try_clone().expect("duplicate a socket"));
        let sockets: Vec<UdpSocket> = listening.chain(ends_of_pairs).collect();
        for socket in &sockets {
            socket.set_nonblocking(true).expect("set non-blocking");
            setsockopt(socket, RcvBufForce, &BUFFER).expect("set the receive buffer");
        }
        let shared = Arc::new(Shared::default());
        shared.lock().streams = vec![Seen::default(); streams.len()];
        let due: Vec<bool> = streams.iter().map(|it| it.fate == Fate::Always).collect();
        let (stop, stopped) = UnixStream::pair().expect("make a pair of sockets");
        let receiver = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || receive(&shared, &due, &sockets, &stopped)
        });
        let sender = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || send(&shared, streams)
        });
        Self {
            shared,
            sender,
            receiver,
            stop,
        }
    }

    /// Returns how many datagrams have arrived of those that must.
    pub fn arrived(&self) -> u64 {
        self.shared.lock().due
    }

    /// Ends the streams and returns what became of them.
    pub fn finish(self) -> Count {
        self.shared.stop.store(true, Ordering::SeqCst);
        let sent = self.sender.join().expect("the sender does not panic");
        let due = sent
            .iter()
            .filter(|(stream, _)| stream.fate == Fate::Always)
            .map(|(_, sent)| sent)
            .sum();
        self.shared.wait(due, 0);
        drop(self.stop);
        self.receiver.join().expect("the receiver does not panic");
        let received = self.shared.lock();
        let mut count = Count::default();
        for ((stream, sent), seen) in sent.iter().zip(&received.streams) {
            let name = &stream.name;
            match stream.fate {
                Fate::Always => {
                    let lost = sent - seen.received;
                    count.allowed += sent;
                    count.lost += lost;
                    if lost > 0 || seen.repeated > 0 {
                        let (first, repeated) = (seen.missing.first(), seen.repeated);
                        count.wrong.push(format!(
                            "{name}: {lost} of {sent} lost, the first of them {first:?}; {repeated} repeated"
                        ));
                    }
                }
                Fate::Never => {
                    count.denied += sent;
                    count.leaked += seen.received;
                    if seen.received > 0 {
                        let last = seen.next.saturating_sub(1);
                        let received = seen.received;
                        count.wrong.push(format!(
                            "{name}: {received} of {sent} leaked, the last of them {last}"
                        ));
                    }
                }
                Fate::Sometimes => {}
            }
        }
        if received.strays > 0 {
            count.wrong.push(format!("{} strays", received.strays));
        }
        count
    }
}

fn send(shared: &Shared, streams: Vec<Stream>) -> Vec<(Stream, u64)> {
    let mut sending: Vec<(Stream, u64)> = streams.into_iter().map(|stream| (stream, 0)).collect();
    let mut due = 0;
    let mut window = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        for (index, (stream, sent)) in sending.iter_mut().enumerate() {
            let mut datagram = [0; DATAGRAM];
            let index = u64::try_from(index).expect("an index fits 64 bits");
            datagram[..8].copy_from_slice(&index.to_be_bytes());
            datagram[8..].copy_from_slice(&sent.to_be_bytes());
            // What was refused before is heard of here, and then nothing is sent.
            if stream.socket.send(&datagram).is_ok() {
                *sent += 1;
                due += u64::from(stream.fate == Fate::Always);
            }
            shared.wait(due, window);
        }
        window = WINDOW;
    }
    sending
}

fn receive(shared: &Shared, due: &[bool], sockets: &[UdpSocket], stopped: &UnixStream) {
    let mut buffer = [0; 64];
    loop {
        let mut waits = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        waits.extend(
            sockets
                .iter()
                .map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)),
        );
        if poll(&mut waits, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready: Vec<bool> = waits
            .iter()
            .map(|wait| wait.any().unwrap_or(true))
            .collect();
        let mut received = shared.lock();
        for (socket, _) in sockets.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            while let Ok(length) = socket.recv(&mut buffer) {
                received.take(&buffer[..length], due);
            }
        }
        drop(received);
        shared.grown.notify_all();
        if ready[0] {
            return;
        }
    }
}

impl Received {
    fn take(&mut self, datagram: &[u8], due: &[bool]) {
        let word = |from: usize| {
            let bytes = datagram.get(from..from + 8)?.try_into().ok()?;
            Some(u64::from_be_bytes(bytes))
        };
        let stream = word(0).and_then(|index| usize::try_from(index).ok());
        match stream.and_then(|stream| Some((stream, self.streams.get_mut(stream)?, word(8)?))) {
            Some((stream, seen, number)) => {
                seen.take(number);
                self.due += u64::from(due[stream]);
            }
            None => self.strays += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_not_lost_and_what_comes_twice_is_seen() {
        let mut seen = Seen::default();
        for number in [0, 1, 4, 2, 5, 5] {
            seen.take(number);
        }
        assert_eq!(
            (seen.received, seen.missing, seen.repeated),
            (5, BTreeSet::from([3]), 1)
        );
    }
}
