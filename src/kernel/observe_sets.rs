//! Reading back of sets, verdict maps and their elements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::decode::{Attributes, exact};
use super::encode::consts::attribute::{
    NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_SET_DATA_TYPE, NFTA_SET_DESC, NFTA_SET_DESC_SIZE,
    NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_PAD,
    NFTA_SET_ELEM_USERDATA, NFTA_SET_FLAGS, NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE, NFTA_SET_NAME,
    NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};
use super::encode::consts::{datatype, value};
use super::encode::sets::{padded, whole_key};
use crate::net::{Family, PortRange, Protocol, host_net};
use crate::nft::{Element, ElementKey, KeyType, SetSpec, Verdict};

/// What a description of a set says.
pub(super) enum Decoded {
    /// A set or map of a kind that we make.
    Spec(SetSpec),
    /// An anonymous set, which goes with its rule.
    PartOfRule,
    /// A set that only others make.
    Undecodable,
}

/// Reads the description of a set.
pub(super) fn spec(attributes: Attributes<'_>) -> Decoded {
    let flags = attributes.be32(NFTA_SET_FLAGS).unwrap_or(0);
    if flags & value::SET_ANONYMOUS != 0 {
        return Decoded::PartOfRule;
    }
    named_spec(attributes, flags).map_or(Decoded::Undecodable, Decoded::Spec)
}

fn named_spec(attributes: Attributes<'_>, flags: u32) -> Option<SetSpec> {
    let known = value::SET_INTERVAL | value::SET_MAP | value::SET_CONCAT;
    if flags & !known != 0 {
        return None;
    }
    let verdicts = flags & value::SET_MAP != 0;
    let data_type = attributes.be32(NFTA_SET_DATA_TYPE);
    if verdicts != (data_type == Some(value::DATA_VERDICT)) {
        return None;
    }
    let kind = attributes.be32(NFTA_SET_KEY_TYPE)?;
    let length = attributes.be32(NFTA_SET_KEY_LEN)?;
    let key = key_fields(kind)?;
    let (_, expected) = whole_key(&key);
    if usize::try_from(length).ok()? != expected {
        return None;
    }
    let size = attributes
        .nested(NFTA_SET_DESC)
        .and_then(|description| description.be32(NFTA_SET_DESC_SIZE));
    let interval = flags & value::SET_INTERVAL != 0;
    if interval && key.len() > 1 {
        return None;
    }
    Some(SetSpec {
        name: attributes.text(NFTA_SET_NAME)?.parse().ok()?,
        key,
        interval,
        verdicts,
        size: size.filter(|size| *size > 0),
    })
}

/// Reads the fields of a key from its data type, in which the last field has the lowest bits.
fn key_fields(kind: u32) -> Option<Vec<KeyType>> {
    let mut fields = Vec::new();
    let mut rest = kind;
    while rest != 0 {
        fields.push(match rest & ((1 << datatype::BITS) - 1) {
            datatype::IPADDR => KeyType::Address(Family::V4),
            datatype::IP6ADDR => KeyType::Address(Family::V6),
            datatype::INET_PROTOCOL => KeyType::Protocol,
            datatype::INET_SERVICE => KeyType::Port,
            datatype::IFNAME => KeyType::Interface,
            _ => return None,
        });
        rest >>= datatype::BITS;
    }
    fields.reverse();
    (!fields.is_empty()).then_some(fields)
}

/// Collects the elements of one set.
pub(super) struct ElementReader<'a> {
    spec: &'a SetSpec,
    elements: Vec<Element>,
    /// The starts and ends of intervals, as numbers.
    marks: Vec<Mark>,
    undecodable: bool,
}

/// One end of an interval.
struct Mark {
    at: u128,
    kind: MarkKind,
}

enum MarkKind {
    End,
    Start(Option<Verdict>),
}

/// What an entry of a list says.
struct Entry<'a> {
    key: &'a [u8],
    flags: u32,
    verdict: Option<Verdict>,
}

impl<'a> ElementReader<'a> {
    /// Makes a reader for a set.
    pub(super) fn new(spec: &'a SetSpec) -> Self {
        Self {
            spec,
            elements: Vec::new(),
            marks: Vec::new(),
            undecodable: false,
        }
    }

