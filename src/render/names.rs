//! Every name of a chain, set, map or counter is made here.

use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::counters::{Counted, Decision};
use super::layout::{Path, Place};
use crate::calc::{EndpointId, PolicyId, SetId};
use crate::model::{Direction, Form, ProfileId, ResourceKey, TierName};
use crate::net::{Family, InterfaceName};
use crate::nft::{ChainName, CounterName, SetName};

/// How much of a readable text a name keeps where it also carries a hash.
const READABLE: usize = 48;
/// How long a name may be that is made of an object's own name; the kernel's limit is 255.
const LONGEST: usize = 200;

/// How many hexadecimal digits of a hash a name carries: two objects of one name would be one object to the
/// kernel, so that whoever may write policies must not be able to search for two texts of one hash.
const HASH_DIGITS: usize = 32;

/// Returns the first [`HASH_DIGITS`] hexadecimal digits of a hash of `text`.
fn hash_of(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hash = String::with_capacity(HASH_DIGITS);
    for byte in digest.iter().take(HASH_DIGITS / 2) {
        // Writing to a `String` cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Tells whether a text ends as a name does that carries a hash.
fn seems_hashed(text: &str) -> bool {
    let hash = text.rsplit_once("--").map_or("", |(_, hash)| hash);
    hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Joins a prefix and an object's own name; what `nft` cannot read is replaced, and a hash then keeps
/// different names different, also from one that its author has given the form of such a name.
fn fitted(prefix: &str, text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if text.len() <= LONGEST && text.chars().all(legal) && !seems_hashed(text) {
        return format!("{prefix}{text}");
    }
    let kept: String = text
        .chars()
        .take(READABLE)
        .map(|c| if legal(c) { c } else { '_' })
        .collect();
    format!("{prefix}{kept}--{}", hash_of(text))
}

/// Makes the readable part of a name from any text: runs of other characters become one `-`.
fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(READABLE);
    for c in text.chars() {
        if slug.len() >= READABLE {
            break;
        }
        if c.is_ascii_alphanumeric() || c == '.' || c == '/' {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches(['-', '.']).len());
    slug
}

/// Turns a text that this file has made into a chain's name.
#[expect(
    clippy::expect_used,
    reason = "every text made here begins with a letter and is fitted"
)]
pub(super) fn chain(text: &str) -> ChainName {
    text.parse()
        .expect("a name made in `names` is one that nft accepts")
}

/// Turns a text that this file has made into a set's name.
#[expect(
    clippy::expect_used,
    reason = "every text made here begins with a letter and is fitted"
)]
pub(super) fn set(text: &str) -> SetName {
    text.parse()
        .expect("a name made in `names` is one that nft accepts")
}

/// Turns a text that this file has made into a counter's name.
#[expect(
    clippy::expect_used,
    reason = "every text made here begins with a letter and is fitted"
)]
fn counter_name(text: &str) -> CounterName {
    text.parse()
        .expect("a name made in `names` is one that nft accepts")
}

/// The name of an object as policy authors know it: `namespace/name`, and `v1/` in front of the v1 form; a
/// namespace of that name has `v3/` in front.
fn object(key: &ResourceKey) -> String {
    match key.form {
        Form::V1 => format!("v1/{}", key.name),
        Form::V3 if key.scope.is_empty() => key.name.to_string(),
        Form::V3 if key.scope.as_ref() == "v1" => format!("v3/v1/{}", key.name),
        Form::V3 => format!("{}/{}", key.scope, key.name),
    }
}

/// Names the chain of a policy.
pub(super) fn policy(path: Path, id: &PolicyId) -> ChainName {
    chain(&fitted(
        &format!("pol-{path}-"),
        &format!("{}.{}", id.tier, object(&id.key)),
    ))
}

/// Names the chain of a profile.
pub(super) fn profile(path: Path, id: &ProfileId) -> ChainName {
    chain(&fitted(&format!("prof-{path}-"), id.as_str()))
}

/// Names the chain of an endpoint at a place.
pub(super) fn endpoint(place: Place, id: &EndpointId) -> ChainName {
    // The scope of a v1 endpoint is its node, which is always this one and would say nothing.
    chain(&fitted(&format!("{place}-"), &object(id)))
}

/// Names the chain of one tier's ordered policies, by their content.
pub(super) fn tier(path: Path, tier: &TierName, policies: &[PolicyId]) -> ChainName {
    let mut content = String::new();
    for id in policies {
        content.push_str(policy(path, id).as_str());
        content.push('\n');
    }
    chain(&format!(
        "{}--{}",
        fitted(&format!("tier-{path}-"), &slug(tier.as_str())),
        hash_of(&content)
    ))
}

/// Names the chain of an address.
pub(super) fn of_address(stem: &str, address: IpAddr) -> ChainName {
    chain(&fitted(&format!("{stem}-"), &address.to_string()))
}

/// Names the chain of an interface.
pub(super) fn of_interface(stem: &str, interface: &InterfaceName) -> ChainName {
    chain(&fitted(&format!("{stem}-"), interface.as_str()))
}

