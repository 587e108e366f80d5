//! Random probes between the places of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use netns_tests::Family;

use crate::conntrack::Tuple;
use crate::engine::Shot;
use crate::network::{
    FLOATING, METADATA, METADATA_SERVER, PLACES, Place, SERVICE, Site, TRANSLATED, WORK0,
    translation,
};
use crate::packet::{RAW, Transport};
use netns_tests::random::Random;

/// For how many rounds the ports of a probe are not used again where they were chosen on purpose.
const REST: u64 = 64;

/// Is a question to the kernel and to the evaluator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Where it is sent; another place than its source has where a workload forges that.
    pub(crate) site: Site,
    /// Whose address the source is.
    pub(crate) from: Place,
    /// Whose address the destination is.
    pub(crate) to: Place,
    /// The family of both.
    pub(crate) family: Family,
    /// What is sent.
    pub(crate) transport: Transport,
    /// The number that it is known by.
    pub(crate) token: u32,
}

impl Probe {
    /// Returns the source address.
    pub(crate) fn source(&self) -> IpAddr {
        self.from.address(self.family)
    }

    /// Returns the destination address.
    pub(crate) fn destination(&self) -> IpAddr {
        self.to.address(self.family)
    }

    /// Returns the place and port that the destination is translated to, if it is.
    pub(crate) fn translation(&self) -> Option<(Place, u16)> {
        match self.transport {
            Transport::Tcp { port, .. } | Transport::Udp { port, .. } => {
                translation(self.destination(), port)
            }
            Transport::Icmp { .. }
            | Transport::Raw(_)
            | Transport::Stray { .. }
            | Transport::Discovery { .. } => None,
        }
    }

    /// Says whether the source is not the sender's own.
    pub(crate) fn is_forged(&self) -> bool {
        self.site != self.from.site
    }

    /// Returns the request to send.
    pub(crate) fn shot(&self) -> Shot {
        Shot {
            site: self.site,
            from: self.source(),
            to: self.destination(),
            transport: self.transport,
            token: self.token,
        }
    }

    /// Returns how connection tracking lists it.
    pub(crate) fn tuple(&self) -> Tuple {
        let (source, port) = match self.transport {
            Transport::Tcp { source, port }
            | Transport::Udp { source, port }
            | Transport::Stray { source, port } => (source, port),
            Transport::Icmp { id, .. } => (id, id),
            Transport::Raw(_) => (0, 0),
            Transport::Discovery { kind } => (0, kind.into()),
        };
        Tuple {
            protocol: self.transport.protocol(self.source()),
            from: self.source(),
            to: self.destination(),
            source,
            port,
        }
    }

    /// Returns the addresses and ports as a pair without direction, before and after translation.
    fn pairs(&self) -> Vec<Pair> {
        let tuple = self.tuple();
        let here = (tuple.from, tuple.source);
        let mut ends = vec![(tuple.to, tuple.port)];
        let elsewhere = match self.to {
            FLOATING => Some((WORK0.address(self.family), tuple.port)),
            METADATA => Some((METADATA_SERVER.0.address(self.family), METADATA_SERVER.1)),
            _ => None,
        };
        ends.extend(elsewhere);
        ends.extend(
            self.translation()
                .map(|(place, port)| (place.address(self.family), port)),
        );
        let mut pairs: Vec<Pair> = ends
            .iter()
            .map(|there| (tuple.protocol, here.min(*there), here.max(*there)))
            .collect();
        // Translation of sources cannot tell apart what has no ports.
        if let Transport::Raw(protocol) = self.transport {
            pairs.extend(ends.iter().chain([&here]).map(|end| (protocol, *end, *end)));
        }
        pairs
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.source(), self.destination());
        let sent = if self.is_forged() {
            format!("{:?} as {}", self.site, self.from.name)
        } else {
            self.from.name.to_owned()
        };
        let what = match self.transport {
            Transport::Tcp { .. } => "tcp".to_owned(),
            Transport::Udp { .. } => "udp".to_owned(),
            Transport::Icmp { code, .. } => format!("echo request, code {code},"),
            Transport::Raw(number) => format!("protocol {number}"),
            Transport::Stray { .. } => "invalid tcp".to_owned(),
            Transport::Discovery { kind } => format!("icmpv6 type {kind}"),
        };
        let name = self.to.name;
        match self.transport.ports() {
            Some((source, port)) => {
                write!(
                    f,
                    "{what} {sent} ({from}) port {source} -> {name} ({to}) port {port}"
                )?;
            }
            None => write!(f, "{what} {sent} ({from}) -> {name} ({to})")?,
        }
        match self.translation() {
            Some((place, port)) => {
                write!(
                    f,
                    ", translated to {} ({}) port {port}",
                    place.name,
                    place.address(self.family)
                )
            }
            None => Ok(()),
        }
    }
}

type Pair = (u8, (IpAddr, u16), (IpAddr, u16));

/// Makes probes, none of which can be mistaken for another.
#[derive(Debug)]
pub(crate) struct Prober {
    made: u32,
    round: u64,
    resting: BTreeMap<Pair, u64>,
}

impl Prober {
    /// Begins at a number, so that several can be told apart.
    pub(crate) fn new(first: u32) -> Self {
        Self {
            made: first,
            round: 0,
            resting: BTreeMap::new(),
        }
    }

