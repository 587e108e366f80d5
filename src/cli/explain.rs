//! `tortie explain`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;

use super::check::{counts, line};
use super::datastore::{Datastore, warn_unready};
use super::diff::local_links;
use super::explain_show::Answer;
use super::offline::{Interfaces, OfflineError, links};
use super::output::{self, Format};
use super::render::interface;
use super::run::ConfigArgs;
use crate::agent::{Configuration, explain_settings};
use crate::calc::LinkUpdate;
use crate::datastore::Snapshot;
use crate::explain::{ConntrackState, Content, Host, Packet};
use crate::model::{Resource, ResourceKey, Update};
use crate::net::{InterfaceName, Protocol};

/// The word that stands for this host where an interface may stand.
const THIS_HOST: &str = "host";
/// A port that nobody serves, as those that senders are given.
const SENDERS_PORT: u16 = 40_000;
/// The type of a ping.
const ECHO_REQUEST: u8 = 8;
/// The type of a ping in IPv6.
const ECHO_REQUEST_V6: u8 = 128;

/// Tell what becomes of a packet, hook by hook, and which tier, policy, profile and rule decides it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tortie explain --from 203.0.113.7 --to 192.0.2.10 --proto tcp --port 443 --in eth0
  tortie explain --from 192.0.2.10 --to 203.0.113.7 --proto icmp --out eth0 --directory ./resources

It is worked out from the resources, not from the kernel's rules, for the first packet of a connection and the answer
to it. Without --in and --out, addresses of this host and of its workloads tell the interfaces; `host` stands for this
host. With --hostname the host's interfaces are taken to be as its endpoints expect them.
Exit codes: 0 where it passes, 1 where it does not, 2 where it could not be found out.")]
pub(super) struct Args {
    /// The address of the sender
    #[arg(long, value_name = "ADDR")]
    from: IpAddr,
    /// The address of the receiver, before any translation
    #[arg(long, value_name = "ADDR")]
    to: IpAddr,
    /// The protocol, by name or number
    #[arg(long, value_name = "PROTO")]
    proto: Protocol,
    /// The receiver's port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The sender's port
    #[arg(long, value_name = "PORT", default_value_t = SENDERS_PORT)]
    source_port: u16,
    /// The type of an ICMP message; a ping's where absent
    #[arg(long, value_name = "TYPE")]
    icmp_type: Option<u8>,
    /// The code of an ICMP message
    #[arg(long, value_name = "CODE", default_value_t = 0)]
    icmp_code: u8,
    /// The interface that it comes in by, or `host` where this host sends it
    #[arg(long = "in", value_name = "IF")]
    input: Option<String>,
    /// The interface that it goes out by, or `host` where it is for this host
    #[arg(long = "out", value_name = "IF")]
    output: Option<String>,
    /// What connection tracking says of it; for another one than `new` there is no answer
    #[arg(long, value_enum, default_value_t = State::New)]
    state: State,
    /// What its destination is translated to; an IPv6 address with a port in brackets
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = translation)]
    dnat: Option<(IpAddr, Option<u16>)>,
    /// The directory of resources, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The host that the packet meets, instead of this one
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,
    /// An interface of the host and its addresses
    #[arg(long = "interface", value_name = "NAME=ADDR[,ADDR...]", value_parser = interface)]
    interfaces: Vec<LinkUpdate>,
    /// The form of the output
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    configuration: ConfigArgs,
}

/// What connection tracking says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// It begins a connection.
    New,
    /// It belongs to one.
    Established,
    /// It begins one that belongs to another.
    Related,
    /// It fits nothing.
    Invalid,
    /// Another program lets it bypass connection tracking.
    Untracked,
}

/// Where a packet comes from, or goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Host,
    Interface(InterfaceName),
}

impl Place {
    fn interface(self) -> Option<InterfaceName> {
        match self {
            Self::Host => None,
            Self::Interface(name) => Some(name),
        }
    }
}

