use super::super::wire::messages;
use super::*;

/// Returns the one message of a datagram with this type, these flags and this payload.
fn read(kind: u16, flags: u16, payload: &[u8]) -> Result<Option<Fact>, Malformed> {
    let length = u32::try_from(16 + payload.len()).expect("a short message");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(payload);
    let message = messages(&bytes).next().expect("a message")?;
    fact(&message)
}

/// Appends an attribute.
fn with(mut payload: Vec<u8>, kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("a short value");
    payload.extend(length.to_ne_bytes());
    payload.extend(kind.to_ne_bytes());
    payload.extend(value);
    payload.resize(payload.len().next_multiple_of(4), 0);
    payload
}

fn link(flags: u32) -> Vec<u8> {
    let mut payload = vec![0, 0, 1, 0];
    payload.extend(7_u32.to_ne_bytes());
    payload.extend(flags.to_ne_bytes());
    payload.extend([0; 4]);
    with(payload, IFLA_IFNAME, b"cali0\0")
}

/// A route to 10.0.0.1/32 through link 7, with this table and type.
fn route(table: u8, kind: u8) -> Vec<u8> {
    let header = vec![AF_INET, 32, 0, 0, table, 3, 253, kind, 0, 0, 0, 0];
    let payload = with(header, RTA_DST, &[10, 0, 0, 1]);
    let payload = with(payload, RTA_OIF, &7_u32.to_ne_bytes());
    with(payload, RTA_PRIORITY, &1024_u32.to_ne_bytes())
}

fn neighbour(state: u16, flags: u8) -> Vec<u8> {
    let mut payload = vec![AF_INET, 0, 0, 0];
    payload.extend(7_u32.to_ne_bytes());
    payload.extend(state.to_ne_bytes());
    payload.extend([flags, 1]);
    with(payload, NDA_DST, &[10, 0, 0, 1])
}

#[test]
fn a_link_is_up_with_a_carrier_alone() {
    for (flags, state) in [
        (IFF_UP | IFF_RUNNING, LinkState::Up),
        (IFF_UP, LinkState::Dormant),
        (IFF_RUNNING, LinkState::Down),
        (0, LinkState::Down),
    ] {
        let name = Some("cali0".parse().expect("a name"));
        let expected = Fact::Link(7, Link { name, state });
        assert_eq!(read(RTM_NEWLINK, 0, &link(flags)), Ok(Some(expected)));
    }
    let gone = Ok(Some(Fact::LinkGone(7)));
    assert_eq!(read(RTM_DELLINK, 0, &link(0)), gone);
    let mut bridge = link(0);
    bridge[0] = 7;
    assert_eq!(read(RTM_DELLINK, 0, &bridge), Ok(None));
}

#[test]
fn a_route_of_the_main_table_is_read_whole() {
    let key = RouteKey {
        destination: "10.0.0.1/32".parse().expect("a prefix"),
        priority: 1024,
        tos: 0,
        index: 7,
    };
    let path = Path {
        protocol: 3,
        scope: 253,
        source: Some(Ipv4Addr::new(192, 0, 2, 1).into()),
        hop: Hop::Gateway,
    };
    let payload = with(route(254, RTN_UNICAST), RTA_PREFSRC, &[192, 0, 2, 1]);
    let payload = with(payload, RTA_GATEWAY, &[192, 0, 2, 9]);
    for (flags, placed) in [(0, Placed::Added), (NLM_F_REPLACE, Placed::Replaced)] {
        let expected = Fact::Route(key, path, placed);
        assert_eq!(read(RTM_NEWROUTE, flags, &payload), Ok(Some(expected)));
    }
    let gone = Ok(Some(Fact::RouteGone(key)));
    assert_eq!(read(RTM_DELROUTE, 0, &payload), gone);
}

#[test]
fn other_routes_are_nobodys_concern() {
    for payload in [
        route(255, RTN_UNICAST),
        route(254, 6),
        with(route(252, RTN_UNICAST), RTA_TABLE, &1000_u32.to_ne_bytes()),
        vec![AF_INET, 0, 0, 0, 254, 3, 0, RTN_UNICAST, 0, 0, 0, 0],
        vec![128, 0, 0, 0, 254, 3, 0, RTN_UNICAST, 0, 0, 0, 0],
    ] {
        assert_eq!(read(RTM_NEWROUTE, 0, &payload), Ok(None), "{payload:?}");
    }
}

#[test]
fn only_permanent_neighbours_count() {
    let address = Ipv4Addr::new(10, 0, 0, 1);
    let permanent = with(neighbour(NUD_PERMANENT, 0), NDA_LLADDR, &[2; 6]);
    let there = Ok(Some(Fact::Neighbour(7, address, [2; 6])));
    let gone = Ok(Some(Fact::NeighbourGone(7, address)));
    assert_eq!(read(RTM_NEWNEIGH, 0, &permanent), there);
    assert_eq!(read(RTM_DELNEIGH, 0, &permanent), gone);
    let stale = with(neighbour(4, 0), NDA_LLADDR, &[2; 6]);
    assert_eq!(read(RTM_NEWNEIGH, 0, &stale), gone);
    let strange = with(neighbour(NUD_PERMANENT, 0), NDA_LLADDR, &[2; 20]);
    assert_eq!(read(RTM_NEWNEIGH, 0, &strange), gone);
    let proxy = neighbour(NUD_PERMANENT, NTF_PROXY);
    assert_eq!(read(RTM_NEWNEIGH, 0, &proxy), Ok(None));
}

#[test]
fn changed_settings_are_those_of_a_link_or_of_the_host() {
    let settings = |index: i32| {
        let payload = with(
            vec![AF_INET, 0, 0, 0],
            NETCONFA_IFINDEX,
            &index.to_ne_bytes(),
        );
        read(RTM_NEWNETCONF, 0, &payload)
    };
    assert_eq!(settings(7), Ok(Some(Fact::Settings(7))));
    assert_eq!(settings(NETCONFA_IFINDEX_ALL), Ok(Some(Fact::HostSettings)));
    assert_eq!(settings(-2), Ok(None));
    assert_eq!(settings(0), Ok(None));
    assert_eq!(read(RTM_NEWNETCONF, 0, &[AF_INET, 0, 0, 0]), Err(Malformed));
}

#[test]
fn no_truncation_is_taken_for_the_truth_or_panics() {
    let messages = [
        (RTM_NEWLINK, link(IFF_UP)),
        (RTM_NEWROUTE, route(254, RTN_UNICAST)),
        (RTM_NEWNEIGH, neighbour(NUD_PERMANENT, 0)),
    ];
    for (kind, payload) in messages {
        for length in 0..payload.len() {
            let _ = read(kind, 0, &payload[..length]);
        }
        assert_eq!(read(kind, 0, &payload[..4]), Err(Malformed));
    }
    let mut long = route(254, RTN_UNICAST);
    long[1] = 33;
    assert_eq!(read(RTM_NEWROUTE, 0, &long), Err(Malformed));
}
