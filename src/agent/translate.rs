//! The configuration, in each room's own words.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::statuses::Gate;
use crate::calc;
use crate::config::{self, Config};
use crate::datastore::{EtcdLogin, EtcdSettings, EtcdTls};
use crate::explain;
use crate::kernel;
use crate::model::NodeName;
use crate::monitor;
use crate::net::{InterfaceName, PortRange, Protocol};
use crate::nft::{InterfaceMatch, Limit, LimitUnit};
use crate::render::{
    AllowAction, ChainPosition, DenyAction, Encapsulation, Failsafe, MarkError, Marks,
    NatExclusions, NatOutgoing, NeighborDiscovery, OpenStack, PolicyCounters, Refused, Settings,
    ToHostAction, last_filter_priority, table_name,
};
use crate::{routes, status, telemetry};

/// How long an answer is awaited where `NetlinkTimeout` sets no limit: the kernel answers while it is asked, so a
/// longer silence is a fault.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The least time after which a silent loop counts as dead, as Felix has it.
const LEAST_PATIENCE: Duration = Duration::from_secs(20);

/// Returns what the source in etcd is told of the configuration.
pub fn etcd_settings(config: &Config) -> EtcdSettings {
    let etcd = &config.datastore.etcd;
    EtcdSettings {
        endpoints: etcd.urls(),
        tls: EtcdTls {
            ca_file: etcd.ca_file.clone(),
            identity: etcd.cert_file.clone().zip(etcd.key_file.clone()),
        },
        login: etcd
            .username
            .as_ref()
            .zip(etcd.password.as_ref())
            .map(|(user, password)| EtcdLogin {
                user: user.clone(),
                password: password.reveal().to_owned(),
            }),
    }
}

/// Returns what calc is told of the configuration.
pub fn calc_settings(config: &Config) -> calc::Settings {
    calc::Settings {
        node: NodeName::new(&config.hostname),
        interface_prefixes: config.policy.interface_prefixes.clone(),
        interface_exclude: config.policy.interface_exclude.clone(),
        spoofed_sources: match config.workload.source_spoofing {
            config::SourceSpoofing::Disabled => calc::SpoofedSources::Refused,
            config::SourceSpoofing::Any => calc::SpoofedSources::Allowed,
        },
        floating_ips: match config.nat.floating_ips {
            config::FloatingIps::Disabled => calc::FloatingIps::OpenStack,
            config::FloatingIps::Enabled => calc::FloatingIps::All,
        },
    }
}

/// Returns what render is told of the configuration.
///
/// # Errors
/// Fails where the mark mask has too few bits, which the configuration's own check prevents.
pub fn render_settings(config: &Config) -> Result<Settings, MarkError> {
    let policy = &config.policy;
    let prefix = |text: &String| text.parse::<InterfaceName>().ok();
    Ok(Settings {
        ipv6: policy.ipv6_support,
        workload_prefixes: policy
            .interface_prefixes
            .iter()
            .filter_map(prefix)
            .collect(),
        deny: match policy.filter_deny_action {
            config::DenyAction::Drop => DenyAction::Drop,
            config::DenyAction::Reject => DenyAction::Reject,
        },
        drop_invalid: !policy.disable_conntrack_invalid_check,
        neighbor_discovery: match policy.neighbor_discovery {
            config::NeighborDiscovery::Allow => NeighborDiscovery::Allow,
            config::NeighborDiscovery::Policy => NeighborDiscovery::Policy,
        },
        counters: match policy.counters {
            config::PolicyCounters::Disabled => PolicyCounters::Disabled,
            config::PolicyCounters::Enabled => PolicyCounters::Enabled,
        },
        failsafe_inbound: policy.failsafe_in.iter().map(failsafe).collect(),
        failsafe_outbound: policy.failsafe_out.iter().map(failsafe).collect(),
        log_prefix: policy.log_prefix.clone(),
        log_limit: policy.log_rate_limit.map(|limit| Limit {
            rate: u64::from(limit.count),
            unit: match limit.unit {
                config::TimeUnit::Second => LimitUnit::Second,
                config::TimeUnit::Minute => LimitUnit::Minute,
                config::TimeUnit::Hour => LimitUnit::Hour,
                config::TimeUnit::Day => LimitUnit::Day,
            },
            burst: limit.burst,
        }),
        marks: Marks::from_mask(policy.mark_mask)?,
        position: position(config),
        allow: match policy.filter_allow_action {
            config::AllowAction::Accept => AllowAction::Accept,
            config::AllowAction::Return => AllowAction::Return,
        },
        to_host: match policy.endpoint_to_host_action {
            config::EndpointToHostAction::Drop => ToHostAction::Drop,
            config::EndpointToHostAction::Accept => ToHostAction::Accept,
            config::EndpointToHostAction::Return => ToHostAction::Return,
        },
        openstack: config.openstack_active().then(|| OpenStack {
            metadata: metadata(&config.workload),
        }),
        encapsulation: Encapsulation {
            refused_vxlan: (!config.workload.allow_vxlan).then_some(config.workload.vxlan_port),
            ipip: if config.workload.allow_ipip {
                Refused::No
            } else {
                Refused::Yes
            },
        },
        nat: nat_outgoing(&config.nat),
    })
}

