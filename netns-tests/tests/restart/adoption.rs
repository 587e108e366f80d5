//! A table of another making, as an older version may have left it, is adopted without a gap.

use netns_tests::store::Store;
use netns_tests::{Namespace, Owner, both_ways, witness};

use crate::load::Site;

/// Returns the text of our table as `nft` reads it again.
fn listing(host: &Namespace) -> String {
    let text = host.exec("nft", &["list", "table", "inet", witness::TABLE], "");
    // nft 1.0.6 does not know the flag of a table that persists, and prints it as nothing.
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("flags \t") && line.trim() != "flags");
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Puts a table of the same meaning in the place of ours, in one transaction.
fn replace(host: &Namespace, table: &str) {
    host.nft(&format!("delete table inet {}\n{table}", witness::TABLE));
}

/// Writes the text of a table anew.
type Rewrite = fn(&str) -> String;

/// Ways in which another version may have written the same.
const WAYS: [(&str, Rewrite); 4] = [
    ("without what tortie notes beside each rule", str::to_owned),
    ("with chains and sets that are no longer wanted", |table| {
        table.replacen(
            "{\n",
            "{\n set old { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }\n \
             map older { type ifname : verdict; elements = { \"eth9\" : jump oldest }; }\n \
             chain oldest { ip saddr @old counter; }\n \
             chain early { type filter hook forward priority -5; policy accept; iifname vmap @older; }\n",
            1,
        )
    }),
    ("with sets of other forms", |table| {
        table.replace("size ", "# size ")
    }),
    ("with rules at other places", |table| {
        table.replace("ct state invalid drop", "ct state invalid counter drop")
    }),
];

both_ways! {
    fn a_table_of_another_making_is_adopted_without_a_gap(owner) {
        let site = Site::new(20);
        let host = &site.world.host;
        let store = Store::directory();
        store.put("all.yaml", &site.resources());
        let mut agent = store.start(host, owner, &[]);
        site.routed();
        let wanted = witness::contents(host);
        for (what, way) in WAYS {
            agent.terminate();
            // Packets are lost and let through while one table takes the place of another.
            let table = way(&listing(host));
            replace(host, &table);
            let load = site.load();
            load.pass(2_000);
            agent = store.start(host, owner, &[]);
            load.pass(2_000);
            match owner {
                Owner::Disabled => load.finish(what),
                // The kernel makes no table owned that was not, so that another one takes its place.
                Owner::Enabled => load.finish_tight(what),
            }
            assert_eq!(witness::contents(host), wanted, "{what}");
        }
    }
}
