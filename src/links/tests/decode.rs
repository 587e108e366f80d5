//! The captures are datagrams that a socket in the groups of links and addresses received on Linux 6.18
//! on a little endian machine, with veth pair `va`, `vb` and bridge `br0` in a namespace of their own.

use proptest::prelude::*;

use super::*;

/// `ip link add va type veth peer name vb`: the message of `va` up to `IFLA_MTU`, its length set accordingly.
const NEW_LINK: &str = "\
    4800000010000000 0000000000000000 \
    0000 0100 04000000 02100000 ffffffff \
    0700030076610000 08000d00e8030000 0500100002000000 0500110000000000 08000400dc050000";

/// `ip link set va nomaster`: family 7, `AF_BRIDGE`.
const LEFT_BRIDGE: &str = "\
    5400000011000000 0000000000000000 \
    0700 0100 04000000 02100000 00000000 \
    0700030076610000 08000a0002000000 08000400dc050000 0500100002000000 \
    0a000100e2faf38e7d5b0000 0800050003000000";

/// `ip addr add 10.1.1.1 peer 10.9.9.9/32 dev va`.
const NEW_PEER_ADDRESS: &str = "\
    4c00000014000000 cb0c016be5170000 \
    02208000 04000000 \
    080001000a090909 080002000a010101 0700030076610000 0800080080000000 \
    14000600ffffffffffffffff44dd040044dd0400";

/// `ip link del va`: the first of its messages.
const ADDRESS_GONE: &str = "\
    4800000015000000 0000000000000000 \
    0a40c000 04000000 \
    14000100fd000000000000000000000000000001 \
    14000600ffffffffffffffff62dd040062dd0400 08000800c0000000";

/// Returns the bytes of a capture.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn bodies(datagram: &[u8]) -> Vec<Body> {
    messages(datagram).map(|message| message.body).collect()
}

fn link(state: LinkState, name: &str) -> Body {
    Body::Fact(LinkFact::Link {
        index: 4,
        name: name.parse().ok(),
        state,
    })
}

fn patched(hex: &str, at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes(hex);
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn a_link_is_up_when_it_is_set_up_and_running() {
    let flags = |flags: u32| bodies(&patched(NEW_LINK, 24, &flags.to_le_bytes()));
    assert_eq!(bodies(&bytes(NEW_LINK)), [link(LinkState::Down, "va")]);
    assert_eq!(flags(IFF_UP), [link(LinkState::Down, "va")]);
    assert_eq!(flags(IFF_RUNNING), [link(LinkState::Down, "va")]);
    assert_eq!(
        flags(IFF_UP | IFF_RUNNING | 0x1002),
        [link(LinkState::Up, "va")]
    );
}

#[test]
fn a_link_with_an_unusable_name_has_none() {
    for name in [*b"v a\0", *b"\xff\xfe\0\0", *b"\0\0\0\0", *b"a:1\0"] {
        assert_eq!(
            bodies(&patched(NEW_LINK, 36, &name)),
            [link(LinkState::Down, "")],
            "{name:?}"
        );
    }
}

#[test]
fn a_link_that_ends_is_gone_unless_it_only_left_its_bridge() {
    let gone = patched(NEW_LINK, 4, &RTM_DELLINK.to_le_bytes());
    assert_eq!(bodies(&gone), [Body::Fact(LinkFact::LinkGone { index: 4 })]);
    assert_eq!(bodies(&bytes(LEFT_BRIDGE)), [Body::Other]);
}

#[test]
fn the_local_address_counts_and_not_that_of_the_peer() {
    let address = InterfaceAddress {
        index: 4,
        local: "10.1.1.1".parse().expect("an address"),
        peer: "10.9.9.9".parse().expect("an address"),
        prefix_length: 32,
    };
    assert_eq!(
        bodies(&bytes(NEW_PEER_ADDRESS)),
        [Body::Fact(LinkFact::Address(address))]
    );
}

#[test]
fn an_ipv6_address_has_one_form() {
    let local = "fd00::1".parse().expect("an address");
    let address = InterfaceAddress {
        index: 4,
        local,
        peer: local,
        prefix_length: 64,
    };
    assert_eq!(
        bodies(&bytes(ADDRESS_GONE)),
        [Body::Fact(LinkFact::AddressGone(address))]
    );
}

#[test]
fn a_datagram_holds_several_messages_and_their_marks() {
    let mut datagram = bytes(NEW_PEER_ADDRESS);
    datagram.extend(bytes(LEFT_BRIDGE));
    let interrupted = NLM_F_DUMP_INTR.to_le_bytes();
    datagram.extend([
        20,
        0,
        0,
        0,
        3,
        0,
        interrupted[0],
        interrupted[1],
        9,
        0,
        0,
        0,
        7,
        0,
        0,
        0,
    ]);
    datagram.extend((-16_i32).to_le_bytes());
    let found: Vec<Message> = messages(&datagram).collect();
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].sequence, found[0].port), (0x6b01_0ccb, 0x17e5));
    let end = Message {
        sequence: 9,
        port: 7,
        consistency: Consistency::Interrupted,
        body: Body::End { code: -16 },
    };
    assert_eq!(found[2], end);
}

#[test]
fn what_is_cut_short_is_malformed_and_never_half_believed() {
    for hex in [NEW_LINK, NEW_PEER_ADDRESS, ADDRESS_GONE] {
        let whole = bytes(hex);
        for length in 1..whole.len() {
            assert_eq!(
                bodies(&whole[..length]),
                [Body::Malformed],
                "{length} of {hex}"
            );
        }
    }
    let header_only = patched(NEW_LINK, 0, &20_u32.to_le_bytes());
    assert_eq!(bodies(&header_only[..20]), [Body::Malformed]);
    let without_address = patched(ADDRESS_GONE, 0, &24_u32.to_le_bytes());
    assert_eq!(bodies(&without_address[..24]), [Body::Malformed]);
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..64),
        at in any::<prop::sample::Index>(),
    ) {
        prop_assert!(messages(&noise).count() <= noise.len());
        for hex in [NEW_LINK, NEW_PEER_ADDRESS, ADDRESS_GONE, LEFT_BRIDGE] {
            let mut bytes = bytes(hex);
            let at = at.index(bytes.len());
            bytes.iter_mut().skip(at).zip(&noise).for_each(|(byte, noise)| *byte = *noise);
            prop_assert!(messages(&bytes).count() <= bytes.len());
        }
    }
}
