//! What one endpoint says of a packet: the lists of rules, and what is asked before and after them.

use super::facts::profile;
use super::host::{Host, Subject};
use super::journey::{Encapsulation, LoggedBy, Outcome, Reason, RuleSource};
use super::packet::{ConntrackState, Packet};
use super::settings::{Failsafe, FromWorkloads, NeighborDiscovery};
use crate::model::{Action, Direction, EndOfTier, PolicyKind, ResourceKey, Rule, WorkloadEndpoint};
use crate::net::Protocol;

/// The types of `ICMPv6` that pass a host endpoint: listener discovery of both versions, neighbour discovery.
const NEIGHBOR_DISCOVERY: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];
/// IP in IP, as a protocol number.
const IPIP: u8 = 4;

/// What is asked where traffic begins or ends.
pub(super) const NORMAL: [PolicyKind; 2] = [PolicyKind::Normal, PolicyKind::ApplyOnForward];
/// What is asked where traffic passes through.
pub(super) const FORWARD: [PolicyKind; 1] = [PolicyKind::ApplyOnForward];
/// What is asked before connection tracking.
pub(super) const UNTRACKED: [PolicyKind; 1] = [PolicyKind::Untracked];
/// What is asked before destinations are translated.
pub(super) const PRE_DNAT: [PolicyKind; 1] = [PolicyKind::PreDnat];

/// The answer to a question.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
    pub(super) logged: Vec<LoggedBy>,
}

impl Answer {
    /// Makes an answer that no rule had a part in.
    pub(super) fn new(outcome: Outcome, reason: Reason) -> Self {
        Self {
            outcome,
            reason,
            logged: Vec::new(),
        }
    }
}

/// Whether the end of a tier in which nothing decided may deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    AsTheTierSays,
    Pass,
}

/// What a list of rules says.
enum Said {
    Allow(usize),
    Deny(usize),
    Pass,
    Nothing,
}

impl Host {
    /// Asks a host endpoint about traffic that begins or ends here.
    pub(super) fn host_normal(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        direction: Direction,
    ) -> Answer {
        self.whatever_policy_says(packet, direction)
            .unwrap_or_else(|| self.tiers_and_profiles(packet, subject, direction))
    }

    /// Tells whether a packet is one without which IPv6 does not work on a link, and passes for that.
    fn discovers_neighbors(&self, packet: &Packet) -> bool {
        match self.settings.neighbor_discovery {
            NeighborDiscovery::Allow => packet.is_icmpv6_of(&NEIGHBOR_DISCOVERY),
            NeighborDiscovery::Policy => false,
        }
    }

    /// Asks a host endpoint of the v1 form about traffic that passes through: as about its own, save that neighbour
    /// discovery is a matter of one link and passes through nothing.
    pub(super) fn host_forward_as_own(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        direction: Direction,
    ) -> Answer {
        self.known_or_failsafe(packet, direction)
            .unwrap_or_else(|| self.tiers_and_profiles(packet, subject, direction))
    }

    /// Asks a host endpoint of the v3 form about traffic that passes through.
    pub(super) fn host_forward(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        direction: Direction,
    ) -> Answer {
        if let Some(answer) = self.by_state(packet) {
            return answer;
        }
        if !self.has_policy(&subject.labels, &FORWARD) {
            return Answer::new(Outcome::Continue, Reason::NoPolicyOfKind);
        }
        let mut logged = Vec::new();
        let decided = self.tiers(
            packet,
            subject,
            (&FORWARD, direction, Ends::AsTheTierSays),
            &mut logged,
        );
        finish(decided, logged, Outcome::Allow)
    }

    /// Asks a host endpoint about a packet before connection tracking.
    pub(super) fn host_untracked(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        direction: Direction,
    ) -> Answer {
        if !self.has_policy(&subject.labels, &UNTRACKED) {
            return Answer::new(Outcome::Continue, Reason::NoPolicyOfKind);
        }
        // A failsafe port is left to connection tracking, and so is the answer from one.
        let failsafe = self
            .failsafe(packet, direction)
            .or_else(|| self.reverse_failsafe(packet, direction));
        if let Some(reason) = failsafe {
            return Answer::new(Outcome::Continue, reason);
        }
        if self.discovers_neighbors(packet) {
            return Answer::new(Outcome::Continue, Reason::NeighborDiscovery);
        }
        let mut logged = Vec::new();
        let asked = (&UNTRACKED[..], direction, Ends::Pass);
        let decided = self.tiers(packet, subject, asked, &mut logged);
        finish(decided, logged, Outcome::AllowEarly)
    }

