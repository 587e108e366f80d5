//! The `links` room.
