//! How a command ends that has not done what it was asked.

use std::fmt;
use std::process::ExitCode;

use super::offline::OfflineError;

/// What `sysexits.h` calls a configuration error.
const CONFIGURATION: u8 = 78;

/// Why a command has not done what it was asked, and the exit code that says so.
#[derive(Debug)]
pub struct Failure {
    error: anyhow::Error,
    code: u8,
}

impl Failure {
    /// Takes an error of a command that ends with `code` in case of trouble, unless the error says it better.
    pub(super) fn new(error: anyhow::Error, code: u8) -> Self {
        let configuration = matches!(
            error.downcast_ref::<OfflineError>(),
            Some(OfflineError::Configuration(_))
        );
        let code = if configuration { CONFIGURATION } else { code };
        Self { error, code }
    }

    /// Returns the exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    /// Writes the error with its causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}
