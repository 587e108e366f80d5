//! Which expressions the kernel takes below some base chains alone.

use std::sync::Arc;

use super::{BaseChain, ChainType, Expr, Hook, Rule};

/// The base chains from which an expression may be reached.
struct Place {
    /// The type; any where absent.
    kind: Option<ChainType>,
    hooks: &'static [Hook],
}

/// Tells whether an expression may be reached only from some base chains.
pub(super) fn is_bound(expr: &Expr) -> bool {
    place(expr).is_some()
}

/// Finds an expression that must not be reached from a base chain.
pub(super) fn misplaced(rules: &[Arc<Rule>], base: BaseChain) -> Option<&Expr> {
    rules.iter().flat_map(|rule| &rule.exprs).find(|expr| {
        place(expr).is_some_and(|place| {
            let kind = place.kind.is_none_or(|kind| kind == base.kind);
            !(kind && place.hooks.contains(&base.hook))
        })
    })
}

/// Returns what the kernel's expression validates: `nft_nat_validate`, `nft_masq_validate`,
/// `nft_fib_validate` and `nft_reject_inet_validate` of `net/netfilter`.
fn place(expr: &Expr) -> Option<Place> {
    let (kind, hooks): (_, &'static [Hook]) = match expr {
        Expr::NoReversePath => (None, &[Hook::Prerouting, Hook::Input, Hook::Forward]),
        Expr::Dnat { .. } => (Some(ChainType::Nat), &[Hook::Prerouting, Hook::Output]),
        Expr::Snat { .. } => (Some(ChainType::Nat), &[Hook::Input, Hook::Postrouting]),
        Expr::Masquerade { .. } => (Some(ChainType::Nat), &[Hook::Postrouting]),
        Expr::Reject(_) => {
            let hooks = &[Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output];
            (None, hooks)
        }
        Expr::NetworkFamily(_)
        | Expr::Protocol(..)
        | Expr::Interface(..)
        | Expr::HasInputInterface
        | Expr::Address(..)
        | Expr::Port(..)
        | Expr::IcmpType(..)
        | Expr::IcmpCode(..)
        | Expr::IcmpTypeRange(..)
        | Expr::CtState(_)
        | Expr::CtStatus(_)
        | Expr::MarkBits(..)
        | Expr::InSet(..)
        | Expr::VerdictMap(..)
        | Expr::SetMark { .. }
        | Expr::Counter
        | Expr::CountIn(_)
        | Expr::Limit(_)
        | Expr::Log { .. }
        | Expr::NoTrack
        | Expr::Verdict(_) => return None,
    };
    Some(Place { kind, hooks })
}
