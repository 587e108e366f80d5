//! What a rule asks of a packet and does with it, as far as a removal has to know.

use crate::kernel::comments::expressions;
use crate::kernel::decode::Attributes;
use crate::kernel::encode::consts::attribute::{
    NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};
use crate::kernel::encode::consts::{expression as field, value};

/// Where the header of IPv4 holds the protocol.
const PROTOCOL_OFFSET: u32 = 9;

/// What was read of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule<'a> {
    /// The interfaces that it asks for, of either side.
    pub(super) interfaces: Vec<Interface<'a>>,
    /// The family of the packets that it asks for, `NFPROTO_*`.
    pub(super) family: Option<u8>,
    /// What else it asks.
    pub(super) asks: Asks,
    /// What it does.
    pub(super) does: Does<'a>,
}

/// An interface that a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface<'a> {
    /// The one of this name.
    Name(&'a [u8]),
    /// Those whose names begin so.
    Prefix(&'a [u8]),
}

/// What a rule asks beside the interfaces and the family that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asks {
    /// Nothing.
    Nothing,
    /// For a protocol, or for any interface but one: most packets of some kind pass.
    Little,
    /// More.
    More,
}

/// What a rule does with a packet for which all that it asks holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does<'a> {
    /// Nothing that ends its way through the chain, or nothing that is known.
    GoesOn,
    /// It lets it pass.
    Accepts,
    /// It drops or rejects it.
    Drops,
    /// It leaves the chain.
    Returns,
    /// It asks another chain.
    Jumps(&'a str),
    /// It asks another chain, and does not come back.
    Goes(&'a str),
}

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Interface,
    Family,
    Protocol,
    Other,
}

/// Reads a rule.
pub(super) fn read(rule: Attributes<'_>) -> Rule<'_> {
    let mut read = Rule {
        interfaces: Vec::new(),
        family: None,
        asks: Asks::Nothing,
        does: Does::GoesOn,
    };
    let mut loaded = Loaded::Other;
    for expr in expressions(rule) {
        let name = expr.text(field::NFTA_EXPR_NAME).unwrap_or_default();
        let data = expr
            .nested(field::NFTA_EXPR_DATA)
            .unwrap_or(Attributes(&[]));
        match name {
            // They change, count or note, and let the packet go on.
            "counter" | "log" | "notrack" | "bitwise" | "byteorder" => {}
            "match" if data.text(field::NFTA_MATCH_NAME) == Some("comment") => {}
            "meta" if data.value(field::NFTA_META_SREG).is_some() => {}
            "meta" => loaded = of_meta(data),
            "payload" if data.value(field::NFTA_PAYLOAD_DREG).is_some() => {
                loaded = of_payload(data);
            }
            "ct" if data.value(field::NFTA_CT_DREG).is_some() => loaded = Loaded::Other,
            "cmp" => compare(data, loaded, &mut read),
            "immediate" if data.be32(field::NFTA_IMMEDIATE_DREG) != Some(value::REG_VERDICT) => {}
            "immediate" => {
                read.does = verdict(data);
                break;
            }
            "reject" => {
                read.does = Does::Drops;
                break;
            }
            "target" => {
                if matches!(data.text(field::NFTA_TARGET_NAME), Some("REJECT" | "DROP")) {
                    read.does = Does::Drops;
                    break;
                }
            }
            _ => read.asks = Asks::More,
        }
    }
    read
}

fn of_meta(data: Attributes<'_>) -> Loaded {
    match data.be32(field::NFTA_META_KEY) {
        Some(value::META_IIFNAME | value::META_OIFNAME) => Loaded::Interface,
        Some(value::META_NFPROTO) => Loaded::Family,
        Some(value::META_L4PROTO) => Loaded::Protocol,
        Some(_) | None => Loaded::Other,
    }
}

fn of_payload(data: Attributes<'_>) -> Loaded {
    let place = (
        data.be32(field::NFTA_PAYLOAD_BASE),
        data.be32(field::NFTA_PAYLOAD_OFFSET),
        data.be32(field::NFTA_PAYLOAD_LEN),
    );
    if place
        == (
            Some(value::PAYLOAD_NETWORK_HEADER),
            Some(PROTOCOL_OFFSET),
            Some(1),
        )
    {
        Loaded::Protocol
    } else {
        Loaded::Other
    }
}

fn compare<'a>(data: Attributes<'a>, loaded: Loaded, read: &mut Rule<'a>) {
    let operator = data.be32(field::NFTA_CMP_OP);
    let operand = data
        .nested(field::NFTA_CMP_DATA)
        .and_then(|data| data.value(NFTA_DATA_VALUE))
        .unwrap_or_default();
    let asks = match (loaded, operator) {
        (Loaded::Interface, Some(value::CMP_EQ)) => {
            // A name is compared with its NUL, the beginning of names without.
            let mut parts = operand.split(|byte| *byte == 0);
            let name = parts.next().unwrap_or_default();
            read.interfaces.push(match parts.next() {
                Some(_) => Interface::Name(name),
                None => Interface::Prefix(name),
            });
            Asks::Nothing
        }
        (Loaded::Family, Some(value::CMP_EQ)) => {
            read.family = operand.first().copied();
            Asks::Nothing
        }
        (Loaded::Interface | Loaded::Family, Some(value::CMP_NEQ))
        | (Loaded::Protocol, Some(value::CMP_EQ | value::CMP_NEQ)) => Asks::Little,
        (Loaded::Interface | Loaded::Family | Loaded::Protocol | Loaded::Other, _) => Asks::More,
    };
    read.asks = read.asks.max(asks);
}

