//! Which interfaces the chains of a table police.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::rule::{self, Does, Interface, Rule};
use super::survey::MOST;
use crate::kernel::decode::{Attributes, Message};
use crate::kernel::encode::consts::attribute::{
    NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_LIST_ELEM, NFTA_RULE_CHAIN, NFTA_RULE_TABLE,
    NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_SET_TABLE,
    NFTA_VERDICT_CHAIN,
};
use crate::kernel::encode::consts::{datatype, message, value};
use crate::kernel::error::KernelError;
use crate::kernel::socket::{Dump, Socket};

/// What Felix calls the interfaces of the endpoint `*` in the names of its chains.
const FELIX_ANY: &str = "any-interface-at-all";
/// Where the kernel lists the interfaces of a network namespace.
const INTERFACES: &str = "/proc/thread-self/net/dev";
/// More than the listing of the most interfaces takes.
const LISTING_MAX: u64 = 64 << 20;

/// Interfaces with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Policed {
    /// Those with an endpoint of their own.
    names: BTreeSet<String>,
    /// Whether all others have one as well.
    others: bool,
}

impl Policed {
    /// Takes in a rule of Felix's, which sends the packets of an interface to a chain of its own.
    pub(super) fn note_felix(&mut self, rule: &Rule<'_>) {
        let Some(target) = rule.target() else {
            return;
        };
        if rule.is_unconditional() {
            self.others |= target.ends_with(FELIX_ANY);
        } else if rule.asks == rule::Asks::Nothing {
            self.names
                .extend(rule.interfaces.iter().filter_map(|interface| {
                    match interface {
                        Interface::Name(name) => Some(text(name)),
                        // What begins so has rules of its own behind this one, if it has an endpoint.
                        Interface::Prefix(_) => None,
                    }
                }));
        }
    }

    /// Takes in a rule of one of our base chains at the input hook: what follows the lookup of an interface is for
    /// all others.
    pub(super) fn note_ours(&mut self, rule: &Rule<'_>) {
        self.others |= rule.is_unconditional() && matches!(rule.does, Does::Goes(_));
    }

    /// Tells whether a rule can be about the packets of an interface with an endpoint.
    pub(super) fn concerns(&self, interface: Interface<'_>) -> bool {
        match interface {
            Interface::Name(name) => self.others || self.names.contains(&text(name)),
            Interface::Prefix(prefix) => {
                let prefix = text(prefix);
                self.others || self.names.iter().any(|name| name.starts_with(&prefix))
            }
        }
    }

    /// Returns what is policed here and not there, of interfaces that exist.
    pub(super) fn without(&self, there: &Self, exist: &BTreeSet<String>) -> Vec<Unpoliced> {
        if there.others {
            return Vec::new();
        }
        let names = self.names.difference(&there.names);
        names
            .filter(|name| exist.contains(*name))
            .cloned()
            .map(Unpoliced::Interface)
            .chain(self.others.then_some(Unpoliced::Others))
            .collect()
    }

    /// Tells whether no interface has an endpoint.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.others
    }

    /// Reads the rules of Felix's chains in a table; tells whether it was not disturbed.
    pub(super) fn read_rules(
        &mut self,
        socket: &mut Socket,
        family: u8,
        table: &str,
        is_felix: impl Fn(&str) -> bool,
    ) -> Result<Dump, KernelError> {
        let dump = socket.dump(
            "the rules of Felix's chains",
            message::GETRULE,
            family,
            |buffer| buffer.text(NFTA_RULE_TABLE, table),
            |message| {
                let attributes = message.attributes();
                if belongs(message, family, NFTA_RULE_TABLE, table)
                    && attributes.text(NFTA_RULE_CHAIN).is_some_and(&is_felix)
                    && self.names.len() <= MOST
                {
                    self.note_felix(&rule::read(attributes));
                }
            },
        )?;
        self.within_bounds(dump)
    }

    /// Reads the maps of a table that lead from interfaces to chains; tells whether it was not disturbed.
    pub(super) fn read_maps(
        &mut self,
        socket: &mut Socket,
        family: u8,
        table: &str,
    ) -> Result<Dump, KernelError> {
        let mut maps = Vec::new();
        let dump = socket.dump(
            "the maps of interfaces",
            message::GETSET,
            family,
            |buffer| buffer.text(NFTA_SET_TABLE, table),
            |message| {
                let attributes = message.attributes();
                if belongs(message, family, NFTA_SET_TABLE, table)
                    && is_interface_map(attributes)
                    && maps.len() < MOST
                {
                    maps.extend(attributes.text(NFTA_SET_NAME).map(ToOwned::to_owned));
                }
            },
        )?;
        if dump == Dump::Interrupted {
            return Ok(dump);
        }
        for map in maps {
            let dump = socket.dump(
                "the elements of a map of interfaces",
                message::GETSETELEM,
                family,
                |buffer| {
                    buffer.text(NFTA_SET_ELEM_LIST_TABLE, table);
                    buffer.text(NFTA_SET_ELEM_LIST_SET, &map);
                },
                |message| {
                    let list = message.attributes().nested(NFTA_SET_ELEM_LIST_ELEMENTS);
                    let elements = list.into_iter().flatten();
                    let names = elements
                        .filter(|(attribute, _)| *attribute == NFTA_LIST_ELEM)
                        .filter_map(|(_, element)| led_on(Attributes(element)));
                    if self.names.len() <= MOST {
                        self.names.extend(names);
                    }
                },
            );
            match dump {
                // It went away since it was listed.
                Err(KernelError::Refused { .. }) | Ok(Dump::Interrupted) => {
                    return Ok(Dump::Interrupted);
                }
                Ok(Dump::Complete) => {}
                Err(error) => return Err(error),
            }
        }
        self.within_bounds(Dump::Complete)
    }

    fn within_bounds(&self, dump: Dump) -> Result<Dump, KernelError> {
        if self.names.len() > MOST {
            return Err(KernelError::TooManyLeftovers { most: MOST });
        }
        Ok(dump)
    }
}

