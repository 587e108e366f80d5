//! Rows of the host, its datastore, its logs, its interfaces and its kernel.

use super::Status::{Accepted, Planned, Works};
use super::{Row, table};
use crate::config::choices::{
    ChainInsertMode, DatastoreKind, EtcdScheme, FelixCleanup, HostChainAccept, IpForwarding,
    LogFormat, TableOwner,
};
use crate::config::types::{
    Authority, Bool, EndpointList, ExistingFile, FilePath, Hostname, InterfaceList,
    InterfacePatterns, Interval, MarkMask, OneOf, SecretText, SinkLevel, Text,
};

table! {
    "FelixHostname": Hostname = "", Host, LOCAL_DIE_NON_ZERO, Works,
        |c, v| c.hostname = v,
        "Name of this host in resources. By default the kernel's hostname, else the variable \
         `HOSTNAME`, in lower case and without spaces around it; a name set here is taken as it \
         is.";
    "DatastoreType": OneOf<DatastoreKind> = "", Host, LOCAL_DIE_NON_ZERO, Works,
        |c, v| c.datastore.kind = v,
        "Where resources come from. By default `directory`, or `etcdv3` as soon as any source \
         sets one of the etcd options. The old word `etcdv2` means `etcdv3`, since etcd is spoken \
         to with version 3 of its API alone. `kubernetes` is refused.";
    "DatastorePath": FilePath = "/etc/tortie/resources", Host, LOCAL_DIE_NON_ZERO, Works,
        |c, v| c.datastore.path = v.unwrap_or_default(),
        "Directory whose YAML and JSON files are the resources, if the datastore is `directory`.";
    "EtcdAddr": Authority = "127.0.0.1:2379", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.addr = v,
        "Address of a single etcd server, used if there are no endpoints.";
    "EtcdScheme": OneOf<EtcdScheme> = "http", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.scheme = v,
        "Scheme that goes with `EtcdAddr`.";
    "EtcdEndpoints": EndpointList = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.endpoints = v,
        "URLs of the members of the etcd cluster, all of one scheme, without path or user. \
         Overrides `EtcdAddr` and `EtcdScheme`.";
    "EtcdDiscoverySrv": Text = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.discovery_srv = Some(v).filter(|v| !v.is_empty()),
        "Domain whose SRV records name the members. A start with it is refused, since no members are \
         looked up: name them in `EtcdEndpoints`. Not Felix's: it follows `ETCD_DISCOVERY_SRV`.";
    "EtcdKeyFile": ExistingFile = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.key_file = v,
        "Private key of the TLS client.";
    "EtcdCertFile": ExistingFile = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.cert_file = v,
        "Certificate of the TLS client.";
    "EtcdCaFile": ExistingFile = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.ca_file = v,
        "Authorities that may sign a server's certificate; the system's by default.";
    "EtcdUsername": Text = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.username = Some(v).filter(|v| !v.is_empty()),
        "User to log in to etcd as, used only with a password. Not Felix's: it follows \
         `ETCD_USERNAME`.";
    "EtcdPassword": SecretText = "", Etcd, LOCAL, Works,
        |c, v| c.datastore.etcd.password = v,
        "Password of that user, never logged. Not Felix's: it follows `ETCD_PASSWORD`.";
    "LogFilePath": FilePath = "/var/log/calico/felix.log", Logs, DIE, Works,
        |c, v| c.log.file_path = v,
        "File that log lines are appended to; opened anew after rotation. `none` writes no file.";
    "LogSeverityFile": SinkLevel = "INFO", Logs, NONE, Works,
        |c, v| c.log.file = v,
        "Level of the log file; `none` turns it off. `CRITICAL` means `FATAL`.";
    "LogSeverityScreen": SinkLevel = "INFO", Logs, NONE, Works,
        |c, v| c.log.screen = v,
        "Level of standard error; `none` turns it off.";
    "LogSeveritySys": SinkLevel = "INFO", Logs, NONE, Works,
        |c, v| c.log.syslog = v,
        "Level of the system log, by the socket `/dev/log`, facility `user`, name `calico-felix`; \
         `none` turns it off.";
    "LogFormat": OneOf<LogFormat> = "Text", Logs, DIE_NON_ZERO, Works,
        |c, v| c.log.format = v,
        "Form of the log lines: for people, or one JSON object a line. Not Felix's.";
    "DebugDisableLogDropping": Bool = "false", Logs, NONE,
        Accepted("logging never holds up enforcement; what is dropped is counted"),
        |c, v| c.log.never_drop = v,
        "Waits for a slow log sink instead of dropping messages.";
    "InterfacePrefix": InterfaceList = "cali", Interfaces, DIE_NON_ZERO, Works,
        |c, v| c.policy.interface_prefixes = v,
        "Beginnings of the names of workload interfaces, without spaces. Every other interface is \
         the host's.";
    "InterfaceExclude": InterfacePatterns = "kube-ipvs0", Interfaces, NONE, Works,
        |c, v| c.policy.interface_exclude = v,
        "Interfaces that are left alone: names, and regular expressions between slashes, which \
         may match anywhere in a name.";
    "InterfaceRefreshInterval": Interval = "90", Interfaces, NONE, Planned,
        |c, v| c.links.refresh_interval = v,
        "Time between two full listings of interfaces and addresses, beside the changes that the \
         kernel reports at once.";
    "IPForwarding": OneOf<IpForwarding> = "Enabled", Interfaces, NONE, Works,
        |c, v| c.links.ip_forwarding = v,
        "Turns on forwarding between interfaces. Interfaces that heed IPv6 router \
         advertisements go on to: their `accept_ra` becomes 2.";
    "TableOwner": OneOf<TableOwner> = "Auto", Kernel, LOCAL_DIE_NON_ZERO, Works,
        |c, v| c.kernel.table_owner = v,
        "Whether the kernel lets only the daemon change its table. `Auto` does so where the \
         kernel (6.9 and later) can keep an owned table after its owner's death; `Enabled` \
         refuses to start elsewhere; `Disabled` never does. Takes effect at a restart. Not \
         Felix's.";
    "ChainInsertMode": OneOf<ChainInsertMode> = "insert", Kernel, DIE_NON_ZERO, Works,
        |c, v| c.policy.chain_insert_mode = v,
        "Whether policy runs before (`insert`) or after (`append`) the host's own rules: base \
         chains get negative or positive priorities.";
    "HostChainAccept": OneOf<HostChainAccept> = "Advise", Kernel, DIE_NON_ZERO, Works,
        |c, v| c.policy.host_chain_accept = v,
        "What to do about INPUT and FORWARD chains of the host that drop by default and so undo \
         what policy allows: name the rule to add in the log, or insert it. Not Felix's.";
    "NftablesRefreshInterval" | "IptablesRefreshInterval": Interval = "180", Kernel, NONE, Works,
        |c, v| c.kernel.refresh_interval = v,
        "Time between two comparisons of a table that is not owned with what it should be, and two looks \
         at the host's own INPUT and FORWARD chains (`HostChainAccept`) and at what Felix has left \
         (`FelixCleanup`), at the latter each minute while something keeps it.";
    "FelixCleanup": OneOf<FelixCleanup> = "Remove", Kernel, DIE_NON_ZERO, Works,
        |c, v| c.kernel.felix_cleanup = v,
        "What to do about what Felix has left in nftables, once our rules are in force: remove it \
         unless a Felix lives or something would be without policy, or closed, name it in the log, or not look. \
         Not Felix's.";
    "IpsetsRefreshInterval": Interval = "90", Kernel, NONE, Planned,
        |c, v| c.kernel.sets_refresh_interval = v,
        "Time between two comparisons of the members of sets with what the kernel holds.";
    "NetlinkTimeoutSecs": Interval = "10", Kernel, NONE, Works,
        |c, v| c.kernel.netlink_timeout = v,
        "Time to wait for an answer of the kernel before its state counts as unknown; 0 is without limit.";
    "NftablesMarkMask" | "IptablesMarkMask": MarkMask = "0xffff0000", Kernel, DIE_NON_ZERO, Works,
        |c, v| c.policy.mark_mask = v,
        "Bits of the packet mark that tortie may use and no other program does.";
}
