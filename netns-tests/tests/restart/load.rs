//! What is under way while the daemon is not: packets of a hundred workloads and of the host.

use std::net::{IpAddr, SocketAddr};

use netns_tests::calls::{self, Call, Calls};
use netns_tests::crowd::{Crowd, address, endpoint};
use netns_tests::flood::Fate;
use netns_tests::resources::{documents, eth0, network_set, policy, policy_for};
use netns_tests::server::{Server, Services};
use netns_tests::topology::World;
use netns_tests::traffic::{self, Stream, Traffic};
use netns_tests::{EXT, Family, HOST0, Namespace};

/// The UDP port that is allowed everywhere.
const ALLOWED: u16 = 7001;
/// The UDP port that is allowed nowhere.
const DENIED: u16 = 7002;
/// The UDP port to which the workloads and the host may not send, but which may send to them.
const INWARD: u16 = 7003;
/// The TCP port that is allowed everywhere.
const OPEN: u16 = 8055;
/// The TCP port that is allowed nowhere.
const SHUT: u16 = 8057;
/// How many lasting connections go each way.
const LASTING: usize = 20;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

const SERVICES: Services = Services {
    tcp: &[OPEN, SHUT],
    udp: &[],
    protocols: &[],
};

/// Is a host with a crowd of workloads and a peer.
pub(crate) struct Site {
    _servers: [Server; 3],
    pub(crate) crowd: Crowd,
    pub(crate) world: World,
}

impl Site {
    pub(crate) fn new(workloads: u16) -> Self {
        let world = World::new();
        let crowd = Crowd::join(&world, workloads);
        let servers = [&world.host, &world.ext, crowd.namespace()]
            .map(|namespace| Server::start(namespace, &[], SERVICES));
        Self {
            _servers: servers,
            crowd,
            world,
        }
    }

    /// Returns the workloads and the policies under which what [`Site::load`] sends fares as it must.
    pub(crate) fn resources(&self) -> String {
        let workloads = self
            .crowd
            .numbers()
            .map(|number| endpoint(number, "group: g0"));
        let workloads: Vec<String> = workloads.collect();
        documents(&workloads) + &Self::policies()
    }

    /// Returns all but the workloads.
    pub(crate) fn policies() -> String {
        let rules = |peer: &str| {
            format!(
                "{{action: Allow, protocol: UDP, {peer}destination: {{ports: [{ALLOWED}]}}}}, \
                 {{action: Allow, protocol: TCP, destination: {{ports: [{OPEN}]}}}}"
            )
        };
        // What a set decides is lost where a set is not there.
        let from = "source: {selector: \"has(friend) || role == 'crowd'\"}, ";
        let inward =
            format!("{{action: Allow, protocol: UDP, destination: {{ports: [{INWARD}]}}}}");
        let spec = format!(
            "types: [Ingress, Egress], ingress: [{}, {inward}], egress: [{}]",
            rules(from),
            rules("")
        );
        documents(&[
            eth0(),
            policy("hosts", 1000, &spec),
            policy_for("role == 'crowd'", "crowd", 1000, &spec),
            network_set(
                "friends",
                "friend: 'yes'",
                &format!(
                    "{}/32, {}/128, {}/32, {}/128",
                    EXT.v4, EXT.v6, HOST0.v4, HOST0.v6
                ),
            ),
        ])
    }

    /// Waits until every workload has its routes.
    pub(crate) fn routed(&self) {
        netns_tests::stage::until("every workload has its routes", || {
            let routes = self.world.routes();
            let to = |number, family| format!("{} dev", address(number, family));
            self.crowd
                .numbers()
                .all(|number| FAMILIES.iter().all(|it| routes.contains(&to(number, *it))))
        });
    }

    /// Begins to send once every workload has its routes.
    pub(crate) fn load(&self) -> Load {
        self.routed();
        let (ext, host) = (&self.world.ext, &self.world.host);
        let pods = self.crowd.namespace();
        let of = |number| move |family| address(number, family);
        let (outside, here) = (|family| EXT.address(family), |family| HOST0.address(family));
        let mut streams = Vec::new();
        for number in self.crowd.numbers() {
            let next = (number + 1) % self.crowd.numbers().end;
            streams.extend(both((ext, &outside), &of(number)));
            streams.extend(both((pods, &of(number)), &outside));
            streams.extend(both((pods, &of(number)), &of(next)));
            if number < 10 {
                streams.extend(both((host, &here), &of(number)).into_iter().take(1));
                streams.extend(answered((ext, &outside), (pods, &of(number))));
            }
        }
        streams.extend(both((ext, &outside), &here));
        streams.extend(both((host, &here), &outside));
        streams.extend(answered((ext, &outside), (host, &here)));
        let listen = [ext, host, pods]
            .iter()
            .flat_map(|namespace| [(*namespace, ALLOWED), (*namespace, DENIED)])
            .collect::<Vec<_>>();
        let traffic = Traffic::start(streams, &listen);
        let lasting: Vec<Call> = self
            .calls(OPEN)
            .into_iter()
            .step_by(4)
            .take(2 * LASTING)
            .collect();
        let calls = Calls::start(&lasting, self.calls(OPEN), self.calls(SHUT));
        Load { traffic, calls }
    }