    /// Asks a host endpoint about a packet that came in, before its destination is translated.
    pub(super) fn host_pre_dnat(&self, packet: &Packet, subject: &Subject<'_>) -> Answer {
        if !self.has_policy(&subject.labels, &PRE_DNAT) {
            return Answer::new(Outcome::Continue, Reason::NoPolicyOfKind);
        }
        if let Some(answer) = self.whatever_policy_says(packet, Direction::Ingress) {
            return answer;
        }
        let mut logged = Vec::new();
        let asked = (&PRE_DNAT[..], Direction::Ingress, Ends::Pass);
        let decided = self.tiers(packet, subject, asked, &mut logged);
        finish(decided, logged, Outcome::AllowEarly)
    }

    /// Asks a workload endpoint about what it sends or is sent.
    pub(super) fn workload(
        &self,
        packet: &Packet,
        (key, endpoint): (&ResourceKey, &WorkloadEndpoint),
        direction: Direction,
    ) -> Answer {
        if !endpoint.active {
            return Answer::new(Outcome::Deny, Reason::EndpointDown);
        }
        if let Some(answer) = self.by_state(packet) {
            return answer;
        }
        match direction {
            Direction::Ingress => {}
            Direction::Egress => {
                if let Some(encapsulation) = self.encapsulated(packet) {
                    return Answer::new(Outcome::Deny, Reason::Encapsulated(encapsulation));
                }
            }
        }
        let subject = self.workload_subject(key, endpoint);
        self.tiers_and_profiles(packet, &subject, direction)
    }

    /// Decides at the interface of a host endpoint before policy is asked: what is known, and what always passes.
    fn whatever_policy_says(&self, packet: &Packet, direction: Direction) -> Option<Answer> {
        self.known_or_failsafe(packet, direction).or_else(|| {
            self.discovers_neighbors(packet)
                .then(|| Answer::new(Outcome::Allow, Reason::NeighborDiscovery))
        })
    }

    /// Decides by what connection tracking says and by failsafe ports, where one of them decides.
    fn known_or_failsafe(&self, packet: &Packet, direction: Direction) -> Option<Answer> {
        self.by_state(packet).or_else(|| {
            self.failsafe(packet, direction)
                .map(|reason| Answer::new(Outcome::Allow, reason))
        })
    }

    /// Decides by what connection tracking says, where that decides.
    fn by_state(&self, packet: &Packet) -> Option<Answer> {
        match packet.state {
            ConntrackState::Established | ConntrackState::Related => {
                Some(Answer::new(Outcome::Allow, Reason::Known))
            }
            ConntrackState::Invalid if self.settings.drop_invalid => {
                Some(Answer::new(Outcome::Deny, Reason::Invalid))
            }
            ConntrackState::Invalid | ConntrackState::New | ConntrackState::Untracked => None,
        }
    }

    /// Returns the failsafe entry that a packet towards the port meets.
    fn failsafe(&self, packet: &Packet, direction: Direction) -> Option<Reason> {
        let (_, port) = packet.ports()?;
        self.failsafe_entry(packet, direction, direction, port)
    }

    /// Returns the failsafe entry that a packet from the port, an answer, meets.
    fn reverse_failsafe(&self, packet: &Packet, direction: Direction) -> Option<Reason> {
        let (port, _) = packet.ports()?;
        let of = match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        self.failsafe_entry(packet, direction, of, port)
    }

    /// Looks for a port in the list of one direction; the peer is who sends what comes in and receives what goes
    /// out, `towards` being the way of the packet.
    fn failsafe_entry(
        &self,
        packet: &Packet,
        towards: Direction,
        of: Direction,
        port: u16,
    ) -> Option<Reason> {
        let entries = match of {
            Direction::Ingress => &self.settings.failsafe_inbound,
            Direction::Egress => &self.settings.failsafe_outbound,
        };
        let peer = match towards {
            Direction::Ingress => packet.source,
            Direction::Egress => packet.destination,
        };
        let meets = |entry: &&Failsafe| {
            entry.protocol == packet.protocol
                && entry.port == port
                && entry.net.is_none_or(|net| net.contains(&peer))
        };
        entries.iter().find(meets).map(|entry| Reason::Failsafe {
            entry: entry.clone(),
            direction: of,
        })
    }

