//! Translations of addresses and ports.
//!
//! What a connection is translated to stands in registers: the address in the first, the ports behind it.

use std::net::IpAddr;

use super::buffer::Buffer;
use super::consts::{expression as field, nfnetlink, value};
use super::exprs::{data, named};
use crate::net::PortRange;

/// Writes a translation of one end to an address and, where they are named, ports.
pub(super) fn translation(
    buffer: &mut Buffer,
    kind: u32,
    address: IpAddr,
    ports: Option<PortRange>,
) {
    let family = match address {
        IpAddr::V4(v4) => {
            immediate(buffer, value::REG_1, &v4.octets());
            nfnetlink::NFPROTO_IPV4
        }
        IpAddr::V6(v6) => {
            immediate(buffer, value::REG_1, &v6.octets());
            nfnetlink::NFPROTO_IPV6
        }
    };
    let ports = ports.map(|range| load_ports(buffer, range, [value::REG_2, value::REG_3]));
    named(buffer, "nat", |buffer| {
        buffer.be32(field::NFTA_NAT_TYPE, kind);
        buffer.be32(field::NFTA_NAT_FAMILY, u32::from(family));
        buffer.be32(field::NFTA_NAT_REG_ADDR_MIN, value::REG_1);
        if let Some(loaded) = ports {
            buffer.be32(field::NFTA_NAT_REG_PROTO_MIN, loaded.first);
            if let Some(last) = loaded.last {
                buffer.be32(field::NFTA_NAT_REG_PROTO_MAX, last);
            }
            buffer.be32(field::NFTA_NAT_FLAGS, value::NAT_RANGE_PROTO_SPECIFIED);
        }
    });
}

/// Writes a translation of the source to the address of the interface.
pub(super) fn masquerade(buffer: &mut Buffer, ports: Option<PortRange>) {
    let ports = ports.map(|range| load_ports(buffer, range, [value::REG_1, value::REG_2]));
    named(buffer, "masq", |buffer| {
        if let Some(loaded) = ports {
            buffer.be32(field::NFTA_MASQ_FLAGS, value::NAT_RANGE_PROTO_SPECIFIED);
            buffer.be32(field::NFTA_MASQ_REG_PROTO_MIN, loaded.first);
            if let Some(last) = loaded.last {
                buffer.be32(field::NFTA_MASQ_REG_PROTO_MAX, last);
            }
        }
    });
}

/// The registers that hold the ends of a range of ports.
#[derive(Clone, Copy)]
struct Loaded {
    first: u32,
    /// Absent where the range is one port.
    last: Option<u32>,
}

fn load_ports(buffer: &mut Buffer, range: PortRange, registers: [u32; 2]) -> Loaded {
    let [first, last] = registers;
    immediate(buffer, first, &range.first().to_be_bytes());
    let last = (!range.is_single()).then(|| {
        immediate(buffer, last, &range.last().to_be_bytes());
        last
    });
    Loaded { first, last }
}

fn immediate(buffer: &mut Buffer, register: u32, bytes: &[u8]) {
    named(buffer, "immediate", |buffer| {
        buffer.be32(field::NFTA_IMMEDIATE_DREG, register);
        data(buffer, field::NFTA_IMMEDIATE_DATA, bytes);
    });
}