/// Returns where our filter chains stand among those of others.
fn position(config: &Config) -> ChainPosition {
    match config.policy.chain_insert_mode {
        config::ChainInsertMode::Insert => ChainPosition::Insert,
        config::ChainInsertMode::Append => ChainPosition::Append,
    }
}

/// Returns where workloads find the metadata service of `OpenStack`: translation needs an address of it.
fn metadata(workload: &config::WorkloadConfig) -> Option<(Ipv4Addr, u16)> {
    let address = workload.metadata_addr.as_deref()?.parse().ok()?;
    (workload.metadata_port != 0).then_some((address, workload.metadata_port))
}

/// Translates how sources are translated that leave the pools.
fn nat_outgoing(nat: &config::NatConfig) -> NatOutgoing {
    let interface = nat.outgoing_interface.as_deref().and_then(|text| {
        let (name, matched): (&str, fn(InterfaceName) -> InterfaceMatch) =
            match text.strip_suffix('+') {
                Some(prefix) => (prefix, InterfaceMatch::Prefix),
                None => (text, InterfaceMatch::Name),
            };
        name.parse().ok().map(matched)
    });
    NatOutgoing {
        ports: nat
            .port_range
            .and_then(|span| PortRange::new(span.first, span.last).ok()),
        address: nat.outgoing_address,
        exclusions: match nat.outgoing_exclusions {
            config::NatExclusions::PoolsOnly => NatExclusions::Pools,
            config::NatExclusions::PoolsAndHosts => NatExclusions::PoolsAndHosts,
        },
        interface,
    }
}

/// Returns what the wiring of workload interfaces is told of the configuration.
pub fn routes_settings(config: &Config) -> routes::Settings {
    let route = &config.route;
    routes::Settings {
        protocol: route.protocol,
        priority_v4: route.priority_v4,
        priority_v6: route.priority_v6,
        source_v4: route.source_v4,
        source_v6: route.source_v6,
        external: if route.remove_external {
            routes::ExternalRoutes::Removed
        } else {
            routes::ExternalRoutes::Kept
        },
        refresh: route.refresh_interval,
        forwarding: match config.links.ip_forwarding {
            config::IpForwarding::Enabled => routes::Forwarding::Enabled,
            config::IpForwarding::Disabled => routes::Forwarding::LeftAlone,
        },
        ipv6: if config.policy.ipv6_support {
            routes::Ipv6::Enabled
        } else {
            routes::Ipv6::Disabled
        },
        workload_prefixes: config.policy.interface_prefixes.clone(),
    }
}

/// Returns what the interface of a workload is given; one that is down has no addresses.
pub fn wiring(workload: &calc::WorkloadInterface) -> routes::Wiring {
    let addresses = match workload.state {
        calc::AdminState::Up => {
            let floating = workload.floating.iter().map(|mapping| mapping.external);
            workload.addresses.iter().copied().chain(floating).collect()
        }
        calc::AdminState::Down => BTreeSet::new(),
    };
    routes::Wiring {
        addresses,
        mac: workload.mac,
        spoofing: if workload.spoofable.is_empty() {
            routes::SpoofedSources::Refused
        } else {
            routes::SpoofedSources::Allowed
        },
    }
}

/// Translates one failsafe port.
fn failsafe(port: &config::FailsafePort) -> Failsafe {
    Failsafe {
        protocol: match port.protocol {
            config::FailsafeProtocol::Tcp => Protocol::TCP,
            config::FailsafeProtocol::Udp => Protocol::UDP,
            config::FailsafeProtocol::Sctp => Protocol::SCTP,
        },
        net: port.net,
        port: port.port,
    }
}