    /// Tells whether a workload's packet is one that encapsulates another, where that is not allowed.
    fn encapsulated(&self, packet: &Packet) -> Option<Encapsulation> {
        let settings = &self.settings;
        let vxlan = packet.goes_to(Protocol::UDP, settings.vxlan_port);
        let ipip = packet.protocol.number() == IPIP;
        match (settings.vxlan_from_workloads, settings.ipip_from_workloads) {
            (FromWorkloads::Denied, _) if vxlan => Some(Encapsulation::Vxlan),
            (_, FromWorkloads::Denied) if ipip => Some(Encapsulation::Ipip),
            (FromWorkloads::Denied | FromWorkloads::Judged, _) => None,
        }
    }

    /// Asks the tiers, then the profiles; what neither allows is denied.
    fn tiers_and_profiles(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        direction: Direction,
    ) -> Answer {
        let mut logged = Vec::new();
        let (outcome, reason) = self
            .tiers(
                packet,
                subject,
                (&NORMAL, direction, Ends::AsTheTierSays),
                &mut logged,
            )
            .or_else(|| self.profiles(packet, subject, direction, &mut logged))
            .unwrap_or((Outcome::Deny, Reason::NothingAllows));
        Answer {
            outcome,
            reason,
            logged,
        }
    }

    /// Asks the tiers in order, and in each its policies in order.
    fn tiers(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        (kinds, direction, ends): (&[PolicyKind], Direction, Ends),
        logged: &mut Vec<LoggedBy>,
    ) -> Option<(Outcome, Reason)> {
        for stage in self.stages(&subject.labels, kinds, direction) {
            let mut passed = false;
            for (key, policy) in stage.policies {
                let source = RuleSource::Policy {
                    tier: stage.tier.clone(),
                    policy: key.clone(),
                };
                let rules = policy.rules(direction);
                match self.ask(packet, rules, (&source, direction), logged) {
                    Said::Allow(number) => {
                        return Some((Outcome::Allow, by_rule(source, direction, number)));
                    }
                    Said::Deny(number) => {
                        return Some((Outcome::Deny, by_rule(source, direction, number)));
                    }
                    Said::Pass => {
                        passed = true;
                        break;
                    }
                    Said::Nothing => {}
                }
            }
            let denies = match (ends, stage.end) {
                (Ends::AsTheTierSays, EndOfTier::Deny) => !passed,
                (Ends::AsTheTierSays, EndOfTier::Pass) | (Ends::Pass, _) => false,
            };
            if denies {
                let tier = stage.tier;
                return Some((Outcome::Deny, Reason::EndOfTier { tier }));
            }
        }
        None
    }

    /// Asks the profiles in order; one that is missing denies.
    fn profiles(
        &self,
        packet: &Packet,
        subject: &Subject<'_>,
        direction: Direction,
        logged: &mut Vec<LoggedBy>,
    ) -> Option<(Outcome, Reason)> {
        for id in subject.profiles {
            let Some(profile) = profile(&self.resources, id) else {
                let profile = id.clone();
                return Some((Outcome::Deny, Reason::MissingProfile { profile }));
            };
            let source = RuleSource::Profile(id.clone());
            let rules = profile.rules(direction);
            match self.ask(packet, rules, (&source, direction), logged) {
                Said::Allow(number) => {
                    return Some((Outcome::Allow, by_rule(source, direction, number)));
                }
                Said::Deny(number) => {
                    return Some((Outcome::Deny, by_rule(source, direction, number)));
                }
                Said::Pass | Said::Nothing => {}
            }
        }
        None
    }

    /// Asks rules in order; the first that the packet meets and that decides is final.
    fn ask(
        &self,
        packet: &Packet,
        rules: &[Rule],
        (source, direction): (&RuleSource, Direction),
        logged: &mut Vec<LoggedBy>,
    ) -> Said {
        for (index, rule) in rules.iter().enumerate() {
            if !self.meets(packet, rule) {
                continue;
            }
            let number = index + 1;
            match rule.action {
                Action::Allow => return Said::Allow(number),
                Action::Deny => return Said::Deny(number),
                Action::Pass => return Said::Pass,
                Action::Log => logged.push(LoggedBy {
                    source: source.clone(),
                    direction,
                    number,
                }),
            }
        }
        Said::Nothing
    }
}

/// Names the rule that decided.
fn by_rule(source: RuleSource, direction: Direction, number: usize) -> Reason {
    Reason::Rule {
        source,
        direction,
        number,
    }
}

/// Makes the answer of tiers behind which nothing denies.
fn finish(decided: Option<(Outcome, Reason)>, logged: Vec<LoggedBy>, allow: Outcome) -> Answer {
    let (outcome, reason) = match decided {
        Some((Outcome::Allow, reason)) => (allow, reason),
        Some(other) => other,
        None => (Outcome::Continue, Reason::NothingMatches),
    };
    Answer {
        outcome,
        reason,
        logged,
    }
}
