//! Chains of endpoints: what is asked of a packet, in order.

use std::sync::Arc;

use super::counters::{Counted, Tally};
use super::denied;
use super::layout::{Forwarding, Path, Place, Shared, workload_interface};
use super::names;
use super::rule::deny;
use super::settings::{AllowAction, DenyAction, Refused, Settings};
use super::tiers::{AskedTier, Tiers};
use super::{marks, shared};
use crate::calc::{EndpointId, EndpointPolicies, PolicyLists, TierPolicies};
use crate::model::{EndOfTier, Kind};
use crate::net::{PortRange, Protocol};
use crate::nft::{
    Chain, ChainName, Comparison, Expr, InterfaceSide, Rule, Side, Verdict, ct_state,
};

/// Makes a rule that asks another chain.
fn jump(chain: ChainName) -> Rule {
    Rule {
        exprs: vec![Expr::Verdict(Verdict::Jump(chain))],
        comment: None,
    }
}

/// Returns the way through the chains of policy that begins at a place.
pub(super) fn path(place: Place) -> Path {
    match place {
        Place::HostIn | Place::ForwardIn | Place::ToWorkload => Path::In,
        Place::HostOut | Place::ForwardOut | Place::FromWorkload => Path::Out,
        Place::HostDnat => Path::Dnat,
        Place::RawIn => Path::RawIn,
        Place::RawOut => Path::RawOut,
        Place::PreDnat => Path::PreDnat,
    }
}

/// Returns the places where an endpoint has chains.
pub(super) fn places<'a>(
    id: &EndpointId,
    policies: &'a EndpointPolicies,
    settings: &'a Settings,
) -> impl Iterator<Item = Place> + use<'a> {
    let places: &[Place] = if id.kind == Kind::WorkloadEndpoint {
        &Place::OF_WORKLOADS
    } else {
        &Place::OF_HOSTS
    };
    places
        .iter()
        .copied()
        .filter(move |place| is_asked(*place, policies, settings))
}

/// Tells whether an endpoint has a say at a place.
pub(super) fn is_asked(place: Place, policies: &EndpointPolicies, settings: &Settings) -> bool {
    let asks = |lists: &PolicyLists| !lists.direction(place.direction()).is_empty();
    match place {
        Place::RawIn | Place::RawOut => asks(&policies.untracked),
        Place::PreDnat => asks(&policies.pre_dnat),
        // The chains of egress serve after routing as well, unless they refuse aloud.
        Place::HostDnat => settings.deny == DenyAction::Reject,
        Place::HostIn
        | Place::HostOut
        | Place::ForwardIn
        | Place::ForwardOut
        | Place::FromWorkload
        | Place::ToWorkload => true,
    }
}

/// Returns the policies that are asked of an endpoint at a place.
pub(super) fn list<'a>(
    place: Place,
    id: &EndpointId,
    policies: &'a EndpointPolicies,
) -> &'a Arc<Vec<TierPolicies>> {
    let lists = match place {
        Place::HostIn
        | Place::HostOut
        | Place::HostDnat
        | Place::FromWorkload
        | Place::ToWorkload => &policies.normal,
        Place::ForwardIn | Place::ForwardOut => match Forwarding::of(id.form) {
            Forwarding::ByPolicy => &policies.forward,
            Forwarding::AsOwnTraffic => &policies.normal,
        },
        Place::RawIn | Place::RawOut => &policies.untracked,
        Place::PreDnat => &policies.pre_dnat,
    };
    lists.direction(place.direction())
}

/// What follows where no policy has decided. Either way the chain decides every packet: a base chain jumps to it, and
/// what follows there is for packets of other interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The profiles, then refusal.
    Profiles,
    /// Nothing: the packet goes on to what others have to say, and to no other endpoint.
    Undecided,
}

/// Returns what follows the policies of an endpoint at a place.
fn end(place: Place, id: &EndpointId) -> End {
    match place {
        Place::HostIn
        | Place::HostOut
        | Place::HostDnat
        | Place::FromWorkload
        | Place::ToWorkload => End::Profiles,
        Place::ForwardIn | Place::ForwardOut => match Forwarding::of(id.form) {
            Forwarding::AsOwnTraffic => End::Profiles,
            Forwarding::ByPolicy => End::Undecided,
        },
        Place::RawIn | Place::RawOut | Place::PreDnat => End::Undecided,
    }
}