/// Returns how long which part of the daemon may be silent.
///
/// The kernel and its writer are what Felix calls its main loop of the dataplane. Our loop does the work of that one
/// as well as that of Felix's calculation graph.
pub fn monitor_patience(config: &Config) -> monitor::Patience {
    let health = &config.health;
    let named = |name: &str| {
        let timeout = *health.timeout_overrides.get(name)?;
        Some((!timeout.is_zero()).then(|| timeout.max(LEAST_PATIENCE)))
    };
    let kernel = named("InternalDataplaneMainLoop")
        .unwrap_or(Some(health.dataplane_timeout.max(LEAST_PATIENCE)));
    monitor::Patience {
        turn: named("CalculationGraph").unwrap_or(kernel),
        kernel,
    }
}

/// Returns what the servers of health and metrics are told of the configuration.
pub fn monitor_settings(config: &Config) -> monitor::Settings {
    let listen = |host: &str, port| monitor::Listen {
        host: host.to_owned(),
        port,
    };
    let (health, metrics) = (&config.health, &config.metrics);
    // Whoever names one of the two wants no plain text.
    let encrypted = metrics.cert_file.is_some() || metrics.key_file.is_some();
    monitor::Settings {
        health: health.enabled.then(|| monitor::HealthSettings {
            listen: listen(&health.host, health.port),
            patience: monitor_patience(config),
        }),
        metrics: metrics.enabled.then(|| monitor::MetricsSettings {
            listen: listen(&metrics.host, metrics.port),
            tls: encrypted.then(|| monitor::Tls {
                certificate: metrics.cert_file.clone().unwrap_or_default(),
                key: metrics.key_file.clone().unwrap_or_default(),
                authorities: metrics.ca_file.clone(),
                client: match metrics.client_auth {
                    config::ClientAuth::NoClientCert => monitor::ClientAuth::None,
                    config::ClientAuth::RequireAny => monitor::ClientAuth::Any,
                    config::ClientAuth::VerifyIfGiven => monitor::ClientAuth::ValidIfGiven,
                    config::ClientAuth::RequireAndVerify => monitor::ClientAuth::Valid,
                },
            }),
            process: metrics.process,
            counters: match config.policy.counters {
                config::PolicyCounters::Enabled => true,
                config::PolicyCounters::Disabled => false,
            },
        }),
    }
}

/// Returns what reports of statuses are told of the configuration; the datastore is told nothing while the gate is closed.
pub fn status_settings(config: &Config, gate: Gate) -> status::Settings {
    let reported = &config.status;
    let settings = status::Settings {
        host: config.hostname.clone(),
        region: config.workload.openstack_region.clone(),
        process: reported.interval.map(|interval| status::ProcessSettings {
            interval,
            life: reported.ttl,
        }),
        endpoints: reported.endpoints.then_some(reported.endpoint_delay),
        files: reported.file_prefix.clone(),
    };
    match gate {
        Gate::Open => settings,
        Gate::Closed => status::Settings {
            process: None,
            endpoints: None,
            ..settings
        },
    }
}

/// Returns what the explanation of packets is told of the configuration.
pub fn explain_settings(config: &Config) -> explain::Settings {
    let policy = &config.policy;
    let workload = &config.workload;
    let failsafes = |ports: &[config::FailsafePort]| {
        let entry = |port: &config::FailsafePort| explain::Failsafe {
            protocol: failsafe(port).protocol,
            net: port.net,
            port: port.port,
        };
        ports.iter().map(entry).collect()
    };
    let judged = |allowed| {
        if allowed {
            explain::FromWorkloads::Judged
        } else {
            explain::FromWorkloads::Denied
        }
    };
    let metadata = workload.metadata_addr.as_deref();
    let metadata = metadata.and_then(|address| address.parse().ok());
    explain::Settings {
        workload_prefixes: policy.interface_prefixes.clone(),
        interface_exclude: policy.interface_exclude.clone(),
        ipv6: policy.ipv6_support,
        drop_invalid: !policy.disable_conntrack_invalid_check,
        failsafe_inbound: failsafes(&policy.failsafe_in),
        failsafe_outbound: failsafes(&policy.failsafe_out),
        neighbor_discovery: match policy.neighbor_discovery {
            config::NeighborDiscovery::Allow => explain::NeighborDiscovery::Allow,
            config::NeighborDiscovery::Policy => explain::NeighborDiscovery::Policy,
        },
        to_host: match policy.endpoint_to_host_action {
            config::EndpointToHostAction::Drop => explain::ToHostAction::Drop,
            config::EndpointToHostAction::Return => explain::ToHostAction::Return,
            config::EndpointToHostAction::Accept => explain::ToHostAction::Accept,
        },
        openstack: config.openstack_active().then(|| explain::OpenStack {
            metadata: metadata
                .zip(Some(workload.metadata_port))
                .filter(|(_, port)| *port != 0),
        }),
        vxlan_from_workloads: judged(workload.allow_vxlan),
        ipip_from_workloads: judged(workload.allow_ipip),
        source_spoofing: match workload.source_spoofing {
            config::SourceSpoofing::Disabled => explain::SourceSpoofing::Disabled,
            config::SourceSpoofing::Any => explain::SourceSpoofing::Any,
        },
        floating_addresses: match config.nat.floating_ips {
            config::FloatingIps::Disabled => explain::FloatingAddresses::OpenStackOnly,
            config::FloatingIps::Enabled => explain::FloatingAddresses::All,
        },
        deny: match policy.filter_deny_action {
            config::DenyAction::Drop => explain::DenyAction::Drop,
            config::DenyAction::Reject => explain::DenyAction::Reject,
        },
        ..explain::Settings::new(&config.hostname)
    }
}

