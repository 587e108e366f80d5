use super::*;

fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, kind, value).expect("a short value");
    bytes
}

fn tuple(source: [u8; 4]) -> Vec<u8> {
    let ip = attribute_of(CTA_IP_V4_SRC, &source);
    attribute_of(CTA_TUPLE_IP | NLA_F_NESTED, &ip)
}

/// Returns a listed connection between two sources, with an id and a zone.
fn listed(original: [u8; 4], reply: [u8; 4]) -> Vec<u8> {
    [
        vec![2, 0, 0, 0],
        attribute_of(CTA_TUPLE_ORIG | NLA_F_NESTED, &tuple(original)),
        attribute_of(CTA_TUPLE_REPLY | NLA_F_NESTED, &tuple(reply)),
        attribute_of(CTA_ID, &[1, 2, 3, 4]),
        attribute_of(CTA_ZONE, &[0, 7]),
    ]
    .concat()
}

fn asked(payload: &[u8], address: [u8; 4]) -> Option<Vec<u8>> {
    let message = Message {
        kind: CT_NEW,
        flags: 0,
        sequence: 1,
        port: 1,
        payload,
    };
    to_delete(&message, &BTreeSet::from([IpAddr::from(address)]))
}

#[test]
fn a_connection_is_deleted_by_tuple_zone_and_id_if_either_source_is_meant() {
    let payload = listed([10, 0, 0, 1], [10, 0, 0, 2]);
    let expected = [
        attribute_of(CTA_TUPLE_ORIG | NLA_F_NESTED, &tuple([10, 0, 0, 1])),
        attribute_of(CTA_ZONE, &[0, 7]),
        attribute_of(CTA_ID, &[1, 2, 3, 4]),
    ]
    .concat();
    assert_eq!(asked(&payload, [10, 0, 0, 1]), Some(expected.clone()));
    assert_eq!(asked(&payload, [10, 0, 0, 2]), Some(expected));
    assert_eq!(asked(&payload, [10, 0, 0, 3]), None);
}

#[test]
fn nothing_is_deleted_without_a_tuple() {
    let reply = attribute_of(CTA_TUPLE_REPLY | NLA_F_NESTED, &tuple([10, 0, 0, 1]));
    let payload = [vec![2, 0, 0, 0], reply.clone()].concat();
    assert_eq!(asked(&payload, [10, 0, 0, 1]), None);
    let empty = attribute_of(CTA_TUPLE_ORIG, &[]);
    let payload = [vec![2, 0, 0, 0], empty, reply].concat();
    assert_eq!(asked(&payload, [10, 0, 0, 1]), None);
    let whole = listed([10, 0, 0, 1], [10, 0, 0, 2]);
    for length in 0..whole.len() {
        if let Some(body) = asked(&whole[..length], [10, 0, 0, 1]) {
            let tuple = attribute(&body, CTA_TUPLE_ORIG);
            assert!(tuple.is_some_and(|tuple| !tuple.is_empty()));
        }
    }
}

#[test]
fn a_request_says_its_length_and_family() {
    let bytes = request(CT_DELETE, 5, 9, Family::V6, &[1, 2, 3, 4]);
    assert_eq!(bytes.len(), 24);
    assert_eq!(bytes[..4], 24_u32.to_ne_bytes());
    assert_eq!(bytes[16..], [10, 0, 0, 0, 1, 2, 3, 4]);
}
