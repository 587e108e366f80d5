//! The lines that wait for the thread that writes them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::file::LogFile;

/// The most bytes that wait. What comes beyond is dropped: logging holds nobody up.
const CAPACITY: usize = 1 << 20;

/// A line to write.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The text with its end of line.
    pub(super) text: Arc<str>,
    /// When it was said, in seconds.
    pub(super) second: i64,
}

/// What the writing thread is to do next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write a line.
    Write(Entry),
    /// Write what follows to this file, or nowhere.
    Use(Option<LogFile>),
    /// Tell that so many lines were dropped here.
    Dropped(u64),
    /// Stop: nobody can log any more.
    Stop,
}

#[derive(Debug)]
enum Item {
    Write(Entry),
    Use(Option<LogFile>),
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    dropped: u64,
    /// All that were ever dropped.
    dropped_ever: u64,
    busy: bool,
    closed: bool,
}

/// A queue with a bound, whose senders never wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

impl Queue {
    /// Adds a line, or drops it if too many wait.
    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.lock();
        if state.bytes + entry.text.len() > CAPACITY {
            state.dropped += 1;
            state.dropped_ever += 1;
            return;
        }
        state.bytes += entry.text.len();
        state.items.push_back(Item::Write(entry));
        drop(state);
        self.filled.notify_one();
    }

    /// Changes the file between the lines before and those after.
    pub(super) fn switch(&self, file: Option<LogFile>) {
        self.lock().items.push_back(Item::Use(file));
        self.filled.notify_one();
    }

    /// Waits for work; to ask again says that the work before is done.
    pub(super) fn next(&self) -> Work {
        let mut state = self.lock();
        loop {
            state.busy = true;
            match state.items.pop_front() {
                Some(Item::Write(entry)) => {
                    state.bytes -= entry.text.len();
                    return Work::Write(entry);
                }
                Some(Item::Use(file)) => return Work::Use(file),
                None => {}
            }
            if state.dropped > 0 {
                return Work::Dropped(std::mem::take(&mut state.dropped));
            }
            state.busy = false;
            self.emptied.notify_all();
            if state.closed {
                return Work::Stop;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything is written, but not longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let waiting = |state: &mut State| state.busy || !state.items.is_empty();
        // Whether time ran out does not matter: nothing more can be done about it.
        drop(
            self.emptied
                .wait_timeout_while(self.lock(), patience, waiting),
        );
    }

    /// Returns how many lines were ever dropped.
    pub(super) fn dropped_ever(&self) -> u64 {
        self.lock().dropped_ever
    }

    /// Makes the writing thread stop once everything is written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(length: usize) -> Entry {
        Entry {
            text: "x".repeat(length).into(),
            second: 0,
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_after_what_does() {
        let queue = Queue::default();
        queue.push(entry(CAPACITY - 1));
        queue.push(entry(2));
        queue.push(entry(2));
        queue.push(entry(1));
        queue.close();
        assert!(matches!(queue.next(), Work::Write(entry) if entry.text.len() == CAPACITY - 1));
        assert!(matches!(queue.next(), Work::Write(entry) if entry.text.len() == 1));
        assert!(matches!(queue.next(), Work::Dropped(2)));
        assert_eq!(queue.dropped_ever(), 2);
        assert!(matches!(queue.next(), Work::Stop));
    }

    #[test]
    fn flushing_gives_up() {
        let queue = Queue::default();
        queue.push(entry(1));
        queue.flush(Duration::from_millis(10));
        assert!(matches!(queue.next(), Work::Write(_)));
    }
}
