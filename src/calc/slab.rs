//! Small numbers for things, given out and taken back.

/// Values by number; a number that is free again is given out again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// Makes an empty slab.
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Stores a value and returns its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(id) = self.free.pop() {
            if let Some(entry) = self.entries.get_mut(id as usize) {
                *entry = Some(value);
            }
            return id;
        }
        self.entries.push(Some(value));
        // Four thousand million entries do not fit into memory before they do not fit the number.
        u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes a value out and frees its number.
    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let value = self.entries.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(value)
    }

    /// Returns the value with a number.
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id as usize)?.as_ref()
    }

    /// Returns the value with a number.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.entries.get_mut(id as usize)?.as_mut()
    }

    /// Returns every value with its number, in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0_u32..)
            .zip(&self.entries)
            .filter_map(|(id, entry)| entry.as_ref().map(|value| (id, value)))
    }
}
