//! Elements of sets: whether they are sound, how two lists differ, and what is remembered of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{Hash, Hasher};

use super::{
    ChainName, Element, ElementFault, ElementKey, KeyType, PlanError, SetName, SetSpec, Verdict,
};
use crate::net::Family;

/// Finds what keeps an element out of a set, other elements aside.
pub(super) fn fault(spec: &SetSpec, element: &Element) -> Option<ElementFault> {
    if !key_fits(spec, &element.key) {
        Some(ElementFault::Type)
    } else if element.verdict.is_some() != spec.verdicts {
        Some(ElementFault::Verdict)
    } else {
        None
    }
}

fn key_fits(spec: &SetSpec, key: &ElementKey) -> bool {
    match (key, spec.key.as_slice()) {
        (ElementKey::Net(net), [KeyType::Address(family)]) => {
            Family::of_net(net) == *family
                && *net == net.trunc()
                && (spec.interval || net.prefix_len() == net.max_prefix_len())
        }
        (
            ElementKey::AddressPort(address, _, _),
            [KeyType::Address(family), KeyType::Protocol, KeyType::Port],
        ) => Family::of_address(*address) == *family && !spec.interval,
        (ElementKey::Ports(range), [KeyType::Port]) => spec.interval || range.is_single(),
        (ElementKey::Interface(_), [KeyType::Interface]) => !spec.interval,
        (
            ElementKey::Net(_)
            | ElementKey::AddressPort(..)
            | ElementKey::Ports(_)
            | ElementKey::Interface(_),
            _,
        ) => false,
    }
}

/// Tells whether two keys hold a common value.
pub(super) fn overlap(one: &ElementKey, other: &ElementKey) -> bool {
    match (one, other) {
        (ElementKey::Net(one), ElementKey::Net(other)) => {
            one.contains(other) || other.contains(one)
        }
        (ElementKey::Ports(one), ElementKey::Ports(other)) => {
            one.first() <= other.last() && other.first() <= one.last()
        }
        (one, other) => one == other,
    }
}

/// Checks that elements can be the whole content of a set.
pub(super) fn check_all(spec: &SetSpec, elements: &[Element]) -> Result<(), PlanError> {
    let mut before: Option<&Element> = None;
    for element in elements {
        let mut found = fault(spec, element);
        if found.is_none()
            && let Some(before) = before
        {
            if before.key >= element.key {
                found = Some(ElementFault::Order);
            } else if spec.interval && overlap(&before.key, &element.key) {
                found = Some(ElementFault::Overlap);
            }
        }
        refuse(&spec.name, element, found)?;
        before = Some(element);
    }
    Ok(())
}

/// Checks that elements can be added to a set, other elements aside.
pub(super) fn check_each(spec: &SetSpec, elements: &[Element]) -> Result<(), PlanError> {
    elements
        .iter()
        .try_for_each(|element| refuse(&spec.name, element, fault(spec, element)))
}

fn refuse(set: &SetName, element: &Element, fault: Option<ElementFault>) -> Result<(), PlanError> {
    fault.map_or(Ok(()), |fault| {
        Err(PlanError::Element {
            set: set.clone(),
            element: element.key.clone(),
            fault,
        })
    })
}

/// How the elements of a set change; removals come first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Difference {
    pub(super) removed: Vec<Element>,
    pub(super) added: Vec<Element>,
}

/// Compares two lists in ascending order.
pub(super) fn difference<'a>(
    old: impl IntoIterator<Item = &'a Element>,
    new: &'a [Element],
) -> Difference {
    let mut result = Difference::default();
    let mut new = new.iter().peekable();
    for before in old {
        while let Some(added) = new.next_if(|after| *after < before) {
            result.added.push(added.clone());
        }
        if new.next_if_eq(&before).is_none() {
            result.removed.push(before.clone());
        }
    }
    result.added.extend(new.cloned());
    result
}

/// A hash of a set's content that follows each change without knowing the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    count: u64,
    sum: u128,
}

impl Digest {
    /// Computes the digest of a whole content.
    pub(super) fn of(elements: &[Element]) -> Self {
        let mut digest = Self::default();
        for element in elements {
            digest.add(element);
        }
        digest
    }

    /// Counts an element in.
    pub(super) fn add(&mut self, element: &Element) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(element));
    }

    /// Counts an element out.
    pub(super) fn remove(&mut self, element: &Element) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(element));
    }
}

fn hash(element: &Element) -> u128 {
    let mut mixer = Mixer::default();
    element.key.hash(&mut mixer);
    u128::from(mixer.left) << 64 | u128::from(mixer.right)
}

/// Two hashes at once, of few words each: a set of a million elements is hashed while its change waits.
#[derive(Default)]
struct Mixer {
    left: u64,
    right: u64,
}

