//! Tests of the room.

mod binding;
mod make;
mod members;
mod ordering;
mod rules;
mod sequences;
mod state;
