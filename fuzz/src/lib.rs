//! What the targets have in common.

use std::alloc::System;

use cap::Cap;

/// Counts what is allocated; above the limit an allocation fails, which ends the program.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Runs what must do with `budget` bytes beside those that are allocated now, all returned in the end.
///
/// # Panics
/// Panics where bytes are left over.
pub fn bounded(budget: usize, run: impl FnOnce()) {
    let before = MEMORY.allocated();
    let limited = MEMORY.set_limit(before.saturating_add(budget));
    assert_eq!(limited, Ok(()), "the budget is above what is allocated");
    run();
    let unlimited = MEMORY.set_limit(usize::MAX);
    assert_eq!(unlimited, Ok(()), "the limit is raised");
}
