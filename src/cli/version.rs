//! `tortie version`.

use std::process::ExitCode;

use super::output;
use crate::VERSION;

/// Print the version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tortie version")]
pub(super) struct Args {}

/// Prints the version.
pub(super) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    output::data(&format!("tortie {VERSION}\n"))?;
    Ok(ExitCode::SUCCESS)
}
