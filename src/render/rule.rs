//! One Calico rule as nftables rules.
//!
//! A rule whose criteria concern a family becomes one set of rules for each family. Lists of alternatives
//! become consecutive rules while they are few, and a set looked up in one rule where they are many: a set
//! costs the kernel far more than a rule does.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::counters::{Counted, Decision, Tally};
use super::forms::Part;
use super::layout::Path;
use super::marks;
use super::sets::{Listed, Members, SetBook, SetRef};
use super::settings::{DenyAction, Settings};
use crate::calc::{MatchRule, SetId, SetMembers, SideMatch};
use crate::model::{Action, IcmpMatch};
use crate::net::{Family, PortRange, Protocol};
use crate::nft::{Comparison, Expr, Key, RejectWith, Rule, SetName, Side, Verdict};

/// The longest list that is written out as consecutive rules.
const MAX_LISTED: usize = 3;
/// The most rules that the lists of one rule together may become, in one family.
const MAX_RULES: usize = 6;

/// What the rules of one chain have in common.
pub(super) struct RuleContext<'a> {
    /// The settings.
    pub(super) settings: &'a Settings,
    /// The way on which the chain stands, which says what allowing and refusing a packet mean.
    pub(super) path: Path,
    /// What `pass` does here.
    pub(super) pass: PassAction,
    /// What stands in front of logged packets.
    pub(super) log_prefix: String,
    /// The sets.
    pub(super) book: &'a mut SetBook,
    /// Their members.
    pub(super) members: &'a dyn SetMembers,
    /// Whose decisions are counted.
    pub(super) counted: &'a dyn Fn(Decision) -> Counted,
    /// What the chain has counted so far.
    pub(super) tally: Tally,
    /// The sets that the chain has referred to so far.
    pub(super) references: BTreeSet<SetRef>,
}

/// What `pass` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassAction {
    /// It leaves the tier: the mark bit tells the endpoint's chain.
    LeaveTier,
    /// It ends the profile; the next one is asked.
    LeaveProfile,
}

/// Matches of which any one will do; a packet never meets two of them where the rule logs.
type Alternatives = Vec<Vec<Expr>>;

