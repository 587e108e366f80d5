//! `tortie takeover`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::confirm::{NOT_CONFIRMED, confirmed};
use super::diff::reader;
use super::output;
use super::run::ConfigArgs;
use crate::agent::{Configuration, accepted, writer_settings};
use crate::kernel::{
    Elsewhere, FelixLeftovers, Kernel as _, LOCK_DIRECTORY, Leftovers, LockError, NamespaceLock,
    elsewhere, live_felix,
};
use crate::render::table_name;

/// Remove what Felix has left in this kernel, once our rules are in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  sudo tortie takeover --dry-run

The daemon does the same by itself, unless FelixCleanup says otherwise.
Tables of legacy iptables and sets of ipset are named with the commands that remove what is Felix's.
Exit codes: 0 where nothing is left, 1 where something is, 2 in case of trouble: also where Felix lives,
where our rules are not in force, and where it was not confirmed. Of tables of legacy iptables it is not
known what they hold: they do not count.")]
pub(super) struct Args {
    /// List what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Removes what Felix has left, or lists it.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = args.configuration.load(None);
    let config = configuration.config();
    let accepted = accepted(config);
    let timeout = writer_settings(config).timeout;
    let mut kernel = FelixLeftovers::open(timeout).context("ask the kernel")?;
    let found = kernel
        .survey(accepted)
        .context("look for what Felix has left")?;
    let others = elsewhere(&mut kernel).context("look for what Felix has left")?;
    let obstacle = obstacle(&configuration);
    if args.dry_run {
        print(&found, &others)?;
        if let Err(error) = obstacle {
            output::note(format_args!("it cannot be removed now: {error:#}"));
        }
        let is_left = !found.is_empty() || others.has_sets();
        return Ok(ExitCode::from(u8::from(is_left)));
    }
    if !found.has_removable() {
        print(&found, &others)?;
        output::note(format_args!("there is nothing to remove from nftables"));
        return Ok(ExitCode::from(u8::from(
            !found.is_empty() || others.has_sets(),
        )));
    }
    obstacle?;
    if !args.yes {
        print(&found, &others)?;
        let removes = "this removes what Felix has left on this host";
        if !confirmed(removes)? {
            return Ok(ExitCode::from(NOT_CONFIRMED));
        }
    }
    let found = kernel
        .remove(accepted)
        .context("remove what Felix has left")?;
    if found.has_removable() {
        output::note(format_args!("removed: {}", found.summary()));
    } else {
        output::note(format_args!("somebody else has removed it"));
    }
    let others = elsewhere(&mut kernel).context("look for what Felix has left")?;
    let left = Leftovers {
        held: found.held,
        ..Leftovers::default()
    };
    print(&left, &others)?;
    let is_left = !left.held.is_empty() || others.has_sets();
    Ok(ExitCode::from(u8::from(is_left)))
}

fn print(found: &Leftovers, others: &Elsewhere) -> anyhow::Result<()> {
    let lines = [found.lines(), others.lines()].concat();
    let text: String = lines
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect();
    output::data(&text)
}

/// Fails where nothing may be removed now, and says why.
fn obstacle(configuration: &Configuration) -> anyhow::Result<()> {
    let mut ours = vec![std::process::id()];
    match NamespaceLock::acquire(Path::new(LOCK_DIRECTORY)) {
        Ok(_) => {}
        // A daemon of ours that is called by Felix's name is no Felix.
        Err(LockError::Held { holder, .. }) => ours.extend(holder.pid),
        Err(error) => return Err(error).context("look for the daemon"),
    }
    if let Some(process) = live_felix(&ours) {
        anyhow::bail!(
            "Felix lives in this network namespace, process {} (`{}`): stop it first",
            process.id,
            process.command
        );
    }
    let observed = reader(configuration)?
        .observe()
        .context("read what the kernel holds")?;
    if observed.table.is_none() || observed.catalog.chains.is_empty() {
        anyhow::bail!(
            "our rules, table `inet {}`, are not in force: start the daemon first, so that this host is never \
             without protection",
            table_name()
        );
    }
    Ok(())
}
