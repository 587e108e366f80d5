//! A relay in front of a server, which holds back what the server says, or lets nobody through.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::agent::DEADLINE;
use crate::ns::{Handle, Namespace};
use crate::patience::patient;

/// How much is passed on at a time, in bytes.
const CHUNK: usize = 4096;

/// Is a relay on a port of its own, gone when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<UnixStream>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// How many bytes of the server's may still pass; no limit where there is none.
    budget: Option<usize>,
    /// Whether something waits until more may pass.
    holds: bool,
    streams: Vec<TcpStream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Client,
    Server,
}

impl Relay {
    /// Begins to relay to a port of the loopback interface of a namespace.
    pub fn start(namespace: &Namespace, port: u16) -> Self {
        let listener = namespace
            .run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("listen");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = UnixStream::pair().expect("make a pair of sockets");
        let acceptor = std::thread::spawn({
            let (shared, handle) = (Arc::clone(&shared), namespace.handle());
            move || accept(&listener, port, &stopped, &handle, &shared)
        });
        Self {
            address,
            shared,
            stop: Some(stop),
            acceptor: Some(acceptor),
        }
    }

    /// Returns the URL of the relay.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Lets so many more bytes of the server's pass, and holds back what follows.
    pub fn hold_after(&self, bytes: usize) {
        let mut state = self.shared.lock();
        state.budget = Some(bytes);
        state.holds = false;
    }

    /// Waits until something is held back.
    pub fn holding(&self) {
        let deadline = Instant::now() + patient(DEADLINE);
        let mut state = self.shared.lock();
        while !state.holds {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // A panic with the lock held would hide its message behind a poisoned lock.
                drop(state);
                panic!("nothing to hold back has come");
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.expect("the relay's lock is never held in a panic").0;
        }
    }

    /// Lets everything pass again.
    pub fn release(&self) {
        self.shared.lock().budget = None;
        self.shared.changed.notify_all();
    }

    /// Ends all connections and lets nobody through.
    pub fn shut(&self) {
        self.shared.shut();
    }

    /// Lets everybody through again.
    pub fn reopen(&self) {
        self.shared.lock().shut = false;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.shared.shut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("the relay's lock is never held in a panic")
    }

    fn shut(&self) {
        let mut state = self.lock();
        state.shut = true;
        state.budget = None;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Waits until so many bytes may pass.
    fn may_pass(&self, speaker: Speaker, bytes: usize) {
        if speaker == Speaker::Client {
            return;
        }
        let mut state = self.lock();
        while state.budget.is_some_and(|budget| budget < bytes) {
            state.holds = true;
            self.changed.notify_all();
            let woken = self.changed.wait(state);
            state = woken.expect("the relay's lock is never held in a panic");
        }
        state.budget = state.budget.map(|budget| budget - bytes);
    }
}

fn accept(
    listener: &TcpListener,
    port: u16,
    stopped: &UnixStream,
    handle: &Handle,
    shared: &Arc<Shared>,
) {
    handle.enter();
    loop {
        let mut waits =
            [stopped.as_fd(), listener.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        if poll(&mut waits, PollTimeout::NONE).is_err() {
            continue;
        }
        if waits[0].any().unwrap_or(true) {
            return;
        }
        let Ok((client, _)) = listener.accept() else {
            continue;
        };
        // One that is not let through is dropped, and so ended.
        if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            join(&client, &server, shared);
        }
    }
}

/// Passes on between two streams until one ends.
fn join(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) {
    let mut state = shared.lock();
    if state.shut {
        return;
    }
    for (from, to, speaker) in [
        (client, server, Speaker::Client),
        (server, client, Speaker::Server),
    ] {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        state.streams.extend(from.try_clone());
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let mut chunk = [0; CHUNK];
            while let Ok(length @ 1..) = from.read(&mut chunk) {
                shared.may_pass(speaker, length);
                if to.write_all(&chunk[..length]).is_err() {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
