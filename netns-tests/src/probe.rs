//! Probes with real packets, and truth tables of them.
//!
//! All probes of a table run at once, each on a thread in the namespace it starts from. A probe that is
//! expected to be answered may take as long as the deadline; one that is expected to be dropped watches
//! for at least [`SILENCE`] and until every expected answer of the table has come, sending more than
//! once, so that a slow machine can make a test slow but not make it pass.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::agent::DEADLINE;
use crate::patience::patient;
use crate::server::raw_socket;
use crate::topology::{Family, Place, Site, World};
use crate::track::Connection;
use crate::watch::Sighting;
use crate::{track, wire};

/// How long a probe must stay unanswered to count as dropped.
const SILENCE: Duration = Duration::from_millis(400);
/// How often an unanswered probe is sent again.
const RESEND: Duration = Duration::from_millis(150);
/// How long one look at the sockets lasts.
const GLANCE: Duration = Duration::from_millis(25);

/// Says what became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Open,
    /// Nothing came back.
    Dropped,
    /// A TCP reset came back.
    Reset,
    /// An ICMP destination unreachable came back.
    Unreachable,
}

/// Says what a probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packet {
    Tcp(u16),
    Udp(u16),
    Icmp { v4: Icmp, v6: Icmp },
    Protocol(u8),
    StrayAck(u16),
}

/// Is an ICMP request and the type of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// The type of the request.
    pub request: u8,
    /// The code of the request.
    pub code: u8,
    /// The type of the reply.
    pub reply: u8,
}

/// Is one line of a truth table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    from: Place,
    to: Place,
    packet: Packet,
    source_port: Option<u16>,
    lands_at: Site,
    delivery: Option<Delivery>,
    tracking: Option<Tracking>,
    v4: Option<Outcome>,
    v6: Option<Outcome>,
}

/// Says whether a request reached the other end, answered or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It did.
    Delivered,
    /// It did not.
    Lost,
}

/// Says whether the host's connection tracking knows a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// It does.
    Tracked,
    /// It does not.
    Untracked,
}

/// Says what became of one probe of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The number of the row, from 0.
    pub row: usize,
    /// The family.
    pub family: Family,
    /// What the sender saw.
    pub outcome: Outcome,
    /// What the other end saw.
    pub delivery: Delivery,
    /// What the host knows of the flow.
    pub tracking: Tracking,
}

impl Row {
    fn new(from: Place, to: Place, packet: Packet, expected: Outcome) -> Self {
        Self {
            from,
            to,
            packet,
            source_port: None,
            lands_at: to.site,
            delivery: None,
            tracking: None,
            v4: Some(expected),
            v6: Some(expected),
        }
    }

    /// Sends the probe in IPv4 alone.
    #[must_use]
    pub fn v4(self) -> Self {
        Self { v6: None, ..self }
    }

    /// Sends the probe in IPv6 alone.
    #[must_use]
    pub fn v6(self) -> Self {
        Self { v4: None, ..self }
    }

    /// Expects another outcome in IPv6.
    #[must_use]
    pub fn but_v6(self, expected: Outcome) -> Self {
        Self {
            v6: Some(expected),
            ..self
        }
    }

    /// Sends a TCP or UDP probe from this port.
    #[must_use]
    pub fn from_port(self, port: u16) -> Self {
        Self {
            source_port: Some(port),
            ..self
        }
    }

    /// Says whether the row is addressed to a place.
    pub fn is_to(&self, place: Place) -> bool {
        self.to == place
    }

    /// Says where the request is delivered, if that is not the site it is addressed to.
    #[must_use]
    pub fn lands_at(self, site: Site) -> Self {
        Self {
            lands_at: site,
            ..self
        }
    }

    /// Demands that the request reaches the other end. Needs [`World::watching`].
    #[must_use]
    pub fn delivered(self) -> Self {
        Self {
            delivery: Some(Delivery::Delivered),
            ..self
        }
    }

    /// Demands that the request does not reach the other end. Needs [`World::watching`].
    #[must_use]
    pub fn lost(self) -> Self {
        Self {
            delivery: Some(Delivery::Lost),
            ..self
        }
    }

    /// Demands that the host tracks the flow. Needs [`World::watching`].
    #[must_use]
    pub fn tracked(self) -> Self {
        Self {
            tracking: Some(Tracking::Tracked),
            ..self
        }
    }

    /// Demands that the host does not track the flow. Needs [`World::watching`].
    #[must_use]
    pub fn untracked(self) -> Self {
        Self {
            tracking: Some(Tracking::Untracked),
            ..self
        }
    }
}

