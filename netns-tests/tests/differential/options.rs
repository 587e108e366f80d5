//! What is configured, as the daemon and as the evaluator are told.

use netns_tests::Owner;
use tortie::explain::{
    DenyAction, Failsafe, FromWorkloads, NeighborDiscovery, OpenStack, Settings, SourceSpoofing,
    ToHostAction,
};
use tortie::net::{InterfacePattern, Protocol};

use crate::generate::NODE;
use crate::network::Site;
use crate::random::Random;

/// One of the lists of failsafe ports: inbound and outbound.
type Lists = [&'static [(&'static str, Option<&'static str>, u16)]; 2];

/// What the daemon takes where nothing is said.
const DEFAULT: Lists = [
    &[
        ("tcp", None, 22),
        ("udp", None, 68),
        ("tcp", None, 179),
        ("tcp", None, 2379),
        ("tcp", None, 2380),
        ("tcp", None, 5473),
        ("tcp", None, 6443),
        ("tcp", None, 6666),
        ("tcp", None, 6667),
    ],
    &[
        ("udp", None, 53),
        ("udp", None, 67),
        ("tcp", None, 179),
        ("tcp", None, 2379),
        ("tcp", None, 2380),
        ("tcp", None, 4001),
        ("tcp", None, 5473),
        ("tcp", None, 6443),
        ("tcp", None, 6666),
        ("tcp", None, 6667),
        ("tcp", None, 7001),
    ],
];
const NONE: Lists = [&[], &[]];
const SMALL: Lists = [&[("tcp", None, 22)], &[("udp", None, 53)]];
/// Lists by net, with a port that most rules are about and one that is translated.
const BY_NET: Lists = [
    &[
        ("tcp", Some("192.0.2.0/24"), 22),
        ("tcp", Some("2001:db8:2::/64"), 22),
        ("udp", Some("10.65.0.0/16"), 80),
        ("tcp", Some("::/0"), 2379),
        ("tcp", None, 8082),
    ],
    &[
        ("tcp", Some("198.51.100.2/32"), 80),
        ("udp", Some("fd65::/16"), 53),
        ("udp", None, 443),
    ],
];

/// Is a choice of settings.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Whether the table is owned.
    pub(crate) owner: Owner,
    failsafe: Lists,
    to_host: ToHostAction,
    deny: DenyAction,
    drop_invalid: bool,
    neighbor_discovery: NeighborDiscovery,
    vxlan: FromWorkloads,
    ipip: FromWorkloads,
    spoofing: SourceSpoofing,
    openstack: bool,
    /// The beginning of the names of workload interfaces.
    prefix: &'static str,
    /// The interface that host endpoints do not own.
    exclude: &'static str,
    ipv6: bool,
    /// What has no effect on the verdict.
    other: Vec<(&'static str, &'static str)>,
}

impl Options {
    /// Chooses.
    pub(crate) fn random(random: &mut Random) -> Self {
        let other = random.some(
            &[
                ("FELIX_NFTABLESFILTERALLOWACTION", "RETURN"),
                ("FELIX_NFTABLESMANGLEALLOWACTION", "RETURN"),
                ("FELIX_NFTABLESMARKMASK", "0x00f00f00"),
            ],
            0,
            2,
        );
        Self {
            owner: *random.pick(&[Owner::Enabled, Owner::Disabled]),
            failsafe: *random.weighted(&[(4, SMALL), (2, DEFAULT), (1, NONE), (3, BY_NET)]),
            to_host: *random.pick(&[
                ToHostAction::Drop,
                ToHostAction::Accept,
                ToHostAction::Return,
            ]),
            deny: *random.weighted(&[(2, DenyAction::Drop), (1, DenyAction::Reject)]),
            drop_invalid: random.chance(70),
            neighbor_discovery: *random
                .pick(&[NeighborDiscovery::Allow, NeighborDiscovery::Policy]),
            vxlan: *random.pick(&[FromWorkloads::Denied, FromWorkloads::Judged]),
            ipip: *random.pick(&[FromWorkloads::Denied, FromWorkloads::Judged]),
            spoofing: *random.pick(&[SourceSpoofing::Disabled, SourceSpoofing::Any]),
            openstack: random.chance(20),
            prefix: *random.weighted(&[(12, "cali"), (1, "cali1")]),
            exclude: *random.weighted(&[(12, "kube-ipvs0"), (1, "eth0")]),
            ipv6: random.chance(95),
            other,
        }
    }

    /// Says whether a daemon with other settings would take care of other routes.
    pub(crate) fn routes_differ(&self, other: &Self) -> bool {
        (self.prefix, self.ipv6) != (other.prefix, other.ipv6)
    }