    /// Reads a list of elements.
    pub(super) fn list(&mut self, list: Attributes<'_>) {
        for (_, bytes) in list {
            if self.element(Attributes(bytes)).is_none() {
                self.undecodable = true;
            }
        }
    }

    /// Returns the elements in order; `None` where one of them cannot be one of ours.
    pub(super) fn finish(mut self) -> Option<Vec<Element>> {
        if self.undecodable {
            return None;
        }
        if self.spec.interval {
            self.intervals()?;
        }
        self.elements.sort_unstable();
        Some(self.elements)
    }

    fn element(&mut self, attributes: Attributes<'_>) -> Option<()> {
        let entry = entry(attributes)?;
        let end = entry.flags & value::ELEM_INTERVAL_END != 0;
        if entry.flags & !value::ELEM_INTERVAL_END != 0
            || (self.spec.verdicts && !end) != entry.verdict.is_some()
        {
            return None;
        }
        if self.spec.interval {
            self.marks.push(Mark {
                at: number(entry.key)?,
                kind: if end {
                    MarkKind::End
                } else {
                    MarkKind::Start(entry.verdict)
                },
            });
        } else {
            self.elements.push(Element {
                key: point(&self.spec.key, entry.key)?,
                verdict: entry.verdict,
            });
        }
        Some(())
    }

    /// Pairs starts and ends. An end without a start is the mark that `nft` puts at zero.
    fn intervals(&mut self) -> Option<()> {
        let bits = match self.spec.key.as_slice() {
            [KeyType::Address(family)] => u32::from(family.bits()),
            [KeyType::Port] => 16,
            _ => return None,
        };
        let maximum = u128::MAX >> (128 - bits);
        let mut marks = std::mem::take(&mut self.marks);
        marks.sort_unstable_by_key(|mark| (mark.at, matches!(mark.kind, MarkKind::Start(_))));
        let mut open: Option<(u128, Option<Verdict>)> = None;
        for mark in marks {
            if let Some((first, verdict)) = open.take() {
                let last = mark.at.checked_sub(1)?;
                self.interval(first, last, verdict)?;
            }
            if let MarkKind::Start(verdict) = mark.kind {
                open = Some((mark.at, verdict));
            }
        }
        if let Some((first, verdict)) = open {
            self.interval(first, maximum, verdict)?;
        }
        Some(())
    }

    fn interval(&mut self, first: u128, last: u128, verdict: Option<Verdict>) -> Option<()> {
        let key = match self.spec.key.as_slice() {
            [KeyType::Address(family)] => ElementKey::Net(net(*family, first, last)?),
            [KeyType::Port] => {
                let first = u16::try_from(first).ok()?;
                let last = u16::try_from(last).ok()?;
                ElementKey::Ports(PortRange::new(first, last).ok()?)
            }
            _ => return None,
        };
        self.elements.push(Element { key, verdict });
        Some(())
    }
}

