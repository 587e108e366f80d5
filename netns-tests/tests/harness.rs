//! Tests of the harness itself, with rules that `nft` loads: an outcome that were never told from another
//! would make every other test worthless.

use std::process::Command;

use netns_tests::Outcome::{Dropped, Open, Reset, Unreachable};
use netns_tests::agent;
use netns_tests::nat::translate;
use netns_tests::probe::{icmp_code, icmp_timestamp};
use netns_tests::resources::{
    ALLOW_ALL, documents, forward, host_endpoint_v1, ip_pool, ip_pool_v1, local, local_of,
    local_v1, policy_v1, pre_dnat, profile_v1, untracked, workload_policy,
};
use netns_tests::server::Services;
use netns_tests::workloads::Routed;
use netns_tests::{
    A1, Directory, EXT, EXT2, HOST0, HOST0B, HOST1, Row, Site, W1, W2, WL0, WL1, WL2, World, icmp,
    ip_protocol, ns, stray_ack, tcp, track, udp, witness,
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

#[test]
fn workloads_reach_everything_once_they_are_wired() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES).with_workloads(3);
    world.routed(&[WL0, WL1, WL2], Routed::No);
    world.expect(
        "without routes",
        [
            tcp(WL0, WL1, 1000, Dropped),
            tcp(EXT, WL1, 1000, Dropped),
            tcp(EXT, HOST0, 1000, Open),
        ],
    );
    world.wire_workloads();
    world.routed(&[WL0, WL1, WL2], Routed::Yes);
    world.expect(
        "with routes",
        [
            tcp(WL0, WL1, 1000, Open),
            tcp(WL1, WL0, 1000, Open),
            udp(WL2, WL0, 1000, Open),
            icmp(WL0, WL2, Open),
            ip_protocol(WL0, WL1, 253, Open),
            tcp(WL0, HOST0, 1000, Open),
            tcp(WL0, HOST1, 1000, Open),
            tcp(HOST0, WL0, 1000, Open),
            udp(HOST1, WL0, 1000, Open),
            tcp(WL0, EXT, 1000, Open),
            tcp(WL0, W1, 1000, Open),
            udp(EXT2, WL0, 1000, Open),
            tcp(EXT, WL1, 1000, Open),
            tcp(W1, WL1, 1000, Open),
            tcp(EXT, EXT2, 1000, Open),
            tcp(EXT2, W1, 1000, Open),
            tcp(WL0, WL1, 4444, Reset),
        ],
    );
}

#[test]
fn what_arrives_and_what_is_tracked_is_seen() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES).with_workloads(2).watching();
    world.wire_workloads();
    // Port 1001 is lost on its way there, 1002 and 1003 on their way back; 1003 and 254 are not tracked.
    world.host.nft(
        "table inet test {
            chain raw-in {
                type filter hook prerouting priority -300; policy accept;
                th dport 1003 meta l4proto { tcp, udp } notrack
                th sport 1003 meta l4proto { tcp, udp } notrack
                meta l4proto 254 notrack
            }
            chain raw-out {
                type filter hook output priority -300; policy accept;
                th sport 1003 meta l4proto { tcp, udp } notrack
                meta l4proto 254 notrack
            }
            chain both {
                th dport 1001 meta l4proto { tcp, udp } drop
                th sport { 1002, 1003 } meta l4proto { tcp, udp } drop
                ip daddr 10.65.1.11 icmp type echo-request drop
                ip6 daddr fd65:1::11 icmpv6 type echo-request drop
            }
            chain in { type filter hook input priority 0; policy accept; goto both; }
            chain forward { type filter hook forward priority 0; policy accept; goto both; }
            chain out { type filter hook output priority 0; policy accept; goto both; }
        }"
        .replace("goto both; }", "goto both\n }")
        .as_str(),
    );
    let from_to = |from, to| {
        [
            tcp(from, to, 1000, Open).delivered().tracked(),
            tcp(from, to, 1001, Dropped).lost().untracked(),
            tcp(from, to, 1002, Dropped).delivered().tracked(),
            tcp(from, to, 1003, Dropped).delivered().untracked(),
            udp(from, to, 1000, Open).delivered().tracked(),
            udp(from, to, 1001, Dropped).lost().untracked(),
            udp(from, to, 1003, Dropped).delivered().untracked(),
            ip_protocol(from, to, 253, Open).delivered().tracked(),
            ip_protocol(from, to, 254, Open).delivered().untracked(),
        ]
    };
    for (from, to) in [(EXT, HOST0), (EXT, WL1), (WL0, WL1), (WL0, HOST0)] {
        world.forget_flows();
        world.expect("notes", from_to(from, to));
    }
    world.expect(
        "echoes",
        [
            icmp(EXT, WL0, Open).delivered().tracked(),
            icmp(EXT, WL1, Dropped).lost().untracked(),
            icmp(WL0, WL1, Dropped).lost().untracked(),
            stray_ack(EXT, HOST0, 1000, Reset).delivered(),
        ],
    );
    world.forget_flows();
    assert_eq!(world.sightings(Site::Host), []);
    assert_eq!(track::connections(&world.host), []);
}