impl RuleContext<'_> {
    /// Returns the name of a set of listed values, and remembers that the chain refers to it.
    fn listed(&mut self, listed: Listed) -> SetName {
        let name = listed.name();
        self.references.insert(SetRef::Listed(listed));
        name
    }

    /// Returns the look-ups of an address in the tables of a set, and remembers that the chain refers to it: at
    /// most one table has the address.
    fn addresses(
        &mut self,
        id: &SetId,
        family: Family,
        side: Side,
        comparison: Comparison,
    ) -> Vec<Expr> {
        let key = |part| match part {
            Part::Length(length) if length < family.bits() => Key::Network(family, side, length),
            Part::Length(_) | Part::Rest => Key::Address(family, side),
        };
        self.look_ups(id, family, comparison, |part| vec![key(part)])
    }

    /// Returns the look-ups of a named port, and remembers that the chain refers to it.
    fn named_port(
        &mut self,
        id: &SetId,
        family: Family,
        side: Side,
        comparison: Comparison,
    ) -> Vec<Expr> {
        let key = [Key::Address(family, side), Key::Protocol, Key::Port(side)];
        self.look_ups(id, family, comparison, |_| key.to_vec())
    }

    /// Returns the look-ups in the tables of a set.
    fn look_ups(
        &mut self,
        id: &SetId,
        family: Family,
        comparison: Comparison,
        key: impl Fn(Part) -> Vec<Key>,
    ) -> Vec<Expr> {
        let id = id.clone();
        let set = Members { id, family };
        let tables = self.book.tables(&set, self.members).into_iter();
        self.references.insert(SetRef::Members(set));
        tables
            .map(|(part, name)| Expr::in_set(key(part), comparison, name))
            .collect()
    }

    /// Renders one rule; `comment` is repeated on each of the resulting rules.
    pub(super) fn rules(&mut self, rule: &MatchRule, comment: &str) -> Vec<Rule> {
        let comment: Arc<str> = comment.into();
        let families: &[Option<Family>] = if concerns_family(rule) {
            &[Some(Family::V4), Some(Family::V6)]
        } else {
            &[None]
        };
        let action = self.action(rule.action);
        let mut rules = Vec::new();
        for family in families {
            if *family == Some(Family::V6) && !self.settings.ipv6 {
                continue;
            }
            for exprs in self.exprs(rule, *family, &action) {
                rules.push(Rule {
                    exprs,
                    comment: Some(Arc::clone(&comment)),
                });
            }
        }
        rules
    }

    /// Has every decision counted, also one that no rule takes: an edit that brings it back finds its counter.
    pub(super) fn count_all(&mut self) {
        for decision in Decision::ALL {
            self.count(decision);
        }
    }

    /// Returns the statement that counts a decision.
    fn count(&mut self, decision: Decision) -> Option<Expr> {
        self.tally.count((self.counted)(decision))
    }

    /// Returns the statements of an action, the packet being counted before it is decided.
    fn action(&mut self, action: Action) -> Vec<Expr> {
        let decision = match action {
            Action::Allow => Some(Decision::Allow),
            Action::Deny => Some(Decision::Deny),
            Action::Pass => Some(Decision::Pass),
            Action::Log => None,
        };
        let count = decision.and_then(|decision| self.count(decision));
        count.into_iter().chain(self.statements(action)).collect()
    }

    /// Returns what an action does.
    fn statements(&self, action: Action) -> Vec<Expr> {
        match action {
            Action::Allow => self.allow(),
            Action::Deny => vec![deny(self.settings.refusal(self.path))],
            Action::Log => {
                let limit = self.settings.log_limit.map(Expr::Limit);
                let log = Expr::Log {
                    prefix: self.log_prefix.as_str().into(),
                };
                limit.into_iter().chain([log]).collect()
            }
            Action::Pass => match self.pass {
                PassAction::LeaveTier => {
                    let bit = self.settings.marks.pass();
                    vec![marks::set(bit), Expr::Verdict(Verdict::Return)]
                }
                PassAction::LeaveProfile => vec![Expr::Verdict(Verdict::Return)],
            },
        }
    }

    /// Returns the statements that allow a packet; the hooks behind an early one are told by a bit of the mark.
    fn allow(&self) -> Vec<Expr> {
        let early = || marks::set(self.settings.marks.early());
        let accept = Expr::Verdict(Verdict::Accept);
        match self.path {
            Path::In | Path::Out | Path::Dnat => vec![accept],
            Path::RawIn | Path::RawOut => vec![Expr::NoTrack, early(), accept],
            Path::PreDnat => vec![early(), accept],
        }
    }

    /// Returns the expressions of a rule in one family, each list being one resulting rule and ending in the
    /// action; empty where no packet of the family can meet the rule.
    fn exprs(
        &mut self,
        rule: &MatchRule,
        family: Option<Family>,
        action: &[Expr],
    ) -> Vec<Vec<Expr>> {
        if rule.ip_version.is_some() && rule.ip_version != family {
            return Vec::new();
        }
        let mut common: Vec<Expr> = family.map(Expr::NetworkFamily).into_iter().collect();
        let protocol = match icmp_protocol(rule, family) {
            Ok(protocol) => protocol,
            Err(NeverMet) => return Vec::new(),
        };
        common.extend(protocol.map(|p| Expr::Protocol(Comparison::Is, p)));
        common.extend(
            rule.not_protocol
                .map(|p| Expr::Protocol(Comparison::IsNot, p)),
        );

        let mut dimensions: Vec<Dimension> = Vec::new();
        let mut conditions: Vec<Expr> = Vec::new();
        if let Some(family) = family {
            conditions.extend(rule.icmp.into_iter().flat_map(|icmp| icmp_is(family, icmp)));
            dimensions.extend(
                rule.not_icmp
                    .map(|icmp| Dimension::Short(icmp_is_not(family, icmp))),
            );
        }
        for (side, asked) in [
            (Side::Source, &rule.source),
            (Side::Destination, &rule.destination),
        ] {
            dimensions.extend(ports(side, asked, protocol, rule.action));
            self.port_conditions(side, asked, family, &mut conditions);
            if let Some(family) = family {
                match nets(side, asked, family) {
                    Ok(found) => dimensions.extend(found),
                    Err(NeverMet) => return Vec::new(),
                }
                self.address_conditions(side, asked, family, &mut dimensions, &mut conditions);
            }
        }
        let alternatives = self.alternatives(dimensions, family);
        conditions.extend_from_slice(action);
        product(&common, &alternatives, &conditions)
    }

    /// Adds what must not be: ports, by number and by name.
    fn port_conditions(
        &mut self,
        side: Side,
        asked: &SideMatch,
        family: Option<Family>,
        conditions: &mut Vec<Expr>,
    ) {
        if asked.not_ports.len() > MAX_LISTED {
            let set = self.listed(Listed::Ports((*asked.not_ports).into()));
            conditions.push(Expr::in_set(vec![Key::Port(side)], Comparison::IsNot, set));
        } else {
            let not = |range: &PortRange| Expr::Port(side, Comparison::IsNot, *range);
            conditions.extend(asked.not_ports.iter().map(not));
        }
        for id in &asked.not_named_ports {
            if let Some(family) = family {
                conditions.extend(self.named_port(id, family, side, Comparison::IsNot));
            }
        }
    }

    /// Adds what an address must and must not be, beyond the prefixes that it must be in. A set of several tables
    /// that must have it becomes alternatives, the order of conditions being free.
    fn address_conditions(
        &mut self,
        side: Side,
        asked: &SideMatch,
        family: Family,
        dimensions: &mut Vec<Dimension>,
        conditions: &mut Vec<Expr>,
    ) {
        let excluded: Vec<IpNet> = of_family(&asked.not_nets, family);
        if excluded.len() > MAX_LISTED {
            let set = self.listed(Listed::Nets(family, excluded.into()));
            conditions.push(Expr::in_set(
                vec![Key::Address(family, side)],
                Comparison::IsNot,
                set,
            ));
        } else {
            let not = |net: IpNet| Expr::Address(side, Comparison::IsNot, net);
            conditions.extend(excluded.into_iter().map(not));
        }
        for id in &asked.sets {
            let look_ups = self.addresses(id, family, side, Comparison::Is);
            if look_ups.len() == 1 {
                conditions.extend(look_ups);
            } else {
                let alternatives = look_ups.into_iter().map(|look_up| vec![look_up]);
                dimensions.push(Dimension::Short(alternatives.collect()));
            }
        }
        for id in &asked.not_sets {
            conditions.extend(self.addresses(id, family, side, Comparison::IsNot));
        }
    }

    /// Decides which lists are written out and which become sets.
    fn alternatives(
        &mut self,
        dimensions: Vec<Dimension>,
        family: Option<Family>,
    ) -> Vec<Alternatives> {
        let mut listed: Vec<bool> = dimensions
            .iter()
            .map(|d| d.fixed() || d.list_len() <= MAX_LISTED)
            .collect();
        loop {
            let count: usize = dimensions
                .iter()
                .zip(&listed)
                .map(|(d, listed)| d.rules(*listed))
                .product();
            if count <= MAX_RULES {
                break;
            }
            let longest = (0..dimensions.len())
                .filter(|i| listed[*i] && !dimensions[*i].fixed() && dimensions[*i].list_len() > 1)
                .max_by_key(|i| dimensions[*i].list_len());
            let Some(longest) = longest else { break };
            listed[longest] = false;
        }
        dimensions
            .into_iter()
            .zip(listed)
            .map(|(dimension, listed)| self.dimension(dimension, listed, family))
            .collect()
    }

    /// Writes one list out, or turns it into a set.
    fn dimension(
        &mut self,
        dimension: Dimension,
        listed: bool,
        family: Option<Family>,
    ) -> Alternatives {
        match dimension {
            Dimension::Short(alternatives) => alternatives,
            Dimension::Nets { side, family, nets } if listed => nets
                .into_iter()
                .map(|net| {
                    let all = net.prefix_len() == 0;
                    let exprs = (!all).then_some(Expr::Address(side, Comparison::Is, net));
                    debug_assert_eq!(Family::of_net(&net), family);
                    exprs.into_iter().collect()
                })
                .collect(),
            Dimension::Nets { side, family, nets } => {
                let set = self.listed(Listed::Nets(family, nets.into()));
                let key = vec![Key::Address(family, side)];
                vec![vec![Expr::in_set(key, Comparison::Is, set)]]
            }
            Dimension::Ports {
                side,
                ports,
                named,
                any_protocol,
                disjoint,
            } => {
                let numbered: Vec<Expr> = if listed {
                    ports
                        .iter()
                        .map(|range| Expr::Port(side, Comparison::Is, *range))
                        .collect()
                } else {
                    let set = self.listed(Listed::Ports(ports.into()));
                    vec![Expr::in_set(vec![Key::Port(side)], Comparison::Is, set)]
                };
                let mut exprs = numbered;
                let first_named = exprs.len();
                if let Some(family) = family {
                    for id in &named {
                        exprs.extend(self.named_port(id, family, side, Comparison::Is));
                    }
                }
                port_alternatives(&exprs, first_named, any_protocol, disjoint)
            }
        }
    }
}