/// Opens a TCP connection.
pub fn tcp(from: Place, to: Place, port: u16, expected: Outcome) -> Row {
    Row::new(from, to, Packet::Tcp(port), expected)
}

/// Sends a datagram and expects its echo.
pub fn udp(from: Place, to: Place, port: u16, expected: Outcome) -> Row {
    Row::new(from, to, Packet::Udp(port), expected)
}

/// Sends an ICMP echo request with code 0.
pub fn icmp(from: Place, to: Place, expected: Outcome) -> Row {
    icmp_code(from, to, 0, expected)
}

/// Sends an ICMP echo request with a code; Linux answers every one.
pub fn icmp_code(from: Place, to: Place, code: u8, expected: Outcome) -> Row {
    let v4 = Icmp {
        request: 8,
        code,
        reply: 0,
    };
    let v6 = Icmp {
        request: 128,
        code,
        reply: 129,
    };
    Row::new(from, to, Packet::Icmp { v4, v6 }, expected)
}

/// Sends an `ICMPv6` message of a type to which nobody answers.
pub fn icmpv6_type(from: Place, to: Place, icmp_type: u8) -> Row {
    let message = Icmp {
        request: icmp_type,
        code: 0,
        reply: 0,
    };
    let packet = Packet::Icmp {
        v4: message,
        v6: message,
    };
    Row::new(from, to, packet, Outcome::Dropped).v6()
}

/// Sends an ICMP timestamp request, which IPv4 alone has.
pub fn icmp_timestamp(from: Place, to: Place, expected: Outcome) -> Row {
    let v4 = Icmp {
        request: 13,
        code: 0,
        reply: 14,
    };
    Row::new(from, to, Packet::Icmp { v4, v6: v4 }, expected).v4()
}

/// Sends a packet of an IP protocol and expects its echo.
pub fn ip_protocol(from: Place, to: Place, protocol: u8, expected: Outcome) -> Row {
    Row::new(from, to, Packet::Protocol(protocol), expected)
}

/// Sends a TCP acknowledgement that belongs to no connection; what reaches the stack is reset.
pub fn stray_ack(from: Place, to: Place, port: u16, expected: Outcome) -> Row {
    Row::new(from, to, Packet::StrayAck(port), expected)
}

/// Is one probe of one family.
struct Probe {
    row: usize,
    site: Site,
    lands_at: Site,
    from: IpAddr,
    to: IpAddr,
    packet: Packet,
    source_port: u16,
    expected: Outcome,
}

/// Is a probe that was sent, with what came back and the numbers that tell its packets from others': source ports,
/// or the identifiers of echoes.
struct Sent {
    probe: Probe,
    outcome: Outcome,
    sources: Vec<u16>,
}

/// Runs the table and returns one line for each row that differs.
pub(crate) fn run_table(world: &World, rows: &[Row]) -> Vec<String> {
    differences(world, rows, patient(DEADLINE))
}

/// Runs the table without patience for late answers.
pub(crate) fn run_table_briefly(world: &World, rows: &[Row]) -> Vec<String> {
    differences(world, rows, patient(SILENCE))
}

/// Runs the table and returns what became of each probe.
pub(crate) fn observe(world: &World, rows: &[Row]) -> Vec<Observation> {
    let sent = run(world, rows, patient(DEADLINE));
    look_behind(world, &sent)
}

fn differences(world: &World, rows: &[Row], patience: Duration) -> Vec<String> {
    let sent = run(world, rows, patience);
    let deeper = rows
        .iter()
        .any(|row| row.delivery.is_some() || row.tracking.is_some());
    let observed = if deeper {
        look_behind(world, &sent)
    } else {
        Vec::new()
    };
    let mut wrong = Vec::new();
    for (number, it) in sent.iter().enumerate() {
        let row = &rows[it.probe.row];
        let (expected, outcome) = (it.probe.expected, it.outcome);
        let mut differs = Vec::new();
        if outcome != expected {
            differs.push(format!("expected {expected:?}, was {outcome:?}"));
        }
        if let Some(observed) = observed.get(number) {
            if let Some(wanted) = row.delivery.filter(|wanted| *wanted != observed.delivery) {
                differs.push(format!("expected {wanted:?}, was {:?}", observed.delivery));
            }
            if let Some(wanted) = row.tracking.filter(|wanted| *wanted != observed.tracking) {
                differs.push(format!("expected {wanted:?}, was {:?}", observed.tracking));
            }
        }
        if !differs.is_empty() {
            wrong.push(format!(
                "  {} ({}) -> {} ({}) {:?}: {}",
                row.from.name,
                it.probe.from,
                row.to.name,
                it.probe.to,
                it.probe.packet,
                differs.join("; "),
            ));
        }
    }
    wrong
}

