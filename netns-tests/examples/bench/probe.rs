//! Datagrams that are sent all the time, and when they arrive.
//!
//! None is answered, so that each is the first of a connection to the host, whatever was sent before it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netns_tests::Namespace;

/// The pause between two datagrams.
const GAP: Duration = Duration::from_micros(100);
/// How long a datagram may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends from one address to one port until dropped.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    port: AtomicU16,
    sent: AtomicU64,
    over: AtomicBool,
}

impl Sender {
    /// Sends from an address of a namespace to a port of another machine.
    pub(crate) fn start(from: &Namespace, source: Ipv4Addr, to: Ipv4Addr, port: u16) -> Self {
        let shared = Arc::new(Shared {
            port: port.into(),
            sent: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let handle = from.handle();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                handle.enter();
                let socket = UdpSocket::bind((source, 0)).expect("bind the sender");
                while !shared.over.load(Ordering::SeqCst) {
                    let to = SocketAddr::from((to, shared.port.load(Ordering::SeqCst)));
                    // One that is refused has been sent too.
                    let _ = socket.send_to(&[0], to);
                    shared.sent.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(GAP);
                }
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Sends to this port from now on, and returns once nothing is under way to another.
    pub(crate) fn aim(&self, port: u16) {
        self.shared.port.store(port, Ordering::SeqCst);
        let sent = self.shared.sent.load(Ordering::SeqCst);
        while self.shared.sent.load(Ordering::SeqCst) < sent + 2 {
            std::thread::yield_now();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Receives at one address and port.
pub(crate) struct Receiver(UdpSocket);

impl Receiver {
    /// Listens in a namespace.
    pub(crate) fn listen(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Self {
        let socket = namespace.run(|| UdpSocket::bind((address, port)));
        Self(socket.expect("bind the receiver"))
    }

    /// Waits for a datagram and returns when it was there.
    pub(crate) fn received(&self) -> Instant {
        self.0.set_nonblocking(false).expect("set blocking");
        self.0
            .set_read_timeout(Some(PATIENCE))
            .expect("set a deadline");
        self.0.recv(&mut [0]).expect("a datagram in time");
        Instant::now()
    }

    /// Throws away what has come so far, and returns how many that were.
    pub(crate) fn discard(&self) -> usize {
        self.0.set_nonblocking(true).expect("set non-blocking");
        std::iter::from_fn(|| self.0.recv(&mut [0]).ok()).count()
    }

    /// Waits until nothing has come for as long as `silence`.
    pub(crate) fn silent(&self, silence: Duration) {
        let deadline = Instant::now() + PATIENCE;
        self.0.set_nonblocking(false).expect("set blocking");
        self.0
            .set_read_timeout(Some(silence))
            .expect("set a deadline");
        while self.0.recv(&mut [0]).is_ok() {
            assert!(Instant::now() < deadline, "datagrams still arrive");
        }
    }
}

/// Notes when the last datagram arrived.
pub(crate) struct Last {
    at: Arc<Mutex<Option<Instant>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Last {
    /// Watches what a receiver gets.
    pub(crate) fn watch(receiver: Receiver) -> Self {
        let at = Arc::new(Mutex::new(None));
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (at, over) = (Arc::clone(&at), Arc::clone(&over));
            move || {
                let socket = receiver.0;
                socket.set_nonblocking(false).expect("set blocking");
                let briefly = Some(Duration::from_millis(20));
                socket.set_read_timeout(briefly).expect("set a deadline");
                while !over.load(Ordering::SeqCst) {
                    if socket.recv(&mut [0]).is_ok() {
                        *at.lock().expect("no one panics with it") = Some(Instant::now());
                    }
                }
            }
        });
        Self {
            at,
            over,
            thread: Some(thread),
        }
    }

    /// Returns when the last datagram arrived until now.
    pub(crate) fn at(&self) -> Option<Instant> {
        *self.at.lock().expect("no one panics with it")
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
