//! Tables, base chains, hooks and priorities: the map of the packet's path, in one place.

use std::fmt;
use std::sync::Arc;

use super::{ChainPosition, names};
use crate::model::Direction;
use crate::nft::{BaseChain, Chain, ChainName, ChainType, Hook, Rule, SetName, TableName};

/// Returns the name of the table that holds everything.
///
/// # Panics
/// Never: the name is a constant that `nft` accepts.
#[expect(clippy::expect_used, reason = "the text is a constant")]
pub fn table_name() -> TableName {
    "tortie"
        .parse()
        .expect("`tortie` is a table name that nft accepts")
}

/// One way through the chains of policy: a direction, and whether a packet may be refused aloud there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Path {
    /// Ingress, from the input hook.
    In,
    /// Egress, from the output hook.
    Out,
    /// Egress, from the postrouting hook, which knows no `reject`; used in place of [`Path::Out`] there
    /// where deny means reject.
    Dnat,
}

impl Path {
    /// Returns the direction of the policies on this way.
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::In => Direction::Ingress,
            Self::Out | Self::Dnat => Direction::Egress,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Dnat => "dnat",
        })
    }
}

/// The base chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
    /// Traffic for this host, by the interface it came in by.
    InputPolicy,
    /// Traffic from this host, by the interface it goes out by, unless its destination was translated.
    Output,
    /// Traffic from this host whose destination was translated: only after routing is its interface known.
    OutputDnat,
}

impl Base {
    /// Every base chain.
    pub(super) const ALL: [Self; 3] = [Self::InputPolicy, Self::Output, Self::OutputDnat];

    /// Returns the chain's name.
    pub(super) fn name(self) -> ChainName {
        names::chain(match self {
            Self::InputPolicy => "input-policy",
            Self::Output => "output",
            Self::OutputDnat => "output-dnat",
        })
    }

    /// Makes the chain with its rules.
    pub(super) fn chain(self, position: ChainPosition, rules: Vec<Rule>) -> Arc<Chain> {
        let filter = match position {
            ChainPosition::Insert => -10,
            ChainPosition::Append => 10,
        };
        let (hook, priority) = match self {
            Self::InputPolicy => (Hook::Input, filter),
            Self::Output => (Hook::Output, filter),
            Self::OutputDnat => (Hook::Postrouting, -150),
        };
        let base = BaseChain {
            kind: ChainType::Filter,
            hook,
            priority,
        };
        Arc::new(Chain::new(self.name(), Some(base), rules))
    }
}

/// Names the verdict map from interfaces to the chains of their endpoints.
pub(super) fn interface_map(path: Path) -> SetName {
    names::set(&format!("hep-{path}-if"))
}

/// Names the chain of failsafe ports.
pub(super) fn failsafe_chain(direction: Direction) -> ChainName {
    names::chain(match direction {
        Direction::Ingress => "failsafe-in",
        Direction::Egress => "failsafe-out",
    })
}
