//! The program: what its arguments say, done.

use std::io::Write as _;
use std::process::ExitCode;

/// Gives memory back that a start or a large change has needed for a moment, which the C library's keeps.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