/// Looks up every probe in the notes of where it was to arrive, and in the host's connections.
fn look_behind(world: &World, sent: &[Sent]) -> Vec<Observation> {
    assert!(
        world.is_watched(),
        "delivery and tracking are known in a world that is watching"
    );
    let mut sightings: Vec<(Site, Vec<Sighting>)> = Vec::new();
    for it in sent {
        if sightings.iter().all(|(site, _)| *site != it.probe.lands_at) {
            let mut seen = world.sightings(it.probe.lands_at);
            seen.sort_unstable_by_key(|seen| (seen.source, seen.protocol));
            sightings.push((it.probe.lands_at, seen));
        }
    }
    let mut connections = track::connections(&world.host);
    connections.sort_unstable_by_key(|it| (it.original.source, it.protocol));
    sent.iter()
        .map(|it| {
            let seen = sightings
                .iter()
                .find(|(site, _)| *site == it.probe.lands_at)
                .is_some_and(|(_, seen)| it.is_among_sightings(seen));
            Observation {
                row: it.probe.row,
                family: it.probe.family(),
                outcome: it.outcome,
                delivery: if seen {
                    Delivery::Delivered
                } else {
                    Delivery::Lost
                },
                tracking: if it.is_among_connections(&connections) {
                    Tracking::Tracked
                } else {
                    Tracking::Untracked
                },
            }
        })
        .collect()
}

impl Sent {
    /// Addresses are not compared, since they may have been translated; the numbers of probes are their own.
    fn is_among_sightings(&self, sorted: &[Sighting]) -> bool {
        let protocol = self.probe.protocol();
        self.sources.iter().any(|source| {
            let key = (*source, protocol);
            let first = sorted.partition_point(|it| (it.source, it.protocol) < key);
            sorted[first..]
                .iter()
                .take_while(|it| (it.source, it.protocol) == key)
                .any(|it| it.from.is_ipv4() == self.probe.from.is_ipv4())
        })
    }

    fn is_among_connections(&self, sorted: &[Connection]) -> bool {
        let protocol = self.probe.protocol();
        let sources: Vec<Option<u16>> = match self.probe.packet {
            Packet::Protocol(_) => vec![None],
            Packet::Tcp(_) | Packet::Udp(_) | Packet::Icmp { .. } | Packet::StrayAck(_) => {
                self.sources.iter().copied().map(Some).collect()
            }
        };
        sources.into_iter().any(|source| {
            let key = (source, protocol);
            let first = sorted.partition_point(|it| (it.original.source, it.protocol) < key);
            sorted[first..]
                .iter()
                .take_while(|it| (it.original.source, it.protocol) == key)
                .any(|it| {
                    // Without numbers, two requests in opposite directions are one connection.
                    let other_way = source.is_none().then_some(it.reply);
                    [Some(it.original), other_way]
                        .iter()
                        .flatten()
                        .any(|tuple| tuple.from == self.probe.from && tuple.to == self.probe.to)
                })
        })
    }
}

