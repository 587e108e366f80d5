//! Sources, their order, and what happens to what is wrong.

use std::path::Path;

use super::{clean, file, host1, map, problems};
use crate::config::choices::{DatastoreKind, DenyAction, EndpointToHostAction, TableOwner};
use crate::config::layers::{DetectedHostname, HostnameSource, Layers};
use crate::config::resolve::{Origin, Resolution, resolve};
use crate::config::schema::Config;
use crate::config::{Room, changes};

#[test]
fn the_strongest_source_wins() {
    let value = |name: &str| map(&[("LogPrefix", name)]);
    let mut layers = host1();
    assert_eq!(clean(&layers).config.policy.log_prefix, "calico-packet");
    layers.datastore_global = value("global");
    assert_eq!(clean(&layers).config.policy.log_prefix, "global");
    layers.datastore_selector = value("selector");
    assert_eq!(clean(&layers).config.policy.log_prefix, "selector");
    layers.datastore_per_host = value("host");
    assert_eq!(clean(&layers).config.policy.log_prefix, "host");
    layers.file = value("file");
    assert_eq!(clean(&layers).config.policy.log_prefix, "file");
    layers.felix_environment = value("felix");
    assert_eq!(clean(&layers).config.policy.log_prefix, "felix");
    layers.tortie_environment = value("tortie");
    assert_eq!(clean(&layers).config.policy.log_prefix, "tortie");
    layers.command_line = value("flag");
    assert_eq!(clean(&layers).config.policy.log_prefix, "flag");
}

#[test]
fn names_are_matched_without_regard_to_case_in_every_source() {
    let mut layers = file(&[("LOGPREFIX", "file")]);
    layers.datastore_global = map(&[("logPrefix", "global")]);
    assert_eq!(clean(&layers).config.policy.log_prefix, "file");
    layers.set_environment(&map(&[
        ("felix_logprefix", "felix"),
        ("XFELIX_LOGPREFIX", "no"),
    ]));
    assert_eq!(clean(&layers).config.policy.log_prefix, "felix");
}

#[test]
fn both_prefixes_take_every_option() {
    let mut layers = host1();
    layers.set_environment(&map(&[
        ("FELIX_TABLEOWNER", "disabled"),
        ("TORTIE_LOGPREFIX", "x"),
        ("FELIX_LOGPREFIX", "y"),
        ("HOME", "/root"),
    ]));
    let config = clean(&layers).config;
    assert_eq!(config.kernel.table_owner, TableOwner::Disabled);
    assert_eq!(config.policy.log_prefix, "x");
}

#[test]
fn none_is_the_zero_value() {
    let config = clean(&file(&[
        ("FailsafeInboundHostPorts", "none"),
        ("LogPrefix", "None"),
        ("Ipv6Support", "NONE"),
        ("LogSeverityFile", "none"),
        ("LogFilePath", "none"),
        ("NftablesRefreshInterval", "none"),
        ("InterfaceExclude", "none"),
        ("LogActionRateLimit", "none"),
    ]))
    .config;
    assert_eq!(config.policy.failsafe_in, []);
    assert_eq!(config.policy.log_prefix, "");
    assert!(!config.policy.ipv6_support);
    assert_eq!(config.log.file, None);
    assert_eq!(config.log.file_path, None);
    assert_eq!(config.kernel.refresh_interval, None);
    assert_eq!(config.policy.interface_exclude, []);
    assert_eq!(config.policy.log_rate_limit, None);
}

#[test]
fn none_is_refused_where_zero_has_no_meaning() {
    for option in [
        "InterfacePrefix",
        "NftablesMarkMask",
        "FelixHostname",
        "ChainInsertMode",
    ] {
        let resolution = resolve(&file(&[(option, "none")]), None);
        assert!(resolution.fatal, "{option}");
        assert_eq!(
            problems(&resolution),
            [format!(
                "fatal: {option} in configuration file felix.cfg: `none`: it cannot be turned off; \
                 tortie does not start with it"
            )]
        );
    }
}

#[test]
fn empty_values_leave_the_decision_to_the_next_source() {
    let mut layers = file(&[("FailsafeInboundHostPorts", ""), ("LogPrefix", "  ")]);
    layers.datastore_global = map(&[("LogPrefix", "global")]);
    let resolution = resolve(&layers, None);
    assert!(!resolution.fatal);
    assert_eq!(resolution.config.policy.failsafe_in.len(), 9);
    assert_eq!(resolution.config.policy.log_prefix, "global");
    let warning = "in configuration file felix.cfg: an empty value is ignored; say `none` to turn \
                   the default off";
    assert_eq!(
        problems(&resolution),
        [
            format!("warning: LogPrefix {warning}"),
            format!("warning: FailsafeInboundHostPorts {warning}"),
        ]
    );
}

