//! Numbers that look random and follow from a seed.

/// Yields numbers by the method of splitmix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins a sequence that two numbers alone decide.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        random.number();
        random
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("a length fits 64 bits");
        usize::try_from(self.number() % bound).expect("it is below a length")
    }

    /// Returns a number of the range, its end included.
    pub fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// Is true in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Chooses one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Chooses one by weight.
    pub fn weighted<'a, T>(&mut self, from: &'a [(usize, T)]) -> &'a T {
        let mut left = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in from {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return choice,
            }
        }
        unreachable!("the weights add up")
    }

    /// Chooses between `least` and `most` different ones, in random order.
    pub fn some<T: Clone>(&mut self, from: &[T], least: usize, most: usize) -> Vec<T> {
        let mut left = from.to_vec();
        let wanted = self.between(least, most).min(left.len());
        (0..wanted)
            .map(|_| left.swap_remove(self.below(left.len())))
            .collect()
    }
}
