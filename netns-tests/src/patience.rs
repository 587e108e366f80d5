//! How long conditions are waited for on a slow machine.

use std::sync::LazyLock;
use std::time::Duration;

/// How many times longer than elsewhere a condition may take.
static TIMES: LazyLock<u32> = LazyLock::new(|| {
    std::env::var("TEST_PATIENCE").map_or(1, |times| {
        times
            .parse()
            .expect("TEST_PATIENCE is how many times longer")
    })
});

/// Returns a limit as it is on this machine: `TEST_PATIENCE` times as long.
///
/// For what is waited for. What a test shows by the time that something takes, as that nothing comes, is no such limit.
pub fn patient(limit: Duration) -> Duration {
    limit * *TIMES
}