/// No packet can meet the rule.
struct NeverMet;

/// One list of alternatives of a rule, before it is decided how it is written.
enum Dimension {
    /// Alternatives that are few by nature.
    Short(Alternatives),
    /// Prefixes.
    Nets {
        /// Whose address.
        side: Side,
        /// The family of them all.
        family: Family,
        /// The prefixes, not overlapping.
        nets: Vec<IpNet>,
    },
    /// Ports, by number and by name.
    Ports {
        /// Whose port.
        side: Side,
        /// By number.
        ports: Vec<PortRange>,
        /// By name.
        named: Vec<SetId>,
        /// Whether the rule leaves the protocol open, so that ports by number must ask for one.
        any_protocol: bool,
        /// Whether no packet may meet two alternatives.
        disjoint: bool,
    },
}

impl Dimension {
    /// Tells whether the dimension is always written out.
    fn fixed(&self) -> bool {
        match self {
            Self::Short(_) => true,
            Self::Nets { .. } | Self::Ports { .. } => false,
        }
    }

    /// Returns the length of the list that could become a set.
    fn list_len(&self) -> usize {
        match self {
            Self::Short(alternatives) => alternatives.len(),
            Self::Nets { nets, .. } => nets.len(),
            Self::Ports { ports, .. } => ports.len(),
        }
    }

