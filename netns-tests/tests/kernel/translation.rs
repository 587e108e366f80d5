//! Translations and the check of the way back, with real packets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use netns_tests::{EXT, EXT2, Family, HOST0, HOST0B, HOST1, Namespace, Place, W4, World};
use tortie::kernel::Kernel as _;
use tortie::net::{self, PortRange, Protocol, host_net};
use tortie::nft::{
    BaseChain, ChainType, Comparison, Expr, Hook, InterfaceMatch, InterfaceSide, Operation, Side,
    Verdict,
};

use crate::samples::{add_rule, chain, interface, plan};
use crate::{TableOwner, open};

/// How long a packet that must come may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn base(name: &str, kind: ChainType, hook: Hook, priority: i32) -> Operation {
    Operation::AddChain {
        name: chain(name),
        base: Some(BaseChain {
            kind,
            hook,
            priority,
        }),
    }
}

fn through(side: InterfaceSide, name: &str) -> Expr {
    let name = InterfaceMatch::Name(interface(name));
    Expr::interface(side, Comparison::Is, name)
}

fn udp_to(family: Family, port: u16) -> Vec<Expr> {
    let family = match family {
        Family::V4 => net::Family::V4,
        Family::V6 => net::Family::V6,
    };
    vec![
        Expr::NetworkFamily(family),
        Expr::Protocol(Comparison::Is, Protocol::UDP),
        Expr::Port(Side::Destination, Comparison::Is, PortRange::single(port)),
    ]
}

/// The rules of a test, one operation after the other.
fn operations(family: Family) -> Vec<Operation> {
    let with = |port, statement| {
        let mut exprs = udp_to(family, port);
        exprs.push(statement);
        exprs
    };
    let ports = Some(PortRange::new(1024, 2048).expect("a range"));
    let dnat = |port, to: Place, to_port| Expr::Dnat {
        address: to.address(family),
        port: Some(to_port).filter(|to_port| *to_port != port),
    };
    let snat = Expr::Snat {
        address: HOST0B.address(family),
        ports: Some(PortRange::single(3000)),
    };
    vec![
        Operation::AddTable,
        base("dnat", ChainType::Nat, Hook::Prerouting, -100),
        base("snat", ChainType::Nat, Hook::Postrouting, 110),
        add_rule("dnat", with(53, dnat(53, EXT, 9001))),
        add_rule("dnat", with(9002, dnat(9002, EXT, 9002))),
        add_rule("snat", with(9001, Expr::Masquerade { ports })),
        add_rule("snat", with(9002, snat)),
    ]
}

fn socket(namespace: &Namespace, address: IpAddr, port: u16) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind((address, port)).expect("bind"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Sends a packet and answers it; returns where it seemed to come from.
fn exchange(client: &UdpSocket, to: SocketAddr, server: &UdpSocket) -> SocketAddr {
    client.connect(to).expect("connect");
    client.send(b"ask").expect("send");
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer).expect("the packet comes");
    assert_eq!(&buffer[..length], b"ask");
    server.send_to(b"answer", from).expect("answer");
    // A connected socket takes an answer only from where it sent to.
    let length = client.recv(&mut buffer).expect("the answer comes");
    assert_eq!(&buffer[..length], b"answer");
    from
}

#[test]
fn connections_are_translated_at_both_ends() {
    for family in [Family::V4, Family::V6] {
        let world = World::new();
        world.forwarding();
        let mut kernel = world.host.run(|| open(TableOwner::Auto));
        kernel.commit(&plan(operations(family))).expect("commit");

        let server = socket(&world.ext, EXT.address(family), 9001);
        let client = socket(&world.ext2, EXT2.address(family), 40000);
        let from = exchange(&client, (HOST1.address(family), 53).into(), &server);
        assert_eq!(from.ip(), HOST0.address(family));
        assert!((1024..=2048).contains(&from.port()), "{from}");

        let server = socket(&world.ext, EXT.address(family), 9002);
        let client = socket(&world.ext2, EXT2.address(family), 40001);
        let from = exchange(&client, (HOST1.address(family), 9002).into(), &server);
        assert_eq!(from, (HOST0B.address(family), 3000).into());
    }
}

#[test]
fn a_sender_behind_another_interface_is_seen() {
    for family in [Family::V4, Family::V6] {
        let world = World::new();
        world.forwarding();
        // The way back to this address leads out of the other interface.
        let spoofed = match W4.address(family) {
            IpAddr::V4(_) => "10.65.0.9".parse::<IpAddr>(),
            IpAddr::V6(_) => "fd65::9".parse(),
        };
        let spoofed = spoofed.expect("an address");
        let net = host_net(spoofed);
        world.ext2.ip(&format!("address add {net} dev lo nodad\n"));
        let server = socket(&world.host, HOST1.address(family), 9000);
        let honest = socket(&world.ext2, EXT2.address(family), 40000);
        let liar = socket(&world.ext2, spoofed, 40000);
        let received = |first: &UdpSocket, second: &UdpSocket| {
            for client in [first, second] {
                client
                    .send_to(b"ask", (HOST1.address(family), 9000))
                    .expect("send");
            }
            let mut buffer = [0; 16];
            server.recv_from(&mut buffer).expect("a packet comes").1
        };

        let mut kernel = world.host.run(|| open(TableOwner::Auto));
        let rule = vec![
            through(InterfaceSide::Input, "eth1"),
            Expr::NoReversePath,
            Expr::Verdict(Verdict::Drop),
        ];
        let operations = vec![
            Operation::AddTable,
            base("raw", ChainType::Filter, Hook::Prerouting, -300),
            add_rule("raw", rule),
        ];
        kernel.commit(&plan(operations)).expect("commit");
        assert_eq!(received(&liar, &honest).ip(), EXT2.address(family));
        kernel
            .commit(&plan(vec![Operation::FlushChain(chain("raw"))]))
            .expect("commit");
        assert_eq!(received(&liar, &honest).ip(), spoofed);
    }
}
