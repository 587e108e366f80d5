//! Never a gap: whatever becomes of the daemon, no allowed packet is lost and no denied one passes.
//!
//! A host with a hundred workloads is under way in all directions while its daemon is killed, ended, and started again
//! on other resources, with other settings and on tables of another making.

mod adoption;
mod away;
mod crash;
mod load;
mod restarts;
mod upgrade;
