//! Scenario 100: what other programs put into nftables is left alone.

use netns_tests::Outcome::{Dropped, Open};
use netns_tests::agent::command_line;
use netns_tests::resources::{documents, eth0, ingress};
use netns_tests::server::Services;
use netns_tests::{Agent, EXT, HOST0, W1, W4, World, both_ways, tcp, witness};

const SERVICES: Services = Services {
    tcp: &[22, 8055, 8056],
    udp: &[],
    protocols: &[],
};

/// Tables as an administrator, iptables-nft and other daemons make them, some with names like ours.
const FOREIGN: &str = "
table ip filter {
    chain INPUT {
        type filter hook input priority filter; policy accept;
        counter jump f2b-sshd
        ip saddr 10.65.0.4 counter drop
    }
    chain FORWARD { type filter hook forward priority filter; policy accept; }
    chain OUTPUT { type filter hook output priority filter; policy accept; }
    chain f2b-sshd { ip saddr 203.0.113.77 counter reject; return; }
}
table ip6 filter {
    chain INPUT {
        type filter hook input priority filter; policy accept;
        ip6 saddr fd65::4 counter drop
    }
}
table ip nat {
    chain POSTROUTING {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 10.99.0.0/16 counter masquerade
    }
}
table inet mine {
    set blocked { type ipv4_addr; flags interval; elements = { 10.98.0.0/16 } }
    map verdicts { type ifname : verdict; elements = { \"eth7\" : drop } }
    chain input {
        type filter hook input priority -20; policy accept;
        ip saddr @blocked drop
        iifname vmap @verdicts
    }
}
table ip tortie {
    set s { type ipv4_addr; elements = { 192.0.2.99 } }
    chain input { type filter hook input priority 5; policy accept; ip saddr @s drop; }
}
table inet tortie2 {
    chain hep-in-eth0 { counter accept; }
}
";

both_ways! {
    fn scenario_100_foreign_tables_survive_everything(owner) {
        let world = World::serving(SERVICES);
        let text = FOREIGN.replace("; }", "\n }");
        world.host.nft(&text);
        let before = witness::foreign(&world.host);
        assert_eq!(before.len(), 6, "the foreign tables are there: {:?}", before.keys());
        let same = |when: &str| {
            assert_eq!(witness::foreign(&world.host), before, "foreign tables {when}");
        };
        let rows = |policed, foreign| {
            [
                tcp(EXT, HOST0, 22, Open),
                tcp(W1, HOST0, 8055, Open),
                tcp(W1, HOST0, 8056, policed),
                tcp(W4, HOST0, 8055, foreign),
            ]
        };
        world.expect("without a daemon", rows(Open, Dropped));
        let mut agent = Agent::start(&world.host, owner);
        same("after the start");
        let allow = |port: u16| {
            documents(&[eth0(), ingress("allow", 10, &format!(
                "{{action: Allow, protocol: TCP, destination: {{ports: [{port}, 8055]}}}}"
            ))])
        };
        agent.apply(&allow(8057));
        same("after the first policy");
        world.expect("both firewalls decide", rows(Dropped, Dropped));
        agent.apply(&allow(8056));
        same("after an update");
        world.expect("our accept does not override a foreign drop", rows(Open, Dropped));
        agent.kill();
        same("after a crash");
        let mut agent = Agent::on(&world.host, owner, &[], agent.directory());
        same("after a restart");
        agent.apply(&allow(8057));
        same("after an update by the second daemon");
        assert_eq!(agent.terminate().code(), Some(0));
        same("after the stop");
        world.expect("nobody is there", rows(Dropped, Dropped));
        assert!(command_line(&world.host, owner, &["flush", "--yes"]).status.success());
        same("after the flush");
        assert!(!witness::exists(&world.host));
        world.expect("only the foreign firewall", rows(Open, Dropped));
    }

    fn a_foreign_change_does_not_disturb_the_daemon(owner) {
        let world = World::serving(SERVICES);
        let agent = Agent::start(&world.host, owner);
        let allow = |port: u16| {
            documents(&[eth0(), ingress("allow", 10, &format!(
                "{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}"
            ))])
        };
        agent.apply(&allow(8055));
        // The generation of the ruleset moves between two changes of ours.
        world.host.nft("add table ip other\nadd chain ip other c\nadd rule ip other c counter\n");
        agent.apply(&allow(8056));
        world.host.nft("delete table ip other\n");
        world.expect("both changes are in force", [
            tcp(EXT, HOST0, 8056, Open),
            tcp(EXT, HOST0, 8055, Dropped),
        ]);
    }
}