    /// Returns the number of rules that the dimension multiplies by.
    fn rules(&self, listed: bool) -> usize {
        let list = if listed { self.list_len() } else { 1 };
        match self {
            Self::Short(_) | Self::Nets { .. } => list,
            Self::Ports {
                named,
                any_protocol,
                ..
            } => list * if *any_protocol { WITH_PORTS.len() } else { 1 } + named.len(),
        }
    }
}

/// The protocols that a port by number can mean where the rule names none.
const WITH_PORTS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

/// Returns the statement that refuses a packet.
pub(super) fn deny(action: DenyAction) -> Expr {
    match action {
        DenyAction::Drop => Expr::Verdict(Verdict::Drop),
        DenyAction::Reject => Expr::Reject(RejectWith::PortUnreachable),
    }
}

/// Tells whether a rule reads differently in the two families.
fn concerns_family(rule: &MatchRule) -> bool {
    let side = |asked: &SideMatch| {
        !(asked.nets.is_empty()
            && asked.not_nets.is_empty()
            && asked.sets.is_empty()
            && asked.not_sets.is_empty()
            && asked.named_ports.is_empty()
            && asked.not_named_ports.is_empty())
    };
    rule.ip_version.is_some()
        || rule.icmp.is_some()
        || rule.not_icmp.is_some()
        || side(&rule.source)
        || side(&rule.destination)
}

/// Returns the protocol that a rule asks for: its own, or with an ICMP criterion the family's ICMP.
fn icmp_protocol(rule: &MatchRule, family: Option<Family>) -> Result<Option<Protocol>, NeverMet> {
    if rule.icmp.is_none() && rule.not_icmp.is_none() {
        return Ok(rule.protocol);
    }
    let icmp = match family {
        Some(Family::V4) => Protocol::ICMP,
        Some(Family::V6) => Protocol::ICMPV6,
        None => return Ok(rule.protocol),
    };
    match rule.protocol {
        Some(protocol) if protocol != icmp => Err(NeverMet),
        Some(_) | None => Ok(Some(icmp)),
    }
}

/// Returns the matches for an ICMP type and code.
fn icmp_is(family: Family, icmp: IcmpMatch) -> Vec<Expr> {
    let kind = Expr::IcmpType(family, Comparison::Is, icmp.kind);
    let code = icmp
        .code
        .map(|code| Expr::IcmpCode(family, Comparison::Is, code));
    [kind].into_iter().chain(code).collect()
}

