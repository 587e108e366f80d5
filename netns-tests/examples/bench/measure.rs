//! One shape, measured on the real daemon.

use std::time::{Duration, Instant};

use netns_tests::agent::{Mark, field};
use netns_tests::etcd::{Member, patiently};
use netns_tests::writer::{Change, Writer};
use netns_tests::{Agent, EXT, HOST0, Namespace, Owner, World};

use crate::probe::{Last, Receiver, Sender};
use crate::process::{cpu, memory};
use crate::shape::{
    ALWAYS, IN_TURN, INTERFACE, Kind, MEMBERS, NEVER, Shape, WORKLOAD, interface, ready, source,
};

/// How many bytes of values one transaction of etcd writes, well below what it takes.
const BYTES: usize = 400_000;
/// How many keys it writes, of the 128 operations that etcd allows.
const KEYS: usize = 100;
/// For how long nothing may arrive before a port counts as closed.
const SILENCE: Duration = Duration::from_millis(10);
/// For how long the idle daemon is watched.
const IDLE: Duration = Duration::from_secs(5);
/// How often the daemon is started; fewer times where that takes long.
const STARTS: usize = 5;
/// How long all starts together should take.
const STARTING: Duration = Duration::from_secs(10);

/// What was measured of one shape.
pub(crate) struct Measured {
    /// Every start, until the last packet of a port that policy closes.
    pub(crate) starts: Vec<Duration>,
    /// What the transactions of each took of it.
    pub(crate) start_commits: Vec<Duration>,
    /// The processor time of the last of them.
    pub(crate) start_cpu: Duration,
    /// What the last of them sent.
    pub(crate) start_sent: Sent,
    /// Memory after the start, after all changes, and the most there was, in MiB.
    pub(crate) resident: [f64; 3],
    /// The share of one processor that the daemon had while nothing changed, in percent.
    pub(crate) idle: f64,
    /// What the changes took.
    pub(crate) changes: Vec<Changed>,
    /// From a moment of no meaning to a packet of a port that is always open.
    pub(crate) harness: Vec<Duration>,
}

/// What all changes of a kind took.
pub(crate) struct Changed {
    /// From just before each write until the first packet.
    pub(crate) enforced: Vec<Duration>,
    /// From just before each write until etcd's answer to it.
    pub(crate) answered: Vec<Duration>,
    /// What the transactions of each took.
    pub(crate) commits: Vec<Duration>,
    /// The daemon's processor time for one of them, on average; what takes them back is counted, too.
    pub(crate) cpu: Duration,
    /// What one of them sent to the kernel.
    pub(crate) sent: Sent,
}

/// What was sent to the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// Messages of netlink.
    pub(crate) messages: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// Stores a shape, starts the daemon on it and changes it.
pub(crate) fn measure(shape: Shape, rounds: u32) -> Measured {
    let world = World::new();
    world.forwarding();
    let pod = join(&world, shape);
    let member = Member::start(&world.host);
    world.host.run(|| {
        let mut writer = Writer::connect(member.url());
        for changes in portions(shape.resources()) {
            writer.transaction(changes);
        }
        writer.transaction([ready()]);
    });
    let (mut starts, mut start_commits) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let (agent, start_cpu) = loop {
        let (agent, time) = start(&world, &member);
        let spent = cpu(agent.pid());
        starts.push(time);
        start_commits.push(took(&agent.logged("applied")));
        if starts.len() == STARTS || begun.elapsed() > STARTING {
            break (agent, spent);
        }
    };
    let start_sent = sent(&agent.logged("applied"));
    settle(&agent);
    let after_start = memory(agent.pid(), "VmRSS:");
    let before = cpu(agent.pid());
    std::thread::sleep(IDLE);
    let idle = cpu(agent.pid()).saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let bench = Bench {
        world: &world,
        pod: &pod,
        agent: &agent,
        shape,
        rounds,
    };
    let harness = bench.harness();
    let changes = world.host.run(|| {
        let mut writer = Writer::connect(member.url());
        Kind::ALL.map(|kind| bench.changes(kind, &mut writer))
    });
    Measured {
        starts,
        start_commits,
        start_cpu,
        start_sent,
        resident: [
            after_start,
            memory(agent.pid(), "VmRSS:"),
            memory(agent.pid(), "VmHWM:"),
        ],
        idle,
        changes: changes.into(),
        harness,
    }
}

/// Makes the interfaces of the workloads, and the namespace of the one that comes and goes.
fn join(world: &World, shape: Shape) -> Namespace {
    let pod = Namespace::new("pod");
    let links = (0..shape.workloads).map(interface).map(|name| {
        let peer = pod.name();
        format!("link add {name} type veth peer name {name} netns {peer}\nlink set {name} up\n")
    });
    world.host.ip(&links.collect::<String>());
    world.host.ip(&format!(
        "link add {INTERFACE} address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns {}\n\
         link set {INTERFACE} up\n",
        pod.name()
    ));
    // Nothing waits for the gateway to be found.
    pod.ip(&format!(
        "link set eth0 up\n\
         address add {WORKLOAD}/32 dev eth0\n\
         route add 169.254.1.1 dev eth0 scope link\n\
         route add default via 169.254.1.1 dev eth0\n\
         neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent\n"
    ));
    pod
}