/// Makes the chain of an endpoint at a place; `tally` is told what it counts.
pub(super) fn chain(
    place: Place,
    id: &EndpointId,
    policies: &EndpointPolicies,
    tiers: &Tiers,
    settings: &Settings,
    tally: &mut Tally,
) -> Arc<Chain> {
    let path = path(place);
    let refusal = deny(settings.refusal(path));
    let marks_accepted = marks_accepted(place, id, policies, settings);
    let mut rules = beginning(place, id, policies, settings);
    let mut ended = false;
    let list = list(place, id, policies);
    for (tier, asked) in list.iter().zip(tiers.asked(path, list)) {
        if tier_rules(path, tier, asked, settings, tally, &mut rules) == AfterTier::Nothing {
            ended = true;
            break;
        }
    }
    if !ended {
        match end(place, id) {
            End::Profiles => {
                let profiles = policies.profiles.iter();
                rules.extend(profiles.map(|profile| jump(names::profile(path, profile))));
                let comment = "no policy or profile has accepted";
                let count = tally.count(Counted::EndOfProfiles(path.direction()));
                let exprs = count.into_iter().chain([refusal]).collect();
                rules.push(Rule::new(comment, exprs));
            }
            End::Undecided => {
                let mark = marks_accepted.then(|| marks::clear(settings.marks.accepted()));
                rules.push(undecided(mark));
            }
        }
    }
    Arc::new(Chain::new(names::endpoint(place, id), None, rules))
}

/// Makes the chain of an endpoint at a place where the endpoint is denied: its beginning, and then nothing passes.
/// What the endpoint has no say about is left alone.
pub(super) fn denied_chain(
    place: Place,
    id: &EndpointId,
    policies: &EndpointPolicies,
    settings: &Settings,
) -> Arc<Chain> {
    let mut rules = beginning(place, id, policies, settings);
    let decides = match end(place, id) {
        End::Profiles => true,
        End::Undecided => !list(place, id, policies).is_empty(),
    };
    rules.push(if decides {
        denied::rule()
    } else {
        undecided(None)
    });
    Arc::new(Chain::new(names::endpoint(place, id), None, rules))
}

/// Makes the rule that lets pass what no policy has decided. Without it a packet would come back to the base chain,
/// which asks the endpoint of all other interfaces next.
fn undecided(mark: Option<Expr>) -> Rule {
    let accept = Expr::Verdict(Verdict::Accept);
    Rule::new(
        "no policy has decided",
        mark.into_iter().chain([accept]).collect(),
    )
}

/// Makes the rules of an endpoint at a place that stand before those of its policies.
fn beginning(
    place: Place,
    id: &EndpointId,
    policies: &EndpointPolicies,
    settings: &Settings,
) -> Vec<Rule> {
    let mut rules = other_side(place, id, settings);
    if marks_accepted(place, id, policies, settings) {
        rules.extend(shared::accepted(settings));
    }
    before_policy(place, id, settings, &mut rules);
    rules
}

/// Tells whether other tables are told what is accepted at a place: what policy accepts, and nothing that no
/// policy was asked about.
fn marks_accepted(
    place: Place,
    id: &EndpointId,
    policies: &EndpointPolicies,
    settings: &Settings,
) -> bool {
    let asks = match place {
        Place::HostIn | Place::HostOut | Place::FromWorkload | Place::ToWorkload => true,
        Place::ForwardIn | Place::ForwardOut => match end(place, id) {
            End::Profiles => true,
            End::Undecided => !list(place, id, policies).is_empty(),
        },
        Place::HostDnat | Place::RawIn | Place::RawOut | Place::PreDnat => false,
    };
    asks && settings.allow == AllowAction::Accept
}