    /// Says whether the sources of what comes from a site are checked; elsewhere the kernel has opinions of its own
    /// on forged ones.
    pub(crate) fn checks_sources_of(&self, site: Site) -> bool {
        site.interface().starts_with(self.prefix)
    }

    /// Returns the environment of the daemon.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |list: &[(&str, Option<&str>, u16)]| {
            if list.is_empty() {
                return "none".to_owned();
            }
            let entries: Vec<String> = list
                .iter()
                .map(|(protocol, net, port)| match net {
                    Some(net) => format!("{protocol}:[{net}]:{port}"),
                    None => format!("{protocol}:{port}"),
                })
                .collect();
            entries.join(",")
        };
        let [inbound, outbound] = self.failsafe;
        let mut variables = vec![
            ("FELIX_FAILSAFEINBOUNDHOSTPORTS", text(inbound)),
            ("FELIX_FAILSAFEOUTBOUNDHOSTPORTS", text(outbound)),
            (
                "FELIX_DEFAULTENDPOINTTOHOSTACTION",
                match self.to_host {
                    ToHostAction::Drop => "DROP",
                    ToHostAction::Accept => "ACCEPT",
                    ToHostAction::Return => "RETURN",
                }
                .to_owned(),
            ),
            (
                "FELIX_NFTABLESFILTERDENYACTION",
                match self.deny {
                    DenyAction::Drop => "DROP",
                    DenyAction::Reject => "REJECT",
                }
                .to_owned(),
            ),
            (
                "FELIX_DISABLECONNTRACKINVALIDCHECK",
                (!self.drop_invalid).to_string(),
            ),
            (
                "TORTIE_HOSTENDPOINTNEIGHBORDISCOVERY",
                match self.neighbor_discovery {
                    NeighborDiscovery::Allow => "Allow",
                    NeighborDiscovery::Policy => "Policy",
                }
                .to_owned(),
            ),
            (
                "FELIX_ALLOWVXLANPACKETSFROMWORKLOADS",
                match self.vxlan {
                    FromWorkloads::Denied => "false",
                    FromWorkloads::Judged => "true",
                }
                .to_owned(),
            ),
            (
                "FELIX_ALLOWIPIPPACKETSFROMWORKLOADS",
                match self.ipip {
                    FromWorkloads::Denied => "false",
                    FromWorkloads::Judged => "true",
                }
                .to_owned(),
            ),
            (
                "FELIX_WORKLOADSOURCESPOOFING",
                match self.spoofing {
                    SourceSpoofing::Disabled => "Disabled",
                    SourceSpoofing::Any => "Any",
                }
                .to_owned(),
            ),
            ("FELIX_INTERFACEPREFIX", self.prefix.to_owned()),
            ("FELIX_INTERFACEEXCLUDE", self.exclude.to_owned()),
            ("FELIX_IPV6SUPPORT", self.ipv6.to_string()),
            // The routes of the network are not the daemon's.
            ("FELIX_REMOVEEXTERNALROUTES", "false".to_owned()),
        ];
        if self.openstack {
            variables.push(("FELIX_CLUSTERTYPE", "k8s,openstack".to_owned()));
            variables.push(("FELIX_METADATAADDR", "none".to_owned()));
        }
        variables.extend(
            self.other
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        variables
    }

    /// Returns the same for the evaluator.
    pub(crate) fn settings(&self) -> Settings {
        let list = |list: &[(&str, Option<&str>, u16)]| {
            list.iter()
                .map(|(protocol, net, port)| Failsafe {
                    protocol: match *protocol {
                        "tcp" => Protocol::TCP,
                        _ => Protocol::UDP,
                    },
                    net: net.map(|net| net.parse().expect("a net of this file")),
                    port: *port,
                })
                .collect()
        };
        let [inbound, outbound] = self.failsafe;
        Settings {
            ipv6: self.ipv6,
            drop_invalid: self.drop_invalid,
            failsafe_inbound: list(inbound),
            failsafe_outbound: list(outbound),
            neighbor_discovery: self.neighbor_discovery,
            to_host: self.to_host,
            vxlan_from_workloads: self.vxlan,
            ipip_from_workloads: self.ipip,
            source_spoofing: self.spoofing,
            openstack: self.openstack.then_some(OpenStack { metadata: None }),
            workload_prefixes: vec![self.prefix.to_owned()],
            interface_exclude: vec![InterfacePattern::name(self.exclude)],
            deny: self.deny,
            ..Settings::new(NODE)
        }
    }
}
