//! Matches and statements as the kernel's expressions.
//!
//! Each is lowered to what `nft` makes of the same text, so that `nft list` can turn it back.

use std::net::IpAddr;

use ipnet::IpNet;

use super::buffer::Buffer;
use super::consts::attribute::{
    NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_LIST_ELEM, NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};
use super::consts::{expression as field, nfnetlink, value};
use super::nat::{masquerade, translation};
use super::sets::{ADDRESS_V4_LENGTH, ADDRESS_V6_LENGTH, INTERFACE_LENGTH, padded};
use super::text::shortened;
use crate::net::{Family, InterfaceName, PortRange};
use crate::nft::{
    Comparison, Expr, InterfaceMatch, InterfaceSide, Key, Limit, LookUp, RejectWith, Side, Verdict,
};

/// The longest prefix of a log line: `NF_LOG_PREFIXLEN` of `linux/netfilter/nf_log.h` less the NUL.
const LOG_PREFIX_MAX: usize = 127;
/// All registers together, in bytes.
const REGISTERS_LENGTH: usize = 64;

/// Why a rule cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleFault {
    /// A lookup asks for no field.
    EmptyKey,
    /// The fields of a lookup do not fit the registers.
    LongKey,
}

/// Checks what the types leave open.
pub(super) fn check(exprs: &[Expr]) -> Result<(), RuleFault> {
    for expr in exprs {
        if let Expr::InSet(_, look_up) | Expr::VerdictMap(look_up) = expr {
            let keys = &look_up.keys;
            let length: usize = keys.iter().map(|key| padded(key_length(*key))).sum();
            if keys.is_empty() {
                return Err(RuleFault::EmptyKey);
            }
            if length > REGISTERS_LENGTH {
                return Err(RuleFault::LongKey);
            }
        }
    }
    Ok(())
}

