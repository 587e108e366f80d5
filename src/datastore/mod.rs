//! The `datastore` room.
