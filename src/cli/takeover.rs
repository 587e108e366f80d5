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
    Despite, Elsewhere, FelixLeftovers, FelixSeen, Kernel as _, LOCK_DIRECTORY, Leftovers,
    LockError, NamespaceLock, elsewhere, live_felix,
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
where our rules are not in force or do not police what Felix's do, and where it was not confirmed.
Of tables of legacy iptables it is not known what they hold: they do not count.")]
pub(super) struct Args {
    /// List what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    insistence: Insistence,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// What is done although it harms.
#[derive(Debug, clap::Args)]
struct Insistence {
    /// Remove it although Felix's rules police interfaces that ours do not: these are without policy then
    #[arg(long)]
    even_if_unpoliced: bool,
    /// Remove it although a chain of this host then drops what policy accepts and only Felix's rules let pass
    #[arg(long)]
    even_if_dropped: bool,
}

/// Removes what Felix has left, or lists it.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = args.configuration.load(None);
    let config = configuration.config();
    let despite = Despite {
        unpoliced: args.insistence.even_if_unpoliced,
        dropped: args.insistence.even_if_dropped,
    };
    let settings = writer_settings(config);
    let mut kernel = FelixLeftovers::open(&settings, accepted(config)).context("ask the kernel")?;
    let found = kernel
        .survey(despite)
        .context("look for what Felix has left")?;
    let others = elsewhere(&mut kernel).context("look for what Felix has left")?;
    let obstacle = obstacle(&configuration).and_then(|()| refuse_unpoliced(&found));
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
        .remove(despite)
        .context("remove what Felix has left")?;
    refuse_unpoliced(&found)?;
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

/// Fails where interfaces would be without policy, and says which.
fn refuse_unpoliced(found: &Leftovers) -> anyhow::Result<()> {
    match found.unpoliced_line() {
        None => Ok(()),
        Some(line) => anyhow::bail!(
            "{line}. See `tortie get hostendpoints` and `tortie get workloadendpoints`; if it is meant, add \
             --even-if-unpoliced"
        ),
    }
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
    match live_felix(&ours) {
        FelixSeen::Absent => {}
        FelixSeen::Lives(process) => anyhow::bail!(
            "Felix lives in this network namespace, process {} (`{}`): stop it first",
            process.id,
            process.command
        ),
        FelixSeen::Hidden => anyhow::bail!(
            "whether a Felix lives cannot be told, since /proc hides the processes of others (hidepid): run this as \
             root with all capabilities"
        ),
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