/// Prints what becomes of the packet.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let content = args.content()?;
    let mut configuration = args.configuration.load(args.directory.as_deref());
    if let Some(hostname) = &args.hostname {
        configuration.set_hostname(hostname);
    }
    let snapshot = Datastore::of(&configuration)?.snapshot()?;
    let resources = take(snapshot, &mut configuration)?;
    let interfaces = args.interfaces(&configuration, &resources)?;
    let host = Host::new(
        explain_settings(configuration.config()),
        resources,
        interfaces,
    );
    let packet = args.packet(&host, content)?;
    let answer = match args.state {
        State::New => Answer::Connection(host.connection(&packet)),
        State::Established | State::Related | State::Invalid | State::Untracked => {
            Answer::Packet(host.packet(&packet))
        }
    };
    output::data(&match args.format {
        Format::Table => answer.table(),
        Format::Json => output::json(&answer.value()),
        Format::Yaml => output::yaml(&answer.value()),
    })?;
    Ok(if answer.passes() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Lets resources bear on the configuration, and says what is wrong.
fn take(
    snapshot: Snapshot,
    configuration: &mut Configuration,
) -> anyhow::Result<BTreeMap<ResourceKey, Arc<Resource>>> {
    let resources: BTreeMap<_, _> = snapshot.objects.into_iter().collect();
    for (key, value) in &resources {
        configuration.update(&Update {
            key: key.clone(),
            value: Some(Arc::clone(value)),
        });
    }
    configuration.resolve();
    let resolution = configuration.resolution();
    if resolution.fatal {
        return Err(OfflineError::Configuration(resolution.problems.clone()).into());
    }
    for problem in &snapshot.problems {
        output::note(format_args!("{}", line(problem).trim_end()));
    }
    for problem in resolution.problems.iter().filter(|problem| counts(problem)) {
        output::note(format_args!("{}: {problem}", problem.severity));
    }
    warn_unready(configuration);
    Ok(resources)
}

impl Args {
    /// Returns what stands in the packet behind its addresses.
    fn content(&self) -> anyhow::Result<Content> {
        let addresses = [Some(self.to), self.dnat.map(|(address, _)| address)];
        let other_family = |address: &IpAddr| address.is_ipv4() != self.from.is_ipv4();
        if addresses.into_iter().flatten().any(|a| other_family(&a)) {
            anyhow::bail!("the addresses are not all of one family");
        }
        let (icmp, other, request) = if self.from.is_ipv4() {
            (Protocol::ICMP, Protocol::ICMPV6, ECHO_REQUEST)
        } else {
            (Protocol::ICMPV6, Protocol::ICMP, ECHO_REQUEST_V6)
        };
        if self.proto == other {
            anyhow::bail!("the addresses go with the protocol {icmp}, not {other}");
        }
        if self.proto == icmp {
            if self.port.is_some() {
                anyhow::bail!("the protocol {icmp} has no ports");
            }
            return Ok(Content::Icmp {
                kind: self.icmp_type.unwrap_or(request),
                code: self.icmp_code,
            });
        }
        if self.icmp_type.is_some() {
            anyhow::bail!("only the protocol {icmp} has types of message");
        }
        match self.port {
            Some(port) if self.proto.has_ports() || self.proto == Protocol::UDPLITE => {
                Ok(Content::Ports {
                    source: self.source_port,
                    destination: port,
                })
            }
            Some(_) => anyhow::bail!("the protocol {} has no ports", self.proto),
            None if self.proto.has_ports() => {
                anyhow::bail!("the protocol {} needs --port", self.proto)
            }
            None => Ok(Content::Other),
        }
    }

    /// Returns the interfaces of the host with their addresses.
    fn interfaces(
        &self,
        configuration: &Configuration,
        resources: &BTreeMap<ResourceKey, Arc<Resource>>,
    ) -> anyhow::Result<BTreeMap<InterfaceName, BTreeSet<IpAddr>>> {
        let known = if self.hostname.is_some() {
            links(
                Interfaces::Expected,
                &configuration.config().hostname,
                resources,
            )
        } else {
            local_links()?
        };
        let given = self.interfaces.iter().cloned();
        let addresses = |link: LinkUpdate| Some((link.name, link.addresses?));
        Ok(known
            .into_iter()
            .chain(given)
            .filter_map(addresses)
            .collect())
    }

    /// Makes the packet, and finds out where it comes from and where it goes.
    fn packet(&self, host: &Host, content: Content) -> anyhow::Result<Packet> {
        let receiver = self.dnat.map_or(self.to, |(address, _)| address);
        let input = match &self.input {
            Some(text) => place(text)?,
            None => found(host, self.from, "--in")?,
        };
        let output = match &self.output {
            Some(text) => place(text)?,
            None if input != Place::Host && is_for_all(receiver) => Place::Host,
            None => found(host, receiver, "--out")?,
        };
        let state = match self.state {
            State::New => ConntrackState::New,
            State::Established => ConntrackState::Established,
            State::Related => ConntrackState::Related,
            State::Invalid => ConntrackState::Invalid,
            State::Untracked => ConntrackState::Untracked,
        };
        Ok(Packet {
            input: input.interface(),
            output: output.interface(),
            state,
            dnat: self.dnat,
            ..Packet::new(self.proto, self.from, self.to, content)
        })
    }
}

/// Reads where a packet comes from or goes to.
fn place(text: &str) -> anyhow::Result<Place> {
    if text == THIS_HOST {
        return Ok(Place::Host);
    }
    Ok(Place::Interface(text.parse()?))
}

/// Finds out where an address is: on this host, or with one of its workloads.
fn found(host: &Host, address: IpAddr, option: &str) -> anyhow::Result<Place> {
    if host.is_own_address(address) || address.is_loopback() {
        return Ok(Place::Host);
    }
    match host.workload_interface(address) {
        Some(interface) => Ok(Place::Interface(interface.clone())),
        None => anyhow::bail!(
            "{address} belongs neither to the host nor to a workload of it: name the interface with {option}"
        ),
    }
}

/// Tells whether an address stands for several receivers, of which the host is one.
fn is_for_all(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    }
}

/// Reads what a destination is translated to.
fn translation(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    text.parse::<SocketAddr>()
        .map(|socket| (socket.ip(), Some(socket.port())))
        .map_err(|_| format!("`{text}` is neither an address nor one with a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_translation_is_an_address_and_perhaps_a_port() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, expected) in [
            ("192.0.2.1", (address("192.0.2.1"), None)),
            ("192.0.2.1:80", (address("192.0.2.1"), Some(80))),
            ("2001:db8::1", (address("2001:db8::1"), None)),
            ("[2001:db8::1]:80", (address("2001:db8::1"), Some(80))),
        ] {
            assert_eq!(translation(text), Ok(expected), "{text}");
        }
        for text in ["", "192.0.2.1:", "192.0.2.1:65536", "eth0", "[2001:db8::1]"] {
            assert!(translation(text).is_err(), "{text}");
        }
    }
}