    /// Makes the probes of one round.
    pub(crate) fn round(&mut self, random: &mut Random, wanted: usize) -> Vec<Probe> {
        self.round += 1;
        let oldest = self.round.saturating_sub(REST);
        self.resting.retain(|_, round| *round >= oldest);
        let mut used = BTreeSet::new();
        let mut probes = Vec::new();
        while probes.len() < wanted {
            let Some(probe) = self.probe(random) else {
                continue;
            };
            let pairs = probe.pairs();
            let chosen = probe
                .transport
                .ports()
                .is_some_and(|(source, _)| source < FIRST);
            let clashes = pairs
                .iter()
                .any(|pair| used.contains(pair) || self.resting.contains_key(pair));
            if clashes {
                continue;
            }
            if chosen {
                self.resting
                    .extend(pairs.iter().map(|pair| (*pair, self.round)));
            }
            used.extend(pairs);
            probes.push(probe);
        }
        probes
    }

    /// Makes a probe like another, with new ports where those are of no account.
    pub(crate) fn again(&mut self, probe: &Probe) -> Probe {
        let (token, number) = self.fresh();
        let transport = match probe.transport {
            // The half of the range stays the same, as rules may tell the two apart.
            Transport::Tcp { source, port } => Transport::Tcp {
                source: another(source, number),
                port,
            },
            Transport::Udp { source, port } => Transport::Udp {
                source: another(source, number),
                port,
            },
            Transport::Stray { source, port } => Transport::Stray {
                source: another(source, number),
                port,
            },
            Transport::Icmp { code, .. } => Transport::Icmp { id: number, code },
            same @ (Transport::Raw(_) | Transport::Discovery { .. }) => same,
        };
        Probe {
            transport,
            token,
            ..*probe
        }
    }

    /// Returns a token and a source port that have not been used for long.
    fn fresh(&mut self) -> (u32, u16) {
        self.made = self.made.wrapping_add(1);
        let number = u64::from(self.made) * 7919 % u64::from(COUNT);
        let number = u16::try_from(number).expect("it is below the count");
        (0x1000_0000 + self.made, FIRST + number)
    }

    fn probe(&mut self, random: &mut Random) -> Option<Probe> {
        let site = *random.weighted(&[
            (26, Site::Ext),
            (12, Site::Ext2),
            (26, Site::Host),
            (20, Site::Work0),
            (16, Site::Work1),
        ]);
        let at = |site: Site| -> Vec<Place> {
            PLACES
                .iter()
                .filter(|it| it.site == site)
                .copied()
                .collect()
        };
        let mut from = *random.pick(&at(site));
        let work = matches!(site, Site::Work0 | Site::Work1);
        if work && random.chance(4) {
            from = *random.pick(PLACES);
        }
        let family = *random.pick(&[Family::V4, Family::V6]);
        let translated = random.chance(16);
        let to = if translated {
            *random.pick(&TRANSLATED)
        } else if random.chance(5) {
            *random.weighted(&[(4, FLOATING), (1, METADATA)])
        } else {
            let target = *random.weighted(&[
                (24, Site::Ext),
                (14, Site::Ext2),
                (26, Site::Host),
                (22, Site::Work0),
                (14, Site::Work1),
            ]);
            *random.pick(&at(target))
        };
        let (token, number) = self.fresh();
        let source = if random.chance(12) {
            *random.pick(&[22, 53, 68, 80, 2379])
        } else {
            number
        };
        let port = if translated {
            *random.pick(&[8080, 8081, 8082, 8083, 8084])
        } else {
            *random.weighted(&[
                (30, 80),
                (16, 81),
                (8, 443),
                (7, 22),
                (7, 53),
                (5, 2379),
                (3, 7001),
                (3, 4789),
                (2, 67),
                (3, 8080),
                (3, 8082),
            ])
        };
        let transport = match *random.weighted(&[(46, 0), (26, 1), (14, 2), (8, 3), (3, 4), (3, 5)])
        {
            0 => Transport::Tcp { source, port },
            1 => Transport::Udp { source, port },
            2 => Transport::Icmp {
                id: number,
                code: *random.weighted(&[(4, 0), (1, 1)]),
            },
            3 => Transport::Raw(*random.weighted(&[(5, RAW[0]), (2, RAW[1])])),
            4 => Transport::Stray { source, port },
            _ if family == Family::V4 => return None,
            _ => Transport::Discovery {
                kind: *random.pick(&[130, 131, 132, 133, 134, 135, 136, 143]),
            },
        };
        let probe = Probe {
            site,
            from,
            to,
            family,
            transport,
            token,
        };
        let target = probe.translation().map_or(to, |(place, _)| place);
        // Nobody is there without translation, and what a peer says to itself the host does not hear.
        let lost = to == SERVICE && probe.translation().is_none();
        let unheard = target.site == site && site != Site::Host
            || to.site == site && site != Site::Host && to != SERVICE;
        // Nobody accepts what claims to be from himself.
        let lost = lost || to == METADATA && (family == Family::V6 || site == Site::Host);
        let lost = lost || probe.is_forged() && [to.site, target.site].contains(&from.site);
        (!lost && !unheard && probe.source() != target.address(family)).then_some(probe)
    }
}

/// The first of the source ports that nothing but the probes uses, and how many there are.
const FIRST: u16 = 20_000;
const COUNT: u16 = 40_000;

/// Returns a port for one that need not be the same: of the same half of the range.
fn another(of: u16, port: u16) -> u16 {
    let middle = FIRST + COUNT / 2;
    match (of < FIRST, of < middle, port < middle) {
        (true, _, _) => of,
        (false, true, false) => port - COUNT / 2,
        (false, false, true) => port + COUNT / 2,
        (false, true, true) | (false, false, false) => port,
    }
}
