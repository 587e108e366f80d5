//! Felix's names of log levels.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// How grave a message must be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Everything.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator would note.
    Info,
    /// What is wrong and was got round.
    Warning,
    /// What is wrong.
    Error,
    /// What ends the process, which is printed at its end and never logged.
    Fatal,
}

impl Severity {
    /// Returns the levels of `tracing` that are at least as grave.
    pub(super) fn filter(self) -> LevelFilter {
        match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
            Self::Fatal => LevelFilter::OFF,
        }
    }
}

impl FromStr for Severity {
    type Err = SeverityError;

    /// Accepts Felix's names in any case, those of all its versions.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warning),
            "error" => Ok(Self::Error),
            "fatal" | "critical" | "panic" => Ok(Self::Fatal),
            _ => Err(SeverityError),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        })
    }
}

/// A text that is no log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log level is one of TRACE, DEBUG, INFO, WARNING, ERROR, FATAL, CRITICAL")]
pub struct SeverityError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_printed_as_felix_prints_them() {
        for (text, name) in [
            ("DEBUG", "DEBUG"),
            ("Info", "INFO"),
            ("warn", "WARNING"),
            ("Warning", "WARNING"),
            ("CRITICAL", "FATAL"),
            ("fatal", "FATAL"),
        ] {
            assert_eq!(
                text.parse().map(|level: Severity| level.to_string()),
                Ok(name.to_owned())
            );
        }
        for text in ["", "none", "verbose", " info"] {
            assert_eq!(text.parse::<Severity>(), Err(SeverityError), "{text}");
        }
    }
}
