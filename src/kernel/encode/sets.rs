//! Sets, verdict maps and their elements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::buffer::{Buffer, Header, TooLong};
use super::consts::attribute::{
    NFTA_DATA_VALUE, NFTA_LIST_ELEM, NFTA_SET_DATA_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DESC,
    NFTA_SET_DESC_SIZE, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY,
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE,
    NFTA_SET_ELEM_USERDATA, NFTA_SET_FLAGS, NFTA_SET_ID, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE,
    NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_SET_USERDATA,
};
use super::consts::{datatype, user_data, value};
use super::exprs::{interface_bytes, verdict};
use crate::net::Family;
use crate::nft::{Element, ElementKey, KeyType, SetName, SetSpec, TableName};

pub(in crate::kernel) const ADDRESS_V4_LENGTH: usize = 4;
pub(in crate::kernel) const ADDRESS_V6_LENGTH: usize = 16;
/// `IFNAMSIZ` of `linux/if.h`.
pub(in crate::kernel) const INTERFACE_LENGTH: usize = 16;
/// The longest key: `NFT_DATA_VALUE_MAXLEN` of `linux/netfilter/nf_tables.h`.
const KEY_MAX: usize = 64;
/// The longest key that an element has: an IPv6 address, a protocol and a port.
const ELEMENT_KEY_MAX: usize = ADDRESS_V6_LENGTH + 4 + 4;
/// Where a list of elements is closed and a new message begun. The length field of a list ends at 65,535; the
/// longest element, an interval with a verdict to a chain of 255 bytes, takes less than what is left.
const LIST_LIMIT: usize = 64_500;
/// Number of fields that the kernel's concatenation type can name: 32 bits of 6 each.
const FIELDS_MAX: usize = 5;

/// Why a set or an element cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetFault {
    /// A key has no field.
    EmptyKey,
    /// A key has more fields, or more bytes, than the kernel takes.
    LongKey,
    /// A set of intervals has a key of several fields.
    IntervalFields,
    /// The element at this place has a key of another type than its set.
    ElementKey(usize),
    /// The element at this place has a verdict where its set has none, or none where it has.
    ElementVerdict(usize),
    /// A list does not fit its message.
    TooLong,
}

/// Returns a length filled up to whole registers.
pub(in crate::kernel) fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Returns the data type of a field and its length in bytes.
pub(in crate::kernel) fn key_type(field: KeyType) -> (u32, usize) {
    match field {
        KeyType::Address(Family::V4) => (datatype::IPADDR, ADDRESS_V4_LENGTH),
        KeyType::Address(Family::V6) => (datatype::IP6ADDR, ADDRESS_V6_LENGTH),
        KeyType::Protocol => (datatype::INET_PROTOCOL, 1),
        KeyType::Port => (datatype::INET_SERVICE, 2),
        KeyType::Interface => (datatype::IFNAME, INTERFACE_LENGTH),
    }
}

/// Returns the data type of a key and its length; a single field is not padded.
pub(in crate::kernel) fn whole_key(fields: &[KeyType]) -> (u32, usize) {
    if let [field] = fields {
        return key_type(*field);
    }
    fields.iter().fold((0, 0), |(kind, length), field| {
        let (next, size) = key_type(*field);
        ((kind << datatype::BITS) | next, length + padded(size))
    })
}

/// Checks what the type of a set's description leaves open.
pub(super) fn check(spec: &SetSpec) -> Result<(), SetFault> {
    if spec.key.is_empty() {
        return Err(SetFault::EmptyKey);
    }
    if spec.key.len() > FIELDS_MAX || whole_key(&spec.key).1 > KEY_MAX {
        return Err(SetFault::LongKey);
    }
    if spec.interval && spec.key.len() > 1 {
        return Err(SetFault::IntervalFields);
    }
    Ok(())
}