#[test]
fn a_borrowed_address_is_sent_from() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES).with_workloads(3).watching();
    world.wire_workloads();
    let spoofed = world.lend(WL0.site, WL2);
    let rows = [
        udp(spoofed, EXT, 1000, Dropped).delivered(),
        tcp(spoofed, WL1, 1000, Dropped).delivered(),
        udp(spoofed, HOST0, 1000, Dropped).delivered(),
    ];
    world.expect("nothing checks", rows);
    world.host.nft(
        "table inet test {
            chain raw {
                type filter hook prerouting priority -300; policy accept;
                iifname \"cali*\" fib saddr . iif oif 0 drop
            }
        }",
    );
    world.expect(
        "the reverse path is checked",
        rows.map(Row::lost)
            .into_iter()
            .chain([udp(WL0, EXT, 1000, Open), tcp(WL0, WL1, 1000, Open)]),
    );
}

#[test]
fn a_translated_destination_is_found_where_it_lands() {
    if !ns::privileged() {
        return;
    }
    let world = World::serving(SERVICES).with_workloads(2).watching();
    world.wire_workloads();
    translate(&world, &[(32010, WL1, 1000), (32011, WL1, 1001)]);
    world.expect(
        "ports of the node",
        [
            tcp(EXT, HOST0, 32010, Open).lands_at(WL1.site).delivered(),
            udp(EXT, HOST0, 32010, Open).lands_at(WL1.site).delivered(),
            tcp(WL0, HOST0, 32010, Open).lands_at(WL1.site).delivered(),
            tcp(HOST0, HOST0, 32010, Open)
                .lands_at(WL1.site)
                .delivered(),
            tcp(EXT, HOST0, 32012, Reset).delivered(),
        ],
    );
    let landed: Vec<Option<u16>> = world
        .sightings(WL1.site)
        .iter()
        .filter(|seen| seen.from == EXT.v4)
        .map(|seen| seen.port)
        .collect();
    assert_eq!(landed, [Some(1000), Some(1000)]);
}

#[test]
fn the_short_ways_make_good_resources() {
    let directory = Directory::new();
    let all = [
        host_endpoint_v1("v1-eth1", "interfaceName: eth1, profiles: [p1]"),
        local(WL0, ALLOW_ALL),
        local_v1(WL1, ""),
        local_of("openstack", WL2, "a: b", ALLOW_ALL),
        forward(
            "f",
            1,
            "types: [Ingress, Egress], ingress: [{action: Allow}]",
        ),
        untracked(
            "u",
            1,
            "ingress: [{action: Allow}], egress: [{action: Allow}]",
        ),
        pre_dnat("p", 1, "{action: Deny}"),
        workload_policy("w", 1, "egress: [{action: Deny}]"),
        policy_v1(
            "all()",
            "v1-p",
            1,
            "ingress: [{action: allow}], doNotTrack: true",
        ),
        profile_v1("p1", "ingress: [{action: allow}], egress: [{action: deny}]"),
        ip_pool("pool", "10.65.0.0/16", "natOutgoing: true"),
        ip_pool_v1("fd65::/16", "nat-outgoing: true"),
    ];
    directory.put("all.yaml", &documents(&all));
    let checked = Command::new(agent::binary())
        .env_clear()
        .args(["check", directory.path().to_str().expect("a plain path")])
        .output()
        .expect("run the program");
    assert!(
        checked.status.success(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}
