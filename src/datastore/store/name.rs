//! The names of files that a client makes.

use crate::model::{Form, ResourceKey};

/// The longest name without its ending; the kernel allows 255 bytes for a name, and a temporary file's is longer.
const MAX_STEM: usize = 200;

/// Returns the name of the file that holds a resource alone.
///
/// No two resources share one: the parts are joined by `_`, which within a part is written as `%5F`.
pub(super) fn file_name(key: &ResourceKey) -> String {
    let kind = key.kind.as_str().to_ascii_lowercase();
    let form = match key.form {
        Form::V3 => "",
        Form::V1 => "v1-",
    };
    let mut stem = format!("{form}{kind}");
    for part in [&*key.scope, &*key.name] {
        if !part.is_empty() {
            stem.push('_');
            stem.push_str(&escaped(part));
        }
    }
    if stem.len() > MAX_STEM {
        let digest = super::contents::digest(stem.as_bytes());
        stem.truncate(MAX_STEM - digest.len() - 2);
        stem = format!("{stem}__{digest}");
    }
    stem + ".yaml"
}

/// Writes all but letters, digits, `.` and `-` as `%` and two digits.
fn escaped(text: &str) -> String {
    let written = |byte: u8| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn names_are_safe_and_tell_resources_apart() {
        let policy = ResourceKey::v3(Kind::NetworkPolicy, "prod", "allow.web");
        assert_eq!(file_name(&policy), "networkpolicy_prod_allow.web.yaml");
        let workload = ResourceKey::v1(Kind::WorkloadEndpoint, "n_1", "k8s/../x/eth0");
        let name = file_name(&workload);
        assert_eq!(name, "v1-workloadendpoint_n%5F1_k8s%2F..%2Fx%2Feth0.yaml");
        let long = |last: &str| {
            let text = "a".repeat(300) + last;
            file_name(&ResourceKey::v1(Kind::GlobalNetworkPolicy, "", &text))
        };
        assert!(long("b").len() < 230);
        assert_ne!(long("b"), long("c"));
    }
}
