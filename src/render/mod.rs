//! The `render` room: the desired state as nftables objects.
//!
//! In: [`crate::calc::Changes`] and the members of sets, the [`Settings`]. Out:
//! [`crate::nft::ObjectChanges`], each object named and whole, or just its changed elements. May touch:
//! `calc` (its output types), `model`, `net`, `nft`. Absent: what the kernel holds, I/O. What is written
//! depends on the desired state alone; the one exception is the form and the turn of a set (see `forms` and `sets`).

mod bindings;
mod counters;
mod denied;
mod dispatch;
mod endpoint;
mod floating;
mod forms;
mod keyed;
mod layout;
mod marks;
mod names;
mod nat;
mod policy;
mod renderer;
mod rule;
mod sets;
mod settings;
mod shared;
mod spoofing;
mod tiers;

pub use counters::{Counted, CounterNews, Decision};
pub use denied::Unit;
pub use forms::Splitting;
pub use layout::{last_filter_priority, table_name};
pub use marks::{MarkError, Marks};
pub use renderer::Renderer;
pub use sets::Keep;
pub use settings::{
    AllowAction, ChainPosition, DenyAction, Encapsulation, Failsafe, NatExclusions, NatOutgoing,
    NeighborDiscovery, OpenStack, PolicyCounters, Refused, Settings, ToHostAction,
};
