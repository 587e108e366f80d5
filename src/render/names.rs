//! Every name of a chain, set or map is made here.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::layout::Path;
use crate::calc::{EndpointId, PolicyId, SetId};
use crate::model::{Form, ProfileId, ResourceKey, TierName};
use crate::net::Family;
use crate::nft::{ChainName, SetName};

/// How much of a readable text a name keeps where it also carries a hash.
const READABLE: usize = 48;
/// How long a name may be that is made of an object's own name; the kernel's limit is 255.
const LONGEST: usize = 200;

/// Returns the first eight hexadecimal digits of a hash of `text`.
fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hash = String::with_capacity(8);
    for byte in &digest[..4] {
        // Writing to a `String` cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// Joins a prefix and an object's own name; what `nft` cannot read is replaced, and a hash then keeps
/// different names different.
fn fitted(prefix: &str, text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if text.len() <= LONGEST && text.chars().all(legal) {
        return format!("{prefix}{text}");
    }
    let kept: String = text
        .chars()
        .take(READABLE)
        .map(|c| if legal(c) { c } else { '_' })
        .collect();
    format!("{prefix}{kept}--{}", short_hash(text))
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

/// The name of an object as policy authors know it: `namespace/name`, and `v1/` in front of the v1 form.
fn object(key: &ResourceKey) -> String {
    match key.form {
        Form::V1 => format!("v1/{}", key.name),
        Form::V3 if key.scope.is_empty() => key.name.to_string(),
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

/// Names the chain of a host endpoint.
pub(super) fn endpoint(path: Path, id: &EndpointId) -> ChainName {
    // The node of a v1 endpoint is always this one and would say nothing.
    let name = match id.form {
        Form::V1 => format!("v1/{}", id.name),
        Form::V3 => id.name.to_string(),
    };
    chain(&fitted(&format!("hep-{path}-"), &name))
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
        short_hash(&content)
    ))
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
    format!("{prefix}{version}-{slug}{dash}-{}.", short_hash(&content))
}

/// Names a set of prefixes that stands in rules, by its content.
pub(super) fn nets(family: Family, content: &str) -> SetName {
    set(&format!("nets{}-{}", family.version(), short_hash(content)))
}

/// Names a set of ports that stands in rules, by its content.
pub(super) fn ports(content: &str) -> SetName {
    set(&format!("ports-{}", short_hash(content)))
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
        assert_eq!(endpoint(Path::In, &host).as_str(), "hep-in-v1/eth0");
    }

    #[test]
    fn names_that_nft_cannot_read_stay_different() {
        let a = endpoint(Path::In, &ResourceKey::v3(Kind::HostEndpoint, "", "a b"));
        let b = endpoint(Path::In, &ResourceKey::v3(Kind::HostEndpoint, "", "a_b"));
        let c = endpoint(Path::In, &ResourceKey::v3(Kind::HostEndpoint, "", "a+b"));
        assert!(a != b && b != c && a != c);
        let long = "x".repeat(253);
        assert!(
            endpoint(Path::In, &ResourceKey::v3(Kind::HostEndpoint, "", &long))
                .as_str()
                .len()
                < 255
        );
    }

    #[test]
    fn slugs_read_well() {
        assert_eq!(slug(r#"role == "web""#), "role-web");
        assert_eq!(slug("all()"), "all");
        assert_eq!(slug("!has(x)"), "has-x");
        assert_eq!(slug("\"\""), "");
    }
}