/// Returns what the kernel's writer is told of the configuration.
pub fn writer_settings(config: &Config) -> kernel::Settings {
    kernel::Settings {
        table: table_name(),
        ownership: match config.kernel.table_owner {
            config::TableOwner::Auto => kernel::TableOwner::Auto,
            config::TableOwner::Enabled => kernel::TableOwner::Enabled,
            config::TableOwner::Disabled => kernel::TableOwner::Disabled,
        },
        timeout: config.kernel.netlink_timeout.unwrap_or(LONGEST_TIMEOUT),
    }
}

/// Returns how other tables know the packets that policy accepted; none where these carry no mark.
pub fn accepted(config: &Config) -> Option<kernel::Accepted> {
    match config.policy.filter_allow_action {
        config::AllowAction::Accept => {}
        config::AllowAction::Return => return None,
    }
    let marks = Marks::from_mask(config.policy.mark_mask).ok()?;
    Some(kernel::Accepted {
        mark: marks.accepted(),
        priority: last_filter_priority(position(config)),
    })
}

/// Returns what telemetry is told of the configuration.
pub fn log_settings(config: &Config) -> telemetry::LogSettings {
    let severity = |level: config::LogLevel| match level {
        config::LogLevel::Trace => telemetry::Severity::Trace,
        config::LogLevel::Debug => telemetry::Severity::Debug,
        config::LogLevel::Info => telemetry::Severity::Info,
        config::LogLevel::Warning => telemetry::Severity::Warning,
        config::LogLevel::Error => telemetry::Severity::Error,
        config::LogLevel::Fatal => telemetry::Severity::Fatal,
    };
    let log = &config.log;
    telemetry::LogSettings {
        screen: log.screen.map(severity),
        file: log.file_path.clone().zip(log.file.map(severity)),
        syslog: log.syslog.map(severity),
        format: match log.format {
            config::LogFormat::Text => telemetry::Format::Human,
            config::LogFormat::Json => telemetry::Format::Json,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_has_the_limits_that_are_named_for_felix() {
        let mut config = Config::default_for("host1");
        let seconds = |count| Some(Duration::from_secs(count));
        for (watchdog, overrides, turn, kernel) in [
            (90, &[][..], seconds(90), seconds(90)),
            (5, &[], seconds(20), seconds(20)),
            (
                90,
                &[("InternalDataplaneMainLoop", 300)],
                seconds(300),
                seconds(300),
            ),
            (90, &[("InternalDataplaneMainLoop", 0)], None, None),
            (90, &[("CalculationGraph", 30)], seconds(30), seconds(90)),
            (90, &[("CalculationGraph", 0)], None, seconds(90)),
            (
                90,
                &[("CalculationGraph", 3), ("InternalDataplaneMainLoop", 1)],
                seconds(20),
                seconds(20),
            ),
            (90, &[("FelixStartup", 1)], seconds(90), seconds(90)),
        ] {
            config.health.dataplane_timeout = Duration::from_secs(watchdog);
            config.health.timeout_overrides = overrides
                .iter()
                .map(|(name, count)| ((*name).to_owned(), Duration::from_secs(*count)))
                .collect();
            let patience = monitor_patience(&config);
            assert_eq!(
                patience,
                monitor::Patience { turn, kernel },
                "{overrides:?}"
            );
        }
    }
}
