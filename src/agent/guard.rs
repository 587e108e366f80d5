//! The guard: what stands where nothing does yet, as after a boot, until it is known what should.

use tracing::{error, info};

use crate::calc::{Calc, Settings as CalcSettings};
use crate::kernel::{
    Despite, Elsewhere, FelixLeftovers, FelixSeen, Kernel as _, KernelError, Netfilter, elsewhere,
    live_felix,
};
use crate::nft::{Catalog, Extent, ObjectChanges, plan};
use crate::render::{Renderer, Settings as RenderSettings};
use crate::telemetry::ErrorChain;

/// Who polices this host when a start begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// Nobody but a guard did, if that; the guard does now.
    Bare,
    /// We do: our table is there, as after a restart.
    Ours,
    /// Felix does, or its rules, whose policy is newer than any that we could have kept.
    Felix,
}

/// Finds out who polices the host, and denies unknown workloads everything where nobody does.
///
/// What it commits is what is made of the configuration as it is known now and of no resources at all: packets of
/// interfaces that are named as those of workloads are dropped, and all others pass. Where that fails, the host is as
/// open as it was, which must not keep policy from coming into force.
pub(super) fn raise(
    kernel: &mut Netfilter,
    felix: &mut FelixLeftovers,
    calc: CalcSettings,
    render: RenderSettings,
) -> Scene {
    let guard = objects(calc, render);
    match kernel.object_count() {
        Ok(None) => {}
        Ok(Some(count)) if count == guard.len() && is_in_force(kernel, &guard) => {
            info!("guard: it is still there, and nothing else is");
            return Scene::Bare;
        }
        Ok(Some(_)) => return Scene::Ours,
        Err(cause) => {
            error!("{}; nothing guards workloads yet", ErrorChain(&cause));
            return Scene::Ours;
        }
    }
    if felix_polices(felix) {
        info!("Felix or its rules police this host: no guard is set up");
        return Scene::Felix;
    }
    match commit(kernel, &guard) {
        Ok(()) => info!(
            "guard: what is named as a workload's interface is cut off until policy is in force"
        ),
        Err(reason) => error!("guard: {reason}; nothing guards workloads yet"),
    }
    Scene::Bare
}

/// Makes what the guard consists of.
fn objects(calc: CalcSettings, render: RenderSettings) -> ObjectChanges {
    let mut calc = Calc::new(calc);
    let changes = calc.take_whole();
    Renderer::new(render).render(&changes, &calc)
}

/// Tells whether the kernel holds the guard and nothing else, as where the daemon that set it up came no further.
fn is_in_force(kernel: &mut Netfilter, guard: &ObjectChanges) -> bool {
    kernel.observe().is_ok_and(|observed| {
        let planned = plan(&observed.catalog, guard, Extent::Whole);
        planned.is_ok_and(|(plans, _)| plans.is_empty())
    })
}

fn commit(kernel: &mut Netfilter, guard: &ObjectChanges) -> Result<(), String> {
    let (plans, _) = plan(&Catalog::default(), guard, Extent::Whole)
        .map_err(|cause| ErrorChain(&cause).to_string())?;
    plans
        .transactions()
        .try_for_each(|plan| kernel.commit(plan).map(|_| ()))
        .map_err(|cause| ErrorChain(&cause).to_string())
}

/// Tells whether a Felix lives here or has left rules; what cannot be told is taken for no Felix, since that is what
/// most hosts have.
fn felix_polices(felix: &mut FelixLeftovers) -> bool {
    match live_felix(&[std::process::id()]) {
        FelixSeen::Lives(_) => return true,
        FelixSeen::Absent | FelixSeen::Hidden => {}
    }
    let left = match felix.survey(Despite::default()) {
        Ok(found) => !found.is_empty(),
        Err(cause) => matches!(cause, KernelError::TooManyLeftovers { .. }),
    };
    // The rules of legacy iptables cannot be read; the sets that Felix's refer to tell of them.
    left || elsewhere(felix).is_ok_and(|found| Elsewhere::set_line(&found).is_some())
}
