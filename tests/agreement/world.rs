//! All that is so at one time, in the words of each reading.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tortie::calc::{self, Calc, LinkUpdate};
use tortie::explain::{self, Host};
use tortie::model::{NodeName, Resource, ResourceKey, Update};
use tortie::net::{InterfaceName, Protocol};
use tortie::nft::{Extent, Ruleset};
use tortie::render::{self, Renderer, Splitting};

/// What is configured, as far as it varies.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is drawn at random, and named where it is read"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub reject: bool,
    pub drop_invalid: bool,
    pub to_host: explain::ToHostAction,
    pub openstack: bool,
    pub failsafe: bool,
    pub neighbor_discovery: bool,
    pub counters: bool,
    pub encapsulation: bool,
    pub spoofing: bool,
    pub accepted_mark: bool,
}

/// Resources, interfaces and settings.
#[derive(Debug, Clone)]
pub struct World {
    pub resources: BTreeMap<ResourceKey, Arc<Resource>>,
    pub links: BTreeMap<InterfaceName, BTreeSet<IpAddr>>,
    pub settings: Settings,
}

/// The name of the host.
pub const NODE: &str = "here";
/// Where the metadata service listens.
pub const METADATA: (std::net::Ipv4Addr, u16) = (std::net::Ipv4Addr::new(192, 0, 2, 1), 8775);

