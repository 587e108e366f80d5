use super::super::table::LinkState;
use super::*;

fn link(index: u32, name: &str) -> LinkFact {
    LinkFact::Link {
        index,
        name: name.parse().ok(),
        state: LinkState::Up,
    }
}

fn address(index: u32) -> InterfaceAddress {
    let local = "192.0.2.1".parse().expect("a valid address");
    InterfaceAddress {
        index,
        local,
        peer: local,
        prefix_length: 24,
    }
}

fn names(dump: Dump) -> Vec<String> {
    dump.finish()
        .links()
        .iter()
        .map(|link| link.name.to_string())
        .collect()
}

#[test]
fn an_announcement_outweighs_the_dump_on_either_side_of_it() {
    let mut dump = Dump::default();
    dump.announced(link(1, "new"));
    dump.announced(LinkFact::LinkGone { index: 2 });
    dump.listed(link(1, "old"));
    dump.listed(link(2, "gone"));
    dump.listed(link(3, "old3"));
    dump.announced(link(3, "new3"));
    assert_eq!(names(dump), ["new", "new3"]);
}

#[test]
fn an_address_that_was_taken_away_does_not_come_back_with_the_dump() {
    let mut dump = Dump::default();
    dump.listed(link(1, "eth0"));
    dump.announced(LinkFact::AddressGone(address(1)));
    dump.listed(LinkFact::Address(address(1)));
    let links = dump.finish().links();
    assert!(
        links.iter().all(|link| link.addresses.is_empty()),
        "{links:?}"
    );
}

#[test]
fn addresses_without_a_link_are_forgotten() {
    let mut dump = Dump::default();
    dump.listed(LinkFact::Address(address(7)));
    let mut table = dump.finish();
    table.apply(link(7, "later"));
    let links = table.links();
    assert!(
        links.iter().all(|link| link.addresses.is_empty()),
        "{links:?}"
    );
}
