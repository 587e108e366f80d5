//! The bits of the packet mark that are ours.

use crate::nft::Expr;

/// Bits shared out from the configured mask.
///
/// Felix shares its bits out from the lowest, and its rules may still be there: the first of ours are the same as its
/// own, of the same meaning. What is trusted in a later hook than it was set in is the highest, which Felix hands out
/// last, if ever; others of its bits say other things, and its rules set them after ours have cleared them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    accepted: u32,
    pass: u32,
    early: u32,
}

impl Marks {
    /// Shares out the bits of a mask.
    ///
    /// # Errors
    /// Fails where the mask has fewer than three bits.
    pub fn from_mask(mask: u32) -> Result<Self, MarkError> {
        let lowest = |mask: u32| mask & mask.wrapping_neg();
        let highest = |mask: u32| 1_u32.rotate_right(mask.leading_zeros() + 1) & mask;
        let accepted = lowest(mask);
        let pass = lowest(mask & !accepted);
        let early = highest(mask & !accepted & !pass);
        if early == 0 {
            Err(MarkError { mask })
        } else {
            Ok(Self {
                accepted,
                pass,
                early,
            })
        }
    }

    /// Returns the bit that tells other tables that policy has accepted the packet.
    pub fn accepted(self) -> u32 {
        self.accepted
    }

    /// Returns the bit that says that a policy has passed the packet on to the next tier.
    pub fn pass(self) -> u32 {
        self.pass
    }

    /// Returns the bit that says that untracked or pre-DNAT policy has accepted the packet, which the hooks
    /// behind it honour.
    pub fn early(self) -> u32 {
        self.early
    }

    /// Returns all of them.
    pub fn all(self) -> u32 {
        self.accepted | self.pass | self.early
    }
}

/// Makes the statement that sets bits of the packet mark.
pub(super) fn set(bits: u32) -> Expr {
    Expr::SetMark {
        mask: bits,
        value: bits,
    }
}

/// Makes the statement that clears bits of the packet mark.
pub(super) fn clear(bits: u32) -> Expr {
    Expr::SetMark {
        mask: bits,
        value: 0,
    }
}

/// A mask leaves too few bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mark mask {mask:#x} has fewer than three bits")]
pub struct MarkError {
    /// The mask.
    pub mask: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_shared_out_from_both_ends() {
        let bits = |mask| {
            let marks = Marks::from_mask(mask).unwrap();
            (marks.accepted(), marks.pass(), marks.early())
        };
        assert_eq!(bits(0xffff_0000), (0x1_0000, 0x2_0000, 0x8000_0000));
        assert_eq!(bits(0x7), (1, 2, 4));
        assert_eq!(bits(0x0f00_0000), (0x100_0000, 0x200_0000, 0x800_0000));
        assert_eq!(bits(0x8100_0010), (0x10, 0x100_0000, 0x8000_0000));
        for few in [0, 0x100, 0x8000_0010] {
            assert!(Marks::from_mask(few).is_err());
        }
    }
}
