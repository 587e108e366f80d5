//! The table of options, one row for each.

mod foreign;
mod foreign_bpf;
mod host;
mod policy;
mod servers;
mod workload;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::schema::Config;
use super::types::{FileNeed, Input, Unit};

/// What the option is about; a heading of the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// This host and its resources.
    Host,
    /// The etcd datastore.
    Etcd,
    /// Policy and the ruleset.
    Policy,
    /// Interfaces.
    Interfaces,
    /// The kernel's side.
    Kernel,
    /// Logs.
    Logs,
    /// Workload endpoints and their routes.
    Workloads,
    /// Address translation.
    Nat,
    /// Reports to the datastore.
    Status,
    /// Health and metrics.
    Servers,
    /// Identity of the cluster and the switches of other data planes.
    Cluster,
    /// Diagnostics.
    Diagnostics,
    /// Overlay networks.
    Overlay,
    /// `WireGuard`.
    Wireguard,
    /// eBPF and XDP.
    Bpf,
    /// Kubernetes, Typha and clouds.
    Kubernetes,
    /// iptables.
    Iptables,
    /// Routing between hosts.
    Routing,
    /// Flow logs.
    FlowLogs,
    /// Felix 1.4.
    Old,
}

impl Topic {
    /// Returns the heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Host => "Host and datastore",
            Self::Etcd => "etcd",
            Self::Policy => "Policy",
            Self::Interfaces => "Interfaces",
            Self::Kernel => "Kernel",
            Self::Logs => "Logs",
            Self::Workloads => "Workload endpoints",
            Self::Nat => "Address translation",
            Self::Status => "Status reports",
            Self::Servers => "Health and metrics",
            Self::Cluster => "Cluster identity",
            Self::Diagnostics => "Diagnostics",
            Self::Overlay => "Overlay networks (accepted, without effect)",
            Self::Wireguard => "WireGuard (accepted, without effect)",
            Self::Bpf => "eBPF and XDP (accepted, without effect)",
            Self::Kubernetes => "Kubernetes, Typha and clouds (accepted, without effect)",
            Self::Iptables => "iptables (accepted, without effect)",
            Self::Routing => "Routing between hosts (accepted, without effect)",
            Self::FlowLogs => "Flow logs (accepted, without effect)",
            Self::Old => "Felix 1.4 (accepted, without effect)",
        }
    }
}

/// How far an option takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It does what the page says.
    Works,
    /// It is parsed, and takes effect in a later release.
    Planned,
    /// It is parsed and has no effect, for this reason.
    Accepted(&'static str),
}

/// Who may set an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every source.
    Everywhere,
    /// The command line, the environment and the configuration file.
    Local,
}

/// What a bad value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFail {
    /// The default takes its place.
    Default,
    /// The daemon does not start with it.
    Die,
}

/// Whether `none` may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// The flags of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) scope: Scope,
    pub(super) on_fail: OnFail,
    pub(super) zero: Zero,
}

impl Flags {
    pub(super) const NONE: Self = Self {
        scope: Scope::Everywhere,
        on_fail: OnFail::Default,
        zero: Zero::Allowed,
    };
    pub(super) const LOCAL: Self = Self {
        scope: Scope::Local,
        ..Self::NONE
    };
    pub(super) const LOCAL_NON_ZERO: Self = Self {
        zero: Zero::Refused,
        ..Self::LOCAL
    };
    pub(super) const LOCAL_DIE_NON_ZERO: Self = Self {
        on_fail: OnFail::Die,
        ..Self::LOCAL_NON_ZERO
    };
    pub(super) const DIE: Self = Self {
        on_fail: OnFail::Die,
        ..Self::NONE
    };
    pub(super) const DIE_NON_ZERO: Self = Self {
        zero: Zero::Refused,
        ..Self::DIE
    };
}

/// One option.
#[derive(Debug)]
pub(super) struct Row {
    /// Canonical name.
    pub(super) name: &'static str,
    /// Other names for the same thing; the canonical one wins within a source.
    pub(super) aliases: &'static [&'static str],
    pub(super) topic: Topic,
    /// Name of the type for the reference page.
    pub(super) describe: fn() -> String,
    /// Unit of a duration.
    pub(super) unit: Unit,
    pub(super) file: FileNeed,
    /// Text of the default; empty is the zero value.
    pub(super) default: &'static str,
    pub(super) flags: Flags,
    pub(super) status: Status,
    /// Parses an input and puts it where it belongs.
    pub(super) set: fn(&mut Config, Input<'_>) -> Result<(), String>,
    pub(super) doc: &'static str,
}

