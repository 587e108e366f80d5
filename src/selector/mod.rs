//! The `selector` room.
