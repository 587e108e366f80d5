//! The hash by which a rule in the kernel is recognised.

use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use super::{
    Comparison, Expr, Fingerprint, InterfaceMatch, InterfaceSide, Key, Limit, LimitUnit,
    RejectWith, Rule, Side, Verdict,
};
use crate::net::{Family, PortRange, Protocol};

/// Begins every encoding; it changes whenever the encoding, or what the kernel is told for the same rule,
/// does, so that the rules of an older release are rewritten.
const VERSION: u8 = 1;

impl Fingerprint {
    /// Computes the fingerprint of a rule: its expressions and its comment.
    pub fn of(rule: &Rule) -> Self {
        let mut bytes = Bytes(Vec::with_capacity(192));
        bytes.byte(VERSION);
        match &rule.comment {
            None => bytes.byte(0),
            Some(comment) => {
                bytes.byte(1);
                bytes.text(comment);
            }
        }
        bytes.length(rule.exprs.len());
        for expr in &rule.exprs {
            bytes.expr(expr);
        }
        let hash = Sha256::digest(&bytes.0);
        let mut short = [0; 8];
        for (to, from) in short.iter_mut().zip(hash.iter()) {
            *to = *from;
        }
        Self(short)
    }
}

/// An encoding in the making. Every variant begins with its own tag and every text and list with its
/// length, so that no two rules share an encoding. Tags are never used again for another meaning.
struct Bytes(Vec<u8>);