impl Mixer {
    fn word(&mut self, word: u64) {
        // Odd constants without a pattern: digits of pi, and of e.
        self.left = folded(
            self.left ^ word ^ 0x243f_6a88_85a3_08d3,
            0x1319_8a2e_0370_7345,
        );
        self.right = folded(
            self.right ^ word ^ 0xb7e1_5162_8aed_2a6b,
            0xadf8_5458_a2bb_4a9b,
        );
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (place, byte) in word.iter_mut().zip(chunk) {
                *place = *byte;
            }
            self.word(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.word(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.word(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.word(u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn finish(&self) -> u64 {
        self.left ^ self.right
    }
}

/// Multiplies, and joins the halves of the product.
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    let (low, high) = (product & u128::from(u64::MAX), product >> 64);
    u64::try_from(low ^ high).unwrap_or_default()
}

/// The content of a verdict map, with its references to chains counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Verdicts {
    elements: BTreeMap<ElementKey, Verdict>,
    targets: BTreeMap<ChainName, usize>,
}

impl Verdicts {
    /// Takes the elements of a map; one without a verdict is passed over.
    pub(super) fn of(elements: &[Element]) -> Self {
        let mut verdicts = Self::default();
        for element in elements {
            verdicts.set(&element.key, element.verdict.as_ref());
        }
        verdicts
    }

    /// Returns the verdict of a key.
    pub(super) fn get(&self, key: &ElementKey) -> Option<&Verdict> {
        self.elements.get(key)
    }

    /// Returns how many elements lead to a chain.
    pub(super) fn count(&self, chain: &ChainName) -> usize {
        self.targets.get(chain).copied().unwrap_or(0)
    }

    /// Returns the chains that elements lead to.
    pub(super) fn targets(&self) -> impl Iterator<Item = &ChainName> {
        self.targets.keys()
    }

    /// Returns the elements in ascending order.
    pub(super) fn elements(&self) -> Vec<Element> {
        let element = |(key, verdict): (&ElementKey, &Verdict)| Element {
            key: key.clone(),
            verdict: Some(verdict.clone()),
        };
        self.elements.iter().map(element).collect()
    }

    /// Gives a key its verdict, or takes the element away.
    pub(super) fn set(&mut self, key: &ElementKey, verdict: Option<&Verdict>) {
        let old = match verdict {
            Some(verdict) => self.elements.insert(key.clone(), verdict.clone()),
            None => self.elements.remove(key),
        };
        if let Some(chain) = old.as_ref().and_then(Verdict::chain)
            && let Entry::Occupied(mut count) = self.targets.entry(chain.clone())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if let Some(chain) = verdict.and_then(Verdict::chain) {
            *self.targets.entry(chain.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::net::Protocol;

    fn net(text: &str) -> Element {
        Element {
            key: ElementKey::Net(text.parse().unwrap()),
            verdict: None,
        }
    }

    fn spec(interval: bool) -> SetSpec {
        SetSpec {
            name: "s".parse().unwrap(),
            key: vec![KeyType::Address(Family::V4)],
            interval,
            verdicts: false,
            size: None,
        }
    }

    fn check(interval: bool, nets: &[&str]) -> Option<ElementFault> {
        let elements: Vec<_> = nets.iter().map(|text| net(text)).collect();
        match check_all(&spec(interval), &elements) {
            Err(PlanError::Element { fault, .. }) => Some(fault),
            other => {
                assert_eq!(other, Ok(()));
                None
            }
        }
    }

    #[test]
    fn unsound_lists_are_refused() {
        assert_eq!(check(true, &["10.0.0.0/8", "11.0.0.0/8"]), None);
        assert_eq!(
            check(true, &["10.0.0.0/8", "10.1.0.0/16"]),
            Some(ElementFault::Overlap)
        );
        assert_eq!(
            check(true, &["11.0.0.0/8", "10.0.0.0/8"]),
            Some(ElementFault::Order)
        );
        assert_eq!(
            check(false, &["10.0.0.1/32", "10.0.0.1/32"]),
            Some(ElementFault::Order)
        );
        assert_eq!(check(false, &["10.0.0.0/8"]), Some(ElementFault::Type));
        assert_eq!(check(true, &["10.0.0.1/8"]), Some(ElementFault::Type));
        assert_eq!(check(true, &["fe80::/10"]), Some(ElementFault::Type));
        let verdict = Element {
            verdict: Some(Verdict::Drop),
            ..net("10.0.0.1/32")
        };
        assert_eq!(fault(&spec(false), &verdict), Some(ElementFault::Verdict));
    }

    #[test]
    fn elements_that_differ_have_hashes_that_differ_in_either_half() {
        let mut hashes: Vec<u128> = Vec::new();
        for number in 0..40_000_u32 {
            let v4 = std::net::Ipv4Addr::from(number);
            let v6 = std::net::Ipv6Addr::from(u128::from(number) << 64);
            let port = u16::try_from(number).unwrap_or(0);
            let keys = [
                ElementKey::Net(IpNet::new(v4.into(), 32).unwrap()),
                ElementKey::Net(IpNet::new(v4.into(), 24).unwrap()),
                ElementKey::Net(IpNet::new(v6.into(), 128).unwrap()),
                ElementKey::AddressPort(v4.into(), Protocol::TCP, 80),
                ElementKey::AddressPort(v4.into(), Protocol::UDP, port),
            ];
            hashes.extend(keys.map(|key| hash(&Element { key, verdict: None })));
        }
        for half in [0, 64] {
            let mut halves: Vec<u64> = Vec::new();
            for hash in &hashes {
                halves.push(u64::try_from(hash >> half & u128::from(u64::MAX)).unwrap());
            }
            halves.sort_unstable();
            halves.dedup();
            assert_eq!(halves.len(), hashes.len());
        }
    }

    #[test]
    fn a_difference_is_what_leads_from_one_list_to_the_other() {
        let list = |nets: &[&str]| nets.iter().map(|text| net(text)).collect::<Vec<_>>();
        let old = list(&["1.0.0.0/8", "2.0.0.0/8", "4.0.0.0/8"]);
        let new = list(&["0.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8", "5.0.0.0/8"]);
        let found = difference(&old, &new);
        assert_eq!(found.removed, list(&["1.0.0.0/8", "4.0.0.0/8"]));
        assert_eq!(found.added, list(&["0.0.0.0/8", "3.0.0.0/8", "5.0.0.0/8"]));
        let mut digest = Digest::of(&old);
        for element in &found.removed {
            digest.remove(element);
        }
        for element in &found.added {
            digest.add(element);
        }
        assert_eq!(digest, Digest::of(&new));
        assert_ne!(digest, Digest::of(&old));
    }
}
