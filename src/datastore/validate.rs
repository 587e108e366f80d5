//! The patterns that Calico asks of names, labels and the like.

use crate::model::{Form, Kind};

/// The longest label of a DNS name (RFC 1123).
const MAX_DNS_LABEL: usize = 63;
/// The longest DNS name as Kubernetes counts it.
const MAX_DNS_NAME: usize = 253;
/// The longest name of the v1 form.
const MAX_V1_NAME: usize = 128;
/// The longest label key of the v1 form.
const MAX_V1_LABEL_KEY: usize = 512;
/// The longest label value.
const MAX_LABEL_VALUE: usize = 63;
/// The longest name of what is stored, in bytes.
pub(super) const MAX_STORED_NAME: usize = 512;
/// The longest selector that calicoctl writes.
pub(super) const MAX_SELECTOR: usize = 1024;

/// The outcome of a check: what is asked, where it is not met.
pub(super) type Check = Result<(), &'static str>;

const DNS_LABEL: &str = "must be a DNS-1123 label: at most 63 of a-z, 0-9 and `-`, beginning and ending with a letter \
     or digit";
const DNS_NAME: &str = "must be a DNS-1123 name: at most 253 of a-z, 0-9, `-` and `.`, every part beginning and \
     ending with a letter or digit";
const POLICY_NAME: &str = "must be at most 253 of a-z, 0-9 and `-`, beginning and ending with a letter or digit, or two \
     such joined by `.`";

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= MAX_DNS_LABEL
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_dns_name(text: &str) -> bool {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty()
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= MAX_DNS_NAME && text.split('.').all(part)
}

/// The pattern of Kubernetes for label values and the names of label keys.
fn is_qualified_part(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_LABEL_VALUE
        && text.chars().all(is_name_char)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
}

