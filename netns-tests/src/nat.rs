//! Destination translation as other programs do it: in a table of their own, beside the product's.

use std::fmt::Write as _;

use crate::topology::{HOST0, Place, World};

/// Makes the host translate ports of [`HOST0`], TCP and UDP, to ports of other places.
///
/// This is what kube-proxy does for a port of the node, or a container engine for a published port: for packets
/// that come in and for those that the host itself sends.
pub fn translate(world: &World, ports: &[(u16, Place, u16)]) {
    translate_from(world, HOST0, ports);
}

/// Makes the host translate ports of any place, such as the address of a service that no interface has.
pub fn translate_from(world: &World, service: Place, ports: &[(u16, Place, u16)]) {
    let mut rules = String::new();
    for (port, to, target) in ports {
        let (v4, v6) = (service.v4, service.v6);
        for protocol in ["tcp", "udp"] {
            let _ = writeln!(
                rules,
                "ip daddr {v4} {protocol} dport {port} dnat ip to {}:{target}\n\
                 ip6 daddr {v6} {protocol} dport {port} dnat ip6 to [{}]:{target}",
                to.v4, to.v6
            );
        }
    }
    world.host.nft(&format!(
        "table inet foreign-nat {{
            chain prerouting {{ type nat hook prerouting priority dstnat; policy accept;\n{rules}\n}}
            chain output {{ type nat hook output priority -100; policy accept;\n{rules}\n}}
        }}"
    ));
}
