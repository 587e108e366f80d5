//! Rows of the host, its datastore, its logs, its interfaces and its kernel.

use super::Status::{Accepted, Planned, Works};
use super::{DATASTORE_TYPE, ETCD_PASSWORD, FELIX_HOSTNAME, Row, row};
use crate::config::choices::{
    ChainInsertMode, DatastoreKind, EtcdScheme, HostChainAccept, IpForwarding, LogFormat, LogLevel,
    TableOwner,
};
use crate::config::types::{
    AnyInt, Authority, Bool, EndpointList, ExistingFile, FilePath, Hostname, InterfaceList,
    InterfacePatterns, Interval, MarkMask, OneOf, Seconds, SecretText, SinkLevel, Text,
};

pub(super) static ROWS: &[Row] = &[
    row!(
        FELIX_HOSTNAME,
        [],
        Host,
        Hostname,
        "",
        LOCAL_NON_ZERO,
        Works,
        |c, v| c.hostname = v,
        "Name of this host in resources. By default the kernel's hostname, else the variable \
         `HOSTNAME`, in lower case and without spaces around it; a name set here is taken as it is."
    ),
    row!(
        DATASTORE_TYPE,
        [],
        Host,
        OneOf<DatastoreKind>,
        "",
        LOCAL_DIE_NON_ZERO,
        Works,
        |c, v| c.datastore.kind = v,
        "Where resources come from. By default `directory`, or `etcdv3` as soon as any source sets \
         one of the etcd options. `etcdv3` comes in a later release; the old word `etcdv2` means \
         `etcdv3`, since etcd is spoken to with version 3 of its API alone. `kubernetes` is refused."
    ),
    row!(
        "DatastorePath",
        [],
        Host,
        FilePath,
        "/etc/tortie/resources",
        LOCAL_DIE_NON_ZERO,
        Works,
        |c, v| c.datastore.path = v.unwrap_or_default(),
        "Directory whose YAML and JSON files are the resources, if the datastore is `directory`."
    ),
    row!(
        "EtcdAddr",
        [],
        Etcd,
        Authority,
        "127.0.0.1:2379",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.addr = v,
        "Address of a single etcd server, used if there are no endpoints."
    ),
    row!(
        "EtcdScheme",
        [],
        Etcd,
        OneOf<EtcdScheme>,
        "http",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.scheme = v,
        "Scheme that goes with `EtcdAddr`."
    ),
    row!(
        "EtcdEndpoints",
        [],
        Etcd,
        EndpointList,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.endpoints = v,
        "URLs of the members of the etcd cluster, all of one scheme, without path or user. \
         Overrides `EtcdAddr` and `EtcdScheme`."
    ),
    row!(
        "EtcdDiscoverySrv",
        [],
        Etcd,
        Text,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.discovery_srv = Some(v).filter(|v| !v.is_empty()),
        "Domain whose SRV records name the members; not together with `EtcdEndpoints`. Not \
         Felix's: it follows `ETCD_DISCOVERY_SRV`."
    ),
    row!(
        "EtcdKeyFile",
        [],
        Etcd,
        ExistingFile,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.key_file = v,
        "Private key of the TLS client."
    ),
    row!(
        "EtcdCertFile",
        [],
        Etcd,
        ExistingFile,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.cert_file = v,
        "Certificate of the TLS client."
    ),
    row!(
        "EtcdCaFile",
        [],
        Etcd,
        ExistingFile,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.ca_file = v,
        "Authorities that may sign a server's certificate; the system's by default."
    ),
    row!(
        "EtcdUsername",
        [],
        Etcd,
        Text,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.username = Some(v).filter(|v| !v.is_empty()),
        "User to log in to etcd as, used only with a password. Not Felix's: it follows \
         `ETCD_USERNAME`."
    ),
    row!(
        ETCD_PASSWORD,
        [],
        Etcd,
        SecretText,
        "",
        LOCAL,
        Planned,
        |c, v| c.datastore.etcd.password = v,
        "Password of that user, never logged. Not Felix's: it follows `ETCD_PASSWORD`."
    ),
    row!(
        "LogFilePath",
        [],
        Logs,
        FilePath,
        "/var/log/calico/felix.log",
        DIE,
        Works,
        |c, v| c.log.file_path = v,
        "File that log lines are appended to; opened anew after rotation. `none` writes no file."
    ),
    row!(
        "LogSeverityFile",
        [],
        Logs,
        SinkLevel,
        "INFO",
        NONE,
        Works,
        |c, v| c.log.file = v,
        "Level of the log file; `none` turns it off. `CRITICAL` means `FATAL`."
    ),
    row!(
        "LogSeverityScreen",
        [],
        Logs,
        SinkLevel,
        "INFO",
        NONE,
        Works,
        |c, v| c.log.screen = v,
        "Level of standard error; `none` turns it off."
    ),
    row!(
        "LogSeveritySys",
        [],
        Logs,
        SinkLevel,
        "INFO",
        NONE,
        Accepted("standard error reaches the journal under systemd"),
        |c, v| c.log.syslog = v,
        "Level of syslog; `none` turns it off."
    ),
    row!(
        "LogFormat",
        [],
        Logs,
        OneOf<LogFormat>,
        "Text",
        DIE_NON_ZERO,
        Works,
        |c, v| c.log.format = v,
        "Form of the log lines: for people, or one JSON object a line. Not Felix's."
    ),
    row!(
        "EarlyLogSeverityScreen",
        [],
        Logs,
        OneOf<LogLevel>,
        "ERROR",
        LOCAL,
        Accepted("configuration is read before the first line is logged"),
        |_, _| (),
        "Level of what Felix logs before it has read its configuration."
    ),
    row!(
        "LogDebugFilenameRegex",
        [],
        Logs,
        Text,
        "",
        NONE,
        Accepted("it names source files of Felix"),
        |_, _| (),
        "Source files whose debug messages are logged."
    ),
    row!(
        "DebugDisableLogDropping",
        [],
        Logs,
        Bool,
        "false",
        NONE,
        Planned,
        |c, v| c.log.never_drop = v,
        "Waits for a slow log sink instead of dropping messages."
    ),
    row!(
        "InterfacePrefix",
        [],
        Interfaces,
        InterfaceList,
        "cali",
        DIE_NON_ZERO,
        Works,
        |c, v| c.policy.interface_prefixes = v,
        "Beginnings of the names of workload interfaces, without spaces. Every other interface is \
         the host's."
    ),
    row!(
        "InterfaceExclude",
        [],
        Interfaces,
        InterfacePatterns,
        "kube-ipvs0",
        NONE,
        Works,
        |c, v| c.policy.interface_exclude = v,
        "Interfaces that are left alone: names, and regular expressions between slashes, which may \
         match anywhere in a name."
    ),
    row!(
        "InterfaceRefreshInterval",
        [],
        Interfaces,
        Interval,
        "90",
        NONE,
        Works,
        |c, v| c.links.refresh_interval = v,
        "Time between two full listings of interfaces and addresses, beside the changes that the \
         kernel reports at once."
    ),
    row!(
        "IPForwarding",
        [],
        Interfaces,
        OneOf<IpForwarding>,
        "Enabled",
        NONE,
        Planned,
        |c, v| c.links.ip_forwarding = v,
        "Turns on forwarding between interfaces."
    ),
    row!(
        "TableOwner",
        [],
        Kernel,
        OneOf<TableOwner>,
        "Auto",
        LOCAL_DIE_NON_ZERO,
        Works,
        |c, v| c.kernel.table_owner = v,
        "Whether the kernel lets only the daemon change its table. `Auto` does so where the kernel \
         (6.9 and later) can keep an owned table after its owner's death; `Enabled` refuses to \
         start elsewhere; `Disabled` never does. Takes effect at a restart. Not Felix's."
    ),
    row!(
        "ChainInsertMode",
        [],
        Kernel,
        OneOf<ChainInsertMode>,
        "insert",
        DIE_NON_ZERO,
        Works,
        |c, v| c.policy.chain_insert_mode = v,
        "Whether policy runs before (`insert`) or after (`append`) the host's own rules: base \
         chains get negative or positive priorities."
    ),
    row!(
        "HostChainAccept",
        [],
        Kernel,
        OneOf<HostChainAccept>,
        "Advise",
        DIE_NON_ZERO,
        Planned,
        |c, v| c.policy.host_chain_accept = v,
        "What to do about INPUT and FORWARD chains of the host that drop by default and so undo \
         what policy allows: name the rule to add in the log, or insert it. Not Felix's."
    ),
    row!(
        "NftablesRefreshInterval",
        ["IptablesRefreshInterval"],
        Kernel,
        Interval,
        "180",
        NONE,
        Works,
        |c, v| c.kernel.refresh_interval = v,
        "Time between two comparisons of the rules with what the kernel holds."
    ),
    row!(
        "IpsetsRefreshInterval",
        [],
        Kernel,
        Interval,
        "90",
        NONE,
        Works,
        |c, v| c.kernel.sets_refresh_interval = v,
        "Time between two comparisons of the members of sets with what the kernel holds."
    ),
    row!(
        "NetlinkTimeoutSecs",
        [],
        Kernel,
        Seconds,
        "10",
        NONE,
        Works,
        |c, v| c.kernel.netlink_timeout = v,
        "Time to wait for an answer of the kernel before its state counts as unknown."
    ),
    row!(
        "NftablesMarkMask",
        ["IptablesMarkMask"],
        Kernel,
        MarkMask,
        "0xffff0000",
        DIE_NON_ZERO,
        Works,
        |c, v| c.policy.mark_mask = v,
        "Bits of the packet mark that tortie may use and no other program does."
    ),
    row!(
        "MaxIpsetSize",
        [],
        Kernel,
        AnyInt,
        "1048576",
        NONE,
        Accepted("sets of nftables grow as they need"),
        |_, _| (),
        "Largest number of members of a set."
    ),
];
