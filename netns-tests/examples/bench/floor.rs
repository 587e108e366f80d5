//! The floor: the transactions that the daemon makes of the same changes, sent by a bare loop of the encoder.
//!
//! Nothing else runs, nothing is logged, and what leads to a transaction is not counted. The table is in a namespace
//! of its own.

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
    /// That of a start.
    pub(crate) start: Duration,
    /// Those of each change.
    pub(crate) changes: Vec<Vec<Duration>>,
}

/// Commits the start of a shape, and every change as often as it is measured.
pub(crate) fn floor(shape: Shape, rounds: u32) -> Floor {
    let namespace = Namespace::new("floor");
    namespace.run(|| Loop::new().measure(shape, rounds))
}

struct Loop {
    kernel: Netfilter,
    enforcer: Enforcer,
    keys: BTreeMap<String, ResourceKey>,
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
        }
    }

    fn measure(mut self, shape: Shape, rounds: u32) -> Floor {
        for change in shape.resources() {
            self.take(change);
        }
        let locals = (0..shape.workloads).map(interface);
        for name in locals.chain([INTERFACE.to_owned()]) {
            self.link(&name, &[]);
        }
        self.link("eth0", &[HOST0.v4.into()]);
        let start = self.commit();
        let changes = Kind::ALL.map(|kind| {
            let mut times = Vec::new();
            for round in 1..=rounds * 2 {
                self.take(shape.change(kind, round));
                let time = self.commit();
                // Every other change only takes back, save with policies.
                if kind == Kind::Policy || round % 2 == 1 {
                    times.push(time);
                }
            }
            times
        });
        Floor {
            start,
            changes: changes.into(),
        }
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
