//! The bits of the packet mark that are ours.

/// Bits shared out from the configured mask, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    accept: u32,
    pass: u32,
}

impl Marks {
    /// Shares out the bits of a mask.
    ///
    /// # Errors
    /// Fails where the mask has fewer than two bits.
    pub fn from_mask(mask: u32) -> Result<Self, MarkError> {
        let accept = mask & mask.wrapping_neg();
        let rest = mask & !accept;
        let pass = rest & rest.wrapping_neg();
        if pass == 0 {
            Err(MarkError { mask })
        } else {
            Ok(Self { accept, pass })
        }
    }

    /// Returns the bit that says that policy has accepted the packet.
    pub fn accept(self) -> u32 {
        self.accept
    }

    /// Returns the bit that says that a policy has passed the packet on to the next tier.
    pub fn pass(self) -> u32 {
        self.pass
    }
}

/// A mask leaves too few bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mark mask {mask:#x} has fewer than two bits")]
pub struct MarkError {
    /// The mask.
    pub mask: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_shared_out_from_the_lowest() {
        let marks = Marks::from_mask(0xffff_0000).unwrap();
        assert_eq!((marks.accept(), marks.pass()), (0x1_0000, 0x2_0000));
        let sparse = Marks::from_mask(0x8000_0010).unwrap();
        assert_eq!((sparse.accept(), sparse.pass()), (0x10, 0x8000_0000));
        assert!(Marks::from_mask(0).is_err());
        assert!(Marks::from_mask(0x100).is_err());
    }
}
