//! `tortie flush`.

use std::path::Path;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use super::diff::reader;
use super::output;
use super::run::ConfigArgs;
use crate::kernel::{Kernel as _, LOCK_DIRECTORY, NamespaceLock, Netfilter, Observed, Ownership};
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

/// The exit code of a question that was not answered with yes.
const NOT_CONFIRMED: u8 = 2;

/// Removes the table.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut kernel = reader(&args.configuration.load(None))?;
    drop(lock()?);
    let table = table_name();
    if observe(&mut kernel)?.table.is_none() {
        output::note(format_args!(
            "there is no table `inet {table}`: nothing to remove"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !confirmed()? {
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
    }
    output::note(format_args!("removed the table `inet {table}`"));
    Ok(ExitCode::SUCCESS)
}

/// Keeps daemons from starting, which fails while one lives.
fn lock() -> anyhow::Result<NamespaceLock> {
    NamespaceLock::acquire(Path::new(LOCK_DIRECTORY)).context("a daemon polices this host: stop it first")
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

/// Asks whoever sits at the terminal.
fn confirmed() -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        output::note(format_args!(
            "this ends the protection of this host, and nobody is here to confirm it: use --yes"
        ));
        return Ok(false);
    }
    let mut stderr = io::stderr().lock();
    // Where the question cannot be shown there is still the answer.
    let _ = write!(
        stderr,
        "This ends the protection of this host. Remove it? [y/N] "
    );
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("read the answer")?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        output::note(format_args!("nothing was removed"));
    }
    Ok(yes)
}