fn ensure(holds: bool, otherwise: &'static str) -> Check {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Checks a namespace.
pub(super) fn namespace(text: &str) -> Check {
    ensure(is_dns_label(text), DNS_LABEL)
}

/// Checks the name of a v3 resource as calicoctl does.
///
/// Calico bounds a name as a whole and not its parts, except that of a tier, which has to fit into a label.
pub(super) fn resource_name(kind: Kind, text: &str) -> Check {
    match kind {
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => policy_name(text),
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => {
            // Policies that Kubernetes' and OpenStack's are turned into keep their names.
            if text.starts_with("knp.default.") || text.starts_with("ossg.default.") {
                ensure(is_dns_name(text), DNS_NAME)
            } else {
                policy_name(text)
            }
        }
        Kind::Tier => ensure(is_dns_label(text), DNS_LABEL),
        Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::Node
        | Kind::IpPool
        | Kind::Profile
        | Kind::StagedKubernetesNetworkPolicy
        | Kind::GlobalNetworkSet
        | Kind::NetworkSet
        | Kind::HostEndpoint
        | Kind::WorkloadEndpoint => ensure(is_dns_name(text), DNS_NAME),
    }
}

fn policy_name(text: &str) -> Check {
    let parts = text.split('.').count();
    ensure(parts <= 2 && is_dns_name(text), POLICY_NAME)
}

/// Checks a name of the v1 form.
pub(super) fn v1_name(text: &str) -> Check {
    ensure(
        !text.is_empty() && text.len() <= MAX_V1_NAME && text.chars().all(is_name_char),
        "must be 1 to 128 of a-z, A-Z, 0-9, `_`, `.` and `-`",
    )
}

/// Checks the name of a workload of the v1 form, which may hold a namespace.
pub(super) fn v1_workload_name(text: &str) -> Check {
    let parts = text.split('/').count();
    ensure(
        parts <= 2 && text.split('/').all(|part| v1_name(part).is_ok()),
        "must be 1 to 128 of a-z, A-Z, 0-9, `_`, `.` and `-`, or two such joined by `/`",
    )
}

/// Checks a name that is stored, which may be anything that can be told in one line.
pub(super) fn stored_name(text: &str) -> Check {
    ensure(
        text.len() <= MAX_STORED_NAME && !text.contains(char::is_control),
        "must be at most 512 bytes without control characters",
    )
}

/// Checks the name of a node as a field names it.
pub(super) fn node_name(text: &str) -> Check {
    ensure(
        !text.is_empty() && text.len() <= MAX_DNS_NAME && text.chars().all(is_name_char),
        "must be 1 to 253 of a-z, A-Z, 0-9, `_`, `.` and `-`",
    )
}

/// Checks the name of a profile as an endpoint names it.
pub(super) fn profile_name(form: Form, text: &str) -> Check {
    match form {
        Form::V3 => node_name(text),
        Form::V1 => v1_name(text),
    }
}

/// Checks the name of an interface.
pub(super) fn interface_name(text: &str) -> Check {
    ensure(
        !text.is_empty() && text.len() <= 15 && text.chars().all(is_name_char),
        "must be 1 to 15 of a-z, A-Z, 0-9, `_`, `.` and `-`",
    )
}

/// Checks the name of a port.
pub(super) fn port_name(text: &str) -> Check {
    v1_name(text)
}

/// Checks a label's key.
pub(super) fn label_key(form: Form, key: &str) -> Check {
    match form {
        Form::V3 => {
            let (prefix, name) = key
                .rsplit_once('/')
                .map_or((None, key), |(p, n)| (Some(p), n));
            ensure(
                prefix.is_none_or(is_dns_name) && is_qualified_part(name),
                "the key must be a qualified name: at most 63 of a-z, A-Z, 0-9, `_`, `.` and `-`, \
                 beginning and ending with a letter or digit, with an optional DNS name and `/` \
                 in front",
            )
        }
        Form::V1 => ensure(
            !key.is_empty()
                && key.len() <= MAX_V1_LABEL_KEY
                && key.chars().all(|c| is_name_char(c) || c == '/'),
            "the key must be 1 to 512 of a-z, A-Z, 0-9, `_`, `.`, `/` and `-`",
        ),
    }
}

/// Checks the value of a label that is stored: it may begin with any of its characters.
pub(super) fn stored_label_value(value: &str) -> Check {
    let first = value.chars().next();
    let longest = match first {
        Some(first) if first.is_ascii_alphanumeric() => MAX_LABEL_VALUE,
        Some(_) | None => MAX_LABEL_VALUE - 1,
    };
    let last = value.chars().next_back();
    ensure(
        value.len() <= longest
            && value.chars().all(is_name_char)
            && last.is_none_or(|c| c.is_ascii_alphanumeric()),
        "the value must be at most 63 of a-z, A-Z, 0-9, `_`, `.` and `-`, ending with a letter or digit",
    )
}

/// Checks a label's value; both forms ask the same of it.
pub(super) fn label_value(value: &str) -> Check {
    ensure(
        value.is_empty() || is_qualified_part(value),
        "the value must be at most 63 of a-z, A-Z, 0-9, `_`, `.` and `-`, beginning and ending \
         with a letter or digit",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_v3_resources_are_dns_names() {
        let long = "a".repeat(254);
        for good in ["a", "gw1", "gw-1.example.com", "1"] {
            assert_eq!(resource_name(Kind::HostEndpoint, good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a..b",
            "a/b",
            "ä",
            &"a.".repeat(200),
        ] {
            assert!(resource_name(Kind::HostEndpoint, bad).is_err(), "{bad}");
        }
        for (good, bad) in [("allow", "a.b.c"), (&long[1..], long.as_str())] {
            assert_eq!(
                resource_name(Kind::GlobalNetworkPolicy, good),
                Ok(()),
                "{good}"
            );
            assert!(
                resource_name(Kind::GlobalNetworkPolicy, bad).is_err(),
                "{bad}"
            );
        }
        assert_eq!(
            resource_name(Kind::NetworkPolicy, "knp.default.a.b.c"),
            Ok(())
        );
        assert!(resource_name(Kind::GlobalNetworkPolicy, "knp.default.a").is_err());
        assert!(resource_name(Kind::Tier, "a.b").is_err());
    }

    #[test]
    fn labels_are_checked_by_their_form() {
        for good in ["role", "projectcalico.org/namespace", "a.b/c_d", "A-1"] {
            assert_eq!(label_key(Form::V3, good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "a b", "Ä"] {
            assert!(label_key(Form::V3, bad).is_err(), "{bad}");
        }
        assert_eq!(label_key(Form::V1, "a/b/c-"), Ok(()));
        assert!(label_key(Form::V1, "a b").is_err());
        for good in ["", "x", "a.b-c_d"] {
            assert_eq!(label_value(good), Ok(()), "{good}");
        }
        for bad in ["-", "a-", " ", &"a".repeat(64)] {
            assert!(label_value(bad).is_err(), "{bad}");
        }
    }
}
