//! The `telemetry` room: how the agent tells what it does.
//!
//! In: events and spans of `tracing`, and the [`LogSettings`] in force. Out: lines on stderr and in a file.
//! May touch: `tracing`, `jiff`, stderr, the log file. `error_chain`, `line` and `severity` are pure.
//! Absent: every other room, the environment, and anything that could hold up whoever logs.

mod error;
mod error_chain;
mod file;
mod line;
mod queue;
mod record;
mod severity;
mod tracing;

pub use self::error::LogError;
pub use self::error_chain::ErrorChain;
pub use self::line::Format;
pub use self::severity::{Severity, SeverityError};
pub use self::tracing::{LogHandle, LogSettings, install};