fn entry(attributes: Attributes<'_>) -> Option<Entry<'_>> {
    let mut key = None;
    let mut flags = 0;
    let mut verdict = None;
    for (attribute, value) in attributes {
        match attribute {
            NFTA_SET_ELEM_KEY => key = Attributes(value).value(NFTA_DATA_VALUE),
            NFTA_SET_ELEM_FLAGS => flags = u32::from_be_bytes(exact(value)?),
            NFTA_SET_ELEM_DATA => verdict = Some(self::verdict(Attributes(value))?),
            NFTA_SET_ELEM_USERDATA | NFTA_SET_ELEM_PAD => {}
            // A time to live, a statement or a reference to an object: not an element of ours.
            _ => return None,
        }
    }
    Some(Entry {
        key: key?,
        flags,
        verdict,
    })
}

fn verdict(data: Attributes<'_>) -> Option<Verdict> {
    let verdict = data.nested(NFTA_DATA_VERDICT)?;
    let chain = || verdict.text(NFTA_VERDICT_CHAIN)?.parse().ok();
    match verdict.signed_be32(NFTA_VERDICT_CODE)? {
        value::NF_ACCEPT => Some(Verdict::Accept),
        value::NF_DROP => Some(Verdict::Drop),
        value::NFT_RETURN => Some(Verdict::Return),
        value::NFT_JUMP => chain().map(Verdict::Jump),
        value::NFT_GOTO => chain().map(Verdict::Goto),
        _ => None,
    }
}

/// Reads the key of an element that is no interval.
fn point(fields: &[KeyType], bytes: &[u8]) -> Option<ElementKey> {
    match fields {
        [KeyType::Address(family)] => {
            address(*family, bytes).map(|address| ElementKey::Net(host_net(address)))
        }
        [KeyType::Port] => {
            let port = u16::from_be_bytes(exact(bytes)?);
            Some(ElementKey::Ports(PortRange::single(port)))
        }
        [KeyType::Interface] => {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            let name = std::str::from_utf8(bytes.get(..end)?).ok()?;
            Some(ElementKey::Interface(name.parse().ok()?))
        }
        [KeyType::Address(family), KeyType::Protocol, KeyType::Port] => {
            let length = usize::from(family.bits() / 8);
            let (address_bytes, rest) = bytes.split_at_checked(length)?;
            let (protocol, rest) = rest.split_at_checked(padded(1))?;
            let port = u16::from_be_bytes(exact(rest.get(..2)?)?);
            Some(ElementKey::AddressPort(
                address(*family, address_bytes)?,
                Protocol::new(*protocol.first()?).ok()?,
                port,
            ))
        }
        _ => None,
    }
}

fn address(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => exact::<4>(bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        Family::V6 => exact::<16>(bytes).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
    }
}

/// Reads a key in network order as a number.
fn number(bytes: &[u8]) -> Option<u128> {
    let mut whole = [0; 16];
    let start = whole.len().checked_sub(bytes.len())?;
    whole.get_mut(start..)?.copy_from_slice(bytes);
    Some(u128::from_be_bytes(whole))
}

/// Returns the prefix that holds just the addresses from `first` to `last`.
fn net(family: Family, first: u128, last: u128) -> Option<IpNet> {
    let span = last.checked_sub(first)?;
    // One less than a power of two, and the first address a multiple of that power.
    if span & span.wrapping_add(1) != 0 || first & span != 0 {
        return None;
    }
    let host_bits = u8::try_from(128 - span.leading_zeros()).ok()?;
    let length = family.bits().checked_sub(host_bits)?;
    match family {
        Family::V4 => {
            let address = Ipv4Addr::from_bits(u32::try_from(first).ok()?);
            Ipv4Net::new(address, length).ok().map(IpNet::V4)
        }
        Family::V6 => Ipv6Net::new(Ipv6Addr::from_bits(first), length)
            .ok()
            .map(IpNet::V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_prefixes_only_where_they_are_aligned() {
        let shown = |first, last| net(Family::V4, first, last).map(|net| net.to_string());
        assert_eq!(shown(0, 0xffff_ffff).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(
            shown(0x0a00_0000, 0x0aff_ffff).as_deref(),
            Some("10.0.0.0/8")
        );
        assert_eq!(
            shown(0x0a00_0001, 0x0a00_0001).as_deref(),
            Some("10.0.0.1/32")
        );
        assert_eq!(shown(0x0a00_0001, 0x0a00_0002), None);
        assert_eq!(shown(0, 2), None);
        assert_eq!(shown(1, 0), None);
        assert_eq!(shown(0, u128::MAX), None);
        assert_eq!(
            net(Family::V6, 0, u128::MAX)
                .map(|net| net.to_string())
                .as_deref(),
            Some("::/0")
        );
    }

    #[test]
    fn unknown_fields_make_no_key() {
        assert!(key_fields(0).is_none());
        assert!(key_fields(5).is_none());
        assert!(key_fields(u32::MAX).is_none());
        assert_eq!(key_fields(7).unwrap(), [KeyType::Address(Family::V4)]);
        assert_eq!(
            key_fields(0x830d).unwrap(),
            [
                KeyType::Address(Family::V6),
                KeyType::Protocol,
                KeyType::Port
            ]
        );
    }
}
