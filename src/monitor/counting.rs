//! Counters that somebody else keeps, read when a collector asks, on a thread of their own.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::{io, iter};

use hyper::body::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use super::exposition::{Labels, Page, number};

/// Whose packets a counter counts, in the words of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Those that a policy decides.
    Policy {
        /// Its tier.
        tier: String,
        /// Its namespace; empty where it has none.
        namespace: String,
        /// Its name.
        policy: String,
        /// `ingress` or `egress`.
        direction: &'static str,
        /// `allow`, `deny` or `pass`.
        action: &'static str,
    },
    /// Those that a profile decides.
    Profile {
        /// Its name.
        profile: String,
        /// `ingress` or `egress`.
        direction: &'static str,
        /// `allow`, `deny` or `pass`.
        action: &'static str,
    },
    /// Those that are refused because nothing has decided.
    Default {
        /// The tier at whose end they are; empty where it is the end of the profiles.
        tier: String,
        /// `ingress` or `egress`.
        direction: &'static str,
    },
}

/// What a counter has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Whose packets.
    pub owner: Owner,
    /// The packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Who keeps the counters.
pub trait Counters: Send + std::fmt::Debug {
    /// Reads them all, each owner once. It may take its time.
    ///
    /// # Errors
    /// Fails with the reason, in words.
    fn read(&mut self) -> Result<Vec<Tally>, String>;
}

/// The thread that reads counters. Those who ask while a reading is under way share the next one.
#[derive(Debug)]
pub(super) struct Counting {
    requests: mpsc::Sender<oneshot::Sender<Bytes>>,
}

impl Counting {
    /// Starts the thread, which ends when this is dropped.
    pub(super) fn start(mut counters: Box<dyn Counters>) -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<oneshot::Sender<Bytes>>();
        thread::Builder::new()
            .name("counters".to_owned())
            .spawn(move || {
                let mut complained = false;
                while let Ok(first) = inbox.recv() {
                    let askers: Vec<_> = iter::once(first).chain(inbox.try_iter()).collect();
                    // Whoever has given up needs no answer.
                    if askers.iter().all(oneshot::Sender::is_closed) {
                        continue;
                    }
                    let text = match counters.read() {
                        Ok(tallies) => {
                            complained = false;
                            Bytes::from(text(&tallies))
                        }
                        Err(reason) => {
                            if !complained {
                                warn!("{reason}; metrics are served without counters of policies");
                            }
                            complained = true;
                            Bytes::new()
                        }
                    };
                    for asker in askers {
                        // It may have given up meanwhile.
                        let _ = asker.send(text.clone());
                    }
                }
            })?;
        Ok(Self { requests })
    }

    /// Returns the counters as a part of a page, empty where they cannot be read in time.
    pub(super) async fn text(&self, patience: Duration) -> Bytes {
        let (asker, answer) = oneshot::channel();
        if self.requests.send(asker).is_err() {
            return Bytes::new();
        }
        match timeout(patience, answer).await {
            Ok(Ok(text)) => text,
            Ok(Err(_)) | Err(_) => Bytes::new(),
        }
    }
}

/// A pair of families of metrics.
struct Families {
    name: &'static str,
    help: &'static str,
    of: fn(&Owner) -> bool,
}

const FAMILIES: [Families; 3] = [
    Families {
        name: "tortie_policy",
        help: "that a policy's rules decided",
        of: |owner| matches!(owner, Owner::Policy { .. }),
    },
    Families {
        name: "tortie_profile",
        help: "that a profile's rules decided",
        of: |owner| matches!(owner, Owner::Profile { .. }),
    },
    Families {
        name: "tortie_default_deny",
        help: "that were refused because no policy or profile decided",
        of: |owner| matches!(owner, Owner::Default { .. }),
    },
];

/// What of a tally is shown.
type Measure = (&'static str, &'static str, fn(&Tally) -> u64);

const MEASURES: [Measure; 2] = [
    ("packets", "packets", |tally| tally.packets),
    ("bytes", "bytes of packets", |tally| tally.bytes),
];

/// Prints tallies, family by family.
pub(super) fn text(tallies: &[Tally]) -> String {
    let mut page = Page::default();
    for families in FAMILIES {
        for (measure, what, value) in MEASURES {
            let name = format!("{}_{measure}_total", families.name);
            page.family(
                &name,
                "counter",
                &format!("Number of {what} {}.", families.help),
            );
            for tally in tallies.iter().filter(|tally| (families.of)(&tally.owner)) {
                with_labels(&tally.owner, |labels| {
                    page.sample(&name, labels, number(value(tally)));
                });
            }
        }
    }
    page.into_text()
}

