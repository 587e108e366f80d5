//! What the kernel does with probes.

use std::time::Duration;

use netns_tests::patience::patient;

use crate::conntrack::Conntrack;
use crate::engine::Engine;
use crate::judge::{Judge, Verdict};
use crate::network::{Network, Site};
use crate::probes::{Probe, Prober};

/// How long nothing must come before a round of probes is over. Packets pass virtual links at once, while the
/// sender waits, so that this is for a machine that is busy; what differs is asked again with more patience.
pub(crate) const SILENCE: Duration = Duration::from_millis(40);
/// The same where something differs.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);
/// Where the numbers of repeated probes begin.
const REPEATED: u32 = 0x2000_0000;

/// Sends probes through a network and sees what becomes of them.
pub(crate) struct Observer {
    engine: Engine,
    conntrack: Conntrack,
    prober: Prober,
    /// How many packets came after their round was over.
    pub(crate) late: usize,
}

impl Observer {
    /// Makes one for a network.
    pub(crate) fn new(network: &Network) -> Self {
        Self {
            engine: Engine::new(network),
            conntrack: Conntrack::open(network.at(Site::Host)),
            prober: Prober::new(REPEATED),
            late: 0,
        }
    }

    /// Returns a probe that asks the same as an earlier one.
    pub(crate) fn fresh(&mut self, probe: &Probe) -> Probe {
        self.prober.again(probe)
    }

    /// Sends probes and says what the kernel did with each.
    pub(crate) fn observe(
        &mut self,
        judge: &Judge,
        probes: &[Probe],
        silence: Duration,
    ) -> Vec<Verdict> {
        self.conntrack.flush();
        let shots: Vec<_> = probes.iter().map(Probe::shot).collect();
        let (seen, late) = self.engine.fire(&shots, silence);
        self.late += late.len();
        let tracked = self.conntrack.list();
        probes
            .iter()
            .zip(seen)
            .map(|(probe, seen)| {
                let verdict = Verdict {
                    request: seen.request.map(|(site, _)| site),
                    masked: seen.request.is_some_and(|(_, from)| from != probe.source()),
                    reply: seen.reply,
                    tracked: seen.request.is_some() && tracked.contains(&probe.tuple()),
                };
                judge.levelled(probe, verdict)
            })
            .collect()
    }

    /// Asks the kernel once more, with patience.
    pub(crate) fn again(&mut self, judge: &Judge, probes: &[Probe]) -> Vec<Verdict> {
        let probes: Vec<Probe> = probes.iter().map(|it| self.fresh(it)).collect();
        self.observe(judge, &probes, patient(PATIENCE))
    }
}
