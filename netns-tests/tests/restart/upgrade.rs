//! Scenario 105: another version of the daemon, which renders otherwise, takes the place of the one that runs.
//!
//! What settings change stands in for what a version changes: marks, what a denied packet meets, comments and log
//! prefixes, the counters of policies, and where the base chains stand. Where another build is at hand, it and the
//! present one take turns.

use netns_tests::agent::{Directory, Mark};
use netns_tests::kernel::owns;
use netns_tests::ns::privileged;
use netns_tests::resources::{documents, forward, pre_dnat, untracked};
use netns_tests::store::Store;
use netns_tests::{Agent, Owner, both_ways, witness};

use crate::load::Site;

/// Each changes rules; between them most rules are written anew.
const VERSIONS: [&[(&str, &str)]; 7] = [
    &[],
    &[("FELIX_IPTABLESMARKMASK", "0x0ff00000")],
    &[("FELIX_IPTABLESFILTERDENYACTION", "Reject")],
    &[
        ("TORTIE_POLICYCOUNTERS", "Enabled"),
        ("FELIX_LOGPREFIX", "other"),
    ],
    &[("FELIX_CHAININSERTMODE", "append")],
    &[("FELIX_DISABLECONNTRACKINVALIDCHECK", "true")],
    &[("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT")],
];

both_ways! {
    fn scenario_105_a_daemon_that_renders_otherwise_takes_over(owner) {
        let site = Site::new(20);
        let host = &site.world.host;
        let store = Store::directory();
        store.put("all.yaml", &site.resources());
        let mut agent = store.start(host, owner, VERSIONS[0]);
        let load = site.load();
        let mut changed = 0;
        for settings in VERSIONS.iter().cycle().skip(1).take(VERSIONS.len()) {
            let before = witness::identities(host);
            agent.terminate();
            load.pass(2_000);
            assert_eq!(witness::identities(host), before, "nothing changes while no daemon runs");
            agent = store.start(host, owner, settings);
            changed += usize::from(witness::identities(host) != before);
            assert!(agent.has_said(&Mark::beginning(), "in-sync"));
            load.pass(2_000);
        }
        assert_eq!(changed, VERSIONS.len(), "each version renders otherwise");
        load.finish(&format!("{changed} versions"));
    }
}

/// Has `sh -c` become its `$0` with the daemon's arguments, without the program that they came with.
const INSTEAD: &str = "shift && exec \"$0\" \"$@\"";
/// How often each build takes over from the other.
const TURNS: usize = 6;

/// Returns policies of the kinds that the packets under way do not need, so that every chain of the layout is there.
fn policies_of_all_kinds() -> String {
    let deny = "{action: Deny, protocol: UDP, destination: {ports: [9]}}";
    let to = "{action: Allow, destination: {selector: role == 'crowd'}}";
    let from = "{action: Allow, source: {selector: role == 'crowd'}}";
    let types = "types: [Ingress, Egress]";
    documents(&[
        pre_dnat("before", 1, deny),
        untracked(
            "untracked",
            2,
            &format!("{types}, ingress: [{deny}], egress: [{deny}]"),
        ),
        forward(
            "forward",
            3,
            &format!("{types}, ingress: [{deny}, {to}], egress: [{deny}, {from}]"),
        ),
    ])
}

fn take_turns(owner: Owner, other: &str) {
    let site = Site::new(20);
    let host = &site.world.host;
    let resources = Directory::new();
    resources.put("all.yaml", &(site.resources() + &policies_of_all_kinds()));
    let instead = ["sh", "-c", INSTEAD, other];
    let start = |starter: &[&str]| {
        let agent = Agent::launch_by(starter, host, owner, &[], &resources, &[]);
        agent.started();
        agent
    };
    let mut agent = start(&instead);
    let load = site.load();
    for turn in 0..2 * TURNS {
        load.pass(1_000);
        // Each build ends in each way.
        if turn / 2 % 2 == 0 {
            agent.terminate();
        } else {
            agent.kill();
        }
        load.pass(500);
        let (_, before) = witness::identities(host);
        agent = start(if turn % 2 == 0 { &[] } else { &instead });
        let (_, after) = witness::identities(host);
        let stay = before.iter().filter(|rule| after.contains(*rule)).count();
        println!("turn {turn}: {stay} of {} rules stay", before.len());
        load.pass(1_000);
    }
    load.finish(&format!("{TURNS} turns with {other}, {owner:?}"));
}

#[test]
#[ignore = "needs another build: scripts/test-upgrade"]
fn another_build_takes_over_and_gives_back() {
    let other = std::env::var("TORTIE_OTHER_BIN").expect("TORTIE_OTHER_BIN is another build");
    assert!(privileged(), "namespaces need root");
    take_turns(Owner::Disabled, &other);
    if owns() {
        take_turns(Owner::Enabled, &other);
    }
}
