//! What the evaluator expects of a probe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use netns_tests::Family;
use tortie::datastore::{Snapshot, read_directory};
use tortie::explain::{Connection, ConntrackState, Content, Host, Packet, Settings};
use tortie::model::{PolicyKind, Problem, Resource, ResourceKey};
use tortie::net::{InterfaceName, Protocol};

use crate::network::{
    FLOATING, METADATA, METADATA_SERVER, PLACES, Place, Site, WANDERER, WORK0, Wanderer,
    workload_places,
};
use crate::packet::Transport;
use crate::probes::Probe;

/// Is what became of a probe, by the kernel or by the evaluator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Verdict {
    /// Where the request arrived.
    pub(crate) request: Option<Site>,
    /// Whether it arrived from another address than it was sent from.
    pub(crate) masked: bool,
    /// Whether the answer came back.
    pub(crate) reply: bool,
    /// Whether the connection is tracked; never said where the request has not arrived.
    pub(crate) tracked: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            None => f.write_str("request lost"),
            Some(site) => write!(
                f,
                "request seen at {site:?}{}, reply {}, {}",
                if self.masked {
                    " from another address"
                } else {
                    ""
                },
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
    /// Whether it leads workloads to the metadata service.
    metadata: bool,
    /// Whether there is policy that sees packets before connection tracking.
    untracked: bool,
    /// The pools, and whether what leaves each of them is masked.
    pools: Vec<(IpNet, bool)>,
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
        let snapshot = read_directory(directory).expect("list the directory of resources");
        Self::of(snapshot, settings, wanderer, alter)
    }

    /// Takes what was read; `alter` may change it.
    pub(crate) fn of(
        snapshot: Snapshot,
        settings: Settings,
        wanderer: Wanderer,
        alter: fn(&mut Resources),
    ) -> Self {
        let Snapshot {
            objects, problems, ..
        } = snapshot;
        let mut resources: Resources = objects.into_iter().collect();
        alter(&mut resources);
        let pools = resources.values().filter_map(|resource| {
            let Resource::IpPool(pool) = resource.as_ref() else {
                return None;
            };
            Some((pool.cidr, pool.nat_outgoing))
        });
        Self {
            pools: pools.collect(),
            untracked: resources.values().any(|resource| {
                matches!(resource.as_ref(), Resource::Policy(policy) if policy.kind == PolicyKind::Untracked)
            }),
            metadata: matches!(&settings.openstack, Some(openstack) if openstack.metadata.is_some()),
            ipv6: settings.ipv6,
            host: Host::new(settings, resources, links(wanderer)),
            problems,
        }
    }

    /// Says what is expected.
    pub(crate) fn verdict(&self, probe: &Probe) -> Verdict {
        let connection = self.connection(probe);
        // Without connection tracking there is no translation.
        let target = match (connection.tracked, self.translation(probe)) {
            (true, Some((place, _))) => place,
            (_, _) => probe.to,
        };
        let seen = connection.request_seen && !target.is_virtual() && self.is_routed(target, probe);
        let masked = seen
            && connection.tracked
            && self.is_masked(probe.source(), target.address(probe.family), target.site);
        let bypassed = connection.reply.is_some_and(|reply| reply.untracked);
        // Nobody unmasks an answer that is not tracked, and one that is tracked and not known is itself masked.
        let begins = matches!(probe.transport, Transport::Udp { .. } | Transport::Raw(_));
        let mistaken = if connection.tracked {
            masked && bypassed
        } else {
            let from = target.address(probe.family);
            begins && !bypassed && self.is_masked(from, probe.source(), probe.from.site)
        };
        let reply = seen
            && connection.reply_seen
            && !mistaken
            && is_answered(probe)
            && self.is_routed(probe.from, probe);
        // The sender resets what it knows nothing of, and connection tracking forgets a connection that is reset
        // before it has seen an answer.
        let forgotten = bypassed && reply && matches!(probe.transport, Transport::Tcp { .. });
        let verdict = Verdict {
            request: seen.then_some(target.site),
            masked,
            reply,
            tracked: seen && connection.tracked && !forgotten,
        };
        self.levelled(probe, verdict)
    }

    /// Leaves out what nobody can know: untracked policy sees the answer to a masked source with the address of
    /// the mask; who gets the answer to a forged source ends the connection; and the daemon has connections of
    /// addresses forgotten that no route leads to any more, some time after the route has gone.
    pub(crate) fn levelled(&self, probe: &Probe, verdict: Verdict) -> Verdict {
        Verdict {
            reply: verdict.reply && !(verdict.masked && self.untracked),
            tracked: verdict.tracked && !probe.is_forged() && self.is_routed(probe.from, probe),
            ..verdict
        }
    }

    /// Says whether the host has a route to a place: to workloads because of their endpoints.
    fn is_routed(&self, place: Place, probe: &Probe) -> bool {
        !place.is_workload() || self.routes().contains(&place.address(probe.family))
    }

    /// Returns the addresses of workloads that the host should have a route to.
    pub(crate) fn routes(&self) -> BTreeSet<IpAddr> {
        workload_places()
            .flat_map(|place| [Family::V4, Family::V6].map(|family| place.address(family)))
            .filter(|address| address.is_ipv4() || self.ipv6)
            .filter(|address| self.host.workload_interface(*address).is_some())
            .collect()
    }

    /// Returns where the destination of a probe is led, and to which port if it is led to another.
    fn translation(&self, probe: &Probe) -> Option<(Place, Option<u16>)> {
        let tcp = matches!(probe.transport, Transport::Tcp { port: 80, .. });
        match probe.to {
            // Whatever it is: the whole address is the workload's, as far as connections are tracked.
            FLOATING => {
                let routed = self.is_routed(FLOATING, probe);
                routed.then_some((WORK0, None))
            }
            METADATA => {
                let (place, port) = METADATA_SERVER;
                (self.metadata && tcp).then_some((place, Some(port)))
            }
            _ => {
                let (place, port) = probe.translation()?;
                Some((place, Some(port)))
            }
        }
    }

    /// Says whether the source of what the host passes on is masked: it is in a pool that says so, and the
    /// destination is in none.
    fn is_masked(&self, source: IpAddr, destination: IpAddr, site: Site) -> bool {
        let holds = |address: IpAddr| move |(pool, _): &&(IpNet, bool)| pool.contains(&address);
        let mut sources = self.pools.iter().filter(holds(source));
        site != Site::Host
            && (self.ipv6 || destination.is_ipv4())
            && sources.any(|(_, masks)| *masks)
            && !self.pools.iter().any(|pool| holds(destination)(&pool))
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
        let translation = self.translation(probe);
        let mut packet = packet(probe, translation);
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
            return self.host.connection(&self::packet(probe, None));
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
fn packet(probe: &Probe, translation: Option<(Place, Option<u16>)>) -> Packet {
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
    if let Some((place, port)) = translation {
        packet.dnat = Some((place.address(probe.family), port));
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
