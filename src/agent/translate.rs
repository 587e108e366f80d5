//! The configuration, in each room's own words.

use std::time::Duration;

use crate::calc;
use crate::config::{self, Config};
use crate::explain;
use crate::kernel;
use crate::model::NodeName;
use crate::net::{InterfaceName, Protocol};
use crate::nft::{Limit, LimitUnit};
use crate::render::{
    ChainPosition, DenyAction, Failsafe, MarkError, Marks, NeighborDiscovery, Settings, table_name,
};
use crate::telemetry;

/// How long an answer is awaited where `NetlinkTimeout` sets no limit: the kernel answers while it is asked, so a
/// longer silence is a fault.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Returns what calc is told of the configuration.
pub fn calc_settings(config: &Config) -> calc::Settings {
    calc::Settings {
        node: NodeName::new(&config.hostname),
        interface_prefixes: config.policy.interface_prefixes.clone(),
        interface_exclude: config.policy.interface_exclude.clone(),
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
        position: match policy.chain_insert_mode {
            config::ChainInsertMode::Insert => ChainPosition::Insert,
            config::ChainInsertMode::Append => ChainPosition::Append,
        },
    })
}

/// Translates one failsafe port.
fn failsafe(port: &config::FailsafePort) -> Failsafe {
    Failsafe {
        protocol: match port.protocol {
            config::FailsafeProtocol::Tcp => Protocol::TCP,
            config::FailsafeProtocol::Udp => Protocol::UDP,
        },
        net: port.net,
        port: port.port,
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
        format: match log.format {
            config::LogFormat::Text => telemetry::Format::Human,
            config::LogFormat::Json => telemetry::Format::Json,
        },
    }
}
