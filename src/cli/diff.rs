//! `tortie diff`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::datastore::{Datastore, warn_unready};
use super::offline::{Interfaces, Offline};
use super::output;
use super::render::warn;
use super::run::ConfigArgs;
use crate::agent::{Configuration, writer_settings};
use crate::calc::LinkUpdate;
use crate::kernel::{Kernel as _, Netfilter, Settings, TableOwner};
use crate::links;
use crate::nft::{Elements, plan_text};

/// Print what a run would change in this kernel, changing nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo tortie diff
  sudo tortie diff ./resources

Exit codes: 0 where nothing would change, 1 where something would, 2 in case of trouble.")]
pub(super) struct Args {
    /// The directory of resources, whatever the configuration says
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The name of the host, where the configuration has another one
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Prints the difference.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut configuration = args.configuration.load(args.directory.as_deref());
    if let Some(hostname) = &args.hostname {
        configuration.set_hostname(hostname);
    }
    let interfaces = Interfaces::Exactly(local_links()?);
    let snapshot = Datastore::of(&configuration)?.snapshot()?;
    let mut offline = Offline::compute(snapshot, configuration, interfaces)?;
    warn(&offline);
    warn_unready(&offline.configuration);
    let mut kernel = reader(&offline.configuration)?;
    let observed = kernel.observe().context("read what the kernel holds")?;
    let plans = offline.plans_beside(&observed.catalog)?;
    if plans.is_empty() {
        output::note(format_args!("no difference"));
        return Ok(ExitCode::SUCCESS);
    }
    output::data(&plan_text(&plans, Elements::All))?;
    Ok(ExitCode::FAILURE)
}

/// Opens a socket that makes no table its own.
pub(super) fn reader(configuration: &Configuration) -> anyhow::Result<Netfilter> {
    Netfilter::open(Settings {
        ownership: TableOwner::Disabled,
        ..writer_settings(configuration.config())
    })
    .context("ask the kernel")
}

/// Returns the interfaces of this host.
pub(super) fn local_links() -> anyhow::Result<Vec<LinkUpdate>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let links = runtime
        .block_on(links::snapshot())
        .context("read the interfaces of this host")?;
    let update = |link: links::Link| LinkUpdate {
        name: link.name,
        addresses: Some(link.addresses),
    };
    Ok(links.into_iter().map(update).collect())
}
