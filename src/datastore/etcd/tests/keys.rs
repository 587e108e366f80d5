//! The forms of keys.

use super::super::keys::{Part, Piece, Target, paths};
use super::{V1, V3};
use crate::model::{Kind, ResourceKey};

fn of(key: &str) -> Option<Target> {
    Target::of(key.as_bytes())
}

fn whole(key: ResourceKey) -> Target {
    Target {
        key,
        part: Part::Whole,
    }
}

fn piece(key: ResourceKey, piece: Piece) -> Target {
    Target {
        key,
        part: Part::Piece(piece),
    }
}

#[test]
fn every_kind_of_the_v3_form_has_its_key() {
    for kind in Kind::ALL {
        // The plural of every kind but those in -y is regular.
        let singular = kind.as_str().to_lowercase();
        let plural = match singular.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{singular}s"),
        };
        if kind.is_namespaced() {
            let key = ResourceKey::v3(kind, "prod", "x");
            assert_eq!(
                of(&format!("{V3}/{plural}/prod/x")),
                Some(whole(key)),
                "{kind}"
            );
            assert_eq!(of(&format!("{V3}/{plural}/x")), None, "{kind}");
        } else {
            let key = ResourceKey::v3(kind, "", "x");
            assert_eq!(of(&format!("{V3}/{plural}/x")), Some(whole(key)), "{kind}");
            assert_eq!(of(&format!("{V3}/{plural}/prod/x")), None, "{kind}");
        }
        assert_eq!(of(&format!("{V3}/{plural}/")), None, "{kind}");
    }
    // Kinds that Calico keeps there and that mean nothing here.
    for plural in [
        "bgpconfigurations",
        "bgpfilters",
        "bgppeers",
        "blockaffinities",
        "caliconodestatuses",
        "ipamconfigs",
        "ipamconfigurations",
        "ipreservations",
        "kubecontrollersconfigurations",
        "livemigrations",
    ] {
        assert_eq!(of(&format!("{V3}/{plural}/x")), None, "{plural}");
        assert_eq!(of(&format!("{V3}/{plural}/prod/x")), None, "{plural}");
    }
    assert_eq!(of(&format!("{V3}/Tiers/x")), None);
    // Names stand verbatim.
    let key = ResourceKey::v3(Kind::GlobalNetworkPolicy, "", "default.a%2fb");
    assert_eq!(
        of(&format!("{V3}/globalnetworkpolicies/default.a%2fb")),
        Some(whole(key))
    );
}

#[test]
fn every_key_of_the_v1_form_is_known() {
    let v1 = ResourceKey::v1;
    let cluster = v1(Kind::ClusterInformation, "", "default");
    let global = v1(Kind::FelixConfiguration, "", "default");
    let host = v1(Kind::FelixConfiguration, "", "node.h1");
    let profile = v1(Kind::Profile, "", "p/%q");
    let option = |name: &str| Piece::Option(name.to_owned());
    for (key, target) in [
        ("Ready", piece(cluster, Piece::Ready)),
        (
            "config/LogPrefix",
            piece(global.clone(), option("LogPrefix")),
        ),
        ("config/a/b", piece(global, option("a/b"))),
        ("host/h1/config/a/b", piece(host, option("a/b"))),
        (
            "host/h1/bird_ip",
            piece(v1(Kind::Node, "", "h1"), Piece::Address),
        ),
        (
            "host/h1/endpoint/e%2f0",
            whole(v1(Kind::HostEndpoint, "h1", "e/0")),
        ),
        // What is escaped is the text `%2f`.
        (
            "host/h1/endpoint/e%252f0",
            whole(v1(Kind::HostEndpoint, "h1", "e%2f0")),
        ),
        // Names of hosts are not escaped.
        (
            "host/h%2f1/endpoint/e",
            whole(v1(Kind::HostEndpoint, "h%2f1", "e")),
        ),
        (
            "host/h1/workload/k8s/ns%2fpod/endpoint/eth0",
            whole(v1(Kind::WorkloadEndpoint, "h1", "k8s/ns/pod/eth0")),
        ),
        (
            "policy/tier/default/policy/web",
            whole(v1(Kind::GlobalNetworkPolicy, "", "web")),
        ),
        (
            "policy/tier/first/policy/web",
            whole(v1(Kind::GlobalNetworkPolicy, "first", "web")),
        ),
        (
            "policy/tier/first/metadata",
            whole(v1(Kind::Tier, "", "first")),
        ),
        (
            "policy/profile/p%2f%25q/rules",
            piece(profile.clone(), Piece::Rules),
        ),
        (
            "policy/profile/p%2f%25q/tags",
            piece(profile.clone(), Piece::Tags),
        ),
        (
            "policy/profile/p%2f%25q/labels",
            piece(profile, Piece::Labels),
        ),
        (
            "ipam/v4/pool/10.0.0.0-8",
            whole(v1(Kind::IpPool, "", "10.0.0.0/8")),
        ),
        (
            "ipam/v6/pool/fd00::-8",
            whole(v1(Kind::IpPool, "", "fd00::/8")),
        ),
    ] {
        assert_eq!(of(&format!("{V1}/{key}")), Some(target), "{key}");
    }
}

