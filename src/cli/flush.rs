//! `tortie flush`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::confirm::{NOT_CONFIRMED, confirmed};
use super::diff::reader;
use super::output;
use super::run::ConfigArgs;
use crate::agent::writer_settings;
use crate::kernel::{
    HostChains, HostFirewall as _, Kernel as _, LOCK_DIRECTORY, LockError, NamespaceLock,
    Netfilter, Observed, Ownership, Wanted,
};
use crate::nft::{Operation, Plan};
use crate::render::table_name;

/// Remove everything of ours from this kernel: protection ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  sudo tortie flush --yes

Exit codes: 0 where nothing of ours is left, 1 where that could not be done, as while a daemon lives,
2 where it was not confirmed.")]
pub(super) struct Args {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Removes the table, and our rule from the chains of the host's own firewall.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = args.configuration.load(None);
    let mut kernel = reader(&configuration)?;
    let mut firewall =
        HostChains::open(&writer_settings(configuration.config())).context("ask the kernel")?;
    drop(lock()?);
    let table = table_name();
    let has_rules = firewall
        .has_rules()
        .context("read the chains of the host's own firewall")?;
    if observe(&mut kernel)?.table.is_none() && !has_rules {
        output::note(format_args!(
            "there is no table `inet {table}`: nothing to remove"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed("this ends the protection of this host")? {
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    // A daemon may have come while the question stood.
    let _lock = lock()?;
    let observed = observe(&mut kernel)?;
    if observed.table.is_some() {
        let plan = Plan {
            operations: vec![Operation::DeleteTable],
        };
        let removed = kernel.commit(&plan);
        removed.with_context(|| format!("remove the table `inet {table}`"))?;
        output::note(format_args!("removed the table `inet {table}`"));
    }
    remove_rules(&mut firewall)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes our rule from the chains of the host's own firewall.
fn remove_rules(firewall: &mut HostChains) -> anyhow::Result<()> {
    let report = firewall
        .ensure(Wanted::Absent)
        .context("remove our rule from the host's own firewall")?;
    for (place, _) in &report.changed {
        output::note(format_args!("removed our rule from the chain `{place}`"));
    }
    match report.failed.into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}

/// Keeps daemons from starting, which fails while one lives.
fn lock() -> anyhow::Result<NamespaceLock> {
    match NamespaceLock::acquire(Path::new(LOCK_DIRECTORY)) {
        Ok(lock) => Ok(lock),
        Err(error @ LockError::Held { holder, .. }) => {
            let command = holder.pid.and_then(command);
            let command = command
                .map(|name| format!(" (`{name}`)"))
                .unwrap_or_default();
            Err(error).with_context(|| format!("a daemon lives{command}, stop it first"))
        }
        Err(error) => Err(error).context("keep daemons from starting meanwhile"),
    }
}

/// Returns the name of a process's command.
fn command(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let printable = name.trim_end().chars().filter(|c| !c.is_control());
    Some(printable.collect())
}

/// Reads the kernel, and makes sure that the table is not that of another process.
fn observe(kernel: &mut Netfilter) -> anyhow::Result<Observed> {
    let observed = kernel.observe().context("read what the kernel holds")?;
    let ownership = observed.table.as_ref().map(|table| &table.ownership);
    if let Some(Ownership::Foreign(owner)) = ownership {
        anyhow::bail!(
            "the table `inet {}` belongs to {owner}: stop it first",
            table_name()
        );
    }
    Ok(observed)
}
