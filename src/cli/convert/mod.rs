//! `tortie convert`: resources of the v1 form in v3 form.

mod command;
mod dump;
mod keys;
mod resource;

pub(super) use command::{Args, into_v3, run};