/// Writes the attributes of a set without elements. `id` must differ from that of every other set of the batch.
pub(super) fn set(buffer: &mut Buffer, table: &TableName, spec: &SetSpec, id: u32) {
    let (kind, length) = whole_key(&spec.key);
    let mut flags = 0;
    if spec.interval {
        flags |= value::SET_INTERVAL;
    }
    if spec.verdicts {
        flags |= value::SET_MAP;
    }
    buffer.text(NFTA_SET_TABLE, table.as_str());
    buffer.text(NFTA_SET_NAME, spec.name.as_str());
    buffer.be32(NFTA_SET_FLAGS, flags);
    buffer.be32(NFTA_SET_KEY_TYPE, kind);
    buffer.be32(NFTA_SET_KEY_LEN, u32::try_from(length).unwrap_or(u32::MAX));
    if spec.verdicts {
        buffer.be32(NFTA_SET_DATA_TYPE, value::DATA_VERDICT);
        buffer.be32(NFTA_SET_DATA_LEN, 0);
    }
    buffer.be32(NFTA_SET_ID, id);
    if let Some(size) = spec.size {
        buffer.nest(NFTA_SET_DESC, |buffer| {
            buffer.be32(NFTA_SET_DESC_SIZE, size);
        });
    }
    // Without the order of its bytes, `nft` shows an interface name as an empty text. A concatenation has no
    // order of its own.
    match spec.key.as_slice() {
        [KeyType::Interface] => buffer.bytes(NFTA_SET_USERDATA, &user_data::KEY_HOST_ORDER),
        [_] => buffer.bytes(NFTA_SET_USERDATA, &user_data::KEY_NETWORK_ORDER),
        _ => {}
    }
}