impl Row {
    /// Tells whether the value is a file that is waited for.
    pub(super) fn names_required_file(&self) -> bool {
        self.file == FileNeed::MustExist
    }

    /// Tells whether the value is a list of ports that no policy closes.
    pub(super) fn lists_failsafe_ports(&self) -> bool {
        FAILSAFE_PORTS.contains(&self.name)
    }

    /// Tells whether the value must not be printed.
    pub(super) fn is_secret(&self) -> bool {
        self.name == ETCD_PASSWORD
    }
}

/// Names that other parts of the room refer to.
pub(super) const FELIX_HOSTNAME: &str = "FelixHostname";
pub(super) const DATASTORE_TYPE: &str = "DatastoreType";
pub(super) const ETCD_PASSWORD: &str = "EtcdPassword";

/// The lists of ports that no policy closes.
const FAILSAFE_PORTS: [&str; 2] = ["FailsafeInboundHostPorts", "FailsafeOutboundHostPorts"];

/// Makes a row from its parts.
macro_rules! row {
    (
        $name:literal, [$($alias:literal)*], $kind:ty, $default:literal, $topic:ident, $flags:ident,
        $status:expr, $set:expr, $doc:expr
    ) => {
        $crate::config::options::Row {
            name: $name,
            aliases: &[$($alias),*],
            topic: $crate::config::options::Topic::$topic,
            describe: <$kind as $crate::config::types::OptionType>::describe,
            unit: <$kind as $crate::config::types::OptionType>::UNIT,
            file: <$kind as $crate::config::types::OptionType>::FILE,
            default: $default,
            flags: $crate::config::options::Flags::$flags,
            status: $status,
            set: $set,
            doc: $doc,
        }
    };
}

/// Writes rows as `NAME | ALIAS: TYPE = DEFAULT, TOPIC, FLAGS, STATUS, ASSIGNMENT, MEANING;`.
macro_rules! table {
    ($(
        $name:literal $(| $alias:literal)*: $kind:ty = $default:literal,
        $topic:ident, $flags:ident, $status:expr,
        |$config:ident, $value:ident| $set:expr, $doc:literal;
    )+) => {
        pub(super) static ROWS: &[Row] = &[$(
            $crate::config::options::row!(
                $name, [$($alias)*], $kind, $default, $topic, $flags, $status,
                |$config, input| {
                    let $value = $crate::config::types::read::<$kind>(input)?;
                    $set;
                    Ok(())
                },
                $doc
            ),
        )+];
    };
}

/// Writes rows whose value is checked and then forgotten, as groups of one topic and one reason:
/// `TOPIC, REASON: NAME: TYPE = DEFAULT, MEANING; ...`.
macro_rules! ignored {
    ($(
        $topic:ident, $why:literal:
        $($name:literal: $kind:ty = $default:literal, $doc:literal;)+
    )+) => {
        pub(super) static ROWS: &[Row] = &[$($(
            $crate::config::options::row!(
                $name, [], $kind, $default, $topic, NONE,
                $crate::config::options::Status::Accepted($why),
                |_, input| $crate::config::types::read::<$kind>(input).map(drop),
                $doc
            ),
        )+)+];
    };
}

use {ignored, row, table};

/// Returns every row, in the order in which they are applied.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    [
        host::ROWS,
        policy::ROWS,
        servers::ROWS,
        workload::ROWS,
        foreign::ROWS,
        foreign_bpf::ROWS,
    ]
    .into_iter()
    .flatten()
}

static BY_NAME: LazyLock<BTreeMap<String, &'static Row>> = LazyLock::new(|| {
    all()
        .flat_map(|row| {
            std::iter::once(row.name)
                .chain(row.aliases.iter().copied())
                .map(move |name| (name.to_ascii_lowercase(), row))
        })
        .collect()
});

/// Finds the row of a name or an alias, without regard to case.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    BY_NAME.get(&name.to_ascii_lowercase()).copied()
}