#[test]
fn a_bad_value_becomes_the_default_and_hides_lower_sources() {
    let mut layers = file(&[("Ipv6Support", "perhaps")]);
    layers.datastore_global = map(&[("Ipv6Support", "false")]);
    let resolution = resolve(&layers, None);
    assert!(!resolution.fatal);
    assert!(resolution.config.policy.ipv6_support);
    assert_eq!(
        problems(&resolution),
        [
            "warning: Ipv6Support in configuration file felix.cfg: `perhaps`: not a boolean, expected \
          true or false; the default `true` takes its place"
        ]
    );
    assert_eq!(
        resolution.provenance["Ipv6Support"].origin,
        Origin::File("felix.cfg".to_owned())
    );
}

#[test]
fn every_fatal_problem_is_reported_at_once_even_if_overridden() {
    let mut layers = file(&[("InterfacePrefix", "a b"), ("NftablesMarkMask", "0x1")]);
    layers.felix_environment = map(&[("InterfacePrefix", "cali")]);
    let resolution = resolve(&layers, None);
    assert!(resolution.fatal);
    let found = problems(&resolution);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|problem| problem.starts_with("fatal: ")),
        "{found:?}"
    );
}

#[test]
fn a_bad_value_from_the_datastore_keeps_the_value_in_force() {
    let mut layers = host1();
    layers.datastore_global = map(&[("FailsafeInboundHostPorts", "tcp:2222")]);
    let first = clean(&layers);
    layers.datastore_per_host = map(&[("FailsafeInboundHostPorts", "ssh"), ("LogPrefix", "new")]);
    layers.datastore_global = map(&[("FailsafeInboundHostPorts", "tcp:3333")]);
    let second = resolve(&layers, Some(&first));
    assert!(!second.fatal);
    assert_eq!(
        second.config.policy.failsafe_in,
        first.config.policy.failsafe_in
    );
    assert_eq!(second.config.policy.log_prefix, "new");
    assert_eq!(
        problems(&second),
        [
            "error: FailsafeInboundHostPorts in datastore (per-host): `ssh`: `ssh` is not a \
          port, an integer from 0 to 65535; the value in force stays"
        ]
    );
    let third = resolve(&layers, Some(&second));
    assert_eq!(third.config, second.config);
    let at_start = resolve(&layers, None);
    assert!(!at_start.fatal);
    assert_eq!(at_start.config.policy.failsafe_in[0].port, 3333);
}

#[test]
fn a_bad_value_hides_no_lower_source_at_the_start() {
    let local = clean(&host1());
    let mut layers = host1();
    layers.datastore_per_host = map(&[
        ("FailsafeInboundHostPorts", "ssh"),
        ("DefaultEndpointToHostAction", "odd"),
    ]);
    layers.datastore_global = map(&[
        ("FailsafeInboundHostPorts", "tcp:3333"),
        ("DefaultEndpointToHostAction", "ACCEPT"),
    ]);
    let resolution = resolve(&layers, Some(&local));
    assert!(!resolution.fatal);
    let policy = &resolution.config.policy;
    assert_eq!(policy.failsafe_in.len(), 1);
    assert_eq!(policy.failsafe_in[0].port, 3333);
    assert_eq!(policy.endpoint_to_host_action, EndpointToHostAction::Accept);
}

#[test]
fn the_good_ones_of_a_bad_list_of_failsafe_ports_stay_open() {
    let ports = |resolution: &Resolution| {
        let open = &resolution.config.policy.failsafe_in;
        open.iter().map(|open| open.port).collect::<Vec<_>>()
    };
    let local = clean(&host1());
    let bad = map(&[("FailsafeInboundHostPorts", "tcp:3333,ssh,udp:4444")]);
    let mut layers = host1();
    layers.datastore_global = bad.clone();
    let at_start = resolve(&layers, Some(&local));
    assert_eq!(ports(&at_start)[..2], [22, 68]);
    assert_eq!(ports(&at_start)[9..], [3333, 4444]);
    assert_eq!(ports(&resolve(&layers, Some(&at_start))), ports(&at_start));
    layers.datastore_global = map(&[("FailsafeInboundHostPorts", "none")]);
    let closed = resolve(&layers, Some(&local));
    assert_eq!(ports(&closed), [0; 0]);
    layers.datastore_per_host = bad;
    let running = resolve(&layers, Some(&closed));
    assert_eq!(ports(&running), [3333, 4444]);
    assert_eq!(ports(&resolve(&layers, Some(&running))), [3333, 4444]);
    // What a stronger source says stands as it is.
    layers.file = map(&[("FailsafeInboundHostPorts", "tcp:5")]);
    assert_eq!(ports(&resolve(&layers, Some(&running))), [5]);
}

