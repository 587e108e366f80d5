//! What the evaluator expects of a probe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use netns_tests::Family;
use tortie::datastore::{Snapshot, read_directory};
use tortie::explain::{Connection, ConntrackState, Content, Host, Packet, Settings};
use tortie::model::{Problem, Resource, ResourceKey};
use tortie::net::{InterfaceName, Protocol};

use crate::network::{PLACES, Place, SERVICE, Site, WANDERER, Wanderer};
use crate::packet::Transport;
use crate::probes::Probe;

/// Is what became of a probe, by the kernel or by the evaluator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Verdict {
    /// Where the request arrived.
    pub(crate) request: Option<Site>,
    /// Whether the answer came back.
    pub(crate) reply: bool,
    /// Whether the connection is tracked; never said where the request has not arrived, or where its source was
    /// forged and whoever gets the answer ends the connection.
    pub(crate) tracked: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            None => f.write_str("request lost"),
            Some(site) => write!(
                f,
                "request seen at {site:?}, reply {}, {}",
                if self.reply { "seen" } else { "lost" },
                if self.tracked { "tracked" } else { "untracked" },
            ),
        }
    }
}

/// Is the evaluator with what the daemon is told.
#[derive(Debug)]
pub(crate) struct Judge {
    host: Host,
    /// Whether the daemon sees to IPv6 at all.
    ipv6: bool,
    /// What is wrong with the resources.
    pub(crate) problems: Vec<Problem>,
}

/// Are the resources that an evaluator knows.
pub(crate) type Resources = BTreeMap<ResourceKey, Arc<Resource>>;

impl Judge {
    /// Reads the directory as the daemon does; `alter` may change what is found.
    pub(crate) fn read(
        directory: &Path,
        settings: Settings,
        wanderer: Wanderer,
        alter: fn(&mut Resources),
    ) -> Self {
        let Snapshot {
            objects, problems, ..
        } = read_directory(directory).expect("list the directory of resources");
        let mut resources: Resources = objects.into_iter().collect();
        alter(&mut resources);
        Self {
            ipv6: settings.ipv6,
            host: Host::new(settings, resources, links(wanderer)),
            problems,
        }
    }

    /// Says what is expected.
    pub(crate) fn verdict(&self, probe: &Probe) -> Verdict {
        let connection = self.connection(probe);
        // Without connection tracking there is no translation.
        let target = match (connection.tracked, probe.translation()) {
            (true, Some((place, _))) => place,
            (_, _) => probe.to,
        };
        let seen = connection.request_seen && target != SERVICE && self.is_routed(target, probe);
        let reply = seen
            && connection.reply_seen
            && is_answered(probe)
            && self.is_routed(probe.from, probe);
        // The sender resets what it knows nothing of, and connection tracking forgets a connection that is reset
        // before it has seen an answer.
        let unseen = connection.reply.is_some_and(|reply| reply.untracked);
        let forgotten = unseen && reply && matches!(probe.transport, Transport::Tcp { .. });
        Verdict {
            request: seen.then_some(target.site),
            reply,
            tracked: seen && connection.tracked && !forgotten && !probe.is_forged(),
        }
    }

    /// Says whether the host has a route to a place: to workloads because of their endpoints.
    fn is_routed(&self, place: Place, probe: &Probe) -> bool {
        !place.is_workload() || self.routes().contains(&place.address(probe.family))
    }

    /// Returns the addresses of workloads that the host should have a route to.
    pub(crate) fn routes(&self) -> BTreeSet<IpAddr> {
        PLACES
            .iter()
            .filter(|place| place.is_workload())
            .flat_map(|place| [Family::V4, Family::V6].map(|family| place.address(family)))
            .filter(|address| address.is_ipv4() || self.ipv6)
            .filter(|address| self.host.workload_interface(*address).is_some())
            .collect()
    }

    /// Says why.
    pub(crate) fn explanation(&self, probe: &Probe) -> String {
        let connection = self.connection(probe);
        let mut text = format!("request:\n{}\n", connection.request);
        if let Some(reply) = connection.reply {
            text = format!("{text}reply:\n{reply}\n");
        }
        text
    }

    fn connection(&self, probe: &Probe) -> Connection {
        let mut packet = packet(probe, true);
        if let Transport::Stray { .. } = probe.transport {
            packet.state = ConntrackState::Invalid;
            let request = self.host.packet(&packet);
            return Connection {
                request_seen: request.is_allowed(),
                request,
                reply: None,
                reply_seen: false,
                tracked: false,
            };
        }
        let connection = self.host.connection(&packet);
        if connection.request.untracked && packet.dnat.is_some() {
            // What bypasses connection tracking goes where it was sent to.
            return self.host.connection(&self::packet(probe, false));
        }
        connection
    }
}

/// Says whether the sender of a probe would hear of it: the answer to a forged address goes to its owner, and
/// discovery that does not come from a neighbour is not answered.
fn is_answered(probe: &Probe) -> bool {
    let discovery = matches!(probe.transport, Transport::Discovery { .. });
    !probe.is_forged() && !discovery
}

/// Returns the probe's request as the evaluator sees packets.
fn packet(probe: &Probe, translate: bool) -> Packet {
    let interface = |name: &str| -> InterfaceName { name.parse().expect("a name of an interface") };
    let towards = |site: Site| (site != Site::Host).then(|| interface(site.interface()));
    let content = match probe.transport {
        Transport::Tcp { source, port }
        | Transport::Udp { source, port }
        | Transport::Stray { source, port } => Content::Ports {
            source,
            destination: port,
        },
        Transport::Icmp { code, .. } => Content::Icmp {
            kind: match probe.family {
                Family::V4 => 8,
                Family::V6 => 128,
            },
            code,
        },
        Transport::Discovery { kind } => Content::Icmp { kind, code: 0 },
        Transport::Raw(_) => Content::Other,
    };
    let number = probe.transport.protocol(probe.source());
    let protocol = Protocol::new(number).expect("a protocol's number");
    let mut packet = Packet::new(protocol, probe.source(), probe.destination(), content);
    packet.input = towards(probe.site);
    packet.output = towards(probe.to.site);
    if let (true, Some((place, port))) = (translate, probe.translation()) {
        packet.dnat = Some((place.address(probe.family), Some(port)));
        packet.output = towards(place.site);
        let first = probe.to.site.interface();
        if probe.site == Site::Host && place.site.interface() != first {
            packet.first_output = Some(interface(first));
        }
    }
    packet
}

/// Returns the host's interfaces and their addresses.
fn links(wanderer: Wanderer) -> BTreeMap<InterfaceName, BTreeSet<IpAddr>> {
    let mut links: BTreeMap<InterfaceName, BTreeSet<IpAddr>> = BTreeMap::new();
    for site in Site::ALL {
        let name = site.interface().parse().expect("a name of an interface");
        links.insert(name, BTreeSet::new());
    }
    let own = PLACES.iter().filter(|place| place.site == Site::Host);
    let mut add = |interface: &str, address: IpAddr| {
        let name = interface.parse().expect("a name of an interface");
        links.entry(name).or_default().insert(address);
    };
    for place in own {
        for family in [Family::V4, Family::V6] {
            add(place.interface, place.address(family));
        }
    }
    add("lo", IpAddr::from([127, 0, 0, 1]));
    add("lo", IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1]));
    if let Some(interface) = wanderer.interface() {
        add(interface, WANDERER.into());
    }
    links
}