fn run(world: &World, rows: &[Row], patience: Duration) -> Vec<Sent> {
    let probes: Vec<Probe> = rows
        .iter()
        .enumerate()
        .flat_map(|(number, row)| {
            [(Family::V4, row.v4), (Family::V6, row.v6)]
                .into_iter()
                .filter_map(move |(family, expected)| {
                    Some(Probe {
                        row: number,
                        site: row.from.site,
                        lands_at: row.lands_at,
                        from: row.from.address(family),
                        to: row.to.address(family),
                        packet: row.packet,
                        source_port: row.source_port.unwrap_or(0),
                        expected: expected?,
                    })
                })
        })
        .collect();
    let awaited = probes
        .iter()
        .filter(|probe| probe.expected != Outcome::Dropped)
        .count();
    let awaited = AtomicUsize::new(awaited);
    std::thread::scope(|scope| {
        let running: Vec<_> = probes
            .into_iter()
            .map(|probe| {
                let awaited = &awaited;
                scope.spawn(move || {
                    world.site(probe.site).enter();
                    let mut sources = Vec::new();
                    let outcome = probe.send(patience, awaited, &mut sources);
                    if probe.expected != Outcome::Dropped {
                        awaited.fetch_sub(1, Ordering::SeqCst);
                    }
                    Sent {
                        probe,
                        outcome,
                        sources,
                    }
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a probe's thread does not panic"))
            .collect()
    })
}

impl Probe {
    fn family(&self) -> Family {
        if self.to.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// Returns the number of the IP protocol.
    fn protocol(&self) -> u8 {
        match self.packet {
            Packet::Tcp(_) | Packet::StrayAck(_) => 6,
            Packet::Udp(_) => 17,
            Packet::Icmp { .. } => match self.family() {
                Family::V4 => 1,
                Family::V6 => 58,
            },
            Packet::Protocol(protocol) => protocol,
        }
    }

    /// Sends until something comes back or the silence has lasted, and notes the numbers it sent under.
    fn send(&self, patience: Duration, awaited: &AtomicUsize, sources: &mut Vec<u16>) -> Outcome {
        let start = Instant::now();
        let token = token();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut resend = start;
        loop {
            let now = Instant::now();
            if now >= resend {
                resend = now + RESEND;
                // A connection that waits sends again by itself, but only after a second.
                if attempts.len() < 3 || !matches!(self.packet, Packet::Tcp(_)) {
                    self.attempt(&mut attempts, token, sources);
                }
            }
            if let Some(outcome) = self.look(&mut attempts, token) {
                return outcome;
            }
            let elapsed = start.elapsed();
            let over = match self.expected {
                Outcome::Dropped => {
                    elapsed >= patient(DEADLINE)
                        || (elapsed >= SILENCE && awaited.load(Ordering::SeqCst) == 0)
                }
                Outcome::Open | Outcome::Reset | Outcome::Unreachable => elapsed >= patience,
            };
            if over {
                return Outcome::Dropped;
            }
        }
    }

    /// Opens another connection, or sends once more on the socket there is.
    fn attempt(&self, attempts: &mut Vec<Attempt>, token: u16, sources: &mut Vec<u16>) {
        match self.packet {
            Packet::Tcp(port) => {
                // A fixed source port can hold one connection to a destination at a time.
                if attempts.is_empty() || self.source_port == 0 {
                    let socket = self.connecting(Type::STREAM, Protocol::TCP, sources);
                    let _ = socket.connect(&SocketAddr::new(self.to, port).into());
                    attempts.push(Attempt { socket });
                }
            }
            Packet::Udp(port) => {
                if attempts.is_empty() {
                    let socket = self.connecting(Type::DGRAM, Protocol::UDP, sources);
                    let _ = socket.connect(&SocketAddr::new(self.to, port).into());
                    attempts.push(Attempt { socket });
                }
                let _ = attempts[0].socket.send(&token.to_be_bytes());
            }
            Packet::Icmp { v4, v6 } => {
                let (protocol, message) = match self.family() {
                    Family::V4 => (1, v4),
                    Family::V6 => (58, v6),
                };
                let bytes = wire::icmp_message(self.family(), message.request, message.code, token);
                sources.push(token);
                self.send_raw(attempts, protocol, &bytes);
            }
            Packet::Protocol(protocol) => {
                sources.push(token);
                self.send_raw(attempts, protocol, &wire::request(token));
            }
            Packet::StrayAck(port) => {
                let source = source(token);
                sources.push(source);
                let bytes = wire::stray_acknowledgement(self.from, self.to, source, port);
                self.send_raw(attempts, 6, &bytes);
            }
        }
    }

    fn send_raw(&self, attempts: &mut Vec<Attempt>, protocol: u8, bytes: &[u8]) {
        if attempts.is_empty() {
            let socket = raw_socket(self.from, protocol);
            self.report_errors(&socket);
            let _ = socket.connect(&SocketAddr::new(self.to, 0).into());
            attempts.push(Attempt { socket });
        }
        // A packet that the sender's own rules drop is refused here with EPERM; that is no answer, as
        // a rejection may follow.
        let _ = attempts[0].socket.send(bytes);
    }

    fn connecting(&self, kind: Type, protocol: Protocol, sources: &mut Vec<u16>) -> Socket {
        let domain = if self.to.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = Socket::new(domain, kind, Some(protocol)).expect("open a socket");
        socket.set_nonblocking(true).expect("set non-blocking");
        let port = match self.source_port {
            0 => source(token()),
            fixed => fixed,
        };
        sources.push(port);
        socket
            .set_reuse_address(true)
            .expect("reuse the source address");
        socket
            .bind(&SocketAddr::new(self.from, port).into())
            .expect("bind a probe");
        self.report_errors(&socket);
        socket
    }

    /// Asks for ICMP errors on the socket's error queue, where they can be told from a reset.
    fn report_errors(&self, socket: &Socket) {
        match self.family() {
            Family::V4 => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
            Family::V6 => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
        }
        .expect("ask for the error queue");
    }

    /// Waits a moment for any attempt to have an answer.
    fn look(&self, attempts: &mut [Attempt], token: u16) -> Option<Outcome> {
        let interest = match self.packet {
            Packet::Tcp(_) => PollFlags::POLLOUT,
            Packet::Udp(_) | Packet::Icmp { .. } | Packet::Protocol(_) | Packet::StrayAck(_) => {
                PollFlags::POLLIN
            }
        };
        let mut waits: Vec<PollFd<'_>> = attempts
            .iter()
            .map(|attempt| PollFd::new(attempt.socket.as_fd(), interest))
            .collect();
        let glance = PollTimeout::try_from(GLANCE).expect("a glance is short");
        if poll(&mut waits, glance).unwrap_or(0) == 0 {
            return None;
        }
        let ready: Vec<PollFlags> = waits
            .iter()
            .map(|wait| wait.revents().unwrap_or(PollFlags::empty()))
            .collect();
        attempts
            .iter_mut()
            .zip(ready)
            .filter(|(_, ready)| !ready.is_empty())
            .find_map(|(attempt, ready)| self.answer(attempt, ready, token))
    }

    fn answer(&self, attempt: &mut Attempt, ready: PollFlags, token: u16) -> Option<Outcome> {
        if ready.contains(PollFlags::POLLERR) && was_unreachable(&attempt.socket) {
            return Some(Outcome::Unreachable);
        }
        if let Packet::Tcp(_) = self.packet {
            return match attempt.socket.take_error() {
                Ok(None) => attempt.socket.peer_addr().is_ok().then_some(Outcome::Open),
                Ok(Some(error)) => outcome_of(&error),
                Err(_) => None,
            };
        }
        let mut buffer = [0; 2048];
        loop {
            match attempt.socket.read(&mut buffer) {
                Ok(length) => {
                    let outcome = self.recognise(&buffer[..length], token);
                    if outcome.is_some() {
                        return outcome;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => return outcome_of(&error),
            }
        }
    }

    fn recognise(&self, packet: &[u8], token: u16) -> Option<Outcome> {
        let payload = wire::ip_payload(self.family(), packet);
        match self.packet {
            Packet::Udp(_) => (packet == token.to_be_bytes()).then_some(Outcome::Open),
            Packet::Icmp { v4, v6 } => {
                let reply = match self.family() {
                    Family::V4 => v4.reply,
                    Family::V6 => v6.reply,
                };
                wire::is_icmp_reply(payload, reply, token).then_some(Outcome::Open)
            }
            Packet::Protocol(_) => wire::is_answer(payload, token).then_some(Outcome::Open),
            Packet::StrayAck(port) => {
                wire::is_reset(payload, port, source(token)).then_some(Outcome::Reset)
            }
            Packet::Tcp(_) => None,
        }
    }
}

/// Is one connection, or the one socket of a probe without connections.
struct Attempt {
    socket: Socket,
}

/// Returns a number that no other probe of this process used lately.
fn token() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns a source port that no server of a test and no connection of its own kernel uses.
fn source(token: u16) -> u16 {
    10_000 + token % 20_000
}

/// Says whether the socket's error queue holds an ICMP destination unreachable.
fn was_unreachable(socket: &Socket) -> bool {
    // The types of destination unreachable: ICMP_DEST_UNREACH and ICMPV6_DEST_UNREACH. The origins are
    // SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6 (linux/errqueue.h).
    const V4: (u8, u8) = (2, 3);
    const V6: (u8, u8) = (3, 1);
    let mut space = nix::cmsg_space!([u8; 128]);
    let mut data = [0; 2048];
    loop {
        let mut parts = [std::io::IoSliceMut::new(&mut data)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        );
        let Ok(message) = message else { return false };
        let Ok(notes) = message.cmsgs() else {
            return false;
        };
        for note in notes {
            if let ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) = note
                && [V4, V6].contains(&(error.ee_origin, error.ee_type))
            {
                return true;
            }
        }
    }
}

/// Returns what an error of the socket itself means.
fn outcome_of(error: &std::io::Error) -> Option<Outcome> {
    const RESET: [Errno; 2] = [Errno::ECONNREFUSED, Errno::ECONNRESET];
    const UNREACHABLE: [Errno; 4] = [
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
        Errno::ENOPROTOOPT,
        Errno::EACCES,
    ];
    let errno = Errno::from_raw(error.raw_os_error()?);
    if RESET.contains(&errno) {
        Some(Outcome::Reset)
    } else {
        UNREACHABLE.contains(&errno).then_some(Outcome::Unreachable)
    }
}
