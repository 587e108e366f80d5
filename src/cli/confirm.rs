//! Asking before something is removed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;

use super::output;

/// The exit code of a question that was not answered with yes.
pub(super) const NOT_CONFIRMED: u8 = 2;

/// Asks whoever sits at the terminal; `what` says what the answer would do.
pub(super) fn confirmed(what: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        output::note(format_args!(
            "{what}, and nobody is here to confirm it: use --yes"
        ));
        return Ok(false);
    }
    let mut stderr = io::stderr().lock();
    // Where the question cannot be shown there is still the answer.
    let _ = write!(stderr, "{what}. Go on? [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("read the answer")?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        output::note(format_args!("nothing was removed"));
    }
    Ok(yes)
}