impl Bytes {
    fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn bits(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn port(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn length(&mut self, value: usize) {
        // A length of 64 bits holds every `usize` there is.
        self.number(value as u64);
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn comparison(&mut self, comparison: Comparison) {
        self.byte(match comparison {
            Comparison::Is => 1,
            Comparison::IsNot => 2,
        });
    }

    fn family(&mut self, family: Family) {
        self.byte(family.version());
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.byte(protocol.number());
    }

    fn side(&mut self, side: Side) {
        self.byte(match side {
            Side::Source => 1,
            Side::Destination => 2,
        });
    }

    fn interface_side(&mut self, side: InterfaceSide) {
        self.byte(match side {
            InterfaceSide::Input => 1,
            InterfaceSide::Output => 2,
        });
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.byte(4);
                self.0.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.byte(6);
                self.0.extend_from_slice(&v6.octets());
            }
        }
    }

    fn net(&mut self, net: &IpNet) {
        self.address(net.addr());
        self.byte(net.prefix_len());
    }

    fn ports(&mut self, ports: Option<PortRange>) {
        match ports {
            None => self.byte(0),
            Some(range) => {
                self.byte(1);
                self.port(range.first());
                self.port(range.last());
            }
        }
    }

    fn keys(&mut self, keys: &[Key]) {
        self.length(keys.len());
        for key in keys {
            match key {
                Key::Address(family, side) => {
                    self.byte(1);
                    self.family(*family);
                    self.side(*side);
                }
                Key::Network(family, side, length) => {
                    self.byte(5);
                    self.family(*family);
                    self.side(*side);
                    self.byte(*length);
                }
                Key::Protocol => self.byte(2),
                Key::Port(side) => {
                    self.byte(3);
                    self.side(*side);
                }
                Key::Interface(side) => {
                    self.byte(4);
                    self.interface_side(*side);
                }
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.byte(1),
            Verdict::Drop => self.byte(2),
            Verdict::Return => self.byte(3),
            Verdict::Jump(chain) => {
                self.byte(4);
                self.text(chain.as_str());
            }
            Verdict::Goto(chain) => {
                self.byte(5);
                self.text(chain.as_str());
            }
        }
    }

    fn icmp(&mut self, tag: u8, family: Family, comparison: Comparison, values: &[u8]) {
        self.byte(tag);
        self.family(family);
        self.comparison(comparison);
        self.0.extend_from_slice(values);
    }

    fn limit(&mut self, limit: &Limit) {
        self.number(limit.rate);
        self.byte(match limit.unit {
            LimitUnit::Second => 1,
            LimitUnit::Minute => 2,
            LimitUnit::Hour => 3,
            LimitUnit::Day => 4,
        });
        self.bits(limit.burst);
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of expression")]
    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::NetworkFamily(family) => {
                self.byte(1);
                self.family(*family);
            }
            Expr::Protocol(comparison, protocol) => {
                self.byte(2);
                self.comparison(*comparison);
                self.protocol(*protocol);
            }
            Expr::Interface(side, comparison, interface) => {
                self.byte(3);
                self.interface_side(*side);
                self.comparison(*comparison);
                let (tag, name) = match &**interface {
                    InterfaceMatch::Name(name) => (1, name),
                    InterfaceMatch::Prefix(name) => (2, name),
                };
                self.byte(tag);
                self.text(name.as_str());
            }
            Expr::HasInputInterface => self.byte(4),
            Expr::Address(side, comparison, net) => {
                self.byte(5);
                self.side(*side);
                self.comparison(*comparison);
                self.net(net);
            }
            Expr::Port(side, comparison, range) => {
                self.byte(6);
                self.side(*side);
                self.comparison(*comparison);
                self.port(range.first());
                self.port(range.last());
            }
            Expr::IcmpType(family, comparison, value) => {
                self.icmp(7, *family, *comparison, &[*value]);
            }
            Expr::IcmpCode(family, comparison, value) => {
                self.icmp(8, *family, *comparison, &[*value]);
            }
            Expr::IcmpTypeRange(family, comparison, first, last) => {
                self.icmp(9, *family, *comparison, &[*first, *last]);
            }
            Expr::CtState(bits) => {
                self.byte(10);
                self.bits(*bits);
            }
            Expr::CtStatus(bits) => {
                self.byte(11);
                self.bits(*bits);
            }
            Expr::MarkBits(comparison, bits) => {
                self.byte(12);
                self.comparison(*comparison);
                self.bits(*bits);
            }
            Expr::InSet(comparison, look_up) => {
                self.byte(13);
                self.keys(&look_up.keys);
                self.comparison(*comparison);
                self.text(look_up.set.as_str());
            }
            Expr::VerdictMap(look_up) => {
                self.byte(14);
                self.keys(&look_up.keys);
                self.text(look_up.set.as_str());
            }
            Expr::SetMark { mask, value } => {
                self.byte(15);
                self.bits(*mask);
                self.bits(*value);
            }
            Expr::Counter => self.byte(16),
            Expr::CountIn(counter) => {
                self.byte(26);
                self.text(counter.as_str());
            }
            Expr::Limit(limit) => {
                self.byte(17);
                self.limit(limit);
            }
            Expr::Log { prefix } => {
                self.byte(18);
                self.text(prefix);
            }
            Expr::NoTrack => self.byte(19),
            Expr::Reject(with) => {
                self.byte(20);
                self.byte(match with {
                    RejectWith::PortUnreachable => 1,
                    RejectWith::TcpReset => 2,
                });
            }
            Expr::Verdict(verdict) => {
                self.byte(21);
                self.verdict(verdict);
            }
            Expr::NoReversePath => self.byte(22),
            Expr::Dnat { address, port } => {
                self.byte(23);
                self.address(*address);
                self.ports(port.map(PortRange::single));
            }
            Expr::Snat { address, ports } => {
                self.byte(24);
                self.address(*address);
                self.ports(*ports);
            }
            Expr::Masquerade { ports } => {
                self.byte(25);
                self.ports(*ports);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(exprs: Vec<Expr>, comment: Option<&str>) -> Rule {
        Rule {
            exprs,
            comment: comment.map(Into::into),
        }
    }

    #[test]
    fn the_hash_of_a_rule_is_the_same_in_every_release() {
        let rule = rule(
            vec![
                Expr::NetworkFamily(Family::V4),
                Expr::Address(Side::Source, Comparison::Is, "10.0.0.0/8".parse().unwrap()),
                Expr::Verdict(Verdict::Accept),
            ],
            Some("policy default.allow ingress 0"),
        );
        let hash = u64::from_be_bytes(Fingerprint::of(&rule).0);
        assert_eq!(hash, 0x0355_ee0a_b9d0_642f);
    }

    #[test]
    fn rules_that_differ_have_hashes_that_differ() {
        let goto = |name: &str| Expr::Verdict(Verdict::Goto(name.parse().unwrap()));
        let jump = |name: &str| Expr::Verdict(Verdict::Jump(name.parse().unwrap()));
        let count = |name: &str| Expr::CountIn(name.parse().unwrap());
        let log = |prefix: &str| Expr::Log {
            prefix: prefix.into(),
        };
        let net = |text: &str| Expr::Address(Side::Source, Comparison::Is, text.parse().unwrap());
        let one = |port| Some(PortRange::single(port));
        let dnat = |address: &str, port| Expr::Dnat {
            address: address.parse().unwrap(),
            port,
        };
        let snat = |address: &str, port: Option<u16>| Expr::Snat {
            address: address.parse().unwrap(),
            ports: port.and_then(one),
        };
        let rules = [
            rule(vec![], None),
            rule(vec![], Some("")),
            rule(vec![], Some("a")),
            rule(vec![Expr::Counter], None),
            rule(vec![Expr::Counter, Expr::Counter], None),
            rule(vec![count("a")], None),
            rule(vec![count("b")], None),
            rule(vec![goto("a")], None),
            rule(vec![jump("a")], None),
            rule(vec![jump("ab")], None),
            rule(vec![log("a"), log("b")], None),
            rule(vec![log("ab"), log("")], None),
            rule(vec![net("10.0.0.0/8")], None),
            rule(vec![net("10.0.0.0/9")], None),
            rule(vec![net("::/8")], None),
            rule(vec![Expr::MarkBits(Comparison::Is, 1)], None),
            rule(vec![Expr::MarkBits(Comparison::IsNot, 1)], None),
            rule(vec![Expr::CtState(1)], None),
            rule(vec![Expr::CtStatus(1)], None),
            rule(vec![dnat("10.0.0.1", None)], None),
            rule(vec![dnat("10.0.0.2", None)], None),
            rule(vec![dnat("10.0.0.1", Some(80))], None),
            rule(vec![snat("10.0.0.1", None)], None),
            rule(vec![snat("10.0.0.1", Some(80))], None),
            rule(vec![Expr::Masquerade { ports: None }], None),
            rule(vec![Expr::Masquerade { ports: one(80) }], None),
        ];
        let hashes: std::collections::BTreeSet<_> = rules.iter().map(Fingerprint::of).collect();
        assert_eq!(hashes.len(), rules.len());
    }
}
