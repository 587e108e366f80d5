//! Links and addresses as a table, fed with facts and read as changes by name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::net::InterfaceName;

/// A network interface as the rest of the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: InterfaceName,
    /// Whether it is set up and can carry traffic.
    pub up: bool,
    /// The addresses that are its own.
    pub addresses: BTreeSet<IpAddr>,
}

/// What became of an interface, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// It is new, or its state or addresses differ.
    Changed(Link),
    /// There is no interface of this name any more.
    Removed(InterfaceName),
}

/// Whether a link can carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Set up by the administrator and operational.
    Up,
    /// One of the two is missing.
    Down,
}

/// An address of a link, as exactly as the kernel tells addresses apart.
///
/// The kernel accepts one local address several times on a link, with another prefix length or peer:
/// the address is there until the last of them is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// The index of the link.
    pub index: u32,
    /// The address of this end.
    pub local: IpAddr,
    /// The address of the other end, or `local` again where the link is not point to point.
    pub peer: IpAddr,
    /// The length of the prefix in bits.
    pub prefix_length: u8,
}

/// One thing that the kernel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFact {
    /// A link is there, under this name and in this state.
    Link {
        /// Its index, which no rename changes.
        index: u32,
        /// Its name, or none if it is one that we cannot use.
        name: Option<InterfaceName>,
        /// Whether it can carry traffic.
        state: LinkState,
    },
    /// A link is gone, and its addresses with it.
    LinkGone {
        /// Its index.
        index: u32,
    },
    /// An address is there.
    Address(InterfaceAddress),
    /// An address is gone.
    AddressGone(InterfaceAddress),
}

/// The links that there are.
///
/// Facts go in one by one; the changes they amount to since the last call come out of
/// [`take_changes`](Self::take_changes). What a call costs depends on what changed alone.
#[derive(Debug, Default)]
pub struct LinkTable {
    entries: BTreeMap<u32, Entry>,
    /// Which links bear a name. Two can for a moment: while names are swapped, facts about one may be older.
    owners: BTreeMap<InterfaceName, BTreeSet<u32>>,
    published: BTreeMap<InterfaceName, Link>,
    dirty: BTreeSet<InterfaceName>,
    /// Counts the facts, so that of two links with one name the one that was named last is known.
    clock: u64,
}

#[derive(Debug, Default)]
struct Entry {
    /// None while only addresses are known: in a dump these may come before their link.
    link: Option<Named>,
    addresses: BTreeSet<InterfaceAddress>,
}

#[derive(Debug)]
struct Named {
    name: Option<InterfaceName>,
    state: LinkState,
    since: u64,
}

impl LinkTable {
    /// Takes in one fact; a fact that is known already changes nothing.
    pub fn apply(&mut self, fact: LinkFact) {
        match fact {
            LinkFact::Link { index, name, state } => self.set_link(index, name, state),
            LinkFact::LinkGone { index } => {
                if let Some(entry) = self.entries.remove(&index)
                    && let Some(Named {
                        name: Some(name), ..
                    }) = entry.link
                {
                    self.disown(&name, index);
                }
            }
            LinkFact::Address(address) => {
                self.entries
                    .entry(address.index)
                    .or_default()
                    .addresses
                    .insert(address);
                self.mark(address.index);
            }
            LinkFact::AddressGone(address) => {
                if let Some(entry) = self.entries.get_mut(&address.index) {
                    entry.addresses.remove(&address);
                    if entry.link.is_none() && entry.addresses.is_empty() {
                        self.entries.remove(&address.index);
                    }
                }
                self.mark(address.index);
            }
        }
    }

    /// Returns the links that there are, by name.
    pub fn links(&self) -> Vec<Link> {
        self.owners
            .keys()
            .filter_map(|name| self.current(name))
            .collect()
    }

    /// Returns what differs from what this returned before, removals first.
    pub fn take_changes(&mut self) -> Vec<LinkChange> {
        let mut removed = Vec::new();
        let mut changed = Vec::new();
        for name in std::mem::take(&mut self.dirty) {
            match self.current(&name) {
                Some(link) => {
                    if self.published.get(&name) != Some(&link) {
                        self.published.insert(name, link.clone());
                        changed.push(LinkChange::Changed(link));
                    }
                }
                None => {
                    if self.published.remove(&name).is_some() {
                        removed.push(LinkChange::Removed(name));
                    }
                }
            }
        }
        removed.append(&mut changed);
        removed
    }

    /// Takes the place of everything known by `fresh`; the changes are the differences alone.
    pub fn replace(&mut self, fresh: Self) {
        self.entries = fresh.entries;
        self.owners = fresh.owners;
        self.clock = fresh.clock;
        self.dirty = self
            .published
            .keys()
            .chain(self.owners.keys())
            .cloned()
            .collect();
    }

    /// Drops the addresses whose link never came.
    pub fn forget_orphans(&mut self) {
        self.entries.retain(|_, entry| entry.link.is_some());
    }

    fn set_link(&mut self, index: u32, name: Option<InterfaceName>, state: LinkState) {
        self.clock += 1;
        let entry = self.entries.entry(index).or_default();
        let (old, since) = match entry.link.take() {
            Some(link) if link.name == name => (None, link.since),
            Some(link) => (link.name, self.clock),
            None => (None, self.clock),
        };
        entry.link = Some(Named {
            name: name.clone(),
            state,
            since,
        });
        if let Some(old) = old {
            self.disown(&old, index);
        }
        if let Some(name) = name {
            self.owners.entry(name.clone()).or_default().insert(index);
            self.dirty.insert(name);
        }
    }

    fn disown(&mut self, name: &InterfaceName, index: u32) {
        if let Some(owners) = self.owners.get_mut(name) {
            owners.remove(&index);
            if owners.is_empty() {
                self.owners.remove(name);
            }
        }
        self.dirty.insert(name.clone());
    }

    fn mark(&mut self, index: u32) {
        let name = self
            .entries
            .get(&index)
            .and_then(|entry| entry.link.as_ref())
            .and_then(|link| link.name.as_ref());
        if let Some(name) = name {
            self.dirty.insert(name.clone());
        }
    }

    /// Returns the link that bears the name, the one that took it last if there are two.
    fn current(&self, name: &InterfaceName) -> Option<Link> {
        let (link, entry) = self
            .owners
            .get(name)?
            .iter()
            .filter_map(|index| self.entries.get(index))
            .filter_map(|entry| Some((entry.link.as_ref()?, entry)))
            .max_by_key(|(link, _)| link.since)?;
        Some(Link {
            name: name.clone(),
            up: link.state == LinkState::Up,
            addresses: entry
                .addresses
                .iter()
                .map(|address| address.local)
                .collect(),
        })
    }
}

#[cfg(test)]
#[path = "tests/table.rs"]
mod tests;
