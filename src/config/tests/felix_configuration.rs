//! Conversion of `FelixConfiguration` objects.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{clean, host1, map};
use crate::config::felix_configuration::felix_configuration;
use crate::config::layers::Layers;
use crate::config::resolve::resolve;

fn converted(
    spec: &Value,
    annotations: &[(&str, &str)],
) -> (BTreeMap<String, String>, Vec<String>) {
    felix_configuration(spec.as_object().unwrap(), &map(annotations))
}

#[test]
fn fields_become_raw_texts() {
    for (spec, expected) in [
        (json!({}), &[][..]),
        (
            json!({ "logSeverityScreen": "Debug" }),
            &[("LogSeverityScreen", "Debug")],
        ),
        (json!({ "ipv6Support": false }), &[("Ipv6Support", "false")]),
        (json!({ "metadataPort": 8775 }), &[("MetadataPort", "8775")]),
        (
            json!({ "interfaceRefreshInterval": "1m30s" }),
            &[("InterfaceRefreshInterval", "90")],
        ),
        (
            json!({ "netlinkTimeout": "2500ms" }),
            &[("NetlinkTimeoutSecs", "2.5")],
        ),
        (
            json!({ "reportingInterval": "0s" }),
            &[("ReportingIntervalSecs", "0")],
        ),
        (
            json!({ "reportingTTL": "90s" }),
            &[("ReportingTTLSecs", "90")],
        ),
        (
            json!({ "endpointReportingDelay": "1s" }),
            &[("EndpointReportingDelaySecs", "1")],
        ),
        (
            json!({ "usageReportingInterval": "24h" }),
            &[("UsageReportingIntervalSecs", "86400")],
        ),
        (
            json!({ "iptablesLockProbeInterval": "50ms" }),
            &[("IptablesLockProbeIntervalMillis", "50")],
        ),
        (
            json!({ "ipipEnabled": true, "ipipMTU": 1440 }),
            &[("IpInIpEnabled", "true"), ("IpInIpMtu", "1440")],
        ),
        (
            json!({ "iptablesMarkMask": 4_294_901_760_u64 }),
            &[("IptablesMarkMask", "4294901760")],
        ),
        (
            json!({ "bpfEnabled": false, "nftablesMode": "Auto" }),
            &[("BPFEnabled", "false"), ("NFTablesMode", "Auto")],
        ),
        (
            json!({ "natPortRange": "1000:2000" }),
            &[("NATPortRange", "1000:2000")],
        ),
        (
            json!({ "kubeNodePortRanges": ["1:2", 5] }),
            &[("KubeNodePortRanges", "1:2,5")],
        ),
        (
            json!({ "externalNodesList": ["10.0.0.1", "10.1.0.0/16"] }),
            &[("ExternalNodesCIDRList", "10.0.0.1,10.1.0.0/16")],
        ),
        (
            json!({ "routeTableRange": { "min": 1, "max": 250 } }),
            &[("RouteTableRange", "1-250")],
        ),
        (
            json!({ "routeTableRanges": [{ "min": 1, "max": 2 }, { "min": 4, "max": 5 }] }),
            &[("RouteTableRanges", "1-2,4-5")],
        ),
        (
            json!({ "healthTimeoutOverrides": [{ "name": "a", "timeout": "90s" }] }),
            &[("HealthTimeoutOverrides", "a=90s")],
        ),
        (
            json!({ "bpfLogFilters": { "eth0": "tcp", "all": "udp" } }),
            &[("BPFLogFilters", "all=udp,eth0=tcp")],
        ),
        (
            json!({ "logPrefix": "", "interfacePrefix": null, "externalNodesList": [] }),
            &[],
        ),
        (json!({ "nodeSelector": "all()" }), &[]),
        (json!({ "unheardOf": 1 }), &[("unheardOf", "1")]),
    ] {
        let (raw, problems) = converted(&spec, &[]);
        assert_eq!(raw, map(expected), "{spec}");
        assert_eq!(problems, Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn failsafe_ports_become_a_list() {
    for (ports, expected) in [
        (json!([]), "none"),
        (json!([{ "protocol": "TCP", "port": 22 }]), "tcp:22"),
        (
            json!([
                { "protocol": "tcp", "port": 22, "net": "10.0.0.0/8" },
                { "protocol": "UDP", "port": 53, "net": "2001:db8::/32" },
                { "protocol": "tcp", "port": 80, "net": "" },
            ]),
            "tcp:10.0.0.0/8:22,udp:[2001:db8::/32]:53,tcp:80",
        ),
        (json!([{ "port": 22 }]), "tcp:22"),
        (json!("tcp:22"), "tcp:22"),
    ] {
        let spec = json!({ "failsafeInboundHostPorts": ports });
        let (raw, problems) = converted(&spec, &[]);
        assert_eq!(raw, map(&[("FailsafeInboundHostPorts", expected)]));
        assert_eq!(problems, Vec::<String>::new());
    }
}

#[test]
fn an_empty_list_of_failsafe_ports_opens_nothing() {
    let (raw, _) = converted(&json!({ "failsafeOutboundHostPorts": [] }), &[]);
    let config = clean(&Layers {
        datastore_global: raw,
        ..host1()
    })
    .config;
    assert_eq!(config.policy.failsafe_out, []);
    assert_eq!(config.policy.failsafe_in.len(), 9);
}

#[test]
fn annotations_override_fields() {
    let spec = json!({ "logPrefix": "field", "ipv6Support": true });
    let annotations = [
        ("config.projectcalico.org/LogPrefix", "annotation"),
        ("config.projectcalico.org/ipv6support", "no"),
        ("config.projectcalico.org/InterfacePrefix", "tap"),
        ("projectcalico.org/metadata", "{}"),
    ];
    let (raw, problems) = converted(&spec, &annotations);
    let expected = map(&[
        ("LogPrefix", "annotation"),
        ("ipv6support", "no"),
        ("InterfacePrefix", "tap"),
    ]);
    assert_eq!(raw, expected);
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn fields_of_a_wrong_type_are_left_out() {
    for (spec, problem) in [
        (
            json!({ "netlinkTimeout": 10 }),
            "field `netlinkTimeout`: `10` is not a duration, as `90s`; the field is ignored",
        ),
        (
            json!({ "netlinkTimeout": "10" }),
            "field `netlinkTimeout`: `10` is not a duration, as `90s`; the field is ignored",
        ),
        (
            json!({ "externalNodesList": [["10.0.0.1"]] }),
            "field `externalNodesList`: expected a text, a number or a boolean; the field is ignored",
        ),
    ] {
        assert_eq!(
            converted(&spec, &[]),
            (BTreeMap::new(), vec![problem.to_owned()])
        );
    }
}

#[test]
fn sctp_failsafe_ports_count_as_calico_lets_them_be_written() {
    let spec = json!({ "failsafeInboundHostPorts": [{ "protocol": "SCTP", "port": 22 }] });
    let (raw, _) = converted(&spec, &[]);
    let resolution = clean(&Layers {
        datastore_global: raw,
        ..host1()
    });
    let open = &resolution.config.policy.failsafe_in;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].to_string(), "sctp:22");
}

#[test]
fn the_type_of_a_cluster_turns_openstack_on() {
    let config = clean(&Layers {
        datastore_global: map(&[("ClusterType", "k8s,OpenStack")]),
        ..host1()
    })
    .config;
    assert!(config.openstack_active());
}

#[test]
fn a_failsafe_port_that_is_none_leaves_the_option_to_refuse_it() {
    for item in [
        json!({ "protocol": "tcp" }),
        json!({ "protocol": "tcp", "port": "22" }),
        json!({ "protocol": ["tcp"], "port": 22 }),
        json!({ "protocol": "tcp", "port": 22, "net": 10 }),
        json!("tcp:22"),
        json!(22),
    ] {
        let spec = json!({ "failsafeInboundHostPorts": [{ "protocol": "tcp", "port": 80 }, item] });
        let (raw, problems) = converted(&spec, &[]);
        assert_eq!(problems, Vec::<String>::new());
        let mut layers = host1();
        layers.datastore_global = map(&[("FailsafeInboundHostPorts", "none")]);
        let in_force = clean(&layers);
        layers.datastore_global = raw;
        let found = resolve(&layers, Some(&in_force));
        let open = &found.config.policy.failsafe_in;
        assert_eq!(open.len(), 1, "{spec}");
        assert_eq!(open[0].port, 80, "{spec}");
        assert_eq!(found.problems.len(), 1, "{spec}");
    }
}
