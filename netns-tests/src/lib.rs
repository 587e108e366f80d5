//! Tests of tortie against a real kernel, in network namespaces.
//!
//! In: the binary `tortie`, resources as YAML text, and truth tables of probes. Out: a panic that shows
//! what differed. A test makes its own namespaces with [`ns`], joins them with [`topology`], runs the
//! real binary with [`agent`], sends real packets with [`probe`], learns with [`watch`] and [`track`] how far they
//! came, and reads the ruleset with [`witness`], which shares no code with the product.
//!
//! Absent: any use of the crate `tortie` itself, any change of the machine's own interfaces, routes or
//! firewall, and sleeping as a way to wait: every wait is for a condition, with a deadline.

pub mod agent;
pub mod both_ways;
pub mod calls;
pub mod certificates;
pub mod crowd;
pub mod etcd;
pub mod flood;
pub mod flow;
pub mod generation;
pub mod kernel;
pub mod memory_limit;
pub mod nat;
pub mod ns;
pub mod patience;
pub mod probe;
pub mod random;
pub mod refused;
pub mod relay;
pub mod resources;
pub mod server;
pub mod stage;
pub mod store;
pub mod topology;
pub mod track;
pub mod traffic;
pub mod vigil;
pub mod watch;
pub mod wire;
pub mod witness;
pub mod workloads;
pub mod writer;

pub use agent::{Agent, Directory, Owner, Trigger};
pub use flow::Flow;
pub use ns::Namespace;
pub use probe::{Observation, Outcome, Row, icmp, ip_protocol, stray_ack, tcp, udp};
pub use stage::stage;
pub use topology::{
    A1, A2, A3, EXT, EXT2, EXTB, Family, HOST0, HOST0B, HOST1, Place, Site, W1, W2, W3, W4, WL0,
    WL1, WL2, World,
};
