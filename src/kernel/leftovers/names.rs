//! How Felix names what it makes.

/// Felix's own tables of nftables.
pub(super) const TABLE: &str = "calico";

/// The table of `iptables-nft` in which it asks policy.
pub(super) const FILTER_TABLE: &str = "filter";

/// The tables of `iptables-nft` that it writes.
pub(super) const SHARED_TABLES: [&str; 4] = ["raw", "mangle", "nat", FILTER_TABLE];

/// How the names of its chains begin: now, in early candidates of 2.1, and before.
const CHAIN_PREFIXES: [&str; 8] = [
    "cali-", "califw-", "calitw-", "califh-", "calith-", "calipi-", "calipo-", "felix-",
];

/// How the comment begins that tells its rules by a hash.
const RULE_PREFIX: &[u8] = b"cali:";

/// How the names of its sets of `ipset` begin.
const SET_PREFIXES: [&str; 3] = ["cali4", "cali6", "felix-"];

/// Tells whether a chain of a table of `iptables-nft` is Felix's.
pub(super) fn is_chain(name: &str) -> bool {
    CHAIN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Tells whether a comment is that of a rule of Felix's.
pub(super) fn is_comment(text: &[u8]) -> bool {
    text.starts_with(RULE_PREFIX)
}

/// Tells whether a set of `ipset` is Felix's.
pub(super) fn is_set(name: &str) -> bool {
    SET_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_age_are_known_and_those_of_its_neighbours_are_not() {
        for name in [
            "cali-INPUT",
            "cali-pi-_abc",
            "califw-1234",
            "calipo-x",
            "felix-FORWARD",
            "felix-to-1234-5",
        ] {
            assert!(is_chain(name), "{name}");
        }
        // The second is of the DHCP agent of OpenStack.
        for name in [
            "INPUT",
            "calico-dhcp-1",
            "cali",
            "calixyz",
            "my-cali-",
            "CALI-INPUT",
            "DOCKER",
        ] {
            assert!(!is_chain(name), "{name}");
        }
        assert!(is_comment(b"cali:Cz_u1IQiXIMmKD4c"));
        assert!(!is_comment(b"my cali: rule"));
        assert!(!is_comment(b"cali"));
        assert!(is_set("cali40s:abc") && is_set("felix-masq-ipam-pools") && is_set("cali6tabc"));
        assert!(!is_set("calico") && !is_set("cali") && !is_set("docker"));
    }
}
