//! `tortie run`, and `calico-felix`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::offline::OfflineError;
use crate::agent::{self, Configuration};
use crate::config::DEFAULT_CONFIG_FILE;
use crate::telemetry;

/// Enforce policy on this host until a signal ends it; the rules stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  sudo tortie run --directory /etc/tortie/resources

Protection outlives the daemon; `tortie flush` ends it.
Exit codes: 75 where another daemon polices this host, 78 for a bad configuration.")]
pub(super) struct Args {
    /// The directory of resources, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Keep what is in force in a file, and enforce that after a boot until the datastore has been read
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = agent::LAST_GOOD_FILE
    )]
    last_good: Option<PathBuf>,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Which configuration file to read.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG_FILE)]
    config_file: PathBuf,
}

impl ConfigArgs {
    /// Reads the configuration of this process's surroundings.
    pub(super) fn load(&self, directory: Option<&Path>) -> Configuration {
        Configuration::load(&self.config_file, directory)
    }
}

/// The flags that Felix takes.
#[derive(Debug, clap::Args)]
pub(super) struct FelixArgs {
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Runs the daemon.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let configuration = args.configuration.load(args.directory.as_deref());
    serve(configuration, args.last_good.as_deref())
}

/// Runs the daemon as Felix is run.
pub(super) fn felix(args: &FelixArgs) -> anyhow::Result<ExitCode> {
    serve(args.configuration.load(None), None)
}

fn serve(configuration: Configuration, last_good: Option<&Path>) -> anyhow::Result<ExitCode> {
    let resolution = configuration.resolution();
    if resolution.fatal {
        return Err(OfflineError::Configuration(resolution.problems.clone()).into());
    }
    let logs = telemetry::install(&agent::log_settings(configuration.config()))
        .context("set up logging")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let reason = runtime.block_on(agent::run(configuration, logs, last_good));
    Ok(ExitCode::from(reason.code()))
}
