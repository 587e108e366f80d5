//! How a dump and the changes that arrive while it runs become one table.

use std::collections::BTreeSet;

use super::table::{InterfaceAddress, LinkFact, LinkTable};

/// A table in the making.
///
/// The kernel fills a part of a dump, and queues it on the socket, without keeping changes out of the moment
/// between: a change can stand in the queue before a part that does not know it. Every change is announced, so
/// what was announced about a link or address is the truth about it, and the dump counts only for the rest.
/// For the same reason a dump that is repeated adds to what is known and replaces nothing.
#[derive(Debug, Default)]
pub(super) struct Dump {
    table: LinkTable,
    announced_links: BTreeSet<u32>,
    announced_addresses: BTreeSet<InterfaceAddress>,
}

impl Dump {
    /// Takes in what the kernel announced while the dump ran.
    pub(super) fn announced(&mut self, fact: LinkFact) {
        match &fact {
            LinkFact::Link { index, .. } | LinkFact::LinkGone { index } => {
                self.announced_links.insert(*index);
            }
            LinkFact::Address(address) | LinkFact::AddressGone(address) => {
                self.announced_addresses.insert(*address);
            }
        }
        self.table.apply(fact);
    }

    /// Takes in a part of the dump itself.
    pub(super) fn listed(&mut self, fact: LinkFact) {
        let stale = match &fact {
            LinkFact::Link { index, .. } | LinkFact::LinkGone { index } => {
                self.announced_links.contains(index)
            }
            LinkFact::Address(address) | LinkFact::AddressGone(address) => {
                self.announced_addresses.contains(address)
            }
        };
        if !stale {
            self.table.apply(fact);
        }
    }

    /// Returns the table once the dump is complete.
    pub(super) fn finish(mut self) -> LinkTable {
        self.table.forget_orphans();
        self.table
    }
}

#[cfg(test)]
#[path = "tests/dump.rs"]
mod tests;
