//! The `nft` room.
