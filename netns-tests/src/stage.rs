//! The usual beginning of a test with workloads.

use std::time::Instant;

use crate::agent::{Agent, Owner, WORK_DEADLINE};
use crate::patience::patient;
use crate::resources::documents;
use crate::server::Services;
use crate::topology::World;
use crate::workloads::{Routed, WORKLOADS};

/// Makes a watching world with `workloads` workloads, starts a daemon with these settings and resources, and waits
/// until the daemon has routed every workload.
pub fn stage(
    owner: Owner,
    services: Services,
    workloads: usize,
    settings: &[(&str, &str)],
    resources: &[String],
) -> (World, Agent) {
    let world = World::serving(services)
        .with_workloads(workloads)
        .watching();
    let agent = Agent::with(&world.host, owner, settings);
    agent.apply(&documents(resources));
    world.routed(&WORKLOADS[..workloads], Routed::Yes);
    (world, agent)
}

/// Waits until a condition holds that nothing announces.
///
/// # Panics
/// If it does not hold within the deadline.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patient(WORK_DEADLINE);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}, at the deadline");
        std::thread::yield_now();
    }
}
