//! The floor: the transactions that the daemon makes of the same changes, sent by a bare loop of the encoder.
//!
//! Nothing else runs, nothing is logged, and what leads to a transaction is not counted. The table is in a namespace
//! of its own. One after the other finds what the last one has left in the processor's caches, which is kinder than
//! what a daemon meets that has slept: at each commit the kernel walks through all chains of the table
//! (`nf_tables_commit`). So each change is measured once more after the caches have been filled with something else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netns_tests::writer::Change;
use netns_tests::{HOST0, Namespace};
use tortie::agent::{Enforcer, Step, calc_settings, render_settings, writer_settings};
use tortie::calc::LinkUpdate;
use tortie::config::Config;
use tortie::datastore::{Origin, decode_file};
use tortie::kernel::{Kernel as _, Netfilter};
use tortie::model::{ResourceKey, Update};

use crate::shape::{INTERFACE, Kind, Shape, interface};

/// How long the transactions take.
pub(crate) struct Floor {
    /// Those of each start.
    pub(crate) starts: Vec<Duration>,
    /// Those of each change.
    pub(crate) changes: Vec<Vec<Duration>>,
    /// The same where the caches hold nothing of the table.
    pub(crate) cold: Vec<Vec<Duration>>,
}

/// How often the start is committed, each time where there is no table.
const STARTS: usize = 3;
/// How many bytes fill the caches: more than the processor shares among its cores for one of them.
const CACHES: usize = 128 << 20;
/// How often what is cold is measured, since filling the caches takes long.
const COLD_ROUNDS: u32 = 30;

/// Whether the caches hold what the last commit has touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caches {
    Warm,
    Cold,
}

/// Commits the start of a shape, and every change as often as it is measured.
pub(crate) fn floor(shape: Shape, rounds: u32) -> Floor {
    let mut starts = Vec::new();
    loop {
        let namespace = Namespace::new("floor");
        let (last, took) = namespace.run(|| Loop::new().start(shape));
        starts.push(took);
        if starts.len() == STARTS {
            return namespace.run(|| last.measure(shape, rounds, starts));
        }
    }
}

struct Loop {
    kernel: Netfilter,
    enforcer: Enforcer,
    keys: BTreeMap<String, ResourceKey>,
    other: Vec<u8>,
}

impl Loop {
    fn new() -> Self {
        let mut config = Config::default_for(netns_tests::agent::HOSTNAME);
        config.kernel.table_owner = tortie::config::TableOwner::Enabled;
        let render = render_settings(&config).expect("the marks fit");
        Self {
            kernel: Netfilter::open(writer_settings(&config)).expect("open nf_tables"),
            enforcer: Enforcer::new(calc_settings(&config), render),
            keys: BTreeMap::new(),
            other: vec![0; CACHES],
        }
    }

    /// Commits a start, and returns how long that took.
    fn start(mut self, shape: Shape) -> (Self, Duration) {
        for change in shape.resources() {
            self.take(change);
        }
        let locals = (0..shape.workloads).map(interface);
        for name in locals.chain([INTERFACE.to_owned()]) {
            self.link(&name, &[]);
        }
        self.link("eth0", &[HOST0.v4.into()]);
        let took = self.commit();
        (self, took)
    }

    fn measure(mut self, shape: Shape, rounds: u32, starts: Vec<Duration>) -> Floor {
        let warm = Kind::ALL.map(|kind| self.changes(shape, kind, rounds, Caches::Warm));
        let rounds = rounds.min(COLD_ROUNDS);
        let cold = Kind::ALL.map(|kind| self.changes(shape, kind, rounds, Caches::Cold));
        Floor {
            starts,
            changes: warm.into(),
            cold: cold.into(),
        }
    }

    /// Commits every change of a kind.
    fn changes(&mut self, shape: Shape, kind: Kind, rounds: u32, caches: Caches) -> Vec<Duration> {
        let mut times = Vec::new();
        for round in 1..=rounds * 2 {
            self.take(shape.change(kind, round));
            if caches == Caches::Cold {
                for line in self.other.chunks_mut(64) {
                    line[0] = std::hint::black_box(line[0].wrapping_add(1));
                }
            }
            let time = self.commit();
            // Every other change only takes back, save with policies.
            if kind == Kind::Policy || round % 2 == 1 {
                times.push(time);
            }
        }
        times
    }

    fn link(&mut self, name: &str, addresses: &[std::net::IpAddr]) {
        self.enforcer.link(LinkUpdate {
            name: name.parse().expect("a name of an interface"),
            addresses: Some(addresses.iter().copied().collect()),
        });
    }

    fn take(&mut self, (path, value): Change) {
        let update = match value {
            Some(value) => {
                let decoded = decode_file(&path, value.as_bytes(), Origin::Datastore)
                    .expect("a value is a document");
                assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
                let object = decoded.objects.into_iter().next().expect("one resource");
                self.keys.insert(path, object.key.clone());
                Update {
                    key: object.key,
                    value: Some(object.value),
                }
            }
            None => match self.keys.get(&path) {
                Some(key) => Update {
                    key: key.clone(),
                    value: None,
                },
                None => return,
            },
        };
        self.enforcer.update(update);
    }

    /// Commits what there is to commit, and returns how long that took.
    fn commit(&mut self) -> Duration {
        loop {
            match self.enforcer.next_step().expect("it can be planned") {
                Step::Nothing => return Duration::ZERO,
                Step::Observe => {
                    let observed = self.kernel.observe().expect("the kernel answers");
                    self.enforcer
                        .observed(observed.catalog, observed.needs_adoption);
                }
                Step::Commit(plans) => {
                    let begun = Instant::now();
                    for plan in plans.transactions() {
                        self.kernel.commit(plan).expect("it is committed");
                    }
                    let elapsed = begun.elapsed();
                    self.enforcer.committed();
                    return elapsed;
                }
                Step::Check(_) => unreachable!("nothing has been refused"),
            }
        }
    }
}
