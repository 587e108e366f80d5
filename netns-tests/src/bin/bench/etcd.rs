//! From a write in etcd to the changed fate of a packet.
//!
//! A machine beside the host sends a datagram every tenth of a millisecond to a port that no rule allows. A policy
//! that allows it is written to etcd, and the time runs from just before the write until a program on the host has
//! received a datagram. Every round has a port of its own, so that no connection is known already, and the policy
//! that changes is the last of all, so that each packet meets every rule.
//!
//! What the harness itself adds, the gap between datagrams and the wait of the receiver for its turn, is measured in
//! the same way on ports that are always open, with nothing written: from a moment of no meaning until a datagram has
//! been received.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netns_tests::etcd::{Member, V1, V3};
use netns_tests::writer::{Change, Writer};
use netns_tests::{EXT, HOST0, Owner, World};

use super::{RULES, median, millis, share};

/// How often each thing is measured.
const ROUNDS: u16 = 1_000;
/// The first of the ports that are opened one after the other.
const FIRST: u16 = 20_000;
/// The first of the ports that are always open.
const ALWAYS: u16 = 40_000;
/// The pause between two datagrams.
const GAP: Duration = Duration::from_micros(100);
/// How long a datagram may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many keys one transaction writes, of the 128 operations that etcd allows.
const KEYS: usize = 100;
/// What the policies are called that are there from the beginning.
const POLICIES: &str = "globalnetworkpolicies";

/// Measures each size and prints the table.
pub(super) fn table(sizes: &[u32]) {
    println!(
        "| policies x {RULES} | write to packet: median | p99 | most | of it until etcd has answered: median | p99 | \
         the harness alone: median | p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for &size in sizes {
        let world = World::new();
        let member = Member::start(&world.host);
        let url = member.url();
        world.host.run(|| fill(&mut Writer::connect(url), size));
        let agent = member.agent(Owner::Enabled, &[]);
        agent.started();
        let sender = Sender::start(&world);
        let times = world
            .host
            .run(|| measure(&mut Writer::connect(url), &sender));
        drop(sender);
        println!(
            "| {size} | {} | {} | {} | {} | {} | {} | {} |",
            millis(median(times.enforced.clone())),
            millis(share(times.enforced.clone(), 99)),
            millis(share(times.enforced, 100)),
            millis(median(times.answered.clone())),
            millis(share(times.answered, 99)),
            millis(median(times.harness.clone())),
            millis(share(times.harness, 99)),
        );
    }
}

/// What was measured.
#[derive(Default)]
struct Times {
    /// From the write to the packet.
    enforced: Vec<Duration>,
    /// From the write to etcd's answer to it.
    answered: Vec<Duration>,
    /// From a moment of no meaning to the packet.
    harness: Vec<Duration>,
}

fn measure(writer: &mut Writer, sender: &Sender) -> Times {
    let mut times = Times::default();
    for round in 0..ROUNDS {
        // Not in step with anything that has a rhythm.
        let pause = Duration::from_micros(2_000 + u64::from(round) * 7_919 % 5_000);
        let always = sender.aim(ALWAYS + round);
        std::thread::sleep(pause);
        discard(&always);
        let begun = Instant::now();
        times.harness.push(received(&always) - begun);

        let port = FIRST + round;
        let shut = sender.aim(port);
        std::thread::sleep(pause);
        assert_eq!(discard(&shut), 0, "port {port} was open before the write");
        let (key, value) = changing(port);
        std::thread::scope(|scope| {
            // On a thread of its own, so that the packet need not wait for etcd's answer to the writer.
            let packet = scope.spawn(|| received(&shut));
            let begun = Instant::now();
            writer.put(&key, &value);
            times.answered.push(begun.elapsed());
            let packet = packet.join().expect("the receiver ends");
            times.enforced.push(packet - begun);
        });
    }
    times
}