#[test]
fn local_options_are_ignored_in_the_datastore() {
    let mut layers = host1();
    layers.datastore_per_host = map(&[("FelixHostname", "other"), ("EtcdAddr", "nonsense")]);
    let resolution = resolve(&layers, None);
    assert_eq!(resolution.config, Config::default_for("host1"));
    assert_eq!(problems(&resolution).len(), 2);
    assert!(!resolution.fatal);
}

#[test]
fn unknown_names_are_reported() {
    let resolution = resolve(&file(&[("FailsafeInboundPorts", "22")]), None);
    assert_eq!(
        problems(&resolution),
        [
            "warning: FailsafeInboundPorts in configuration file felix.cfg: there is no option of \
          this name; ignored"
        ]
    );
}

#[test]
fn an_alias_loses_within_its_source_alone() {
    let deny = |layers: &Layers| resolve(layers, None).config.policy.filter_deny_action;
    let alias = [("IptablesFilterDenyAction", "REJECT")];
    assert_eq!(deny(&file(&alias)), DenyAction::Reject);
    let mut layers = file(&[alias[0], ("NftablesFilterDenyAction", "DROP")]);
    assert_eq!(deny(&layers), DenyAction::Drop);
    assert_eq!(
        problems(&resolve(&layers, None)),
        [
            "warning: IptablesFilterDenyAction in configuration file felix.cfg: overridden by \
          `NftablesFilterDenyAction` in the same source"
        ]
    );
    layers.felix_environment = map(&alias);
    assert_eq!(deny(&layers), DenyAction::Reject);
}

#[test]
fn the_hostname_is_what_the_system_says_unless_it_is_set() {
    let mut layers = host1();
    layers.hostname = DetectedHostname::new(" Node-1.Example\n", HostnameSource::Kernel);
    assert_eq!(
        clean(&layers).hostname_line(),
        "Parameter FelixHostname (Felix compute host hostname) has value 'node-1.example' read \
         from kernel hostname"
    );
    layers.hostname.source = HostnameSource::Variable;
    assert!(
        clean(&layers)
            .hostname_line()
            .ends_with("read from environment variable HOSTNAME")
    );
    layers.felix_environment = map(&[("felixhostname", "Node-2")]);
    assert_eq!(
        clean(&layers).hostname_line(),
        "Parameter FelixHostname (Felix compute host hostname) has value 'Node-2' read from \
         environment variable FELIX_FELIXHOSTNAME"
    );
    layers.felix_environment = map(&[("felixhostname", "no spaces")]);
    assert!(resolve(&layers, None).fatal);
    assert!(resolve(&Layers::default(), None).fatal);
}

#[test]
fn the_datastore_is_a_directory_unless_etcd_is_named() {
    let kind = |layers: &Layers| clean(layers).config.datastore.kind;
    assert_eq!(kind(&host1()), DatastoreKind::Directory);
    assert_eq!(
        kind(&file(&[("EtcdAddr", "10.0.0.1:2379")])),
        DatastoreKind::Etcd
    );
    assert_eq!(
        kind(&file(&[("DatastoreType", "ETCDV2")])),
        DatastoreKind::Etcd
    );
    let mut layers = file(&[("EtcdEndpoints", "http://a:1,http://b:2")]);
    assert_eq!(
        clean(&layers).config.datastore.etcd.urls(),
        ["http://a:1", "http://b:2"]
    );
    layers.set_directory(Path::new("/srv/x"));
    assert_eq!(kind(&layers), DatastoreKind::Directory);
    assert_eq!(clean(&layers).config.datastore.path, Path::new("/srv/x"));
    assert!(resolve(&file(&[("DatastoreType", "kubernetes")]), None).fatal);
    assert!(
        resolve(
            &file(&[("DatastoreType", "etcdv3"), ("EtcdAddr", "none")]),
            None
        )
        .fatal,
        "no address"
    );
}

