//! Echo servers: TCP, UDP and raw IP protocols, at every address of a namespace.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use crate::ns::Namespace;
use crate::topology::{Family, Place};
use crate::wire;

/// Lists what a server answers on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Services {
    /// TCP ports.
    pub tcp: &'static [u16],
    /// UDP ports.
    pub udp: &'static [u16],
    /// IP protocol numbers.
    pub protocols: &'static [u8],
}

/// Is a running set of echo servers, stopped when dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds every socket inside `namespace` and answers from the moment this returns.
    ///
    /// Datagram sockets are bound to one address each, so that a reply comes from the address that was
    /// asked.
    pub fn start(namespace: &Namespace, places: &[Place], services: Services) -> Self {
        let sockets = namespace.run(|| Sockets::bind(places, services));
        let (stop, stopped) = UnixStream::pair().expect("make a pair of sockets");
        let thread = std::thread::spawn(move || sockets.serve(&stopped));
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Sockets {
    listeners: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
    raw: Vec<(Family, Socket)>,
}

impl Sockets {
    fn bind(places: &[Place], services: Services) -> Self {
        let mut sockets = Self {
            listeners: Vec::new(),
            datagrams: Vec::new(),
            raw: Vec::new(),
        };
        for &port in services.tcp {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("listen");
            listener.set_nonblocking(true).expect("set non-blocking");
            sockets.listeners.push(listener);
        }
        for place in places {
            for family in [Family::V4, Family::V6] {
                let address = place.address(family);
                for &port in services.udp {
                    let socket = UdpSocket::bind((address, port)).expect("bind UDP");
                    socket.set_nonblocking(true).expect("set non-blocking");
                    sockets.datagrams.push(socket);
                }
                for &protocol in services.protocols {
                    sockets.raw.push((family, raw_socket(address, protocol)));
                }
            }
        }
        sockets
    }

    fn serve(self, stopped: &UnixStream) {
        let mut streams: BTreeMap<i32, TcpStream> = BTreeMap::new();
        let mut buffer = vec![0; 65536];
        loop {
            let mut waits = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
            waits.extend(
                self.listeners
                    .iter()
                    .map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)),
            );
            waits.extend(
                self.datagrams
                    .iter()
                    .map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)),
            );
            waits.extend(
                self.raw
                    .iter()
                    .map(|(_, it)| PollFd::new(it.as_fd(), PollFlags::POLLIN)),
            );
            waits.extend(
                streams
                    .values()
                    .map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)),
            );
            if poll(&mut waits, PollTimeout::NONE).is_err() {
                continue;
            }
            let ready: Vec<bool> = waits
                .iter()
                .map(|wait| wait.any().unwrap_or(true))
                .collect();
            if ready[0] {
                return;
            }
            let (listening, rest) = ready[1..].split_at(self.listeners.len());
            let (datagrams, rest) = rest.split_at(self.datagrams.len());
            let (raw, connected) = rest.split_at(self.raw.len());
            let readable: Vec<i32> = streams
                .keys()
                .zip(connected)
                .filter_map(|(&fd, &ready)| ready.then_some(fd))
                .collect();
            for fd in readable {
                if !streams
                    .get_mut(&fd)
                    .is_some_and(|stream| echo_stream(stream, &mut buffer))
                {
                    streams.remove(&fd);
                }
            }
            for (listener, _) in self
                .listeners
                .iter()
                .zip(listening)
                .filter(|(_, ready)| **ready)
            {
                while let Ok((stream, _)) = listener.accept() {
                    if stream.set_nonblocking(true).is_ok() {
                        streams.insert(stream.as_raw_fd(), stream);
                    }
                }
            }
            for (socket, _) in self
                .datagrams
                .iter()
                .zip(datagrams)
                .filter(|(_, ready)| **ready)
            {
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
            for ((family, socket), _) in self.raw.iter().zip(raw).filter(|(_, ready)| **ready) {
                echo_raw(*family, socket, &mut buffer);
            }
        }
    }
}

/// Sends back what a stream holds and says whether it is still open.
fn echo_stream(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(length) => stream.write_all(&buffer[..length]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Answers the requests that wait on a raw socket; replies are left alone, or two servers would answer
/// each other for ever.
fn echo_raw(family: Family, socket: &Socket, buffer: &mut [u8]) {
    while let Ok((length, from)) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), buffer) {
        let payload = wire::ip_payload(family, &buffer[..length]);
        if let (Some(reply), Some(from)) = (wire::answer(payload), from) {
            let _ = sendto(socket.as_raw_fd(), &reply, &from, MsgFlags::empty());
        }
    }
}

/// Opens a non-blocking raw socket of an IP protocol, bound to `address`.
pub(crate) fn raw_socket(address: IpAddr, protocol: u8) -> Socket {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))))
        .expect("open a raw socket");
    socket.set_nonblocking(true).expect("set non-blocking");
    socket
        .bind(&SocketAddr::new(address, 0).into())
        .expect("bind a raw socket");
    socket
}
