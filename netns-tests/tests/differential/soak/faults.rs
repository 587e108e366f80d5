//! What goes wrong in a turn.

use netns_tests::random::Random;

use super::Ends;
use super::store::Backing;
use crate::network::Site;

/// When a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before resources change; it starts after that.
    Before,
    /// While it learns of the change.
    During,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By SIGKILL.
    Killed,
    /// By SIGTERM.
    Asked,
}

/// What a daemon finds that starts while its store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The table, as after an upgrade.
    Table,
    /// The last good state alone, as after a boot.
    Kept,
    /// The same, and the file is damaged.
    Damaged(Damage),
}

/// How a file is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// One bit is another.
    Altered,
    /// Its end is missing.
    Short,
    /// Others may write it.
    Shared,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The daemon ends, and starts again while its store is away.
    Away(Found),
    /// The daemon ends and starts again.
    End(How, Moment),
    /// The interface of a workload goes down and comes up.
    Flap(Site),
    /// The daemon's connections to etcd are cut, and it cannot connect while resources change.
    Cut,
    /// etcd is killed and starts again.
    Killed,
    /// etcd does not answer for a moment.
    Paused,
    /// Somebody else changes our table.
    Foreign(&'static str),
    /// Somebody else changes it so that the kernel refuses what the daemon wants, which has not heard of it yet.
    Unheard,
    /// A policy comes that the kernel refuses.
    TooLong,
    /// A second daemon is started, which knows of no resources.
    Second,
}

/// What others do to our table, as arguments of `nft`. Where the table is owned, they must not be able to.
const FOREIGN: [&str; 6] = [
    "delete table inet tortie",
    "flush table inet tortie",
    "flush chain inet tortie forward-wl-to",
    "insert rule inet tortie forward-wl-from accept",
    "flush map inet tortie wl-to-if",
    "delete chain inet tortie prednat",
];

/// Says whether a kind of fault is to be left out, by a list in the environment.
fn is_without(name: &str) -> bool {
    let list = std::env::var("SOAK_WITHOUT").unwrap_or_default();
    list.split(',').any(|it| it == name)
}

impl Fault {
    /// Returns what the first turn meets: it is seldom, and a short run is to meet it as well.
    pub(super) fn first() -> Vec<Self> {
        let refused = (!is_without("refusals")).then_some(Self::TooLong);
        refused.into_iter().collect()
    }

    /// Chooses none, one or several.
    pub(super) fn some(random: &mut Random, backing: Backing, ends: Ends) -> Vec<Self> {
        let how = *random.pick(&[How::Killed, How::Killed, How::Asked]);
        let moment = *random.pick(&[Moment::Before, Moment::During]);
        let etcd = *random.weighted(&[(4, Self::Cut), (1, Self::Killed), (2, Self::Paused)]);
        let site = *random.pick(&[Site::Work0, Site::Work1]);
        let foreign = *random.pick(&FOREIGN);
        let damage = *random.pick(&[Damage::Altered, Damage::Short, Damage::Shared]);
        let found = *random.pick(&[Found::Table, Found::Kept, Found::Damaged(damage)]);
        let of_etcd = match backing {
            Backing::Directory => 0,
            Backing::Etcd => 15,
        };
        let (of_ends, away) = match ends {
            Ends::Often => (20, 8),
            Ends::Never => (0, 0),
        };
        let too_long = match (backing, ends) {
            (Backing::Directory, Ends::Often) => 4,
            // A policy of such a size would be most of what a daemon holds whose memory is to be flat.
            (Backing::Directory, Ends::Never) | (Backing::Etcd, Ends::Often | Ends::Never) => 0,
        };
        let mut faults: Vec<Self> = [
            (away, "away", Self::Away(found)),
            (of_etcd, "etcd", etcd),
            (of_ends, "ends", Self::End(how, moment)),
            (10, "flaps", Self::Flap(site)),
            (15, "foreign", Self::Foreign(foreign)),
            (6, "refusals", Self::Unheard),
            (too_long, "refusals", Self::TooLong),
            (5, "seconds", Self::Second),
        ]
        .into_iter()
        .filter(|(percent, name, _)| random.chance(*percent) && !is_without(name))
        .map(|(_, _, fault)| fault)
        .collect();
        if faults.contains(&Self::TooLong) {
            // What waits for a start would wait long, since each tries the policy that the kernel refuses.
            let starts = faults.iter().any(|fault| matches!(fault, Self::End(..)));
            faults.retain(|fault| match fault {
                Self::TooLong | Self::End(..) | Self::Flap(_) => true,
                Self::Foreign(_) => !starts,
                Self::Away(_)
                | Self::Cut
                | Self::Killed
                | Self::Paused
                | Self::Unheard
                | Self::Second => false,
            });
        }
        faults
    }

    /// Returns what it is counted as.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Away(Found::Table) => "away",
            Self::Away(Found::Kept) => "last good",
            Self::Away(Found::Damaged(_)) => "damaged file",
            Self::End(How::Killed, _) => "killed",
            Self::End(How::Asked, _) => "ended",
            Self::Flap(_) => "flap",
            Self::Cut => "etcd cut",
            Self::Killed => "etcd killed",
            Self::Paused => "etcd paused",
            Self::Foreign(_) => "foreign",
            Self::Unheard => "unheard",
            Self::TooLong => "too long",
            Self::Second => "second",
        }
    }
}
