//! Tests of the harness itself, with rules that `nft` loads: an outcome that were never told from another
//! would make every other test worthless.

use netns_tests::Outcome::{Dropped, Open, Reset, Unreachable};
use netns_tests::probe::{icmp_code, icmp_timestamp};
use netns_tests::server::Services;
use netns_tests::{
    A1, EXT, EXT2, HOST0, HOST0B, HOST1, W1, W2, World, icmp, ip_protocol, ns, stray_ack, tcp, udp,
    witness,
};

const SERVICES: Services = Services {
    tcp: &[1000, 1001, 1002, 1003],
    udp: &[1000, 1001, 1003],
    protocols: &[253, 254],
};

#[test]
fn everything_is_open_without_rules() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES);
    world.expect(
        "no rules",
        [
            tcp(EXT, HOST0, 1000, Open),
            tcp(EXT, HOST0B, 1000, Open),
            tcp(EXT2, HOST1, 1000, Open),
            tcp(HOST0, EXT, 1000, Open),
            tcp(HOST1, EXT2, 1000, Open),
            tcp(W1, HOST0, 1000, Open),
            tcp(A1, HOST0, 1000, Open),
            tcp(HOST0, W2, 1000, Open).from_port(4321),
            tcp(EXT, HOST0, 4444, Reset),
            udp(W1, HOST0, 1000, Open),
            udp(HOST0, W2, 1000, Open).from_port(4321),
            udp(EXT, HOST0, 4444, Unreachable),
            icmp(EXT, HOST0, Open),
            icmp(HOST0, W1, Open),
            icmp_code(EXT, HOST0, 7, Open),
            icmp_timestamp(EXT, HOST0, Open),
            ip_protocol(EXT, HOST0, 253, Open),
            ip_protocol(HOST0, W1, 254, Open),
            stray_ack(EXT, HOST0, 1000, Reset),
        ],
    );
}

#[test]
fn a_drop_a_reset_and_an_unreachable_are_told_apart() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES);
    world.host.nft(
        "table inet test {
            chain in {
                type filter hook input priority 0; policy accept;
                tcp dport 1001 drop
                tcp dport 1002 reject with tcp reset
                tcp dport 1003 reject
                udp dport 1001 drop
                udp dport 1003 reject
                icmp type echo-request drop
                icmpv6 type echo-request drop
                meta l4proto 254 drop
            }
            chain out {
                type filter hook output priority 0; policy accept;
                tcp dport 1001 drop
                tcp dport 1003 reject
                udp dport 1001 drop
                udp dport 1003 reject
                icmp type echo-request reject
                icmpv6 type echo-request reject
            }
        }",
    );
    world.expect(
        "rules made by nft",
        [
            tcp(EXT, HOST0, 1000, Open),
            tcp(EXT, HOST0, 1001, Dropped),
            tcp(EXT, HOST0, 1002, Reset),
            tcp(EXT, HOST0, 1003, Unreachable),
            udp(EXT, HOST0, 1000, Open),
            udp(EXT, HOST0, 1001, Dropped),
            udp(EXT, HOST0, 1003, Unreachable),
            icmp(EXT, HOST0, Dropped),
            ip_protocol(EXT, HOST0, 253, Open),
            ip_protocol(EXT, HOST0, 254, Dropped),
            tcp(HOST0, EXT, 1000, Open),
            tcp(HOST0, EXT, 1001, Dropped),
            tcp(HOST0, EXT, 1003, Unreachable),
            udp(HOST0, EXT, 1001, Dropped),
            udp(HOST0, EXT, 1003, Unreachable),
            icmp(HOST0, EXT, Unreachable),
        ],
    );
}

#[test]
#[should_panic(expected = "expected Dropped, was Open")]
fn a_table_that_does_not_hold_fails() {
    assert!(
        ns::privileged(),
        "expected Dropped, was Open is only seen by root"
    );
    let world = World::serving(SERVICES);
    world.expect("wrong", [tcp(EXT, HOST0, 1000, Dropped)]);
}

#[test]
fn both_readers_see_the_same_table() {
    if !ns::privileged() {
        return;
    }
    let world = World::new();
    world.host.nft(
        "table inet other {
            chain c { type filter hook input priority 1; }
         }
         table inet tortie {
            set s4 { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
            set n4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
            map m { type ifname : verdict; elements = { \"eth0\" : goto c } }
            chain c {
                ip saddr @s4 accept
                tcp dport { 1, 2, 3-5 } log prefix \"x: \" limit rate 5/second
                ip saddr != @n4 fib saddr type local reject
                ct state established,related accept
                drop
            }
            chain in { type filter hook input priority 0; policy accept; iifname vmap @m
            }
         }",
    );
    assert!(witness::exists(&world.host));
    assert!(!witness::exists(&world.ext));
    let counts = witness::counts_of_nft(&world.host);
    assert_eq!(
        (counts.rules["c"], counts.rules["in"], counts.sets),
        (5, 1, 3)
    );
    witness::agree(&world.host);
    assert_eq!(witness::statements(&world.host, "log").len(), 1);
    assert_eq!(witness::connections(&world.host), [""; 0]);
}
