//! Sends many probes at once and notes what arrives where.
//!
//! One thread holds the raw sockets of every namespace. A raw socket sees what has passed the input hook of
//! its namespace, so that a request counts as seen even where its answer is lost. The kernel itself answers
//! TCP and ICMP; the other protocols are answered here.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use netns_tests::Family;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::network::{Network, Site};
use crate::packet::{self, Arrival, ICMP, ICMPV6, Part, RAW, TCP, Transport, UDP};

/// The ports at which every namespace answers.
pub(crate) const SERVED: [u16; 15] = [
    22, 53, 67, 80, 81, 443, 2379, 4789, 7001, 8080, 8081, 8082, 8083, 8084, 8775,
];

/// What the buffer of a socket holds, in bytes.
const ROOM: usize = 4 << 20;
/// `IPPROTO_RAW`: a socket that sends whole packets and receives none.
const WHOLE_PACKETS: i32 = 255;

/// Is a request to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shot {
    /// Where it is sent.
    pub(crate) site: Site,
    /// The source address.
    pub(crate) from: IpAddr,
    /// The destination address.
    pub(crate) to: IpAddr,
    /// What it is.
    pub(crate) transport: Transport,
    /// The number that it is known by.
    pub(crate) token: u32,
}

/// Says what was seen of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Where the request arrived, and from which address it seemed to come.
    pub(crate) request: Option<(Site, IpAddr)>,
    /// Whether an answer came back to the sender, from whom it had asked.
    pub(crate) reply: bool,
}

/// Is one receiving socket.
#[derive(Debug)]
struct Ear {
    site: Site,
    family: Family,
    protocol: u8,
    socket: Socket,
}

/// Holds the sockets of all namespaces.
#[derive(Debug)]
pub(crate) struct Engine {
    ears: Vec<Ear>,
    mouths: BTreeMap<(Site, bool), Socket>,
    services: Vec<(TcpListener, UdpSocket)>,
}

impl Engine {
    /// Opens the sockets.
    pub(crate) fn new(network: &Network) -> Self {
        let mut engine = Self {
            ears: Vec::new(),
            mouths: BTreeMap::new(),
            services: Vec::new(),
        };
        for site in Site::ALL {
            network.at(site).run(|| engine.open(site));
        }
        engine
    }