fn failsafes(world: &World) -> [Vec<(Protocol, Option<&'static str>, u16)>; 2] {
    if world.settings.failsafe {
        [
            vec![
                (Protocol::TCP, None, 22),
                (Protocol::UDP, Some("192.0.2.0/24"), 80),
            ],
            vec![(Protocol::TCP, None, 443), (Protocol::UDP, None, 53)],
        ]
    } else {
        [Vec::new(), Vec::new()]
    }
}

impl World {
    /// Returns the reading of the description.
    pub fn host(&self) -> Host {
        let set = &self.settings;
        let [inbound, outbound] = failsafes(self).map(|list| {
            list.into_iter()
                .map(|(protocol, net, port)| explain::Failsafe {
                    protocol,
                    net: net.map(|net| net.parse().unwrap()),
                    port,
                })
                .collect()
        });
        let judged = if set.encapsulation {
            explain::FromWorkloads::Judged
        } else {
            explain::FromWorkloads::Denied
        };
        let settings = explain::Settings {
            drop_invalid: set.drop_invalid,
            failsafe_inbound: inbound,
            failsafe_outbound: outbound,
            neighbor_discovery: if set.neighbor_discovery {
                explain::NeighborDiscovery::Allow
            } else {
                explain::NeighborDiscovery::Policy
            },
            to_host: set.to_host,
            openstack: set.openstack.then_some(explain::OpenStack {
                metadata: Some(METADATA),
            }),
            vxlan_from_workloads: judged,
            ipip_from_workloads: judged,
            source_spoofing: if set.spoofing {
                explain::SourceSpoofing::Any
            } else {
                explain::SourceSpoofing::Disabled
            },
            ..explain::Settings::new(NODE)
        };
        Host::new(settings, self.resources.clone(), self.links.clone())
    }

    fn calc(&self) -> calc::Settings {
        calc::Settings {
            node: NodeName::new(NODE),
            interface_prefixes: vec!["cali".to_owned()],
            interface_exclude: Vec::new(),
            spoofed_sources: if self.settings.spoofing {
                calc::SpoofedSources::Allowed
            } else {
                calc::SpoofedSources::Refused
            },
            floating_ips: calc::FloatingIps::OpenStack,
        }
    }

    fn render(&self) -> render::Settings {
        let set = &self.settings;
        let [inbound, outbound] = failsafes(self).map(|list| {
            list.into_iter()
                .map(|(protocol, net, port)| render::Failsafe {
                    protocol,
                    net: net.map(|net| net.parse().unwrap()),
                    port,
                })
                .collect()
        });
        render::Settings {
            ipv6: true,
            workload_prefixes: vec!["cali".parse().unwrap()],
            deny: if set.reject {
                render::DenyAction::Reject
            } else {
                render::DenyAction::Drop
            },
            drop_invalid: set.drop_invalid,
            counters: if set.counters {
                render::PolicyCounters::Enabled
            } else {
                render::PolicyCounters::Disabled
            },
            neighbor_discovery: if set.neighbor_discovery {
                render::NeighborDiscovery::Allow
            } else {
                render::NeighborDiscovery::Policy
            },
            failsafe_inbound: inbound,
            failsafe_outbound: outbound,
            log_prefix: "calico-packet".to_owned(),
            log_limit: None,
            marks: render::Marks::from_mask(0xffff_0000).unwrap(),
            position: render::ChainPosition::Insert,
            allow: if set.accepted_mark {
                render::AllowAction::Accept
            } else {
                render::AllowAction::Return
            },
            to_host: match set.to_host {
                explain::ToHostAction::Drop => render::ToHostAction::Drop,
                explain::ToHostAction::Accept => render::ToHostAction::Accept,
                explain::ToHostAction::Return => render::ToHostAction::Return,
            },
            openstack: set.openstack.then_some(render::OpenStack {
                metadata: Some(METADATA),
            }),
            encapsulation: render::Encapsulation {
                refused_vxlan: (!set.encapsulation).then_some(4789),
                ipip: if set.encapsulation {
                    render::Refused::No
                } else {
                    render::Refused::Yes
                },
            },
            nat: render::NatOutgoing {
                ports: None,
                address: None,
                exclusions: render::NatExclusions::Pools,
                interface: None,
            },
        }
    }
}

/// The ruleset that follows a world through its changes.
pub struct Rendered {
    calc: Calc,
    renderer: Renderer,
    pub ruleset: Ruleset,
}

/// Makes a renderer; every other world is rendered as if its sets were large.
fn renderer(world: &World) -> Renderer {
    let renderer = Renderer::new(world.render());
    if world.resources.len().is_multiple_of(2) {
        return renderer;
    }
    renderer.splitting(Splitting {
        above: 1,
        keep: 1,
        tables: 2,
    })
}

impl Rendered {
    pub fn from_scratch(world: &World) -> Self {
        let mut rendered = Self {
            calc: Calc::new(world.calc()),
            renderer: renderer(world),
            ruleset: Ruleset::default(),
        };
        for (name, addresses) in &world.links {
            rendered.calc.apply_link(LinkUpdate {
                name: name.clone(),
                addresses: Some(addresses.clone()),
            });
        }
        for (key, resource) in &world.resources {
            rendered.calc.apply(Update {
                key: key.clone(),
                value: Some(Arc::clone(resource)),
            });
        }
        rendered.whole();
        rendered
    }

    fn whole(&mut self) {
        let changes = self.calc.take_whole();
        let objects = self.renderer.render(&changes, &self.calc);
        self.ruleset.apply(&objects, Extent::Whole).unwrap();
    }

    /// Goes on from one world to the next.
    pub fn follow(&mut self, before: &World, now: &World) {
        let keys: BTreeSet<_> = before
            .resources
            .keys()
            .chain(now.resources.keys())
            .collect();
        for key in keys {
            let value = now.resources.get(key);
            if before.resources.get(key) != value {
                self.calc.apply(Update {
                    key: key.clone(),
                    value: value.cloned(),
                });
            }
        }
        for (name, addresses) in &now.links {
            self.calc.apply_link(LinkUpdate {
                name: name.clone(),
                addresses: Some(addresses.clone()),
            });
        }
        if before.settings == now.settings {
            let changes = self.calc.take_changes();
            let objects = self.renderer.render(&changes, &self.calc);
            self.ruleset.apply(&objects, Extent::Part).unwrap();
        } else {
            self.calc.set_settings(now.calc());
            self.renderer = renderer(now);
            self.whole();
        }
    }
}
