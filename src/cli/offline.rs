//! What the daemon would enforce, worked out from the resources of a datastore without asking the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::agent::{Configuration, calc_settings, plans_of_a_start, render_settings};
use crate::calc::{Calc, LinkUpdate};
use crate::config::ConfigProblem;
use crate::datastore::{self, Snapshot, read_directory};
use crate::model::{HostInterface, Problem, Resource, ResourceKey, Update};
use crate::net::InterfaceName;
use crate::nft::{
    Catalog, Elements, Extent, ObjectChanges, PlanError, Plans, Ruleset, ruleset_text,
};
use crate::render::{MarkError, Renderer, table_name};

/// Which interfaces the host is taken to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// Exactly these.
    Exactly(Vec<LinkUpdate>),
    /// These, and those that the host's endpoints name.
    AndNamed(Vec<LinkUpdate>),
    /// Those that the host's endpoints expect, with the addresses that they expect.
    Expected,
}

/// Why it could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The resources cannot be read.
    #[error("read the resources")]
    Read(#[source] datastore::Error),
    /// The daemon would not start.
    #[error("the configuration cannot be used:{}", listed(.0))]
    Configuration(Vec<ConfigProblem>),
    /// The packet mark has too few bits.
    #[error("share out the bits of the packet mark")]
    Marks(#[source] MarkError),
    /// What was rendered is not consistent.
    #[error("put the rendered objects together")]
    Render(#[source] PlanError),
    /// It cannot be compared with what is in the kernel.
    #[error("compare what is wanted with what the kernel holds")]
    Plan(#[source] PlanError),
}

fn listed(problems: &[ConfigProblem]) -> String {
    let lines = problems.iter().map(|p| format!("\n  {}: {p}", p.severity));
    lines.collect()
}

/// What the daemon would enforce, and how that comes about.
#[derive(Debug)]
pub struct Offline {
    /// The configuration, with what the resources say of it.
    pub configuration: Configuration,
    /// The resources in force.
    pub resources: BTreeMap<ResourceKey, Arc<Resource>>,
    /// What is wrong with resources, by place.
    pub problems: Vec<Problem>,
    /// What is wrong with the configuration that resources hold.
    pub config_problems: Vec<ConfigProblem>,
    /// What local endpoints enforce.
    pub calc: Calc,
    /// That, as nftables objects.
    pub objects: ObjectChanges,
}

impl Offline {
    /// Works it out from the resources in a directory.
    ///
    /// # Errors
    /// Fails where the directory cannot be read, or the daemon would not start with the configuration.
    pub fn of_directory(
        directory: &Path,
        configuration: Configuration,
        interfaces: Interfaces,
    ) -> Result<Self, OfflineError> {
        let snapshot = read_directory(directory).map_err(OfflineError::Read)?;
        Self::compute(snapshot, configuration, interfaces)
    }

    /// Works it out from the resources of a datastore.
    ///
    /// # Errors
    /// Fails where the daemon would not start with the configuration.
    pub fn compute(
        snapshot: Snapshot,
        mut configuration: Configuration,
        interfaces: Interfaces,
    ) -> Result<Self, OfflineError> {
        let resources: BTreeMap<_, _> = snapshot.objects.into_iter().collect();
        let updates = || {
            resources.iter().map(|(key, value)| Update {
                key: key.clone(),
                value: Some(Arc::clone(value)),
            })
        };
        for update in updates() {
            configuration.update(&update);
        }
        let (_, config_problems) = configuration.resolve();
        if configuration.resolution().fatal {
            let problems = configuration.resolution().problems.clone();
            return Err(OfflineError::Configuration(problems));
        }
        let config = configuration.config();
        let mut calc = Calc::new(calc_settings(config));
        for link in links(interfaces, &config.hostname, &resources) {
            calc.apply_link(link);
        }
        for update in updates() {
            calc.apply(update);
        }
        let changes = calc.take_whole();
        let render = render_settings(config).map_err(OfflineError::Marks)?;
        let objects = Renderer::new(render).render(&changes, &calc);
        let mut problems = snapshot.problems;
        problems.extend(calc.problems());
        problems.sort();
        problems.dedup();
        Ok(Self {
            configuration,
            resources,
            problems,
            config_problems,
            calc,
            objects,
        })
    }

    /// Returns the transactions of a start that finds this in the kernel.
    ///
    /// # Errors
    /// Fails as [`Offline::compute`] does.
    pub fn plans_beside(&mut self, found: &Catalog) -> Result<Plans, OfflineError> {
        let config = self.configuration.config();
        let render = render_settings(config).map_err(OfflineError::Marks)?;
        let changes = self.calc.take_whole();
        plans_of_a_start(&render, found, &changes, &self.calc).map_err(OfflineError::Plan)
    }

    /// Returns the ruleset.
    ///
    /// # Errors
    /// Fails where what was rendered is not consistent, which is a fault of the program.
    pub fn ruleset(&self) -> Result<Ruleset, OfflineError> {
        let mut ruleset = Ruleset::default();
        ruleset
            .apply(&self.objects, Extent::Whole)
            .map_err(OfflineError::Render)?;
        Ok(ruleset)
    }

    /// Returns the ruleset as `nft` would list it.
    ///
    /// # Errors
    /// Fails as [`Offline::ruleset`] does.
    pub fn text(&self) -> Result<String, OfflineError> {
        Ok(ruleset_text(&table_name(), &self.ruleset()?, Elements::All))
    }
}

/// Returns the ruleset of a host for the resources in a directory, as `nft` would list it.
///
/// Interfaces that endpoints name are taken to exist, beside `links`.
///
/// # Errors
/// Fails as [`Offline::compute`] does.
pub fn render(
    directory: &Path,
    hostname: &str,
    links: Vec<LinkUpdate>,
    mut configuration: Configuration,
) -> Result<String, OfflineError> {
    configuration.set_hostname(hostname);
    Offline::of_directory(directory, configuration, Interfaces::AndNamed(links))?.text()
}

/// Returns the interfaces that the host is taken to have.
pub(super) fn links(
    interfaces: Interfaces,
    hostname: &str,
    resources: &BTreeMap<ResourceKey, Arc<Resource>>,
) -> Vec<LinkUpdate> {
    match interfaces {
        Interfaces::Exactly(links) => links,
        Interfaces::AndNamed(mut links) => {
            let given: BTreeSet<InterfaceName> =
                links.iter().map(|link| link.name.clone()).collect();
            let expected = expected(hostname, resources);
            links.extend(
                expected
                    .named
                    .into_keys()
                    .filter(|name| !given.contains(name))
                    .map(|name| LinkUpdate {
                        name,
                        addresses: Some(BTreeSet::new()),
                    }),
            );
            links
        }
        Interfaces::Expected => {
            let Expected { named, unnamed } = expected(hostname, resources);
            let named = named.into_iter();
            named
                .chain(unnamed)
                .map(|(name, addresses)| LinkUpdate {
                    name,
                    addresses: Some(addresses),
                })
                .collect()
        }
    }
}

/// What the endpoints of a host expect of its interfaces.
struct Expected {
    /// Interfaces by the names that endpoints give.
    named: BTreeMap<InterfaceName, BTreeSet<std::net::IpAddr>>,
    /// Interfaces for addresses that are on none of those, under names that are made up.
    unnamed: BTreeMap<InterfaceName, BTreeSet<std::net::IpAddr>>,
}

fn expected(hostname: &str, resources: &BTreeMap<ResourceKey, Arc<Resource>>) -> Expected {
    let mut expected = Expected {
        named: BTreeMap::new(),
        unnamed: BTreeMap::new(),
    };
    let mut by_address = Vec::new();
    for resource in resources.values() {
        let Resource::HostEndpoint(endpoint) = resource.as_ref() else {
            continue;
        };
        if endpoint.node.as_str() != hostname {
            continue;
        }
        match &endpoint.interface {
            Some(HostInterface::Name(name)) => {
                let addresses = expected.named.entry(name.clone()).or_default();
                addresses.extend(&endpoint.expected_ips);
            }
            Some(HostInterface::Any) => {}
            None => by_address.push(endpoint),
        }
    }
    let mut placed: BTreeSet<_> = expected.named.values().flatten().copied().collect();
    for endpoint in by_address {
        if endpoint.expected_ips.iter().any(|ip| placed.contains(ip)) {
            continue;
        }
        let name = format!("interface{}", expected.unnamed.len() + 1);
        if let Ok(name) = name.parse::<InterfaceName>() {
            placed.extend(&endpoint.expected_ips);
            let addresses = endpoint.expected_ips.iter().copied().collect();
            expected.unnamed.insert(name, addresses);
        }
    }
    expected
}