fn verdict(data: Attributes<'_>) -> Does<'_> {
    let Some(verdict) = data
        .nested(field::NFTA_IMMEDIATE_DATA)
        .and_then(|data| data.nested(NFTA_DATA_VERDICT))
    else {
        return Does::GoesOn;
    };
    let chain = verdict.text(NFTA_VERDICT_CHAIN);
    match (verdict.signed_be32(NFTA_VERDICT_CODE), chain) {
        (Some(value::NF_ACCEPT), _) => Does::Accepts,
        (Some(value::NF_DROP), _) => Does::Drops,
        (Some(value::NFT_RETURN), _) => Does::Returns,
        (Some(value::NFT_JUMP), Some(chain)) => Does::Jumps(chain),
        (Some(value::NFT_GOTO), Some(chain)) => Does::Goes(chain),
        (Some(_) | None, _) => Does::GoesOn,
    }
}

impl<'a> Rule<'a> {
    /// Tells whether it is for every packet.
    pub(super) fn is_unconditional(&self) -> bool {
        self.family.is_none() && self.is_for_all_interfaces()
    }

    /// Tells whether it accepts every packet of a family, `NFPROTO_*`.
    pub(super) fn accepts_all_of(&self, family: u8) -> bool {
        self.does == Does::Accepts && self.family == Some(family) && self.is_for_all_interfaces()
    }

    fn is_for_all_interfaces(&self) -> bool {
        self.interfaces.is_empty() && self.asks == Asks::Nothing
    }

    /// Returns the chain that it leads to.
    pub(super) fn target(&self) -> Option<&'a str> {
        match self.does {
            Does::Jumps(chain) | Does::Goes(chain) => Some(chain),
            Does::GoesOn | Does::Accepts | Does::Drops | Does::Returns => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::decode::Messages;
    use crate::kernel::encode::buffer::{Buffer, Header};
    use crate::kernel::encode::consts::attribute::{NFTA_LIST_ELEM, NFTA_RULE_EXPRESSIONS};
    use crate::kernel::encode::exprs::expressions as write;
    use crate::net::{Family, Protocol};
    use crate::nft::{Comparison, Expr, InterfaceMatch, InterfaceSide, RejectWith, Verdict};

    fn message(body: impl FnOnce(&mut Buffer)) -> Vec<u8> {
        let mut buffer = Buffer::with_capacity(512);
        let header = Header {
            kind: 0x0a06,
            flags: 0,
            sequence: 1,
            family: 2,
            resource: 0,
        };
        buffer
            .message(header, |buffer| {
                buffer.nest(NFTA_RULE_EXPRESSIONS, body);
            })
            .unwrap();
        buffer.into_bytes()
    }

    fn of<T>(bytes: &[u8], look: impl FnOnce(Rule<'_>) -> T) -> T {
        look(read(Messages(bytes).next().unwrap().attributes()))
    }

    fn written(exprs: &[Expr]) -> Vec<u8> {
        message(|buffer| write(buffer, exprs))
    }

    fn xtables(kind: &str, name: &str) -> Vec<u8> {
        message(|buffer| {
            buffer.nest(NFTA_LIST_ELEM, |buffer| {
                buffer.text(field::NFTA_EXPR_NAME, kind);
                buffer.nest(field::NFTA_EXPR_DATA, |buffer| {
                    buffer.text(field::NFTA_TARGET_NAME, name);
                });
            });
        })
    }

    #[test]
    fn what_a_rule_asks_is_told_apart() {
        let eth0 = || "eth0".parse().unwrap();
        let on = |matched| Expr::interface(InterfaceSide::Input, Comparison::Is, matched);
        let tcp = Expr::Protocol(Comparison::Is, Protocol::TCP);
        let drop = Expr::Verdict(Verdict::Drop);
        of(&written(std::slice::from_ref(&drop)), |rule| {
            assert!(rule.is_unconditional());
            assert_eq!(rule.does, Does::Drops);
        });
        let exprs = [on(InterfaceMatch::Name(eth0())), tcp, drop.clone()];
        of(&written(&exprs), |rule| {
            assert_eq!(rule.interfaces, [Interface::Name(b"eth0")]);
            assert_eq!((rule.asks, rule.does), (Asks::Little, Does::Drops));
        });
        let exprs = [on(InterfaceMatch::Prefix(eth0())), drop.clone()];
        of(&written(&exprs), |rule| {
            assert_eq!(rule.interfaces, [Interface::Prefix(b"eth0")]);
            assert_eq!(rule.asks, Asks::Nothing);
        });
        let of_ip6 = Expr::NetworkFamily(Family::V6);
        of(&written(&[of_ip6.clone(), drop.clone()]), |rule| {
            assert!(!rule.is_unconditional());
            assert_eq!((rule.family, rule.asks), (Some(10), Asks::Nothing));
        });
        for much in [Expr::CtState(8), Expr::MarkBits(Comparison::Is, 1)] {
            let exprs = [Expr::Counter, much, drop.clone()];
            of(&written(&exprs), |rule| assert_eq!(rule.asks, Asks::More));
        }
        of(&xtables("match", "conntrack"), |rule| {
            assert_eq!(rule.asks, Asks::More);
        });
        of(&xtables("match", "comment"), |rule| {
            assert!(rule.is_unconditional());
        });
    }

    #[test]
    fn a_rule_that_accepts_a_whole_family_is_told_from_one_that_asks_more() {
        let of = |exprs: &[Expr]| {
            let accept = Expr::Verdict(Verdict::Accept);
            let bytes = written(&[exprs, &[accept]].concat());
            of(&bytes, |rule| rule.accepts_all_of(10))
        };
        let ip6 = Expr::NetworkFamily(Family::V6);
        assert!(of(std::slice::from_ref(&ip6)));
        assert!(of(&[Expr::Counter, ip6.clone()]));
        let eth0 = InterfaceMatch::Name("eth0".parse().unwrap());
        for more in [
            Expr::interface(InterfaceSide::Input, Comparison::Is, eth0),
            Expr::Protocol(Comparison::Is, Protocol::TCP),
            Expr::CtState(8),
        ] {
            assert!(!of(&[ip6.clone(), more]));
        }
        assert!(!of(&[Expr::NetworkFamily(Family::V4)]));
        assert!(!of(&[]));
        let drop = written(&[ip6, Expr::Verdict(Verdict::Drop)]);
        assert!(!self::of(&drop, |rule| rule.accepts_all_of(10)));
    }

    #[test]
    fn what_a_rule_does_is_told_apart() {
        let chain = || "a-chain".parse().unwrap();
        for (expr, does) in [
            (Expr::Verdict(Verdict::Accept), Does::Accepts),
            (Expr::Verdict(Verdict::Return), Does::Returns),
            (Expr::Reject(RejectWith::PortUnreachable), Does::Drops),
            (
                Expr::Verdict(Verdict::Jump(chain())),
                Does::Jumps("a-chain"),
            ),
            (Expr::Verdict(Verdict::Goto(chain())), Does::Goes("a-chain")),
            (Expr::Counter, Does::GoesOn),
        ] {
            of(&written(&[expr]), |rule| {
                assert!(rule.is_unconditional());
                assert_eq!(rule.does, does);
            });
        }
        for (target, does) in [("REJECT", Does::Drops), ("LOG", Does::GoesOn)] {
            of(&xtables("target", target), |rule| {
                assert_eq!(rule.does, does);
            });
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = read(Attributes(&bytes));
            let nested = message(|buffer| buffer.bytes(NFTA_LIST_ELEM, &bytes));
            of(&nested, |rule| drop(rule.target().map(ToOwned::to_owned)));
        }
    }
}