/// Divides what is to be stored among transactions.
fn portions(all: Vec<Change>) -> Vec<Vec<Change>> {
    let mut portions = vec![Vec::new()];
    let mut bytes = 0;
    for change in all {
        let size = change.1.as_ref().map_or(0, String::len);
        let last = portions.last().map_or(0, Vec::len);
        if last == KEYS || (last > 0 && bytes + size > BYTES) {
            portions.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(portion) = portions.last_mut() {
            portion.push(change);
        }
    }
    portions
}

/// Starts the daemon where there is no table, and returns how long a closed port stayed open.
fn start(world: &World, member: &Member<'_>) -> (Agent, Duration) {
    world.host.run(|| {
        // There is none before the first start.
        let _ = std::process::Command::new("nft")
            .args(["delete", "table", "inet", "tortie"])
            .stderr(std::process::Stdio::null())
            .status();
    });
    let receiver = Receiver::listen(&world.host, HOST0.v4, NEVER);
    let _sender = Sender::start(&world.ext, EXT.v4, HOST0.v4, NEVER);
    receiver.received();
    let last = Last::watch(receiver);
    let begun = Instant::now();
    let agent = member.agent(Owner::Enabled, &[]);
    patiently("the first commit", || {
        agent.has_said(&Mark::beginning(), "in-sync")
    });
    std::thread::sleep(SILENCE);
    let closed = last.at().expect("one arrived before the start");
    (agent, closed.saturating_duration_since(begun))
}

/// Waits until the daemon has done all that may follow a start.
fn settle(agent: &Agent) {
    let pause = Duration::from_millis(500);
    for _ in 0..600 {
        let before = cpu(agent.pid());
        std::thread::sleep(pause);
        if cpu(agent.pid()).saturating_sub(before) < pause / 100 {
            return;
        }
    }
    panic!("the daemon does not come to rest");
}

/// Reads what was sent out of a log line.
fn sent(line: &str) -> Sent {
    Sent {
        messages: number(line, "messages"),
        bytes: number(line, "bytes"),
    }
}

/// Reads out of a log line what the transactions took, from the first step of encoding to the kernel's last answer.
fn took(line: &str) -> Duration {
    Duration::from_micros(number(line, "kernel_us"))
}

fn number(line: &str, name: &str) -> u64 {
    let value = field(line, name).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {line:?}"))
}

struct Bench<'a> {
    world: &'a World,
    pod: &'a Namespace,
    agent: &'a Agent,
    shape: Shape,
    rounds: u32,
}

impl Bench<'_> {
    /// Measures what the harness takes itself.
    fn harness(&self) -> Vec<Duration> {
        let receiver = Receiver::listen(&self.world.host, HOST0.v4, ALWAYS);
        let _sender = Sender::start(&self.world.ext, EXT.v4, HOST0.v4, ALWAYS);
        let times = (0..self.rounds).map(|round| {
            pause(round);
            receiver.discard();
            let begun = Instant::now();
            receiver.received() - begun
        });
        times.collect()
    }

    /// Makes all changes of a kind.
    fn changes(&self, kind: Kind, writer: &mut Writer) -> Changed {
        let host = &self.world.host;
        let (from, to, at, ports) = match kind {
            Kind::Policy => (&self.world.ext, HOST0.v4, host, IN_TURN),
            Kind::Member | Kind::Label => (&self.world.ext, HOST0.v4, host, [MEMBERS; 2]),
            Kind::Endpoint => (self.pod, EXT.v4, &self.world.ext, [NEVER; 2]),
        };
        let mut open: Vec<(u16, Receiver)> = Vec::new();
        for port in ports {
            if open.iter().all(|(known, _)| *known != port) {
                open.push((port, Receiver::listen(at, to, port)));
            }
        }
        let sender = Sender::start(from, source(kind), to, ports[1]);
        let mut enforced = Vec::new();
        let mut answered = Vec::new();
        let mut commits = Vec::new();
        let mut last = Sent::default();
        let mut made = 0;
        settle(self.agent);
        let before = cpu(self.agent.pid());
        for round in 1..=self.rounds * 2 {
            let port = ports[usize::from(round % 2 == 1)];
            let (_, receiver) = open
                .iter()
                .find(|(known, _)| *known == port)
                .expect("each port has a receiver");
            let mark = self.agent.mark();
            made += 1;
            if kind != Kind::Policy && round % 2 == 0 {
                writer.transaction([self.shape.change(kind, round)]);
                applied(self.agent, &mark);
                receiver.silent(SILENCE);
                continue;
            }
            sender.aim(port);
            // What came while it was open the last time.
            receiver.discard();
            pause(round);
            assert_eq!(receiver.discard(), 0, "{kind:?}: open before the write");
            let change = self.shape.change(kind, round);
            std::thread::scope(|scope| {
                // On a thread of its own, so that the packet need not wait for etcd's answer to the writer.
                let packet = scope.spawn(|| receiver.received());
                let begun = Instant::now();
                writer.transaction([change]);
                answered.push(begun.elapsed());
                let packet = packet.join().expect("the receiver ends");
                enforced.push(packet - begun);
            });
            let line = applied(self.agent, &mark);
            commits.push(took(&line));
            last = sent(&line);
            if kind == Kind::Policy && enforced.len() == self.rounds as usize {
                break;
            }
        }
        let spent = cpu(self.agent.pid()).saturating_sub(before);
        Changed {
            enforced,
            answered,
            commits,
            cpu: spent / made,
            sent: last,
        }
    }
}

/// Waits for a transaction newer than a mark, and returns the line about it.
fn applied(agent: &Agent, mark: &Mark) -> String {
    agent.line(mark, "a commit", |line| line.contains("applied"))
}

/// Pauses for as long as nothing that has a rhythm is in step with.
fn pause(round: u32) {
    std::thread::sleep(Duration::from_micros(
        2_000 + u64::from(round) * 7_919 % 5_000,
    ));
}
