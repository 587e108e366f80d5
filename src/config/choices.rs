//! Options whose value is one word of a closed list.

/// A closed list of words that an option accepts, matched without regard to case.
pub(super) trait Choice: Copy + Default + 'static {
    /// Every word in its canonical spelling, with what it means.
    const WORDS: &'static [(&'static str, Self)];
    /// Words of older releases, accepted and not advertised.
    const OLD_WORDS: &'static [(&'static str, Self)] = &[];
}

/// Defines an enum of words; the variant marked `default` is also what the value `none` means.
macro_rules! choice {
    (
        $(#[$meta:meta])* $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
        $(old { $($old_word:literal => $old_variant:ident,)+ })?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
            $(const OLD_WORDS: &'static [(&'static str, Self)] =
                &[$(($old_word, Self::$old_variant),)+];)?
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }
    };
}

choice! {
    /// Where resources come from.
    DatastoreKind {
        /// A directory of YAML and JSON files.
        #[default]
        Directory = "directory",
        /// An etcd cluster, spoken to with version 3 of its API.
        Etcd = "etcdv3",
        /// A Kubernetes API server; recognised so that it can be refused by name.
        Kubernetes = "kubernetes",
    }
    old {
        "etcdv2" => Etcd,
    }
}

choice! {
    /// URL scheme of a single etcd address.
    EtcdScheme {
        /// Plain text.
        #[default]
        Http = "http",
        /// TLS.
        Https = "https",
    }
}

choice! {
    /// Whether the kernel's table belongs to the daemon's socket.
    TableOwner {
        /// Owned where the kernel can keep an owned table after its owner's death.
        #[default]
        Auto = "Auto",
        /// Owned, or no start.
        Enabled = "Enabled",
        /// Never owned; foreign changes are found and repaired.
        Disabled = "Disabled",
    }
}

choice! {
    /// Whether neighbour discovery and multicast listener messages pass a host endpoint.
    NeighborDiscovery {
        /// `ICMPv6` types 130 to 136 and 143 are allowed to and from every host endpoint.
        #[default]
        Allow = "Allow",
        /// They are judged by policy like any other packet, as Felix does.
        Policy = "Policy",
    }
}

choice! {
    /// Whether packets are counted by policy.
    PolicyCounters {
        /// They are not.
        #[default]
        Disabled = "Disabled",
        /// Rules that decide have counters.
        Enabled = "Enabled",
    }
}

choice! {
    /// How the accepted mark reaches the host's own INPUT and FORWARD chains.
    HostChainAccept {
        /// The log names the rule to add.
        #[default]
        Advise = "Advise",
        /// The rule is put at the head of the chains.
        Insert = "Insert",
    }
}

choice! {
    /// What becomes of what Felix has left in nftables.
    FelixCleanup {
        /// It is removed, unless a Felix lives.
        #[default]
        Remove = "Remove",
        /// The log names it.
        Advise = "Advise",
        /// It is not looked for.
        Off = "Off",
    }
}

choice! {
    /// Form of the log lines.
    LogFormat {
        /// One line for people.
        #[default]
        Text = "Text",
        /// One JSON object a line.
        Json = "Json",
    }
}

choice! {
    /// Least severe message that a log sink takes.
    LogLevel {
        /// Everything, down to single messages of the kernel.
        Trace = "TRACE",
        /// One line for each decision.
        Debug = "DEBUG",
        /// Changes of state that an operator would note.
        #[default]
        Info = "INFO",
        /// Rejected objects and repaired drift.
        Warning = "WARNING",
        /// What is enforced is not what was asked for.
        Error = "ERROR",
        /// The daemon cannot go on.
        Fatal = "FATAL",
    }
    old {
        "CRITICAL" => Fatal,
    }
}

choice! {
    /// What happens to a packet that policy denies.
    DenyAction {
        /// It vanishes.
        #[default]
        Drop = "DROP",
        /// Its sender is told.
        Reject = "REJECT",
    }
}

choice! {
    /// What happens to a packet that policy allows.
    AllowAction {
        /// It is accepted at once.
        #[default]
        Accept = "ACCEPT",
        /// It goes on through the host's own rules.
        Return = "RETURN",
    }
}

choice! {
    /// What happens to a packet from a workload to the host that the workload's policy allows.
    EndpointToHostAction {
        /// It vanishes.
        #[default]
        Drop = "DROP",
        /// It goes on through the host's own rules.
        Return = "RETURN",
        /// It is accepted at once.
        Accept = "ACCEPT",
    }
}

choice! {
    /// Whether policy runs before or after the host's own rules.
    ChainInsertMode {
        /// Before: base chains have negative priorities.
        #[default]
        Insert = "insert",
        /// After: base chains have positive priorities.
        Append = "append",
    }
}

choice! {
    /// Whether a workload may ask to send from addresses that are not its own.
    SourceSpoofing {
        /// The request makes the endpoint invalid.
        #[default]
        Disabled = "Disabled",
        /// Any prefix may be asked for.
        Any = "Any",
    }
}

choice! {
    /// What happens to packets for a service address that no service answers.
    ServiceLoopPrevention {
        /// Nothing is done about them.
        #[default]
        Disabled = "Disabled",
        /// They vanish.
        Drop = "Drop",
        /// Their sender is told.
        Reject = "Reject",
    }
}

choice! {
    /// Whether the daemon turns on forwarding between interfaces.
    IpForwarding {
        /// The setting of the host is left alone.
        #[default]
        Disabled = "Disabled",
        /// Forwarding is turned on where workloads need it.
        Enabled = "Enabled",
    }
}

choice! {
    /// Whether one-to-one NAT of workload endpoints is programmed.
    FloatingIps {
        /// Only for `OpenStack`.
        #[default]
        Disabled = "Disabled",
        /// For every endpoint that asks.
        Enabled = "Enabled",
    }
}

choice! {
    /// Destinations that are reached without masquerading.
    NatExclusions {
        /// The pools alone.
        #[default]
        PoolsOnly = "IPPoolsOnly",
        /// The pools and the addresses of all hosts.
        PoolsAndHosts = "IPPoolsAndHostIPs",
    }
}

choice! {
    /// What the metrics server asks of a client's certificate.
    ClientAuth {
        /// Nothing.
        #[default]
        NoClientCert = "NoClientCert",
        /// Any certificate.
        RequireAny = "RequireAnyClientCert",
        /// A valid one if there is one.
        VerifyIfGiven = "VerifyClientCertIfGiven",
        /// A valid one.
        RequireAndVerify = "RequireAndVerifyClientCert",
    }
}

choice! {
    /// Unit of time of a rate.
    TimeUnit {
        /// Per second.
        #[default]
        Second = "second",
        /// Per minute.
        Minute = "minute",
        /// Per hour.
        Hour = "hour",
        /// Per day.
        Day = "day",
    }
}