/// What Felix's rules police and ours do not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unpoliced {
    /// An interface.
    Interface(String),
    /// Every interface without an endpoint of its own.
    Others,
}

/// Tells whether an object is of a table.
fn belongs(message: Message<'_>, family: u8, attribute: u16, table: &str) -> bool {
    message.family() == Some(family) && message.attributes().text(attribute) == Some(table)
}

/// Tells whether a set is a map whose keys are interfaces.
fn is_interface_map(set: Attributes<'_>) -> bool {
    let flags = set.be32(NFTA_SET_FLAGS).unwrap_or(0);
    flags & value::SET_MAP != 0 && set.be32(NFTA_SET_KEY_TYPE) == Some(datatype::IFNAME)
}

/// Returns the interface whose packets an element sends to a chain.
fn led_on(element: Attributes<'_>) -> Option<String> {
    element
        .nested(NFTA_SET_ELEM_DATA)?
        .nested(NFTA_DATA_VERDICT)?
        .value(NFTA_VERDICT_CHAIN)?;
    let key = element.nested(NFTA_SET_ELEM_KEY)?.value(NFTA_DATA_VALUE)?;
    Some(text(key.split(|byte| *byte == 0).next()?))
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Lists the interfaces that exist in the network namespace of the calling thread.
pub(super) fn existing() -> Result<BTreeSet<String>, KernelError> {
    let failed = |source| KernelError::Listing {
        path: INTERFACES,
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(Path::new(INTERFACES)).map_err(failed)?;
    let mut file = file.take(LISTING_MAX);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if file.limit() == 0 {
        return Err(KernelError::TooManyLeftovers { most: MOST });
    }
    Ok(listed(&bytes))
}

/// Reads names, each of which ends at a colon, which none may hold.
fn listed(listing: &[u8]) -> BTreeSet<String> {
    let lines = listing.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let end = line.iter().position(|byte| *byte == b':')?;
            Some(text(line.get(..end)?.trim_ascii_start()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policed(names: &[&str], others: bool) -> Policed {
        Policed {
            names: names.iter().copied().map(ToOwned::to_owned).collect(),
            others,
        }
    }

    fn felix(interfaces: &[Interface<'static>], target: &'static str) -> Policed {
        let mut policed = Policed::default();
        policed.note_felix(&Rule {
            interfaces: interfaces.to_vec(),
            family: None,
            asks: rule::Asks::Nothing,
            does: Does::Goes(target),
        });
        policed
    }

    #[test]
    fn a_rule_that_leads_from_an_interface_to_a_chain_polices_it() {
        let eth0 = Interface::Name(b"eth0");
        assert_eq!(felix(&[eth0], "cali-fh-eth0"), policed(&["eth0"], false));
        let many = Interface::Prefix(b"cali");
        assert!(felix(&[many], "cali-from-wl-dispatch").is_empty());
        assert!(felix(&[], "cali-failsafe-in").is_empty());
        assert_eq!(
            felix(&[], "cali-fh-any-interface-at-all"),
            policed(&[], true)
        );
    }

    #[test]
    fn what_exists_and_is_policed_there_alone_is_named() {
        let exist = policed(&["eth0", "eth1", "lo"], false).names;
        let felix = policed(&["eth0", "eth1", "cali0"], false);
        let eth1 = [Unpoliced::Interface("eth1".to_owned())];
        assert_eq!(felix.without(&policed(&["eth0"], false), &exist), eth1);
        assert_eq!(felix.without(&policed(&[], true), &exist), []);
        let all = policed(&["eth0"], true);
        let named = policed(&["eth0", "eth1"], false);
        assert_eq!(all.without(&named, &exist), [Unpoliced::Others]);
    }

    #[test]
    fn rules_for_interfaces_with_an_endpoint_concern_it() {
        let felix = policed(&["eth0"], false);
        for (interface, concerns) in [
            (Interface::Name(b"eth0"), true),
            (Interface::Name(b"docker0"), false),
            (Interface::Prefix(b"eth"), true),
            (Interface::Prefix(b"docker"), false),
        ] {
            assert_eq!(felix.concerns(interface), concerns, "{interface:?}");
        }
        assert!(policed(&[], true).concerns(Interface::Name(b"docker0")));
    }

    #[test]
    fn the_kernels_listing_is_read() {
        let listing = b"Inter-| Receive\n face |bytes\n    lo: 1 2\ncali12:0 0\n\n";
        let names: Vec<String> = listed(listing).into_iter().collect();
        assert_eq!(names, ["cali12", "lo"]);
        assert!(existing().unwrap().contains("lo"));
    }
}
