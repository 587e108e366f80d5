//! The program: what its arguments say, done.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match tortie::cli::main(std::env::args_os()) {
        Ok(code) => code,
        Err(failure) => {
            // Nobody is left to tell where this fails.
            let _ = writeln!(std::io::stderr().lock(), "tortie: {failure}");
            failure.code()
        }
    }
}