/// Lends the labels of an owner.
fn with_labels(owner: &Owner, take: impl FnOnce(Labels<'_>)) {
    match owner {
        Owner::Policy {
            tier,
            namespace,
            policy,
            direction,
            action,
        } => take(&[
            ("tier", tier),
            ("namespace", namespace),
            ("policy", policy),
            ("direction", direction),
            ("action", action),
        ]),
        Owner::Profile {
            profile,
            direction,
            action,
        } => take(&[
            ("profile", profile),
            ("direction", direction),
            ("action", action),
        ]),
        Owner::Default { tier, direction } => take(&[("tier", tier), ("direction", direction)]),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn tally(policy: &str, packets: u64) -> Tally {
        Tally {
            owner: Owner::Policy {
                tier: "default".to_owned(),
                namespace: String::new(),
                policy: policy.to_owned(),
                direction: "ingress",
                action: "allow",
            },
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn each_family_stands_once_with_all_its_samples() {
        let mut tallies = vec![tally("a", 1), tally("b", 2)];
        tallies.insert(
            1,
            Tally {
                owner: Owner::Default {
                    tier: String::new(),
                    direction: "egress",
                },
                packets: 3,
                bytes: 4,
            },
        );
        let text = text(&tallies);
        let policy = |name: &str| {
            format!(
                "{{tier=\"default\",namespace=\"\",policy=\"{name}\",direction=\"ingress\",action=\"allow\"}}"
            )
        };
        let expected = format!(
            "# HELP tortie_policy_packets_total Number of packets that a policy's rules decided.\n\
             # TYPE tortie_policy_packets_total counter\n\
             tortie_policy_packets_total{a} 1\n\
             tortie_policy_packets_total{b} 2\n\
             # HELP tortie_policy_bytes_total Number of bytes of packets that a policy's rules decided.\n\
             # TYPE tortie_policy_bytes_total counter\n\
             tortie_policy_bytes_total{a} 100\n\
             tortie_policy_bytes_total{b} 200\n",
            a = policy("a"),
            b = policy("b"),
        );
        assert!(text.starts_with(&expected), "{text}");
        let end = "tortie_default_deny_bytes_total{tier=\"\",direction=\"egress\"} 4\n";
        assert!(text.ends_with(end), "{text}");
    }

    /// Counts how often it is read, once it may be.
    #[derive(Debug)]
    struct Gate(Arc<Mutex<u64>>, mpsc::Receiver<Result<(), String>>);

    impl Counters for Gate {
        fn read(&mut self) -> Result<Vec<Tally>, String> {
            let ended = |_| Err("the test is over".to_owned());
            self.1.recv().unwrap_or_else(ended)?;
            let mut readings = self.0.lock().unwrap();
            *readings += 1;
            Ok(vec![tally("a", *readings)])
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    fn is_reading(text: &Bytes, number: u64) -> bool {
        let text = std::str::from_utf8(text).unwrap();
        text.contains(&format!("action=\"allow\"}} {number}\n"))
    }

    #[tokio::test]
    async fn those_who_ask_at_once_share_a_reading() {
        let readings = Arc::default();
        let (gate, gated) = mpsc::channel();
        let counting = Counting::start(Box::new(Gate(Arc::clone(&readings), gated))).unwrap();
        // Whoever comes during the first reading waits for the second one.
        let (first, second, third, ()) = tokio::join!(
            counting.text(LONG),
            counting.text(LONG),
            counting.text(LONG),
            async { gate.send(Ok(())).and_then(|()| gate.send(Ok(()))).unwrap() }
        );
        assert!(is_reading(&first, 1));
        for text in [second, third] {
            assert!(is_reading(&text, 1) || is_reading(&text, 2));
        }
        assert!(*readings.lock().unwrap() <= 2);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_left_out_until_it_can() {
        let (gate, gated) = mpsc::channel();
        let counting = Counting::start(Box::new(Gate(Arc::default(), gated))).unwrap();
        gate.send(Err("no".to_owned())).unwrap();
        assert!(counting.text(LONG).await.is_empty());
        gate.send(Ok(())).unwrap();
        assert!(is_reading(&counting.text(LONG).await, 1));
    }

    #[tokio::test]
    async fn a_reading_that_takes_too_long_holds_up_nobody() {
        let (gate, gated) = mpsc::channel();
        let counting = Counting::start(Box::new(Gate(Arc::default(), gated))).unwrap();
        assert!(counting.text(Duration::from_millis(1)).await.is_empty());
        drop(gate);
    }
}