#[test]
fn the_environment_of_calicoctl_is_weaker_than_the_file() {
    let mut layers = host1();
    layers.set_environment(&map(&[
        ("DATASTORE_TYPE", "etcdv3"),
        ("ETCD_ENDPOINTS", "http://plain:1"),
        ("CALICO_ETCD_ENDPOINTS", "http://prefixed:1"),
        ("ETCD_USERNAME", "felix"),
        ("ETCD_PASSWORD", "hunter2"),
    ]));
    let resolution = clean(&layers);
    let etcd = &resolution.config.datastore.etcd;
    assert_eq!(etcd.urls(), ["http://prefixed:1"]);
    assert_eq!(etcd.password.as_ref().unwrap().reveal(), "hunter2");
    assert!(!format!("{resolution:?}").contains("hunter2"));
    assert_eq!(
        resolution.provenance["EtcdEndpoints"].origin.to_string(),
        "environment variable CALICO_ETCD_ENDPOINTS"
    );
    layers.file = map(&[("EtcdEndpoints", "http://file:1")]);
    assert_eq!(
        clean(&layers).config.datastore.etcd.urls(),
        ["http://file:1"]
    );
}

#[test]
fn a_file_that_is_missing_is_waited_for() {
    let mut layers = file(&[("EtcdCaFile", "/missing"), ("LogFilePath", "/missing")]);
    layers.missing_files = map(&[("/missing", "no such file")]);
    let resolution = resolve(&layers, None);
    // No others stand in for the authorities that are named.
    let authorities = resolution.config.datastore.etcd.ca_file.as_deref();
    assert_eq!(authorities, Some(Path::new("/missing")));
    assert_eq!(
        resolution.config.log.file_path.as_deref(),
        Some(Path::new("/missing"))
    );
    assert_eq!(
        problems(&resolution),
        [
            "warning: EtcdCaFile in configuration file felix.cfg: `/missing`: no such file; it is \
             waited for"
        ]
    );
}

#[test]
fn a_key_may_come_before_its_certificate() {
    let mut layers = file(&[
        ("EtcdEndpoints", "https://a:1"),
        ("EtcdKeyFile", "/missing"),
        ("EtcdCertFile", "/cert"),
    ]);
    layers.missing_files = map(&[("/missing", "no such file")]);
    let resolution = resolve(&layers, None);
    assert!(!resolution.fatal, "{:?}", problems(&resolution));
    let etcd = &resolution.config.datastore.etcd;
    assert!(etcd.key_file.is_some() && etcd.cert_file.is_some());
    let alone = file(&[("EtcdEndpoints", "https://a:1"), ("EtcdCertFile", "/cert")]);
    assert!(resolve(&alone, None).fatal);
}

#[test]
fn options_without_effect_are_noted() {
    let resolution = clean(&file(&[
        ("BPFEnabled", "true"),
        ("DebugDisableLogDropping", "true"),
    ]));
    let notes: Vec<_> = resolution
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        notes,
        [
            "DebugDisableLogDropping in configuration file felix.cfg: accepted, without effect: logging \
             never holds up enforcement; what is dropped is counted",
            "BPFEnabled in configuration file felix.cfg: accepted, without effect: rules are \
             nftables, not eBPF",
        ]
    );
}

#[test]
fn changes_name_the_rooms() {
    let old = Config::default_for("host1");
    assert!(changes(&old, &old).is_empty());
    for (setting, room, restart) in [
        (("LogPrefix", "x"), Room::Policy, false),
        (("InterfaceExclude", "/x/"), Room::Policy, false),
        (("NetlinkTimeoutSecs", "1"), Room::Kernel, true),
        (("NftablesRefreshInterval", "1"), Room::Kernel, false),
        (("TableOwner", "Disabled"), Room::Kernel, true),
        (("FelixHostname", "host2"), Room::Hostname, true),
        (("DatastorePath", "/x"), Room::Datastore, true),
        (("LogFormat", "json"), Room::Log, false),
        (("HealthPort", "1"), Room::Health, false),
    ] {
        let found = changes(&old, &clean(&file(&[setting])).config);
        assert_eq!(
            found.changed.iter().collect::<Vec<_>>(),
            [&room],
            "{setting:?}"
        );
        assert_eq!(found.restart.contains(&room), restart, "{setting:?}");
    }
}
