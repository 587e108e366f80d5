use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> InterfaceName {
    text.parse().expect("a valid name")
}

fn link(index: u32, text: &str, state: LinkState) -> LinkFact {
    LinkFact::Link {
        index,
        name: text.parse().ok(),
        state,
    }
}

fn address(index: u32, local: &str, prefix_length: u8) -> InterfaceAddress {
    let local = local.parse().expect("a valid address");
    InterfaceAddress {
        index,
        local,
        peer: local,
        prefix_length,
    }
}

fn seen(text: &str, up: bool, addresses: &[&str]) -> Link {
    let addresses = addresses
        .iter()
        .map(|text| text.parse().expect("a valid address"))
        .collect();
    Link {
        name: name(text),
        up,
        addresses,
    }
}

fn changed(text: &str, up: bool, addresses: &[&str]) -> LinkChange {
    LinkChange::Changed(seen(text, up, addresses))
}

fn table(facts: impl IntoIterator<Item = LinkFact>) -> LinkTable {
    let mut table = LinkTable::default();
    facts.into_iter().for_each(|fact| table.apply(fact));
    table.take_changes();
    table
}

#[test]
fn a_link_comes_up_gets_an_address_and_goes() {
    let mut table = table([]);
    table.apply(link(7, "eth0", LinkState::Down));
    assert_eq!(table.take_changes(), [changed("eth0", false, &[])]);
    table.apply(link(7, "eth0", LinkState::Up));
    table.apply(LinkFact::Address(address(7, "10.0.0.1", 24)));
    table.apply(LinkFact::Address(address(7, "fd00::1", 64)));
    assert_eq!(
        table.take_changes(),
        [changed("eth0", true, &["10.0.0.1", "fd00::1"])]
    );
    table.apply(LinkFact::LinkGone { index: 7 });
    assert_eq!(table.take_changes(), [LinkChange::Removed(name("eth0"))]);
    assert_eq!(table.links(), []);
}

#[test]
fn what_changes_nothing_is_not_told() {
    let mut table = table([link(7, "eth0", LinkState::Up)]);
    table.apply(link(7, "eth0", LinkState::Down));
    table.apply(link(7, "eth0", LinkState::Up));
    table.apply(LinkFact::Address(address(7, "10.0.0.1", 24)));
    table.apply(LinkFact::AddressGone(address(7, "10.0.0.1", 24)));
    table.apply(LinkFact::LinkGone { index: 8 });
    assert_eq!(table.take_changes(), []);
}

#[test]
fn a_rename_is_a_removal_and_a_change() {
    let mut table = table([
        link(7, "eth0", LinkState::Up),
        LinkFact::Address(address(7, "10.0.0.1", 24)),
    ]);
    table.apply(link(7, "wan", LinkState::Up));
    let expected = [
        LinkChange::Removed(name("eth0")),
        changed("wan", true, &["10.0.0.1"]),
    ];
    assert_eq!(table.take_changes(), expected);
}

#[test]
fn links_that_swap_names_are_both_kept() {
    let mut table = table([
        link(1, "a", LinkState::Up),
        link(2, "b", LinkState::Up),
        LinkFact::Address(address(1, "10.0.0.1", 24)),
        LinkFact::Address(address(2, "10.0.0.2", 24)),
    ]);
    table.apply(link(1, "b", LinkState::Up));
    assert_eq!(table.links(), [seen("b", true, &["10.0.0.1"])]);
    table.apply(link(2, "a", LinkState::Up));
    let expected = [
        changed("a", true, &["10.0.0.2"]),
        changed("b", true, &["10.0.0.1"]),
    ];
    assert_eq!(table.take_changes(), expected);
}

#[test]
fn the_link_that_took_a_name_last_bears_it_and_gives_it_back() {
    let mut table = table([link(1, "a", LinkState::Up), link(2, "a", LinkState::Down)]);
    table.apply(link(1, "a", LinkState::Up));
    assert_eq!(table.links(), [seen("a", false, &[])]);
    table.apply(LinkFact::LinkGone { index: 2 });
    assert_eq!(table.take_changes(), [changed("a", true, &[])]);
}

#[test]
fn an_address_stays_until_the_last_of_its_prefixes_and_peers_is_gone() {
    let mut to_peer = address(7, "10.0.0.1", 32);
    to_peer.peer = "10.0.0.9".parse().expect("a valid address");
    let mut table = table([
        link(7, "eth0", LinkState::Up),
        LinkFact::Address(address(7, "10.0.0.1", 24)),
        LinkFact::Address(address(7, "10.0.0.1", 32)),
        LinkFact::Address(to_peer),
    ]);
    table.apply(LinkFact::AddressGone(address(7, "10.0.0.1", 24)));
    table.apply(LinkFact::AddressGone(address(7, "10.0.0.1", 32)));
    assert_eq!(table.take_changes(), []);
    table.apply(LinkFact::AddressGone(to_peer));
    assert_eq!(table.take_changes(), [changed("eth0", true, &[])]);
}

#[test]
fn a_link_without_a_usable_name_is_silent_until_it_is_renamed() {
    let mut table = table([
        link(7, "no spaces", LinkState::Up),
        LinkFact::Address(address(7, "10.0.0.1", 24)),
    ]);
    assert_eq!(table.links(), []);
    table.apply(link(7, "good", LinkState::Up));
    assert_eq!(table.take_changes(), [changed("good", true, &["10.0.0.1"])]);
    table.apply(link(7, "bad name", LinkState::Up));
    assert_eq!(table.take_changes(), [LinkChange::Removed(name("good"))]);
}