/// Adds the rules that stand before policy: known connections, and what stays open.
fn before_policy(place: Place, id: &EndpointId, settings: &Settings, rules: &mut Vec<Rule>) {
    let refusal = || deny(settings.refusal(path(place)));
    let tracked = !matches!(place, Place::RawIn | Place::RawOut);
    if tracked {
        let known = ct_state::ESTABLISHED | ct_state::RELATED;
        let exprs = vec![Expr::CtState(known), Expr::Verdict(Verdict::Accept)];
        rules.push(Rule::new("connections that policy has accepted", exprs));
    }
    if tracked && settings.drop_invalid {
        let exprs = vec![Expr::CtState(ct_state::INVALID), refusal()];
        rules.push(Rule::new("packets of no connection", exprs));
    }
    let failsafe = match (place, Forwarding::of(id.form)) {
        (Place::HostIn | Place::PreDnat, _) | (Place::ForwardIn, Forwarding::AsOwnTraffic) => {
            Some(Shared::FailsafeIn)
        }
        (Place::HostOut | Place::HostDnat, _) | (Place::ForwardOut, Forwarding::AsOwnTraffic) => {
            Some(Shared::FailsafeOut)
        }
        (Place::RawIn, _) => Some(Shared::FailsafeRawIn),
        (Place::RawOut, _) => Some(Shared::FailsafeRawOut),
        (Place::ForwardIn | Place::ForwardOut, Forwarding::ByPolicy)
        | (Place::FromWorkload | Place::ToWorkload, _) => None,
    };
    rules.extend(failsafe.map(|shared| jump(shared.name())));
    let on_link = match place {
        Place::HostIn
        | Place::HostOut
        | Place::HostDnat
        | Place::RawIn
        | Place::RawOut
        | Place::PreDnat => true,
        // Nothing of a link is forwarded, and workloads have rules of their own.
        Place::ForwardIn | Place::ForwardOut | Place::FromWorkload | Place::ToWorkload => false,
    };
    if on_link && shared::discovers_neighbors(settings) {
        rules.push(jump(Shared::NeighborDiscovery.name()));
    }
    if place == Place::FromWorkload {
        if let Some(port) = settings.encapsulation.refused_vxlan {
            let exprs = vec![
                Expr::Protocol(Comparison::Is, Protocol::UDP),
                Expr::Port(Side::Destination, Comparison::Is, PortRange::single(port)),
                refusal(),
            ];
            rules.push(Rule::new("VXLAN of a workload's own", exprs));
        }
        match settings.encapsulation.ipip {
            Refused::Yes => {
                let exprs = vec![Expr::Protocol(Comparison::Is, Protocol::IPIP), refusal()];
                rules.push(Rule::new("IP-in-IP of a workload's own", exprs));
            }
            Refused::No => {}
        }
    }
}

/// Makes the rules that leave alone what an endpoint in v1 form does not judge: traffic to and from workloads.
fn other_side(place: Place, id: &EndpointId, settings: &Settings) -> Vec<Rule> {
    let side = match place {
        Place::ForwardIn => InterfaceSide::Output,
        Place::ForwardOut => InterfaceSide::Input,
        Place::HostIn
        | Place::HostOut
        | Place::HostDnat
        | Place::RawIn
        | Place::RawOut
        | Place::PreDnat
        | Place::FromWorkload
        | Place::ToWorkload => return Vec::new(),
    };
    match Forwarding::of(id.form) {
        Forwarding::ByPolicy => Vec::new(),
        Forwarding::AsOwnTraffic => settings
            .workload_prefixes
            .iter()
            .map(|prefix| {
                let exprs = vec![
                    workload_interface(side, prefix),
                    Expr::Verdict(Verdict::Accept),
                ];
                Rule::new("traffic of workloads is judged by their own policy", exprs)
            })
            .collect(),
    }
}

/// What a packet can meet behind a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterTier {
    /// The next tier, or what follows them all.
    More,
    /// Nothing: every packet has been decided.
    Nothing,
}

/// Adds the rules that ask one tier and act at its end.
fn tier_rules(
    path: Path,
    tier: &TierPolicies,
    asked: AskedTier,
    settings: &Settings,
    tally: &mut Tally,
    rules: &mut Vec<Rule>,
) -> AfterTier {
    let direction = path.direction();
    let AskedTier { chain, passes } = asked;
    let bit = settings.marks.pass();
    if passes {
        rules.push(Rule {
            exprs: vec![marks::clear(bit)],
            comment: None,
        });
    }
    rules.push(jump(chain));
    match tier.end {
        EndOfTier::Pass => AfterTier::More,
        EndOfTier::Deny => {
            let mut exprs = Vec::new();
            if passes {
                exprs.push(Expr::MarkBits(Comparison::IsNot, bit));
            }
            exprs.extend(tally.count(Counted::EndOfTier(tier.tier.clone(), direction)));
            exprs.push(deny(settings.refusal(path)));
            rules.push(Rule::new(&format!("end of tier {}", tier.tier), exprs));
            if passes {
                AfterTier::More
            } else {
                AfterTier::Nothing
            }
        }
    }
}