    /// Returns connections in all directions.
    fn calls(&self, port: u16) -> Vec<Call> {
        let (ext, host, pods) = (&self.world.ext, &self.world.host, self.crowd.namespace());
        let mut calls = Vec::new();
        for number in self.crowd.numbers() {
            let next = (number + 1) % self.crowd.numbers().end;
            for family in FAMILIES {
                let (own, outside, here) = (
                    address(number, family),
                    EXT.address(family),
                    HOST0.address(family),
                );
                let to = |address| SocketAddr::new(address, port);
                calls.extend([
                    Call::new(ext, outside, to(own)),
                    Call::new(pods, own, to(outside)),
                    Call::new(pods, own, to(address(next, family))),
                    Call::new(ext, outside, to(here)),
                    Call::new(host, here, to(outside)),
                ]);
            }
        }
        calls
    }
}

type End<'a> = (&'a Namespace, &'a dyn Fn(Family) -> IpAddr);

/// Streams to the allowed port and to the denied one.
fn both(from: End<'_>, to: &dyn Fn(Family) -> IpAddr) -> [Stream; 4] {
    let ports = [(ALLOWED, Fate::Always), (DENIED, Fate::Never)];
    let [first, second] = ports.map(|(port, fate)| {
        FAMILIES.map(|family| {
            let to = SocketAddr::new(to(family), port);
            Stream::new(from.0, from.1(family), to, fate)
        })
    });
    let ([a, b], [c, d]) = (first, second);
    [a, b, c, d]
}

/// Streams that are allowed because they answer.
fn answered(from: End<'_>, to: End<'_>) -> impl Iterator<Item = Stream> {
    FAMILIES.into_iter().flat_map(move |family| {
        let there = SocketAddr::new(to.1(family), INWARD);
        Stream::pair((from.0, from.1(family)), (to.0, there))
    })
}

/// Is all that is under way.
pub(crate) struct Load {
    traffic: Traffic,
    calls: Calls,
}

impl Load {
    /// Waits until so many more datagrams have arrived.
    pub(crate) fn pass(&self, datagrams: u64) {
        let wanted = self.traffic.arrived() + datagrams;
        netns_tests::stage::until("packets arrive", || self.traffic.arrived() >= wanted);
    }

    /// Ends everything, prints what became of it, and demands that nothing leaked.
    #[track_caller]
    pub(crate) fn finish_tight(self, what: &str) {
        let (packets, calls) = self.end(what);
        assert!(packets.denied > 0 && packets.leaked == 0, "{packets:#?}");
        assert!(calls.denied > 0 && calls.leaked.is_empty(), "{calls:#?}");
    }

    /// Ends everything, prints what became of it, and demands that nothing was lost and nothing leaked.
    #[track_caller]
    pub(crate) fn finish(self, what: &str) {
        let (packets, calls) = self.end(what);
        assert!(
            packets.allowed > 0 && packets.denied > 0,
            "nothing was sent"
        );
        assert!(packets.wrong.is_empty(), "{packets:#?}");
        assert!(
            calls.echoes > 0 && calls.opened > 0 && calls.denied > 0,
            "nothing was tried"
        );
        assert!(
            calls.failed.is_empty() && calls.leaked.is_empty(),
            "{calls:#?}"
        );
    }

    fn end(self, what: &str) -> (traffic::Count, calls::Count) {
        let (packets, calls) = (self.traffic.finish(), self.calls.finish());
        println!(
            "{what}: of {} allowed datagrams {} lost, of {} denied {} leaked; {} lasting connections, {} echoes, the \
             slowest {:?}; {} new connections, {} failed; {} denied, {} leaked",
            packets.allowed,
            packets.lost,
            packets.denied,
            packets.leaked,
            calls.lasting,
            calls.echoes,
            calls.slowest,
            calls.opened,
            calls.failed.len(),
            calls.denied,
            calls.leaked.len(),
        );
        (packets, calls)
    }
}
