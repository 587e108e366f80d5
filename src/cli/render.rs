//! `tortie render`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::check::{counts, line};
use super::offline::{Interfaces, Offline};
use super::output;
use super::run::ConfigArgs;
use crate::calc::LinkUpdate;
use crate::net::InterfaceName;

/// Print the ruleset of a host for the resources in a directory, without asking the kernel.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tortie render ./resources --hostname my-host --interface eth0=192.0.2.10,2001:db8::10

Interfaces that the host's endpoints name are taken to exist; endpoints that go by their expected
addresses need --interface.")]
pub(super) struct Args {
    /// The directory of resources
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The host
    #[arg(long, value_name = "HOST")]
    hostname: String,
    /// An interface of the host and its addresses
    #[arg(long = "interface", value_name = "NAME=ADDR[,ADDR...]", value_parser = interface)]
    interfaces: Vec<LinkUpdate>,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// Prints the ruleset.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut configuration = args.configuration.load(None);
    configuration.set_hostname(&args.hostname);
    let interfaces = Interfaces::AndNamed(args.interfaces.clone());
    let offline = Offline::of_directory(&args.directory, configuration, interfaces)?;
    warn(&offline);
    output::data(&offline.text()?)?;
    Ok(ExitCode::SUCCESS)
}

/// Says on stderr what is wrong.
pub(super) fn warn(offline: &Offline) {
    for problem in &offline.problems {
        output::note(format_args!("{}", line(problem).trim_end()));
    }
    let problems = &offline.configuration.resolution().problems;
    for problem in problems.iter().filter(|problem| counts(problem)) {
        output::note(format_args!("{}: {problem}", problem.severity));
    }
}

/// Reads an interface and its addresses.
pub(super) fn interface(text: &str) -> Result<LinkUpdate, String> {
    let (name, addresses) = text.split_once('=').unwrap_or((text, ""));
    let name = name
        .parse::<InterfaceName>()
        .map_err(|error| error.to_string())?;
    let addresses = addresses
        .split(',')
        .filter(|address| !address.is_empty())
        .map(|address| {
            let parsed = address.parse::<IpAddr>();
            parsed.map_err(|_| format!("`{address}` is not an IP address"))
        });
    let addresses = addresses.collect::<Result<BTreeSet<_>, _>>()?;
    Ok(LinkUpdate {
        name,
        addresses: Some(addresses),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_and_perhaps_addresses() {
        let read = |text| interface(text).map(|link| (link.name.to_string(), link.addresses));
        let addresses = |texts: &[&str]| Some(texts.iter().map(|t| t.parse().unwrap()).collect());
        assert_eq!(
            read("eth0=192.0.2.1,2001:db8::1"),
            Ok(("eth0".to_owned(), addresses(&["192.0.2.1", "2001:db8::1"])))
        );
        assert_eq!(read("eth0"), Ok(("eth0".to_owned(), addresses(&[]))));
        assert_eq!(
            read("eth0=1.2.3").unwrap_err(),
            "`1.2.3` is not an IP address"
        );
        assert!(read("=192.0.2.1").is_err());
        assert!(read("a-name-that-is-too-long=192.0.2.1").is_err());
    }
}
