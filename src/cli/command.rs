//! The tree of commands.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::failure::Failure;
use super::{check, diff, explain, flush, get, render, run, takeover, version};

/// The name of the program that this one takes the place of.
const FELIX: &str = "calico-felix";

/// Enforces Calico network policy on this host with nftables.
#[derive(Debug, Parser)]
#[command(
    name = "tortie",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  tortie check ./resources
  sudo tortie run --directory /etc/tortie/resources

Each command tells more with -h."
)]
struct Tortie {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Render(render::Args),
    Diff(diff::Args),
    Get(get::Args),
    Explain(explain::Args),
    Flush(flush::Args),
    Takeover(takeover::Args),
    Version(version::Args),
}

/// Enforces Calico network policy on this host with nftables.
#[derive(Debug, Parser)]
#[command(name = FELIX, version, after_help = "\
Example:
  calico-felix --config-file /etc/calico/felix.cfg

`tortie` is the same program with commands to look at what it does.")]
struct Felix {
    #[command(flatten)]
    args: run::FelixArgs,
}

/// Does what the arguments say, of which the first is the name that the program was invoked by.
///
/// # Errors
/// Fails where that could not be done; what was said on stderr before belongs to it.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let invoked = arguments.first().map(Path::new).and_then(Path::file_name);
    if invoked.is_some_and(|name| name == FELIX) {
        return match parse::<Felix>(&arguments) {
            Ok(felix) => run::felix(&felix.args).map_err(|error| Failure::new(error, 1)),
            Err(code) => Ok(code),
        };
    }
    let command = match parse::<Tortie>(&arguments) {
        Ok(tortie) => tortie.command,
        Err(code) => return Ok(code),
    };
    // As with diff(1): where 1 is an answer, trouble is 2.
    let (result, trouble) = match &command {
        Command::Run(args) => (run::run(args), 1),
        Command::Check(args) => (check::run(args), 2),
        Command::Render(args) => (render::run(args), 1),
        Command::Diff(args) => (diff::run(args), 2),
        Command::Get(args) => (get::run(args), 1),
        Command::Explain(args) => (explain::run(args), 2),
        Command::Flush(args) => (flush::run(args), 1),
        Command::Takeover(args) => (takeover::run(args), 2),
        Command::Version(args) => (version::run(args), 1),
    };
    result.map_err(|error| Failure::new(error, trouble))
}

/// Parses arguments; help, the version and complaints are printed, and the exit code returned.
fn parse<P: Parser>(arguments: &[OsString]) -> Result<P, ExitCode> {
    P::try_parse_from(arguments).map_err(|error| {
        // Nobody is left to tell where printing fails.
        let _ = error.print();
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_consistent_and_each_has_an_example() {
        Tortie::command().debug_assert();
        Felix::command().debug_assert();
        for command in Tortie::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let example = format!("tortie {}", command.get_name());
            assert!(
                help.is_some_and(|help| help.contains(&example)),
                "{example}"
            );
        }
    }
}
