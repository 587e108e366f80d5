//! Whether a packet meets a rule.

use std::net::IpAddr;

use super::host::Host;
use super::packet::Packet;
use crate::model::{EntityMatch, IcmpMatch, PortMatch, PortName, Rule};
use crate::net::Family;

impl Host {
    /// Tells whether a packet meets every criterion of a rule.
    pub(super) fn meets(&self, packet: &Packet, rule: &Rule) -> bool {
        let ports = packet.ports();
        rule.ip_version
            .is_none_or(|family| family == packet.family())
            && is_for_family(rule, packet.family())
            && rule.protocol.is_none_or(|wanted| wanted == packet.protocol)
            && rule
                .not_protocol
                .is_none_or(|unwanted| unwanted != packet.protocol)
            && meets_icmp(packet, rule)
            && self.meets_end(packet, &rule.source, packet.source, ports.map(|p| p.0))
            && self.meets_end(
                packet,
                &rule.destination,
                packet.destination,
                ports.map(|p| p.1),
            )
    }

    /// Tells whether one end of a packet is as a rule wants it.
    fn meets_end(
        &self,
        packet: &Packet,
        end: &EntityMatch,
        address: IpAddr,
        port: Option<u16>,
    ) -> bool {
        (end.nets.is_empty() || end.nets.iter().any(|net| net.contains(&address)))
            && !end.not_nets.iter().any(|net| net.contains(&address))
            && self.meets_selectors(end, address)
            && self.meets_ports(packet, end, address, port)
    }

    /// Tells whether an address belongs to something that is meant, or to nothing that is not.
    fn meets_selectors(&self, end: &EntityMatch, address: IpAddr) -> bool {
        let mut owners = self.members.iter().filter(|member| member.holds(address));
        match (&end.selector, &end.not_selector) {
            (Some(selector), not_selector) => {
                owners.any(|owner| owner.is_meant(selector, not_selector.as_ref()))
            }
            (None, Some(not_selector)) => !owners.any(|owner| owner.is_meant(not_selector, None)),
            (None, None) => true,
        }
    }

    /// Tells whether a port is among those wanted and among none unwanted.
    fn meets_ports(
        &self,
        packet: &Packet,
        end: &EntityMatch,
        address: IpAddr,
        port: Option<u16>,
    ) -> bool {
        let Some(port) = port else {
            // A packet without ports has none of those unwanted; one whose ports cannot be seen, as those of a
            // fragment, meets no such criterion at all.
            return end.ports.is_empty()
                && (end.not_ports.is_empty() || !packet.protocol.has_ports());
        };
        let is = |wanted: &PortMatch| match wanted {
            PortMatch::Range(range) => (range.first()..=range.last()).contains(&port),
            PortMatch::Named(name) => self.is_named(name, packet, end, address, port),
        };
        (end.ports.is_empty() || end.ports.iter().any(is)) && !end.not_ports.iter().any(is)
    }

    /// Tells whether some endpoint that the rule's end means declares this port of this address under a name.
    fn is_named(
        &self,
        name: &PortName,
        packet: &Packet,
        end: &EntityMatch,
        address: IpAddr,
        port: u16,
    ) -> bool {
        let meant = |member: &&super::facts::Member| match &end.selector {
            Some(selector) => member.is_meant(selector, end.not_selector.as_ref()),
            None => true,
        };
        packet.protocol.has_ports()
            && self
                .members
                .iter()
                .filter(|member| member.holds(address))
                .filter(meant)
                .flat_map(|member| &member.ports)
                .any(|declared| {
                    declared.name == *name
                        && declared.protocol == packet.protocol
                        && declared.port == port
                })
    }
}

/// Tells whether a rule exists for a family: lists of nets, negated ones too, confine it to the families that
/// they have nets of, and no packet is outside a negated whole family.
fn is_for_family(rule: &Rule, family: Family) -> bool {
    [&rule.source, &rule.destination].into_iter().all(|end| {
        let lists = [&end.nets, &end.not_nets];
        let whole = |net: &ipnet::IpNet| net.prefix_len() == 0 && Family::of_net(net) == family;
        !end.not_nets.iter().any(whole)
            && lists
                .into_iter()
                .all(|nets| nets.is_empty() || nets.iter().any(|net| Family::of_net(net) == family))
    })
}

/// Tells whether a packet has the ICMP type and code wanted and not those unwanted; only a message of its
/// family's ICMP meets either criterion.
fn meets_icmp(packet: &Packet, rule: &Rule) -> bool {
    let is = |wanted: IcmpMatch, (kind, code): (u8, u8)| {
        wanted.kind == kind && wanted.code.is_none_or(|wanted| wanted == code)
    };
    let icmp = packet.icmp();
    rule.icmp
        .is_none_or(|wanted| icmp.is_some_and(|found| is(wanted, found)))
        && rule
            .not_icmp
            .is_none_or(|unwanted| icmp.is_some_and(|found| !is(unwanted, found)))
}
