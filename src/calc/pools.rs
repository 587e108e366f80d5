//! The pools of workload addresses and the addresses of hosts, which decide what leaves translated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::changes::NatPools;
use crate::model::{IpPool, ResourceKey};

/// What is stored of pools and hosts.
#[derive(Debug, Default)]
pub(super) struct Pools {
    by_key: BTreeMap<ResourceKey, IpPool>,
    hosts: BTreeMap<ResourceKey, Vec<IpAddr>>,
    changed: bool,
    told: Arc<NatPools>,
}

impl Pools {
    /// Stores a pool, or forgets it.
    pub(super) fn set_pool(&mut self, key: &ResourceKey, pool: Option<&IpPool>) {
        let old = match pool {
            Some(pool) => self.by_key.insert(key.clone(), pool.clone()),
            None => self.by_key.remove(key),
        };
        self.changed |= old.as_ref() != pool;
    }

    /// Stores the addresses of a host, or forgets them.
    pub(super) fn set_host(&mut self, key: &ResourceKey, addresses: Option<&[IpAddr]>) {
        let old = match addresses {
            Some(addresses) => self.hosts.insert(key.clone(), addresses.to_vec()),
            None => self.hosts.remove(key),
        };
        self.changed |= old.as_deref() != addresses;
    }

    /// Returns what holds where it differs from what was told.
    pub(super) fn take(&mut self) -> Option<Arc<NatPools>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let now = Arc::new(self.now());
        (now != self.told).then(|| {
            self.told = Arc::clone(&now);
            now
        })
    }

    /// Returns what holds, as last told.
    pub(super) fn told(&self) -> &Arc<NatPools> {
        &self.told
    }

    fn now(&self) -> NatPools {
        // Of several pools with one CIDR the first by name counts.
        let mut by_net: BTreeMap<IpNet, &IpPool> = BTreeMap::new();
        for pool in self.by_key.values() {
            by_net.entry(pool.cidr).or_insert(pool);
        }
        let masqueraded = by_net.iter().filter(|(_, pool)| pool.nat_outgoing);
        NatPools {
            masqueraded: masqueraded.map(|(net, _)| *net).collect(),
            all: by_net.keys().copied().collect(),
            hosts: self
                .hosts
                .values()
                .flatten()
                .copied()
                .collect::<BTreeSet<_>>(),
        }
    }
}