#[test]
fn other_keys_are_passed_over() {
    for key in [
        "",
        "/",
        "/calico/v1",
        "/calico/v1/",
        "calico/v1/Ready",
        "/calico/v1/Ready/",
        "/calico/v1/ready",
        "/calico/v1/config/",
        "/calico/v1/config",
        "/calico/v1/host/h/metadata",
        "/calico/v1/host/h/endpoint/",
        "/calico/v1/host//endpoint/e",
        "/calico/v1/host/h/endpoint/a/b",
        "/calico/v1/host/h/workload/o/w/endpoint",
        "/calico/v1/policy/tier/t/policy",
        "/calico/v1/policy/profile/p/other",
        "/calico/v1/ipam/v5/pool/x",
        "/calico/v10",
        "/calico/felix/v1/host/h/status",
        "/calico/resources/v3/projectcalico.org/",
        "/calico/resources/v3/projectcalico.org/tiers",
        "/calico/v1/host/h/endpoint/a\nb",
    ] {
        assert_eq!(of(key), None, "{key}");
    }
    assert_eq!(Target::of(b"/calico/v1/host/h/endpoint/\xff"), None);
    let long = format!("{V1}/host/h/endpoint/{}", "e".repeat(4096));
    assert_eq!(of(&long), None);
}

#[test]
fn keys_that_are_written_are_those_that_are_read() {
    let of_v3 = Kind::ALL.map(|kind| {
        let namespace = if kind.is_namespaced() { "prod" } else { "" };
        ResourceKey::v3(kind, namespace, "a.b-c")
    });
    let of_v1 = [
        ResourceKey::v1(Kind::HostEndpoint, "host", "a/b%c"),
        ResourceKey::v1(Kind::WorkloadEndpoint, "host", "k8s/ns/pod/e%0"),
        ResourceKey::v1(Kind::GlobalNetworkPolicy, "", "p"),
        ResourceKey::v1(Kind::GlobalNetworkPolicy, "t/u", "p"),
        ResourceKey::v1(Kind::Tier, "", "t/u"),
        ResourceKey::v1(Kind::Profile, "", "p/q"),
        ResourceKey::v1(Kind::IpPool, "", "10.0.0.0/8"),
        ResourceKey::v1(Kind::IpPool, "", "fd00::/8"),
        ResourceKey::v1(Kind::ClusterInformation, "", "default"),
    ];
    for key in of_v3.into_iter().chain(of_v1) {
        let paths = paths(&key);
        assert!(!paths.is_empty(), "{key}");
        for path in paths {
            assert_eq!(
                of(&path).map(|target| target.key),
                Some(key.clone()),
                "{path}"
            );
        }
    }
    let node = paths(&ResourceKey::v1(Kind::Node, "", "n"));
    assert_eq!(node[0], format!("{V1}/host/n/bird_ip"));
}

#[test]
fn no_two_keys_are_one_resource() {
    let workload = |rest: &str| of(&format!("{V1}/host/h1/workload/{rest}")).unwrap().key;
    let keys = [
        workload("o/a%2fb/endpoint/c"),
        workload("o/a/endpoint/b%2fc"),
        workload("o%2fa/b/endpoint/c"),
        workload("o/a%252fb/endpoint/c"),
    ];
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    let pool = |family: &str, cidr: &str| of(&format!("{V1}/ipam/{family}/pool/{cidr}"));
    assert!(pool("v4", "10.0.0.0-8").is_some() && pool("v6", "fd00::-64").is_some());
    assert_eq!(pool("v6", "10.0.0.0-8"), None);
    assert_eq!(pool("v4", "fd00::-64"), None);
}