/// Writes a rule's expressions into a list.
pub(in crate::kernel) fn expressions(buffer: &mut Buffer, exprs: &[Expr]) {
    for expr in exprs {
        expression(buffer, expr);
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of expression")]
fn expression(buffer: &mut Buffer, expr: &Expr) {
    match expr {
        Expr::NetworkFamily(family) => {
            meta(buffer, value::META_NFPROTO, value::REG_1);
            let protocol = match family {
                Family::V4 => nfnetlink::NFPROTO_IPV4,
                Family::V6 => nfnetlink::NFPROTO_IPV6,
            };
            compare(buffer, value::CMP_EQ, &[protocol]);
        }
        Expr::Protocol(comparison, protocol) => {
            meta(buffer, value::META_L4PROTO, value::REG_1);
            compare(buffer, equality(*comparison), &[protocol.number()]);
        }
        Expr::Interface(side, comparison, wanted) => {
            meta(buffer, interface_key(*side), value::REG_1);
            match &**wanted {
                InterfaceMatch::Name(name) => {
                    compare(buffer, equality(*comparison), &interface_bytes(name));
                }
                InterfaceMatch::Prefix(prefix) => {
                    compare(buffer, equality(*comparison), prefix.as_str().as_bytes());
                }
            }
        }
        Expr::HasInputInterface => {
            meta(buffer, value::META_IIF, value::REG_1);
            compare(buffer, value::CMP_NEQ, &0_u32.to_ne_bytes());
        }
        Expr::NoReversePath => {
            named(buffer, "fib", |buffer| {
                let by = value::FIB_F_SADDR | value::FIB_F_MARK | value::FIB_F_IIF;
                buffer.be32(field::NFTA_FIB_FLAGS, by | value::FIB_F_PRESENT);
                buffer.be32(field::NFTA_FIB_RESULT, value::FIB_RESULT_OIF);
                buffer.be32(field::NFTA_FIB_DREG, value::REG_1);
            });
            compare(buffer, value::CMP_EQ, &0_u32.to_ne_bytes());
        }
        Expr::Address(side, comparison, net) => address(buffer, *side, *comparison, net),
        Expr::Port(side, comparison, range) => {
            payload(
                buffer,
                value::PAYLOAD_TRANSPORT_HEADER,
                port_offset(*side),
                2,
                value::REG_1,
            );
            between(
                buffer,
                *comparison,
                &range.first().to_be_bytes(),
                &range.last().to_be_bytes(),
            );
        }
        Expr::IcmpType(_, comparison, number) => {
            icmp_field(buffer, 0);
            compare(buffer, equality(*comparison), &[*number]);
        }
        Expr::IcmpCode(_, comparison, number) => {
            icmp_field(buffer, 1);
            compare(buffer, equality(*comparison), &[*number]);
        }
        Expr::IcmpTypeRange(_, comparison, first, last) => {
            icmp_field(buffer, 0);
            between(buffer, *comparison, &[*first], &[*last]);
        }
        Expr::CtState(bits) => {
            connection(buffer, value::CT_STATE);
            any_bit(buffer, Comparison::Is, *bits);
        }
        Expr::CtStatus(bits) => {
            connection(buffer, value::CT_STATUS);
            any_bit(buffer, Comparison::Is, *bits);
        }
        Expr::MarkBits(comparison, bits) => {
            meta(buffer, value::META_MARK, value::REG_1);
            any_bit(buffer, *comparison, *bits);
        }
        Expr::InSet(comparison, look_up) => {
            load_key(buffer, &look_up.keys);
            let flags = match comparison {
                Comparison::Is => 0,
                Comparison::IsNot => value::LOOKUP_F_INV,
            };
            named(buffer, "lookup", |buffer| {
                buffer.be32(field::NFTA_LOOKUP_SREG, value::REG_1);
                buffer.text(field::NFTA_LOOKUP_SET, look_up.set.as_str());
                if flags != 0 {
                    buffer.be32(field::NFTA_LOOKUP_FLAGS, flags);
                }
            });
        }
        Expr::VerdictMap(look_up) => verdict_map(buffer, look_up),
        Expr::SetMark { mask, value: bits } => {
            meta(buffer, value::META_MARK, value::REG_1);
            let (kept, set) = ((!mask).to_ne_bytes(), (bits & mask).to_ne_bytes());
            bitwise(buffer, value::REG_1, &kept, &set);
            named(buffer, "meta", |buffer| {
                buffer.be32(field::NFTA_META_KEY, value::META_MARK);
                buffer.be32(field::NFTA_META_SREG, value::REG_1);
            });
        }
        Expr::Counter => named(buffer, "counter", |_| {}),
        Expr::CountIn(counter) => named(buffer, "objref", |buffer| {
            buffer.be32(field::NFTA_OBJREF_IMM_TYPE, value::OBJECT_COUNTER);
            // Without a NUL, as `nft` does it.
            buffer.bytes(field::NFTA_OBJREF_IMM_NAME, counter.as_str().as_bytes());
        }),
        Expr::Limit(rate) => limit(buffer, rate),
        Expr::Log { prefix } => named(buffer, "log", |buffer| {
            let prefix = shortened(prefix, LOG_PREFIX_MAX);
            if !prefix.is_empty() {
                buffer.text(field::NFTA_LOG_PREFIX, prefix);
            }
        }),
        Expr::NoTrack => buffer.nest(NFTA_LIST_ELEM, |buffer| {
            buffer.text(field::NFTA_EXPR_NAME, "notrack");
        }),
        Expr::Dnat { address, port } => {
            let ports = port.map(PortRange::single);
            translation(buffer, value::NAT_DNAT, *address, ports);
        }
        Expr::Snat { address, ports } => translation(buffer, value::NAT_SNAT, *address, *ports),
        Expr::Masquerade { ports } => masquerade(buffer, *ports),
        Expr::Reject(with) => named(buffer, "reject", |buffer| match with {
            RejectWith::PortUnreachable => {
                buffer.be32(field::NFTA_REJECT_TYPE, value::REJECT_ICMPX_UNREACH);
                buffer.u8(
                    field::NFTA_REJECT_ICMP_CODE,
                    value::REJECT_ICMPX_PORT_UNREACH,
                );
            }
            RejectWith::TcpReset => {
                buffer.be32(field::NFTA_REJECT_TYPE, value::REJECT_TCP_RST);
                buffer.u8(field::NFTA_REJECT_ICMP_CODE, 0);
            }
        }),
        Expr::Verdict(wanted) => named(buffer, "immediate", |buffer| {
            buffer.be32(field::NFTA_IMMEDIATE_DREG, value::REG_VERDICT);
            buffer.nest(field::NFTA_IMMEDIATE_DATA, |buffer| verdict(buffer, wanted));
        }),
    }
}

/// Writes a verdict as the data of an expression or of an element.
pub(super) fn verdict(buffer: &mut Buffer, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (value::NF_ACCEPT, None),
        Verdict::Drop => (value::NF_DROP, None),
        Verdict::Return => (value::NFT_RETURN, None),
        Verdict::Jump(chain) => (value::NFT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (value::NFT_GOTO, Some(chain)),
    };
    buffer.nest(NFTA_DATA_VERDICT, |buffer| {
        buffer.signed_be32(NFTA_VERDICT_CODE, code);
        if let Some(chain) = chain {
            buffer.text(NFTA_VERDICT_CHAIN, chain.as_str());
        }
    });
}

/// Returns a name as the kernel compares it, filled with NULs.
pub(super) fn interface_bytes(name: &InterfaceName) -> [u8; INTERFACE_LENGTH] {
    let mut bytes = [0; INTERFACE_LENGTH];
    for (place, byte) in bytes.iter_mut().zip(name.as_str().bytes()) {
        *place = byte;
    }
    bytes
}

pub(super) fn named(buffer: &mut Buffer, name: &str, body: impl FnOnce(&mut Buffer)) {
    buffer.nest(NFTA_LIST_ELEM, |buffer| {
        buffer.text(field::NFTA_EXPR_NAME, name);
        buffer.nest(field::NFTA_EXPR_DATA, body);
    });
}

pub(super) fn data(buffer: &mut Buffer, attribute: u16, bytes: &[u8]) {
    buffer.nest(attribute, |buffer| buffer.bytes(NFTA_DATA_VALUE, bytes));
}

fn meta(buffer: &mut Buffer, key: u32, register: u32) {
    named(buffer, "meta", |buffer| {
        buffer.be32(field::NFTA_META_KEY, key);
        buffer.be32(field::NFTA_META_DREG, register);
    });
}

fn connection(buffer: &mut Buffer, key: u32) {
    named(buffer, "ct", |buffer| {
        buffer.be32(field::NFTA_CT_KEY, key);
        buffer.be32(field::NFTA_CT_DREG, value::REG_1);
    });
}

fn payload(buffer: &mut Buffer, base: u32, offset: u32, length: u32, register: u32) {
    named(buffer, "payload", |buffer| {
        buffer.be32(field::NFTA_PAYLOAD_DREG, register);
        buffer.be32(field::NFTA_PAYLOAD_BASE, base);
        buffer.be32(field::NFTA_PAYLOAD_OFFSET, offset);
        buffer.be32(field::NFTA_PAYLOAD_LEN, length);
    });
}

fn compare(buffer: &mut Buffer, operator: u32, bytes: &[u8]) {
    named(buffer, "cmp", |buffer| {
        buffer.be32(field::NFTA_CMP_SREG, value::REG_1);
        buffer.be32(field::NFTA_CMP_OP, operator);
        data(buffer, field::NFTA_CMP_DATA, bytes);
    });
}

fn bitwise(buffer: &mut Buffer, register: u32, mask: &[u8], xor: &[u8]) {
    named(buffer, "bitwise", |buffer| {
        buffer.be32(field::NFTA_BITWISE_SREG, register);
        buffer.be32(field::NFTA_BITWISE_DREG, register);
        buffer.be32(
            field::NFTA_BITWISE_LEN,
            u32::try_from(mask.len()).unwrap_or(u32::MAX),
        );
        data(buffer, field::NFTA_BITWISE_MASK, mask);
        data(buffer, field::NFTA_BITWISE_XOR, xor);
    });
}

/// Compares register 1 with an inclusive range, which `nft` writes as two comparisons, or as one `range` where
/// the value is to lie outside.
fn between(buffer: &mut Buffer, comparison: Comparison, first: &[u8], last: &[u8]) {
    if first == last {
        compare(buffer, equality(comparison), first);
        return;
    }
    match comparison {
        Comparison::Is => {
            compare(buffer, value::CMP_GTE, first);
            compare(buffer, value::CMP_LTE, last);
        }
        Comparison::IsNot => named(buffer, "range", |buffer| {
            buffer.be32(field::NFTA_RANGE_SREG, value::REG_1);
            buffer.be32(field::NFTA_RANGE_OP, value::RANGE_NEQ);
            data(buffer, field::NFTA_RANGE_FROM_DATA, first);
            data(buffer, field::NFTA_RANGE_TO_DATA, last);
        }),
    }
}

/// Asks whether register 1 has any of some bits.
fn any_bit(buffer: &mut Buffer, comparison: Comparison, bits: u32) {
    bitwise(buffer, value::REG_1, &bits.to_ne_bytes(), &[0; 4]);
    let operator = match comparison {
        Comparison::Is => value::CMP_NEQ,
        Comparison::IsNot => value::CMP_EQ,
    };
    compare(buffer, operator, &[0; 4]);
}

/// Compares an address with a prefix: one that ends at a byte by a shorter load, any other through a mask.
fn address(buffer: &mut Buffer, side: Side, comparison: Comparison, net: &IpNet) {
    let network = net.network();
    let (v4, v6);
    let bytes: &[u8] = match network {
        IpAddr::V4(address) => {
            v4 = address.octets();
            &v4
        }
        IpAddr::V6(address) => {
            v6 = address.octets();
            &v6
        }
    };
    let offset = address_offset(Family::of_net(net), side);
    let whole = usize::from(net.prefix_len() / 8);
    let exact = net.prefix_len().is_multiple_of(8) && whole > 0;
    let loaded = if exact { whole } else { bytes.len() };
    payload(
        buffer,
        value::PAYLOAD_NETWORK_HEADER,
        offset,
        u32::try_from(loaded).unwrap_or(u32::MAX),
        value::REG_1,
    );
    if !exact {
        mask(buffer, value::REG_1, loaded, net.prefix_len());
    }
    let (compared, _) = bytes.split_at(loaded.min(bytes.len()));
    compare(buffer, equality(comparison), compared);
}

/// Clears the bits of an address behind a prefix.
fn mask(buffer: &mut Buffer, register: u32, loaded: usize, length: u8) {
    let zeros = [0; ADDRESS_V6_LENGTH];
    let mask = netmask(length);
    let (mask, _) = mask.split_at(loaded.min(mask.len()));
    let (zeros, _) = zeros.split_at(loaded.min(zeros.len()));
    bitwise(buffer, register, mask, zeros);
}

/// Returns the mask of a prefix of either family, from the left.
fn netmask(length: u8) -> [u8; ADDRESS_V6_LENGTH] {
    let mask = u128::MAX
        .checked_shl(128 - u32::from(length.min(128)))
        .unwrap_or(0);
    mask.to_be_bytes()
}

fn icmp_field(buffer: &mut Buffer, offset: u32) {
    payload(
        buffer,
        value::PAYLOAD_TRANSPORT_HEADER,
        offset,
        1,
        value::REG_1,
    );
}

fn limit(buffer: &mut Buffer, limit: &Limit) {
    named(buffer, "limit", |buffer| {
        buffer.be64(field::NFTA_LIMIT_RATE, limit.rate);
        buffer.be64(field::NFTA_LIMIT_UNIT, limit.unit.seconds());
        buffer.be32(field::NFTA_LIMIT_BURST, limit.burst);
        buffer.be32(field::NFTA_LIMIT_TYPE, value::LIMIT_PKTS);
        buffer.be32(field::NFTA_LIMIT_FLAGS, 0);
    });
}

fn verdict_map(buffer: &mut Buffer, look_up: &LookUp) {
    load_key(buffer, &look_up.keys);
    named(buffer, "lookup", |buffer| {
        buffer.be32(field::NFTA_LOOKUP_SREG, value::REG_1);
        buffer.be32(field::NFTA_LOOKUP_DREG, value::REG_VERDICT);
        buffer.text(field::NFTA_LOOKUP_SET, look_up.set.as_str());
    });
}

/// Loads the fields of a key one behind the other, each from a boundary of four bytes.
fn load_key(buffer: &mut Buffer, keys: &[Key]) {
    let mut offset = 0;
    for key in keys {
        let register = register_at(offset);
        match key {
            Key::Address(family, side) => payload(
                buffer,
                value::PAYLOAD_NETWORK_HEADER,
                address_offset(*family, *side),
                u32::from(family.bits()) / 8,
                register,
            ),
            Key::Network(family, side, bits) => {
                let length = u32::from(family.bits()) / 8;
                let offset = address_offset(*family, *side);
                payload(
                    buffer,
                    value::PAYLOAD_NETWORK_HEADER,
                    offset,
                    length,
                    register,
                );
                mask(buffer, register, usize::from(family.bits() / 8), *bits);
            }
            Key::Protocol => meta(buffer, value::META_L4PROTO, register),
            Key::Port(side) => payload(
                buffer,
                value::PAYLOAD_TRANSPORT_HEADER,
                port_offset(*side),
                2,
                register,
            ),
            Key::Interface(side) => meta(buffer, interface_key(*side), register),
        }
        offset += padded(key_length(*key));
    }
}

/// Returns the register at a distance in bytes from the first, by its long name where it has one.
fn register_at(offset: usize) -> u32 {
    let distance = u32::try_from(offset).unwrap_or(u32::MAX);
    if distance.is_multiple_of(16) {
        value::REG_1 + distance / 16
    } else {
        value::REG32_00 + distance / 4
    }
}

fn key_length(key: Key) -> usize {
    match key {
        Key::Address(Family::V4, _) | Key::Network(Family::V4, _, _) => ADDRESS_V4_LENGTH,
        Key::Address(Family::V6, _) | Key::Network(Family::V6, _, _) => ADDRESS_V6_LENGTH,
        Key::Protocol => 1,
        Key::Port(_) => 2,
        Key::Interface(_) => INTERFACE_LENGTH,
    }
}

/// Returns where an address stands in the network header (RFC 791, RFC 8200).
fn address_offset(family: Family, side: Side) -> u32 {
    match (family, side) {
        (Family::V4, Side::Source) => 12,
        (Family::V4, Side::Destination) => 16,
        (Family::V6, Side::Source) => 8,
        (Family::V6, Side::Destination) => 24,
    }
}

/// Returns where a port stands in the header of TCP, UDP or SCTP.
fn port_offset(side: Side) -> u32 {
    match side {
        Side::Source => 0,
        Side::Destination => 2,
    }
}

fn interface_key(side: InterfaceSide) -> u32 {
    match side {
        InterfaceSide::Input => value::META_IIFNAME,
        InterfaceSide::Output => value::META_OIFNAME,
    }
}

fn equality(comparison: Comparison) -> u32 {
    match comparison {
        Comparison::Is => value::CMP_EQ,
        Comparison::IsNot => value::CMP_NEQ,
    }
}
