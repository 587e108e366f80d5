//! How the daemon ends.

/// Why the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to.
    Stopped,
    /// Its configuration cannot be used.
    Configuration,
    /// Another process polices this namespace.
    Occupied,
    /// Something that it cannot do without failed.
    Failed,
}

impl ExitReason {
    /// Returns the exit code: `EX_CONFIG` and `EX_TEMPFAIL` of `sysexits.h` where they say it best.
    pub fn code(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Configuration => 78,
            Self::Occupied => 75,
            Self::Failed => 1,
        }
    }
}
