//! What is reported, and where.

use std::path::PathBuf;
use std::time::Duration;

/// What is to be reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// This host, as the datastore knows it.
    pub host: String,
    /// The region that keys carry.
    pub region: Option<String>,
    /// How the process is reported; not at all if absent.
    pub process: Option<ProcessSettings>,
    /// The time between two writes about endpoints; these are not reported if absent.
    pub endpoints: Option<Duration>,
    /// The directory below which status files are kept; none if absent.
    pub files: Option<PathBuf>,
}

/// How the process is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The time between two reports.
    pub interval: Duration,
    /// How long a report lives; for ever if this is zero.
    pub life: Duration,
}
