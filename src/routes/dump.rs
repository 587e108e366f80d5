//! How dumps and the changes that arrive while they run become one reading.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::observed::{Fact, Observed, RouteKey};
use super::settings::Settings;

/// A reading in the making.
///
/// The kernel fills a part of a dump, and queues it on the socket, without keeping changes out of the moment
/// between: a change can stand in the queue before a part that does not know it. Every change is announced, so
/// what was announced about a thing is the truth about it, and the dump counts only for the rest.
#[derive(Debug, Default)]
pub(super) struct Dump {
    observed: Observed,
    announced: BTreeSet<Thing>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Link(u32),
    Route(RouteKey),
    Neighbour(u32, Ipv4Addr),
}

impl Dump {
    /// Takes in what the kernel announced while the dump ran.
    pub(super) fn announced(&mut self, fact: Fact, settings: &Settings) {
        self.announced.extend(thing(&fact));
        self.observed.apply(fact, settings);
    }

    /// Takes in a part of the dump itself.
    pub(super) fn listed(&mut self, fact: Fact, settings: &Settings) {
        if !thing(&fact).is_some_and(|thing| self.announced.contains(&thing)) {
            self.observed.apply(fact, settings);
        }
    }

    /// Returns the reading once the dump is complete.
    pub(super) fn finish(mut self) -> Observed {
        self.observed.forget_orphans();
        self.observed
    }
}

fn thing(fact: &Fact) -> Option<Thing> {
    match fact {
        Fact::Link(index, _) | Fact::LinkGone(index) => Some(Thing::Link(*index)),
        Fact::Route(key, ..) | Fact::RouteGone(key) => Some(Thing::Route(*key)),
        Fact::Neighbour(index, address, _) | Fact::NeighbourGone(index, address) => {
            Some(Thing::Neighbour(*index, *address))
        }
        Fact::AddressGone(..) | Fact::Settings(_) | Fact::HostSettings => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::observed::{Link, LinkState};
    use super::*;

    fn link(state: LinkState) -> Fact {
        let name = Some("cali0".parse().expect("a name"));
        Fact::Link(7, Link { name, state })
    }

    #[test]
    fn what_was_announced_stands_against_a_listing() {
        let settings = Settings::default();
        let address = Ipv4Addr::new(10, 0, 0, 1);
        let mut dump = Dump::default();
        dump.listed(link(LinkState::Down), &settings);
        dump.announced(link(LinkState::Up), &settings);
        dump.listed(link(LinkState::Down), &settings);
        dump.announced(Fact::NeighbourGone(7, address), &settings);
        dump.listed(Fact::Neighbour(7, address, [2; 6]), &settings);
        dump.listed(Fact::Neighbour(8, address, [2; 6]), &settings);
        let observed = dump.finish();
        assert_eq!(observed.link(7).map(|link| link.state), Some(LinkState::Up));
        assert!(
            observed.neighbours().is_empty(),
            "one is stale, one has no link"
        );
    }
}
