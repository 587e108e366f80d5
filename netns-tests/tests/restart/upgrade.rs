//! Scenario 105: another version of the daemon, which renders otherwise, takes the place of the one that runs.
//!
//! What settings change stands in for what a version changes: marks, what a denied packet meets, comments and log
//! prefixes, the counters of policies, and where the base chains stand.

use netns_tests::agent::Mark;
use netns_tests::store::Store;
use netns_tests::{both_ways, witness};

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