#[test]
fn a_fresh_table_is_told_as_differences_alone() {
    let mut old = table([
        link(1, "stays", LinkState::Up),
        link(2, "goes", LinkState::Up),
        link(3, "changes", LinkState::Up),
    ]);
    old.replace(table([
        link(9, "stays", LinkState::Up),
        link(3, "changes", LinkState::Down),
        link(4, "comes", LinkState::Down),
    ]));
    let expected = [
        LinkChange::Removed(name("goes")),
        changed("changes", false, &[]),
        changed("comes", false, &[]),
    ];
    assert_eq!(old.take_changes(), expected);
    assert_eq!(old.take_changes(), []);
}

fn fact() -> impl Strategy<Value = LinkFact> {
    let index = 1_u32..5;
    let state = prop_oneof![Just(LinkState::Up), Just(LinkState::Down)];
    let text = prop_oneof![
        Just("a"),
        Just("b"),
        Just("c"),
        Just("d"),
        Just("not valid")
    ];
    let one = (index.clone(), 1_u8..3, 24_u8..26)
        .prop_map(|(index, host, length)| address(index, &format!("10.0.0.{host}"), length));
    prop_oneof![
        4 => (index.clone(), text, state).prop_map(|(index, text, state)| link(index, text, state)),
        1 => index.prop_map(|index| LinkFact::LinkGone { index }),
        3 => one.clone().prop_map(LinkFact::Address),
        2 => one.prop_map(LinkFact::AddressGone),
    ]
}

/// What a kernel would list, which refuses a name that is taken and an address without a link.
#[derive(Debug, Default)]
struct Kernel {
    links: BTreeMap<u32, (Option<InterfaceName>, LinkState)>,
    addresses: BTreeSet<InterfaceAddress>,
}

impl Kernel {
    /// Does what a fact says if the kernel would let it.
    fn accepts(&mut self, fact: &LinkFact) -> bool {
        match fact {
            LinkFact::Link { index, name, state } => {
                let taken = name.is_some()
                    && self
                        .links
                        .iter()
                        .any(|(other, (n, _))| other != index && n == name);
                if !taken {
                    self.links.insert(*index, (name.clone(), *state));
                }
                !taken
            }
            LinkFact::LinkGone { index } => {
                self.addresses.retain(|address| address.index != *index);
                self.links.remove(index).is_some()
            }
            LinkFact::Address(address) => {
                self.links.contains_key(&address.index) && self.addresses.insert(*address)
            }
            LinkFact::AddressGone(address) => self.addresses.remove(address),
        }
    }

    fn dump(&self) -> Vec<LinkFact> {
        let links = self
            .links
            .iter()
            .map(|(index, (name, state))| LinkFact::Link {
                index: *index,
                name: name.clone(),
                state: *state,
            });
        links
            .chain(self.addresses.iter().copied().map(LinkFact::Address))
            .collect()
    }
}

fn fold(told: &mut BTreeMap<InterfaceName, Link>, changes: Vec<LinkChange>) {
    for change in changes {
        match change {
            LinkChange::Changed(link) => drop(told.insert(link.name.clone(), link)),
            LinkChange::Removed(name) => drop(told.remove(&name)),
        }
    }
}

proptest! {
    #[test]
    fn following_ends_where_a_dump_would(facts in prop::collection::vec((fact(), any::<bool>()), 0..60)) {
        let (mut kernel, mut table, mut told) =
            (Kernel::default(), LinkTable::default(), BTreeMap::new());
        for (fact, take) in facts {
            if kernel.accepts(&fact) {
                table.apply(fact);
            }
            if take {
                fold(&mut told, table.take_changes());
            }
        }
        fold(&mut told, table.take_changes());
        let fresh = self::table(kernel.dump()).links();
        prop_assert_eq!(&table.links(), &fresh);
        prop_assert_eq!(told.into_values().collect::<Vec<_>>(), fresh);
    }

    #[test]
    fn any_facts_at_all_leave_the_changes_in_step_with_the_links(
        before in prop::collection::vec(fact(), 0..30),
        after in prop::collection::vec(fact(), 0..30),
    ) {
        let (mut table, mut told) = (LinkTable::default(), BTreeMap::new());
        for fact in before {
            table.apply(fact);
        }
        fold(&mut told, table.take_changes());
        let mut fresh = LinkTable::default();
        for fact in after {
            fresh.apply(fact);
        }
        table.replace(fresh);
        fold(&mut told, table.take_changes());
        prop_assert_eq!(told.into_values().collect::<Vec<_>>(), table.links());
    }

    #[test]
    fn a_dump_raced_by_changes_ends_where_the_kernel_is(
        before in prop::collection::vec(fact(), 0..20),
        during in prop::collection::vec(fact(), 0..20),
        position in any::<prop::sample::Index>(),
        delay in 0_usize..6,
    ) {
        use crate::links::dump::Dump;

        let mut kernel = Kernel::default();
        for fact in &before {
            kernel.accepts(fact);
        }
        // The kernel fills the dump at one moment and queues it some announcements later.
        let filled = position.index(during.len() + 1);
        let (mut dump, mut listed) = (Dump::default(), None);
        for at in 0..=during.len() + delay {
            if at == filled {
                listed = Some(kernel.dump());
            }
            if at == filled + delay {
                listed.take().into_iter().flatten().for_each(|fact| dump.listed(fact));
            }
            if let Some(fact) = during.get(at) && kernel.accepts(fact) {
                if let LinkFact::LinkGone { index } = fact {
                    // The kernel announces the end of each address before that of the link.
                    for host in 1..3 {
                        for length in 24..26 {
                            let gone = address(*index, &format!("10.0.0.{host}"), length);
                            dump.announced(LinkFact::AddressGone(gone));
                        }
                    }
                }
                dump.announced(fact.clone());
            }
        }
        prop_assert_eq!(dump.finish().links(), self::table(kernel.dump()).links());
    }
}