    fn open(&mut self, site: Site) {
        for port in SERVED {
            let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            let listener = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))
                .expect("open a socket");
            listener.bind(&any.into()).expect("bind a listener");
            listener.listen(16384).expect("listen");
            // Holds the port, so that the kernel sends no "port unreachable"; it is never read.
            let datagrams = UdpSocket::bind(any).expect("bind a datagram socket");
            self.services.push((listener.into(), datagrams));
        }
        for (family, domain, icmp) in [
            (Family::V4, Domain::IPV4, ICMP),
            (Family::V6, Domain::IPV6, ICMPV6),
        ] {
            for protocol in [TCP, UDP, icmp].into_iter().chain(RAW) {
                let socket =
                    Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))))
                        .expect("open a raw socket");
                socket.set_nonblocking(true).expect("set non-blocking");
                setsockopt(&socket, sockopt::RcvBufForce, &ROOM).expect("make room");
                if family == Family::V6 {
                    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)
                        .expect("ask for destination addresses");
                }
                self.ears.push(Ear {
                    site,
                    family,
                    protocol,
                    socket,
                });
            }
            let mouth = Socket::new(domain, Type::RAW, Some(Protocol::from(WHOLE_PACKETS)))
                .expect("open a sending socket");
            mouth.set_nonblocking(true).expect("set non-blocking");
            self.mouths.insert((site, family == Family::V4), mouth);
        }
    }

    /// Sends the shots and watches until nothing has come for as long as `silence`.
    ///
    /// The second result holds what came late for shots of earlier calls.
    pub(crate) fn fire(&self, shots: &[Shot], silence: Duration) -> (Vec<Seen>, Vec<(u32, Part)>) {
        let index: BTreeMap<u32, usize> = shots
            .iter()
            .enumerate()
            .map(|(at, shot)| (shot.token, at))
            .collect();
        let mut round = Round {
            shots,
            index,
            seen: vec![Seen::default(); shots.len()],
            late: Vec::new(),
        };
        for (at, shot) in shots.iter().enumerate() {
            self.send(
                shot.site,
                shot.to,
                &packet::request(shot.from, shot.to, shot.transport, shot.token),
            );
            if at % 32 == 31 {
                self.listen(&mut round);
            }
        }
        let mut last = Instant::now();
        while let Some(left) = silence.checked_sub(last.elapsed()) {
            let mut waits: Vec<PollFd<'_>> = self
                .ears
                .iter()
                .map(|ear| PollFd::new(ear.socket.as_fd(), PollFlags::POLLIN))
                .collect();
            let left = left.max(Duration::from_millis(1));
            let timeout = PollTimeout::try_from(left).expect("a silence is short");
            if poll(&mut waits, timeout).unwrap_or(0) > 0 && self.listen(&mut round) {
                last = Instant::now();
            }
        }
        (round.seen, round.late)
    }

    /// Sends a whole packet; that the sender's own rules drop it shows in what does not arrive.
    fn send(&self, site: Site, to: IpAddr, packet: &[u8]) {
        let mouth = &self.mouths[&(site, to.is_ipv4())];
        let _ = mouth.send_to(packet, &SocketAddr::new(to, 0).into());
    }

    /// Takes in all that has arrived, answers what is to be answered, and says whether anything was a probe's.
    fn listen(&self, round: &mut Round<'_>) -> bool {
        let mut any = false;
        let mut buffer = [0; 2048];
        for ear in &self.ears {
            while let Some((from, to, length)) = ear.receive(&mut buffer) {
                let body = ear.body(&buffer[..length]);
                let Some(arrival) = packet::recognise(ear.protocol, body) else {
                    continue;
                };
                any = true;
                round.note(ear.site, from, arrival);
                if arrival.part == Part::Request
                    && let Some(answer) = packet::answer(to, from, ear.protocol, arrival)
                {
                    self.send(ear.site, from, &answer);
                }
            }
        }
        any
    }
}

impl Ear {
    /// Receives a packet: its source, its destination, and how long it is.
    fn receive(&self, buffer: &mut [u8]) -> Option<(IpAddr, IpAddr, usize)> {
        let mut control = nix::cmsg_space!([u8; 64]);
        let (length, from, destination) = {
            let mut slices = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::empty(),
            )
            .ok()?;
            let destination = message.cmsgs().ok()?.find_map(|it| {
                if let ControlMessageOwned::Ipv6PacketInfo(info) = it {
                    Some(IpAddr::from(info.ipi6_addr.s6_addr))
                } else {
                    None
                }
            });
            (message.bytes, message.address?, destination)
        };
        match self.family {
            Family::V4 => {
                let address = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 4] = buffer.get(at..at + 4)?.try_into().ok()?;
                    Some(octets.into())
                };
                Some((address(12)?, address(16)?, length))
            }
            Family::V6 => {
                let from = IpAddr::from(from.as_sockaddr_in6()?.ip());
                Some((from, destination?, length))
            }
        }
    }

    /// Returns what follows the header that IPv4 delivers and IPv6 does not.
    fn body<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let header = match self.family {
            Family::V4 => packet
                .first()
                .map_or(0, |first| usize::from(first & 15) * 4),
            Family::V6 => 0,
        };
        packet.get(header..).unwrap_or_default()
    }
}

/// Is what is known of the shots in flight.
struct Round<'a> {
    shots: &'a [Shot],
    index: BTreeMap<u32, usize>,
    seen: Vec<Seen>,
    late: Vec<(u32, Part)>,
}

impl Round<'_> {
    fn note(&mut self, site: Site, from: IpAddr, arrival: Arrival) {
        let Some(&at) = self.index.get(&arrival.token) else {
            self.late.push((arrival.token, arrival.part));
            return;
        };
        let shot = &self.shots[at];
        match arrival.part {
            Part::Request => self.seen[at].request = Some((site, from)),
            Part::Reply => {
                // A reply of somebody else's address or port would be none to the sender.
                let expected = shot.transport.ports().map(|(source, port)| (port, source));
                if site == shot.site && from == shot.to && arrival.ports == expected {
                    self.seen[at].reply = true;
                }
            }
        }
    }
}
