//! What is configured, as the daemon and as the evaluator are told.

use std::fmt;
use std::net::IpAddr;

use netns_tests::{Family, Owner};
use serde_json::{Map, Value, json};
use tortie::explain::{
    DenyAction, Failsafe, FloatingAddresses, FromWorkloads, NeighborDiscovery, OpenStack, Settings,
    SourceSpoofing, ToHostAction,
};
use tortie::net::{InterfacePattern, Protocol};

use crate::generate::NODE;
use crate::network::{METADATA_SERVER, Site};
use netns_tests::random::Random;

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

/// The one option that is not Felix's.
const NEIGHBOR_DISCOVERY: &str = "HostEndpointNeighborDiscovery";

/// How the daemon is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// By its environment, once for all.
    Environment,
    /// By a resource, which may change while it runs.
    Datastore,
}

/// What the workloads are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    /// Nothing that needs to be known.
    Other,
    /// `OpenStack` without a metadata service.
    OpenStack,
    /// `OpenStack` with one.
    OpenStackWithMetadata,
}

/// Is a choice of settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    source: Source,
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
    cloud: Cloud,
    floating: FloatingAddresses,
    /// The beginning of the names of workload interfaces.
    prefix: &'static str,
    /// The interface that host endpoints do not own.
    exclude: &'static str,
    ipv6: bool,
    /// What has no effect on the verdict.
    other: Vec<(&'static str, &'static str)>,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner {:?}, by {:?}:", self.owner, self.source)?;
        for (name, value) in self.values() {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl Options {
    /// Chooses.
    pub(crate) fn random(random: &mut Random) -> Self {
        let other = random.some(
            &[
                ("NftablesFilterAllowAction", "RETURN"),
                ("NftablesMangleAllowAction", "RETURN"),
                ("NftablesMarkMask", "0x00f00f00"),
                ("ChainInsertMode", "append"),
            ],
            0,
            2,
        );
        Self {
            source: *random.pick(&[Source::Environment, Source::Datastore]),
            owner: *random.pick(&[Owner::usual(), Owner::Disabled]),
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
            cloud: *random.weighted(&[
                (8, Cloud::Other),
                (1, Cloud::OpenStack),
                (2, Cloud::OpenStackWithMetadata),
            ]),
            floating: *random.pick(&[FloatingAddresses::OpenStackOnly, FloatingAddresses::All]),
            prefix: *random.weighted(&[(12, "cali"), (1, "cali1")]),
            exclude: *random.weighted(&[(12, "kube-ipvs0"), (1, "eth0")]),
            ipv6: random.chance(95),
            other,
        }
    }

    /// Chooses others for the same daemon, where it can be told so.
    pub(crate) fn told_anew(&self, random: &mut Random) -> Self {
        match self.source {
            Source::Environment => self.clone(),
            Source::Datastore => Self {
                source: self.source,
                owner: self.owner,
                ipv6: self.ipv6,
                ..Self::random(random)
            },
        }
    }

    /// Says whether a daemon with these settings can be told others while it runs.
    pub(crate) fn can_become(&self, other: &Self) -> bool {
        self.source == Source::Datastore
            && other.source == Source::Datastore
            && self.owner == other.owner
    }

    /// Says whether a daemon with other settings takes care of other routes.
    pub(crate) fn routes_differ(&self, other: &Self) -> bool {
        (self.prefix, self.ipv6) != (other.prefix, other.ipv6)
    }

    /// Says whether the sources of what comes from a site are checked; elsewhere the kernel has opinions of its own
    /// on forged ones.
    pub(crate) fn checks_sources_of(&self, site: Site) -> bool {
        site.interface().starts_with(self.prefix)
    }

    /// Returns the environment of the daemon.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        // The routes of the network are not the daemon's.
        let always = ("FELIX_REMOVEEXTERNALROUTES".to_owned(), "false".to_owned());
        let variables = match self.source {
            Source::Environment => self.values(),
            Source::Datastore => Vec::new(),
        };
        let variables = variables.into_iter().map(|(name, value)| {
            let prefix = if name == NEIGHBOR_DISCOVERY {
                "TORTIE_"
            } else {
                "FELIX_"
            };
            (format!("{prefix}{}", name.to_uppercase()), value)
        });
        variables.chain([always]).collect()
    }

    /// Returns the resource that tells the daemon, if one does.
    pub(crate) fn document(&self) -> Option<Value> {
        match self.source {
            Source::Environment => None,
            Source::Datastore => {
                let spec: Map<String, Value> = self
                    .values()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), Value::from(value)))
                    .collect();
                Some(json!({
                    "apiVersion": "projectcalico.org/v3",
                    "kind": "FelixConfiguration",
                    "metadata": {"name": "default"},
                    "spec": spec,
                }))
            }
        }
    }

    fn openstack(&self) -> Option<OpenStack> {
        let (place, port) = METADATA_SERVER;
        let address = match place.address(Family::V4) {
            IpAddr::V4(address) => Some((address, port)),
            IpAddr::V6(_) => None,
        };
        match self.cloud {
            Cloud::Other => None,
            Cloud::OpenStack => Some(OpenStack { metadata: None }),
            Cloud::OpenStackWithMetadata => Some(OpenStack { metadata: address }),
        }
    }

    /// Returns the options by name.
    fn values(&self) -> Vec<(&'static str, String)> {
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
        let allowed = |from_workloads: FromWorkloads| match from_workloads {
            FromWorkloads::Denied => "false",
            FromWorkloads::Judged => "true",
        };
        let [inbound, outbound] = self.failsafe;
        let to_host = match self.to_host {
            ToHostAction::Drop => "DROP",
            ToHostAction::Accept => "ACCEPT",
            ToHostAction::Return => "RETURN",
        };
        let deny = match self.deny {
            DenyAction::Drop => "DROP",
            DenyAction::Reject => "REJECT",
        };
        let discovery = match self.neighbor_discovery {
            NeighborDiscovery::Allow => "Allow",
            NeighborDiscovery::Policy => "Policy",
        };
        let spoofing = match self.spoofing {
            SourceSpoofing::Disabled => "Disabled",
            SourceSpoofing::Any => "Any",
        };
        let mut values = vec![
            ("FailsafeInboundHostPorts", text(inbound)),
            ("FailsafeOutboundHostPorts", text(outbound)),
            ("DefaultEndpointToHostAction", to_host.to_owned()),
            ("NftablesFilterDenyAction", deny.to_owned()),
            (
                "DisableConntrackInvalidCheck",
                (!self.drop_invalid).to_string(),
            ),
            (NEIGHBOR_DISCOVERY, discovery.to_owned()),
            (
                "AllowVXLANPacketsFromWorkloads",
                allowed(self.vxlan).to_owned(),
            ),
            (
                "AllowIPIPPacketsFromWorkloads",
                allowed(self.ipip).to_owned(),
            ),
            ("WorkloadSourceSpoofing", spoofing.to_owned()),
            ("InterfacePrefix", self.prefix.to_owned()),
            ("InterfaceExclude", self.exclude.to_owned()),
            ("Ipv6Support", self.ipv6.to_string()),
        ];
        if let Some(openstack) = self.openstack() {
            let (_, port) = METADATA_SERVER;
            let address = openstack.metadata.map(|(address, _)| address.to_string());
            values.push(("ClusterType", "k8s,openstack".to_owned()));
            values.push(("MetadataAddr", address.unwrap_or_else(|| "none".to_owned())));
            values.push(("MetadataPort", port.to_string()));
        }
        let floating = match self.floating {
            FloatingAddresses::OpenStackOnly => "Disabled",
            FloatingAddresses::All => "Enabled",
        };
        values.push(("FloatingIPs", floating.to_owned()));
        let other = self.other.iter();
        values.extend(other.map(|(name, value)| (*name, (*value).to_owned())));
        values
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
            openstack: self.openstack(),
            floating_addresses: self.floating,
            workload_prefixes: vec![self.prefix.to_owned()],
            interface_exclude: vec![InterfacePattern::name(self.exclude)],
            deny: self.deny,
            ..Settings::new(NODE)
        }
    }
}
