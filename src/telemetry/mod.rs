//! The `telemetry` room: how the agent tells what it does.
//!
//! In: events and spans of `tracing`, and the [`LogSettings`] in force. Out: lines on stderr, in a file and in the system log.
//! May touch: `tracing`, `jiff`, stderr, the log file, the socket of the system log. `error_chain`, `line` and `severity` are pure.
//! Absent: every other room, the environment, and anything that could hold up whoever logs.

mod error;
mod error_chain;
mod file;
mod line;
mod queue;
mod record;
mod severity;
mod syslog;
mod tracing;

pub use self::error::LogError;
pub use self::error_chain::ErrorChain;
pub use self::line::Format;
pub use self::severity::{Severity, SeverityError};
pub use self::tracing::{LogHandle, LogLosses, LogSettings, install};
