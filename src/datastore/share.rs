//! Work that is shared among threads, where there is much of it.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many items make it worth while to share them.
const MANY: usize = 64;
/// How many a thread takes at a time.
const SHARE: usize = 8;
/// How many threads share them at most.
const MAX_THREADS: usize = 4;

/// Returns what `each` makes of every item, in the same order.
pub(super) fn share<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let all = |items: &[T]| -> Vec<R> { items.iter().map(&each).collect() };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MAX_THREADS);
    if items.len() < MANY || threads == 1 {
        return all(items);
    }
    // Items differ in size, so that each thread takes a few more when it has done the last ones.
    let left = Mutex::new(items.chunks(SHARE).enumerate());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> BTreeMap<usize, Vec<R>> {
        iter::from_fn(next)
            .map(|(place, share)| (place, all(share)))
            .collect()
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work();
        let joined = others.into_iter().filter_map(|other| other.join().ok());
        done.extend(joined.flatten());
        done
    });
    items
        .chunks(SHARE)
        .enumerate()
        // What a thread took and did not finish is done here.
        .flat_map(|(place, share)| done.remove(&place).unwrap_or_else(|| all(share)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_many_items_is_in_their_order() {
        for count in [0, 1, MANY - 1, MANY, 10 * MANY + 3] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(share(&items, |item| item * 2), doubled);
        }
    }
}