/// Names a counter, the same wherever its owner's rules stand.
pub(super) fn counter(counted: &Counted) -> CounterName {
    let way = |direction: &Direction| match direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    };
    let word = |decision: &Decision| match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::Pass => "pass",
    };
    counter_name(&match counted {
        Counted::Policy(id, direction, decision) => fitted(
            &format!("pol-{}-{}-", way(direction), word(decision)),
            &format!("{}.{}", id.tier, object(&id.key)),
        ),
        Counted::Profile(id, direction, decision) => fitted(
            &format!("prof-{}-{}-", way(direction), word(decision)),
            id.as_str(),
        ),
        Counted::EndOfTier(tier, direction) => {
            fitted(&format!("end-{}-", way(direction)), tier.as_str())
        }
        Counted::EndOfProfiles(direction) => format!("end-{}", way(direction)),
    })
}

/// What the names of a selector's or a named port's set have in common, whatever its form; a form follows.
pub(super) fn members_stem(id: &SetId, family: Family) -> String {
    let version = family.version();
    let (prefix, readable, content) = match id {
        SetId::Addresses(selector) => ("sel", selector.to_string(), format!("sel {selector}")),
        SetId::NamedPort {
            selector,
            name,
            protocol,
        } => {
            let protocol = protocol.map_or_else(|| "any".to_owned(), |p| p.to_string());
            (
                "port",
                format!("{name}-{protocol}-{selector}"),
                format!("port {name} {protocol} {selector}"),
            )
        }
    };
    let slug = slug(&readable);
    let dash = if slug.is_empty() { "" } else { "-" };
    format!("{prefix}{version}-{slug}{dash}-{}.", hash_of(&content))
}

/// Names a set of prefixes that stands in rules, by its content.
pub(super) fn nets(family: Family, content: &str) -> SetName {
    set(&format!("nets{}-{}", family.version(), hash_of(content)))
}

/// Names a set of ports that stands in rules, by its content.
pub(super) fn ports(content: &str) -> SetName {
    set(&format!("ports-{}", hash_of(content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    fn policy_id(tier: &str, key: ResourceKey) -> PolicyId {
        PolicyId {
            tier: TierName::new(tier),
            key,
        }
    }

    #[test]
    fn chains_are_named_after_objects() {
        let global = policy_id(
            "default",
            ResourceKey::v3(Kind::GlobalNetworkPolicy, "", "allow-ssh"),
        );
        assert_eq!(
            policy(Path::In, &global).as_str(),
            "pol-in-default.allow-ssh"
        );
        let local = policy_id("sec", ResourceKey::v3(Kind::NetworkPolicy, "prod", "web"));
        assert_eq!(policy(Path::Out, &local).as_str(), "pol-out-sec.prod/web");
        let old = policy_id(
            "default",
            ResourceKey::v1(Kind::GlobalNetworkPolicy, "", "web"),
        );
        assert_eq!(policy(Path::In, &old).as_str(), "pol-in-default.v1/web");
        let host = ResourceKey::v1(Kind::HostEndpoint, "node-1", "eth0");
        assert_eq!(endpoint(Place::HostIn, &host).as_str(), "hep-in-v1/eth0");
    }

    #[test]
    fn names_that_nft_cannot_read_stay_different() {
        let a = endpoint(
            Place::HostIn,
            &ResourceKey::v3(Kind::HostEndpoint, "", "a b"),
        );
        let b = endpoint(
            Place::HostIn,
            &ResourceKey::v3(Kind::HostEndpoint, "", "a_b"),
        );
        let c = endpoint(
            Place::HostIn,
            &ResourceKey::v3(Kind::HostEndpoint, "", "a+b"),
        );
        assert!(a != b && b != c && a != c);
        let long = "x".repeat(253);
        assert!(
            endpoint(
                Place::HostIn,
                &ResourceKey::v3(Kind::HostEndpoint, "", &long)
            )
            .as_str()
            .len()
                < 255
        );
    }

    #[test]
    fn no_author_can_give_an_object_the_chain_of_another() {
        let named = |name: &str| profile(Path::In, &ProfileId::new(name));
        for victim in ["a b".to_owned(), "x".repeat(253)] {
            let chain = named(&victim);
            let imitation = chain.as_str().strip_prefix("prof-in-").unwrap();
            assert_ne!(named(imitation), chain);
        }
        let old = ResourceKey::v1(Kind::GlobalNetworkPolicy, "", "web");
        let local = ResourceKey::v3(Kind::NetworkPolicy, "v1", "web");
        let (old, local) = (policy_id("default", old), policy_id("default", local));
        assert_ne!(policy(Path::In, &old), policy(Path::In, &local));
    }

    #[test]
    fn hashes_are_too_long_to_search_for_two_texts_of_one() {
        let name = nets(Family::V4, "10.0.0.0/8");
        assert!(name.as_str().len() >= "nets4-".len() + 32, "{name}");
    }

    #[test]
    fn slugs_read_well() {
        assert_eq!(slug(r#"role == "web""#), "role-web");
        assert_eq!(slug("all()"), "all");
        assert_eq!(slug("!has(x)"), "has-x");
        assert_eq!(slug("\"\""), "");
    }
}