/// Writes as many messages as a list of elements needs; `next_header` gives the header of each and is told
/// where the message starts and which element is its first.
pub(super) fn elements(
    buffer: &mut Buffer,
    table: &TableName,
    spec: &SetSpec,
    elements: &[Element],
    mut next_header: impl FnMut(usize, usize) -> Header,
) -> Result<(), SetFault> {
    let mut index = 0;
    while index < elements.len() {
        let header = next_header(buffer.len(), index);
        let mut fault = None;
        let written = buffer.message(header, |buffer| {
            list_head(buffer, table, &spec.name);
            buffer.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |buffer| {
                let start = buffer.len();
                while let Some(next) = elements.get(index) {
                    if buffer.len() - start > LIST_LIMIT {
                        break;
                    }
                    if let Err(problem) = element(buffer, spec, next, index) {
                        fault = Some(problem);
                        break;
                    }
                    index += 1;
                }
            });
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        written.map_err(|TooLong| SetFault::TooLong)?;
    }
    Ok(())
}

/// Writes what names the set that a list of elements is for.
pub(super) fn list_head(buffer: &mut Buffer, table: &TableName, set: &SetName) {
    buffer.text(NFTA_SET_ELEM_LIST_TABLE, table.as_str());
    buffer.text(NFTA_SET_ELEM_LIST_SET, set.as_str());
}

/// Tells how many entries of a list an element takes.
pub(super) fn entries(spec: &SetSpec, element: &Element) -> usize {
    match bounds(spec, &element.key) {
        Some((_, Bound::Before(_))) => 2,
        Some((_, Bound::Point | Bound::Open)) | None => 1,
    }
}

fn element(
    buffer: &mut Buffer,
    spec: &SetSpec,
    element: &Element,
    index: usize,
) -> Result<(), SetFault> {
    let (first, bound) = bounds(spec, &element.key).ok_or(SetFault::ElementKey(index))?;
    if spec.verdicts != element.verdict.is_some() {
        return Err(SetFault::ElementVerdict(index));
    }
    buffer.nest(NFTA_LIST_ELEM, |buffer| {
        key(buffer, &first);
        if let Some(wanted) = &element.verdict {
            buffer.nest(NFTA_SET_ELEM_DATA, |buffer| verdict(buffer, wanted));
        }
        if matches!(bound, Bound::Open) {
            buffer.bytes(NFTA_SET_ELEM_USERDATA, &user_data::ELEM_OPEN_INTERVAL);
        }
    });
    if let Bound::Before(end) = &bound {
        buffer.nest(NFTA_LIST_ELEM, |buffer| {
            buffer.be32(NFTA_SET_ELEM_FLAGS, value::ELEM_INTERVAL_END);
            key(buffer, end);
        });
    }
    Ok(())
}

#[inline]
fn key(buffer: &mut Buffer, key: &KeyBytes) {
    buffer.nest(NFTA_SET_ELEM_KEY, |buffer| {
        buffer.bytes(NFTA_DATA_VALUE, key.as_slice());
    });
}

/// Where an element ends.
enum Bound {
    /// It is a single value.
    Point,
    /// It is an interval that ends before this value.
    Before(KeyBytes),
    /// It is an interval that reaches the last value there is.
    Open,
}

/// A key in the byte order of the kernel.
struct KeyBytes {
    bytes: [u8; ELEMENT_KEY_MAX],
    length: usize,
}

impl KeyBytes {
    fn of(bytes: &[u8]) -> Self {
        let mut key = Self {
            bytes: [0; ELEMENT_KEY_MAX],
            length: 0,
        };
        key.push(bytes);
        key
    }

    /// Appends a field; [`bounds`] makes no key that does not fit.
    fn push(&mut self, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *place = *byte;
        }
        self.length = (self.length + bytes.len()).min(ELEMENT_KEY_MAX);
    }

    /// Fills the last field up to a whole register.
    fn pad(&mut self) {
        self.length = padded(self.length).min(ELEMENT_KEY_MAX);
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Returns the first value of an element and where it ends, or nothing where its key is not of the set's type.
fn bounds(spec: &SetSpec, key: &ElementKey) -> Option<(KeyBytes, Bound)> {
    match (spec.key.as_slice(), key) {
        ([KeyType::Address(family)], ElementKey::Net(net)) if *family == Family::of_net(net) => {
            let first = address_bytes(net.network());
            if !spec.interval {
                let full = net.prefix_len() == net.max_prefix_len();
                return full.then_some((first, Bound::Point));
            }
            let bound = after(net).map_or(Bound::Open, |end| Bound::Before(address_bytes(end)));
            Some((first, bound))
        }
        ([KeyType::Port], ElementKey::Ports(range)) => {
            let first = KeyBytes::of(&range.first().to_be_bytes());
            if !spec.interval {
                return range.is_single().then_some((first, Bound::Point));
            }
            let bound = match range.last().checked_add(1) {
                Some(end) => Bound::Before(KeyBytes::of(&end.to_be_bytes())),
                None => Bound::Open,
            };
            Some((first, bound))
        }
        ([KeyType::Interface], ElementKey::Interface(name)) if !spec.interval => {
            Some((KeyBytes::of(&interface_bytes(name)), Bound::Point))
        }
        (
            [KeyType::Address(family), KeyType::Protocol, KeyType::Port],
            ElementKey::AddressPort(address, protocol, port),
        ) if *family == Family::of_address(*address) && !spec.interval => {
            let mut key = address_bytes(*address);
            key.push(&[protocol.number()]);
            key.pad();
            key.push(&port.to_be_bytes());
            key.pad();
            Some((key, Bound::Point))
        }
        _ => None,
    }
}

fn address_bytes(address: IpAddr) -> KeyBytes {
    match address {
        IpAddr::V4(v4) => KeyBytes::of(&v4.octets()),
        IpAddr::V6(v6) => KeyBytes::of(&v6.octets()),
    }
}

/// Returns the address behind a prefix, where there is one.
fn after(net: &IpNet) -> Option<IpAddr> {
    match net.broadcast() {
        IpAddr::V4(last) => last
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        IpAddr::V6(last) => last
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    }
}