/// Waits for a datagram and returns when it was there.
fn received(socket: &UdpSocket) -> Instant {
    socket.set_nonblocking(false).expect("set blocking");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("set a deadline");
    socket.recv(&mut [0]).expect("a datagram in time");
    Instant::now()
}

/// Throws away what has come so far, and returns how many that were.
fn discard(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).expect("set non-blocking");
    std::iter::from_fn(|| socket.recv(&mut [0]).ok()).count()
}

/// Is the machine beside the host, sending until dropped.
struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    port: AtomicU16,
    sent: AtomicU64,
    over: AtomicBool,
}

impl Sender {
    fn start(world: &World) -> Self {
        let shared = Arc::new(Shared::default());
        shared.port.store(ALWAYS, Ordering::SeqCst);
        let handle = world.site(EXT.site).handle();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                handle.enter();
                let socket = UdpSocket::bind((EXT.v4, 0)).expect("bind the sender");
                while !shared.over.load(Ordering::SeqCst) {
                    let to = SocketAddr::from((HOST0.v4, shared.port.load(Ordering::SeqCst)));
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

    /// Listens on a port of the calling thread's namespace, and returns when datagrams are sent to it alone.
    fn aim(&self, port: u16) -> UdpSocket {
        let socket = UdpSocket::bind((HOST0.v4, port)).expect("bind the receiver");
        self.shared.port.store(port, Ordering::SeqCst);
        let sent = self.shared.sent.load(Ordering::SeqCst);
        while self.shared.sent.load(Ordering::SeqCst) < sent + 2 {
            std::thread::yield_now();
        }
        socket
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

/// Stores one endpoint, the policies that never change, the one that does, and that the cluster is ready.
fn fill(writer: &mut Writer, size: u32) {
    let mut all: Vec<Change> = (0..size).map(policy).collect();
    let endpoint = r#"{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"eth0"},"spec":{"node":"host1","interfaceName":"eth0"}}"#;
    let (last, text) = changing(FIRST - 1);
    all.extend([
        (
            format!("{V3}/hostendpoints/eth0"),
            Some(endpoint.to_owned()),
        ),
        (last, Some(text)),
    ]);
    for keys in all.chunks(KEYS) {
        writer.transaction(keys.to_vec());
    }
    writer.put(&format!("{V1}/Ready"), "true");
}

/// The last policy: it allows one port of those that change, and those that are always open.
fn changing(port: u16) -> (String, String) {
    let always = ALWAYS + ROUNDS;
    let rules = format!(
        r#"{{"action":"Allow","protocol":"UDP","destination":{{"ports":[{port},"{ALWAYS}:{always}"]}}}}"#
    );
    (format!("{V3}/{POLICIES}/zz"), body("zz", 1_000_000, &rules))
}

/// A policy of ten rules that decide nothing here, in the shape of those in files.
fn policy(index: u32) -> Change {
    let name = format!("p{index:05}");
    let rules: Vec<String> = (0..RULES)
        .map(|rule| {
            let number = index * RULES + rule;
            let [_, b, c, d] = number.to_be_bytes();
            let protocol = if rule % 2 == 0 { "TCP" } else { "UDP" };
            let first = 1_024 + number % 18_000;
            let from = 42_000 + number % 20_000;
            format!(
                r#"{{"action":"Allow","protocol":"{protocol}","source":{{"nets":["11.{b}.{c}.{d}/32"]}},"destination":{{"ports":[{first},"{from}:{}"]}}}}"#,
                from + 9
            )
        })
        .collect();
    let key = format!("{V3}/{POLICIES}/{name}");
    (key, Some(body(&name, index + 10, &rules.join(","))))
}

fn body(name: &str, order: u32, rules: &str) -> String {
    format!(
        r#"{{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{{"name":"{name}"}},"spec":{{"order":{order},"selector":"all()","types":["Ingress"],"ingress":[{rules}]}}}}"#
    )
}