/// Returns the alternatives for anything but an ICMP type and code.
fn icmp_is_not(family: Family, icmp: IcmpMatch) -> Alternatives {
    let other_kind = vec![Expr::IcmpType(family, Comparison::IsNot, icmp.kind)];
    let other_code = icmp.code.map(|code| {
        vec![
            Expr::IcmpType(family, Comparison::Is, icmp.kind),
            Expr::IcmpCode(family, Comparison::IsNot, code),
        ]
    });
    [other_kind].into_iter().chain(other_code).collect()
}

/// Returns the prefixes of one family.
fn of_family(nets: &[IpNet], family: Family) -> Vec<IpNet> {
    nets.iter()
        .filter(|net| Family::of_net(net) == family)
        .copied()
        .collect()
}

/// Returns the prefixes that an address must be in, as a dimension.
///
/// A list that holds prefixes of the other family alone rules out every packet of this one, be it positive
/// or negative, as it does with Felix; so does the exclusion of all addresses.
fn nets(side: Side, asked: &SideMatch, family: Family) -> Result<Option<Dimension>, NeverMet> {
    let excluded = of_family(&asked.not_nets, family);
    let all_excluded = excluded.iter().any(|net| net.prefix_len() == 0);
    if all_excluded || (excluded.is_empty() && !asked.not_nets.is_empty()) {
        return Err(NeverMet);
    }
    let nets = of_family(&asked.nets, family);
    match (asked.nets.is_empty(), nets.is_empty()) {
        (true, _) => Ok(None),
        (false, true) => Err(NeverMet),
        (false, false) => Ok(Some(Dimension::Nets { side, family, nets })),
    }
}

/// Returns the ports that a packet must have, as a dimension.
fn ports(
    side: Side,
    asked: &SideMatch,
    protocol: Option<Protocol>,
    action: Action,
) -> Option<Dimension> {
    if asked.ports.is_empty() && asked.named_ports.is_empty() {
        return None;
    }
    Some(Dimension::Ports {
        side,
        ports: asked.ports.to_vec(),
        named: asked.named_ports.to_vec(),
        any_protocol: protocol.is_none(),
        disjoint: action == Action::Log,
    })
}

/// Returns the alternatives of a port criterion: `exprs` are the ports by number, and from `first_named`
/// on those by name.
fn port_alternatives(
    exprs: &[Expr],
    first_named: usize,
    any_protocol: bool,
    disjoint: bool,
) -> Alternatives {
    let mut alternatives = Alternatives::new();
    for (position, expr) in exprs.iter().enumerate() {
        let is_named = position >= first_named;
        if any_protocol && !is_named {
            for protocol in WITH_PORTS {
                alternatives.push(vec![Expr::Protocol(Comparison::Is, protocol), expr.clone()]);
            }
            continue;
        }
        let mut alternative = Vec::new();
        if disjoint && is_named {
            alternative.extend(exprs[..position].iter().filter_map(negated));
        }
        alternative.push(expr.clone());
        alternatives.push(alternative);
    }
    alternatives
}

/// Returns the opposite of a port criterion.
fn negated(expr: &Expr) -> Option<Expr> {
    if let Expr::Port(side, Comparison::Is, range) = expr {
        Some(Expr::Port(*side, Comparison::IsNot, *range))
    } else if let Expr::InSet(Comparison::Is, look_up) = expr {
        Some(Expr::InSet(Comparison::IsNot, look_up.clone()))
    } else {
        None
    }
}

/// Multiplies the alternatives out: one list of expressions for each combination, with what they have in
/// common before and after.
fn product(before: &[Expr], dimensions: &[Alternatives], after: &[Expr]) -> Vec<Vec<Expr>> {
    let mut combined: Vec<Vec<&[Expr]>> = vec![vec![before]];
    for alternatives in dimensions {
        combined = combined
            .iter()
            .flat_map(|start| {
                let more = alternatives.iter().map(Vec::as_slice);
                more.map(move |more| start.iter().copied().chain([more]).collect())
            })
            .collect();
    }
    combined
        .into_iter()
        .map(|parts| {
            parts
                .into_iter()
                .chain([after])
                .collect::<Vec<_>>()
                .concat()
        })
        .collect()
}
