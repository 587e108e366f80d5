//! Transport ports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An inclusive range of transport ports; a single port is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "(u16, u16)", try_from = "(u16, u16)")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Makes a range from its first and last port.
    ///
    /// # Errors
    /// Fails where the first port is above the last.
    pub fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        if first > last {
            return Err(PortRangeError { first, last });
        }
        Ok(Self { first, last })
    }

    /// Makes the range of a single port.
    pub fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// Returns the first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Returns the last port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Tells whether the range holds one port only.
    pub fn is_single(self) -> bool {
        self.first == self.last
    }

    /// Returns the same ports as ranges in ascending order that neither overlap nor touch.
    pub fn merged(ranges: &[Self]) -> Vec<Self> {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let mut merged: Vec<Self> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

impl From<PortRange> for (u16, u16) {
    fn from(range: PortRange) -> Self {
        (range.first, range.last)
    }
}

impl TryFrom<(u16, u16)> for PortRange {
    type Error = PortRangeError;

    fn try_from((first, last): (u16, u16)) -> Result<Self, Self::Error> {
        Self::new(first, last)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The two ends of a port range are in the wrong order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the port range {first}:{last} ends before it begins")]
pub struct PortRangeError {
    /// The first port as given.
    pub first: u16,
    /// The last port as given.
    pub last: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange::new(first, last).unwrap()
    }

    #[test]
    fn overlapping_and_touching_ranges_become_one() {
        let merged = PortRange::merged(&[
            range(80, 80),
            range(8000, 8099),
            range(81, 90),
            range(8050, 9000),
            range(65535, 65535),
            range(65000, 65534),
        ]);
        assert_eq!(
            merged,
            [range(80, 90), range(8000, 9000), range(65000, 65535)]
        );
        assert!(PortRange::merged(&[]).is_empty());
        assert_eq!(
            PortRange::merged(&[range(0, 65535), range(3, 4)]),
            [range(0, 65535)]
        );
    }

    #[test]
    fn a_reversed_range_is_refused() {
        assert!(PortRange::new(2, 1).is_err());
        assert!(PortRange::new(2, 2).unwrap().is_single());
    }
}
